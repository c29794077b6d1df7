#!/usr/bin/env bash
# corpus.sh - Some thousands of schemas and instances, judged by ajv: valid instances are accepted, invalid ones
# are not, and what the masks lead to is valid.
set -u
cd "$(dirname "$0")/../.."
major=$(node --version 2> /dev/null | sed -E 's/^v([0-9]+).*/\1/')
[ "${major:-0}" -ge 18 ] || { echo "skipped: Node 18 or later is not installed"; exit 77; }
command -v npm > /dev/null || { echo "skipped: npm is not installed"; exit 77; }
work=build/grammar-corpus
mkdir -p "$work"
if ! [ -d "$work/node_modules/ajv-formats" ]; then
  (cd "$work" && npm install --silent --no-audit --no-fund --no-save --no-package-lock ajv@8 ajv-formats@3) || {
    echo "skipped: ajv cannot be installed from npm"; exit 77; }
fi
runner=build/${MODE:-debug}/sluice-tests
[ -x "$runner" ] || make -s MODE="${MODE:-debug}" tests || exit 1
script=$PWD/tests/grammar/corpus.mjs
(cd "$work" && node "$script" make corpus.jsonl) || exit 1
SLUICE_GRAMMAR_CORPUS=$work/corpus.jsonl SLUICE_GRAMMAR_OUT=$work/out.jsonl "$runner" grammar/corpus_test > "$work/log"; rc=$?
grep -vE '^[0-9]+ passed' "$work/log"
(cd "$work" && node "$script" check corpus.jsonl out.jsonl) > "$work/judged"; judged=$?
grep -vE '^[0-9]+ passed' "$work/judged"
counts=$(grep -E '^corpus: ' "$work/log" | tail -n 1 | sed -E 's/.* ([0-9]+) right, ([0-9]+) wrong.*/\1 \2/')
set -- ${counts:-0 1} $(grep -E '^[0-9]+ passed' "$work/judged" | tr -cd '0-9 ')
failed=$((${2:-1} + ${4:-1}))
[ "$rc" = 0 ] && [ "$judged" = 0 ] || [ "$failed" != 0 ] || failed=1
echo "$((${1:-0} + ${3:-0})) passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
