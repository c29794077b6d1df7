#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/test.h"
#include "server/config_load.h"
#include "server/options.h"

static const char *fake_env(const char *name)
{
    if (strcmp(name, "KEY") == 0)
        return "sk-secret: {not yaml}";
    if (strcmp(name, "HOME") == 0)
        return "/home/me";
    return NULL;
}

static struct config *load(struct str yaml, struct config_faults *f)
{
    char path[] = "/tmp/sluice-config-XXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    close(fd);
    REQUIRE(sys_write_file(path, yaml, 0600, NULL) == OK);
    config_faults_init(f);
    struct config_source source = {.path = path, .env = fake_env};
    struct config *c = config_load(&source, f);
    unlink(path);
    return c;
}

TEST(the_whole_example_of_the_contract_loads)
{
    struct config_faults f;
    struct config *c = load(S("listen: 127.0.0.1:8080\n"
                              "auth: keys\n"
                              "admin_key: ${KEY}\n"
                              "state: sqlite:sluice.db\n"
                              "providers:\n"
                              "  - name: openai\n"
                              "    kind: openai\n"
                              "    base_url: https://api.openai.com/v1\n"
                              "    api_key: [a, \"${KEY}\"]\n"
                              "    headers: {x-team: search}\n"
                              "    region: eu\n"
                              "    connect_timeout: 2s\n"
                              "    max_concurrency: 64\n"
                              "    breaker: {failures: 7, window: 30s, cooldown: 15s}\n"
                              "models:\n"
                              "  - name: chat\n"
                              "    strategy: weighted\n"
                              "    retries: 3\n"
                              "    targets:\n"
                              "      - {provider: openai, model: gpt-4o-mini, weight: 3, price: {input: "
                              "0.15, cached_input: 0.075, output: 0.60}}\n"
                              "      - {provider: local, model: models/x.gguf}\n"
                              "    cache: {mode: exact, ttl: 1h, max_bytes: 256MB}\n"
                              "    max_output_tokens: 1024\n"
                              "limits:\n"
                              "  {rpm: 600, tpm: 200000, concurrency: 32, budget: {usd: 20, per: day}, "
                              "max_output_tokens: 2048}\n"),
                            &f);
    CHECK_STR(buf_str(&f.text), S(""));
    REQUIRE(c != NULL);
    CHECK_STR(c->admin_key, S("sk-secret: {not yaml}"));
    CHECK_INT(c->n_providers, 2);
    CHECK_INT(c->providers[0].api_keys.n, 2);
    CHECK_INT(c->providers[0].breaker.failures, 7);
    CHECK_INT(c->providers[0].timeout_ns, INT64_C(120000000000));
    const struct config_model *m = config_find_model(c, S("chat"));
    REQUIRE(m && m->n_targets == 2);
    CHECK_INT(m->strategy, STRATEGY_WEIGHTED);
    CHECK_INT(m->targets[0].price.input, 150000);
    CHECK_INT(m->targets[0].price.cached_input, 75000);
    CHECK_INT(m->targets[0].price.output, 600000);
    CHECK_INT(m->targets[0].price.cache_write, -1);
    CHECK_INT(m->targets[1].provider_idx, 1);
    CHECK_STR(m->targets[0].region, S("eu"));
    CHECK_INT(m->cache.max_bytes, 256000000);
    CHECK_INT(c->limits.budget_nano, 20 * NANO_PER_USD);
    CHECK_INT(c->limits.budget_per, PERIOD_DAY);
    CHECK_INT(c->auth, AUTH_KEYS);
    config_drop(c);
    config_faults_deinit(&f);
}

static void expect_fault(struct str yaml, const char *text)
{
    struct config_faults f;
    struct config *c = load(yaml, &f);
    if (c || !strstr(buf_z(&f.text), text))
        test_fail(__FILE__, __LINE__, "expected the fault \"%s\", got: %s", text, buf_z(&f.text));
    config_drop(c);
    config_faults_deinit(&f);
}

TEST(each_fault_is_said_with_its_line)
{
    expect_fault(S("lisen: 1\n"), ":1: unknown key 'lisen': did you mean 'listen'?");
    expect_fault(S("a: 1\nmax_body: many\n"), ":2: 'max_body' is 'many', but it must be a size");
    expect_fault(S("listen: 0.0.0.0:80\nauth: none\n"), "'auth: none' is possible on loopback");
    expect_fault(S("listen: nowhere\n"), "needs ADDRESS:PORT");
    expect_fault(S("admin_key: ${NOPE}\n"), ":1: the environment variable NOPE is not set");
    expect_fault(S("models:\n - name: x\n   targets: [{provider: opnai, model: y}]\nproviders:\n - {name: "
                   "openai, kind: openai}\n"),
                 ":3: there is no provider 'opnai': did you mean 'openai'?");
    expect_fault(S("models: [{name: x, targets: []}]\n"), "has no targets");
    expect_fault(S("models: [{targets: [{provider: local, model: x}]}]\n"), "needs 'name'");
    expect_fault(S("shared: redis://x\n"), "not in this version");
    expect_fault(S("state: postgresql://x/y\n"), "not in this version");
    expect_fault(S("models: [{name: x, strategy: cascade, targets: [{provider: local, model: x}]}]\n"),
                 "not in this version");
    expect_fault(S("models: [{name: x, strategy: fast, targets: [{provider: local, model: x}]}]\n"),
                 "one of ordered, weighted");
    expect_fault(S("a: [\n"), "not valid YAML");
    expect_fault(S("auth: keys\nauth: keys\n"), ":2: 'auth' is given twice");
    expect_fault(S("providers: [{name: a, kind: openai, base_url: ftp://x}]\n"), "must begin with https://");
    expect_fault(S("engine: {max_batch: 0}\n"), "outside of what is possible");
    expect_fault(S("engine: {threads: -2}\n"), "outside of what is possible");
}

TEST(every_fault_is_said_at_once)
{
    struct config_faults f;
    struct config *c = load(S("lisen: 1\nmax_body: x\nlog: {levl: info}\n"), &f);
    CHECK(c == NULL);
    CHECK_INT(f.n, 3);
    config_faults_deinit(&f);
}

TEST(defaults_need_no_file)
{
    struct config_faults f;
    config_faults_init(&f);
    struct config_flag flags[] = {{S("listen"), S("127.0.0.1:9")}, {S("threads"), S("3")}};
    struct config_source source = {.env = fake_env, .flags = flags, .n_flags = 2};
    struct config *c = config_load(&source, &f);
    REQUIRE(c != NULL);
    CHECK_STR(c->state, S("sqlite:/home/me/.local/state/sluice/sluice.db"));
    CHECK_STR(c->listen.items[0], S("127.0.0.1:9"));
    CHECK_INT(c->engine.threads, 3);
    CHECK_INT(c->auth, AUTH_NONE);
    CHECK_INT(c->engine.step_budget_ns, 50000000);
    config_drop(c);
    config_faults_deinit(&f);
}

TEST(durations_sizes_and_money)
{
    int64_t v;
    CHECK(config_parse_duration(S("1.5s"), &v) && v == 1500000000);
    CHECK(config_parse_duration(S("30d"), &v) && v == 30 * INT64_C(86400000000000));
    CHECK(!config_parse_duration(S("5"), &v) && !config_parse_duration(S("s"), &v) &&
          !config_parse_duration(S("-1s"), &v));
    CHECK(config_parse_bytes(S("32MB"), &v) && v == 32000000);
    CHECK(config_parse_bytes(S("1GiB"), &v) && v == 1 << 30);
    CHECK(!config_parse_bytes(S("9999999999GB"), &v));
    CHECK(config_parse_nano(S("0.000000001"), &v) && v == 1);
    CHECK(config_parse_nano(S("$20"), &v) && v == 20000000000);
    CHECK(!config_parse_nano(S("0.0000000001"), &v));
    CHECK(config_is_loopback(S("127.0.0.1:80")) && config_is_loopback(S("[::1]:80")) &&
          config_is_loopback(S("localhost:1")));
    CHECK(!config_is_loopback(S("127.evil.com:80")));
    CHECK(!config_is_loopback(S("0.0.0.0:80")) && !config_is_loopback(S("[::]:80")) &&
          !config_is_loopback(S("localhost.evil.com:80")));
}

TEST(the_example_file_is_valid_when_uncommented)
{
    struct buf example, plain;
    buf_init(&example, 1 << 20);
    buf_init(&plain, 1 << 20);
    options_write_example(&example);
    struct str rest = buf_str(&example), line;
    str_split(&rest, '\n', &line);
    while (str_split(&rest, '\n', &line))
        buf_printf(&plain, "%.*s\n", STR(str_sub(line, 2, line.n)));
    struct config_faults f;
    struct config *c = load(buf_str(&plain), &f);
    for (struct str text = buf_str(&f.text); str_split(&text, '\n', &line) && line.n;)
        test_fail(__FILE__, __LINE__, "%.*s", STR(line));
    config_drop(c);
    config_faults_deinit(&f);
    buf_deinit(&example);
    buf_deinit(&plain);
}
