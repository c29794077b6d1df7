#!/usr/bin/env bash
# run.sh - Every test, in the order in which a failure is cheapest to find.  Called by ./do test.
#
# Each part prints "N passed, N failed[, N skipped]" somewhere; the last such line counts.  A part
# without one counts as one test, passed or failed by its exit status.  The closing line sums up.
set -u
cd "$(dirname "$0")/.."
jobs=$(nproc)
passed=0 failed=0 skipped=0
logs=build/logs
mkdir -p "$logs"

part() { # name, command...
  local name=$1 log rc line p f s start=$SECONDS; shift
  log="$logs/$(echo "$name" | tr -c 'a-zA-Z0-9\n' '_').log"
  "$@" > "$log" 2>&1 < /dev/null; rc=$?
  line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  if [ -n "$line" ]; then
    p=$(echo "$line" | sed -E 's/^([0-9]+) passed.*/\1/')
    f=$(echo "$line" | sed -E 's/.* ([0-9]+) failed.*/\1/')
    s=$(echo "$line" | sed -nE 's/.* ([0-9]+) skipped.*/\1/p'); s=${s:-0}
    [ "$rc" = 0 ] || [ "$f" != 0 ] || f=1
  else
    p=0 f=0 s=0
    case $rc in 0) p=1 ;; 77) s=1 ;; *) f=1 ;; esac
  fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  printf '%-52s %5d passed %3d failed %3d skipped %5d s\n' "$name" "$p" "$f" "$s" $((SECONDS - start))
  if [ "$f" != 0 ] || { [ "$rc" != 0 ] && [ "$rc" != 77 ]; }; then
    grep -avE '^(ok|$)' "$log" | tail -n 60 | sed 's/^/    | /'
  elif [ "$s" != 0 ]; then
    grep -aE 'skip' "$log" | sort | uniq -c | sort -rn | head -n 8 | sed 's/^/    | /'
  fi
}

make_mode() { make -s -j"$jobs" "$@"; }
unit() { build/"$1"/sluice-tests "${@:2}"; }

replay() { # the corpus of every fuzz target, under the address sanitizer
  local bad=0 n=0 f name
  for f in fuzz/fuzz_*.c; do
    name=$(basename "$f" .c)
    n=$((n + 1))
    "build/asan/$name-replay" "fuzz/corpus/${name#fuzz_}" || { echo "FAIL $name"; bad=$((bad + 1)); }
  done
  echo "$((n - bad)) passed, $bad failed"
  [ "$bad" = 0 ]
}

# What is built for x86-64 must run on a machine that has AVX2 and no AVX-512.
qemu_avx2() {
  command -v qemu-x86_64 > /dev/null || { echo "skipped: qemu-user is not installed"; return 77; }
  [ "$(uname -m)" = x86_64 ] || { echo "skipped: not an x86-64 machine"; return 77; }
  qemu-x86_64 -cpu Haswell build/debug/sluice-tests --list kernel/ > /dev/null || { echo "skipped: this qemu has no AVX2"; return 77; }
  qemu-x86_64 -cpu Haswell build/debug/sluice-tests kernel/ base/team
}

# The ARM kernels agree with the reference too, as far as an emulator can tell.
arm() {
  local cc=aarch64-linux-gnu-gcc
  command -v $cc > /dev/null || { echo "skipped: $cc is not installed"; return 77; }
  command -v qemu-aarch64 > /dev/null || { echo "skipped: qemu-user is not installed"; return 77; }
  make_mode MODE=debug CC=$cc FOLDERS="base kernel model" LIBS="-static -lm" tests || return 1
  qemu-aarch64 -cpu max build/debug-$cc/sluice-tests neon_ i8mm_matrix base/team base/checksum kernel/limits
}

part "build: release"                        make_mode MODE=release sluice lib
part "rules: layers, banned calls, AVX-512"  bash -c 'tools/layers.sh && tools/checks.sh'
part "build: debug tests"                    make_mode MODE=debug tests
part "unit tests"                            unit debug
part "build: address sanitizer"              make_mode MODE=asan tests replays
part "unit tests, address sanitizer"         unit asan
part "fuzz corpora, address sanitizer"       replay
part "build: hostile"                        make_mode MODE=hostile tests
part "unit tests, hostile build"             unit hostile base/ net/ api/ text/ gateway/ store/ engine/
part "build: thread sanitizer"               make_mode MODE=tsan tests
part "unit tests, thread sanitizer"          unit tsan base/queue base/team net/ engine/ gateway/ server/ store/
part "AVX2 only, emulated"                   qemu_avx2
part "ARM, emulated"                         arm
for t in tests/system/test_*.sh tests/system/test_*.py; do
  [ -e "$t" ] || continue
  case "$t" in
    *.py) part "system: $(basename "$t" .py)" python3 "$t" ;;
    *)    part "system: $(basename "$t" .sh)" bash "$t" ;;
  esac
done
# The whole program once more where a stray pointer is a failure: what lives across threads and
# connections is not met by unit tests.
part "build: program, address sanitizer"     make_mode MODE=asan sluice
for t in tests/system/test_*.py; do
  part "asan: $(basename "$t" .py)" env SLUICE_BINARY=build/asan/sluice python3 "$t"
done
part "build: program, thread sanitizer"      make_mode MODE=tsan sluice
for t in server structure gateway validate resume; do
  part "tsan: test_$t" env SLUICE_BINARY=build/tsan/sluice python3 tests/system/test_$t.py
done
part "oracle: JSON Schema, suite and ajv"       bash tests/oracle/schema.sh
part "grammar corpus, judged by ajv"         bash tests/grammar/corpus.sh
part "SDKs from PyPI"                        bash tests/sdk/python.sh
part "SDKs from npm"                         bash tests/sdk/node.sh

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
