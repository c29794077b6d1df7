/* chat_collect.c - Events gathered into a whole answer, and an answer as events again.
 *
 * Each choice has a list of growing parts; a fragment finds its part by (type, block) or by the
 * call's index, so fragments of different calls may interleave.  One byte budget covers all.
 * Start reading at chat_collect(). */
#include <stdlib.h>

#include "api/chat.h"

struct growing {
    struct chat_part part; /* texts of it lie in keep, but for these: */
    struct buf text;
    int key; /* block or tool_idx */
    struct chat_citation *citations;
    size_t n_citations, citations_cap;
};

struct gathered {
    bool is_seen;
    struct growing *parts;
    size_t n_parts, parts_cap;
    struct chat_logprob *logprobs;
    size_t n_logprobs, logprobs_cap;
    enum chat_finish finish;
    struct str stop;
};

struct chat_collector {
    struct arena keep; /* short texts, logprobs */
    struct arena view; /* of chat_collected */
    size_t used, max;
    struct gathered choices[CHAT_CHOICES_MAX];
    int n_choices;
    struct chat_answer answer;
};

struct chat_collector *chat_collector_new(size_t max_bytes)
{
    struct chat_collector *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->max = max_bytes;
    arena_init(&c->keep, max_bytes);
    arena_init(&c->view, max_bytes + (64 << 10));
    return c;
}

void chat_collector_free(struct chat_collector *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n_choices; i++) {
        struct gathered *g = &c->choices[i];
        for (size_t k = 0; k < g->n_parts; k++) {
            buf_deinit(&g->parts[k].text);
            free(g->parts[k].citations);
        }
        free(g->parts);
        free(g->logprobs);
    }
    arena_deinit(&c->keep);
    arena_deinit(&c->view);
    free(c);
}

/* Count n more bytes against the budget. */
static bool charge(struct chat_collector *c, size_t n)
{
    if (n > c->max - c->used)
        return false;
    c->used += n;
    return true;
}

/* Room for one more item in a heap list; NULL when over budget. */
static void *grow(struct chat_collector *c, void *list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return list;
    size_t more = *cap ? *cap * 2 : 4;
    if (!charge(c, (more - *cap) * size))
        return NULL;
    void *p = realloc(list, more * size);
    if (p)
        *cap = more;
    return p;
}

static bool keep(struct chat_collector *c, struct str *s)
{
    if (!s->p)
        return true;
    *s = charge(c, s->n) ? arena_str(&c->keep, *s) : (struct str){0};
    return s->p != NULL;
}

static struct growing *find_part(struct gathered *g, enum chat_part_type type, int key)
{
    for (size_t i = g->n_parts; i-- > 0;)
        if (g->parts[i].part.type == type && g->parts[i].key == key)
            return &g->parts[i];
    return NULL;
}

static struct growing *add_part(struct chat_collector *c, struct gathered *g, enum chat_part_type type,
                                int key)
{
    struct growing *list = grow(c, g->parts, g->n_parts, &g->parts_cap, sizeof(*list));
    if (!list)
        return NULL;
    g->parts = list;
    struct growing *p = &list[g->n_parts++];
    memset(p, 0, sizeof(*p));
    p->part.type = type;
    p->key = key;
    buf_init(&p->text, c->max);
    return p;
}

static int add_fragment(struct chat_collector *c, const struct chat_event *ev, enum chat_part_type type,
                        int key)
{
    struct gathered *g = &c->choices[ev->choice];
    struct growing *p = find_part(g, type, key);
    if (!p && !(p = add_part(c, g, type, key)))
        return ERR_LIMIT;
    if (!charge(c, ev->text.n) || (ev->text.n && !buf_str_add(&p->text, ev->text)))
        return ERR_LIMIT;
    if (ev->id.p && !p->part.id.p) {
        p->part.id = ev->id;
        if (!keep(c, &p->part.id))
            return ERR_LIMIT;
    }
    if (ev->name.p && !p->part.name.p) {
        p->part.name = ev->name;
        if (!keep(c, &p->part.name))
            return ERR_LIMIT;
    }
    if (ev->signature_from != DIALECT_NONE)
        p->part.signature_from = ev->signature_from;
    if (ev->signature.p) {
        p->part.signature = ev->signature;
        p->part.is_redacted = ev->is_redacted;
        if (!keep(c, &p->part.signature))
            return ERR_LIMIT;
    }
    return OK;
}

static int add_citation(struct chat_collector *c, const struct chat_event *ev)
{
    struct gathered *g = &c->choices[ev->choice];
    struct growing *p = find_part(g, CHAT_PART_TEXT, ev->block);
    if (!p && !(p = add_part(c, g, CHAT_PART_TEXT, ev->block)))
        return ERR_LIMIT;
    struct chat_citation *list = grow(c, p->citations, p->n_citations, &p->citations_cap, sizeof(*list));
    if (!list)
        return ERR_LIMIT;
    p->citations = list;
    struct chat_citation *to = &list[p->n_citations];
    *to = *ev->citation;
    if (!keep(c, &to->cited_text) || !keep(c, &to->title) || !keep(c, &to->url) || !keep(c, &to->kind) ||
        !keep(c, &to->raw_json))
        return ERR_LIMIT;
    p->n_citations++;
    return OK;
}

/* Pieces of audio follow each other as base64 of whole groups: they are joined. */
static int add_media(struct chat_collector *c, const struct chat_event *ev)
{
    struct gathered *g = &c->choices[ev->choice];
    struct growing *p = ev->media_type == CHAT_PART_AUDIO ? find_part(g, CHAT_PART_AUDIO, -1) : NULL;
    bool is_new = !p;
    if (!p && !(p = add_part(c, g, ev->media_type, -1)))
        return ERR_LIMIT;
    if (is_new) {
        p->part.media = *ev->media;
        struct chat_media *m = &p->part.media;
        m->data = (struct str){0};
        if (!keep(c, &m->mime) || !keep(c, &m->url) || !keep(c, &m->file_id) || !keep(c, &m->text) ||
            !keep(c, &m->name))
            return ERR_LIMIT;
    } else if (ev->media->text.n) {
        struct str joined = arena_printf(&c->keep, "%.*s%.*s", STR(p->part.media.text), STR(ev->media->text));
        if (!joined.p)
            return ERR_LIMIT;
        p->part.media.text = joined;
    }
    if (ev->media->data.p && (!charge(c, ev->media->data.n) || !buf_str_add(&p->text, ev->media->data)))
        return ERR_LIMIT;
    return OK;
}

static int add_logprobs(struct chat_collector *c, const struct chat_event *ev)
{
    struct gathered *g = &c->choices[ev->choice];
    for (size_t i = 0; i < ev->n_logprobs; i++) {
        struct chat_logprob *list = grow(c, g->logprobs, g->n_logprobs, &g->logprobs_cap, sizeof(*list));
        if (!list)
            return ERR_LIMIT;
        g->logprobs = list;
        struct chat_logprob *to = &list[g->n_logprobs];
        *to = ev->logprobs[i];
        struct chat_top_logprob *top = charge(c, to->n_top * sizeof(*top))
                                           ? arena_new_array(&c->keep, struct chat_top_logprob, to->n_top + 1)
                                           : NULL;
        if (!top || !keep(c, &to->chosen.token))
            return ERR_LIMIT;
        for (size_t k = 0; k < to->n_top; k++) {
            top[k] = to->top[k];
            if (!keep(c, &top[k].token))
                return ERR_LIMIT;
        }
        to->top = top;
        g->n_logprobs++;
    }
    return OK;
}

static int collect_choice_event(struct chat_collector *c, const struct chat_event *ev)
{
    struct gathered *g = &c->choices[ev->choice];
    int rc = OK;
    g->is_seen = true;
    if (ev->choice >= c->n_choices)
        c->n_choices = ev->choice + 1;
    switch (ev->type) {
    case CHAT_EV_TEXT: rc = add_fragment(c, ev, CHAT_PART_TEXT, ev->block); break;
    case CHAT_EV_REASONING: rc = add_fragment(c, ev, CHAT_PART_REASONING, ev->block); break;
    case CHAT_EV_REFUSAL: rc = add_fragment(c, ev, CHAT_PART_REFUSAL, 0); break;
    case CHAT_EV_TOOL_CALL: return add_fragment(c, ev, CHAT_PART_TOOL_CALL, ev->tool_idx);
    case CHAT_EV_CITATION: return add_citation(c, ev);
    case CHAT_EV_MEDIA: return add_media(c, ev);
    case CHAT_EV_FINISH:
        c->answer.is_opaque |= ev->is_opaque;
        g->finish = ev->finish;
        g->stop = ev->text;
        return keep(c, &g->stop) ? OK : ERR_LIMIT;
    default: break;
    }
    return rc == OK ? add_logprobs(c, ev) : rc;
}

int chat_collect(void *collector, const struct chat_event *ev)
{
    struct chat_collector *c = collector;
    struct chat_answer *a = &c->answer;
    if (ev->choice < 0 || ev->choice >= CHAT_CHOICES_MAX)
        return ERR_LIMIT;
    switch (ev->type) {
    case CHAT_EV_START:
        a->id = ev->id;
        a->model = ev->model;
        a->created_s = ev->created_s;
        return keep(c, &a->id) && keep(c, &a->model) ? OK : ERR_LIMIT;
    case CHAT_EV_USAGE: a->usage = ev->usage; return OK;
    case CHAT_EV_ERROR:
        a->has_error = true;
        a->error = *ev->error;
        return OK;
    default: return collect_choice_event(c, ev);
    }
}

/* The visible form of a growing part: the buffer's text where it belongs. */
static struct chat_part show_part(const struct growing *g)
{
    struct chat_part p = g->part;
    switch (p.type) {
    case CHAT_PART_TOOL_CALL: p.args_json = buf_str(&g->text); break;
    case CHAT_PART_IMAGE:
    case CHAT_PART_AUDIO:
    case CHAT_PART_VIDEO:
        if (g->text.n)
            p.media.data = buf_str(&g->text);
        break;
    default: p.text = buf_str(&g->text);
    }
    p.citations = g->citations;
    p.n_citations = g->n_citations;
    return p;
}

const struct chat_answer *chat_collected(struct chat_collector *c)
{
    struct chat_answer *a = &c->answer;
    arena_reset(&c->view);
    a->choices = arena_new_array(&c->view, struct chat_choice, (size_t)c->n_choices + 1);
    if (!a->choices)
        return NULL;
    a->n_choices = (size_t)c->n_choices;
    for (int i = 0; i < c->n_choices; i++) {
        const struct gathered *g = &c->choices[i];
        struct chat_choice *to = &a->choices[i];
        *to = (struct chat_choice){.n_parts = g->n_parts,
                                   .logprobs = g->logprobs,
                                   .n_logprobs = g->n_logprobs,
                                   .finish = g->finish,
                                   .stop = g->stop};
        to->parts = arena_new_array(&c->view, struct chat_part, g->n_parts + 1);
        if (!to->parts)
            return NULL;
        for (size_t k = 0; k < g->n_parts; k++)
            to->parts[k] = show_part(&g->parts[k]);
    }
    return a;
}

/* ---- and back ---- */

static int replay_text(const struct chat_part *p, struct chat_event *ev, const struct chat_sink *sink)
{
    ev->type = p->type == CHAT_PART_TEXT        ? CHAT_EV_TEXT
               : p->type == CHAT_PART_REASONING ? CHAT_EV_REASONING
                                                : CHAT_EV_REFUSAL;
    ev->text = p->text;
    ev->is_redacted = p->is_redacted;
    ev->signature_from = p->signature_from;
    /* Thinking first, its signature behind it, as a stream would bring them. */
    bool two = p->type == CHAT_PART_REASONING && p->signature.p && p->text.n;
    if (!two)
        ev->signature = p->signature;
    int rc = chat_send(sink, ev);
    if (rc == OK && two) {
        ev->text = S("");
        ev->signature = p->signature;
        rc = chat_send(sink, ev);
    }
    for (size_t i = 0; rc == OK && i < p->n_citations; i++) {
        struct chat_event cite = {
            .type = CHAT_EV_CITATION, .choice = ev->choice, .block = ev->block, .citation = &p->citations[i]};
        rc = chat_send(sink, &cite);
    }
    return rc;
}

static int replay_choice(const struct chat_choice *c, int choice, const struct chat_sink *sink)
{
    int rc = OK, n_tools = 0;
    for (size_t i = 0; rc == OK && i < c->n_parts; i++) {
        const struct chat_part *p = &c->parts[i];
        struct chat_event ev = {.choice = choice, .block = (int)i};
        switch (p->type) {
        case CHAT_PART_TEXT:
        case CHAT_PART_REASONING:
        case CHAT_PART_REFUSAL: rc = replay_text(p, &ev, sink); break;
        case CHAT_PART_TOOL_CALL:
            ev.type = CHAT_EV_TOOL_CALL;
            ev.tool_idx = n_tools++;
            ev.id = p->id;
            ev.name = p->name;
            ev.text = p->args_json;
            ev.signature = p->signature;
            ev.signature_from = p->signature_from;
            rc = chat_send(sink, &ev);
            break;
        case CHAT_PART_IMAGE:
        case CHAT_PART_AUDIO:
        case CHAT_PART_VIDEO:
        case CHAT_PART_DOCUMENT:
            ev.type = CHAT_EV_MEDIA;
            ev.media = &p->media;
            ev.media_type = p->type;
            rc = chat_send(sink, &ev);
            break;
        case CHAT_PART_SEARCH_RESULT:
        case CHAT_PART_TOOL_RESULT:
        case CHAT_PART_OTHER: break; /* not parts of an answer */
        }
    }
    struct chat_event lp = {
        .type = CHAT_EV_LOGPROBS, .choice = choice, .logprobs = c->logprobs, .n_logprobs = c->n_logprobs};
    return rc == OK && c->n_logprobs ? chat_send(sink, &lp) : rc;
}

int chat_replay(const struct chat_answer *answer, const struct chat_sink *sink)
{
    struct chat_event start = {
        .type = CHAT_EV_START, .id = answer->id, .model = answer->model, .created_s = answer->created_s};
    int rc = chat_send(sink, &start);
    for (size_t i = 0; rc == OK && i < answer->n_choices; i++)
        rc = replay_choice(&answer->choices[i], (int)i, sink);
    struct chat_event usage = {.type = CHAT_EV_USAGE, .usage = answer->usage};
    if (rc == OK && (answer->usage.is_known || answer->usage.is_estimated))
        rc = chat_send(sink, &usage);
    if (rc == OK && answer->has_error) {
        struct chat_event ev = {.type = CHAT_EV_ERROR, .error = &answer->error};
        return chat_send(sink, &ev);
    }
    for (size_t i = 0; rc == OK && i < answer->n_choices; i++) {
        struct chat_event ev = {.type = CHAT_EV_FINISH,
                                .choice = (int)i,
                                .is_opaque = answer->is_opaque,
                                .finish = answer->choices[i].finish,
                                .text = answer->choices[i].stop};
        if (ev.finish != CHAT_FINISH_NONE)
            rc = chat_send(sink, &ev);
    }
    return rc;
}
