#!/usr/bin/env bash
# run.sh - ./do bench [engine|kernels|gateway|structure] ...: without a name, all of them.
set -eu
cd "$(dirname "$0")/.."
what=${1:-all}
[ $# -gt 0 ] && shift
case "$what" in
  engine)    exec python3 bench/engine.py "$@" ;;
  kernels)   exec python3 bench/kernels.py "$@" ;;
  gateway)   exec python3 bench/gateway.py "$@" ;;
  structure) exec python3 bench/structure.py "$@" ;;
  all)
    for b in bench/engine.py bench/gateway.py bench/structure.py; do
      [ ! -e "$b" ] || python3 "$b"
    done ;;
  *) echo "unknown benchmark '$what': engine, kernels, gateway or structure" >&2; exit 2 ;;
esac
