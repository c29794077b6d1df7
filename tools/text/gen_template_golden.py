#!/usr/bin/env python3
"""Write tests/golden/template_cases.jsonl: our own templates with what Python's jinja2 renders.

    python3 tools/text/gen_template_golden.py > tests/golden/template_cases.jsonl

One JSON object per line: name, template, context, and "ok" (the text) or "error": true.
"""
import json

from template_oracle import environment, expected

USER = {"role": "user", "content": " Grüße <|im_end|> \n"}
CALLER = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": [1.0, None, "é"]}}}]}
CONTEXT = {
    "messages": [{"role": "system", "content": "Be brief."}, USER, CALLER, {"role": "tool", "content": "{\"r\": 1e5}"},
                 {"role": "assistant", "content": "<think>\nhm\n</think>\n\nDone."}, {"role": "user", "content": "Bye"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}}],
    "add_generation_prompt": True, "n": 7, "f": 2.5, "big": 123456789012345678901234567890, "s": "Hello World", "none": None,
    "d": {"b": 1, "a": [1, 2, {"k": "v"}], "C": "x"}, "l": [3, 1, 2], "u": [{"k": "B", "v": 1}, {"k": "a", "v": 2}, {"k": "b"}],
}
CASES = {
    # white space
    "trim_blocks": "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "lstrip_blocks": "  {% if true %}\n  x\n  {% endif %}\n y {% if true %} z{% endif %}\n",
    "minus": "a \n {%- if true -%} \n b \n {%- endif -%} \n c {{- ' d ' -}} \n e",
    "plus": "  {%+ if true %}x{% endif +%}\ny",
    "comments": "a {# c {{ x }} #}\nb {#- c -#} d\n  {# line #}\ne",
    "raw": "{% raw %}{{ not }} {% this %}{% endraw %}|{%- raw -%} x {%- endraw -%} y",
    "crlf": "a\r\nb\r{{ 1 }}\r\n",
    "last_newline": "x\n\n",
    "braces_in_variable": "{{ {'a': {'b': 1}} }}{{ '}}' }}{{ \"%}\" }}",
    # expressions
    "precedence": "{{ 1 + 2 * 3 ** 2 }} {{ 1 ~ 2 * 3 ~ 4 }} {{ not 1 == 2 and 3 > 2 or x }} {{ -2 ** 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}",
    "compare_chain": "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' in 'abc' not in ['x'] }} {{ 2 in l }} {{ 'b' in d }}",
    "literals": "{{ [1, 2.0, 'x', none, true, (1,), (), {'k': 1}] }} {{ 1_000 }} {{ 0x1F }} {{ 1e3 }} {{ 'a' 'b' }} {{ 'q\\'\\n\\u00e9' }}",
    "inline_if": "{{ 'a' if n == 7 else 'b' }}{{ 'x' if false }}|{{ 1 if 0 else 2 if 0 else 3 }}",
    "slices": "{{ l[1:] }}{{ l[::-1] }}{{ s[-5:] }}{{ s[::2] }}{{ s[1:-1:3] }}{{ messages[1:][0].role }}{{ l[99:] }}",
    "tuples": "{% set a, b = 1, 'x' %}{{ a }}{{ b }}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for i, (x, y) in [(1, (2, 3))] %}{{ i + x + y }}{% endfor %}",
    "numbers": "{{ 1.0 }} {{ 0.1 }} {{ 1e16 }} {{ 1e-5 }} {{ 123456.789 }} {{ 1/3 }} {{ big }} {{ 2.5e-10|tojson }} {{ -0.0 }}",
    "undefined": "{{ nope }}{{ d.nope }}{{ nope is defined }}{{ nope|default('d') }}{{ ''|default('e', true) }}{% for x in nope %}x{% endfor %}{{ nope == zilch }}",
    "undefined_attribute_fails": "{{ nope.x }}",
    "undefined_sum_fails": "{{ nope + 1 }}",
    "attributes": "{{ d.a[2].k }}{{ d['a'][0] }}{{ messages[0]['role'] }}{{ messages.0.role }}{{ d.items is callable }}",
    "concat": "{{ 1 ~ 'a' ~ none ~ true ~ 2.0 ~ nope }}",
    "percent": "{{ '%s is %d and %.2f%% %5s|%-5s|%05d|%x' % ('x', 7, 1.5, 'r', 'l', 42, 255) }}{{ '%(a)s' % {'a': 1} }}",
    "brace_format": "{{ '{} {1} {x:>5} {0:<4}| {2:,} {2:+.1f} {3!r}'.format('a', 'b', 1234567, 'q', x='z') if false else '{} {}'.format(1, 'x') }}{{ '{:>5}|{:^7}|{:<4}|{:05.1f}|{:,}'.format('r', 'mid', 'l', 3.14159, 1234567) }}",
    # statements
    "if_chain": "{% for i in range(4) %}{% if i == 0 %}a{% elif i == 1 %}b{% elif i == 2 %}c{% else %}d{% endif %}{% endfor %}",
    "loop_variables": "{% for x in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}/{{ loop.previtem }}/{{ loop.nextitem }}/{{ loop.cycle('o', 'e') }}/{{ loop.depth }};{% endfor %}",
    "loop_changed": "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }}{% endfor %}",
    "loop_filter_else": "{% for x in l if x > 1 %}{{ x }}{{ loop.length }}{% else %}none{% endfor %}{% for x in l if x > 9 %}x{% else %}none{% endfor %}",
    "loop_controls": "{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "loop_filter_sees_namespace": "{% set ns = namespace(on=true) %}{% for x in l if ns.on %}{{ x }}{% set ns.on = false %}{% endfor %}",
    "loop_scope": "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}",
    "loop_recursive": "{% for i in [[1, [2, [3]]], [4]] recursive %}{% if i is iterable %}({{ loop(i) }}){% else %}{{ i }}@{{ loop.depth }}{% endif %}{% endfor %}",
    "namespace": "{% set ns = namespace(n=0, t='') %}{% for x in l %}{% set ns.n = ns.n + x %}{% set ns.t = ns.t ~ x %}{% endfor %}{{ ns.n }}{{ ns.t }}",
    "set_block": "{% set x %}a{{ n }}{% endset %}[{{ x }}]{% set y | upper | replace('A', 'o') %}aba{% endset %}{{ y }}",
    "filter_block": "{% filter upper | trim %} abc {{ s }} {% endfilter %}",
    "with": "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "macro": "{% macro m(a, b='x', c=none) %}<{{ a }}{{ b }}{{ c }}>{% endmacro %}{{ m(1) }}{{ m(1, 2, 3) }}{{ m(c=4, a=5) }}{{ m() }}",
    "macro_extra": "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "macro_too_many_fails": "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "macro_recursive": "{% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "macro_late_variable": "{% macro m() %}{{ late }}{% endmacro %}{% set late = 'seen' %}{{ m() }}",
    "macro_default_uses_other": "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}",
    "call_block": "{% macro box(t) %}[{{ t }}:{{ caller('x') }}]{% endmacro %}{% call(v) box('b') %}in {{ v }}{{ n }}{% endcall %}",
    "generation": "{% generation %}{% set x = 1 %}a{% endgeneration %}{{ x }}",
    "star_arguments": "{% macro m(a, b, c=0) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(1, **{'b': 5, 'c': 6}) }}",
    "unknown_statement_fails": "{% frobnicate %}",
    "open_block_fails": "{% if true %}x",
    "raise": "{{ raise_exception('no ' ~ n) }}",
    "strftime": "{{ strftime_now('%Y-%m-%d %d %b %Y %B %A %a %H:%M:%S %j %y %I %p %-d %%') }}",
    # filters and methods
    "tojson": "{{ messages[2]|tojson }}\n{{ d|tojson(indent=2) }}\n{{ d|tojson(sort_keys=true, separators=(',', ':')) }}\n{{ 'é\"\\n\\u0001/'|tojson }}{{ 'é😀'|tojson(ensure_ascii=true) }}{{ []|tojson(indent=2) }}{{ {}|tojson }}{{ big|tojson }}{{ f|tojson }}{{ none|tojson }}",
    "tojson_undefined_fails": "{{ nope|tojson }}",
    "text_filters": "{{ s|upper }}{{ s|lower }}{{ 'ab cd-ef'|title }}{{ 'aBC'|capitalize }}{{ '  x '|trim }}{{ s|replace('l', 'L', 2) }}{{ s|length }}{{ s|wordcount }}{{ s|truncate(5) }}{{ s|center(15) }}{{ '<&>'|escape }}{{ 'straße'|upper }}{{ 'ΑΣ'|lower }}",
    "safe_escapes_what_is_added": "{{ 'a'|safe + '<b>' + s }}{{ '<'|safe ~ '<' }}{{ ['<'|safe, '<'|e] }}{{ '&'|e|e }}{{ '&'|e|forceescape }}{{ 'x'|safe is escaped }}",
    "indent_filter": "{{ 'a\\nb\\n\\nc'|indent }}|{{ 'a\\nb'|indent(2, first=true) }}|{{ 'a\\n\\nb'|indent('> ', blank=true) }}",
    "sequence_filters": "{{ l|sort }}{{ l|sort(reverse=true) }}{{ l|first }}{{ l|last }}{{ l|min }}{{ l|max }}{{ l|sum }}{{ l|join('-') }}{{ l|reverse|list }}{{ [1, 1, 2]|unique|list }}{{ l|batch(2)|list }}{{ l|slice(2)|list }}{{ 'abc'|list }}{{ d|dictsort }}{{ d|items|list }}",
    "map_select": "{{ u|map(attribute='k')|join(',') }}{{ u|map(attribute='v', default=0)|list }}{{ ['a']|map('upper')|list }}{{ l|select('gt', 1)|list }}{{ l|reject('odd')|list }}{{ u|selectattr('v', 'defined')|list|length }}{{ u|selectattr('k', 'equalto', 'a')|list }}{{ u|rejectattr('v')|list }}{{ u|sort(attribute='k')|map(attribute='k')|join }}{{ u|groupby('k')|length }}{{ none|select|list }}",
    "number_filters": "{{ '42'|int }}{{ 'x'|int(5) }}{{ '4.7'|int }}{{ '0x1f'|int(base=16) }}{{ '1.5'|float }}{{ -3|abs }}{{ 2.5|round }}{{ 3.14159|round(2) }}{{ 2.1|round(0, 'ceil') }}{{ 3|string + 'x' }}",
    "tests": "{{ 1 is odd }}{{ 2 is even }}{{ 9 is divisibleby 3 }}{{ n is number }}{{ s is string }}{{ d is mapping }}{{ l is sequence }}{{ l is iterable }}{{ none is none }}{{ true is boolean }}{{ true is true }}{{ 1 is integer }}{{ 1.0 is float }}{{ 'a' is lower }}{{ 'A' is upper }}{{ 1 is eq 1 }}{{ 1 is ne 2 }}{{ 1 is lt 2 }}{{ 2 is ge 2 }}{{ 1 is in l }}{{ x is not defined }}{{ 1 is sameas 1 }}",
    "unknown_filter_fails": "{{ 1|frobnicate }}",
    "str_methods": "{{ ' x '.strip() }}{{ 'a,b'.split(',') }}{{ 'a b  c'.split() }}{{ ' a b  c '.split(None, 1) }}{{ ' a b  c '.rsplit(none, 1) }}{{ 'abc'.startswith('a') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'a-b-c'.split('-', 1)[-1] }}{{ 'a-b-c'.rsplit('-', 1)[0] }}{{ 'xxabx'.lstrip('x') }}{{ 'xxabx'.rstrip('x') }}{{ 'abc'.replace('b', '') }}{{ 'abc'.find('c') }}{{ ','.join(['a', 'b']) }}{{ 'x=y'.partition('=') }}{{ 'a\\nb'.splitlines() }}{{ 'ab'.title() }}{{ '7'.zfill(3) }}",
    "container_methods": "{% set a = [1] %}{% set _ = a.append(2) %}{{ a }}{{ a.pop(0) }}{{ a }}{% set m = {'k': 1} %}{% set _ = m.update({'j': 2}) %}{{ m }}{{ m.get('z', 3) }}{{ m.keys()|list }}{{ m.values()|list }}{{ m.pop('k') }}{{ m }}",
    "cycler_joiner": "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('; ') %}{{ j() }}x{{ j() }}y",
    "dict_range": "{{ dict(a=1, b=2) }}{{ range(3)|list }}{{ range(5, 0, -2)|list }}{{ range(3) }}{{ range(10)[2:5] }}",
    # whole templates in the manner of the field
    "chatml": "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + (message.content or '') | trim + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "tools_in_system": "{%- if tools %}\n    {{- '<|system|>\\n' }}\n    {%- for tool in tools %}\n        {{- '\\n' }}\n        {{- tool | tojson }}\n    {%- endfor %}\n{%- endif %}\n{%- for m in messages %}\n    {%- if m.tool_calls %}\n        {%- for c in m.tool_calls %}\n            {{- '<tool_call>\\n{\"name\": \"' ~ c.function.name ~ '\", \"arguments\": ' ~ c.function.arguments | tojson ~ '}\\n</tool_call>' }}\n        {%- endfor %}\n    {%- else %}\n        {{- '<|' ~ m.role ~ '|>' ~ (m.content.split('</think>')[-1].lstrip('\\n') if '</think>' in m.content else m.content) }}\n    {%- endif %}\n{%- endfor %}\n",
    "alternation_fails": "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}",
}


def main():
    env = environment()
    for name, template in CASES.items():
        kind, text = expected(env, template, CONTEXT, {"bos_token": "<s>", "eos_token": "</s>"})
        if (kind == "error") != (name.endswith("_fails") or name == "raise"):
            raise SystemExit(f"{name}: jinja2 gives {kind}: {text}")
        row = {"name": name, "template": template, "context": CONTEXT}
        row["ok" if kind == "ok" else "error"] = text if kind == "ok" else True
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
