/* options.c - The table of options, and what is printed from it.  See options.h.
 *
 * It is long because it is a table: start reading at options_top, at the end. */
#include "server/options.h"

#include <stdio.h>

#include "gateway/config.h"

#define AT(type, field) offsetof(struct type, field)
#define HOURS           (INT64_C(3600) * 1000000000)
#define DAYS            (24 * HOURS)
#define MANY            INT64_C(1000000000000)

static const char *const auth_choices[] = {"", "none", "keys", NULL};
static const char *const strategy_choices[] = {"ordered",    "weighted",    "cheapest", "fastest",
                                               "least_busy", "!complexity", "!cascade", NULL};
static const char *const cache_choices[] = {"off", "exact", "semantic", NULL};
static const char *const period_choices[] = {"hour", "day", "month", NULL};
static const char *const level_choices[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const format_choices[] = {"text", "json", NULL};
static const char *const metrics_choices[] = {"admin", "public", NULL};
static const char *const durability_choices[] = {"process", "power", NULL};
static const char *const fail_choices[] = {"retry", "escalate", "error", NULL};
static const char *const prompt_cache_choices[] = {"off", "auto", NULL};

static const struct option tls_options[] = {
    {"cert", OPT_TEXT, AT(config, tls_cert), .doc = "certificate chain, PEM file", .flag = "tls-cert"},
    {"key", OPT_TEXT, AT(config, tls_key), .doc = "private key, PEM file", .flag = "tls-key"},
    {0},
};

static const struct option log_options[] = {
    {"level", OPT_ENUM, AT(config, log_level), "info", .choices = level_choices, .flag = "log-level",
     .doc = "what is said on stderr"},
    {"format", OPT_ENUM, AT(config, log_json), "text", .choices = format_choices, .flag = "log-format",
     .doc = "one line of text or one JSON object per event"},
    {"bodies", OPT_BOOL, AT(config, log_bodies), "false",
     .doc = "also log request and answer bodies: they hold your users' words"},
    {0},
};

static const struct option kv_cache_options[] = {
    {"dir", OPT_TEXT, AT(config, engine.kv_cache_dir), .flag = "kv-cache-dir",
     .doc = "folder in which computed prompts outlive the process; models and instances may share it; empty: "
            "off"},
    {"max_bytes", OPT_BYTES, AT(config, engine.kv_cache_max_bytes), "4GB", .min = 1, .max = INT64_C(1) << 50,
     .flag = "kv-cache-max-bytes", .doc = "its size at most: what was used longest ago goes first"},
    {0},
};

static const struct option engine_options[] = {
    {"threads", OPT_INT, AT(config, engine.threads), "0", .max = 1024, .flag = "threads",
     .doc = "computing threads per model; 0, and at most: what affinity and the cgroup allow"},
    {"isa", OPT_TEXT, AT(config, engine.isa), .flag = "isa",
     .doc = "instruction-set level (ref, avx2, avxvnni, avx512, ...); empty: the best of this machine"},
    {"context", OPT_INT, AT(config, engine.context), "0", .max = 1 << 24, .flag = "context",
     .doc = "longest prompt plus answer in tokens; 0: the model's own, at most 32768"},
    {"kv_bytes", OPT_BYTES, AT(config, engine.kv_bytes), "0", .flag = "kv-bytes",
     .doc = "memory of the KV cache; 0: room for four full sequences, at most a quarter of free memory"},
    {"kv_type", OPT_TEXT, AT(config, engine.kv_type), "i16", .flag = "kv-type",
     .doc = "precision of the KV cache: i16, f16, bf16 or q8_0"},
    {"max_batch", OPT_INT, AT(config, engine.max_batch), "32", .min = 1, .max = 1024, .flag = "max-batch",
     .doc = "sequences computed together"},
    {"step_budget", OPT_DURATION, AT(config, engine.step_budget_ns), "50ms", .min = 1000000,
     .max = 10 * INT64_C(1000000000), .flag = "step-budget",
     .doc = "time that prompts may add to one step, so that running streams do not stall"},
    {"idle_unload", OPT_DURATION, AT(config, engine.idle_unload_ns), "0", .max = 365 * DAYS,
     .flag = "idle-unload", .doc = "unload a model that nobody used for so long; 0: never"},
    {"draft", OPT_MAP, AT(config, engine.draft), .sample = "{}", .flag = "draft",
     .doc = "by name of a local model, what guesses ahead for it: a smaller GGUF of the same vocabulary, "
            "`ngram` "
            "(the text so far; default) or `off`; guesses never change an answer (flag: NAME=FILE)"},
    {"kv_cache", OPT_SECTION, .section = kv_cache_options, .doc = "prompts kept on disk"},
    {0},
};

static const struct option budget_options[] = {
    {"usd", OPT_USD, AT(config_limits, budget_nano), .doc = "US dollars per period"},
    {"per", OPT_ENUM, AT(config_limits, budget_per), "day", .choices = period_choices,
     .doc = "the period, a UTC calendar window"},
    {"tokens", OPT_INT, AT(config_limits, token_budget), "0", .max = MANY,
     .doc = "tokens per period; 0: no limit"},
    {0},
};

static const struct option user_budget_options[] = {
    {"usd", OPT_USD, AT(config_user_limits, budget_nano), .doc = "US dollars per period"},
    {"per", OPT_ENUM, AT(config_user_limits, budget_per), "day", .choices = period_choices,
     .doc = "the period, a UTC calendar window"},
    {"tokens", OPT_INT, AT(config_user_limits, token_budget), "0", .max = MANY,
     .doc = "tokens per period; 0: no limit"},
    {0},
};

static const struct option user_limit_options[] = {
    {"rpm", OPT_INT, AT(config_user_limits, rpm), "0", .max = MANY,
     .doc = "requests in any 60 s; 0: no limit"},
    {"tpm", OPT_INT, AT(config_user_limits, tpm), "0", .max = MANY, .doc = "tokens in any 60 s; 0: no limit"},
    {"concurrency", OPT_INT, AT(config_user_limits, concurrency), "0", .max = 1000000,
     .doc = "requests at the same time; 0: no limit"},
    {"budget", OPT_SECTION, .section = user_budget_options, .doc = "money and tokens per period"},
    {0},
};

static const struct option limit_options[] = {
    {"rpm", OPT_INT, AT(config_limits, rpm), "0", .max = MANY, .doc = "requests in any 60 s; 0: no limit"},
    {"tpm", OPT_INT, AT(config_limits, tpm), "0", .max = MANY, .doc = "tokens in any 60 s; 0: no limit"},
    {"concurrency", OPT_INT, AT(config_limits, concurrency), "0", .max = 1000000,
     .doc = "requests at the same time; 0: no limit"},
    {"budget", OPT_SECTION, .section = budget_options, .doc = "money and tokens per period"},
    {"max_output_tokens", OPT_INT, AT(config_limits, max_output_tokens), "0", .max = MANY,
     .doc = "output tokens of one request; 0: no cap"},
    {"per_user", OPT_SECTION, AT(config_limits, per_user), .section = user_limit_options,
     .doc = "of each `user` that requests of a key name, within the key's own limits"},
    {0},
};

static const struct option breaker_options[] = {
    {"failures", OPT_INT, AT(config_provider, breaker.failures), "5", .min = 1, .max = 1000000,
     .doc = "failures within the window that open the breaker"},
    {"window", OPT_DURATION, AT(config_provider, breaker.window_ns), "30s", .min = 1, .max = DAYS,
     .doc = "the window"},
    {"cooldown", OPT_DURATION, AT(config_provider, breaker.cooldown_ns), "15s", .min = 1, .max = DAYS,
     .doc = "how long it stays open before one probe"},
    {0},
};

static const struct option provider_options[] = {
    {"name", OPT_TEXT, AT(config_provider, name), .is_required = true, .sample = "example",
     .doc = "your own label"},
    {"kind", OPT_TEXT, AT(config_provider, kind), .is_required = true, .sample = "openai",
     .doc = "openai (fits every compatible host), anthropic, gemini, local, or a preset: see providers.md"},
    {"base_url", OPT_TEXT, AT(config_provider, base_url),
     .doc = "as the vendor documents it; default: the preset's"},
    {"api_key", OPT_SECRETS, AT(config_provider, api_keys), .doc = "one key or a list, which is rotated"},
    {"headers", OPT_MAP, AT(config_provider, headers), .sample = "{}", .doc = "sent with every request"},
    {"region", OPT_TEXT, AT(config_provider, region), .doc = "for keys that are bound to regions"},
    {"api_version", OPT_TEXT, AT(config_provider, api_version), .doc = "Azure's api-version"},
    {"connect_timeout", OPT_DURATION, AT(config_provider, connect_timeout_ns), "2s", .min = 1, .max = HOURS,
     .doc = "name, connection and TLS together"},
    {"first_token_timeout", OPT_DURATION, AT(config_provider, first_token_timeout_ns), "20s", .min = 1,
     .max = 24 * HOURS, .doc = "streams: until the first content"},
    {"idle_timeout", OPT_DURATION, AT(config_provider, idle_timeout_ns), "30s", .min = 1, .max = 24 * HOURS,
     .doc = "streams: the pause between tokens"},
    {"timeout", OPT_DURATION, AT(config_provider, timeout_ns), "120s", .min = 1, .max = 24 * HOURS,
     .doc = "the whole attempt, streams included"},
    {"max_concurrency", OPT_INT, AT(config_provider, max_concurrency), "0", .max = 1000000,
     .doc = "requests at the same time; 0: no limit"},
    {"breaker", OPT_SECTION, .section = breaker_options, .doc = "circuit breaker of each of its targets"},
    {0},
};

static const struct option price_options[] = {
    {"input", OPT_PRICE, AT(config_target, price.input), .doc = "US dollars per million tokens"},
    {"cached_input", OPT_PRICE, AT(config_target, price.cached_input),
     .doc = "read from the provider's cache; default: input"},
    {"output", OPT_PRICE, AT(config_target, price.output), .doc = "reasoning included"},
    {"cache_write", OPT_PRICE, AT(config_target, price.cache_write),
     .doc = "default: input, Anthropic 1.25 x input"},
    {"cache_write_1h", OPT_PRICE, AT(config_target, price.cache_write_1h),
     .doc = "default: input, Anthropic 2 x input"},
    {0},
};

static const struct option target_options[] = {
    {"provider", OPT_TEXT, AT(config_target, provider), .is_required = true, .sample = "local",
     .doc = "a provider's name, or local"},
    {"model", OPT_TEXT, AT(config_target, model), .is_required = true, .sample = "demo",
     .doc = "as the provider calls it; for local: a served name, a GGUF file or hf:OWNER/REPO[:FILE]"},
    {"weight", OPT_INT, AT(config_target, weight), "1", .max = 1000000,
     .doc = "share with strategy weighted; 0: never a first choice, only a fallback"},
    {"price", OPT_SECTION, .section = price_options, .doc = "US dollars per million tokens"},
    {"context", OPT_INT, AT(config_target, context), "0", .max = MANY,
     .doc = "its context in tokens, if known"},
    {"prefill", OPT_BOOL, AT(config_target, prefill), "false",
     .doc = "it can continue a begun answer (see resume)"},
    {"region", OPT_TEXT, AT(config_target, region), .doc = "default: the provider's"},
    {0},
};

static const struct option cache_options[] = {
    {"mode", OPT_ENUM, AT(config_model, cache.mode), "off", .choices = cache_choices,
     .doc = "exact: an equal deterministic request is answered from memory; semantic: also one that asks "
            "nearly the same in other words"},
    {"ttl", OPT_DURATION, AT(config_model, cache.ttl_ns), "1h", .min = 1, .max = 3650 * DAYS,
     .doc = "how long an answer is kept"},
    {"max_bytes", OPT_BYTES, AT(config_model, cache.max_bytes), "256MB",
     .doc = "memory for this model's answers"},
    {"any_temperature", OPT_BOOL, AT(config_model, cache.any_temperature), "false",
     .doc = "also answers of requests that are not deterministic"},
    {"path", OPT_TEXT, AT(config_model, cache.path),
     .doc = "also keep them in this file, across restarts; max_bytes bounds it too"},
    {"embedding_model", OPT_TEXT, AT(config_model, cache.embedding_model),
     .doc = "semantic: who makes vectors of questions: a model of this file, or PROVIDER/MODEL"},
    {"threshold", OPT_SHARE, AT(config_model, cache.threshold), "0.95",
     .doc = "semantic: how alike two questions must be (cosine, 0 to 1)"},
    {"embedding_timeout", OPT_DURATION, AT(config_model, cache.embedding_timeout_ns), "500ms",
     .min = INT64_C(1000000), .max = HOURS,
     .doc = "semantic: how long a request waits for its vector before it goes on without"},
    {0},
};

static const struct option validate_options[] = {
    {"schema", OPT_BOOL, AT(config_model, validate.schema), "false",
     .doc = "answers must follow the request's JSON Schema"},
    {"tools", OPT_BOOL, AT(config_model, validate.tools), "false",
     .doc = "tool calls must name a known tool and follow its schema"},
    {"citations", OPT_BOOL, AT(config_model, validate.citations), "false",
     .doc = "cited text must stand in the source that it names"},
    {"retries", OPT_INT, AT(config_model, validate.retries), "2", .max = 10,
     .doc = "how often somebody is asked again"},
    {"on_fail", OPT_ENUM, AT(config_model, validate.on_fail), "retry", .choices = fail_choices,
     .doc = "retry: the same target once more with the fault quoted, then the next one; escalate: the next "
            "target; error: 502 at once"},
    {"buffer", OPT_BOOL, AT(config_model, validate.buffer), "true",
     .doc = "hold a stream until it is valid; false: a violation ends the stream with an error"},
    {0},
};

static const struct option model_options[] = {
    {"name", OPT_TEXT, AT(config_model, name), .is_required = true, .sample = "chat",
     .doc = "what clients ask for in `model`"},
    {"strategy", OPT_ENUM, AT(config_model, strategy), "ordered", .choices = strategy_choices,
     .doc = "who is asked first"},
    {"retries", OPT_INT, AT(config_model, retries), "2", .max = 20,
     .doc = "per target, exponential back-off with full jitter, honours Retry-After"},
    {"queue_timeout", OPT_DURATION, AT(config_model, queue_timeout_ns), "5s", .max = HOURS,
     .doc = "how long to wait when every target is busy"},
    {"timeout", OPT_DURATION, AT(config_model, timeout_ns), "0", .max = 24 * HOURS,
     .doc = "all attempts together; 0: none"},
    {"targets", OPT_LIST, AT(config_model, targets), .section = target_options,
     .item_bytes = sizeof(struct config_target), .count_offset = AT(config_model, n_targets),
     .is_required = true, .doc = "where the model is"},
    {"cache", OPT_SECTION, .section = cache_options, .doc = "answers from memory"},
    {"validate", OPT_SECTION, .section = validate_options, .doc = "check answers before they are shown"},
    {"max_output_tokens", OPT_INT, AT(config_model, max_output_tokens), "0", .max = MANY,
     .doc = "cap that no request can exceed; 0: none"},
    {"resume", OPT_BOOL, AT(config_model, resume), "false",
     .doc = "a streamed text answer that breaks off continues on another target with prefill"},
    {"prompt_cache", OPT_ENUM, AT(config_model, prompt_cache_auto), "off", .choices = prompt_cache_choices,
     .doc = "auto: set the providers' cache breakpoints on stable prefixes"},
    {"sticky", OPT_BOOL, AT(config_model, sticky), "true",
     .doc = "equal prompt beginnings go to the same target, so that its prompt cache hits"},
    {0},
};

const struct option options_top[] = {
    {"listen", OPT_TEXTS, AT(config, listen), "127.0.0.1:8080", .flag = "listen",
     .doc = "address:port, or a list; loopback only while auth is none"},
    {"tls", OPT_SECTION, .section = tls_options, .doc = "serve HTTPS"},
    {"auth", OPT_ENUM, AT(config, auth), "", .choices = auth_choices, .flag = "auth",
     .doc = "keys or none; default: none on loopback, keys elsewhere"},
    {"admin_key", OPT_SECRET, AT(config, admin_key), .doc = "opens /admin; without it /admin is closed"},
    {"state", OPT_TEXT, AT(config, state), .flag = "state",
     .doc = "sqlite:FILE with keys and ledger; default: sluice.db in $XDG_STATE_HOME/sluice"},
    {"shared", OPT_TEXT, .is_later = true, .doc = "Redis or Valkey shared by many instances"},
    {"prices", OPT_TEXT, AT(config, prices_file),
     .doc = "prices in the community's JSON format, for targets without their own"},
    {"cors", OPT_TEXTS, AT(config, cors), .doc = "origins that browsers may call from, besides loopback"},
    {"log", OPT_SECTION, .section = log_options, .doc = "log lines"},
    {"metrics", OPT_ENUM, AT(config, metrics), "admin", .choices = metrics_choices,
     .doc = "public: /metrics without the admin key also beyond loopback"},
    {"drain_timeout", OPT_DURATION, AT(config, drain_timeout_ns), "30s", .max = 24 * HOURS,
     .flag = "drain-timeout", .doc = "SIGTERM: how long running requests may go on"},
    {"max_body", OPT_BYTES, AT(config, max_body), "32MB", .min = 1024, .max = INT64_C(4) << 30,
     .flag = "max-body", .doc = "largest request body"},
    {"durability", OPT_ENUM, AT(config, durability), "process", .choices = durability_choices,
     .doc = "process: the ledger survives a crash of Sluice; power: also of the machine"},
    {"threads", OPT_INT, AT(config, threads), "0", .max = 256,
     .doc = "event-loop threads; 0: one per CPU, at most 4"},
    {"models_dir", OPT_TEXT, AT(config, models_dir), .flag = "models-dir",
     .doc = "folder of model files; default: $XDG_DATA_HOME/sluice/models"},
    {"engine", OPT_SECTION, .section = engine_options, .doc = "the local engine"},
    {"limits", OPT_SECTION, AT(config, limits), .section = limit_options,
     .doc = "defaults of keys; a key can carry its own"},
    {"providers", OPT_LIST, AT(config, providers), .section = provider_options,
     .item_bytes = sizeof(struct config_provider), .count_offset = AT(config, n_providers),
     .doc = "who computes; local exists without being declared"},
    {"models", OPT_LIST, AT(config, models), .section = model_options,
     .item_bytes = sizeof(struct config_model), .count_offset = AT(config, n_models),
     .doc = "what clients may ask for"},
    {0},
};

const struct option *options_find(const struct option *section, struct str name)
{
    for (const struct option *o = section; o->name; o++)
        if (str_eq(name, str_c(o->name)))
            return o;
    return NULL;
}

const struct option *options_nearest(const struct option *section, struct str name)
{
    const struct option *best = NULL;
    int best_distance = (int)(name.n / 2 < 3 ? name.n / 2 + 1 : 4);
    for (const struct option *o = section; o->name; o++) {
        int d = str_distance(name, str_c(o->name));
        if (d < best_distance) {
            best_distance = d;
            best = o;
        }
    }
    return best;
}

static const struct option *find_flag_in(const struct option *section, struct str flag)
{
    for (const struct option *o = section; o->name; o++) {
        if (o->flag && str_eq(flag, str_c(o->flag)))
            return o;
        /* Only sections whose offsets are into struct config itself hold flags. */
        const struct option *inner = o->type == OPT_SECTION ? find_flag_in(o->section, flag) : NULL;
        if (inner)
            return inner;
    }
    return NULL;
}

const struct option *options_find_flag(struct str flag)
{
    return find_flag_in(options_top, flag);
}

/* ---- documentation ---- */

static void write_type(struct buf *out, const struct option *o)
{
    static const char *const names[] = {
        [OPT_INT] = "number",         [OPT_BYTES] = "size",
        [OPT_DURATION] = "duration",  [OPT_BOOL] = "true or false",
        [OPT_TEXT] = "text",          [OPT_SECRET] = "secret text",
        [OPT_TEXTS] = "text or list", [OPT_SECRETS] = "secret text or list",
        [OPT_MAP] = "mapping",        [OPT_PRICE] = "dollars per million tokens",
        [OPT_USD] = "dollars",        [OPT_SHARE] = "number from 0 to 1",
        [OPT_SECTION] = "section",    [OPT_LIST] = "list of sections",
    };
    if (o->type != OPT_ENUM) {
        buf_puts(out, names[o->type]);
        return;
    }
    bool first = true;
    for (int i = 0; o->choices[i]; i++) {
        if (!o->choices[i][0] || o->choices[i][0] == '!')
            continue;
        buf_printf(out, "%s`%s`", first ? "" : ", ", o->choices[i]);
        first = false;
    }
}

static void write_section_docs(struct buf *out, const struct option *section, const char *path)
{
    for (const struct option *o = section; o->name; o++) {
        if (o->is_later)
            continue;
        buf_printf(out, "| `%s%s%s` | ", path, o->name, o->type == OPT_LIST ? "[]" : "");
        write_type(out, o);
        buf_printf(out, " | %s%s%s | %s%s", o->initial && o->initial[0] ? "`" : "",
                   o->initial ? o->initial : "", o->initial && o->initial[0] ? "`" : "", o->doc,
                   o->is_required ? " (required)" : "");
        if (o->flag)
            buf_printf(out, "; flag `--%s`", o->flag);
        buf_puts(out, " |\n");
        if (o->section) {
            char inner[128];
            snprintf(inner, sizeof inner, "%s%s%s", path, o->name, o->type == OPT_LIST ? "[]." : ".");
            write_section_docs(out, o->section, inner);
        }
    }
}

void options_write_docs(struct buf *out)
{
    buf_puts(out, "| option | type | default | meaning |\n|---|---|---|---|\n");
    write_section_docs(out, options_top, "");
}

static void write_section_example(struct buf *out, const struct option *section, int depth, bool is_item)
{
    bool first = is_item;
    for (const struct option *o = section; o->name; o++) {
        if (o->is_later)
            continue;
        int indent = depth * 2;
        buf_printf(out, "# %*s%s%s:", first ? indent - 2 : indent, "", first ? "- " : "", o->name);
        first = false;
        if (o->section) {
            buf_printf(out, "   # %s\n", o->doc);
            write_section_example(out, o->section, depth + (o->type == OPT_LIST ? 2 : 1),
                                  o->type == OPT_LIST);
            continue;
        }
        bool is_text = o->type == OPT_TEXT || o->type == OPT_SECRET || o->type == OPT_ENUM;
        const char *value = o->sample                     ? o->sample
                            : o->initial && o->initial[0] ? o->initial
                            : is_text                     ? "\"\""
                                                          : "";
        buf_printf(out, " %s   # %s\n", value, o->doc);
    }
}

void options_write_example(struct buf *out)
{
    buf_puts(out, "# Sluice, every option with its default.  Remove the '# ' of a line to change it.\n");
    write_section_example(out, options_top, 0, false);
}
