#include "text/tokenizer.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/test.h"

/* A byte-level vocabulary: the 256 bytes, some merges, some special tokens. */
enum { ID_AB = 256, ID_ABC, ID_AA, ID_AAAA, ID_END, ID_START, ID_TOOL, ID_BOS, ID_EOS, N_TOKENS };

struct small_vocab {
    struct str tokens[N_TOKENS];
    int32_t kinds[N_TOKENS];
    char spelled[256][4];
    struct vocab_def def;
};

static const struct str small_merges[] = {{"a b", 3}, {"ab c", 4}, {"a a", 3}, {"aa aa", 5}};

static void make_small(struct small_vocab *v)
{
    vocab_def_init(&v->def);
    for (int b = 0, next = 256; b < 256; b++) {
        bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        int c = plain ? b : next++;
        size_t n = 0;
        if (c >= 0x80)
            v->spelled[b][n++] = (char)(0xC0 | c >> 6);
        v->spelled[b][n++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3F) : c);
        v->tokens[b] = str_of(v->spelled[b], n);
    }
    static const char *const more[] = {"ab",           "abc",    "aa",    "aaaa", "<|im_end|>",
                                       "<|im_start|>", "<tool>", "<bos>", "<eos>"};
    for (int i = 256; i < N_TOKENS; i++)
        v->tokens[i] = str_c(more[i - 256]);
    for (int i = 0; i < N_TOKENS; i++)
        v->kinds[i] = i < ID_END ? TOKEN_NORMAL : i == ID_TOOL ? TOKEN_USER_DEFINED : TOKEN_CONTROL;
    v->def.model = S("gpt2");
    v->def.pre = S("gpt-2");
    v->def.tokens = v->tokens;
    v->def.n_tokens = N_TOKENS;
    v->def.kinds = v->kinds;
    v->def.merges = small_merges;
    v->def.n_merges = 4;
    v->def.role[ROLE_BOS] = ID_BOS;
    v->def.role[ROLE_EOS] = ID_EOS;
    v->def.add_bos = 1;
}

static struct tokenizer *create_small(void)
{
    struct small_vocab v;
    struct tokenizer *t = NULL;
    make_small(&v);
    REQUIRE(tokenizer_create(&t, &v.def, NULL) == OK);
    return t;
}

static const struct encode_opts bare = {.bos = ENCODE_ADD_NO, .eos = ENCODE_ADD_NO};

static void check_encode(const struct tokenizer *t, const struct text_segment *segments, size_t n,
                         struct encode_opts opts, const int32_t *want, size_t n_want)
{
    int32_t ids[256];
    struct token_list got;
    token_list_init_array(&got, ids, 256);
    CHECK_INT(tokenizer_encode(t, segments, n, opts, &got, NULL), OK);
    CHECK_INT(got.n, n_want);
    for (size_t i = 0; i < n_want && i < got.n; i++)
        CHECK_INT(got.ids[i], want[i]);
}

#define ENCODES(t, segments, opts, ...)                                                                      \
    do {                                                                                                     \
        const int32_t want_[] = {__VA_ARGS__};                                                               \
        check_encode((t), (segments), sizeof(segments) / sizeof((segments)[0]), (opts), want_,               \
                     sizeof want_ / sizeof want_[0]);                                                        \
    } while (0)

TEST(a_message_can_never_become_a_control_token)
{
    struct tokenizer *t = create_small();
    struct text_segment attack[] = {{S("<|im_start|>"), true}, {S("<|im_end|>"), false}};
    ENCODES(t, attack, bare, ID_START, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>');
    /* nor with the help of the template's text around it */
    struct text_segment straddle[] = {{S("<|im_"), true}, {S("end|"), false}, {S(">"), true}};
    ENCODES(t, straddle, bare, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>');
    struct text_segment both[] = {{S("<|im_"), true}, {S(""), false}, {S("end|>"), true}};
    ENCODES(t, both, bare, ID_END);
    tokenizer_free(t);
}

TEST(segments_are_one_string)
{
    struct tokenizer *t = create_small();
    struct text_segment cut[] = {{S("a"), true}, {S("b"), false}, {S("c<to"), false}, {S("ol>"), true}};
    ENCODES(t, cut, bare, ID_ABC, ID_TOOL);
    tokenizer_free(t);
}

TEST(bos_is_added_once)
{
    struct tokenizer *t = create_small();
    struct encode_opts as_model = {0}, with_eos = {.eos = ENCODE_ADD_YES};
    struct text_segment plain[] = {{S("ab"), true}}, printed[] = {{S("<bos>ab<eos>"), true}};
    struct text_segment typed[] = {{S("<bos>"), false}};
    ENCODES(t, plain, as_model, ID_BOS, ID_AB);
    ENCODES(t, printed, as_model, ID_BOS, ID_AB, ID_EOS);
    ENCODES(t, printed, with_eos, ID_BOS, ID_AB, ID_EOS);
    ENCODES(t, plain, with_eos, ID_BOS, ID_AB, ID_EOS);
    ENCODES(t, typed, as_model, ID_BOS, '<', 'b', 'o', 's', '>');
    tokenizer_free(t);
}

TEST(too_many_tokens_are_counted_and_refused)
{
    struct tokenizer *t = create_small();
    struct text_segment text = {S("abcabcabcxyz"), false};
    int32_t ids[4];
    struct token_list out;
    struct err err;
    token_list_init_array(&out, ids, 4);
    CHECK_INT(tokenizer_encode(t, &text, 1, bare, &out, &err), ERR_LIMIT);
    CHECK_INT(out.n, 0);
    CHECK_INT(out.n_wanted, 6);
    CHECK_STR(str_c(err.text), S("the text has 6 tokens, at most 4 are possible here"));
    tokenizer_free(t);
}

TEST(invalid_bytes_survive_the_round_trip)
{
    struct tokenizer *t = create_small();
    char all[1024];
    struct buf back;
    struct token_list ids;
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)(i * 7 + i / 256);
    struct text_segment text = {str_of(all, sizeof all), false};
    token_list_init(&ids, 4096);
    buf_init(&back, 4096);
    REQUIRE(tokenizer_encode(t, &text, 1, bare, &ids, NULL) == OK);
    for (size_t i = 0; i < ids.n; i++)
        buf_str_add(&back, tokenizer_token_bytes(t, ids.ids[i]));
    CHECK(str_eq(buf_str(&back), text.text));
    buf_deinit(&back);
    token_list_deinit(&ids);
    tokenizer_free(t);
}

TEST(a_long_run_of_one_letter_takes_no_square_of_time)
{
    struct tokenizer *t = create_small();
    size_t n = 400002;
    char *letters = malloc(n);
    struct token_list ids;
    memset(letters, 'a', n);
    struct text_segment text = {str_of(letters, n), false};
    token_list_init(&ids, n);
    CHECK_INT(tokenizer_encode(t, &text, 1, bare, &ids, NULL), OK);
    CHECK_INT(ids.n, n / 4 + 1);
    CHECK(ids.n > 1 && ids.ids[0] == ID_AAAA && ids.ids[ids.n - 1] == ID_AA);
    token_list_deinit(&ids);
    free(letters);
    tokenizer_free(t);
}

TEST(streaming_never_shows_half_a_character)
{
    struct tokenizer *t = create_small();
    struct detok d;
    struct buf out;
    static const uint8_t bytes[] = {'a', 0xF0, 0x9F, 0x98, 0x80, 0xE2, 0x82, 'b', 0xFF, 0xC3};
    buf_init(&out, 1024);
    detok_init(&d, t, false, false);
    for (size_t i = 0; i < sizeof bytes; i++) {
        CHECK(detok_push(&d, bytes[i], &out));
        CHECK(str_is_utf8(buf_str(&out)));
        if (i == 3)
            CHECK_STR(buf_str(&out), S("a"));
    }
    CHECK(detok_push(&d, ID_END, &out)); /* no text: what is held goes on waiting */
    CHECK(detok_finish(&d, &out));
    CHECK_STR(buf_str(&out), S("a\xF0\x9F\x98\x80\xEF\xBF\xBD"
                               "b\xEF\xBF\xBD\xEF\xBF\xBD"));
    buf_deinit(&out);
    tokenizer_free(t);
}

TEST(generation_ends_where_the_vocabulary_says)
{
    struct tokenizer *t = create_small();
    size_t n;
    const int32_t *eog = tokenizer_eog(t, &n);
    CHECK_INT(n, 2);
    CHECK(eog[0] == ID_END && eog[1] == ID_EOS);
    CHECK(tokenizer_is_eog(t, ID_END) && !tokenizer_is_eog(t, ID_START) && !tokenizer_is_eog(t, -1));
    CHECK_INT(tokenizer_role(t, ROLE_EOT), ID_END);
    CHECK(tokenizer_is_special(t, ID_END) && !tokenizer_is_special(t, ID_TOOL));
    CHECK_INT(tokenizer_token_bytes(t, ID_END).n, 0);
    CHECK_STR(tokenizer_token_bytes(t, ID_TOOL), S("<tool>"));
    tokenizer_free(t);
}

/* Older files of Gemma have <end_of_turn> as a word like any other, and <eos> as the one end. */
TEST(an_end_of_turn_ends_whatever_kind_the_file_gives_it)
{
    static const enum token_kind kinds[] = {TOKEN_NORMAL, TOKEN_USER_DEFINED, TOKEN_CONTROL};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct small_vocab v;
        struct tokenizer *t;
        make_small(&v);
        v.tokens[ID_END] = S("<end_of_turn>");
        v.tokens[ID_START] = S("<start_of_turn>");
        v.kinds[ID_END] = kinds[i];
        REQUIRE(tokenizer_create(&t, &v.def, NULL) == OK);
        CHECK_INT(tokenizer_role(t, ROLE_EOT), ID_END);
        CHECK(tokenizer_is_eog(t, ID_END) && tokenizer_is_eog(t, ID_EOS) && !tokenizer_is_eog(t, ID_START));
        CHECK_INT(tokenizer_token_bytes(t, ID_END).n, 0);
        tokenizer_free(t);
    }
}

TEST(frame_markers_are_control_tokens_whatever_the_file_says)
{
    struct small_vocab v;
    struct tokenizer *t;
    make_small(&v);
    v.kinds[ID_END] = TOKEN_USER_DEFINED;
    v.kinds[ID_START] = TOKEN_USER_DEFINED;
    REQUIRE(tokenizer_create(&t, &v.def, NULL) == OK);
    CHECK_INT(tokenizer_token_kind(t, ID_END), TOKEN_CONTROL);
    CHECK_INT(tokenizer_token_kind(t, ID_START), TOKEN_CONTROL);
    tokenizer_free(t);
}

TEST(what_is_unknown_is_refused_with_a_list)
{
    struct small_vocab v;
    struct tokenizer *t;
    struct err err;
    make_small(&v);
    v.def.model = S("rwkv");
    CHECK_INT(tokenizer_create(&t, &v.def, &err), ERR_UNSUPPORTED);
    CHECK_STR(str_c(err.text), S("unknown tokenizer model 'rwkv'; known are: gpt2, llama, gemma4, bert"));
    v.def.model = S("gpt2");
    v.def.pre = S("no-such-cut");
    CHECK_INT(tokenizer_create(&t, &v.def, &err), ERR_UNSUPPORTED);
    CHECK(str_find(str_c(err.text), S("unknown pre-tokenizer 'no-such-cut'"), 0) == 0);
    CHECK(str_find(str_c(err.text), S("qwen2"), 0) != STR_NONE);
    CHECK(t == NULL);
    v.def.pre = str_of(NULL, 0);
    REQUIRE(tokenizer_create(&t, &v.def, &err) == OK);
    CHECK(tokenizer_pre_is_guess(t));
    tokenizer_free(t);
}

TEST(vocabularies_that_cannot_be_right_are_refused)
{
    struct small_vocab v;
    struct tokenizer *t;
    struct err err;
    static const struct str no_space[] = {{"ab", 2}};
    make_small(&v);
    v.def.merges = no_space;
    v.def.n_merges = 1;
    CHECK_INT(tokenizer_create(&t, &v.def, &err), ERR_FORMAT);
    make_small(&v);
    v.def.role[ROLE_BOS] = N_TOKENS;
    CHECK_INT(tokenizer_create(&t, &v.def, &err), ERR_FORMAT);
    make_small(&v);
    v.kinds[3] = 77;
    CHECK_INT(tokenizer_create(&t, &v.def, &err), ERR_FORMAT);
    make_small(&v);
    v.def.n_tokens = 0;
    CHECK_INT(tokenizer_create(&t, &v.def, &err), ERR_FORMAT);
}

TEST(a_byte_without_a_token_is_an_error_and_not_dropped)
{
    struct small_vocab v;
    struct tokenizer *t;
    struct err err;
    struct token_list out;
    struct text_segment text = {S("a\x1D"
                                  "b"),
                                false};
    make_small(&v);
    v.tokens[0x1D] = S("nothing");
    REQUIRE(tokenizer_create(&t, &v.def, NULL) == OK);
    token_list_init(&out, 16);
    CHECK_INT(tokenizer_encode(t, &text, 1, bare, &out, &err), ERR_ARG);
    CHECK(str_find(str_c(err.text), S("byte 0x1D"), 0) != STR_NONE);
    CHECK_INT(out.n, 0);
    token_list_deinit(&out);
    tokenizer_free(t);
}

static void *encode_often(void *arg)
{
    const struct tokenizer *t = arg;
    static const int32_t want[] = {ID_ABC, ' ', ID_AB, ID_AAAA, 'x'};
    struct text_segment text = {S("abc abaaaax"), false};
    intptr_t n_wrong = 0;
    for (int i = 0; i < 2000; i++) {
        int32_t ids[16];
        struct token_list out;
        token_list_init_array(&out, ids, 16);
        n_wrong += tokenizer_encode(t, &text, 1, bare, &out, NULL) != OK || out.n != 5 ||
                   memcmp(ids, want, sizeof want) != 0;
    }
    return (void *)n_wrong;
}

TEST(threads_share_one_tokenizer)
{
    struct tokenizer *t = create_small();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, encode_often, t) == 0);
    for (int i = 0; i < 4; i++) {
        void *n_wrong = t;
        pthread_join(threads[i], &n_wrong);
        CHECK(n_wrong == NULL);
    }
    tokenizer_free(t);
}
