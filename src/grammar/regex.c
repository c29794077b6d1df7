/* regex.c - From the tree of a pattern to its automaton (Thompson's construction, then subsets).
 *
 * "Somewhere in the text" is an endless loop over all characters before the pattern and another
 * behind it.  ^ can be passed only before the first character, $ only when no more will
 * come, so they are steps that exist in the first set of states, and in the question whether a set
 * accepts.
 *
 * \b and \B depend on the characters on both sides.  They are passed when the next character is known (or
 * that there is none); what is known of the one before is a member of the set, beside the states, where
 * some state of the set waits for it.
 *
 * Start reading at regex_compile(). */
#include <stdlib.h>

#include "grammar/regex_int.h"

#define NFA_STATES_MAX 100000
#define CELLS_MAX      (4u << 20)
#define MEMBERS_MAX    (8u << 20) /* members of all sets together */
#define CLOCK_EVERY    (1u << 18) /* members of sets that are stepped between two looks at the clock */
#define SETS_MERGED    1024
#define SETS_COMPARED  64 /* different sets of characters that are told apart by comparing */

/* The last three are passed when it is known what comes. */
enum arrow_kind { ARROW_SILENT, ARROW_SET, ARROW_BEGIN, ARROW_END, ARROW_EDGE, ARROW_INSIDE };

static const struct range word_ranges[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct charset word_chars = {(struct range *)(uintptr_t)word_ranges, 4};

struct arrow {
    uint32_t from, to;
    enum arrow_kind kind;
    const struct charset *set;
};

struct task {
    const struct re_node *node;
    uint32_t from, to;
};

struct nfa {
    struct arrow *arrows;
    uint32_t n_arrows, arrows_cap, n_states;
    struct task *tasks;
    uint32_t n_tasks, tasks_cap;
    uint32_t *first_arrow; /* [n_states + 1], arrows sorted by from */
    bool has_edges;
    int code;
};

/* ---- Thompson ---- */

static void *grown(struct nfa *n, void *p, uint32_t *cap, size_t size)
{
    uint32_t more = *cap ? *cap * 2 : 256;
    void *q = reallocarray(p, more, size);
    if (!q)
        n->code = ERR_NOMEM;
    else
        *cap = more;
    return q;
}

static void add_arrow(struct nfa *n, uint32_t from, uint32_t to, enum arrow_kind kind,
                      const struct charset *set)
{
    if (n->code == OK && n->n_arrows == n->arrows_cap) {
        struct arrow *a = grown(n, n->arrows, &n->arrows_cap, sizeof *a);
        n->arrows = a ? a : n->arrows;
    }
    if (n->code == OK)
        n->arrows[n->n_arrows++] = (struct arrow){from, to, kind, set};
}

static void add_task(struct nfa *n, const struct re_node *node, uint32_t from, uint32_t to)
{
    if (n->code == OK && n->n_tasks == n->tasks_cap) {
        struct task *t = grown(n, n->tasks, &n->tasks_cap, sizeof *t);
        n->tasks = t ? t : n->tasks;
    }
    if (n->code == OK)
        n->tasks[n->n_tasks++] = (struct task){node, from, to};
}

static uint32_t new_state(struct nfa *n)
{
    if (n->n_states >= NFA_STATES_MAX && n->code == OK)
        n->code = ERR_LIMIT;
    return n->n_states++;
}

static void repeat(struct nfa *n, const struct re_node *r, uint32_t from, uint32_t to)
{
    uint32_t copies = r->max == NET_NO_MAX ? r->min : r->max;
    for (uint32_t i = 0; i < copies && n->code == OK; i++) {
        uint32_t next = new_state(n);
        if (i >= r->min)
            add_arrow(n, from, to, ARROW_SILENT, NULL);
        add_task(n, r->a, from, next);
        from = next;
    }
    if (r->max == NET_NO_MAX) {
        uint32_t loop = new_state(n), back = new_state(n);
        add_arrow(n, from, loop, ARROW_SILENT, NULL);
        add_task(n, r->a, loop, back);
        add_arrow(n, back, loop, ARROW_SILENT, NULL);
        from = loop;
    }
    add_arrow(n, from, to, ARROW_SILENT, NULL);
}

static void build(struct nfa *n, const struct re_node *root, uint32_t from, uint32_t to)
{
    add_task(n, root, from, to);
    while (n->n_tasks > 0 && n->code == OK) {
        struct task t = n->tasks[--n->n_tasks];
        switch (t.node->op) {
        case RE_EMPTY: add_arrow(n, t.from, t.to, ARROW_SILENT, NULL); break;
        case RE_SET: add_arrow(n, t.from, t.to, ARROW_SET, &t.node->set); break;
        case RE_BEGIN: add_arrow(n, t.from, t.to, ARROW_BEGIN, NULL); break;
        case RE_END: add_arrow(n, t.from, t.to, ARROW_END, NULL); break;
        case RE_EDGE:
        case RE_INSIDE:
            add_arrow(n, t.from, t.to, t.node->op == RE_EDGE ? ARROW_EDGE : ARROW_INSIDE, NULL);
            n->has_edges = true;
            break;
        case RE_CAT: {
            uint32_t middle = new_state(n);
            add_task(n, t.node->a, t.from, middle);
            add_task(n, t.node->b, middle, t.to);
            break;
        }
        case RE_ALT:
            add_task(n, t.node->a, t.from, t.to);
            add_task(n, t.node->b, t.from, t.to);
            break;
        case RE_REPEAT: repeat(n, t.node, t.from, t.to); break;
        }
    }
}

/* Arrows by their begin: counting sort. */
static void sort_arrows(struct nfa *n)
{
    struct arrow *sorted = calloc((size_t)n->n_arrows + 1, sizeof *sorted);
    n->first_arrow = calloc((size_t)n->n_states + 2, sizeof *n->first_arrow);
    if (!sorted || !n->first_arrow) {
        free(sorted);
        n->code = ERR_NOMEM;
        return;
    }
    uint32_t *begin = n->first_arrow;
    for (uint32_t i = 0; i < n->n_arrows; i++)
        begin[n->arrows[i].from + 2]++;
    for (uint32_t s = 2; s < n->n_states + 2; s++)
        begin[s] += begin[s - 1];
    for (uint32_t i = 0; i < n->n_arrows; i++)
        sorted[begin[n->arrows[i].from + 1]++] = n->arrows[i];
    free(n->arrows);
    n->arrows = sorted;
}

/* ---- subsets ---- */

struct subsets {
    const struct nfa *nfa;
    uint32_t final;
    uint32_t *first, n_symbols;
    uint32_t *like;    /* [n_symbols] an earlier symbol that is in the same sets, or itself */
    uint32_t *members; /* of all sets */
    size_t n_members, members_cap;
    size_t *begin; /* [n + 1] into members */
    uint32_t *slots, n_slots;
    uint32_t *next;
    uint8_t *accepts;
    uint32_t n, cap;
    /* Work memory for one set. */
    uint32_t *marks, *found, *stack, *passed, stamp, n_found;
};

/* Members beside the states of the nfa, where it has edges. */
static uint32_t after_word(const struct subsets *x)
{
    return x->nfa->n_states;
}
static uint32_t at_begin(const struct subsets *x)
{
    return x->nfa->n_states + 1;
}

#define KIND(k) (1u << (k))

/* Add `state` and what silent arrows (and those of `kinds`) lead to. */
static void reach(struct subsets *x, uint32_t state, uint32_t kinds)
{
    kinds |= KIND(ARROW_SILENT);
    uint32_t n_pending = 0;
    if (x->marks[state] == x->stamp)
        return;
    x->marks[state] = x->stamp;
    x->stack[n_pending++] = state;
    while (n_pending > 0) {
        uint32_t s = x->stack[--n_pending];
        x->found[x->n_found++] = s;
        for (uint32_t i = x->nfa->first_arrow[s]; i < x->nfa->first_arrow[s + 1]; i++) {
            const struct arrow *a = &x->nfa->arrows[i];
            if (!(kinds & KIND(a->kind)) || x->marks[a->to] == x->stamp)
                continue;
            x->marks[a->to] = x->stamp;
            x->stack[n_pending++] = a->to;
        }
    }
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t set_hash(const uint32_t *m, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ m[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return (uint32_t)(h >> 16);
}

static bool grow_sets(struct subsets *x)
{
    uint32_t cap = x->cap ? x->cap * 2 : 64;
    uint32_t *slots = calloc((size_t)cap * 2, sizeof *slots);
    size_t *begin = reallocarray(x->begin, (size_t)cap + 1, sizeof *begin);
    if (begin)
        x->begin = begin;
    uint32_t *next = reallocarray(x->next, (size_t)cap * x->n_symbols, sizeof *next);
    if (next)
        x->next = next;
    uint8_t *accepts = realloc(x->accepts, cap);
    if (accepts)
        x->accepts = accepts;
    if (!slots || !begin || !next || !accepts) {
        free(slots);
        return false;
    }
    free(x->slots);
    x->slots = slots;
    x->n_slots = cap * 2;
    x->cap = cap;
    x->begin[0] = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t at = set_hash(x->members + x->begin[i], x->begin[i + 1] - x->begin[i]) & (x->n_slots - 1);
        while (x->slots[at])
            at = (at + 1) & (x->n_slots - 1);
        x->slots[at] = i + 1;
    }
    return true;
}

static bool has_member(const uint32_t *members, size_t n, uint32_t one)
{
    for (size_t i = 0; i < n; i++) /* the members beside states stand behind them */
        if (members[n - 1 - i] <= one)
            return members[n - 1 - i] == one;
    return false;
}

/* found[] = the states of a set, and those behind edges that can be passed before a character that is of a
 * word or not. */
static void pass_edges(struct subsets *x, const uint32_t *members, size_t n, bool is_word, uint32_t kinds)
{
    bool was_word = has_member(members, n, after_word(x));
    kinds |= KIND(was_word != is_word ? ARROW_EDGE : ARROW_INSIDE);
    if (has_member(members, n, at_begin(x)))
        kinds |= KIND(ARROW_BEGIN);
    x->stamp++;
    x->n_found = 0;
    for (size_t i = 0; i < n && members[i] < x->nfa->n_states; i++)
        reach(x, members[i], kinds);
}

static bool accepts_now(struct subsets *x, const uint32_t *members, size_t n)
{
    pass_edges(x, members, n, false, KIND(ARROW_END));
    return x->marks[x->final] == x->stamp;
}

/* Add to found[] what edges need to know of the character before. */
static void note_before(struct subsets *x, bool was_word, bool is_begin)
{
    bool waits = false;
    for (uint32_t i = 0; i < x->n_found && x->nfa->has_edges && !waits; i++)
        for (uint32_t a = x->nfa->first_arrow[x->found[i]]; a < x->nfa->first_arrow[x->found[i] + 1]; a++)
            waits |= x->nfa->arrows[a].kind >= ARROW_END;
    if (waits && was_word)
        x->found[x->n_found++] = after_word(x);
    if (waits && is_begin)
        x->found[x->n_found++] = at_begin(x);
}

/* The state for the set in found[]; *code is set on failure. */
static uint32_t intern_set(struct subsets *x, int *code)
{
    qsort(x->found, x->n_found, sizeof *x->found, compare_u32);
    if (x->n == x->cap && !grow_sets(x)) {
        *code = ERR_NOMEM;
        return DFA_NONE;
    }
    uint32_t at = set_hash(x->found, x->n_found) & (x->n_slots - 1);
    for (; x->slots[at]; at = (at + 1) & (x->n_slots - 1)) {
        uint32_t s = x->slots[at] - 1;
        if (x->begin[s + 1] - x->begin[s] == x->n_found &&
            !memcmp(x->members + x->begin[s], x->found, x->n_found * sizeof *x->found))
            return s;
    }
    while (x->n_members + x->n_found > x->members_cap) {
        size_t cap = x->members_cap ? x->members_cap * 2 : 1024;
        uint32_t *m = cap <= MEMBERS_MAX ? reallocarray(x->members, cap, sizeof *m) : NULL;
        if (!m) {
            *code = cap <= MEMBERS_MAX ? ERR_NOMEM : ERR_LIMIT;
            return DFA_NONE;
        }
        x->members = m;
        x->members_cap = cap;
    }
    uint32_t *members = x->members + x->n_members, s = x->n++;
    size_t n = x->n_found;
    memcpy(members, x->found, n * sizeof *members);
    x->n_members += n;
    x->begin[s + 1] = x->n_members;
    x->slots[at] = s + 1;
    x->accepts[s] = accepts_now(x, members, n);
    return s;
}

static bool holds(const struct charset *set, uint32_t c)
{
    uint32_t lo = 0, hi = set->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (set->ranges[mid].hi < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < set->n && set->ranges[lo].lo <= c;
}

static void step_set(struct subsets *x, uint32_t s, uint32_t c)
{
    const uint32_t *members = x->members + x->begin[s];
    size_t n = x->begin[s + 1] - x->begin[s];
    bool is_word = x->nfa->has_edges && holds(&word_chars, x->first[c]);
    if (x->nfa->has_edges) {
        pass_edges(x, members, n, is_word, 0);
        n = x->n_found;
        memcpy(x->passed, x->found, n * sizeof *x->passed);
        members = x->passed;
    }
    x->stamp++;
    x->n_found = 0;
    for (size_t m = 0; m < n; m++) {
        for (uint32_t i = x->nfa->first_arrow[members[m]]; i < x->nfa->first_arrow[members[m] + 1]; i++) {
            const struct arrow *a = &x->nfa->arrows[i];
            if (a->kind == ARROW_SET && holds(a->set, x->first[c]))
                reach(x, a->to, 0);
        }
    }
    note_before(x, is_word, false);
}

static int make_subsets(struct dfa_room *room, struct subsets *x, uint32_t start)
{
    int code = OK;
    size_t n_steps = 0;
    x->stamp = 1;
    reach(x, start, KIND(ARROW_BEGIN));
    note_before(x, false, true);
    intern_set(x, &code);
    for (uint32_t s = 0; code == OK && s < x->n; s++) {
        if (x->n > room->states_max || (uint64_t)x->n * x->n_symbols > CELLS_MAX)
            return ERR_LIMIT;
        for (uint32_t c = 0; c < x->n_symbols && code == OK; c++) {
            uint32_t to;
            n_steps += 1 + x->begin[s + 1] - x->begin[s];
            if (n_steps > CLOCK_EVERY) {
                n_steps = 0;
                if (!net_is_good(room->net))
                    return room->net->bad_code;
            }
            if (x->like[c] < c) {
                to = x->next[(size_t)s * x->n_symbols + x->like[c]];
            } else {
                step_set(x, s, c);
                to = x->n_found > 0 ? intern_set(x, &code) : DFA_NONE;
            }
            x->next[(size_t)s * x->n_symbols + c] = to; /* intern_set may have moved next */
        }
    }
    return code;
}

/* Characters where some set begins or has just ended. */
static int find_symbols(const struct nfa *n, uint32_t **first, uint32_t *n_symbols)
{
    size_t n_bounds = 1 + (n->has_edges ? 2 * word_chars.n : 0);
    for (uint32_t i = 0; i < n->n_arrows; i++)
        if (n->arrows[i].kind == ARROW_SET)
            n_bounds += 2 * (size_t)n->arrows[i].set->n;
    uint32_t *b = calloc(n_bounds, sizeof *b);
    *first = b;
    if (!b)
        return ERR_NOMEM;
    n_bounds = 1;
    for (uint32_t r = 0; n->has_edges && r < word_chars.n; r++) {
        b[n_bounds++] = word_chars.ranges[r].lo;
        b[n_bounds++] = word_chars.ranges[r].hi + 1;
    }
    for (uint32_t i = 0; i < n->n_arrows; i++) {
        for (uint32_t r = 0; n->arrows[i].kind == ARROW_SET && r < n->arrows[i].set->n; r++) {
            b[n_bounds++] = n->arrows[i].set->ranges[r].lo;
            b[n_bounds++] = n->arrows[i].set->ranges[r].hi + 1;
        }
    }
    qsort(b, n_bounds, sizeof *b, compare_u32);
    uint32_t n_first = 1;
    for (size_t i = 1; i < n_bounds; i++)
        if (b[i] != b[n_first - 1] && b[i] <= DFA_CHAR_MAX)
            b[n_first++] = b[i];
    *n_symbols = n_first;
    return OK;
}

/* Which symbols are in the same sets: digits and letters mostly.  A signature tells them apart, up to
 * a chance of 2^-64 that would join two; so those with the same one are compared. */
static int find_like(const struct nfa *n, struct subsets *x)
{
    uint64_t *signature = calloc(x->n_symbols, sizeof *signature);
    const struct charset **sets = calloc((size_t)n->n_arrows + 2, sizeof *sets);
    uint32_t n_sets = 0;
    x->like = calloc(x->n_symbols, sizeof *x->like);
    if (!signature || !sets || !x->like) {
        free(signature);
        free(sets);
        return ERR_NOMEM;
    }
    const struct charset *last = NULL;
    if (n->has_edges)
        sets[n_sets++] = &word_chars;
    for (uint32_t i = 0; i < n->n_arrows; i++) {
        const struct charset *set = n->arrows[i].kind == ARROW_SET ? n->arrows[i].set : NULL;
        bool is_known = !set || set == last;
        for (uint32_t k = 0; k < n_sets && !is_known && n_sets < SETS_COMPARED; k++)
            is_known = sets[k]->n == set->n &&
                       (set->n == 0 || !memcmp(sets[k]->ranges, set->ranges, set->n * sizeof *set->ranges));
        last = set ? set : last;
        if (!is_known)
            sets[n_sets++] = set;
    }
    for (uint32_t k = 0; n_sets <= SETS_MERGED && k < n_sets; k++)
        for (uint32_t c = 0; c < x->n_symbols; c++)
            signature[c] = (signature[c] + holds(sets[k], x->first[c]) + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t c = 0; c < x->n_symbols; c++) {
        uint32_t same = n_sets > SETS_MERGED ? c : 0; /* so many are not worth the time */
        while (same < c && signature[same] != signature[c])
            same++;
        for (uint32_t k = 0; k < n_sets && same < c; k++)
            if (holds(sets[k], x->first[c]) != holds(sets[k], x->first[same]))
                same = c;
        x->like[c] = same;
    }
    free(signature);
    free(sets);
    return OK;
}

static struct dfa *copy_out(struct dfa_room *room, const struct subsets *x)
{
    struct dfa *d = arena_new(room->arena, struct dfa);
    if (d) {
        d->n_states = x->n;
        d->n_symbols = x->n_symbols;
        d->first = arena_new_array(room->arena, uint32_t, x->n_symbols);
        d->next = arena_array(room->arena, (size_t)x->n * x->n_symbols, sizeof *d->next);
        d->accepts = arena_new_array(room->arena, uint8_t, x->n);
    }
    if (!d || !d->first || !d->next || !d->accepts) {
        room->code = ERR_LIMIT;
        return NULL;
    }
    memcpy(d->first, x->first, x->n_symbols * sizeof *d->first);
    memcpy(d->next, x->next, (size_t)x->n * x->n_symbols * sizeof *d->next);
    memcpy(d->accepts, x->accepts, x->n);
    return dfa_trim(room, d);
}

static struct dfa *determinise(struct dfa_room *room, struct nfa *n, uint32_t start, uint32_t final)
{
    struct subsets x = {.nfa = n, .final = final};
    struct dfa *d = NULL;
    int code = find_symbols(n, &x.first, &x.n_symbols);
    size_t n_members = (size_t)n->n_states + 2;
    x.marks = calloc(n_members, sizeof *x.marks);
    x.found = calloc(n_members, sizeof *x.found);
    x.stack = calloc(n_members, sizeof *x.stack);
    x.passed = calloc(n_members, sizeof *x.passed);
    if (!x.marks || !x.found || !x.stack || !x.passed)
        code = ERR_NOMEM;
    if (code == OK)
        code = find_like(n, &x);
    if (code == OK)
        code = make_subsets(room, &x, start);
    if (code == OK)
        d = copy_out(room, &x);
    else if (room->code == OK)
        room->code = code;
    free(x.first);
    free(x.like);
    free(x.members);
    free(x.begin);
    free(x.slots);
    free(x.next);
    free(x.accepts);
    free(x.marks);
    free(x.found);
    free(x.stack);
    free(x.passed);
    return d;
}

struct dfa *regex_compile(struct dfa_room *room, struct str pattern, bool is_whole, size_t *offset,
                          struct err *err)
{
    static struct range all_ranges[] = {{0, DFA_CHAR_MAX}};
    static const struct charset all = {all_ranges, 1};
    const struct re_node *root = regex_parse(room->arena, pattern, offset, err);
    if (!root)
        return NULL;

    struct nfa n = {0};
    uint32_t start = new_state(&n), final = new_state(&n);
    build(&n, root, start, final);
    if (!is_whole) {
        add_arrow(&n, start, start, ARROW_SET, &all);
        add_arrow(&n, final, final, ARROW_SET, &all);
    }
    struct dfa *d = NULL;
    if (n.code == OK)
        sort_arrows(&n);
    if (n.code == OK)
        d = determinise(room, &n, start, final);
    else if (room->code == OK)
        room->code = n.code;
    if (!d)
        fail(err, room->code,
             room->code == ERR_NOMEM ? "no memory for the pattern"
                                     : "the pattern needs too large an automaton");
    free(n.arrows);
    free(n.tasks);
    free(n.first_arrow);
    return d;
}
