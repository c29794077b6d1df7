#!/usr/bin/env bash
# schema.sh - The validator of JSON Schema beside the official test suite, and beside ajv on random schemas.
set -u
cd "$(dirname "$0")/../.."
tests=${SLUICE_TESTS:-build/debug/sluice-tests}
dir=build/oracle
mkdir -p $dir/suite $dir/corpus $dir/npm
passed=0 failed=0 skipped=0

judge() { # folder
  if SLUICE_SCHEMA_SUITE=$1 $tests a_foreign_suite_is_judged_rightly > $dir/log 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  grep -aE 'schema suite|schema_suite_test.c:' $dir/log | head -n 40
}
skip() { echo "skipped: $1"; skipped=$((skipped + 1)); }

if ! ls $dir/jsonschema-*.tar.gz > /dev/null 2>&1; then
  python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary jsonschema -d $dir jsonschema==4.26.0 > $dir/log 2>&1
fi
if ls $dir/jsonschema-*.tar.gz > /dev/null 2>&1 && python3 tests/oracle/suite.py $dir/jsonschema-*.tar.gz $dir/suite; then
  judge $dir/suite
else
  skip "the official suite cannot be had from PyPI"
fi

major=$(node --version 2> /dev/null | sed -E 's/^v([0-9]+).*/\1/')
[ -d $dir/npm/node_modules/ajv-formats ] || [ "${major:-0}" -lt 20 ] ||
  (cd $dir/npm && npm install --silent --no-audit --no-fund --no-save --no-package-lock ajv@8 ajv-formats@3 > /dev/null 2>&1)
if [ "${major:-0}" -ge 20 ] && [ -d $dir/npm/node_modules/ajv-formats ]; then
  cp tests/oracle/corpus.mjs $dir/npm/
  node $dir/npm/corpus.mjs $dir/corpus "${SEED:-1}" "${SCHEMAS:-500}" && judge $dir/corpus || failed=$((failed + 1))
else
  skip "Node 20 or ajv from npm is not there"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
