/* run.c - Follow a net: sets of readings, made once and found again.
 *
 * Start reading at run_find_next(): it takes every reading of a place one byte on (find_add follows
 * what needs no byte) and interns the set that comes out. */
#include "grammar/grammar_int.h"

#include <assert.h>
#include <stdlib.h>

#define FRAMES_CAP     (1u << 16)
#define READINGS_CAP   (1u << 18)
#define PLACES_CAP     (1u << 14)
#define ROW_BYTES      (8u << 20)
#define MASKS          96
#define VISITS         (1u << 13) /* a power of two */
#define VISITS_MAX     (VISITS / 2)
#define PENDING_MAX    4096
#define JUMPS_LOOKED   8
#define CHAR_NODES_MAX 256 /* looked at inside one character */

/* ---- hashes ---- */

static uint32_t mix(uint32_t h, uint32_t v)
{
    uint64_t x = ((uint64_t)h << 32 | v) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(x >> 32) ^ (uint32_t)x;
}

static bool table_init(struct table *t, uint32_t n_items)
{
    t->n_slots = n_items * 2;
    t->slots = calloc(t->n_slots, sizeof *t->slots);
    return t->slots != NULL;
}

/* ---- frames ---- */

static uint32_t frame_hash(const struct frame *f)
{
    return mix(mix(f->below, f->node), f->count);
}

/* The number of this frame; 0 if there is no room. */
static uint32_t intern_frame(struct run *run, struct frame f)
{
    uint32_t mask = run->frame_table.n_slots - 1, at = frame_hash(&f) & mask;
    for (; run->frame_table.slots[at]; at = (at + 1) & mask) {
        const struct frame *o = &run->frames[run->frame_table.slots[at] - 1];
        if (o->below == f.below && o->node == f.node && o->count == f.count)
            return run->frame_table.slots[at] - 1;
    }
    if (run->n_frames == run->frames_cap) {
        run->is_full = true;
        return 0;
    }
    run->frames[run->n_frames] = f;
    run->frame_table.slots[at] = run->n_frames + 1;
    return run->n_frames++;
}

/* ---- finding readings ---- */

static void find_begin(struct run *run)
{
    run->n_found = 0;
    run->found_plain = 0;
    run->found_end = false;
    run->stamp++;
    if (run->stamp == 0) { /* stamps of long ago would look new */
        memset(run->visits, 0, VISITS * sizeof *run->visits);
        run->stamp = 1;
    }
}

/* Has (node, stack) been met since find_begin?  Also true when too many were. */
static bool is_visited(struct run *run, uint32_t *n_visits, uint32_t node, uint32_t stack)
{
    uint32_t at = mix(node, stack) & (VISITS - 1);
    for (; run->visits[at].stamp == run->stamp; at = (at + 1) & (VISITS - 1))
        if (run->visits[at].node == node && run->visits[at].stack == stack)
            return true;
    if (*n_visits == VISITS_MAX)
        return true;
    run->visits[at] = (struct visit){node, stack, run->stamp};
    ++*n_visits;
    return false;
}

struct finder {
    struct run *run;
    uint32_t n_pending;
};

static void put(struct finder *f, uint32_t node, uint32_t stack, uint32_t n_fresh)
{
    if (f->n_pending < PENDING_MAX)
        f->run->pending[f->n_pending++] = (struct pending){node, stack, n_fresh};
}

static void enter(struct finder *f, struct frame frame, uint32_t node, uint32_t n_fresh)
{
    uint32_t stack = intern_frame(f->run, frame);
    if (stack)
        put(f, node, stack, n_fresh + 1);
}

/* At a loop of which `count` rounds are over. */
static void put_loop(struct finder *f, uint32_t loop, uint32_t stack, uint32_t count, uint32_t n_fresh)
{
    struct run *run = f->run;
    const struct net_node *n = &run->net->nodes[loop];
    bool is_endless = n->max == NET_NO_MAX;

    if (count >= n->min)
        put(f, n->b, stack, n_fresh);
    if (!is_endless && count >= n->max)
        return;
    uint32_t enough = n->min > 0 ? n->min : 1; /* more rounds of an endless loop need no counting */
    uint32_t round = is_endless && count >= enough ? enough : count + 1;
    enter(f, (struct frame){stack, loop, round, run->frames[stack].weight}, n->a, n_fresh);
    uint32_t left = is_endless ? PLAIN_ALL : n->max - count;
    if (n->is_plain && left > run->found_plain)
        run->found_plain = left;
}

static bool is_return(const struct net *net, uint32_t node)
{
    for (int i = 0; i < JUMPS_LOOKED && net->nodes[node].op == NET_OP_JUMP; i++)
        node = net->nodes[node].a;
    return node == NET_RET;
}

static void put_call(struct finder *f, const struct net_node *n, struct pending t)
{
    struct run *run = f->run;
    if (is_return(run->net, n->b)) { /* nothing is left to do here: the stack stays as it is */
        put(f, n->a, t.stack, t.n_fresh);
        return;
    }
    enter(f, (struct frame){t.stack, n->b, 0, run->frames[t.stack].weight + n->weight}, n->a, t.n_fresh);
}

static void put_return(struct finder *f, struct pending t)
{
    const struct frame *frame = &f->run->frames[t.stack];
    assert(t.stack != 0);
    const struct net_node *n = &f->run->net->nodes[frame->node];
    if (n->op == NET_OP_METER && frame->count > 0) { /* its count is one more than the characters */
        if (frame->count > n->min)
            put(f, n->b, frame->below, t.n_fresh ? t.n_fresh - 1 : 0);
    } else if (frame->count == 0)
        put(f, frame->node, frame->below, t.n_fresh ? t.n_fresh - 1 : 0);
    else if (t.n_fresh == 0) /* else the round was empty, and changes nothing */
        put_loop(f, frame->node, frame->below, frame->count, 0);
}

/* Can one more character, of which the body of the meter is at `count`, be the one before that node? */
static bool may_count(const struct net_node *meter, const struct net_node *count, uint64_t n_chars)
{
    bool is_short_enough = meter->max == NET_NO_MAX || n_chars + count->min <= meter->max;
    return is_short_enough && (count->max == NET_NO_MAX || n_chars + count->max >= meter->min);
}

static void put_count(struct finder *f, const struct net_node *n, struct pending t)
{
    struct run *run = f->run;
    struct frame frame = run->frames[t.stack];
    const struct net_node *meter = &run->net->nodes[frame.node];
    assert(meter->op == NET_OP_METER && frame.count > 0);
    if (!may_count(meter, n, frame.count))
        return;
    bool is_endless = meter->max == NET_NO_MAX;
    frame.count = is_endless && frame.count >= meter->min ? meter->min + 1 : frame.count + 1;
    uint32_t stack = intern_frame(run, frame);
    if (stack)
        put(f, n->a, stack, 0);
}

/* Inside a character (of several bytes) that a meter will count: is there one that it can take?  Else the
 * text would be stuck in the middle of it. */
static bool can_finish_char(const struct run *run, uint32_t node, uint32_t stack)
{
    uint32_t pending[CHAR_NODES_MAX], n_pending = 0, n_seen = 0;
    const struct frame *frame = &run->frames[stack];
    const struct net_node *meter = &run->net->nodes[frame->node];
    if (run->net->nodes[node].op != NET_OP_BYTES || meter->op != NET_OP_METER || frame->count == 0)
        return true;
    pending[n_pending++] = node;
    while (n_pending > 0 && n_seen++ < CHAR_NODES_MAX) {
        const struct net_node *n = &run->net->nodes[pending[--n_pending]];
        if (n->op == NET_OP_COUNT && may_count(meter, n, frame->count))
            return true;
        for (uint32_t e = 0; n->op == NET_OP_BYTES && e < n->b && n_pending < CHAR_NODES_MAX; e++)
            pending[n_pending++] = run->net->edges[n->a + e].to;
    }
    return false;
}

static void found(struct run *run, uint32_t node, uint32_t stack)
{
    if (run->n_found < GRAMMAR_READINGS_MAX)
        run->found[run->n_found++] = (struct reading){node, stack};
}

/* Add the readings that begin at (node, stack). */
static void find_add(struct run *run, uint32_t *n_visits, uint32_t node, uint32_t stack)
{
    struct finder f = {run, 0};
    put(&f, node, stack, 0);
    while (f.n_pending > 0) {
        struct pending t = run->pending[--f.n_pending];
        const struct net_node *n = &run->net->nodes[t.node];
        /* Only what can still end within the limit: so no reading is ever stuck. */
        if (n->height > NET_HEIGHT_MAX - run->frames[t.stack].weight)
            continue;
        if (is_visited(run, n_visits, t.node, t.stack))
            continue;
        switch ((enum net_op)n->op) {
        case NET_OP_NOTHING: break;
        case NET_OP_ACCEPT:
            run->found_end = true;
            found(run, t.node, t.stack);
            break;
        case NET_OP_BYTES:
            found(run, t.node, t.stack);
            if (n->is_plain)
                run->found_plain = PLAIN_ALL;
            break;
        case NET_OP_SPLIT:
            put(&f, n->b, t.stack, t.n_fresh);
            put(&f, n->a, t.stack, t.n_fresh);
            break;
        case NET_OP_JUMP: put(&f, n->a, t.stack, t.n_fresh); break;
        case NET_OP_CALL: put_call(&f, n, t); break;
        case NET_OP_RET: put_return(&f, t); break;
        case NET_OP_LOOP: put_loop(&f, t.node, t.stack, 0, t.n_fresh); break;
        case NET_OP_METER:
            enter(&f, (struct frame){t.stack, t.node, 1, run->frames[t.stack].weight}, n->a, t.n_fresh);
            break;
        case NET_OP_COUNT: put_count(&f, n, t); break;
        }
    }
}

/* ---- places ---- */

static uint32_t readings_hash(const struct reading *r, uint32_t n)
{
    uint32_t h = n;
    for (uint32_t i = 0; i < n; i++)
        h = mix(mix(h, r[i].node), r[i].stack);
    return h;
}

static uint32_t intern_place(struct run *run)
{
    if (run->n_found == 0)
        return PLACE_DEAD;
    size_t n_bytes = run->n_found * sizeof *run->found;
    uint32_t hash = readings_hash(run->found, run->n_found), mask = run->place_table.n_slots - 1;
    uint32_t at = hash & mask;
    for (; run->place_table.slots[at]; at = (at + 1) & mask) {
        uint32_t idx = run->place_table.slots[at] - 1;
        const struct place *p = &run->places[idx];
        if (p->hash == hash && p->n == run->n_found && !memcmp(&run->readings[p->first], run->found, n_bytes))
            return idx;
    }
    if (run->n_places == run->places_cap || run->n_readings + run->n_found > run->readings_cap) {
        run->is_full = true;
        return PLACE_DEAD;
    }
    run->places[run->n_places] = (struct place){
        .first = run->n_readings,
        .n = run->n_found,
        .hash = hash,
        .n_plain = run->found_plain,
        .may_end = run->found_end,
    };
    bool is_json = true;
    for (uint32_t i = 0; i < run->n_found; i++)
        is_json &= run->net->nodes[run->found[i].node].is_json;
    run->places[run->n_places].is_json = is_json;
    memcpy(&run->readings[run->n_readings], run->found, n_bytes);
    run->n_readings += run->n_found;
    run->place_table.slots[at] = run->n_places + 1;
    return run->n_places++;
}

uint32_t run_start(struct run *run)
{
    if (run->start == PLACE_UNKNOWN) {
        uint32_t n_visits = 0;
        find_begin(run);
        find_add(run, &n_visits, run->net->start, 0);
        run->start = intern_place(run);
    }
    return run->start;
}

static uint32_t find_edge(const struct net *net, const struct net_node *n, uint8_t byte)
{
    const struct net_edge *e = &net->edges[n->a];
    uint32_t lo = 0, hi = n->b;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (e[mid].hi < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n->b && e[lo].lo <= byte ? e[lo].to : NET_NOTHING;
}

/* The row of a place, made if there is room; NULL if not. */
static uint32_t *row_of(struct run *run, uint32_t place)
{
    struct place *p = &run->places[place];
    size_t n = run->net->n_classes;
    if (!p->row) {
        if (run->n_rows == run->rows_cap) {
            run->is_full = true;
            return NULL;
        }
        p->row = run->n_rows++;
        memset(run->rows + p->row * n, 0xff, n * sizeof *run->rows);
    }
    return run->rows + p->row * n;
}

uint32_t run_find_next(struct run *run, uint32_t place, uint8_t class)
{
    if (place == PLACE_DEAD)
        return PLACE_DEAD;
    uint32_t *row = row_of(run, place), n_visits = 0;
    const struct place *p = &run->places[place];
    uint8_t byte = run->net->class_byte[class];

    find_begin(run);
    for (uint32_t i = 0; i < p->n; i++) {
        struct reading r = run->readings[p->first + i];
        const struct net_node *n = &run->net->nodes[r.node];
        if (n->op != NET_OP_BYTES)
            continue;
        uint32_t to = find_edge(run->net, n, byte);
        if (to != NET_NOTHING && can_finish_char(run, to, r.stack))
            find_add(run, &n_visits, to, r.stack);
    }
    uint32_t next = intern_place(run);
    if (row && !run->is_full)
        row[class] = next;
    return next;
}

/* ---- making room ---- */

static void mark(struct run *run, uint32_t *live_places, uint32_t *live_frames, uint32_t place)
{
    if (place == PLACE_DEAD || place == PLACE_UNKNOWN || live_places[place])
        return;
    live_places[place] = 1;
    const struct place *p = &run->places[place];
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t f = run->readings[p->first + i].stack; f && !live_frames[f]; f = run->frames[f].below)
            live_frames[f] = 1;
}

static void insert(struct table *t, uint32_t hash, uint32_t idx)
{
    uint32_t at = hash & (t->n_slots - 1);
    while (t->slots[at])
        at = (at + 1) & (t->n_slots - 1);
    t->slots[at] = idx + 1;
}

/* Frames lie behind those below them, so sliding them together in order keeps both true. */
static void slide_frames(struct run *run, uint32_t *live)
{
    uint32_t n = 1;
    memset(run->frame_table.slots, 0, run->frame_table.n_slots * sizeof *run->frame_table.slots);
    for (uint32_t i = 1; i < run->n_frames; i++) {
        if (!live[i])
            continue;
        struct frame f = run->frames[i];
        f.below = live[f.below];
        live[i] = n;
        run->frames[n] = f;
        insert(&run->frame_table, frame_hash(&f), n++);
    }
    run->n_frames = n;
}

static void slide_places(struct run *run, uint32_t *live, const uint32_t *frames)
{
    uint32_t n = 1, n_readings = 0;
    memset(run->place_table.slots, 0, run->place_table.n_slots * sizeof *run->place_table.slots);
    for (uint32_t i = 1; i < run->n_places; i++) {
        if (!live[i])
            continue;
        struct place p = run->places[i];
        for (uint32_t k = 0; k < p.n; k++) {
            struct reading r = run->readings[p.first + k];
            r.stack = frames[r.stack];
            run->readings[n_readings + k] = r;
        }
        p.first = n_readings;
        p.row = p.mask = p.few = 0;
        p.hash = readings_hash(&run->readings[n_readings], p.n);
        n_readings += p.n;
        live[i] = n;
        run->places[n] = p;
        insert(&run->place_table, p.hash, n++);
    }
    run->n_places = n;
    run->n_readings = n_readings;
}

uint32_t run_collect(struct run *run, uint32_t keep)
{
    uint32_t *live_places = run->remap, *live_frames = run->remap + run->places_cap;
    memset(run->remap, 0, ((size_t)run->places_cap + run->frames_cap) * sizeof *run->remap);
    mark(run, live_places, live_frames, keep);
    mark(run, live_places, live_frames, run->start);
    for (struct grammar_state *s = run->states; s; s = s->next)
        mark(run, live_places, live_frames, s->place);
    slide_frames(run, live_frames);
    slide_places(run, live_places, live_frames);
    run->n_rows = run->n_few = 1;
    for (uint32_t i = 0; i < run->n_masks; i++)
        run->mask_slots[i].place = PLACE_DEAD;
    for (struct grammar_state *s = run->states; s; s = s->next)
        s->place = live_places[s->place];
    if (run->start != PLACE_UNKNOWN)
        run->start = live_places[run->start];
    run->is_full = false;
    return keep == PLACE_UNKNOWN ? keep : live_places[keep];
}

/* ---- life ---- */

static void *take(struct run *run, size_t n, size_t size)
{
    run->bytes += n * size;
    return calloc(n, size); /* large: the system gives pages only when they are touched */
}

int run_init(struct run *run, const struct net *net, const struct grammar_vocab *vocab)
{
    *run = (struct run){.net = net, .vocab = vocab, .start = PLACE_UNKNOWN};
    run->frames_cap = FRAMES_CAP;
    run->readings_cap = READINGS_CAP;
    run->places_cap = PLACES_CAP;
    uint32_t rows = ROW_BYTES / (net->n_classes * (uint32_t)sizeof(uint32_t));
    run->rows_cap = rows < PLACES_CAP ? rows : PLACES_CAP;
    run->n_masks = vocab ? MASKS : 0;

    run->frames = take(run, run->frames_cap, sizeof *run->frames);
    run->readings = take(run, run->readings_cap, sizeof *run->readings);
    run->places = take(run, run->places_cap, sizeof *run->places);
    run->rows = take(run, (size_t)run->rows_cap * net->n_classes, sizeof *run->rows);
    run->visits = take(run, VISITS, sizeof *run->visits);
    run->pending = take(run, PENDING_MAX, sizeof *run->pending);
    run->found = take(run, GRAMMAR_READINGS_MAX, sizeof *run->found);
    run->remap = take(run, (size_t)run->places_cap + run->frames_cap, sizeof *run->remap);
    run->masks = take(run, (size_t)run->n_masks * (vocab ? vocab->n_words : 0) + 1, sizeof *run->masks);
    run->mask_slots = take(run, run->n_masks + 1, sizeof *run->mask_slots);
    run->few = take(run, vocab ? FEW_CAP : 1, sizeof *run->few);
    run->levels = take(run, (vocab ? vocab->all.depth : 0) + 2, sizeof *run->levels);
    bool has_tables = open_init(run) == OK && table_init(&run->frame_table, run->frames_cap) &&
                      table_init(&run->place_table, run->places_cap);
    if (!run->frames || !run->readings || !run->places || !run->rows || !run->visits || !run->pending ||
        !run->found || !run->remap || !run->masks || !run->mask_slots || !run->few || !run->levels ||
        !has_tables) {
        run_deinit(run);
        return ERR_NOMEM;
    }
    run->n_frames = run->n_places = run->n_rows = run->n_few =
        1; /* 0 is the bottom, the dead place, no row */
    return OK;
}

void run_deinit(struct run *run)
{
    free(run->frames);
    free(run->readings);
    free(run->places);
    free(run->rows);
    free(run->visits);
    free(run->pending);
    free(run->found);
    free(run->remap);
    free(run->masks);
    free(run->mask_slots);
    free(run->few);
    free(run->levels);
    open_deinit(run);
    free(run->frame_table.slots);
    free(run->place_table.slots);
    *run = (struct run){0};
}
