#!/usr/bin/env bash
# python.sh - The official Python SDKs against a Sluice server, in a virtual environment of our own.
set -u
cd "$(dirname "$0")/../.."
venv=tests/sdk/.venv
packages="openai anthropic google-genai instructor"
if ! [ -x $venv/bin/python ] || ! $venv/bin/python -c 'import openai, anthropic, google.genai, instructor' 2> /dev/null; then
  rm -rf $venv
  python3 -m venv $venv && $venv/bin/pip install -q --disable-pip-version-check $packages || {
    echo "skipped: the SDKs cannot be installed from PyPI"; exit 77; }
fi
passed=0 failed=0 skipped=0
for t in tests/sdk/test_*.py; do
  out=$($venv/bin/python "$t" 2>&1); rc=$?
  printf '%s\n' "$out" | grep -vE '^[0-9]+ passed'
  line=$(printf '%s\n' "$out" | grep -E '^[0-9]+ passed' | tail -n 1)
  set -- $(printf '%s' "$line" | tr -cd '0-9 ')
  passed=$((passed + ${1:-0})) failed=$((failed + ${2:-0})) skipped=$((skipped + ${3:-0}))
  [ "$rc" = 0 ] || [ "${2:-0}" != 0 ] || failed=$((failed + 1))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
