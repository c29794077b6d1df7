#include "server/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/test.h"

static struct hub_list list_of(struct arena *a, const char *const *paths)
{
    struct buf b;
    struct hub_list list = {0};
    struct err err = {0};
    buf_init(&b, 65536);
    buf_puts(&b, "{\"sha\":\"abc123\",\"siblings\":[{\"rfilename\":\"README.md\"}");
    for (int i = 0; paths[i]; i++)
        buf_printf(&b, ",{\"rfilename\":\"%s\",\"lfs\":{\"size\":%d,\"sha256\":\"%064d\"}}", paths[i],
                   100 + i, i);
    buf_puts(&b, "]}");
    struct str json = arena_str(a, buf_str(&b));
    CHECK_INT(hub_read_list(json, a, &list, &err), OK);
    buf_deinit(&b);
    return list;
}

static const char *choose(const char *const *paths, const char *wanted, int *n)
{
    static char name[256];
    struct arena a;
    struct err err = {0};
    int first = 0;
    arena_init(&a, 1 << 20);
    struct hub_list list = list_of(&a, paths);
    int rc = hub_choose(&list, str_c(wanted), &first, n, &err);
    snprintf(name, sizeof name, "%.*s", rc == OK ? (int)list.files[first].path.n : 99,
             rc == OK ? list.files[first].path.p : err_name(rc));
    arena_deinit(&a);
    return name;
}

#define CHOOSES(paths, wanted, name, parts)                                                                  \
    do {                                                                                                     \
        int n_ = 0;                                                                                          \
        CHECK_STR(str_c(choose(paths, wanted, &n_)), S(name));                                               \
        CHECK_INT(n_, parts);                                                                                \
    } while (0)

static const char *const many[] = {"m-Q8_0.gguf", "m-Q4_K_S.gguf",     "m-Q4_K_M.gguf",
                                   "m-q4_k.gguf", "mmproj-m-F16.gguf", "imatrix.gguf",
                                   NULL};
static const char *const parts[] = {"F16/m-F16-00002-of-00003.gguf", "F16/m-F16-00001-of-00003.gguf",
                                    "F16/m-F16-00003-of-00003.gguf", "m-Q2_K-00001-of-00002.gguf", NULL};

TEST(a_file_is_chosen_by_its_name_or_a_word_of_it)
{
    CHOOSES(many, "m-Q8_0.gguf", "m-Q8_0.gguf", 1);
    CHOOSES(many, "q8_0", "m-Q8_0.gguf", 1);
    CHOOSES(many, "Q4_K", "m-q4_k.gguf", 1);
    CHOOSES(many, "mmproj", "mmproj-m-F16.gguf", 1);
    CHOOSES(many, "K_M", "m-Q4_K_M.gguf", 1);
    int n;
    CHECK_STR(str_c(choose(many, "m", &n)), S("arg")); /* fits several */
    CHECK_STR(str_c(choose(many, "Q3_K_M", &n)), S("not found"));
}

TEST(without_a_name_the_preferred_type_is_chosen)
{
    CHOOSES(many, "", "m-Q4_K_M.gguf", 1);
    const char *const one[] = {"only.gguf", "mmproj.gguf", NULL};
    CHOOSES(one, "", "only.gguf", 1);
    const char *const two[] = {"a-Q4_K_M.gguf", "b-Q4_K_M.gguf", NULL};
    int n;
    CHECK_STR(str_c(choose(two, "", &n)), S("arg"));
    const char *const none[] = {"model.safetensors", NULL};
    CHECK_STR(str_c(choose(none, "", &n)), S("not found"));
}

TEST(parts_come_as_a_set)
{
    CHOOSES(parts, "F16", "F16/m-F16-00001-of-00003.gguf", 3);
    CHOOSES(parts, "F16/m-F16-00002-of-00003.gguf", "F16/m-F16-00001-of-00003.gguf", 3);
    int n;
    CHECK_STR(str_c(choose(parts, "Q2_K", &n)), S("not found")); /* one part is missing */
}

TEST(names_of_a_hub_are_strict)
{
    struct hub_name name;
    REQUIRE(hub_parse_name(S("hf:own-er/re.po:sub/f.gguf"), &name, NULL) == OK);
    CHECK_STR(name.owner, S("own-er"));
    CHECK_STR(name.repo, S("re.po"));
    CHECK_STR(name.file, S("sub/f.gguf"));
    const char *const bad[] = {"hf:",         "hf:x",        "hf:/y",       "hf:x/",    "hf:x/y:",
                               "hf:../y",     "hf:x/..",     "hf:x/y/z",    "hf:x y/z", "hf:x/y:../z",
                               "hf:x/y:/etc", "hf:x/y:a//b", "hf:x/y:a\\b", "hg:x/y",   "hf:x/y:a\nb"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hub_parse_name(str_c(bad[i]), &name, NULL) == OK)
            test_fail(__FILE__, __LINE__, "'%s' was taken", bad[i]);
}

TEST(a_hub_cannot_name_files_outside)
{
    struct arena a;
    struct hub_list list;
    arena_init(&a, 1 << 20);
    CHECK(hub_read_list(S("{\"siblings\":[{\"rfilename\":\"../../evil.gguf\"}]}"), &a, &list, NULL) ==
          ERR_FORMAT);
    CHECK(hub_read_list(S("{\"siblings\":[{\"rfilename\":\"a\\u0007.gguf\"}]}"), &a, &list, NULL) ==
          ERR_FORMAT);
    CHECK(hub_read_list(S("{\"error\":\"x\"}"), &a, &list, NULL) == ERR_FORMAT);
    CHECK(hub_read_list(S("[1"), &a, &list, NULL) == ERR_FORMAT);
    REQUIRE(hub_read_list(S("{\"siblings\":[{\"rfilename\":\"a.gguf\",\"lfs\":{\"sha256\":\"zz\"}}]}"), &a,
                          &list, NULL) == OK);
    CHECK_INT(list.n, 1);
    CHECK_INT(list.files[0].bytes, -1);
    CHECK_INT((int)list.files[0].sha256.n, 0);
    arena_deinit(&a);
}

static void put(const char *dir, const char *name)
{
    char path[512];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_INT(sys_write_file(path, S("x"), 0600, &err), OK);
}

TEST(what_was_pulled_is_found_by_the_same_rule)
{
    char dir[] = "/tmp/sluice-hub-XXXXXX", repo[256], sub[300], command[400];
    struct buf path;
    struct err err = {0};
    REQUIRE(mkdtemp(dir) != NULL);
    snprintf(repo, sizeof repo, "%s/o/r", dir);
    snprintf(sub, sizeof sub, "%s/Q8_0", repo);
    REQUIRE(sys_make_folders(sub, &err) == OK);
    put(repo, "m-Q4_K_M.gguf");
    put(repo, "m-Q5_K_M.gguf.0123456789ab.part");
    put(sub, "m-Q8_0-00001-of-00002.gguf");
    buf_init(&path, 4096);
    CHECK_INT(hub_find_pulled(str_c(dir), S("hf:o/r:Q8_0"), &path, &err), ERR_NOT_FOUND);
    put(sub, "m-Q8_0-00002-of-00002.gguf");
    CHECK_INT(hub_find_pulled(str_c(dir), S("hf:o/r:q8_0"), &path, &err), OK);
    CHECK(str_ends(buf_str(&path), S("/o/r/Q8_0/m-Q8_0-00001-of-00002.gguf")));
    buf_clear(&path);
    CHECK_INT(hub_find_pulled(str_c(dir), S("hf:o/r"), &path, &err), OK);
    CHECK(str_ends(buf_str(&path), S("/o/r/m-Q4_K_M.gguf")));
    CHECK_INT(hub_find_pulled(str_c(dir), S("hf:o/r:Q5_K_M"), &path, &err), ERR_NOT_FOUND);
    CHECK(str_find(str_c(err.text), S("sluice pull hf:o/r:Q5_K_M"), 0) != STR_NONE);
    CHECK_INT(hub_find_pulled(str_c(dir), S("hf:o/other"), &path, &err), ERR_NOT_FOUND);
    buf_deinit(&path);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_INT(system(command), 0);
}
