/* config_load.c - YAML to struct config, driven by the options table.  See config_load.h.
 *
 * libyaml turns the text into a tree whose nodes know their line; read_section walks it beside a
 * section of the table.  Faults are gathered, not thrown: `sluice check` shows all of them at
 * once.  Checks that look at several options at a time are in config_check.c. */
#include "server/config_load.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/sys.h"
#include "server/config_int.h"
#include "server/options.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)
#define CONFIG_ARENA_MAX ((size_t)256 << 20)
#define FAULTS_BYTES_MAX ((size_t)1 << 20)
#define NODES_MAX        200000 /* visits, so that YAML aliases cannot multiply */
#define EXPANSION_MAX    65536

void config_faults_init(struct config_faults *f)
{
    buf_init(&f->text, FAULTS_BYTES_MAX);
    f->n = 0;
}

void config_faults_deinit(struct config_faults *f)
{
    buf_deinit(&f->text);
}

void config_fault(struct config_faults *f, struct str file, int line, const char *fmt, ...)
{
    char sentence[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    f->n++;
    if (file.n && line > 0)
        buf_printf(&f->text, "%.*s:%d: %s\n", STR(file), line, sentence);
    else if (file.n)
        buf_printf(&f->text, "%.*s: %s\n", STR(file), sentence);
    else
        buf_printf(&f->text, "%s\n", sentence);
}

const char *config_env(const char *name)
{
    return getenv(name);
}

static int line_of(const yaml_node_t *n)
{
    return n ? (int)n->start_mark.line + 1 : 0;
}

static struct str raw_scalar(const yaml_node_t *n)
{
    return str_of((const char *)n->data.scalar.value, n->data.scalar.length);
}

/* ---- ${VAR} ---- */

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return s.n > 0;
}

/* One ${...}; `inside` is what stands between the braces. */
static void put_variable(struct loader *ld, int line, struct str inside, struct buf *out)
{
    size_t dash = str_find(inside, S(":-"), 0);
    struct str name = dash == STR_NONE ? inside : str_sub(inside, 0, dash);
    if (!is_name(name)) {
        config_fault(ld->faults, ld->file, line, "'${%.*s}' is not a variable's name", STR(inside));
        return;
    }
    char *z = str_dup_z(name);
    const char *value = z ? ld->source->env(z) : NULL;
    free(z);
    if (value && (value[0] || dash == STR_NONE))
        buf_puts(out, value);
    else if (dash != STR_NONE)
        buf_str_add(out, str_sub(inside, dash + 2, inside.n));
    else
        config_fault(ld->faults, ld->file, line,
                     "the environment variable %.*s is not set (write ${%.*s:-default} to allow that)",
                     STR(name), STR(name));
}

static struct str expand(struct loader *ld, int line, struct str s)
{
    if (str_find(s, S("${"), 0) == STR_NONE)
        return arena_str(&ld->config->arena, s);
    struct buf out;
    buf_init(&out, EXPANSION_MAX);
    size_t i = 0, at;
    while ((at = str_find(s, S("${"), i)) != STR_NONE) {
        size_t end = str_find_char(s, '}', at);
        if (end == STR_NONE) {
            config_fault(ld->faults, ld->file, line, "'${' has no '}'");
            break;
        }
        buf_add(&out, s.p + i, at - i);
        put_variable(ld, line, str_sub(s, at + 2, end), &out);
        i = end + 1;
    }
    buf_add(&out, s.p + i, s.n - i);
    if (!buf_ok(&out))
        config_fault(ld->faults, ld->file, line, "the value is longer than %d bytes", EXPANSION_MAX);
    struct str text = arena_str(&ld->config->arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

/* ---- scalars ---- */

static void bad_value(struct loader *ld, int line, const struct option *o, struct str v, const char *wanted)
{
    bool secret = o->type == OPT_SECRET || o->type == OPT_SECRETS;
    config_fault(ld->faults, ld->file, line, "'%s' is %s%.*s%s, but it must be %s", o->name,
                 secret ? "" : "'", STR(secret ? S("not usable") : str_sub(v, 0, 80)), secret ? "" : "'",
                 wanted);
}

static void read_number(struct loader *ld, int line, const struct option *o, struct str v, int64_t *out)
{
    bool ok = o->type == OPT_INT     ? str_to_i64(v, out)
              : o->type == OPT_BYTES ? config_parse_bytes(v, out)
                                     : config_parse_duration(v, out);
    const char *wanted = o->type == OPT_INT     ? "a whole number"
                         : o->type == OPT_BYTES ? "a size such as 256MB"
                                                : "a duration such as 50ms, 2s or 1h";
    if (!ok) {
        bad_value(ld, line, o, v, wanted);
        return;
    }
    if (*out < o->min || (o->max > 0 && *out > o->max))
        config_fault(ld->faults, ld->file, line,
                     "'%s' is '%.*s', which is outside of what is possible (%lld to %lld%s)", o->name, STR(v),
                     (long long)o->min, (long long)(o->max ? o->max : INT64_MAX),
                     o->type == OPT_DURATION ? " ns"
                     : o->type == OPT_BYTES  ? " bytes"
                                             : "");
}

static void read_choice(struct loader *ld, int line, const struct option *o, struct str v, int64_t *out)
{
    struct buf list;
    buf_init(&list, 512);
    for (int i = 0; o->choices[i]; i++) {
        if (str_eq(v, str_c(o->choices[i]))) {
            *out = i;
            buf_deinit(&list);
            return;
        }
        if (o->choices[i][0] == '!' && str_eq(v, str_c(o->choices[i] + 1))) {
            config_fault(ld->faults, ld->file, line, "'%s: %.*s' is not in this version", o->name, STR(v));
            buf_deinit(&list);
            return;
        }
        if (o->choices[i][0] && o->choices[i][0] != '!')
            buf_printf(&list, "%s%s", list.n ? ", " : "one of ", o->choices[i]);
    }
    bad_value(ld, line, o, v, buf_z(&list));
    buf_deinit(&list);
}

static void read_scalar(struct loader *ld, int line, const struct option *o, struct str v, char *to)
{
    switch (o->type) {
    case OPT_INT:
    case OPT_BYTES:
    case OPT_DURATION: read_number(ld, line, o, v, (int64_t *)to); break;
    case OPT_BOOL:
        if (str_eq(v, S("true")) || str_eq(v, S("yes")) || str_eq(v, S("on")))
            *(bool *)to = true;
        else if (str_eq(v, S("false")) || str_eq(v, S("no")) || str_eq(v, S("off")))
            *(bool *)to = false;
        else
            bad_value(ld, line, o, v, "true or false");
        break;
    case OPT_TEXT:
    case OPT_SECRET: *(struct str *)to = v; break;
    case OPT_ENUM: read_choice(ld, line, o, v, (int64_t *)to); break;
    case OPT_USD:
        if (!config_parse_nano(v, (int64_t *)to))
            bad_value(ld, line, o, v, "an amount of US dollars such as 20 or 0.5");
        break;
    case OPT_SHARE:
        if (!config_parse_nano(v, (int64_t *)to) || *(int64_t *)to > NANO_PER_USD || v.p[0] == '$')
            bad_value(ld, line, o, v, "a number from 0 to 1");
        break;
    case OPT_PRICE: {
        int64_t nano; /* dollars per million tokens x 10^9 = pico-dollars per token x 1000 */
        if (!config_parse_nano(v, &nano) || nano % 1000 != 0)
            bad_value(ld, line, o, v, "US dollars per million tokens, with at most 6 decimals");
        else
            *(int64_t *)to = nano / 1000;
        break;
    }
    default: bad_value(ld, line, o, v, "a section or list"); break;
    }
}

static void read_texts(struct loader *ld, const struct option *o, yaml_node_t *n, struct config_list *list)
{
    if (n->type == YAML_SCALAR_NODE) {
        list->items = arena_new_array(&ld->config->arena, struct str, 1);
        if (list->items) {
            list->items[0] = expand(ld, line_of(n), raw_scalar(n));
            list->n = 1;
        }
        return;
    }
    if (n->type != YAML_SEQUENCE_NODE) {
        config_fault(ld->faults, ld->file, line_of(n), "'%s' must be a text or a list of texts", o->name);
        return;
    }
    int count = (int)(n->data.sequence.items.top - n->data.sequence.items.start);
    list->items = arena_new_array(&ld->config->arena, struct str, (size_t)count + 1);
    list->n = 0;
    for (int i = 0; list->items && i < count; i++) {
        yaml_node_t *item = yaml_document_get_node(&ld->yaml, n->data.sequence.items.start[i]);
        if (item->type != YAML_SCALAR_NODE)
            config_fault(ld->faults, ld->file, line_of(item), "'%s' must be a list of texts", o->name);
        else
            list->items[list->n++] = expand(ld, line_of(item), raw_scalar(item));
    }
}

static void read_map(struct loader *ld, const struct option *o, yaml_node_t *n, struct config_map *map)
{
    if (n->type != YAML_MAPPING_NODE) {
        config_fault(ld->faults, ld->file, line_of(n), "'%s' must be a mapping of names to texts", o->name);
        return;
    }
    size_t count = (size_t)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
    map->items = arena_new_array(&ld->config->arena, struct config_pair, count + 1);
    map->n = 0;
    for (size_t i = 0; map->items && i < count; i++) {
        yaml_node_t *key = yaml_document_get_node(&ld->yaml, n->data.mapping.pairs.start[i].key);
        yaml_node_t *value = yaml_document_get_node(&ld->yaml, n->data.mapping.pairs.start[i].value);
        if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE) {
            config_fault(ld->faults, ld->file, line_of(key), "'%s' must be a mapping of names to texts",
                         o->name);
            continue;
        }
        map->items[map->n++] = (struct config_pair){arena_str(&ld->config->arena, raw_scalar(key)),
                                                    expand(ld, line_of(value), raw_scalar(value))};
    }
}

/* ---- sections ---- */

static void set_defaults(struct loader *ld, const struct option *section, char *base)
{
    for (const struct option *o = section; o->name; o++) {
        if (o->type == OPT_SECTION)
            set_defaults(ld, o->section, base + o->offset);
        else if (o->is_later || o->type == OPT_LIST)
            continue;
        else if (o->type == OPT_PRICE || o->type == OPT_USD)
            *(int64_t *)(base + o->offset) = -1;
        else if (o->type == OPT_TEXTS && o->initial) {
            struct config_list *list = (struct config_list *)(base + o->offset);
            list->items = arena_new_array(&ld->config->arena, struct str, 1);
            if (list->items) {
                list->items[0] = str_c(o->initial);
                list->n = 1;
            }
        } else if (o->initial)
            read_scalar(ld, 0, o, str_c(o->initial), base + o->offset);
        else if (o->type == OPT_TEXT || o->type == OPT_SECRET)
            *(struct str *)(base + o->offset) = S("");
    }
}

static void set_line(const struct option *list, char *item, int line)
{
    if (list->item_bytes == sizeof(struct config_provider))
        ((struct config_provider *)item)->line = line;
    else if (list->item_bytes == sizeof(struct config_model))
        ((struct config_model *)item)->line = line;
    else if (list->item_bytes == sizeof(struct config_target))
        ((struct config_target *)item)->line = line;
}
_Static_assert(sizeof(struct config_provider) != sizeof(struct config_model) &&
                   sizeof(struct config_model) != sizeof(struct config_target) &&
                   sizeof(struct config_provider) != sizeof(struct config_target),
               "set_line tells the structs apart by their size");

static void read_list(struct loader *ld, const struct option *o, yaml_node_t *n, char *base, int depth)
{
    if (n->type != YAML_SEQUENCE_NODE) {
        config_fault(ld->faults, ld->file, line_of(n), "'%s' must be a list (each entry begins with '- ')",
                     o->name);
        return;
    }
    int count = (int)(n->data.sequence.items.top - n->data.sequence.items.start);
    char *items = arena_array(&ld->config->arena, (size_t)count + 2, o->item_bytes);
    if (!items) {
        config_fault(ld->faults, ld->file, line_of(n), "the configuration is too large");
        return;
    }
    for (int i = 0; i < count; i++) {
        yaml_node_t *node = yaml_document_get_node(&ld->yaml, n->data.sequence.items.start[i]);
        char *item = items + (size_t)i * o->item_bytes;
        set_defaults(ld, o->section, item);
        set_line(o, item, line_of(node));
        read_section(ld, o->section, node, item, depth + 1, o->name);
    }
    *(void **)(base + o->offset) = items;
    *(int *)(base + o->count_offset) = count;
}

static void read_option(struct loader *ld, const struct option *o, yaml_node_t *value, char *base, int depth)
{
    char *to = base + o->offset;
    if (o->is_later) {
        config_fault(ld->faults, ld->file, line_of(value), "'%s' is not in this version", o->name);
        return;
    }
    switch (o->type) {
    case OPT_SECTION: read_section(ld, o->section, value, to, depth + 1, o->name); return;
    case OPT_LIST: read_list(ld, o, value, base, depth); return;
    case OPT_TEXTS:
    case OPT_SECRETS: read_texts(ld, o, value, (struct config_list *)to); return;
    case OPT_MAP: read_map(ld, o, value, (struct config_map *)to); return;
    default: break;
    }
    if (value->type != YAML_SCALAR_NODE) {
        config_fault(ld->faults, ld->file, line_of(value), "'%s' must be a single value", o->name);
        return;
    }
    struct str v = expand(ld, line_of(value), raw_scalar(value));
    bool plain = value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && (v.n == 0 || str_eq(v, S("null")) || str_eq(v, S("~"))))
        return; /* said to be empty: the default stays */
    read_scalar(ld, line_of(value), o, v, to);
}

static void unknown_key(struct loader *ld, const struct option *section, yaml_node_t *key, const char *where)
{
    struct str name = raw_scalar(key);
    const struct option *near = options_nearest(section, name);
    if (near)
        config_fault(ld->faults, ld->file, line_of(key), "unknown key '%.*s'%s%s: did you mean '%s'?",
                     STR(str_sub(name, 0, 80)), where ? " in " : "", where ? where : "", near->name);
    else
        config_fault(ld->faults, ld->file, line_of(key), "unknown key '%.*s'%s%s", STR(str_sub(name, 0, 80)),
                     where ? " in " : "", where ? where : "");
}

static bool seen_before(const yaml_document_t *yaml, const yaml_node_t *n, size_t i, struct str name)
{
    for (size_t j = 0; j < i; j++) {
        yaml_node_t *key =
            yaml_document_get_node((yaml_document_t *)yaml, n->data.mapping.pairs.start[j].key);
        if (key->type == YAML_SCALAR_NODE && str_eq(raw_scalar(key), name))
            return true;
    }
    return false;
}

void read_section(struct loader *ld, const struct option *section, void *node, char *base, int depth,
                  const char *where)
{
    yaml_node_t *n = node;
    if (depth > CONFIG_DEPTH_MAX || ++ld->n_visits > NODES_MAX) {
        config_fault(ld->faults, ld->file, line_of(n), "the configuration is nested too deep or too large");
        return;
    }
    if (n->type != YAML_MAPPING_NODE) {
        config_fault(ld->faults, ld->file, line_of(n), "%s%s must be a mapping of keys to values",
                     where ? "an entry of " : "the file", where ? where : "");
        return;
    }
    size_t count = (size_t)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
    for (size_t i = 0; i < count && ld->n_visits <= NODES_MAX; i++) {
        yaml_node_t *key = yaml_document_get_node(&ld->yaml, n->data.mapping.pairs.start[i].key);
        yaml_node_t *value = yaml_document_get_node(&ld->yaml, n->data.mapping.pairs.start[i].value);
        if (key->type != YAML_SCALAR_NODE) {
            config_fault(ld->faults, ld->file, line_of(key), "a key must be a text");
            continue;
        }
        const struct option *o = options_find(section, raw_scalar(key));
        if (!o)
            unknown_key(ld, section, key, where);
        else if (seen_before(&ld->yaml, n, i, raw_scalar(key)))
            config_fault(ld->faults, ld->file, line_of(key), "'%s' is given twice", o->name);
        else
            read_option(ld, o, value, base, depth);
    }
    for (const struct option *o = section; o->name; o++) {
        if (!o->is_required)
            continue;
        bool given = false;
        for (size_t i = 0; i < count && !given; i++) {
            yaml_node_t *key = yaml_document_get_node(&ld->yaml, n->data.mapping.pairs.start[i].key);
            given = key->type == YAML_SCALAR_NODE && str_eq(raw_scalar(key), str_c(o->name));
        }
        if (!given)
            config_fault(ld->faults, ld->file, line_of(n), "%s needs '%s'", where ? where : "the file",
                         o->name);
    }
}

/* ---- the file ---- */

static void read_yaml(struct loader *ld, struct str text)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        config_fault(ld->faults, ld->file, 0, "no memory to read the configuration");
        return;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    if (!yaml_parser_load(&parser, &ld->yaml)) {
        config_fault(ld->faults, ld->file, (int)parser.problem_mark.line + 1, "not valid YAML: %s%s%s",
                     parser.context ? parser.context : "", parser.context ? ", " : "",
                     parser.problem ? parser.problem : "cannot be read");
        yaml_parser_delete(&parser);
        return;
    }
    yaml_node_t *root = yaml_document_get_root_node(&ld->yaml);
    bool empty = !root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0);
    if (!empty)
        read_section(ld, options_top, root, (char *)ld->config, 0, NULL);
    yaml_document_delete(&ld->yaml);
    yaml_parser_delete(&parser);
}

static void read_file(struct loader *ld)
{
    struct buf text;
    struct err err = {0};
    buf_init(&text, CONFIG_BYTES_MAX);
    if (sys_read_file(ld->source->path, &text, &err) != OK)
        config_fault(ld->faults, S(""), 0, "%s", err.text);
    else
        read_yaml(ld, buf_str(&text));
    buf_deinit(&text);
}

/* "NAME=VALUE" joins what the file says. */
static void add_to_map(struct loader *ld, const struct option *o, struct str flag, struct config_map *map)
{
    size_t eq = str_find_char(flag, '=', 0);
    struct config_pair *items = arena_new_array(&ld->config->arena, struct config_pair, (size_t)map->n + 1);
    if (eq == STR_NONE || eq == 0) {
        config_fault(ld->faults, ld->file, 0, "'%s' is '%.*s', but it must be NAME=VALUE", o->name,
                     STR(flag));
        return;
    }
    if (!items)
        return;
    int n = 0;
    struct config_pair pair = {str_sub(flag, 0, eq), str_sub(flag, eq + 1, flag.n)};
    for (int i = 0; i < map->n; i++)
        if (!str_eq(map->items[i].name, pair.name))
            items[n++] = map->items[i];
    items[n++] = pair;
    *map = (struct config_map){items, n};
}

static void read_flags(struct loader *ld)
{
    for (int i = 0; i < ld->source->n_flags; i++) {
        const struct config_flag *flag = &ld->source->flags[i];
        const struct option *o = options_find_flag(flag->name);
        assert(o); /* the command line was read by the same table */
        char *to = (char *)ld->config + o->offset;
        ld->file = S("command line");
        if (o->type == OPT_TEXTS) {
            struct config_list *list = (struct config_list *)to;
            list->items = arena_new_array(&ld->config->arena, struct str, 1);
            if (list->items)
                list->items[0] = arena_str(&ld->config->arena, flag->value);
            list->n = list->items != NULL;
        } else if (o->type == OPT_MAP) {
            add_to_map(ld, o, arena_str(&ld->config->arena, flag->value), (struct config_map *)to);
        } else {
            read_scalar(ld, 0, o, arena_str(&ld->config->arena, flag->value), to);
        }
    }
    ld->file = str_c(ld->source->path);
}

static void copy_serve_models(struct loader *ld)
{
    struct config *c = ld->config;
    c->serve_models.items =
        arena_new_array(&c->arena, struct config_pair, (size_t)ld->source->n_serve_models + 1);
    for (int i = 0; c->serve_models.items && i < ld->source->n_serve_models; i++)
        c->serve_models.items[c->serve_models.n++] =
            (struct config_pair){arena_str(&c->arena, ld->source->serve_models[i].name),
                                 arena_str(&c->arena, ld->source->serve_models[i].value)};
}

struct config *config_load(const struct config_source *source, struct config_faults *f)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c) {
        config_fault(f, S(""), 0, "no memory for a configuration");
        return NULL;
    }
    int before = f->n;
    c->refs = 1;
    arena_init(&c->arena, CONFIG_ARENA_MAX);
    struct loader ld = {.config = c, .source = source, .faults = f, .file = str_c(source->path)};
    set_defaults(&ld, options_top, (char *)c);
    c->path = arena_str(&c->arena, str_c(source->path));
    if (source->path)
        read_file(&ld);
    read_flags(&ld);
    copy_serve_models(&ld);
    if (f->n == before)
        config_check(&ld);
    if (f->n == before)
        return c;
    config_drop(c);
    return NULL;
}
