/* fuzz_schema.c - Any bytes as a JSON Schema: what compiles is walked at random, and every text that comes to
 * an end must be valid; masks must be what asking token by token says. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "grammar/grammar.h"
#include "grammar/schema.h"
#include "grammar/schema_check.h"
#include "grammar_masks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define STEPS 300

/* Bytes chosen by the input itself; true: `text` is whole. */
static bool walk(struct grammar *g, const uint8_t *data, size_t n, bool may_be_stuck, struct buf *text)
{
    struct grammar_state *s;
    if (grammar_state_create(&s, g, NULL) != OK)
        return false;
    bool is_whole = false;
    for (size_t step = 0; step < STEPS && !is_whole; step++) {
        uint8_t first = n ? data[(step * 7) % n] : 0;
        bool is_found = false;
        is_whole = grammar_state_may_end(s) && (first & 1);
        for (int b = 0; b < 256 && !is_found && !is_whole; b++) {
            char c = (char)(first + b * 37);
            is_found = grammar_state_accept(s, str_of(&c, 1));
            if (is_found)
                buf_putc(text, c);
        }
        if (!is_found && !is_whole) {
            assert(may_be_stuck || grammar_state_may_end(s));
            is_whole = grammar_state_may_end(s);
            break;
        }
    }
    grammar_state_free(s);
    return is_whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct grammar_spec spec = {.kind = GRAMMAR_SCHEMA, .text = str_of((const char *)data, n)};
    struct grammar_limits limits = {.nodes_max = 20000, .time_ms = 200};
    struct schema *schema;
    struct schema_checker *checker = NULL;
    struct grammar *g;
    struct buf text;

    /* Where names are few and all were used, only a mask finds a way on (it lets one come twice). */
    bool has_few_names = str_find(spec.text, S("atternProperties"), 0) != STR_NONE ||
                         str_find(spec.text, S("ropertyNames"), 0) != STR_NONE ||
                         str_find(spec.text, S("\\u"), 0) != STR_NONE;
    if (n > 4096 || schema_read(&schema, spec.text, NULL) != OK)
        return 0;
    if (grammar_compile(&g, &spec, NULL, &limits, NULL) == OK &&
        schema_checker_create(&checker, schema, NULL) == OK) {
        buf_init(&text, STEPS + 1);
        if (walk(g, data, n, has_few_names, &text)) {
            struct schema_fault fault;
            int rc = schema_check_text(checker, buf_str(&text), &fault);
            if (rc == ERR_FORMAT && !has_few_names) {
                fprintf(stderr, "%.*s: %s\n", STR(buf_str(&text)), fault.text);
                abort();
            }
        }
        buf_deinit(&text);
    }
    if (g)
        masks_compare(&spec, &limits, data, n);
    schema_checker_free(checker);
    grammar_release(g);
    schema_free(schema);
    return 0;
}
