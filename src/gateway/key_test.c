#include "gateway/key.h"

#include "base/clock.h"
#include "base/test.h"

static struct key_def def_of(const char *id, const char *text, const char *name)
{
    struct key_def d = {.name = str_c(name), .limits = {.budget_nano = -1}};
    snprintf(d.id, sizeof d.id, "%s", id);
    key_hash(str_c(text), d.hash);
    return d;
}

TEST(a_key_is_found_by_its_text_alone)
{
    struct key_table *t = key_table_create();
    char text[KEY_TEXT_BYTES], other[KEY_TEXT_BYTES];
    struct key_def defs[2] = {{.name = S("a"), .limits = {.budget_nano = -1}},
                              {.name = S("b"), .limits = {.budget_nano = -1}}};
    key_make(text, defs[0].hash, defs[0].id);
    key_make(other, defs[1].hash, defs[1].id);
    CHECK(strcmp(text, other) != 0);
    CHECK_INT(strlen(text), sizeof KEY_PREFIX - 1 + 43);
    REQUIRE(key_table_load(t, defs, 2) == OK);
    struct gw_key *k = key_find(t, str_c(text));
    REQUIRE(k != NULL);
    CHECK_STR(k->def.name, S("a"));
    CHECK(key_find(t, S("sk-sluice-nothing")) == NULL);
    CHECK(key_find(t, S("")) == NULL);
    key_release(t, k);
    key_table_free(t);
}

TEST(counters_go_on_when_a_key_changes)
{
    struct key_table *t = key_table_create();
    struct key_def d = def_of("key_1", "secret", "before");
    struct reservation r;
    struct config_limits l = {.rpm = 10, .budget_nano = -1};
    REQUIRE(key_table_load(t, &d, 1) == OK);
    struct gw_key *k = key_find(t, S("secret"));
    REQUIRE(k != NULL);
    CHECK(limit_reserve(k->limit, &l, S(""), 1, 0, NS_PER_S, NS_PER_S, &r).refusal == LIMIT_NONE);
    key_release(t, k);
    d.name = S("after");
    REQUIRE(key_table_load(t, &d, 1) == OK);
    k = key_find(t, S("secret"));
    REQUIRE(k != NULL);
    CHECK_STR(k->def.name, S("after"));
    CHECK_INT(k->limit->counts.sum_requests, 1);
    key_release(t, k);
    key_table_free(t);
}

TEST(a_record_in_use_outlives_its_load)
{
    struct key_table *t = key_table_create();
    struct key_def d = def_of("key_1", "secret", "x");
    REQUIRE(key_table_load(t, &d, 1) == OK);
    struct gw_key *k = key_find(t, S("secret"));
    REQUIRE(k != NULL);
    REQUIRE(key_table_load(t, NULL, 0) == OK);
    CHECK(key_find(t, S("secret")) == NULL);
    CHECK_STR(k->def.name, S("x"));
    key_release(t, k);
    REQUIRE(key_table_load(t, NULL, 0) == OK);
    key_table_free(t);
}

TEST(many_keys_are_all_found)
{
    enum { N = 3000 };
    static struct key_def defs[N];
    static char names[N][16];
    struct key_table *t = key_table_create();
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        char id[KEY_ID_BYTES];
        snprintf(id, sizeof id, "id%d", i);
        defs[i] = def_of(id, names[i], names[i]);
    }
    REQUIRE(key_table_load(t, defs, N) == OK);
    for (int i = 0; i < N; i++) {
        struct gw_key *k = key_find(t, str_c(names[i]));
        CHECK(k && str_eq(k->def.name, str_c(names[i])));
        key_release(t, k);
    }
    key_table_free(t);
}

TEST(lists_of_models_know_stars)
{
    CHECK(key_list_has(S(""), S("anything")));
    CHECK(key_list_has(S("a, b"), S("b")));
    CHECK(!key_list_has(S("a,b"), S("c")));
    CHECK(key_list_has(S("openai/*,x"), S("openai/gpt-4o")));
    CHECK(!key_list_has(S("openai/*"), S("openai")));
}

TEST(own_limits_come_before_the_defaults)
{
    struct config c = {
        .limits = {.rpm = 10, .tpm = 20, .budget_nano = 5, .budget_per = PERIOD_DAY, .max_output_tokens = 7}};
    struct gw_key k = {.def = {.limits = {.rpm = 3, .budget_nano = -1}}};
    struct config_limits l = key_limits(&k, &c);
    CHECK(l.rpm == 3 && l.tpm == 20 && l.budget_nano == 5 && l.max_output_tokens == 7);
    k.def.limits.budget_nano = 0;
    k.def.limits.budget_per = PERIOD_HOUR;
    l = key_limits(&k, &c);
    CHECK(l.budget_nano == 0 && l.budget_per == PERIOD_HOUR);
}
