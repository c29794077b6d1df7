#!/usr/bin/env bash
# do - The one door for people: builds, runs, tests, measures and checks Sluice.
#
#   ./do run [ARGS]     install what is missing, build, serve the built-in demo model on 127.0.0.1:8080
#   ./do test [FILTER]  install what is missing, build, run every test (with FILTER: unit tests that match, fast)
#   ./do build          the release binary at build/sluice
#   ./do bench [WHAT]   benchmarks: engine, kernels, gateway, structure, depth (see docs/performance.md)
#   ./do check          formatting, warnings of gcc and clang, clang-tidy, layering, house rules
#
# What is missing is installed with apt (as root or through sudo); nothing when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")"

BUILD_PACKAGES="gcc make pkg-config libc6-dev libuv1-dev libssl-dev libyaml-dev libsqlite3-dev libpcre2-dev libutf8proc-dev libedit-dev zlib1g-dev"
TEST_PACKAGES="clang libclang-rt-14-dev python3 python3-venv curl openssl binutils qemu-user node-llhttp gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
CHECK_PACKAGES="clang clang-format clang-tidy git"
BENCH_PACKAGES="nginx-light wrk python3-numpy valgrind binutils"
JOBS=$(nproc 2>/dev/null || echo 2)

say() { printf '%s\n' "$*" >&2; }

have() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# The compiler runtime's package carries clang's version: take the one of this system's clang.
real_name() {
  case "$1" in
    libclang-rt-14-dev)
      local v; v=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\).*/\1/p' | head -n 1)
      if apt-cache show "libclang-rt-${v:-14}-dev" >/dev/null 2>&1; then echo "libclang-rt-${v:-14}-dev"; fi ;;
    nginx-light) if have nginx || have nginx-light || have nginx-core; then :; else echo nginx-light; fi ;;
    *) echo "$1" ;;
  esac
}

install_missing() { # packages...
  command -v dpkg-query >/dev/null || { say "this is no Debian or Ubuntu: install by hand: $*"; return 0; }
  local missing="" p root=""
  for p in "$@"; do have "$p" || missing="$missing $p"; done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { say "missing packages:$missing"; say "install them as root: apt-get install$missing"; exit 1; }
    root=sudo
  fi
  say "looking for missing packages:$missing"
  [ -n "$(find /var/lib/apt/lists -name '*Packages*' -mmin -1440 2>/dev/null | head -n 1)" ] || $root apt-get update -qq >&2
  local names="" n
  for p in $missing; do n=$(real_name "$p"); [ -z "$n" ] || have "$n" || names="$names $n"; done
  [ -n "$names" ] || return 0
  say "installing with apt:$names"
  DEBIAN_FRONTEND=noninteractive $root ${root:+env DEBIAN_FRONTEND=noninteractive} apt-get install -y -qq --no-install-recommends $names >&2
}

build() {
  install_missing $BUILD_PACKAGES
  say "building build/sluice"
  make -s -j"$JOBS" MODE=release sluice
}

cmd=${1:-help}
[ $# -gt 0 ] && shift
case "$cmd" in
  run)   build; exec build/sluice serve "$@" ;;
  build) build; make -s -j"$JOBS" MODE=release lib ;;
  test)
    if [ $# -gt 0 ]; then
      install_missing $BUILD_PACKAGES
      make -s -j"$JOBS" MODE=debug tests
      exec build/debug/sluice-tests "$@"
    fi
    install_missing $BUILD_PACKAGES $TEST_PACKAGES
    exec tests/run.sh ;;
  bench) install_missing $BUILD_PACKAGES $BENCH_PACKAGES; build; exec bench/run.sh "$@" ;;
  check) install_missing $BUILD_PACKAGES $CHECK_PACKAGES; exec tools/check.sh "$@" ;;
  *)     sed -n '2,11s/^# \{0,1\}//p' "$0"; [ "$cmd" = help ] || [ "$cmd" = --help ] || exit 2 ;;
esac
