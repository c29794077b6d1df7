/* toolcall.c - See toolcall.h: the state machine over a streaming answer.
 *
 * Bytes collect in `held`.  A step looks at its front, consumes what it understands and says
 * whether it could do anything; toolcall_feed steps until it could not.  Until a call is
 * certain (its name and the start of its arguments are there) nothing of it has come out, so
 * it can still become text.  Afterwards its arguments stream as they come. */
#include "text/toolcall.h"

#include "base/json.h"
#include "text/toolcall_int.h"

#define BUFFERED_MAX (TOOLCALL_HELD_MAX / 2) /* of a call that must be there as a whole */
#define HEAD_MAX     (16u << 10)             /* bytes until a call's arguments must have begun */
#define MARKERS_MAX  8
#define NO_OBJECT    (-1) /* as p->nested: the arguments stand alone, in no object */

enum state {
    ST_TEXT,
    ST_REASONING,
    ST_HEAD,   /* JSON: name and arguments are looked for; begin marker in front */
    ST_NAME,   /* NAME_JSON: the separator is looked for; begin marker in front */
    ST_ARGS,   /* arguments stream */
    ST_TAIL,   /* JSON: the rest of the call's object */
    ST_AFTER,  /* what may follow a call: a comma, the end marker */
    ST_BUFFER, /* TAGS and PYTHON: the end is looked for; begin marker in front */
    ST_HARMONY_HEADER,
    ST_HARMONY_BODY
};

enum harmony_body { BODY_TEXT, BODY_REASONING, BODY_CALL };

/* ---- events ---- */

static void send(struct toolcall_parser *p, struct toolcall_event e)
{
    p->on_event(p->ctx, &e);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void flush_spaces(struct toolcall_parser *p, enum toolcall_event_kind kind)
{
    if (p->spaces.n)
        send(p, (struct toolcall_event){.kind = kind, .text = buf_str(&p->spaces)});
    buf_clear(&p->spaces);
}

/* Text, of which white space at the end waits for what follows. */
static void say(struct toolcall_parser *p, enum toolcall_event_kind kind, struct str s)
{
    size_t end = s.n;
    while (end > 0 && is_space(s.p[end - 1]))
        end--;
    if (p->skip_space) {
        size_t from = 0;
        while (from < end && is_space(s.p[from]))
            from++;
        if (end == 0)
            return;
        s = str_sub(s, from, s.n);
        end -= from;
        p->skip_space = false;
    }
    if (end > 0) {
        flush_spaces(p, kind);
        send(p, (struct toolcall_event){.kind = kind, .text = str_sub(s, 0, end)});
        p->has_text |= kind == TOOLCALL_TEXT;
    }
    if (!buf_add(&p->spaces, s.p + end, s.n - end))
        buf_clear(&p->spaces);
    if (p->spaces.n > HEAD_MAX)
        flush_spaces(p, kind);
}

static void consume(struct toolcall_parser *p, size_t n)
{
    buf_consume(&p->held, n);
}

/* What is in front was no call after all. */
static bool give_up(struct toolcall_parser *p)
{
    struct str held = buf_str(&p->held);
    size_t n = p->marker_n ? p->marker_n : held.n ? 1 : 0;
    say(p, TOOLCALL_TEXT, str_sub(held, 0, n));
    consume(p, n);
    p->has_text = true; /* a bare call cannot start any more */
    p->marker_n = 0;
    p->in_list = false;
    p->state = ST_TEXT;
    return true;
}

static void keep(char to[TOOLCALL_NAME_MAX], size_t *n, struct str s)
{
    *n = s.n < TOOLCALL_NAME_MAX ? s.n : TOOLCALL_NAME_MAX;
    if (*n)
        memcpy(to, s.p, *n);
}

static void start_call(struct toolcall_parser *p, struct str name, struct str id)
{
    buf_clear(&p->spaces);
    keep(p->name, &p->name_n, name);
    keep(p->id, &p->id_n, id);
    p->depth = 0;
    p->in_string = p->is_escaped = false;
    send(p, (struct toolcall_event){.kind = TOOLCALL_START,
                                    .call = p->n_calls,
                                    .name = str_of(p->name, p->name_n),
                                    .id = str_of(p->id, p->id_n)});
}

static void send_args(struct toolcall_parser *p, struct str text)
{
    if (text.n)
        send(p, (struct toolcall_event){.kind = TOOLCALL_ARGS, .call = p->n_calls, .text = text});
}

static void end_call(struct toolcall_parser *p, bool is_complete)
{
    send(p, (struct toolcall_event){.kind = TOOLCALL_END,
                                    .call = p->n_calls,
                                    .id = str_of(p->id, p->id_n),
                                    .is_complete = is_complete});
    p->n_calls++;
    p->marker_n = 0;
    p->state = ST_AFTER;
}

/* ---- markers in text ---- */

struct marker {
    struct str text;
    enum state to;
    bool is_dropped; /* consumed at once; else it stays in front until the call is certain */
};

static void add_marker(struct marker *v, int *n, const char *text, enum state to, bool is_dropped)
{
    if (text[0])
        v[(*n)++] = (struct marker){str_c(text), to, is_dropped};
}

static enum state call_state(const struct toolcall_format *f)
{
    return f->shape == TOOLCALL_JSON ? ST_HEAD : f->shape == TOOLCALL_NAME_JSON ? ST_NAME : ST_BUFFER;
}

/* Special tokens end the reasoning even if the model forgot to. */
static bool is_special(const char *marker)
{
    return str_starts(str_c(marker), S("<|")) || str_starts(str_c(marker), S("<｜"));
}

static int markers_of(const struct toolcall_parser *p, struct marker v[MARKERS_MAX])
{
    const struct toolcall_format *f = p->format;
    bool in_reasoning = p->state == ST_REASONING;
    int n = 0;
    if (in_reasoning)
        add_marker(v, &n, f->reasoning_end, ST_TEXT, true);
    else if (!p->has_text)
        add_marker(v, &n, f->reasoning_begin, ST_REASONING, true);
    if (!p->parse_calls || f->shape == TOOLCALL_NONE)
        return n;
    for (int i = 0; i < 3 && f->begin[i] && f->begin[i][0]; i++)
        if (!in_reasoning || is_special(f->begin[i]))
            add_marker(v, &n, f->begin[i], call_state(f), false);
    if (!in_reasoning || is_special(f->outer_begin))
        add_marker(v, &n, f->outer_begin, ST_TEXT, true);
    if (!in_reasoning && p->n_calls)
        add_marker(v, &n, f->outer_end, ST_TEXT, true);
    return n;
}

/* Bytes at the end of s that may become a marker. */
static size_t possible_start(struct str s, const struct marker *v, int n)
{
    size_t longest = 0;
    for (int i = 0; i < n; i++)
        for (size_t len = v[i].text.n - 1; len > longest; len--)
            if (s.n >= len && memcmp(s.p + s.n - len, v[i].text.p, len) == 0)
                longest = len;
    return longest;
}

static void meet_marker(struct toolcall_parser *p, const struct marker *m)
{
    bool was_reasoning = p->state == ST_REASONING;
    p->state = m->to;
    if (was_reasoning || m->to == ST_REASONING) {
        buf_clear(&p->spaces);
        p->skip_space = true;
    }
    if (m->is_dropped) {
        buf_clear(&p->spaces);
        p->skip_space = true;
        consume(p, m->text.n);
    } else {
        p->marker_n = m->text.n;
    }
}

/* A bare call must be the first thing that the model says. */
static bool starts_bare(struct toolcall_parser *p, struct str s)
{
    const struct toolcall_format *f = p->format;
    size_t at = toolcall_skip_space(s, 0);
    if (!f->is_bare || p->has_text || p->n_calls || !p->parse_calls || at == s.n)
        return false;
    if (s.p[at] != (f->shape == TOOLCALL_PYTHON ? '[' : '{'))
        return false;
    say(p, TOOLCALL_TEXT, str_sub(s, 0, at));
    consume(p, at);
    p->marker_n = 0;
    p->state = call_state(f);
    return true;
}

static bool step_text(struct toolcall_parser *p)
{
    enum toolcall_event_kind kind = p->state == ST_REASONING ? TOOLCALL_REASONING : TOOLCALL_TEXT;
    struct marker v[MARKERS_MAX];
    struct str s = buf_str(&p->held);
    if (s.n == 0)
        return false;
    if (p->state == ST_TEXT && starts_bare(p, s))
        return true;
    int n = markers_of(p, v), found = -1;
    size_t at = STR_NONE;
    for (int i = 0; i < n; i++) {
        size_t hit = str_find(s, v[i].text, 0);
        if (hit < at) {
            at = hit;
            found = i;
        }
    }
    bool had_text = p->has_text;
    size_t plain = found >= 0 ? at : s.n - (p->is_final ? 0 : possible_start(s, v, n));
    say(p, kind, str_sub(s, 0, plain));
    consume(p, plain);
    if (found < 0)
        return false;
    /* Text before it: reasoning does not begin in the middle. */
    if (v[found].to == ST_REASONING && p->has_text && !had_text)
        return true;
    meet_marker(p, &v[found]);
    return true;
}

/* ---- JSON ---- */

/* Text of a JSON string without its escapes, in `to`. */
static struct str unescaped(struct buf *to, struct str raw)
{
    buf_init(to, TOOLCALL_HELD_MAX * 2);
    return json_unescape(to, raw) ? buf_str(to) : raw;
}

static void whole_call(struct toolcall_parser *p, const struct toolcall_head *head)
{
    struct buf name, args = {0};
    struct str text = head->args.n ? head->args : S("{}");
    start_call(p, unescaped(&name, head->name), head->id);
    send_args(p, head->args_are_text && head->args.n ? unescaped(&args, head->args) : text);
    buf_deinit(&name);
    buf_deinit(&args);
}

static bool step_head(struct toolcall_parser *p)
{
    struct str s = buf_str(&p->held), inner = str_sub(s, p->marker_n, s.n);
    struct toolcall_head head;
    size_t at = toolcall_skip_space(inner, 0);
    bool opens_list = at < inner.n && inner.p[at] == '[' && !p->in_list;
    at += opens_list;
    enum toolcall_scan found = toolcall_scan_head(str_sub(inner, at, inner.n), p->format, &head);
    bool is_bare = p->marker_n == 0 && p->format->is_bare;
    if (found == SCAN_WHOLE && is_bare && !head.args.p)
        found = SCAN_BAD; /* an object with a name is not yet a call */
    if (found == SCAN_BAD && p->format->is_bare && p->marker_n &&
        !p->n_calls) { /* <|python_tag|>name.call(...) */
        p->state = ST_BUFFER;
        return true;
    }
    /* Asked of where the head ends, so that the split of the input makes no difference. */
    bool is_too_long = found == SCAN_MORE ? p->is_final || inner.n > HEAD_MAX
                                          : at + head.at > HEAD_MAX || head.name.n > TOOLCALL_NAME_MAX;
    if (found == SCAN_BAD || is_too_long)
        return give_up(p);
    if (found == SCAN_MORE)
        return false;
    p->in_list |= opens_list;
    p->nested = head.nested;
    if (found == SCAN_WHOLE) {
        whole_call(p, &head);
        consume(p, p->marker_n + at + head.at);
        end_call(p, true);
        return true;
    }
    struct buf name;
    start_call(p, unescaped(&name, head.name), head.id);
    buf_deinit(&name);
    consume(p, p->marker_n + at + head.at);
    p->state = ST_ARGS;
    return true;
}

/* Bytes of s that belong to the arguments; *is_over when their bracket is closed. */
static size_t scan_args(struct toolcall_parser *p, struct str s, bool *is_over)
{
    *is_over = false;
    for (size_t at = 0; at < s.n; at++) {
        char c = s.p[at];
        if (p->in_string) {
            if (p->is_escaped)
                p->is_escaped = false;
            else if (c == '\\')
                p->is_escaped = true;
            else if (c == '"')
                p->in_string = false;
        } else if (c == '"') {
            p->in_string = true;
        } else if (c == '{' || c == '[') {
            p->depth++;
        } else if ((c == '}' || c == ']') && --p->depth <= 0) {
            *is_over = true;
            return at + 1;
        }
    }
    return s.n;
}

static bool step_args(struct toolcall_parser *p)
{
    struct str s = buf_str(&p->held);
    bool is_over;
    if (s.n == 0) {
        if (p->is_final)
            end_call(p, false);
        return false;
    }
    size_t n = scan_args(p, s, &is_over);
    send_args(p, str_sub(s, 0, n));
    consume(p, n);
    if (!is_over)
        return true;
    if (p->nested != NO_OBJECT)
        p->state = ST_TAIL;
    else
        end_call(p, true);
    return true;
}

static bool step_tail(struct toolcall_parser *p)
{
    struct str s = buf_str(&p->held), id = {NULL, 0};
    size_t at = 0;
    enum toolcall_scan found = toolcall_scan_tail(s, p->nested, &at, &id);
    if (found == SCAN_MORE && !p->is_final && s.n <= HEAD_MAX)
        return false;
    if (id.n)
        keep(p->id, &p->id_n, id);
    /* A missing '}' is forgiven: the arguments are whole. */
    consume(p, found == SCAN_WHOLE ? at : 0);
    end_call(p, true);
    return true;
}

/* Is `what` in front of s, or may it come?  1: yes, 0: may come, -1: no. */
static int in_front(struct str s, struct str what)
{
    if (str_starts(s, what))
        return 1;
    return str_starts(what, s) ? 0 : -1;
}

static bool step_after(struct toolcall_parser *p)
{
    const struct toolcall_format *f = p->format;
    struct str all = buf_str(&p->held);
    size_t at = toolcall_skip_space(all, 0);
    struct str s = str_sub(all, at, all.n);
    if (s.n == 0) {
        if (p->is_final)
            consume(p, all.n);
        return false;
    }
    const char *const droppable[] = {f->args_fence[0] ? f->args_fence + (f->args_fence[0] == '\n') : "",
                                     f->end};
    for (int i = 0; i < 2; i++) {
        int there = droppable[i][0] ? in_front(s, str_c(droppable[i])) : -1;
        if (there == 0 && !p->is_final)
            return false;
        if (there > 0) {
            consume(p, at + str_c(droppable[i]).n);
            return true;
        }
    }
    bool is_json = f->shape == TOOLCALL_JSON || p->in_list;
    if (is_json &&
        ((p->in_list && (s.p[0] == ',' || s.p[0] == ']')) || (!p->in_list && s.p[0] == ';' && f->is_bare))) {
        if (s.p[0] == ']') {
            consume(p, at + 1);
            p->in_list = false;
        } else { /* stays in front, in case that no call follows */
            p->marker_n = at + 1;
            p->state = ST_HEAD;
        }
        return true;
    }
    if (is_json && s.p[0] == '{') {
        consume(p, at);
        p->state = ST_HEAD;
        return true;
    }
    p->in_list = false;
    p->skip_space = true;
    p->state = ST_TEXT;
    return true;
}

/* ---- name, then JSON ---- */

/* Name and id out of what stands before the separator. */
static void split_name(const struct toolcall_format *f, struct str s, struct str *name, struct str *id)
{
    s = str_trim(s);
    *id = str_of("", 0);
    *name = s;
    if (f->name_prefix[0] && str_starts(s, str_c(f->name_prefix)))
        *name = str_sub(s, str_c(f->name_prefix).n, s.n);
    size_t at = f->id_separator[0] ? str_find(*name, str_c(f->id_separator), 0) : STR_NONE;
    if (at == STR_NONE)
        return;
    /* Behind a long separator stands the id; a short one is part of it ("functions.f:0"). */
    *id = str_c(f->id_separator).n > 1 ? str_sub(*name, at + str_c(f->id_separator).n, name->n) : s;
    name->n = at;
}

static bool step_name(struct toolcall_parser *p)
{
    const struct toolcall_format *f = p->format;
    struct str s = buf_str(&p->held), inner = str_sub(s, p->marker_n, s.n), name, id;
    size_t first = toolcall_skip_space(inner, 0);
    if (first < inner.n && (inner.p[first] == '[' || inner.p[first] == '{')) {
        p->state = ST_HEAD; /* an older way of writing with the same marker */
        return true;
    }
    size_t at = str_find(inner, str_c(f->separator), 0);
    const size_t far = 2 * TOOLCALL_NAME_MAX;
    if (at == STR_NONE ? p->is_final || inner.n > far + str_c(f->separator).n : at > far)
        return give_up(p);
    if (at == STR_NONE)
        return false;
    size_t args = toolcall_skip_space(inner, at + str_c(f->separator).n);
    if (args >= inner.n && !p->is_final)
        return false;
    split_name(f, str_sub(inner, 0, at), &name, &id);
    if (args >= inner.n || inner.p[args] != '{' || !name.n || name.n > TOOLCALL_NAME_MAX)
        return give_up(p);
    start_call(p, name, id);
    consume(p, p->marker_n + args);
    p->nested = NO_OBJECT;
    p->state = ST_ARGS;
    return true;
}

/* ---- whole calls ---- */

static void say_parsed(struct toolcall_parser *p, struct toolcall_parsed *call)
{
    start_call(p, call->name, str_of("", 0));
    send_args(p, buf_str(&call->args));
    end_call(p, true);
}

static bool parse_tags(struct toolcall_parser *p, struct str inner)
{
    struct toolcall_parsed call = {.name = {"", 0}};
    buf_init(&call.args, TOOLCALL_HELD_MAX * 8);
    bool is_good = toolcall_parse_tags(p, inner, &call) && call.name.n <= TOOLCALL_NAME_MAX;
    if (is_good)
        say_parsed(p, &call);
    buf_deinit(&call.args);
    return is_good;
}

/* All or nothing: the first pass only looks. */
static bool parse_python(struct toolcall_parser *p, struct str s, bool is_list)
{
    for (int pass = 0; pass < 2; pass++) {
        size_t at = is_list ? toolcall_skip_space(s, 0) + 1 : 0;
        for (;;) {
            struct toolcall_parsed call = {.name = {"", 0}};
            buf_init(&call.args, TOOLCALL_HELD_MAX * 8);
            bool is_good = toolcall_parse_python(s, &at, &call) && call.name.n <= TOOLCALL_NAME_MAX;
            if (is_good && pass)
                say_parsed(p, &call);
            buf_deinit(&call.args);
            if (!is_good)
                return false;
            at = toolcall_skip_space(s, at);
            if (!is_list || at >= s.n || s.p[at] != ',')
                break;
            at++;
        }
        if (is_list ? at + 1 != s.n || s.p[at] != ']' : at != s.n)
            return false;
    }
    return true;
}

static bool step_python(struct toolcall_parser *p)
{
    struct str s = buf_str(&p->held), inner = str_sub(s, p->marker_n, s.n);
    bool is_list = p->format->shape == TOOLCALL_PYTHON;
    enum toolcall_scan found = toolcall_scan_python_start(inner, is_list);
    size_t end = found == SCAN_WHOLE ? toolcall_python_end(inner) : STR_NONE;
    bool is_too_long = (end == STR_NONE ? inner.n : end) > BUFFERED_MAX;
    if (found == SCAN_BAD || is_too_long || (end == STR_NONE && p->is_final))
        return give_up(p);
    if (end == STR_NONE)
        return false;
    if (!parse_python(p, str_sub(inner, 0, end), is_list))
        return give_up(p);
    buf_consume(&p->held, s.n - inner.n + end);
    return true;
}

static bool step_buffer(struct toolcall_parser *p)
{
    if (p->format->shape != TOOLCALL_TAGS)
        return step_python(p);
    struct str s = buf_str(&p->held);
    /* <function=...> without the marker around it ends at its own end. */
    bool is_inner = str_starts(s, S("<function="));
    struct str end = is_inner ? S("</function>") : str_c(p->format->end);
    size_t from = is_inner ? 0 : p->marker_n, at = str_find(s, end, from), after;
    if (at == STR_NONE && !p->is_final && s.n <= BUFFERED_MAX + end.n)
        return false;
    after = at == STR_NONE ? s.n : at + end.n;
    if ((at == STR_NONE ? s.n : at) > BUFFERED_MAX ||
        !parse_tags(p, str_sub(s, from, at == STR_NONE ? s.n : at)))
        return give_up(p);
    consume(p, after);
    return true;
}

/* ---- harmony ---- */

static const char *const harmony_marks[] = {"<|channel|>", "<|start|>",  "<|end|>",
                                            "<|call|>",    "<|return|>", "<|message|>"};
#define HARMONY_MARKS (sizeof harmony_marks / sizeof *harmony_marks)

static void harmony_end_body(struct toolcall_parser *p, bool is_complete)
{
    if (p->body == BODY_CALL)
        end_call(p, is_complete);
    p->body = BODY_TEXT;
}

/* A header is complete: what follows is its body. */
static void harmony_open(struct toolcall_parser *p, struct str header)
{
    size_t to = str_find(header, S("to="), 0);
    bool is_reasoning = str_find(header, S("analysis"), 0) != STR_NONE;
    p->body = is_reasoning ? BODY_REASONING : BODY_TEXT;
    p->skip_space = false;
    p->state = ST_HARMONY_BODY;
    buf_clear(&p->spaces);
    if (to == STR_NONE || !p->parse_calls)
        return;
    size_t from = to + 3, end = from;
    while (end < header.n && !is_space(header.p[end]) && header.p[end] != '<')
        end++;
    struct str name = str_sub(header, from, end);
    if (str_starts(name, S("functions.")))
        name = str_sub(name, 10, name.n);
    if (!name.n || name.n > TOOLCALL_NAME_MAX || str_eq(name, S("assistant")))
        return;
    start_call(p, name, str_of("", 0));
    p->state = ST_HARMONY_BODY;
    p->body = BODY_CALL;
}

static void harmony_say(struct toolcall_parser *p, struct str s)
{
    if (p->body == BODY_CALL)
        send_args(p, s);
    else
        say(p, p->body == BODY_REASONING ? TOOLCALL_REASONING : TOOLCALL_TEXT, s);
}

/* The header is kept until its end is there: text, if it never comes. */
static bool step_harmony_header(struct toolcall_parser *p)
{
    struct str s = buf_str(&p->held);
    size_t end = str_find(s, S("<|message|>"), 0);
    if (end == STR_NONE && !p->is_final && s.n < HEAD_MAX)
        return false;
    if (end == STR_NONE || end >= HEAD_MAX) {
        p->body = BODY_TEXT;
        p->state = ST_HARMONY_BODY;
        harmony_say(p, s);
        consume(p, s.n);
        return true;
    }
    harmony_open(p, str_sub(s, 0, end));
    consume(p, end + 11);
    return true;
}

/* The prompt ends in "<|start|>assistant", so that the answer may go on with the header. */
static bool is_header_start(const struct toolcall_parser *p, bool *must_wait)
{
    struct str s = buf_str(&p->held);
    size_t at = toolcall_skip_space(s, 0);
    int there = in_front(str_sub(s, at, s.n), S("to="));
    *must_wait = there == 0 && !p->is_final;
    return there > 0;
}

static bool step_harmony_body(struct toolcall_parser *p)
{
    struct marker v[HARMONY_MARKS];
    struct str s = buf_str(&p->held);
    size_t at = STR_NONE;
    int found = -1, n = 0;
    if (s.n == 0) {
        if (p->is_final)
            harmony_end_body(p, false);
        return false;
    }
    if (!p->has_begun) {
        bool must_wait;
        bool is_header = is_header_start(p, &must_wait);
        if (must_wait)
            return false;
        p->has_begun = true;
        if (is_header) {
            p->state = ST_HARMONY_HEADER;
            return true;
        }
    }
    for (size_t i = 0; i < HARMONY_MARKS; i++) {
        add_marker(v, &n, harmony_marks[i], ST_TEXT, true);
        size_t hit = str_find(s, v[i].text, 0);
        if (hit < at) {
            at = hit;
            found = (int)i;
        }
    }
    size_t plain = found >= 0 ? at : s.n - (p->is_final ? 0 : possible_start(s, v, n));
    harmony_say(p, str_sub(s, 0, plain));
    consume(p, plain);
    if (found < 0)
        return p->is_final && p->held.n == 0 && p->body == BODY_CALL;
    harmony_end_body(p, true);
    p->state = found <= 1 ? ST_HARMONY_HEADER : ST_HARMONY_BODY;
    if (found > 1)
        consume(p, v[found].text.n);
    return true;
}

/* ---- the machine ---- */

static bool step(struct toolcall_parser *p)
{
    switch ((enum state)p->state) {
    case ST_TEXT:
    case ST_REASONING: return step_text(p);
    case ST_HEAD: return step_head(p);
    case ST_NAME: return step_name(p);
    case ST_ARGS: return step_args(p);
    case ST_TAIL: return step_tail(p);
    case ST_AFTER:
        return p->format->shape == TOOLCALL_HARMONY ? (p->state = ST_HARMONY_BODY, true) : step_after(p);
    case ST_BUFFER: return step_buffer(p);
    case ST_HARMONY_HEADER: return step_harmony_header(p);
    case ST_HARMONY_BODY: return step_harmony_body(p);
    }
    return false;
}

void toolcall_init(struct toolcall_parser *p, const struct toolcall_format *format, bool parse_calls,
                   bool in_reasoning, toolcall_on_event *on_event, void *ctx)
{
    *p = (struct toolcall_parser){
        .format = format, .on_event = on_event, .ctx = ctx, .parse_calls = parse_calls};
    p->state = format->shape == TOOLCALL_HARMONY ? ST_HARMONY_BODY : in_reasoning ? ST_REASONING : ST_TEXT;
    p->skip_space = in_reasoning;
    buf_init(&p->held, TOOLCALL_HELD_MAX);
    buf_init(&p->spaces, TOOLCALL_HELD_MAX);
}

void toolcall_feed(struct toolcall_parser *p, struct str bytes)
{
    /* In pieces, so that `held` stays far below its maximum however much comes at once. */
    while (bytes.n) {
        struct str piece = str_sub(bytes, 0, TOOLCALL_HELD_MAX / 8);
        bytes = str_sub(bytes, piece.n, bytes.n);
        if (!buf_str_add(&p->held, piece)) { /* no memory: what is new is still said */
            buf_clear(&p->held);
            p->state = ST_TEXT;
            send(p, (struct toolcall_event){.kind = TOOLCALL_TEXT, .text = piece});
        }
        while (step(p))
            ;
    }
}

void toolcall_finish(struct toolcall_parser *p)
{
    p->is_final = true;
    while (step(p))
        ;
    bool is_reasoning =
        p->format->shape == TOOLCALL_HARMONY ? p->body == BODY_REASONING : p->state == ST_REASONING;
    flush_spaces(p, is_reasoning ? TOOLCALL_REASONING : TOOLCALL_TEXT);
}

void toolcall_deinit(struct toolcall_parser *p)
{
    buf_deinit(&p->held);
    buf_deinit(&p->spaces);
}
