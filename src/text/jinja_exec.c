/* jinja_exec.c - Statements: output, loops, assignments, macros.
 *
 * A scope holds the variables that a loop pass, macro, call or block sets; `if` has none of its
 * own.  A scope dies with its block unless a macro was defined in it.  Loops pull their items
 * one by one, so that a loop's filter sees what the body has changed in a namespace. */
#include <string.h>

#include "text/jinja_int.h"

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAILED };

struct jj_loop {
    const struct jj_node *node;
    struct jj_scope *outer; /* where the `for` stands */
    struct jj_list *source;
    uint32_t source_at;
    bool is_filtered; /* node->c still has to be asked for each item of source */
    bool has_previous, has_next, has_length;
    struct jj_value previous, current, next;
    int64_t index0, length;
    int32_t depth0;
    struct jj_list *changed; /* what changed() was last given, or NULL */
};

static enum flow exec_body(struct jj *j, const struct jj_nodes *body);

/* ---- scopes ---- */

struct jj_scope *jj_scope_new(struct jj *j, struct jj_scope *parent)
{
    struct jj_scope *s = arena_new(j->arena, struct jj_scope);
    if (s)
        s->parent = parent;
    else
        jj_no_memory(j);
    return s;
}

bool jj_scope_set(struct jj *j, struct jj_scope *s, uint32_t id, struct jj_value v)
{
    if (!jj_spend(j, s->n / 16 + 1))
        return false;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->v[i].id == id) {
            s->v[i].value = v;
            return true;
        }
    }
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 4;
        struct jj_variable *grown = arena_new_array(j->arena, struct jj_variable, cap);
        if (!grown)
            return jj_no_memory(j);
        if (s->n)
            memcpy(grown, s->v, s->n * sizeof *grown);
        s->v = grown;
        s->cap = cap;
    }
    s->v[s->n++] = (struct jj_variable){id, v};
    return true;
}

/* Run `body` in a scope of its own. */
static enum flow exec_scoped(struct jj *j, const struct jj_nodes *body, struct jj_scope *scope)
{
    struct jj_scope *outer = j->scope;
    if (!scope)
        return FLOW_FAILED;
    j->scope = scope;
    enum flow flow = exec_body(j, body);
    j->scope = outer;
    return flow;
}

/* Run `body` in `scope` and take what it puts out as a value. */
static enum flow capture(struct jj *j, const struct jj_nodes *body, struct jj_scope *scope,
                         struct jj_value *out)
{
    struct jj_text text = {0}, *outer = j->out;
    j->out = &text;
    enum flow flow = exec_scoped(j, body, scope);
    j->out = outer;
    *out = jj_text_value(&text);
    return flow;
}

/* ---- assignment ---- */

static bool assign(struct jj *j, const struct jj_node *target, struct jj_value v)
{
    struct jj_list *items;
    struct jj_value space;
    switch (target->kind) {
    case JJN_NAME: return jj_scope_set(j, j->scope, target->id, v);
    case JJN_NSREF: {
        struct jj_node name = {
            .kind = JJN_NAME, .line = target->line, .id = target->id, .name = target->name};
        if (!jj_eval(j, &name, &space))
            return false;
        if (!jj_is(space, JJ_NAMESPACE))
            return jj_fail(j, "'%.*s.%.*s' can only be set if '%.*s' is a namespace", STR(target->name),
                           STR(target->attr), STR(target->name));
        return jj_dict_set(j, space.dict, jj_str(target->attr), v);
    }
    default: /* a tuple; nested at most JJ_PARSE_DEPTH_MAX */
        if (!jj_items_of(j, v, &items))
            return false;
        if (items->n != target->list.n)
            return jj_fail(j, "%u values cannot be unpacked into %u names", items->n, target->list.n);
        for (uint32_t i = 0; i < target->list.n; i++)
            if (!assign(j, target->list.v[i], items->v[i]))
                return false;
        return true;
    }
}

/* ---- loops ---- */

static bool passes_filter(struct jj *j, struct jj_loop *loop, struct jj_value item, bool *passes)
{
    struct jj_scope *outer = j->scope;
    struct jj_value test;
    j->scope = jj_scope_new(j, loop->outer);
    bool is_good = j->scope && assign(j, loop->node->a, item) && jj_eval(j, loop->node->c, &test);
    j->scope = outer;
    *passes = is_good && jj_truth(test);
    return is_good;
}

/* The next item from the source; *is_there is false at its end. */
static bool pull(struct jj *j, struct jj_loop *loop, struct jj_value *item, bool *is_there)
{
    *is_there = false;
    while (!*is_there && loop->source_at < loop->source->n) {
        if (!jj_spend(j, 1))
            return false;
        *item = loop->source->v[loop->source_at++];
        *is_there = true;
        if (loop->is_filtered && !passes_filter(j, loop, *item, is_there))
            return false;
    }
    return true;
}

static bool peek(struct jj *j, struct jj_loop *loop)
{
    return loop->has_next || pull(j, loop, &loop->next, &loop->has_next);
}

/* The number of passes: what a filter leaves is found out now. */
static bool count_passes(struct jj *j, struct jj_loop *loop)
{
    if (loop->has_length)
        return true;
    if (loop->is_filtered) {
        struct jj_list *rest = jj_list_new(j, 0);
        struct jj_value item;
        bool is_there = true;
        if (!rest || (loop->has_next && !jj_list_push(j, rest, loop->next)))
            return false;
        while (is_there)
            if (!pull(j, loop, &item, &is_there) || (is_there && !jj_list_push(j, rest, item)))
                return false;
        loop->source = rest;
        loop->source_at = 0;
        loop->is_filtered = loop->has_next = false;
        loop->length = loop->index0 + 1 + rest->n;
    } else {
        loop->length = loop->source->n;
    }
    loop->has_length = true;
    return true;
}

static bool loop_number(struct jj *j, struct jj_loop *loop, struct str name, struct jj_value *out)
{
    if (str_eq(name, S("index"))) {
        *out = jj_int(loop->index0 + 1);
    } else if (str_eq(name, S("index0"))) {
        *out = jj_int(loop->index0);
    } else if (str_eq(name, S("depth"))) {
        *out = jj_int(loop->depth0 + 1);
    } else if (str_eq(name, S("depth0"))) {
        *out = jj_int(loop->depth0);
    } else {
        if (!count_passes(j, loop))
            return false;
        bool is_length = str_eq(name, S("length"));
        bool is_one_based = str_eq(name, S("revindex"));
        *out = jj_int(is_length ? loop->length : loop->length - loop->index0 - !is_one_based);
    }
    return true;
}

bool jj_loop_attr(struct jj *j, struct jj_loop *loop, struct str name, struct jj_value *out)
{
    if (str_eq(name, S("first"))) {
        *out = jj_bool(loop->index0 == 0);
        return true;
    }
    if (str_eq(name, S("last")) || str_eq(name, S("nextitem"))) {
        if (!peek(j, loop))
            return false;
        *out = str_eq(name, S("last")) ? jj_bool(!loop->has_next)
               : loop->has_next        ? loop->next
                                       : jj_undefined(S("there is no next item"));
        return true;
    }
    if (str_eq(name, S("previtem"))) {
        *out = loop->has_previous ? loop->previous : jj_undefined(S("there is no previous item"));
        return true;
    }
    static const char *const numbers[] = {"index",  "index0", "revindex", "revindex0",
                                          "length", "depth",  "depth0"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (str_eq(name, str_c(numbers[i])))
            return loop_number(j, loop, name, out);
    *out = jj_undefined(S("the loop has no such attribute"));
    return true;
}

bool jj_loop_cycle(struct jj *j, struct jj_loop *loop, const struct jj_args *args, struct jj_value *out)
{
    if (args->n == 0)
        return jj_fail(j, "loop.cycle needs something to cycle through");
    *out = args->v[loop->index0 % args->n];
    return true;
}

bool jj_loop_changed(struct jj *j, struct jj_loop *loop, const struct jj_args *args, struct jj_value *out)
{
    bool is_same = false;
    struct jj_list *now = jj_list_new(j, args->n);
    if (!now)
        return false;
    for (uint32_t i = 0; i < args->n; i++)
        now->v[now->n++] = args->v[i];
    if (loop->changed &&
        !jj_equal(j, jj_of_list(loop->changed, JJ_TUPLE), jj_of_list(now, JJ_TUPLE), &is_same))
        return false;
    loop->changed = now;
    *out = jj_bool(!is_same);
    return true;
}

/* One pass with loop->current; a fresh scope unless the last one can be used again. */
static enum flow exec_pass(struct jj *j, struct jj_loop *loop, struct jj_scope **scope)
{
    if (!*scope || (*scope)->is_captured)
        *scope = jj_scope_new(j, loop->outer);
    if (!*scope)
        return FLOW_FAILED;
    (*scope)->n = 0;
    struct jj_scope *outer = j->scope;
    struct jj_value self = {.type = JJ_LOOP, .loop = loop};
    j->scope = *scope;
    enum flow flow = FLOW_FAILED;
    if (assign(j, loop->node->a, loop->current) && jj_scope_set(j, *scope, JJ_ID_LOOP, self))
        flow = exec_body(j, &loop->node->list);
    j->scope = outer;
    return flow;
}

static enum flow run_loop(struct jj *j, struct jj_loop *loop)
{
    struct jj_scope *scope = NULL;
    for (loop->index0 = 0;; loop->index0++) {
        if (!peek(j, loop))
            return FLOW_FAILED;
        if (!loop->has_next)
            break;
        if (loop->index0 > 0) {
            loop->previous = loop->current;
            loop->has_previous = true;
        }
        loop->current = loop->next;
        loop->has_next = false;
        enum flow flow = exec_pass(j, loop, &scope);
        if (flow == FLOW_FAILED)
            return flow;
        if (flow == FLOW_BREAK)
            return FLOW_ON;
    }
    if (loop->index0 > 0 || loop->node->list2.n == 0)
        return FLOW_ON;
    return exec_scoped(j, &loop->node->list2, jj_scope_new(j, loop->outer));
}

static enum flow start_loop(struct jj *j, const struct jj_node *n, struct jj_scope *outer,
                            struct jj_value items, int32_t depth0)
{
    struct jj_loop *loop = arena_new(j->arena, struct jj_loop);
    if (!loop) {
        jj_no_memory(j);
        return FLOW_FAILED;
    }
    loop->node = n;
    loop->outer = outer;
    loop->depth0 = depth0;
    loop->is_filtered = n->c != NULL;
    if (!jj_items_of(j, items, &loop->source))
        return FLOW_FAILED;
    return run_loop(j, loop);
}

static enum flow exec_for(struct jj *j, const struct jj_node *n)
{
    struct jj_value items;
    if (!jj_eval(j, n->b, &items))
        return FLOW_FAILED;
    return start_loop(j, n, j->scope, items, 0);
}

bool jj_call_loop(struct jj *j, struct jj_loop *loop, struct jj_value items, struct jj_value *out)
{
    if (!loop->node->flag)
        return jj_fail(j, "only a loop that is marked 'recursive' can be called");
    struct jj_text text = {0}, *outer = j->out;
    j->out = &text;
    enum flow flow = start_loop(j, loop->node, loop->outer, items, loop->depth0 + 1);
    j->out = outer;
    *out = jj_text_value(&text);
    return flow != FLOW_FAILED;
}

/* ---- macros ---- */

/* The value given for parameter i, or JJ_MISSING. */
static bool macro_argument(struct jj *j, const struct jj_node *n, const struct jj_args *args, uint32_t i,
                           struct jj_value *out)
{
    *out = (struct jj_value){.type = JJ_MISSING};
    if (i < args->n)
        *out = args->v[i];
    for (uint32_t k = 0; k < args->n_kw; k++) {
        if (!str_eq(args->kw[k].name, n->params[i].name))
            continue;
        if (i < args->n)
            return jj_fail(j, "'%.*s' gets its argument '%.*s' twice", STR(n->name), STR(n->params[i].name));
        *out = args->kw[k].value;
    }
    return true;
}

static bool bind_extra_positions(struct jj *j, const struct jj_node *n, const struct jj_args *args)
{
    uint32_t extra = args->n > n->n_params ? args->n - n->n_params : 0;
    if (!n->uses_varargs)
        return !extra ||
               jj_fail(j, "'%.*s' takes at most %u arguments, got %u", STR(n->name), n->n_params, args->n);
    struct jj_list *l = jj_list_new(j, extra);
    for (uint32_t i = 0; l && i < extra; i++)
        l->v[l->n++] = args->v[n->n_params + i];
    return l && jj_scope_set(j, j->scope, JJ_ID_VARARGS, jj_of_list(l, JJ_TUPLE));
}

static bool bind_extra_names(struct jj *j, const struct jj_node *n, const struct jj_args *args)
{
    struct jj_dict *rest = n->uses_kwargs ? jj_dict_new(j) : NULL;
    bool has_caller = false;
    if (n->uses_kwargs && !rest)
        return false;
    for (uint32_t k = 0; k < args->n_kw; k++) {
        struct str name = args->kw[k].name;
        uint32_t i = 0;
        while (i < n->n_params && !str_eq(n->params[i].name, name))
            i++;
        if (i < n->n_params)
            continue;
        if (str_eq(name, S("caller")) && n->uses_caller) {
            has_caller = true;
            if (!jj_scope_set(j, j->scope, JJ_ID_CALLER, args->kw[k].value))
                return false;
        } else if (!rest) {
            return jj_fail(j, "'%.*s' has no parameter '%.*s'", STR(n->name), STR(name));
        } else if (!jj_dict_set(j, rest, jj_str(name), args->kw[k].value)) {
            return false;
        }
    }
    struct jj_value kwargs = {.type = JJ_DICT, .dict = rest};
    if (rest && !jj_scope_set(j, j->scope, JJ_ID_KWARGS, kwargs))
        return false;
    return has_caller || !n->uses_caller || n->kind == JJN_CALL_BLOCK ||
           jj_scope_set(j, j->scope, JJ_ID_CALLER, jj_undefined(S("'caller' is undefined: no call block")));
}

/* Fill the macro's scope, which is j->scope. */
static bool bind_parameters(struct jj *j, const struct jj_node *n, const struct jj_args *args)
{
    for (uint32_t i = 0; i < n->n_params; i++) {
        struct jj_value v;
        if (!macro_argument(j, n, args, i, &v))
            return false;
        if (jj_is(v, JJ_MISSING) && n->params[i].fallback) {
            if (!jj_eval(j, n->params[i].fallback, &v))
                return false;
        } else if (jj_is(v, JJ_MISSING)) {
            v = jj_undefined(n->params[i].name);
            v.s = arena_printf(j->arena, "parameter '%.*s' was not provided", STR(n->params[i].name));
            if (!v.s.p)
                return jj_no_memory(j);
        }
        if (!jj_scope_set(j, j->scope, n->params[i].id, v))
            return false;
    }
    return bind_extra_positions(j, n, args) && bind_extra_names(j, n, args);
}

bool jj_call_macro(struct jj *j, struct jj_macro *m, const struct jj_args *args, struct jj_value *out)
{
    struct jj_scope *scope = jj_scope_new(j, m->scope), *outer = j->scope;
    if (!scope)
        return false;
    j->scope = scope;
    bool is_good = bind_parameters(j, m->node, args);
    j->scope = outer;
    return is_good && capture(j, &m->node->list, scope, out) != FLOW_FAILED;
}

static bool make_macro(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_macro *m = arena_new(j->arena, struct jj_macro);
    if (!m)
        return jj_no_memory(j);
    *m = (struct jj_macro){n, j->scope};
    for (struct jj_scope *s = j->scope; s && !s->is_captured; s = s->parent)
        s->is_captured = true;
    *out = (struct jj_value){.type = JJ_MACRO, .macro = m};
    return true;
}

static bool exec_call_block(struct jj *j, const struct jj_node *n)
{
    struct jj_value callee, caller, text;
    struct jj_args args;
    if (!make_macro(j, n, &caller) || !jj_eval(j, n->a->a, &callee) || !jj_eval_args(j, n->a->args, &args))
        return false;
    struct jj_named *kw = arena_new_array(j->arena, struct jj_named, (size_t)args.n_kw + 1);
    if (!kw)
        return jj_no_memory(j);
    if (args.n_kw)
        memcpy(kw, args.kw, args.n_kw * sizeof *kw);
    kw[args.n_kw++] = (struct jj_named){S("caller"), caller};
    args.kw = kw;
    return jj_call(j, callee, &args, &text) && jj_text_add_of(j, j->out, text);
}

/* ---- the other statements ---- */

static enum flow exec_if(struct jj *j, const struct jj_node *n)
{
    for (uint32_t i = 0; i < n->list.n; i++) {
        const struct jj_node *branch = n->list.v[i];
        struct jj_value test = jj_bool(true);
        if (branch->a && !jj_eval(j, branch->a, &test))
            return FLOW_FAILED;
        if (jj_truth(test))
            return exec_body(j, &branch->list);
    }
    return FLOW_ON;
}

static bool exec_output(struct jj *j, const struct jj_node *n)
{
    struct jj_value v;
    for (uint32_t i = 0; i < n->list.n; i++)
        if (!jj_eval(j, n->list.v[i], &v) || !jj_text_add_of(j, j->out, v))
            return false;
    return true;
}

static bool filter_text(struct jj *j, const struct jj_node *filters, struct jj_value *text)
{
    if (!filters)
        return true;
    j->block_text = *text;
    return jj_eval(j, filters, text);
}

static enum flow exec_set_block(struct jj *j, const struct jj_node *n)
{
    struct jj_value text;
    enum flow flow = capture(j, &n->list, jj_scope_new(j, j->scope), &text);
    if (flow != FLOW_ON)
        return flow;
    return filter_text(j, n->b, &text) && assign(j, n->a, text) ? FLOW_ON : FLOW_FAILED;
}

static enum flow exec_filter_block(struct jj *j, const struct jj_node *n)
{
    struct jj_value text;
    enum flow flow = capture(j, &n->list, jj_scope_new(j, j->scope), &text);
    if (flow == FLOW_FAILED || !filter_text(j, n->a, &text) || !jj_text_add_of(j, j->out, text))
        return FLOW_FAILED;
    return flow;
}

static enum flow exec_with(struct jj *j, const struct jj_node *n)
{
    struct jj_scope *scope = jj_scope_new(j, j->scope), *outer = j->scope;
    struct jj_value v;
    for (uint32_t i = 0; scope && i + 1 < n->list2.n; i += 2) {
        if (!jj_eval(j, n->list2.v[i + 1], &v))
            return FLOW_FAILED;
        j->scope = scope;
        bool is_good = assign(j, n->list2.v[i], v);
        j->scope = outer;
        if (!is_good)
            return FLOW_FAILED;
    }
    return exec_scoped(j, &n->list, scope);
}

static enum flow exec_macro(struct jj *j, const struct jj_node *n)
{
    struct jj_value v;
    return make_macro(j, n, &v) && jj_scope_set(j, j->scope, n->id, v) ? FLOW_ON : FLOW_FAILED;
}

static enum flow exec_node(struct jj *j, const struct jj_node *n)
{
    struct jj_value v;
    switch (n->kind) {
    case JJN_OUTPUT: return exec_output(j, n) ? FLOW_ON : FLOW_FAILED;
    case JJN_IF: return exec_if(j, n);
    case JJN_FOR: return exec_for(j, n);
    case JJN_SET: return jj_eval(j, n->b, &v) && assign(j, n->a, v) ? FLOW_ON : FLOW_FAILED;
    case JJN_SET_BLOCK: return exec_set_block(j, n);
    case JJN_MACRO: return exec_macro(j, n);
    case JJN_CALL_BLOCK: return exec_call_block(j, n) ? FLOW_ON : FLOW_FAILED;
    case JJN_FILTER_BLOCK: return exec_filter_block(j, n);
    case JJN_WITH: return exec_with(j, n);
    case JJN_SCOPE: return exec_scoped(j, &n->list, jj_scope_new(j, j->scope));
    case JJN_BREAK: return FLOW_BREAK;
    case JJN_CONTINUE: return FLOW_CONTINUE;
    case JJN_DO: return jj_eval(j, n->a, &v) ? FLOW_ON : FLOW_FAILED;
    default: jj_fail(j, "this is not a statement"); return FLOW_FAILED;
    }
}

static enum flow exec_body(struct jj *j, const struct jj_nodes *body)
{
    enum flow flow = FLOW_ON;
    if (j->depth >= JJ_DEPTH_MAX) {
        jj_fail_code(j, ERR_LIMIT, "the template is nested too deeply");
        return FLOW_FAILED;
    }
    j->depth++;
    for (uint32_t i = 0; i < body->n && flow == FLOW_ON; i++) {
        j->line = body->v[i]->line;
        flow = jj_spend(j, 1) ? exec_node(j, body->v[i]) : FLOW_FAILED;
    }
    j->depth--;
    return flow;
}

bool jj_exec_page(struct jj *j, const struct jj_nodes *body)
{
    return exec_body(j, body) != FLOW_FAILED;
}
