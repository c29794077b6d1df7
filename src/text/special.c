/* special.c - Aho-Corasick for leftmost-longest matches with permissions.
 *
 * A node is a prefix of some pattern.  Children of a node are a list (few have more than two), those of
 * the root a table of 256, and most bytes of ordinary text never leave the root.  `fail` leads to the
 * longest proper suffix that is a node too, `output` to the longest suffix that is a whole pattern.
 *
 * Leftmost-longest: remember the best match so far and walk on until the automaton's current
 * prefix begins after it; then nothing that begins as early can follow.
 *
 * Start reading at special_next(). */
#include "text/special.h"

#include <assert.h>
#include <stdlib.h>

#define NODES_MAX ((size_t)1 << 26)
#define NO_NODE   UINT32_MAX

struct node {
    uint32_t child;   /* first child, or NO_NODE */
    uint32_t sibling; /* next child of the same parent */
    uint32_t fail;
    uint32_t output; /* longest pattern that ends here (this node or a suffix), or NO_NODE */
    uint32_t depth;
    int32_t id; /* of the pattern that this node is, or -1 */
    uint8_t byte;
    bool needs_permission;
};

struct special_set {
    struct node *nodes; /* [0] is the root */
    size_t n_nodes, nodes_cap;
    uint32_t root_child[256];
};

static uint32_t find_child(const struct special_set *set, uint32_t parent, uint8_t byte)
{
    if (parent == 0)
        return set->root_child[byte];
    uint32_t at = set->nodes[parent].child;
    while (at != NO_NODE && set->nodes[at].byte != byte)
        at = set->nodes[at].sibling;
    return at;
}

static uint32_t add_node(struct special_set *set, uint32_t parent, uint8_t byte)
{
    assert(set->n_nodes < set->nodes_cap);
    uint32_t at = (uint32_t)set->n_nodes++;
    struct node *node = &set->nodes[at];
    *node = (struct node){.child = NO_NODE, .output = NO_NODE, .id = -1, .byte = byte};
    node->depth = set->nodes[parent].depth + 1;
    node->sibling = set->nodes[parent].child;
    set->nodes[parent].child = at;
    if (parent == 0)
        set->root_child[byte] = at;
    return at;
}

static void add_pattern(struct special_set *set, const struct special_pattern *pattern)
{
    uint32_t at = 0;
    for (size_t i = 0; i < pattern->text.n; i++) {
        uint8_t byte = (uint8_t)pattern->text.p[i];
        uint32_t next = find_child(set, at, byte);
        at = next != NO_NODE ? next : add_node(set, at, byte);
    }
    if (set->nodes[at].id < 0) {
        set->nodes[at].id = pattern->id;
        set->nodes[at].needs_permission = pattern->needs_permission;
    }
}

/* Where `byte` leads from a suffix of the node at `from`. */
static uint32_t step(const struct special_set *set, uint32_t from, uint8_t byte)
{
    for (;;) {
        uint32_t next = find_child(set, from, byte);
        if (next != NO_NODE)
            return next;
        if (from == 0)
            return 0;
        from = set->nodes[from].fail;
    }
}

/* Breadth first: a node's fail is nearer to the root than the node. */
static int link_nodes(struct special_set *set)
{
    uint32_t *queue = malloc(set->n_nodes * sizeof *queue);
    if (!queue)
        return ERR_NOMEM;
    size_t head = 0, tail = 0;
    queue[tail++] = 0;
    while (head < tail) {
        uint32_t parent = queue[head++];
        for (uint32_t at = set->nodes[parent].child; at != NO_NODE; at = set->nodes[at].sibling) {
            struct node *node = &set->nodes[at];
            node->fail = parent == 0 ? 0 : step(set, set->nodes[parent].fail, node->byte);
            node->output = node->id >= 0 ? at : set->nodes[node->fail].output;
            queue[tail++] = at;
        }
    }
    assert(tail == set->n_nodes);
    free(queue);
    return OK;
}

int special_create(struct special_set **out, const struct special_pattern *patterns, size_t n,
                   struct err *err)
{
    *out = NULL;
    size_t n_bytes = 1;
    for (size_t i = 0; i < n; i++) {
        if (patterns[i].text.n >= NODES_MAX - n_bytes)
            return fail(err, ERR_LIMIT, "the special tokens of this vocabulary have more than %zu bytes",
                        NODES_MAX);
        n_bytes += patterns[i].text.n;
    }
    struct special_set *set = calloc(1, sizeof *set);
    if (set)
        set->nodes = malloc(n_bytes * sizeof *set->nodes);
    if (!set || !set->nodes) {
        special_free(set);
        return fail(err, ERR_NOMEM, "no memory for %zu special tokens", n);
    }
    set->nodes_cap = n_bytes;
    set->n_nodes = 1;
    set->nodes[0] = (struct node){.child = NO_NODE, .output = NO_NODE, .id = -1};
    for (int b = 0; b < 256; b++)
        set->root_child[b] = NO_NODE;
    for (size_t i = 0; i < n; i++) {
        assert(patterns[i].text.n > 0 && patterns[i].id >= 0);
        add_pattern(set, &patterns[i]);
    }
    if (link_nodes(set) != OK) {
        special_free(set);
        return fail(err, ERR_NOMEM, "no memory for %zu special tokens", n);
    }
    *out = set;
    return OK;
}

void special_free(struct special_set *set)
{
    if (!set)
        return;
    free(set->nodes);
    free(set);
}

void special_begin(struct special_search *search, const struct special_set *set, struct str text,
                   const struct special_span *spans, size_t n_spans)
{
    *search = (struct special_search){set, text, spans, n_spans, 0};
}

static bool is_permitted(const struct special_search *search, size_t begin, size_t end)
{
    size_t low = 0, high = search->n_spans; /* the first stretch that begins after `begin` */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (search->spans[mid].begin <= begin)
            low = mid + 1;
        else
            high = mid;
    }
    return low > 0 && end <= search->spans[low - 1].end;
}

/* The earliest pattern that ends behind text[end - 1], in state `at`, and may count. */
static bool find_output(const struct special_search *search, uint32_t at, size_t end,
                        struct special_match *match)
{
    const struct node *nodes = search->set->nodes;
    for (uint32_t out = nodes[at].output; out != NO_NODE; out = nodes[nodes[out].fail].output) {
        size_t begin = end - nodes[out].depth;
        if (nodes[out].needs_permission && !is_permitted(search, begin, end))
            continue;
        *match = (struct special_match){begin, end, nodes[out].id};
        return true;
    }
    return false;
}

bool special_next(struct special_search *search, struct special_match *match)
{
    const struct special_set *set = search->set;
    const uint8_t *text = (const uint8_t *)search->text.p;
    size_t n = search->text.n;
    uint32_t at = 0;
    bool found = false;
    for (size_t i = search->at; i < n; i++) {
        if (at == 0) { /* the root, where ordinary text is skipped */
            while (i < n && set->root_child[text[i]] == NO_NODE)
                i++;
            if (i == n)
                break;
        }
        at = step(set, at, text[i]);
        struct special_match now;
        if (find_output(search, at, i + 1, &now) &&
            (!found || now.begin < match->begin || (now.begin == match->begin && now.end > match->end))) {
            *match = now;
            found = true;
        }
        if (found && i + 1 - set->nodes[at].depth > match->begin)
            break;
    }
    search->at = found ? match->end : n;
    return found;
}
