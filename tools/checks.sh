#!/usr/bin/env bash
# checks.sh - Small rules of the house that a script can see.  Used by ./do check.
set -u
cd "$(dirname "$0")/.."
bad=0
rule() { # message, lines found
  [ -z "$2" ] && return
  printf '%s\n%s\n' "- $1" "$2"; bad=1
}
rule "calls that do not compile here" "$(git grep -nE '\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|alloca|gets)\(' -- src include)"
rule "unfinished words" "$(git grep -nIE '\b(TODO|FIXME|XXX|HACK|not (yet )?implemented)\b' -- src include tools fuzz do Makefile ':!tools/checks.sh')"
rule "source files over 1,500 lines" "$(git ls-files 'src/*.[ch]' | xargs wc -l | awk '$2 != "total" && $1 > 1500 { print "  " $2 ": " $1 }')"
rule "AVX-512 registers outside *_avx512*.o" "$(
  for o in build/release/src/*/*.o; do
    case "$o" in *_avx512*.o) continue ;; esac
    objdump -d --no-show-raw-insn "$o" 2>/dev/null | grep -qE '%zmm|%[xy]mm(1[6-9]|2[0-9]|3[01])|%k[0-7][^a-z]' && echo "  $o"
  done)"
exit $bad
