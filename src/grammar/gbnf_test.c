/* gbnf_test.c - Grammars in llama.cpp's language. */
#include "grammar/gbnf.h"

#include "base/test.h"
#include "grammar/grammar_testkit.h"

static bool takes(const char *grammar, const char *text)
{
    struct grammar_spec spec = {.kind = GRAMMAR_GBNF, .text = str_c(grammar)};
    return kit_accepts(&spec, str_c(text));
}

TEST(gbnf_texts_classes_and_repetitions)
{
    static const char g[] = "# a comment\n"
                            "root ::= \"1. \" move (\" \" move)? \"\\n\" | # both\n"
                            "   [0-9]{2,3} tail* \"\\x41\\u00e9\"\n"
                            "move ::= [a-h] [1-8] [+#]?\n\n"
                            "tail ::= (\"x\" |\n \"y\")+ [^\\n\"] .\n";
    CHECK(takes(g, "1. e4\n"));
    CHECK(takes(g, "1. e4+ d5\n"));
    CHECK(!takes(g, "1. e9\n"));
    CHECK(takes(g, "12Aé"));
    CHECK(takes(g, "123xyy€\nAé"));
    CHECK(!takes(g, "1Aé"));
    CHECK(!takes(g, "1234Aé"));
}

TEST(gbnf_recursion_is_a_stack)
{
    static const char g[] = "root ::= expr\nexpr ::= term ([-+] term)*\nterm ::= [0-9]+ | \"(\" expr \")\"";
    CHECK(takes(g, "1+(2-(3))"));
    CHECK(!takes(g, "1+(2-(3)"));
    CHECK(!takes(g, "1+"));
    struct grammar_spec spec = {.kind = GRAMMAR_GBNF, .text = str_c(g)};
    kit_wander(&spec, 10);
}

TEST(gbnf_endless_right_recursion_needs_no_stack)
{
    static char text[20000];
    memset(text, 'a', sizeof text - 1);
    CHECK(takes("root ::= \"a\" root | \"a\"", text));
}

TEST(gbnf_ambiguity_is_followed_within_bounds)
{
    static const char g[] = "root ::= s\ns ::= \"a\" | \"a\" s | \"a\" s s";
    CHECK(takes(g, "aaaaaaaa"));
    CHECK(!takes(g, "aaab"));
    CHECK(takes("root ::= (\"a\"? \"b\"? )* \"c\"", "aabbabac"));
}

TEST(gbnf_errors_say_where)
{
    static const struct {
        const char *grammar, *where;
        int code;
    } bad[] = {
        {"root ::= a", "offset 9", ERR_FORMAT},
        {"x ::= \"a\"", "offset 0", ERR_FORMAT},
        {"root ::= \"a", "offset 9", ERR_FORMAT},
        {"root ::= (\"a\"", "offset 9", ERR_FORMAT},
        {"root ::= \"a\")", "offset 12", ERR_FORMAT},
        {"root ::= *", "offset 9", ERR_FORMAT},
        {"root ::= [z-a]", "offset 9", ERR_FORMAT},
        {"root ::= \"a\"{3,2}", "offset 12", ERR_FORMAT},
        {"root ::= !<a>", "offset 9", ERR_UNSUPPORTED},
        {"root ::= b\nb ::= c \"x\"\nc ::= b | \"y\"", "offset 11", ERR_FORMAT},
        {"root ::= \"a\"\nroot ::= \"b\"", "offset 13", ERR_FORMAT},
        {"root ::= \"a\" root", "", ERR_ARG},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct grammar_spec spec = {.kind = GRAMMAR_GBNF, .text = str_c(bad[i].grammar)};
        struct grammar_error e;
        struct grammar *g;
        int rc = grammar_compile(&g, &spec, NULL, NULL, &e);
        if (rc != bad[i].code || !str_eq(str_c(e.where), str_c(bad[i].where)))
            test_fail(__FILE__, __LINE__, "%s: %d at %s: %s", bad[i].grammar, rc, e.where, e.err.text);
        grammar_release(g);
    }
}
