#!/usr/bin/env bash
# run.sh - ./do bench [engine|kernels|gateway|structure|depth] ...: without a name, all that need no arguments.
set -eu
cd "$(dirname "$0")/.."
what=${1:-all}
[ $# -gt 0 ] && shift
depth() { # FILE THREADS REPETITIONS N_TOKENS KV_TYPE DEPTH...
  make -s MODE=release lib
  cc -std=gnu17 -O2 -D_GNU_SOURCE -Isrc -Iinclude bench/depth.c build/release/libsluice.a -lpcre2-8 -lutf8proc -lm -pthread -o build/bench-depth
  exec build/bench-depth "$@"
}
case "$what" in
  depth)     depth "$@" ;;
  engine)    exec python3 bench/engine.py "$@" ;;
  kernels)   exec python3 bench/kernels.py "$@" ;;
  gateway)   exec python3 bench/gateway.py "$@" ;;
  structure) exec python3 bench/structure.py "$@" ;;
  all)
    for b in bench/kernels.py bench/engine.py bench/gateway.py bench/structure.py; do
      [ ! -e "$b" ] || python3 "$b"
    done ;;
  *) echo "unknown benchmark '$what': engine, kernels, gateway, structure or depth" >&2; exit 2 ;;
esac
