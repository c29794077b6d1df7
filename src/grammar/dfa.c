/* dfa.c - Make automata by exploring machines; intersect, subtract, trim, ask. */
#include "grammar/dfa.h"

#include <assert.h>
#include <stdlib.h>

#define CELLS_MAX   (4u << 20) /* states times symbols */
#define CLOCK_EVERY 1024       /* states between two looks at the clock */

static struct dfa *refuse(struct dfa_room *room, int code)
{
    if (room->code == OK)
        room->code = code;
    return NULL;
}

uint32_t dfa_next_char(struct str s, size_t *at)
{
    uint8_t b = (uint8_t)s.p[(*at)++];
    if (b < 0x80)
        return b;
    int more = b >= 0xf0 ? 3 : b >= 0xe0 ? 2 : 1;
    uint32_t c = b & (0x3fu >> more);
    for (; more > 0 && *at < s.n; more--)
        c = c << 6 | ((uint8_t)s.p[(*at)++] & 0x3f);
    return c;
}

static uint32_t symbol_of(const struct dfa *d, uint32_t c)
{
    uint32_t lo = 0, hi = d->n_symbols;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (d->first[mid] <= c)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* ---- exploring ---- */

struct explorer {
    const struct dfa_machine *m;
    struct dfa_key *keys;
    uint32_t *slots; /* index + 1 */
    uint32_t *next;
    uint32_t n, cap, n_slots;
};

static uint32_t key_hash(const struct dfa_key *k)
{
    uint64_t h = 0;
    for (int i = 0; i < 6; i++) {
        h = (h ^ k->v[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return (uint32_t)(h >> 20);
}

static uint32_t *find_slot(const struct explorer *x, const struct dfa_key *k)
{
    uint32_t at = key_hash(k) & (x->n_slots - 1);
    while (x->slots[at] && memcmp(&x->keys[x->slots[at] - 1], k, sizeof *k) != 0)
        at = (at + 1) & (x->n_slots - 1);
    return &x->slots[at];
}

static bool grow(struct explorer *x)
{
    uint32_t cap = x->cap ? x->cap * 2 : 64;
    struct dfa_key *keys = reallocarray(x->keys, cap, sizeof *keys);
    if (keys)
        x->keys = keys;
    uint32_t *next = reallocarray(x->next, (size_t)cap * x->m->n_symbols, sizeof *next);
    if (next)
        x->next = next;
    uint32_t *slots = calloc((size_t)cap * 2, sizeof *slots);
    if (!keys || !next || !slots) {
        free(slots);
        return false;
    }
    free(x->slots);
    x->slots = slots;
    x->n_slots = cap * 2;
    x->cap = cap;
    for (uint32_t i = 0; i < x->n; i++)
        *find_slot(x, &x->keys[i]) = i + 1;
    return true;
}

/* The state of a key, new if need be; DFA_NONE without memory. */
static uint32_t state_of(struct explorer *x, const struct dfa_key *k)
{
    uint32_t *slot = x->n_slots ? find_slot(x, k) : NULL;
    if (slot && *slot)
        return *slot - 1;
    if (x->n == x->cap) {
        if (!grow(x))
            return DFA_NONE;
        slot = find_slot(x, k);
    }
    x->keys[x->n] = *k;
    *slot = ++x->n;
    return x->n - 1;
}

static int explore(struct dfa_room *room, struct explorer *x)
{
    const struct dfa_machine *m = x->m;
    if (state_of(x, &m->start) == DFA_NONE)
        return ERR_NOMEM;
    for (uint32_t s = 0; s < x->n; s++) {
        if (x->n > room->states_max || (uint64_t)x->n * m->n_symbols > CELLS_MAX)
            return ERR_LIMIT;
        if (s % CLOCK_EVERY == 0 && !net_is_good(room->net))
            return room->net->bad_code;
        for (uint32_t c = 0; c < m->n_symbols; c++) {
            struct dfa_key from = x->keys[s], to = {{0}};
            uint32_t t = DFA_NONE;
            if (m->step(m->self, &from, c, &to) && (t = state_of(x, &to)) == DFA_NONE)
                return ERR_NOMEM;
            x->next[(size_t)s * m->n_symbols + c] = t;
        }
    }
    return OK;
}

static struct dfa *new_dfa(struct dfa_room *room, uint32_t n_states, uint32_t n_symbols)
{
    struct dfa *d = arena_new(room->arena, struct dfa);
    if (!d)
        return refuse(room, ERR_LIMIT);
    d->n_states = n_states;
    d->n_symbols = n_symbols;
    d->first = arena_new_array(room->arena, uint32_t, n_symbols);
    d->next = arena_array(room->arena, (size_t)n_states * n_symbols, sizeof *d->next);
    d->accepts = arena_new_array(room->arena, uint8_t, n_states);
    if (!d->first || !d->next || !d->accepts)
        return refuse(room, ERR_LIMIT);
    return d;
}

struct dfa *dfa_explore(struct dfa_room *room, const struct dfa_machine *m)
{
    struct explorer x = {.m = m};
    struct dfa *d = NULL;
    int rc = room->code == OK ? explore(room, &x) : room->code;
    if (rc == OK) {
        d = new_dfa(room, x.n, m->n_symbols);
        if (d) {
            memcpy(d->first, m->first, m->n_symbols * sizeof *d->first);
            memcpy(d->next, x.next, (size_t)x.n * m->n_symbols * sizeof *d->next);
            for (uint32_t i = 0; i < x.n; i++)
                d->accepts[i] = m->accepts(m->self, &x.keys[i]);
            d = dfa_trim(room, d);
        }
    } else {
        refuse(room, rc);
    }
    free(x.keys);
    free(x.slots);
    free(x.next);
    return d;
}

/* ---- trimming ---- */

/* The ways backwards: from[begin[t]] to from[begin[t + 1] - 1] lead to t, one for each symbol. */
struct ways_back {
    uint32_t *begin, *from;
};

static void ways_back_deinit(struct ways_back *w)
{
    free(w->begin);
    free(w->from);
}

static bool ways_back_init(struct ways_back *w, const struct dfa *d)
{
    size_t n = d->n_states, n_cells = n * d->n_symbols;
    w->begin = calloc(n + 2, sizeof *w->begin);
    w->from = calloc(n_cells + 1, sizeof *w->from);
    if (!w->begin || !w->from) {
        ways_back_deinit(w);
        return false;
    }
    for (size_t i = 0; i < n_cells; i++)
        if (d->next[i] != DFA_NONE)
            w->begin[d->next[i] + 2]++;
    for (size_t s = 2; s < n + 2; s++)
        w->begin[s] += w->begin[s - 1];
    for (size_t i = 0; i < n_cells; i++)
        if (d->next[i] != DFA_NONE)
            w->from[w->begin[d->next[i] + 1]++] =
                (uint32_t)(i / d->n_symbols); /* NOLINT: at least one symbol */
    return true;
}

/* least[s]: characters to the nearest accepting state, NET_NO_MAX: there is none.  Breadth first,
 * backwards. */
static void find_least(const struct dfa *d, const struct ways_back *w, uint32_t *queue, uint32_t *least)
{
    uint32_t n_queue = 0;
    for (uint32_t s = 0; s < d->n_states; s++) {
        least[s] = d->accepts[s] ? 0 : NET_NO_MAX;
        if (d->accepts[s])
            queue[n_queue++] = s;
    }
    for (uint32_t i = 0; i < n_queue; i++) {
        uint32_t t = queue[i];
        for (uint32_t k = w->begin[t]; k < w->begin[t + 1]; k++) {
            if (least[w->from[k]] != NET_NO_MAX)
                continue;
            least[w->from[k]] = least[t] + 1;
            queue[n_queue++] = w->from[k];
        }
    }
}

/* most[s] of a trimmed automaton: states are done when all their ways are; those that never are lead
 * into a circle. */
static void find_most(const struct dfa *d, const struct ways_back *w, uint32_t *queue, uint32_t *n_ways,
                      uint32_t *most)
{
    uint32_t n_queue = 0;
    for (uint32_t s = 0; s < d->n_states; s++) {
        n_ways[s] = 0;
        most[s] = 0;
        for (uint32_t c = 0; c < d->n_symbols; c++)
            n_ways[s] += d->next[(size_t)s * d->n_symbols + c] != DFA_NONE;
        if (n_ways[s] == 0)
            queue[n_queue++] = s;
    }
    for (uint32_t i = 0; i < n_queue; i++) {
        uint32_t t = queue[i];
        for (uint32_t k = w->begin[t]; k < w->begin[t + 1]; k++) {
            uint32_t s = w->from[k];
            most[s] = most[t] + 1 > most[s] ? most[t] + 1 : most[s];
            if (--n_ways[s] == 0)
                queue[n_queue++] = s;
        }
    }
    for (uint32_t s = 0; s < d->n_states; s++)
        if (n_ways[s] > 0)
            most[s] = NET_NO_MAX;
}

bool dfa_find_rests(struct dfa_room *room, const struct dfa *d, uint32_t *least, uint32_t *most)
{
    struct ways_back w;
    uint32_t *queue = calloc(d->n_states, sizeof *queue), *n_ways = calloc(d->n_states, sizeof *n_ways);
    bool ok = queue && n_ways && ways_back_init(&w, d);
    if (ok) {
        find_least(d, &w, queue, least);
        find_most(d, &w, queue, n_ways, most);
        ways_back_deinit(&w);
    } else {
        refuse(room, ERR_NOMEM);
    }
    free(queue);
    free(n_ways);
    return ok;
}

/* alive[s] = 1 where an accepting state can be reached. */
static bool find_alive(const struct dfa *d, uint8_t *alive)
{
    struct ways_back w;
    uint32_t *queue = calloc(d->n_states, sizeof *queue), *least = calloc(d->n_states, sizeof *least);
    bool ok = queue && least && ways_back_init(&w, d);
    if (ok) {
        find_least(d, &w, queue, least);
        for (uint32_t s = 0; s < d->n_states; s++)
            alive[s] = least[s] != NET_NO_MAX;
        ways_back_deinit(&w);
    }
    free(queue);
    free(least);
    return ok;
}

struct dfa *dfa_trim(struct dfa_room *room, struct dfa *d)
{
    uint8_t *alive = calloc(d->n_states, 1);
    uint32_t *new_id = calloc(d->n_states, sizeof *new_id), n = 0;
    bool ok = alive && new_id && find_alive(d, alive);
    for (uint32_t s = 0; ok && s < d->n_states; s++) {
        bool is_kept = s == 0 || alive[s];
        new_id[s] = is_kept ? n++ : DFA_NONE;
    }
    for (uint32_t s = 0; ok && s < d->n_states; s++) {
        if (new_id[s] == DFA_NONE)
            continue;
        d->accepts[new_id[s]] = d->accepts[s];
        for (uint32_t c = 0; c < d->n_symbols; c++) {
            uint32_t t = d->next[(size_t)s * d->n_symbols + c];
            bool is_way = t != DFA_NONE && alive[t];
            d->next[(size_t)new_id[s] * d->n_symbols + c] = is_way ? new_id[t] : DFA_NONE;
        }
    }
    d->n_states = n;
    free(alive);
    free(new_id);
    return ok ? d : refuse(room, ERR_NOMEM);
}

/* ---- two at once ---- */

struct pair {
    const struct dfa *a, *b;
    const uint32_t *in_a, *in_b; /* symbol -> symbol */
    bool is_minus;
};

static bool pair_step(const void *self, const struct dfa_key *from, uint32_t c, struct dfa_key *to)
{
    const struct pair *p = self;
    uint32_t a = p->a->next[(size_t)from->v[0] * p->a->n_symbols + p->in_a[c]], b = DFA_NONE;
    if (from->v[1] != DFA_NONE)
        b = p->b->next[(size_t)from->v[1] * p->b->n_symbols + p->in_b[c]];
    *to = (struct dfa_key){{a, b}};
    return a != DFA_NONE && (p->is_minus || b != DFA_NONE);
}

static bool pair_accepts(const void *self, const struct dfa_key *at)
{
    const struct pair *p = self;
    bool in_b = at->v[1] != DFA_NONE && p->b->accepts[at->v[1]];
    return p->a->accepts[at->v[0]] && in_b != p->is_minus;
}

static struct dfa *combine(struct dfa_room *room, const struct dfa *a, const struct dfa *b, bool is_minus)
{
    if (!a || !b)
        return NULL;
    uint32_t most = a->n_symbols + b->n_symbols, n = 0;
    uint32_t *first = arena_new_array(room->arena, uint32_t, most);
    uint32_t *in_a = arena_new_array(room->arena, uint32_t, most);
    uint32_t *in_b = arena_new_array(room->arena, uint32_t, most);
    if (!first || !in_a || !in_b)
        return refuse(room, ERR_LIMIT);
    for (uint32_t i = 0, j = 0; i < a->n_symbols || j < b->n_symbols;) {
        uint32_t x = i < a->n_symbols ? a->first[i] : UINT32_MAX;
        uint32_t y = j < b->n_symbols ? b->first[j] : UINT32_MAX;
        first[n] = x < y ? x : y;
        i += x <= y;
        j += y <= x;
        in_a[n] = i - 1;
        in_b[n++] = j - 1;
    }
    struct pair p = {a, b, in_a, in_b, is_minus};
    struct dfa_machine m = {&p, {{0}}, first, n, pair_step, pair_accepts};
    return dfa_explore(room, &m);
}

struct dfa *dfa_and(struct dfa_room *room, const struct dfa *a, const struct dfa *b)
{
    return combine(room, a, b, false);
}

struct dfa *dfa_minus(struct dfa_room *room, const struct dfa *a, const struct dfa *b)
{
    return combine(room, a, b, true);
}

/* ---- simple ones ---- */

struct lengths {
    uint32_t min, max;
};

static bool length_step(const void *self, const struct dfa_key *from, uint32_t c, struct dfa_key *to)
{
    const struct lengths *l = self;
    (void)c;
    bool is_endless = l->max == NET_NO_MAX;
    to->v[0] = is_endless && from->v[0] == l->min ? l->min : from->v[0] + 1;
    return is_endless || from->v[0] < l->max;
}

static bool length_accepts(const void *self, const struct dfa_key *at)
{
    return at->v[0] >= ((const struct lengths *)self)->min;
}

struct dfa *dfa_lengths(struct dfa_room *room, uint32_t min, uint32_t max)
{
    static const uint32_t first[1] = {0};
    struct lengths l = {min, max};
    struct dfa_machine m = {&l, {{0}}, first, 1, length_step, length_accepts};
    return dfa_explore(room, &m);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

struct dfa *dfa_words(struct dfa_room *room, const struct str *words, uint32_t n_words)
{
    size_t n_chars = 0, n_bounds = 0;
    for (uint32_t w = 0; w < n_words; w++)
        n_chars += words[w].n;
    uint32_t *bounds = arena_array(room->arena, n_chars * 2 + 1, sizeof *bounds);
    if (!bounds)
        return refuse(room, ERR_LIMIT);
    bounds[n_bounds++] = 0;
    for (uint32_t w = 0; w < n_words; w++) {
        for (size_t at = 0; at < words[w].n;) {
            uint32_t c = dfa_next_char(words[w], &at);
            bounds[n_bounds++] = c;
            bounds[n_bounds++] = c + 1;
        }
    }
    qsort(bounds, n_bounds, sizeof *bounds, compare_u32);
    uint32_t n_symbols = 1;
    for (size_t i = 1; i < n_bounds; i++)
        if (bounds[i] != bounds[n_symbols - 1])
            bounds[n_symbols++] = bounds[i];
    if ((n_chars + 1) * n_symbols > CELLS_MAX || n_chars >= room->states_max)
        return refuse(room, ERR_LIMIT);

    struct dfa *d = new_dfa(room, (uint32_t)n_chars + 1, n_symbols);
    if (!d)
        return NULL;
    memcpy(d->first, bounds, n_symbols * sizeof *bounds);
    memset(d->next, 0xff, (size_t)d->n_states * n_symbols * sizeof *d->next);
    uint32_t n_states = 1;
    for (uint32_t w = 0; w < n_words; w++) {
        uint32_t s = 0;
        for (size_t at = 0; at < words[w].n;) {
            uint32_t *to = &d->next[(size_t)s * n_symbols + symbol_of(d, dfa_next_char(words[w], &at))];
            if (*to == DFA_NONE)
                *to = n_states++;
            s = *to;
        }
        d->accepts[s] = 1;
    }
    d->n_states = n_states;
    return d;
}

/* ---- asking ---- */

bool dfa_is_nothing(const struct dfa *d)
{
    bool is_nothing = d->n_states == 1 && !d->accepts[0];
    return is_nothing;
}

bool dfa_accepts(const struct dfa *d, struct str text)
{
    uint32_t s = 0;
    for (size_t at = 0; at < text.n;) {
        s = d->next[(size_t)s * d->n_symbols + symbol_of(d, dfa_next_char(text, &at))];
        if (s == DFA_NONE)
            return false;
    }
    return d->accepts[s];
}
