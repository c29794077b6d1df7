/* llhttp_source_test.c - The generated half of Node's parser, for llhttp_oracle_test.c: a file of its
 * own, because it declares the other half's functions with different types. */
#if defined(__has_include)
#if __has_include("/usr/share/llhttp/llhttp.c") && __has_include(<llhttp.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-label"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#define LLHTTP_GENERATED "/usr/share/llhttp/llhttp.c"
#include LLHTTP_GENERATED
#pragma GCC diagnostic pop
#endif
#endif
