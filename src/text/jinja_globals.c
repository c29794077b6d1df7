/* jinja_globals.c - Functions that every template can call, and strftime. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "text/jinja_int.h"
#include "text/jinja_unicode.h"

#define GLOBAL(fn) static bool fn(struct jj *j, const struct jj_args *args, struct jj_value *out)

GLOBAL(global_range)
{
    int64_t v[3] = {0, 0, 1};
    if (args->n < 1 || args->n > 3 || args->n_kw)
        return jj_fail(j, "range takes 1 to 3 arguments, got %u", args->n + args->n_kw);
    for (uint32_t i = 0; i < args->n; i++)
        if (!jj_need_int(j, args->v[i], "an argument of range", &v[args->n == 1 ? 1 : i]))
            return false;
    if (v[2] == 0)
        return jj_fail(j, "the step of range cannot be zero");
    __int128 span = v[2] > 0 ? (__int128)v[1] - v[0] : (__int128)v[0] - v[1];
    __int128 step = v[2] > 0 ? v[2] : -(__int128)v[2];
    __int128 n = span > 0 ? (span + step - 1) / step : 0;
    if (n > JJ_RANGE_MAX)
        return jj_fail_code(j, ERR_LIMIT, "a range has more than %d items", JJ_RANGE_MAX);
    struct jj_list *l = jj_list_new(j, (uint32_t)n);
    if (!l || !jj_spend(j, (uint64_t)n / 4))
        return false;
    for (int64_t i = 0; i < (int64_t)n; i++)
        l->v[l->n++] = jj_int(v[0] + i * v[2]);
    if (!jj_of_iter(j, l, JJ_RANGE, out))
        return false;
    out->iter->start = v[0];
    out->iter->stop = v[1];
    out->iter->step = v[2];
    return true;
}

static bool make_dict(struct jj *j, const struct jj_args *args, enum jj_type type, struct jj_value *out)
{
    struct jj_dict *d = jj_dict_new(j);
    struct jj_list *pairs, *pair;
    if (!d)
        return false;
    if (args->n > 1)
        return jj_fail(j, "dict takes at most one positional argument");
    if (args->n == 1 && jj_is(args->v[0], JJ_DICT)) {
        struct jj_dict *from = args->v[0].dict;
        for (uint32_t i = 0; i < from->n; i++)
            if (!jj_spend(j, 1) || !jj_dict_set(j, d, from->e[i].key, from->e[i].value))
                return false;
    } else if (args->n == 1) {
        if (!jj_items_of(j, args->v[0], &pairs))
            return false;
        for (uint32_t i = 0; i < pairs->n; i++) {
            if (!jj_items_of(j, pairs->v[i], &pair))
                return false;
            if (pair->n != 2)
                return jj_fail(j, "dict needs pairs");
            if (!jj_spend(j, 1) || !jj_dict_set(j, d, pair->v[0], pair->v[1]))
                return false;
        }
    }
    for (uint32_t i = 0; i < args->n_kw; i++)
        if (!jj_dict_set(j, d, jj_str(args->kw[i].name), args->kw[i].value))
            return false;
    *out = (struct jj_value){.type = (uint8_t)type, .dict = d};
    return true;
}
GLOBAL(global_dict)
{
    return make_dict(j, args, JJ_DICT, out);
}
GLOBAL(global_namespace)
{
    return make_dict(j, args, JJ_NAMESPACE, out);
}

static bool make_cycler(struct jj *j, struct jj_list *items, enum jj_type type, struct jj_value *out)
{
    struct jj_cycler *c = items ? arena_new(j->arena, struct jj_cycler) : NULL;
    if (!c)
        return jj_no_memory(j);
    c->items = items;
    *out = (struct jj_value){.type = (uint8_t)type, .cycler = c};
    return true;
}
GLOBAL(global_cycler)
{
    struct jj_list *l = jj_list_new(j, args->n);
    for (uint32_t i = 0; l && i < args->n; i++)
        l->v[l->n++] = args->v[i];
    if (args->n == 0)
        return jj_fail(j, "cycler needs something to cycle through");
    return make_cycler(j, l, JJ_CYCLER, out);
}
GLOBAL(global_joiner)
{
    struct jj_list *l = jj_list_new(j, 1);
    if (args->n + args->n_kw > 1)
        return jj_fail(j, "joiner takes one argument");
    return l &&
           jj_list_push(j, l,
                        args->n      ? args->v[0]
                        : args->n_kw ? args->kw[0].value
                                     : jj_str(S(", "))) &&
           make_cycler(j, l, JJ_JOINER, out);
}

GLOBAL(global_raise)
{
    struct jj_value text = jj_str(S("the template refuses these messages"));
    (void)out;
    if (args->n + args->n_kw != 1)
        return jj_fail(j, "raise_exception takes one argument");
    if (!jj_str_of(j, args->n ? args->v[0] : args->kw[0].value, &text))
        return false;
    if (!j->has_failed) { /* the template's own words, without a line */
        j->has_failed = true;
        fail(j->err, ERR_ARG, "%.*s", STR(text.s));
    }
    return false;
}

GLOBAL(global_strftime)
{
    struct jj_value format;
    if (args->n + args->n_kw != 1)
        return jj_fail(j, "strftime_now takes one argument");
    return jj_need_str(j, args->n ? args->v[0] : args->kw[0].value, "the format", &format) &&
           jj_strftime(j, format, out);
}

static const struct {
    const char *name;
    bool (*run)(struct jj *j, const struct jj_args *args, struct jj_value *out);
} globals[] = {{"namespace", global_namespace},   {"range", global_range}, {"raise_exception", global_raise},
               {"strftime_now", global_strftime}, {"dict", global_dict},   {"cycler", global_cycler},
               {"joiner", global_joiner}};

bool jj_find_global(struct str name, struct jj_value *out)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (!str_eq(name, str_c(globals[i].name)))
            continue;
        *out = (struct jj_value){.type = JJ_FUNCTION, .aux = (uint16_t)i};
        return true;
    }
    return false;
}

bool jj_call_global(struct jj *j, uint16_t which, const struct jj_args *args, struct jj_value *out)
{
    return globals[which].run(j, args, out);
}

/* ---- strftime, always in English ---- */

static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};

static int day_of_year(const struct clock_date *d)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool is_leap = (d->year % 4 == 0 && d->year % 100 != 0) || d->year % 400 == 0;
    return before[d->month - 1] + d->day + (is_leap && d->month > 2);
}

static void one_directive(const struct clock_date *d, int32_t offset_s, char c, bool no_pad, char *out,
                          size_t n)
{
    int hour12 = d->hour % 12 ? d->hour % 12 : 12;
    const char *two = no_pad ? "%d" : "%02d";
    switch (c) {
    case 'Y': snprintf(out, n, "%d", d->year); break;
    case 'y': snprintf(out, n, two, d->year % 100); break;
    case 'm': snprintf(out, n, two, d->month); break;
    case 'd': snprintf(out, n, two, d->day); break;
    case 'e': snprintf(out, n, no_pad ? "%d" : "%2d", d->day); break;
    case 'H': snprintf(out, n, two, d->hour); break;
    case 'I': snprintf(out, n, two, hour12); break;
    case 'M': snprintf(out, n, two, d->minute); break;
    case 'S': snprintf(out, n, two, d->second); break;
    case 'f': snprintf(out, n, "%06d", d->ms * 1000); break;
    case 'j': snprintf(out, n, no_pad ? "%d" : "%03d", day_of_year(d)); break;
    case 'p': snprintf(out, n, "%s", d->hour < 12 ? "AM" : "PM"); break;
    case 'B': snprintf(out, n, "%s", months[d->month - 1]); break;
    case 'b':
    case 'h': snprintf(out, n, "%.3s", months[d->month - 1]); break;
    case 'A': snprintf(out, n, "%s", days[d->weekday]); break;
    case 'a': snprintf(out, n, "%.3s", days[d->weekday]); break;
    case 'w': snprintf(out, n, "%d", d->weekday); break;
    case 'u': snprintf(out, n, "%d", d->weekday ? d->weekday : 7); break;
    case 'F': snprintf(out, n, "%d-%02d-%02d", d->year, d->month, d->day); break;
    case 'D':
    case 'x': snprintf(out, n, "%02d/%02d/%02d", d->month, d->day, d->year % 100); break;
    case 'T':
    case 'X': snprintf(out, n, "%02d:%02d:%02d", d->hour, d->minute, d->second); break;
    case 'R': snprintf(out, n, "%02d:%02d", d->hour, d->minute); break;
    case 'c':
        snprintf(out, n, "%.3s %.3s %2d %02d:%02d:%02d %d", days[d->weekday], months[d->month - 1], d->day,
                 d->hour, d->minute, d->second, d->year);
        break;
    case 'U': /* weeks begin on Sunday */ snprintf(out, n, two, (day_of_year(d) + 6 - d->weekday) / 7); break;
    case 'W': /* weeks begin on Monday */
        snprintf(out, n, two, (day_of_year(d) + 6 - (d->weekday + 6) % 7) / 7);
        break;
    case 'z': /* datetime.now() knows no zone, and so prints none */
    case 'Z': (void)offset_s; break;
    case 'n': snprintf(out, n, "\n"); break;
    case 't': snprintf(out, n, "\t"); break;
    case '%': snprintf(out, n, "%%"); break;
    default: snprintf(out, n, no_pad ? "%%-%c" : "%%%c", c);
    }
}

bool jj_strftime(struct jj *j, struct jj_value format, struct jj_value *out)
{
    const int64_t seconds_max = INT64_MAX / NS_PER_S - 100000;
    int64_t now_s = j->now_unix_s + j->utc_offset_s;
    if (j->now_unix_s > seconds_max || j->now_unix_s < -seconds_max)
        return jj_fail(j, "the time given is out of range");
    struct clock_date d = clock_date_utc(now_s * NS_PER_S);
    struct jj_text t = {0};
    for (size_t at = 0; at < format.s.n;) {
        if (format.s.p[at] != '%' || at + 1 == format.s.n) {
            if (!jj_text_add_sub(j, &t, format, at, at + 1))
                return false;
            at++;
            continue;
        }
        char text[64] = {0};
        bool no_pad = format.s.p[at + 1] == '-' && at + 2 < format.s.n;
        at += no_pad ? 2 : 1;
        one_directive(&d, j->utc_offset_s, format.s.p[at], no_pad, text, sizeof text);
        if (!jj_text_add(j, &t, str_c(text), jj_mark_at(format, at)))
            return false;
        at++;
    }
    *out = jj_text_value(&t);
    return true;
}
