/* gbnf.c - Rules of GBNF become nodes of the net.
 *
 * A rule is a jump, so that it can be called before it is made.  The tree of a rule is walked from its
 * top with a list of tasks: each has a jump to be set, and the node that follows. */
#include "grammar/gbnf.h"

#include <stdlib.h>

struct task {
    const struct gbnf_node *node;
    uint32_t from, next;
};

struct maker {
    struct compiler *c;
    struct gbnf gbnf;
    struct task *tasks;
    uint32_t n_tasks, tasks_cap;
};

static uint32_t later(struct maker *m, const struct gbnf_node *node, uint32_t next)
{
    struct net *net = &m->c->net;
    if (m->n_tasks == m->tasks_cap) {
        uint32_t cap = m->tasks_cap ? m->tasks_cap * 2 : 64;
        struct task *grown = reallocarray(m->tasks, cap, sizeof *grown);
        if (!grown) {
            compile_fail(m->c, ERR_NOMEM, S(""), "no memory for a grammar");
            return NET_NOTHING;
        }
        m->tasks = grown;
        m->tasks_cap = cap;
    }
    uint32_t jump = net_jump(net);
    m->tasks[m->n_tasks++] = (struct task){node, jump, next};
    return jump;
}

/* One character of the set, then next. */
static uint32_t make_set(struct maker *m, const struct charset *set, uint32_t next)
{
    struct arena *arena = &m->c->arena;
    uint32_t n = 2 * set->n + 1, n_first = 0;
    struct dfa d = {.n_states = 2};
    d.first = arena_new_array(arena, uint32_t, n);
    d.next = arena_new_array(arena, uint32_t, 2 * (size_t)n);
    d.accepts = arena_new_array(arena, uint8_t, 2);
    if (!d.first || !d.next || !d.accepts) {
        compile_fail(m->c, ERR_LIMIT, S(""), "the grammar is too large");
        return NET_NOTHING;
    }
    d.accepts[1] = 1;
    d.next[n_first] = DFA_NONE;
    d.first[n_first++] = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->ranges[i].lo == 0)
            n_first = 0;
        d.next[n_first] = 1;
        d.first[n_first++] = set->ranges[i].lo;
        if (set->ranges[i].hi >= DFA_CHAR_MAX)
            break;
        d.next[n_first] = DFA_NONE;
        d.first[n_first++] = set->ranges[i].hi + 1;
    }
    d.n_symbols = n_first;
    for (uint32_t i = 0; i < n_first; i++)
        d.next[n_first + i] = DFA_NONE;
    return dfa_to_net(&m->c->room, &d, DFA_PLAIN, next);
}

static uint32_t make_node(struct maker *m, const struct gbnf_node *n, uint32_t next)
{
    struct net *net = &m->c->net;
    switch (n->op) {
    case GBNF_EMPTY: return next;
    case GBNF_TEXT: return net_text(net, n->text, next);
    case GBNF_SET: return make_set(m, &n->set, next);
    case GBNF_CAT: return later(m, n->a, later(m, n->b, next));
    case GBNF_ALT: {
        uint32_t a = later(m, n->a, next);
        return net_either(net, a, later(m, n->b, next));
    }
    case GBNF_REPEAT:
        if (n->min == 0 && n->max == 1)
            return net_either(net, later(m, n->a, next), next);
        return net_loop(net, later(m, n->a, NET_RET), n->min, n->max, false, next);
    case GBNF_RULE: return net_call(net, m->gbnf.rules[n->rule].jump, NET_WEIGHT_RULE, next);
    }
    return NET_NOTHING;
}

static void make_rule(struct maker *m, struct gbnf_rule *rule)
{
    struct net *net = &m->c->net;
    rule->first_node = net->n_nodes;
    net_set_jump(net, rule->jump, later(m, rule->body, NET_RET));
    while (m->n_tasks > 0 && net_is_good(net) && !m->c->has_failed) {
        struct task t = m->tasks[--m->n_tasks];
        net_set_jump(net, t.from, make_node(m, t.node, t.next));
    }
    rule->end_node = net->n_nodes;
}

/* A node on the circle lies in a rule of the circle. */
static void tell_cycle(struct compiler *c, uint32_t node)
{
    const struct gbnf *g = c->cycle_ctx;
    for (uint32_t i = 0; i < g->n_rules; i++) {
        const struct gbnf_rule *r = &g->rules[i];
        if (node == r->jump || (node >= r->first_node && node < r->end_node)) {
            gbnf_fail(c, ERR_FORMAT, r->at, "has the rule %.*s, which begins with itself", STR(r->name));
            return;
        }
    }
}

uint32_t compile_gbnf(struct compiler *c, struct str text, uint32_t next)
{
    struct maker *m = arena_new(&c->arena, struct maker);
    if (!m || !gbnf_parse(c, text, &m->gbnf))
        return NET_NOTHING;
    m->c = c;
    struct gbnf_rule *root = NULL;
    for (uint32_t i = 0; i < m->gbnf.n_rules; i++) {
        m->gbnf.rules[i].jump = net_jump(&c->net);
        if (str_eq(m->gbnf.rules[i].name, S("root")))
            root = &m->gbnf.rules[i];
    }
    if (!root) {
        gbnf_fail(c, ERR_FORMAT, 0, "has no rule root");
        return NET_NOTHING;
    }
    for (uint32_t i = 0; i < m->gbnf.n_rules && !c->has_failed; i++)
        make_rule(m, &m->gbnf.rules[i]);
    free(m->tasks);
    c->tell_cycle = tell_cycle;
    c->cycle_ctx = &m->gbnf;
    return net_call(&c->net, root->jump, NET_WEIGHT_RULE, next);
}
