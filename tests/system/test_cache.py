"""The exact cache and the strategies, with the demo model behind two names."""
import json, os, sys, threading

from harness import Server, check, equal, main

CONFIG = """
models:
  - name: kept
    targets: [{provider: local, model: demo}]
    cache: {mode: exact, ttl: 1h}
  - name: any
    targets: [{provider: local, model: demo}]
    cache: {mode: exact, any_temperature: true}
  - name: plain
    targets: [{provider: local, model: demo}]
"""
server = Server(config=CONFIG)
CHAT = {"model": "kept", "messages": [{"role": "user", "content": "What is decode?"}], "temperature": 0, "max_tokens": 40}


def ask(**more):
    r = server.post("/v1/chat/completions", {**CHAT, **more})
    equal(r.status, 200, repr(r))
    return r


def test_an_equal_request_is_a_hit_with_its_usage():
    first, second = ask(), ask()
    equal(first.headers["x-sluice-cache"], "miss")
    equal(second.headers["x-sluice-cache"], "hit")
    equal(second.json["choices"], first.json["choices"])
    equal(second.json["usage"], first.json["usage"])
    equal(float(second.headers["x-sluice-cost-usd"]), 0.0)


def test_a_whole_answer_serves_a_stream_and_the_other_way_round():
    whole = ask(max_tokens=30).json["choices"][0]["message"]["content"]
    lines = list(server.stream("/v1/chat/completions", {**CHAT, "max_tokens": 30, "stream": True}))
    equal(lines[-1], "[DONE]")
    equal("".join((json.loads(l)["choices"] or [{"delta": {}}])[0]["delta"].get("content") or "" for l in lines[:-1]), whole)
    list(server.stream("/v1/chat/completions", {**CHAT, "max_tokens": 29, "stream": True}))
    equal(ask(max_tokens=29).headers["x-sluice-cache"], "hit")


def test_what_is_not_deterministic_is_not_kept_unless_allowed():
    equal(ask(temperature=1).headers["x-sluice-cache"], "off")
    equal(ask(temperature=1, seed=3).headers["x-sluice-cache"], "miss")
    equal(ask(model="any", temperature=1).headers["x-sluice-cache"], "miss")
    equal(ask(model="any", temperature=1).headers["x-sluice-cache"], "hit")
    equal(ask(model="plain").headers["x-sluice-cache"], "off")


def test_equal_requests_at_the_same_moment_ask_once():
    states = []
    def one():
        states.append(ask(max_tokens=400, seed=9, temperature=1, ignore_eos=True).headers["x-sluice-cache"])
    threads = [threading.Thread(target=one) for _ in range(12)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(states.count("miss"), 1, states)
    equal(states.count("hit"), 11, states)


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()
