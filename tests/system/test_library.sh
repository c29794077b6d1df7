#!/usr/bin/env bash
# test_library.sh - An outsider's program against the installed library, static and shared.
#
# Installs into a temporary place, builds examples/hello.c with what pkg-config says, runs it on a tiny
# model, and looks at which names the shared library shows.
set -eu
cd "$(dirname "$0")/../.."
passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL $*"; }

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
model=tests/golden/models/llama.gguf

make -s MODE=release install PREFIX="$place" > "$place/install.log" 2>&1 || { cat "$place/install.log"; exit 1; }
export PKG_CONFIG_PATH="$place/lib/pkgconfig"
[ "$(pkg-config --modversion sluice)" = "$(cat VERSION)" ] && ok || bad "pkg-config tells another version"

run() { # name, program: two runs must say the same, and the second number is the answer's length
  local out
  out=$("$2" "$model" "hello" 12 2> "$place/err") || { bad "$1 ended with an error: $(cat "$place/err")"; return; }
  grep -q ' 12 generated' "$place/err" && ok || bad "$1 generated something else: $(cat "$place/err")"
  [ "$out" = "$("$2" "$model" "hello" 12 2> /dev/null)" ] && ok || bad "$1 said something else the second time"
}

# shellcheck disable=SC2046
cc -Wall -Wextra -Werror examples/hello.c $(pkg-config --cflags --libs sluice) -o "$place/shared" &&
  ok || bad "the example does not build against the shared library"
export LD_LIBRARY_PATH="$place/lib"
run shared "$place/shared"

# shellcheck disable=SC2046
cc examples/hello.c $(pkg-config --cflags sluice) "$place/lib/libsluice.a" $(pkg-config --static --libs-only-l --libs-only-other sluice | sed 's/-lsluice//') -o "$place/static" &&
  ok || bad "the example does not build against the static library"
run static "$place/static"

"$place/shared" /nowhere.gguf hello > "$place/out" 2> "$place/err" && bad "a missing model is no error" || ok
grep -q '/nowhere.gguf' "$place/err" && [ ! -s "$place/out" ] && ok || bad "a missing model is not named: $(cat "$place/err")"

strange=$(nm -D --defined-only "$place/lib/libsluice.so" | awk '{print $3}' | grep -v -e '^sluice_' -e '^SLUICE_' || true)
[ -z "$strange" ] && ok || bad "the shared library shows: $strange"
readelf -d "$place/lib/libsluice.so" | grep -q 'SONAME.*libsluice.so' && ok || bad "the shared library has no soname"

# The header stands alone, in C and in C++.
echo '#include <sluice.h>' | cc -std=c99 -pedantic -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c - && ok || bad "sluice.h is not C99"
if command -v c++ > /dev/null; then
  echo '#include <sluice.h>' | c++ -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c++ - && ok || bad "sluice.h is not C++"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
