/* schema_ref.c - Where a $ref points to, within the document.  See schema.h for what is possible.
 *
 * A reference is [uri][#fragment].  The uri chooses a resource (the document, or a part of it with
 * an $id); the fragment is empty, a JSON pointer from the resource's root, or an anchor in it. */
#include "grammar/schema_int.h"

static int lost(const struct schema_ref *ref, const char *why, struct err *err)
{
    struct str target = str_sub(ref->target, 0, 100);
    return schema_fail(err, ERR_UNSUPPORTED, ref->node, ref->is_dynamic ? "$dynamicRef" : "$ref", "'%.*s' %s",
                       STR(target), why);
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Undo %XX; what is no escape stays. */
static struct str unescape_uri(struct arena *arena, struct str s)
{
    char *p = arena_alloc(arena, s.n + 1);
    if (!p)
        return (struct str){NULL, 0};
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int hi = i + 2 < s.n && s.p[i] == '%' ? hex(s.p[i + 1]) : -1;
        int lo = hi >= 0 ? hex(s.p[i + 2]) : -1;
        if (lo >= 0) {
            p[n++] = (char)(hi * 16 + lo);
            i += 2;
        } else {
            p[n++] = s.p[i];
        }
    }
    return str_of(p, n);
}

/* A token of a JSON pointer: ~1 is '/', ~0 is '~'. */
static struct str unescape_token(struct arena *arena, struct str token)
{
    char *p = arena_alloc(arena, token.n + 1);
    if (!p)
        return (struct str){NULL, 0};
    size_t n = 0;
    for (size_t i = 0; i < token.n; i++) {
        char c = token.p[i];
        if (c == '~' && i + 1 < token.n && (token.p[i + 1] == '0' || token.p[i + 1] == '1'))
            c = token.p[++i] == '0' ? '~' : '/';
        p[n++] = c;
    }
    return str_of(p, n);
}

/* The member with this name, which may be written with escapes on either side. */
static struct json member(struct json v, struct str name, struct arena *arena)
{
    struct json_iter it = json_iter(v);
    while (json_next(&it)) {
        struct str key = json_text(it.key_value, arena);
        if (key.p && str_eq(key, name))
            return it.value;
    }
    return json_absent();
}

static struct json step(struct json v, struct str token, struct arena *arena)
{
    if (json_is(v, JSON_OBJECT))
        return member(v, token, arena);
    uint64_t i;
    if (json_is(v, JSON_ARRAY) && str_to_u64(token, &i) && i < json_count(v) &&
        (token.n == 1 || token.p[0] != '0'))
        return json_at(v, (uint32_t)i);
    return json_absent();
}

/* Follow a pointer ("/a/b") from `v`; on the way a part with its own $id may be entered. */
static struct json follow(struct schema *s, struct json v, struct str pointer, uint32_t *resource)
{
    struct str rest = str_sub(pointer, 1, pointer.n), part;
    while (json_exists(v) && str_split(&rest, '/', &part)) {
        struct str token = unescape_token(&s->arena, part);
        v = token.p ? step(v, token, &s->arena) : json_absent();
        if (json_is(json_get(v, "$id"), JSON_STRING))
            *resource = v.idx;
    }
    return v;
}

static const struct schema_anchor *find_anchor(const struct schema *s, uint32_t resource, struct str name)
{
    for (uint32_t i = 0; i < s->n_anchors; i++)
        if (s->anchors[i].resource == resource && str_eq(s->anchors[i].name, name))
            return &s->anchors[i];
    return NULL;
}

static bool find_resource(const struct schema *s, struct str uri, uint32_t *resource)
{
    for (uint32_t i = 0; i < s->n_ids; i++)
        if (str_eq(s->ids[i].uri, uri)) {
            *resource = s->ids[i].at;
            return true;
        }
    return false;
}

/* A $dynamicRef whose target is the only dynamic anchor of its name can point nowhere else. */
static int check_dynamic(const struct schema *s, const struct schema_ref *ref,
                         const struct schema_anchor *anchor, struct err *err)
{
    if (!ref->is_dynamic || !anchor || !anchor->is_dynamic)
        return OK;
    for (uint32_t i = 0; i < s->n_anchors; i++)
        if (s->anchors[i].is_dynamic && &s->anchors[i] != anchor && str_eq(s->anchors[i].name, anchor->name))
            return lost(ref, "has more than one $dynamicAnchor to choose from, which is not supported", err);
    return OK;
}

int schema_ref_resolve(struct schema *s, const struct schema_ref *ref, struct err *err)
{
    size_t hash = str_find_char(ref->target, '#', 0);
    struct str uri = str_sub(ref->target, 0, hash == STR_NONE ? ref->target.n : hash);
    struct str fragment = hash == STR_NONE ? S("") : str_sub(ref->target, hash + 1, ref->target.n);
    fragment = unescape_uri(&s->arena, fragment);
    if (!fragment.p)
        return schema_no_memory(err);
    uint32_t resource = ref->resource;
    if (uri.n && !find_resource(s, uri, &resource))
        return lost(ref, "refers to another document, and only references within this one are followed", err);
    struct json v = {&s->doc, resource};
    const struct schema_anchor *anchor = NULL;
    if (fragment.n && fragment.p[0] == '/') {
        v = follow(s, v, fragment, &resource);
    } else if (fragment.n) {
        anchor = find_anchor(s, resource, fragment);
        v = anchor ? (struct json){&s->doc, anchor->at} : json_absent();
    }
    if (!json_exists(v))
        return lost(ref, "refers to a place that this document does not have", err);
    int rc = check_dynamic(s, ref, anchor, err);
    if (rc != OK)
        return rc;
    struct str pointer = arena_printf(&s->arena, "#%.*s", STR(fragment));
    struct schema_node *node = schema_node_for(s, v, pointer, resource, err);
    if (!node)
        return err->code;
    ref->node->ref = node;
    return OK;
}
