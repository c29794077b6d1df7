/* config.h - Everything that a configuration can say, read and checked, as plain values.
 *
 * server/config.c makes it from a file and the options table; the gateway only looks at it.
 * A configuration is immutable once it is read and lives in its own arena: a reload makes a new
 * one, and each request keeps the one it began with (config_hold / config_drop).
 * Times are nanoseconds, money is integer: prices in pico-dollars per token (a dollar per
 * million tokens is 1,000,000), amounts in nano-dollars. */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

#define NANO_PER_USD INT64_C(1000000000)
/* US dollars per million tokens -> pico-dollars per token. */
#define PICO_PER_TOKEN_OF_USD_PER_MILLION 1000000.0

/* A list of texts. */
struct config_list {
    struct str *items;
    int n;
};

/* name: value pairs, in the order of the file. */
struct config_pair {
    struct str name, value;
};
struct config_map {
    struct config_pair *items;
    int n;
};

struct config_breaker {
    int64_t failures; /* within the window, opens */
    int64_t window_ns;
    int64_t cooldown_ns; /* then one probe */
};

struct config_provider {
    struct str name;
    struct str kind; /* a row of providers.c: openai, anthropic, gemini, local, mistral, ... */
    struct str base_url;
    struct config_list api_keys; /* rotated; secret */
    struct config_map headers;   /* sent with every request; values may be secret */
    struct str region;
    struct str api_version; /* Azure */
    int64_t connect_timeout_ns, first_token_timeout_ns, timeout_ns, idle_timeout_ns;
    int64_t max_concurrency; /* 0: no limit */
    struct config_breaker breaker;
    int line; /* in the file, for messages; 0: built in */
};

/* Pico-dollars per token; -1: not given. */
struct config_price {
    int64_t input, cached_input, output, cache_write, cache_write_1h;
};
static inline bool config_price_is_known(const struct config_price *p)
{
    return p->input >= 0 && p->output >= 0;
}

struct config_target {
    struct str provider; /* name */
    int provider_idx;    /* in config.providers */
    struct str model;    /* as the provider knows it; for `local`: a served name */
    int64_t weight;
    struct config_price price;
    int64_t context; /* tokens; 0: not known */
    bool prefill;    /* the target can continue an answer that is begun */
    struct str region;
    int line;
};

enum config_strategy {
    STRATEGY_ORDERED,
    STRATEGY_WEIGHTED,
    STRATEGY_CHEAPEST,
    STRATEGY_FASTEST,
    STRATEGY_LEAST_BUSY
};

enum config_cache_mode { CACHE_OFF, CACHE_EXACT, CACHE_SEMANTIC };

struct config_model;

struct config_cache {
    int64_t mode; /* enum config_cache_mode */
    int64_t ttl_ns;
    int64_t max_bytes;
    bool any_temperature;
    struct str path; /* keep it in this file across restarts; empty: memory only */
    /* semantic */
    struct str embedding_model;          /* a configured model, or PROVIDER/MODEL */
    const struct config_model *embedder; /* the same, found */
    int64_t threshold;                   /* cosine, in billionths */
    int64_t embedding_timeout_ns;
};

enum config_on_fail { ON_FAIL_RETRY, ON_FAIL_ESCALATE, ON_FAIL_ERROR };

struct config_validate {
    bool schema, tools, citations;
    int64_t retries;
    int64_t on_fail; /* enum config_on_fail */
    bool buffer;     /* hold a stream until it is valid */
};

struct config_model {
    struct str name;
    int64_t strategy; /* enum config_strategy */
    int64_t retries;  /* per target */
    int64_t queue_timeout_ns;
    int64_t timeout_ns; /* all attempts together; 0: none */
    struct config_target *targets;
    int n_targets;
    struct config_cache cache;
    struct config_validate validate;
    int64_t max_output_tokens; /* 0: no cap */
    bool resume;               /* continue a broken text answer on a `prefill` target */
    int64_t prompt_cache_auto; /* bool; set providers' cache breakpoints on stable prefixes */
    bool sticky;               /* equal prompt prefixes go to the same target */
    int line;
};

enum config_period { PERIOD_HOUR, PERIOD_DAY, PERIOD_MONTH };

/* What each user of a key may use; 0 in a limit means none. */
struct config_user_limits {
    int64_t rpm, tpm, concurrency;
    int64_t budget_nano; /* 0 or less: none */
    int64_t budget_per;  /* enum config_period */
    int64_t token_budget;
};

/* What a key may use; 0 in a limit means none. */
struct config_limits {
    int64_t rpm, tpm, concurrency;
    int64_t budget_nano;  /* -1: none */
    int64_t budget_per;   /* enum config_period */
    int64_t token_budget; /* tokens per budget_per; 0: none */
    int64_t max_output_tokens;
    struct config_user_limits per_user;
};

enum config_auth { AUTH_DEFAULT, AUTH_NONE, AUTH_KEYS };
enum config_durability { DURABLE_PROCESS, DURABLE_POWER };
enum config_metrics { METRICS_ADMIN, METRICS_PUBLIC };

struct config_engine {
    int64_t threads;
    struct str isa;
    int64_t context;
    int64_t kv_bytes;
    struct str kv_type;
    int64_t max_batch;
    int64_t step_budget_ns;
    int64_t idle_unload_ns;  /* 0: never */
    struct config_map draft; /* served name: a GGUF file, "ngram" or "off" */
    struct str kv_cache_dir;
    int64_t kv_cache_max_bytes;
};

struct config {
    struct arena arena; /* owns everything below */
    _Atomic int refs;
    struct str path; /* of the file; empty: none */

    struct config_list listen;
    struct str tls_cert, tls_key;
    int64_t auth; /* enum config_auth; resolved to NONE or KEYS after loading */
    struct str admin_key;
    struct str state; /* sqlite:PATH */
    struct str prices_file;
    struct config_list cors;
    int64_t log_level; /* enum log_level */
    int64_t log_json;  /* bool, chosen from two words */
    bool log_bodies;
    int64_t metrics; /* enum config_metrics */
    int64_t drain_timeout_ns, max_body, durability;
    int64_t threads;       /* loop threads; 0: one per CPU, at most 4 */
    struct str models_dir; /* where `pull` puts models and names of local ones are looked up */
    struct config_engine engine;
    struct config_limits limits; /* defaults of keys */
    struct config_provider *providers;
    int n_providers;
    struct config_model *models;
    int n_models;

    /* from the command line: -m [NAME=]FILE */
    struct config_map serve_models;
};

/* A counted reference, any thread.  The last drop frees it. */
struct config *config_hold(struct config *c);
void config_drop(struct config *c); /* NULL is fine */

/* By name; NULL if there is none. */
const struct config_provider *config_find_provider(const struct config *c, struct str name);
const struct config_model *config_find_model(const struct config *c, struct str name);

#endif
