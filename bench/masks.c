/* masks.c - CPU time of compiling grammars and of their masks, token by token (bench/structure.py builds it).
 *
 *     masks VOCABULARY.gguf [ROUNDS]
 *
 * Every round compiles a case anew and follows its answer twice: at the first time nothing is known of the
 * grammar, at the second all its masks are.  An answer is cut into the longest tokens that its grammar
 * allows.  A figure is the CPU time of this thread for what the engine does for one token: take the one
 * before, look for a token without alternative, make the mask.  One line of words per case, for scripts. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "engine/face_vocab.h"
#include "engine/grammar_constraint.h"
#include "grammar/vocab_int.h"

enum { ROUNDS = 5, TOKENS_MAX = 4096, WORDS = 1000, TEXT_MAX = 1 << 16 };

#define PERSON                                                                                               \
    "\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":80},"                                       \
    "\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":150},"                                          \
    "\"zip\":{\"type\":\"string\",\"pattern\":\"^[0-9]{5}$\"},"                                              \
    "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":10},"                         \
    "\"status\":{\"enum\":[\"active\",\"inactive\",\"banned\"]},"                                            \
    "\"score\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},"                                           \
    "\"created\":{\"type\":\"string\",\"format\":\"date-time\"},"                                            \
    "\"notes\":{\"type\":[\"string\",\"null\"]}"

static const struct bench_case {
    const char *name;
    enum grammar_kind kind;
    const char *text, *answer;
} cases[] = {
    {"json", GRAMMAR_JSON_OBJECT, "",
     "{\"title\": \"Notes on heat\", \"pages\": 214, \"price\": 18.50, \"in_print\": true, \"authors\": "
     "[{\"given\": \"Marie\", \"family\": \"Sk\xc5\x82odowska-Curie\"}, {\"given\": \"Pierre\", \"family\": "
     "\"Curie\"}], \"summary\": \"What is known,\\nand what is not: a list of 12 questions.\", \"isbn\": "
     "null}"},
    {"object", GRAMMAR_SCHEMA,
     "{\"type\":\"object\",\"properties\":{" PERSON "},\"required\":[\"name\",\"age\",\"zip\",\"tags\","
     "\"status\",\"score\",\"created\",\"notes\"],\"additionalProperties\":false}",
     "{\"name\": \"Marie Sk\xc5\x82odowska-Curie\", \"age\": 66, \"zip\": \"75005\", \"tags\": [\"physics\", "
     "\"chemistry\", \"Nobel prize winner\"], \"status\": \"inactive\", \"score\": 0.97, \"created\": "
     "\"1903-12-10T12:00:00Z\", \"notes\": \"She was the first woman to win a Nobel Prize,\\nand the first "
     "person to win it twice.\"}"},
    {"formats", GRAMMAR_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"email\":{"
     "\"type\":"
     "\"string\",\"format\":\"email\"},\"site\":{\"type\":\"string\",\"format\":\"uri\"},\"seen\":{\"type\":"
     "\"string\",\"format\":\"date-time\"},\"host\":{\"type\":\"string\",\"format\":\"hostname\"},\"ip\":{"
     "\"type\":"
     "\"string\",\"format\":\"ipv4\"}},\"required\":[\"id\",\"email\",\"site\",\"seen\",\"host\",\"ip\"]}",
     "{\"id\": \"3f2c8a14-90bd-4e5f-a6c7-1b2d3e4f5a6b\", \"email\": \"marie.curie+lab@physics.sorbonne.fr\", "
     "\"site\": \"https://www.example.com/people/curie?year=1903&prize=physics#top\", \"seen\": "
     "\"2024-02-29T23:59:59.125+02:00\", \"host\": \"db-01.eu.example.net\", \"ip\": \"192.168.10.254\"}"},
    {"infix", GRAMMAR_SCHEMA, "{\"type\":\"string\",\"pattern\":\"^.*error.*$\"}",
     "\"2024-05-01 12:00:07 the server said: an error in the file '\xc3\xbc"
     "bersicht.txt', and much more\""},
    {"words", GRAMMAR_SCHEMA, "{\"type\":\"string\",\"pattern\":\"^\\\\S+( \\\\S+)*$\"}",
     "\"no double spaces in here at all, not even (in brackets) or behind a full stop. \xc3\x9c"
     "ber 9000!\""},
    {"email64", GRAMMAR_SCHEMA, "{\"type\":\"string\",\"format\":\"email\",\"maxLength\":64}",
     "\"somebody.with.a.long.name@mail.department.example.org\""},
    {"letters", GRAMMAR_REGEX, "\\p{Lu}[\\p{L}\\p{M} .,'-]{2,80}[.!?]",
     "The letters of \xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0 are not those of Rome, nor those of "
     "Athens."},
    {"gbnf", GRAMMAR_GBNF,
     "root ::= (expr \"= \" term \"\\n\")+\nexpr ::= term ([-+*/] ws term)*\nterm ::= ident | num | "
     "\"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ \\t]*\n",
     "(total + tax_rate * 12) / number_of_items = price\n(a+b)*(c-d) = e\nx1 + x2 + 4096 = y\n"},
    {"enum1000", GRAMMAR_SCHEMA, NULL, NULL},
    {"tree", GRAMMAR_SCHEMA,
     "{\"$ref\":\"#/$defs/"
     "node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"label\":{\"type\":"
     "\"string\"},\"weight\":{\"type\":\"number\"},\"children\":{\"type\":\"array\",\"items\":{\"$ref\":"
     "\"#/$defs/node\"}}},\"required\":[\"label\",\"children\"],\"additionalProperties\":false}}}",
     "{\"label\": \"root\", \"weight\": 1.5, \"children\": [{\"label\": \"left\", \"children\": []}, "
     "{\"label\": "
     "\"right branch\", \"weight\": -3e4, \"children\": [{\"label\": \"leaf\", \"children\": []}]}]}"},
};

struct times {
    double us[TOKENS_MAX];
    int n;
};

static int64_t least_compile_ns;

/* A thousand names of products, of which the answer is one. */
static void make_enum(char *schema, char *answer)
{
    static const char *const parts[] = {"Alpha", "Beta",  "Gamma", "Delta", "Light",  "Heavy",
                                        "Ultra", "Nord",  "Blue",  "Red",   "Silver", "Gold",
                                        "Ocean", "River", "Storm", "Peak"};
    uint32_t x = 7;
    size_t at = (size_t)snprintf(schema, TEXT_MAX, "{\"enum\":[");
    for (int i = 0; i < WORDS; i++) {
        char word[64];
        x = x * 1664525 + 1013904223;
        snprintf(word, sizeof word, "\"%s %s %d-%s\"", parts[x >> 28], parts[x >> 24 & 15], i,
                 parts[x >> 20 & 15]);
        at += (size_t)snprintf(schema + at, TEXT_MAX - at, "%s%s", i ? "," : "", word);
        if (i == WORDS / 2)
            snprintf(answer, TEXT_MAX, "%s", word);
    }
    snprintf(schema + at, TEXT_MAX - at, "]}");
}

/* The longest allowed token at the beginning of the text; -1: none. */
static int32_t longest(const struct grammar_vocab *v, const uint32_t *mask, struct str text)
{
    int32_t best = -1;
    size_t n = 0;
    for (int32_t t = 0; t < v->n_tokens; t++) {
        struct str key = vocab_key(v, t);
        if (key.n > n && str_starts(text, key) && (mask[t / 32] >> (t % 32) & 1)) {
            best = t;
            n = key.n;
        }
    }
    return best;
}

static bool follow(struct grammar *g, const struct grammar_vocab *v, struct str answer, struct times *times)
{
    uint32_t *mask = calloc(v->n_words, sizeof *mask);
    struct grammar_state *s;
    if (!mask || grammar_state_create(&s, g, NULL) != OK)
        return false;
    int32_t token = -1;
    while (times->n < TOKENS_MAX) {
        int64_t begun = clock_thread_cpu_ns();
        if (token >= 0)
            grammar_state_accept_token(s, token);
        if (grammar_state_only_token(s) < 0)
            grammar_state_mask(s, mask);
        times->us[times->n++] = (double)(clock_thread_cpu_ns() - begun) / 1e3;
        if (answer.n == 0)
            break;
        grammar_state_mask(s, mask);
        if ((token = longest(v, mask, answer)) < 0)
            break;
        size_t n = vocab_key(v, token).n;
        answer = str_of(answer.p + n, answer.n - n);
    }
    bool is_right = answer.n == 0 && grammar_state_may_end(s);
    grammar_state_free(s);
    free(mask);
    return is_right;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const struct times *t)
{
    static double sorted[TOKENS_MAX];
    double sum = 0;
    for (int i = 0; i < t->n; i++)
        sum += sorted[i] = t->us[i];
    qsort(sorted, (size_t)t->n, sizeof *sorted, compare);
    printf(" %.1f %.1f %.1f", sum / t->n, sorted[(t->n - 1) * 99 / 100], sorted[t->n - 1]);
}

static bool run_case(const struct bench_case *c, const struct grammar_vocab *v, int n_rounds)
{
    static char schema[TEXT_MAX], made[TEXT_MAX];
    static struct times first, again;
    struct grammar_spec spec = {.kind = c->kind, .text = str_c(c->text ? c->text : schema)};
    if (!c->text) {
        make_enum(schema, made);
        spec.text = str_c(schema);
    }
    struct str answer = str_c(c->answer ? c->answer : made);
    first.n = again.n = 0;
    least_compile_ns = INT64_MAX;
    for (int round = 0; round < n_rounds; round++) {
        struct grammar_error e;
        struct grammar *g;
        int64_t begun = clock_thread_cpu_ns();
        if (grammar_compile(&g, &spec, v, NULL, &e) != OK) {
            fprintf(stderr, "%s: %s\n", c->name, e.err.text);
            return false;
        }
        int64_t ns = clock_thread_cpu_ns() - begun;
        least_compile_ns = ns < least_compile_ns ? ns : least_compile_ns;
        bool is_right = follow(g, v, answer, &first) && follow(g, v, answer, &again);
        grammar_release(g);
        if (!is_right) {
            fprintf(stderr, "%s: the grammar does not take the answer\n", c->name);
            return false;
        }
    }
    printf("%s %d %.2f", c->name, first.n / n_rounds, (double)least_compile_ns / 1e6);
    print(&first);
    print(&again);
    puts("");
    return true;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct gguf *file;
    struct tokenizer *tokenizer;
    struct grammar_vocab *v;
    if (argc < 2) {
        fprintf(stderr, "masks VOCABULARY.gguf [ROUNDS]\n");
        return 2;
    }
    if (gguf_open(&file, argv[1], &err) != OK || face_vocab_read(&tokenizer, file, &err) != OK) {
        fprintf(stderr, "%s: %s\n", argv[1], err.text);
        return 1;
    }
    int64_t begun = clock_thread_cpu_ns();
    if (grammar_constraint_vocab(&v, tokenizer, tokenizer_n_vocab(tokenizer), &err) != OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("vocabulary %d %.1f\n", v->n_tokens, (double)(clock_thread_cpu_ns() - begun) / 1e6);
    int n_rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : ROUNDS;
    bool is_right = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        is_right = run_case(&cases[i], v, n_rounds > 0 ? n_rounds : 1) && is_right;
    grammar_vocab_free(v);
    tokenizer_free(tokenizer);
    gguf_close(file);
    return is_right ? 0 : 1;
}
