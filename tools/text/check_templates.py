#!/usr/bin/env python3
"""Compare our rendering with Python's jinja2 on a folder of chat templates.

    python3 tools/text/check_templates.py FOLDER [--sanitize]

Every *.jinja of the folder is rendered with a grid of conversations; both must give the same
bytes or both an error.  Prints each difference and a summary; exit status 1 if there is one.
"""
import itertools
import pathlib
import sys

from template_oracle import Renderer, environment, expected

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Wetter für einen Ort — \"now\"\nsecond line",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The <city>"},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 1.5e3},
                "tags": {"type": "array", "items": {"type": "string"}},
                "where": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
            },
            "required": ["city"],
        },
        "return": {"type": "string"},
    },
}
OTHER = {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}
TEXTS = {"bos_token": "<s>", "eos_token": "</s>"}


def call(id_, name, arguments):
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversations():
    args = {"city": "Zürich <|im_end|>", "days": 3, "f": 1.0, "big": 123456789012345678901234567890,
            "deep": [1, {"a": None, "b": True}], "e": 1e-7}
    systems = [None, "You are  helpful. \n", [{"type": "text", "text": "sys part"}]]
    users = ["Hi there! ", [{"type": "text", "text": "part one"}, {"type": "text", "text": "two"}],
             [{"type": "image"}, {"type": "text", "text": "what?"}]]
    tails = {
        "none": [],
        "answer": [{"role": "assistant", "content": " Hello\n"}, {"role": "user", "content": "and?"}],
        "think": [{"role": "assistant", "content": "<think>\nold\n</think>\n\nyes", "reasoning_content": "because\n"},
                  {"role": "user", "content": "more"}],
        "thinking": [{"role": "assistant", "content": "yes", "thinking": "hm", "reasoning": "hm"}],
        "call": [{"role": "assistant", "content": "", "tool_calls": [call("abcdefgh1", "get_weather", args)]},
                 {"role": "tool", "tool_call_id": "abcdefgh1", "name": "get_weather", "content": "{\"t\": 20}"}],
        "call_none": [{"role": "assistant", "content": None, "reasoning_content": "let me look",
                       "tool_calls": [call("functions.get_weather:0", "get_weather", args)]},
                      {"role": "tool", "tool_call_id": "functions.get_weather:0", "content": "20 degrees"},
                      {"role": "assistant", "content": "It is 20."}, {"role": "user", "content": "thx"}],
        "calls": [{"role": "assistant", "content": "two calls", "tool_calls": [
                      call("abcdefgh1", "get_weather", args), call("abcdefgh2", "now", {})]},
                  {"role": "tool", "tool_call_id": "abcdefgh1", "name": "get_weather", "content": {"t": 20}},
                  {"role": "tool", "tool_call_id": "abcdefgh2", "name": "now", "content": "12:00"}],
        "text_args": [{"role": "assistant", "tool_calls": [call("abcdefgh1", "now", "{\"x\": 1}")]},
                      {"role": "tool", "tool_call_id": "abcdefgh1", "name": "now", "content": [{"type": "text", "text": "noon"}]}],
        "odd": [{"role": "user", "content": "twice"}, {"role": "developer", "content": "dev"}],
    }
    for system, user, tail in itertools.product(systems, users, tails):
        messages = [] if system is None else [{"role": "system", "content": system}]
        messages += [{"role": "user", "content": user}] + tails[tail]
        for tools, prompt, extra in itertools.product(
                (None, [TOOL, OTHER]), (False, True),
                ({}, {"enable_thinking": False}, {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"})):
            yield {"messages": messages, "tools": tools, "add_generation_prompt": prompt, **extra}


def main():
    folder = pathlib.Path(sys.argv[1])
    ours, env = Renderer("--sanitize" in sys.argv), environment()
    contexts = list(conversations())
    total = different = errors = 0
    for path in sorted(folder.glob("*.jinja")):
        source, bad = path.read_text(), 0
        for context in contexts:
            kind, want = expected(env, source, context, TEXTS)
            got = ours.render(source, context, TEXTS)
            total += 1
            errors += kind == "error"
            if (kind == "ok") != ("ok" in got) or (kind == "ok" and got["ok"] != want):
                bad += 1
                if bad <= 2:
                    print(f"--- {path.name}: {context}\nwant {kind}: {want!r}\ngot {got!r}\n")
        different += bad
        if bad:
            print(f"=== {path.name}: {bad} of {len(contexts)} differ")
    print(f"{total} renderings, {errors} refused by both or expected to be, {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
