#!/usr/bin/env bash
# check.sh - ./do check: formatting, warnings as errors in gcc and clang, clang-tidy, layers, rules.
set -u
cd "$(dirname "$0")/.."
jobs=$(nproc)
passed=0 failed=0
part() { # name, command...
  local name=$1; shift
  if "$@" > build/check.log 2>&1; then passed=$((passed + 1)); echo "ok   $name"
  else failed=$((failed + 1)); echo "FAIL $name"; head -n 60 build/check.log; fi
}
mkdir -p build
format() { git ls-files 'src/*.[ch]' 'include/*.h' 'fuzz/*.c' 'examples/*.c' 'bench/*.c' | xargs -r clang-format --dry-run --Werror; }
tidy() {
  git ls-files 'src/*.c' | grep -vE '_(avx2|avxvnni|avx512|avx512bf16|neon|i8mm|test)\.c$|test_main' |
    xargs -r -P "$jobs" -n 8 sh -c 'clang-tidy --quiet "$@" -- -std=gnu17 -Isrc -Iinclude -D_GNU_SOURCE "-DSLUICE_VERSION=\"0\""' tidy
}
part "formatting (clang-format)" format
part "gcc: no warnings" make -s -j"$jobs" MODE=release sluice tests lib
part "clang: no warnings" make -s -j"$jobs" MODE=debug CC=clang sluice tests lib
part "layers" tools/layers.sh
part "rules" tools/checks.sh
if [ "${1:-}" != --fast ]; then part "clang-tidy" tidy; fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
