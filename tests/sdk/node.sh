#!/usr/bin/env bash
# node.sh - The official JavaScript SDKs against a Sluice server, where Node 20 or later is present.
set -u
cd "$(dirname "$0")"
major=$(node --version 2> /dev/null | sed -E 's/^v([0-9]+).*/\1/')
[ "${major:-0}" -ge 20 ] || { echo "skipped: Node 20 or later is not installed"; exit 77; }
command -v npm > /dev/null || { echo "skipped: npm is not installed"; exit 77; }
if ! [ -d node_modules/openai ] || ! [ -d node_modules/@anthropic-ai/sdk ] || ! [ -d node_modules/@google/genai ] ||
   ! [ -d node_modules/ai ] || ! [ -d node_modules/zod ] || ! [ -d node_modules/@ai-sdk/openai-compatible ]; then
  npm install --silent --no-audit --no-fund --no-save --no-package-lock openai @anthropic-ai/sdk @google/genai ai zod @ai-sdk/openai-compatible || {
    echo "skipped: the SDKs cannot be installed from npm"; exit 77; }
fi
passed=0 failed=0
for t in test_*.mjs; do
  out=$(node "$t" 2>&1); rc=$?
  printf '%s\n' "$out" | grep -vE '^[0-9]+ passed'
  line=$(printf '%s\n' "$out" | grep -E '^[0-9]+ passed' | tail -n 1)
  set -- $(printf '%s' "$line" | tr -cd '0-9 ')
  passed=$((passed + ${1:-0})) failed=$((failed + ${2:-0}))
  [ "$rc" = 0 ] || [ "${2:-0}" != 0 ] || failed=$((failed + 1))
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
