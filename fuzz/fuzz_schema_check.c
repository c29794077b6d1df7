/* fuzz_schema_check.c - "schema NUL text": the validator on any schema and any text.  Where the text is
 * valid, every beginning of it must be one of a valid text; and what the byte-wise reader takes for JSON
 * is what the whole reader does, but for keys that come twice and what is too deep. */
#include <assert.h>

#include "gateway/validate_stream.h"
#include "grammar/schema_check.h"

#define BEGINNINGS_MAX 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_beginnings(struct schema_checker *k, struct str text, bool is_valid)
{
    struct stream_check s;
    stream_check_init(&s, false);
    for (size_t i = 0; i < text.n && i < BEGINNINGS_MAX; i++) {
        struct buf whole;
        size_t n_real = 0;
        bool is_number_open = false;
        if (stream_check_feed(&s, str_of(text.p + i, 1)) != 1) {
            assert(!is_valid);
            return;
        }
        buf_init(&whole, text.n + 1000);
        buf_add(&whole, text.p, i + 1);
        if (stream_check_close(&s, &whole, &n_real, &is_number_open)) {
            int rc = schema_check_begun(k, buf_str(&whole), n_real, is_number_open, NULL);
            assert(!is_valid || rc != ERR_FORMAT);
        }
        buf_deinit(&whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str all = {(const char *)data, n};
    size_t cut = str_find_char(all, 0, 0);
    struct str text = cut == STR_NONE ? S("") : str_sub(all, cut + 1, n);
    struct schema *s = NULL;
    struct schema_checker *k = NULL;
    struct schema_fault fault = {0};
    if (schema_read(&s, str_sub(all, 0, cut == STR_NONE ? n : cut), NULL) != OK)
        return 0;
    if (schema_checker_create(&k, s, NULL) == OK) {
        int rc = schema_check_text(k, text, &fault);
        assert(rc == OK || fault.text[0]);
        check_beginnings(k, text, rc == OK);
    }
    schema_checker_free(k);
    schema_free(s);
    return 0;
}
