/* shape_format.c - The formats of strings as automata, written as patterns.
 *
 * The same documents as schema_format.c: RFC 3339 for dates, times and durations, RFC 5321 without
 * quoted names, RFC 1123, RFC 3986, RFC 9562, RFC 4291.  Where an exact pattern would need a very
 * large automaton the language is a little smaller: host names have at most 3 labels of up to 63
 * characters or 8 of up to 30, and
 * so those of
 * mail addresses, which need at least 2. */
#include <stdio.h>

#include "grammar/regex.h"
#include "grammar/shape_int.h"

#define DAYS                                                                                                 \
    "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|"          \
    "02-(?:0[1-9]|1\\d|2[0-8]))|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"  \
    "-02-29)"
#define TIMES                                                                                                \
    "(?:(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)|"           \
    "23:59:60(?:\\.\\d+)?(?:[Zz]|[+-]00:00))"
#define DATE_PART "(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)"
#define TIME_PART "(?:T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S))"
#define BYTE      "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4      "(?:" BYTE "(?:\\." BYTE "){3})"
#define G         "[0-9A-Fa-f]{1,4}"
/* At most n groups, the last two possibly as an IPv4 address. */
#define TAIL1 "(?:" G ")?"
#define TAIL(n_less_1, n_less_2)                                                                             \
    "(?:(?:(?:" G ":){0," n_less_1 "}" G ")|(?:(?:" G ":){0," n_less_2 "}" IPV4 "))?"
#define IPV6                                                                                                 \
    "(?:(?:" G ":){7}" G "|(?:" G ":){6}" IPV4                                                               \
    "|::" TAIL("6", "5") "|" G "::" TAIL("5", "4") "|" G "(?::" G "){1}::" TAIL(                             \
        "4", "3") "|" G "(?::" G                                                                             \
                  "){2}::" TAIL("3", "2") "|" G "(?::" G "){3}::" TAIL(                                      \
                      "2", "1") "|" G "(?::" G "){4}::" TAIL("1", "0") "|" G "(?::" G "){5}::" TAIL1 "|" G   \
                                                                       "(?::" G "){6}::)"
#define A "[0-9A-Za-z]"
#define H "[0-9A-Za-z-]"
/* A label: no hyphen at its ends, and "--" at its third place only behind "xn". */
#define LABEL(n_less_4, n_less_5)                                                                            \
    "(?:" A "|" A A "|" A H A "(?:" H "{0," n_less_4 "}" A ")?|" A H "-" A "(?:" H "{0," n_less_5 "}" A      \
    ")?|"                                                                                                    \
    "[Xx][Nn]--(?:" H "{0," n_less_5 "}" A "))"
#define LONG_LABEL  LABEL("59", "58")
#define SHORT_LABEL LABEL("26", "25")
#define HOST(min_more, more)                                                                                 \
    "(?:" LONG_LABEL "(?:\\." LONG_LABEL "){" min_more ",2}|" SHORT_LABEL "(?:\\." SHORT_LABEL "){" min_more \
    "," more "})"
#define ATOM       "[-0-9A-Za-z!#$%&'*+/=?^_`{|}~]"
#define UNRESERVED "[-0-9A-Za-z._~!$&'()*+,;=]"
#define ESCAPE     "%[0-9A-Fa-f]{2}"
#define PCHAR      "(?:[-0-9A-Za-z._~!$&'()*+,;=:@]|" ESCAPE ")"
#define AUTHORITY                                                                                            \
    "(?:(?:[-0-9A-Za-z._~!$&'()*+,;=:]|" ESCAPE ")*@)?(?:\\[" IPV6 "\\]|(?:" UNRESERVED "|" ESCAPE           \
    ")*)(?::\\d*)?"
#define QUERY "(?:\\?(?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?"
/* With at least one character, as other judges of URIs want it. */
#define PATHS(first)                                                                                         \
    "(?://" AUTHORITY "(?:/" PCHAR "*)*|/(?:" PCHAR "+(?:/" PCHAR "*)*)?|" first "+(?:/" PCHAR "*)*)"
#define NO_COLON "(?:[-0-9A-Za-z._~!$&'()*+,;=@]|" ESCAPE ")"
#define HEX      "[0-9A-Fa-f]"

static const struct {
    enum schema_format format;
    const char *pattern;
} patterns[] = {
    {SCHEMA_FORMAT_DATE, DAYS},
    {SCHEMA_FORMAT_TIME, TIMES},
    {SCHEMA_FORMAT_DATE_TIME, DAYS "[Tt]" TIMES},
    {SCHEMA_FORMAT_DURATION, "P(?:" DATE_PART TIME_PART "?|" TIME_PART "|\\d+W)"},
    {SCHEMA_FORMAT_EMAIL, ATOM "+(?:\\." ATOM "+)*@" HOST("1", "7")},
    {SCHEMA_FORMAT_UUID, HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}"},
    {SCHEMA_FORMAT_URI, "[A-Za-z][-0-9A-Za-z+.]*:" PATHS("" PCHAR) QUERY},
    {SCHEMA_FORMAT_URI_REFERENCE,
     "(?:[A-Za-z][-0-9A-Za-z+.]*:" PATHS("" PCHAR) QUERY "|(?:" PATHS("" NO_COLON) ")?" QUERY ")"},
    {SCHEMA_FORMAT_HOSTNAME, HOST("0", "7")},
    {SCHEMA_FORMAT_IPV4, IPV4},
    {SCHEMA_FORMAT_IPV6, IPV6},
    {SCHEMA_FORMAT_JSON_POINTER, "(?:/(?:[^~/]|~[01])*)*"},
    {SCHEMA_FORMAT_RELATIVE_JSON_POINTER, "(?:0|[1-9]\\d*)(?:#|(?:/(?:[^~/]|~[01])*)*)"},
};

/* What stands before an @ has at most 64 characters: @ and the end are told apart by the product. */
struct mail {
    const struct dfa *d;
    uint32_t at; /* the symbol of @ */
};

static bool mail_step(const void *self, const struct dfa_key *from, uint32_t c, struct dfa_key *to)
{
    const struct mail *m = self;
    uint32_t state = m->d->next[(size_t)from->v[0] * m->d->n_symbols + c], n = from->v[1];
    bool is_before = n <= 64;
    *to = (struct dfa_key){{state, is_before && c == m->at ? 65 : is_before ? n + 1 : n}};
    return state != DFA_NONE && (!is_before || c == m->at || n < 64);
}

static bool mail_accepts(const void *self, const struct dfa_key *at)
{
    return ((const struct mail *)self)->d->accepts[at->v[0]];
}

static struct dfa *shorten_mail(struct dfa_room *room, const struct dfa *d)
{
    struct mail m = {.d = d};
    while (d->first[m.at] != '@')
        m.at++;
    struct dfa_machine machine = {&m, {{0}}, d->first, d->n_symbols, mail_step, mail_accepts};
    return dfa_explore(room, &machine);
}

struct dfa *shape_format_dfa(struct dfa_room *room, enum schema_format format)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        size_t offset;
        struct err err;
        if (patterns[i].format != format)
            continue;
        struct dfa *d = regex_compile(room, str_c(patterns[i].pattern), true, &offset, &err);
        return d && format == SCHEMA_FORMAT_EMAIL ? shorten_mail(room, d) : d;
    }
    return NULL;
}
