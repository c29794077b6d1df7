/* config_values.c - Durations, sizes, money and addresses as people write them. */
#include <limits.h>

#include "net/proxy.h"
#include "server/config_load.h"

/* Digits with at most `decimals_max` decimals as an integer scaled by 10^decimals_max; what is left goes to
 * *rest. */
static bool scaled(struct str s, int decimals_max, int64_t *value, struct str *rest)
{
    int64_t v = 0;
    size_t i = 0;
    int decimals = -1;
    bool any = false;
    for (; i < s.n; i++) {
        if (s.p[i] == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (s.p[i] < '0' || s.p[i] > '9')
            break;
        any = true;
        if (decimals >= 0 && ++decimals > decimals_max) {
            if (s.p[i] != '0')
                return false;
            decimals--;
            continue;
        }
        if (__builtin_mul_overflow(v, (int64_t)10, &v) ||
            __builtin_add_overflow(v, (int64_t)(s.p[i] - '0'), &v))
            return false;
    }
    for (int d = decimals < 0 ? 0 : decimals; d < decimals_max; d++)
        if (__builtin_mul_overflow(v, (int64_t)10, &v))
            return false;
    *value = v;
    *rest = str_sub(s, i, s.n);
    return any;
}

struct unit {
    const char *name;
    int64_t factor;
};

static bool find_unit(const struct unit *units, struct str name, int64_t *factor)
{
    for (; units->name; units++)
        if (str_eq_nocase(name, str_c(units->name))) {
            *factor = units->factor;
            return true;
        }
    return false;
}

static bool with_unit(struct str s, const struct unit *units, int64_t *out)
{
    struct str unit;
    int64_t milli, factor, product;
    if (!scaled(str_trim(s), 3, &milli, &unit) || !find_unit(units, str_trim(unit), &factor))
        return false;
    if (__builtin_mul_overflow(milli, factor, &product) || product % 1000 != 0)
        return false;
    *out = product / 1000;
    return true;
}

bool config_parse_duration(struct str s, int64_t *ns)
{
    static const struct unit units[] = {
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000000},
        {"s", 1000000000},
        {"m", 60 * INT64_C(1000000000)},
        {"min", 60 * INT64_C(1000000000)},
        {"h", 3600 * INT64_C(1000000000)},
        {"d", 86400 * INT64_C(1000000000)},
        {NULL, 0},
    };
    if (str_eq(str_trim(s), S("0"))) {
        *ns = 0;
        return true;
    }
    return with_unit(s, units, ns);
}

bool config_parse_bytes(struct str s, int64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"K", 1024},
        {"KB", 1000},
        {"KiB", 1024},
        {"M", 1 << 20},
        {"MB", 1000000},
        {"MiB", 1 << 20},
        {"G", 1 << 30},
        {"GB", 1000000000},
        {"GiB", 1 << 30},
        {"TB", INT64_C(1000000000000)},
        {"TiB", INT64_C(1) << 40},
        {NULL, 0},
    };
    return with_unit(s, units, bytes);
}

bool config_parse_nano(struct str s, int64_t *nano)
{
    struct str rest;
    s = str_trim(s);
    if (s.n && s.p[0] == '$')
        s = str_sub(s, 1, s.n);
    return scaled(s, 9, nano, &rest) && rest.n == 0;
}

/* Four decimal numbers below 256, the first one 127. */
static bool is_127(struct str host)
{
    struct str part;
    uint64_t v = 0;
    int n = 0;
    while (str_split(&host, '.', &part)) {
        if (part.n > 3 || !str_to_u64(part, &v) || v > 255 || (n == 0 && v != 127))
            return false;
        n++;
    }
    return n == 4;
}

bool config_is_loopback(struct str listen)
{
    size_t colon = STR_NONE;
    for (size_t i = 0; i < listen.n; i++)
        if (listen.p[i] == ':')
            colon = i;
    struct str host = colon == STR_NONE ? listen : str_sub(listen, 0, colon);
    return str_eq(host, S("localhost")) || str_eq(host, S("[::1]")) || is_127(host);
}

static bool xdg_folder(const char *(*env)(const char *), const char *variable, const char *below_home,
                       const char *tail, struct buf *out)
{
    const char *base = env(variable);
    buf_clear(out);
    if (base && base[0] == '/')
        return buf_printf(out, "%s/sluice%s", base, tail);
    const char *home = env("HOME");
    return buf_printf(out, "%s/%s/sluice%s", home && home[0] ? home : ".", below_home, tail);
}

bool config_state_folder(const char *(*env)(const char *), struct buf *out)
{
    return xdg_folder(env, "XDG_STATE_HOME", ".local/state", "", out);
}

bool config_models_folder(const char *(*env)(const char *), struct buf *out)
{
    return xdg_folder(env, "XDG_DATA_HOME", ".local/share", "/models", out);
}

int config_proxies(const char *(*env)(const char *), struct proxy_rules **rules, struct err *err)
{
    const char *https = env("HTTPS_PROXY"), *http = env("HTTP_PROXY"), *no = env("NO_PROXY");
    https = https ? https : env("https_proxy");
    http = http ? http : env("http_proxy");
    no = no ? no : env("no_proxy");
    *rules = NULL;
    if (!https && !http)
        return OK;
    *rules = proxy_rules_create(str_c(https), str_c(http), str_c(no), err);
    return *rules ? OK : err->code;
}
