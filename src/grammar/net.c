/* net.c - Build a net, and find out what holds for each of its nodes. */
#include "grammar/net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define EDGES_PER_NODE_MAX 8    /* on average, against nodes_max */
#define ASKED_EVERY        8    /* looks at the clock are system calls */
#define CLOCK_EVERY        4096 /* nodes between two looks at the clock */
#define PASSES_MAX         2000 /* over all nodes, until nothing changes */

int net_init(struct net *net, uint32_t nodes_max, int64_t deadline_ns)
{
    *net = (struct net){.nodes_max = nodes_max, .deadline_ns = deadline_ns};
    net->nodes_cap = 256;
    net->edges_cap = 512;
    net->nodes = calloc(net->nodes_cap, sizeof *net->nodes);
    net->edges = calloc(net->edges_cap, sizeof *net->edges);
    if (!net->nodes || !net->edges) {
        net_deinit(net);
        return ERR_NOMEM;
    }
    net->nodes[NET_NOTHING].op = NET_OP_NOTHING;
    net->nodes[NET_ACCEPT].op = NET_OP_ACCEPT;
    net->nodes[NET_RET].op = NET_OP_RET;
    net->n_nodes = 3;
    return OK;
}

void net_deinit(struct net *net)
{
    free(net->nodes);
    free(net->edges);
    *net = (struct net){0};
}

static void go_bad(struct net *net, int code)
{
    if (!net->is_bad)
        net->bad_code = code;
    net->is_bad = true;
}

bool net_is_good(struct net *net)
{
    if (net->n_asked++ % ASKED_EVERY == 0 && !net->is_bad && net->deadline_ns &&
        clock_thread_cpu_ns() > net->deadline_ns)
        go_bad(net, ERR_LIMIT);
    return !net->is_bad;
}

static uint32_t new_node(struct net *net, struct net_node node)
{
    if (net->n_nodes >= net->nodes_max)
        go_bad(net, ERR_LIMIT);
    if (net->n_nodes % CLOCK_EVERY == 0)
        net_is_good(net);
    if (net->is_bad)
        return NET_NOTHING;
    if (net->n_nodes == net->nodes_cap) {
        struct net_node *grown = reallocarray(net->nodes, (size_t)net->nodes_cap * 2, sizeof *grown);
        if (!grown) {
            go_bad(net, ERR_NOMEM);
            return NET_NOTHING;
        }
        net->nodes = grown;
        net->nodes_cap *= 2;
    }
    net->nodes[net->n_nodes] = node;
    return net->n_nodes++;
}

static bool reserve_edges(struct net *net, uint32_t n)
{
    if (net->n_edges + n > (uint64_t)net->nodes_max * EDGES_PER_NODE_MAX)
        go_bad(net, ERR_LIMIT);
    while (!net->is_bad && net->n_edges + n > net->edges_cap) {
        struct net_edge *grown = reallocarray(net->edges, (size_t)net->edges_cap * 2, sizeof *grown);
        if (!grown) {
            go_bad(net, ERR_NOMEM);
            break;
        }
        net->edges = grown;
        net->edges_cap *= 2;
    }
    return !net->is_bad;
}

uint32_t net_bytes(struct net *net, const struct net_edge *edges, uint32_t n)
{
    if (!reserve_edges(net, n))
        return NET_NOTHING;
    uint32_t first = net->n_edges;
    for (uint32_t i = 0; i < n; i++) {
        if (edges[i].to == NET_NOTHING)
            continue;
        struct net_edge *last = net->n_edges > first ? &net->edges[net->n_edges - 1] : NULL;
        assert(edges[i].lo <= edges[i].hi && (!last || last->hi < edges[i].lo));
        if (last && last->to == edges[i].to && last->hi + 1 == edges[i].lo)
            last->hi = edges[i].hi;
        else
            net->edges[net->n_edges++] = edges[i];
    }
    if (net->n_edges == first)
        return NET_NOTHING;
    return new_node(net, (struct net_node){.op = NET_OP_BYTES, .a = first, .b = net->n_edges - first});
}

uint32_t net_byte(struct net *net, uint8_t lo, uint8_t hi, uint32_t next)
{
    return net_bytes(net, &(struct net_edge){lo, hi, next}, 1);
}

uint32_t net_text(struct net *net, struct str s, uint32_t next)
{
    for (size_t i = s.n; i > 0 && next != NET_NOTHING; i--)
        next = net_byte(net, (uint8_t)s.p[i - 1], (uint8_t)s.p[i - 1], next);
    return next;
}

uint32_t net_either(struct net *net, uint32_t a, uint32_t b)
{
    if (a == NET_NOTHING || a == b)
        return b;
    if (b == NET_NOTHING)
        return a;
    return new_node(net, (struct net_node){.op = NET_OP_SPLIT, .a = a, .b = b});
}

uint32_t net_call(struct net *net, uint32_t rule, uint16_t weight, uint32_t next)
{
    if (rule == NET_NOTHING || next == NET_NOTHING)
        return NET_NOTHING;
    if (rule == NET_RET)
        return next;
    return new_node(net, (struct net_node){.op = NET_OP_CALL, .weight = weight, .a = rule, .b = next});
}

uint32_t net_loop(struct net *net, uint32_t body, uint32_t min, uint32_t max, bool is_plain, uint32_t next)
{
    if (body == NET_NOTHING || max == 0)
        return min == 0 ? next : NET_NOTHING;
    if (next == NET_NOTHING || min > max)
        return NET_NOTHING;
    return new_node(
        net, (struct net_node){
                 .op = NET_OP_LOOP, .is_plain = is_plain, .a = body, .b = next, .min = min, .max = max});
}

uint32_t net_meter(struct net *net, uint32_t body, uint32_t min, uint32_t max, uint32_t next)
{
    if (body == NET_NOTHING || next == NET_NOTHING || min > max)
        return NET_NOTHING;
    return new_node(net, (struct net_node){.op = NET_OP_METER, .a = body, .b = next, .min = min, .max = max});
}

uint32_t net_count(struct net *net, uint32_t least, uint32_t most, uint32_t next)
{
    return new_node(net, (struct net_node){.op = NET_OP_COUNT, .a = next, .min = least, .max = most});
}

uint32_t net_jump(struct net *net)
{
    return new_node(net, (struct net_node){.op = NET_OP_JUMP, .a = NET_NOTHING});
}

void net_set_jump(struct net *net, uint32_t jump, uint32_t to)
{
    if (net->is_bad)
        return;
    assert(net->nodes[jump].op == NET_OP_JUMP);
    net->nodes[jump].a = to;
}

void net_set_plain(struct net *net, uint32_t node, bool is_plain)
{
    if (!net->is_bad)
        net->nodes[node].is_plain = is_plain;
}

void net_mark_json(struct net *net, uint32_t from)
{
    for (uint32_t i = from; i < net->n_nodes; i++)
        net->nodes[i].is_json = true;
}

/* ---- what holds for the nodes ---- */

static uint32_t max_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t min_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t raised(uint32_t height, uint32_t weight)
{
    return height > NET_HEIGHT_MAX - weight ? NET_HOPELESS : height + weight;
}

/* The height of what a way leads to.  Jumps are looked through, so that heights pass along long rows
 * of states in one go.  (There are no circles of jumps: find_cycle has looked for them.) */
static uint32_t height_at(const struct net *net, uint32_t i)
{
    while (net->nodes[i].op == NET_OP_JUMP || net->nodes[i].op == NET_OP_COUNT)
        i = net->nodes[i].a;
    return net->nodes[i].height;
}

/* The height of node i from those behind it. */
static uint32_t height_of(const struct net *net, uint32_t i)
{
    const struct net_node *n = &net->nodes[i];
    uint32_t h = NET_HOPELESS;

    switch ((enum net_op)n->op) {
    case NET_OP_NOTHING: return NET_HOPELESS;
    case NET_OP_ACCEPT:
    case NET_OP_RET: return 0;
    case NET_OP_BYTES:
        for (uint32_t e = 0; e < n->b; e++)
            h = min_of(h, height_at(net, net->edges[n->a + e].to));
        return h;
    case NET_OP_SPLIT: return min_of(height_at(net, n->a), height_at(net, n->b));
    case NET_OP_JUMP:
    case NET_OP_COUNT: return height_at(net, n->a);
    case NET_OP_CALL: return max_of(raised(height_at(net, n->a), n->weight), height_at(net, n->b));
    case NET_OP_METER: return max_of(height_at(net, n->a), height_at(net, n->b));
    case NET_OP_LOOP:
        return n->min == 0 ? height_at(net, n->b) : max_of(height_at(net, n->a), height_at(net, n->b));
    }
    return h;
}

/* Heights are the least solution: all hopeless at first, then lowered until nothing changes.  Nodes
 * mostly come after those that follow them, or (states of automata) all before them, so that few passes
 * in turn up and down are enough. */
static bool find_heights(struct net *net)
{
    for (uint32_t i = 0; i < net->n_nodes; i++)
        net->nodes[i].height = NET_HOPELESS;
    bool has_changed = true;
    for (int pass = 0; has_changed; pass++) {
        if (pass == PASSES_MAX || !net_is_good(net)) {
            go_bad(net, ERR_LIMIT);
            return false;
        }
        has_changed = false;
        for (uint32_t k = 0; k < net->n_nodes; k++) {
            uint32_t i = pass % 2 ? net->n_nodes - 1 - k : k, h = height_of(net, i);
            has_changed |= h != net->nodes[i].height;
            net->nodes[i].height = h;
        }
    }
    return true;
}

/* is_empty[i]: from node i the end of the rule can be reached without a byte. */
static bool find_empty(struct net *net, uint8_t *is_empty)
{
    bool has_changed = true;
    memset(is_empty, 0, net->n_nodes);
    is_empty[NET_RET] = is_empty[NET_ACCEPT] = 1;
    for (int pass = 0; has_changed; pass++) {
        if (pass == PASSES_MAX || !net_is_good(net)) {
            go_bad(net, ERR_LIMIT);
            return false;
        }
        has_changed = false;
        for (uint32_t k = 3; k < net->n_nodes; k++) {
            uint32_t i = pass % 2 ? net->n_nodes + 2 - k : k;
            const struct net_node *n = &net->nodes[i];
            uint8_t v = 0;
            if (n->op == NET_OP_SPLIT)
                v = is_empty[n->a] | is_empty[n->b];
            else if (n->op == NET_OP_JUMP || n->op == NET_OP_COUNT)
                v = is_empty[n->a];
            else if (n->op == NET_OP_METER)
                v = is_empty[n->a] & is_empty[n->b] & (n->min == 0);
            else if (n->op == NET_OP_CALL)
                v = is_empty[n->a] & is_empty[n->b];
            else if (n->op == NET_OP_LOOP)
                v = is_empty[n->b] & (n->min == 0 || is_empty[n->a]);
            has_changed |= v != is_empty[i];
            is_empty[i] = v;
        }
    }
    return true;
}

/* The k-th node that can be reached from node i without a byte, or NET_NOTHING. */
static uint32_t silent_step(const struct net *net, const uint8_t *is_empty, uint32_t i, int k)
{
    const struct net_node *n = &net->nodes[i];
    switch ((enum net_op)n->op) {
    case NET_OP_SPLIT: return k == 0 ? n->a : k == 1 ? n->b : NET_NOTHING;
    case NET_OP_JUMP:
    case NET_OP_COUNT: return k == 0 ? n->a : NET_NOTHING;
    case NET_OP_METER: return k == 0 ? n->a : k == 1 && is_empty[n->a] ? n->b : NET_NOTHING;
    case NET_OP_CALL: return k == 0 ? n->a : k == 1 && is_empty[n->a] ? n->b : NET_NOTHING;
    case NET_OP_LOOP: return k == 0 ? n->a : k == 1 && (n->min == 0 || is_empty[n->a]) ? n->b : NET_NOTHING;
    default: return NET_NOTHING;
    }
}

/* A node from which silent steps lead back to it, or NET_NOTHING.  Depth first with an own stack:
 * state 0 unseen, 1 + k on the path with k steps tried, 255 done. */
static uint32_t find_cycle(const struct net *net, const uint8_t *is_empty, uint8_t *seen, uint32_t *path)
{
    memset(seen, 0, net->n_nodes);
    for (uint32_t root = 3; root < net->n_nodes; root++) {
        uint32_t depth = 0;
        if (seen[root])
            continue;
        path[depth++] = root;
        seen[root] = 1;
        while (depth > 0) {
            uint32_t at = path[depth - 1];
            int k = seen[at] - 1;
            if (k == 2) {
                seen[at] = 255;
                depth--;
                continue;
            }
            seen[at]++;
            uint32_t to = silent_step(net, is_empty, at, k);
            if (to < 3 || seen[to] == 255)
                continue;
            if (seen[to] != 0)
                return to;
            seen[to] = 1;
            path[depth++] = to;
        }
    }
    return NET_NOTHING;
}

/* A loop whose body may be empty: rounds that say nothing count for nothing. */
static void relax_loops(struct net *net, const uint8_t *is_empty)
{
    for (uint32_t i = 3; i < net->n_nodes; i++)
        if (net->nodes[i].op == NET_OP_LOOP && is_empty[net->nodes[i].a])
            net->nodes[i].min = 0;
}

static void find_classes(struct net *net)
{
    bool begins[257] = {true};
    for (uint32_t i = 0; i < net->n_edges; i++) {
        begins[net->edges[i].lo] = true;
        begins[net->edges[i].hi + 1] = true;
    }
    net->n_classes = 0;
    for (int b = 0; b < 256; b++) {
        if (begins[b])
            net->class_byte[net->n_classes++] = (uint8_t)b;
        net->class_of[b] = (uint8_t)(net->n_classes - 1);
    }
}

int net_finish(struct net *net, uint32_t start, uint32_t *cycle)
{
    *cycle = NET_NOTHING;
    if (!net_is_good(net))
        return net->bad_code;
    uint8_t *is_empty = calloc(net->n_nodes, 1), *seen = calloc(net->n_nodes, 1);
    uint32_t *path = calloc(net->n_nodes, sizeof *path);
    int rc = OK;
    if (!is_empty || !seen || !path) {
        rc = ERR_NOMEM;
        goto out;
    }
    if (!find_empty(net, is_empty)) {
        rc = net->bad_code;
        goto out;
    }
    if ((*cycle = find_cycle(net, is_empty, seen, path)) != NET_NOTHING) {
        rc = ERR_FORMAT;
        goto out;
    }
    relax_loops(net, is_empty);
    if (!find_heights(net)) {
        rc = net->bad_code;
        goto out;
    }
    find_classes(net);
    net->start = start;
    if (net->nodes[start].height > NET_HEIGHT_MAX)
        rc = ERR_ARG;
out:
    free(path);
    free(seen);
    free(is_empty);
    return rc;
}
