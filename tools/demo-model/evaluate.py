#!/usr/bin/env python3
"""Score the demo model on phrasings and values that training never saw.

  evaluate.py DIR [--n 100] [--show 3] [--families a,b] [--csv FILE]   exact match per task family
  evaluate.py DIR --ask "question"                                      one answer
  evaluate.py DIR --check-template                                      TEMPLATE in Jinja against chat.render

DIR holds state.pkl and tokenizer.json.  The scores are those of the weights as the GGUF stores them (Q8_0), unless
--exact.
"""
import argparse
import csv
import os
import random

from tokenizers import Tokenizer

import data
import generate
import weights
from chat import TEMPLATE, Chat
from export_gguf import q8_0_round_trip

EVAL_SEED = 7_000_000


def cases(family, n, split, unseen):
    """(label, turns before the answer, answer)."""
    rng = random.Random(EVAL_SEED + sum(family.encode()))
    g = data.Gen(rng, split, unseen)
    out = []
    while len(out) < (n if family != "tools" else 2 * n):
        if family == "long_chat":
            turns = data.long_conversation(g, rng.randint(20, 36))
        else:
            turns = data.conversation(g, family)
        spots = [i for i, t in enumerate(turns) if t[0] == "assistant"]
        if family != "tools":
            spots = spots[-1:]
        for k, i in enumerate(spots):
            label = family if family != "tools" else ("tools_call", "tools_answer")[k]
            out.append((label, turns[:i], turns[i][1]))
    return out


def load(path, is_exact, which):
    cfg, params, saved = weights.load(os.path.join(path, "state.pkl"), which)
    return cfg, (params if is_exact else q8_0_round_trip(params)), saved


def score(a, chat, cfg, params):
    families = a.families.split(",") if a.families else list(data.FAMILIES) + ["long_chat"]
    wanted = [c for f in families for c in cases(f, a.n, a.split, a.unseen)]
    got = generate.answers(cfg, params, [chat.prompt(turns) for _, turns, _ in wanted], chat.im_end)
    table, shown = {}, {}
    for (label, turns, want), ids in zip(wanted, got):
        text = chat.tok.decode(ids, skip_special_tokens=False)
        right, total = table.get(label, (0, 0))
        table[label] = (right + (text == want), total + 1)
        if text != want and shown.get(label, 0) < a.show:
            shown[label] = shown.get(label, 0) + 1
            question = [t[1] for t in turns if t[0] in ("user", "tool")][-1]
            system = [t[1] for t in turns if t[0] == "system"]
            print(f"  {label}: {system + [question]!r}\n      wanted {want!r}\n      got    {text!r}")
    rows = [(label, right, total, round(100 * right / total, 1)) for label, (right, total) in table.items()]
    for label, right, total, percent in rows:
        print(f"{label:16s} {right:5d} of {total:5d}  {percent:5.1f} %{'  <' if percent < 90 else ''}")
    if a.csv:
        with open(a.csv, "w", newline="") as f:
            csv.writer(f).writerows([("family", "right", "of", "percent")] + rows)


def check_template(chat):
    """The Jinja template must give exactly the text that training used."""
    import json

    import jinja2
    env = jinja2.Environment()
    env.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False)
    template = env.from_string(TEMPLATE)
    rng, n = random.Random(3), 0
    for split in ("train", "dev", "test"):
        for family in data.FAMILIES:
            for _ in range(40):
                turns = data.conversation(data.Gen(rng, split), family)
                tools = next((t[1] for t in turns if t[0] == "tools"), None)
                messages = []
                for t in turns:
                    if t[0] == "assistant" and t[1].startswith("<tool_call>"):
                        calls = [json.loads(c.split("\n</tool_call>")[0]) for c in t[1].split("<tool_call>\n")[1:]]
                        messages.append({"role": "assistant", "content": "", "tool_calls": [{"id": "c", "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}} for c in calls]})
                    elif t[0] != "tools":
                        messages.append({"role": t[0], "content": t[1]})
                text = template.render(messages=messages, tools=tools, add_generation_prompt=True)
                mine = chat.tok.decode(chat.prompt(turns), skip_special_tokens=False)
                assert text == mine, (text, mine)
                plain = chat.tok.decode(chat.tok.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
                assert plain == text
                n += 1
    print(f"{n} conversations: the template and the training text agree")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir")
    p.add_argument("--n", type=int, default=100)
    p.add_argument("--show", type=int, default=2)
    p.add_argument("--split", choices=("dev", "test", "train"), default="test", help="phrasings: those of development, of the final test, or trained ones")
    p.add_argument("--unseen", action="store_true", help="names, cities and words too that training never saw")
    p.add_argument("--families")
    p.add_argument("--csv")
    p.add_argument("--ask", action="append")
    p.add_argument("--system")
    p.add_argument("--exact", action="store_true", help="score the f32 weights")
    p.add_argument("--which", choices=("average", "params"), default="average")
    p.add_argument("--check-template", action="store_true")
    a = p.parse_args()
    chat = Chat(Tokenizer.from_file(os.path.join(a.dir, "tokenizer.json")))
    if a.check_template:
        return check_template(chat)
    cfg, params, saved = load(a.dir, a.exact, a.which)
    print(f"step {saved['step']}, {saved['seconds']:.0f} s of training")
    if a.ask:
        prompts = [chat.prompt(([("system", a.system)] if a.system else []) + [("user", q)]) for q in a.ask]
        for q, ids in zip(a.ask, generate.answers(cfg, params, prompts, chat.im_end)):
            print("> " + q + "\n" + chat.tok.decode(ids, skip_special_tokens=False))
    else:
        score(a, chat, cfg, params)


if __name__ == "__main__":
    main()
