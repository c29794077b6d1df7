#!/usr/bin/env python3
"""Write src/text/jinja_unicode_data.c: character tables for the template interpreter.

The tables are what Python's own str methods answer, so that filters such as `upper` and
methods such as `isalnum` agree with Jinja running in Python.

    python3 tools/text/gen_jinja_unicode.py > src/text/jinja_unicode_data.c
"""
import sys
import unicodedata

MAX = 0x110000


def ranges(predicate):
    out, start = [], None
    for c in range(MAX):
        yes = not 0xD800 <= c < 0xE000 and predicate(chr(c))
        if yes and start is None:
            start = c
        elif not yes and start is not None:
            out.append((start, c - 1))
            start = None
    if start is not None:
        out.append((start, MAX - 1))
    return out


def print_ranges(name, predicate):
    rows = ranges(predicate)
    print(f"const struct jj_range jj_{name}_ranges[] = {{")
    line = "   "
    for a, b in rows:
        item = f" {{0x{a:x}, 0x{b:x}}},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
    print(f"const uint32_t jj_{name}_n = {len(rows)};\n")


def case_rows(convert):
    """(first, last, step, delta) runs of single-character mappings, and the longer ones."""
    single, multi = [], []
    for c in range(MAX):
        if 0xD800 <= c < 0xE000:
            continue
        m = convert(chr(c))
        if m == chr(c):
            continue
        if len(m) == 1:
            single.append((c, ord(m) - c))
        else:
            multi.append((c, [ord(x) for x in m]))
    runs = []
    for c, d in single:
        if runs:
            first, last, step, delta = runs[-1]
            gap = c - last
            if delta == d and (gap == step or (first == last and gap in (1, 2))):
                runs[-1] = (first, c, gap, d)
                continue
        runs.append((c, c, 1, d))
    return runs, multi


def print_case(name, convert):
    runs, multi = case_rows(convert)
    print(f"const struct jj_case_run jj_{name}_runs[] = {{")
    line = "   "
    for first, last, step, delta in runs:
        item = f" {{0x{first:x}, 0x{last:x}, {step}, {delta}}},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
    print(f"const uint32_t jj_{name}_runs_n = {len(runs)};\n")
    print(f"const struct jj_case_long jj_{name}_long[] = {{")
    line = "   "
    for c, out in multi:
        cells = ", ".join(f"0x{x:x}" for x in out + [0] * (3 - len(out)))
        item = f" {{0x{c:x}, {{{cells}}}}},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
    print(f"const uint32_t jj_{name}_long_n = {len(multi)};\n")


print(f"""/* jinja_unicode_data.c - Character tables, Unicode {unicodedata.unidata_version}.
 *
 * Made by tools/text/gen_jinja_unicode.py: change that, not this.  Long because it is a table. */
#include "text/jinja_unicode_data.h"

/* clang-format off */
""")
print_case("upper", str.upper)
print_case("lower", lambda c: c.lower())
print_case("title", str.title)
print_ranges("is_upper", str.isupper)
print_ranges("is_lower", str.islower)
print_ranges("is_titlecase", lambda c: unicodedata.category(c) == "Lt")
print_ranges("is_alpha", str.isalpha)
print_ranges("is_number", lambda c: c.isalnum() and not c.isalpha())
print_ranges("is_digit", str.isdigit)
print_ranges("is_unprintable", lambda c: not c.isprintable())
sys.stdout.flush()
