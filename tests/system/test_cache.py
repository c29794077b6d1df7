"""The exact and the semantic cache, with the demo model behind two names and a mock provider."""
import glob, json, os, signal, subprocess, sys, tempfile, threading, time

from harness import BINARY, ROOT, Server, check, equal, main, wait_for
from mock_provider import Mock, TEXT

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


# ---- the file ----

KEEP = """
listen: 127.0.0.1:0
auth: keys
admin_key: adm
state: sqlite:%(dir)s/state.db
providers: [{name: p, kind: openai, base_url: %(url)s/v1, api_key: sk-upstream-secret-123}]
models:
  - {name: kept, targets: [{provider: p, model: %(model)s}], cache: {mode: exact, ttl: %(ttl)s, max_bytes: %(max)s, path: %(dir)s/cache/kept.db}}
  - {name: think, targets: [{provider: p, model: think}], cache: {mode: exact, path: %(dir)s/cache/kept.db}}
"""
mock = Mock()


class Kept:
    """A server whose cache has a file, started as often as one likes."""

    def __init__(self, **how):
        self.dir = tempfile.TemporaryDirectory(prefix="sluice-cache-")
        self.how = {"ttl": "1h", "max": "1MB", "model": "plain", **how}
        self.file = os.path.join(self.dir.name, "cache", "kept.db")
        self.server, self.keys = None, {}

    def start(self, **how):
        self.how.update(how)
        self.server = Server(config=KEEP % {"dir": self.dir.name, "url": mock.url, **self.how})
        return self

    def stop(self):
        equal(self.server.stop(), 0)

    def kill(self):
        self.server.process.kill()
        self.server.process.wait()
        self.server.dir.cleanup()

    def key(self, name, **more):
        r = self.server.post("/admin/keys", {"name": name, **more}, headers={"Authorization": "Bearer adm"})
        equal(r.status, 201, repr(r))
        self.keys[name] = r.json["key"]

    def ask(self, name, text="a question", model="kept", **more):
        body = {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, **more}
        r = self.server.post("/v1/chat/completions", body, headers={"Authorization": "Bearer " + self.keys[name]})
        equal(r.status, 200, repr(r))
        return r

    def states(self, *names, **more):
        return [self.ask(n, **more).headers["x-sluice-cache"] for n in names]

    def bytes(self):
        return sum(os.path.getsize(f) for f in glob.glob(self.file + "*"))


def test_the_file_outlives_the_server_and_keeps_groups_apart():
    k = Kept().start()
    k.key("a", group="team"), k.key("b", group="team"), k.key("c")
    equal(k.states("a", "b", "c"), ["miss", "hit", "miss"])
    k.ask("a", model="think")
    first, think = k.ask("a"), k.ask("a", model="think")
    k.stop()
    before = len(mock.requests)
    k.start()
    again = k.ask("a")
    equal((again.headers["x-sluice-cache"], again.headers["x-sluice-provider"]), ("hit", "p"))
    equal((again.json["choices"], again.json["usage"]), (first.json["choices"], first.json["usage"]))
    equal(k.ask("b", model="think").json["choices"], think.json["choices"], "reasoning too")
    equal(k.states("a", "b", "c"), ["hit", "hit", "hit"])
    k.key("d")
    equal(len(mock.requests), before, "nobody upstream was asked")
    equal(k.states("d"), ["miss"], "another key")
    equal(k.ask("a", text="another").headers["x-sluice-cache"], "miss")
    lines = list(k.server.stream("/v1/chat/completions", {"model": "kept", "stream": True, "temperature": 0, "messages": [{"role": "user", "content": "a question"}]},
                                 headers={"Authorization": "Bearer " + k.keys["b"]}))
    equal("".join((json.loads(l)["choices"] or [{"delta": {}}])[0]["delta"].get("content") or "" for l in lines[:-1]), first.json["choices"][0]["message"]["content"])
    k.stop()
    told = b"".join(open(f, "rb").read() for f in glob.glob(k.file + "*"))
    for secret in list(k.keys.values()) + ["sk-upstream-secret-123", "a question"]:
        check(secret.encode() not in told, "the file holds " + secret)
    equal(os.stat(k.file).st_mode & 0o777, 0o600)


def test_a_crash_loses_no_answer_that_was_written_and_another_target_asks_anew():
    k = Kept().start()
    k.key("a")
    equal(k.states("a"), ["miss"])
    wait_for(lambda: os.path.exists(k.file) and k.bytes() > 0)
    time.sleep(0.3)
    k.kill()
    k.start()
    equal(k.states("a"), ["hit"])
    k.stop()
    k.start(model="other")
    equal(k.states("a"), ["miss"], "another model behind the name")
    k.stop()


def test_equal_requests_wait_for_the_file_too():
    k = Kept().start()
    k.key("a")
    k.ask("a")
    k.stop()
    k.start()
    states = []
    threads = [threading.Thread(target=lambda: states.append(k.ask("a").headers["x-sluice-cache"])) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(states, ["hit"] * 8)
    k.stop()


def test_the_file_is_bounded_and_expires():
    k = Kept(max="40kB", ttl="2s").start()
    k.key("a")
    for i in range(150):
        k.ask("a", text="question %d" % i)
    k.stop()
    check(os.path.getsize(k.file) < 120000, os.path.getsize(k.file))
    time.sleep(2.1)
    k.start()
    equal(k.ask("a", text="question 149").headers["x-sluice-cache"], "miss")
    k.stop()


def test_a_file_that_cannot_be_used_costs_only_hits():
    k = Kept()
    os.makedirs(os.path.dirname(k.file))
    with open(k.file, "w") as f:
        f.write("this is a letter, not a database; it must survive\n" * 20)
    k.start()
    k.key("a")
    equal(k.states("a", "a"), ["miss", "hit"])
    check(any("kept in memory only" in l for l in k.server.log), k.server.log)
    k.stop()
    check(open(k.file).read().startswith("this is a letter"))


# ---- near requests ----

NEAR = """
listen: 127.0.0.1:0
auth: keys
admin_key: adm
state: sqlite:%(dir)s/state.db
providers:
  - {name: p, kind: openai, base_url: %(url)s/v1, api_key: sk-x}
  - {name: e, kind: openai, base_url: %(url)s/v1, api_key: sk-x, breaker: {failures: 3, cooldown: 60s}}
models:
  - {name: embed, retries: 0, targets: [{provider: e, model: "%(embed)s", price: {input: 10, output: 0}}]}
  - {name: chat, targets: [{provider: p, model: plain, price: {input: 1, output: 1}}],
     cache: {mode: semantic, embedding_model: embed, threshold: 0.9, embedding_timeout: 300ms, path: %(dir)s/near.db}}
  - {name: free, targets: [{provider: p, model: plain, price: {input: 1, output: 1}}],
     cache: {mode: semantic, embedding_model: e/unpriced, threshold: 0.9}}
"""
KING, RULER, CAKE = "how tall is the king", "what height is the king", "how to bake a cake"


class Near:
    def __init__(self, embed="embed"):
        mock.reset()
        mock.vectors = {KING: [1, 0, 0], RULER: [0.95, 0.3, 0], CAKE: [0, 1, 0], "year 2023": [0, 0, 1], "year 2024": [0, 0, 1]}
        self.embed = embed
        self.dir = tempfile.TemporaryDirectory(prefix="sluice-near-")
        self.keys = {}
        self.start()

    def start(self):
        self.server = Server(config=NEAR % {"dir": self.dir.name, "url": mock.url, "embed": self.embed})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()

    def key(self, name, **more):
        r = self.server.post("/admin/keys", {"name": name, **more}, headers={"Authorization": "Bearer adm"})
        equal(r.status, 201, repr(r))
        self.keys[name] = r.json["key"]

    def post(self, path, body, key="a"):
        return self.server.post(path, body, headers={"Authorization": "Bearer " + self.keys[key]})

    def ask(self, text, key="a", **more):
        r = self.post("/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}, key)
        equal(r.status, 200, repr(r))
        return r

    def state(self, text, key="a", **more):
        return self.ask(text, key, **more).headers["x-sluice-cache"]

    def usage(self):
        return self.server.get("/admin/usage?by=key,provider", headers={"Authorization": "Bearer adm"}).json


def test_a_near_question_gets_the_answer_and_a_far_one_does_not():
    with Near() as n:
        n.key("a")
        first = n.ask(KING)
        equal(first.headers["x-sluice-cache"], "miss")
        near = n.ask(RULER)
        equal((near.headers["x-sluice-cache"], near.headers["x-sluice-provider"]), ("semantic", "p"))
        equal(near.headers["x-sluice-similarity"], "0.9536")
        for answer in (first.json, near.json):
            equal((answer["choices"][0]["message"]["content"], answer["usage"]["total_tokens"]), ("".join(TEXT), 145))
        wait_for(lambda: any("similarity=0.9536" in l for l in n.server.log), what="how near it was, in the log")
        equal(mock.count("embed"), 2)
        equal(n.state(RULER), "semantic")
        equal(n.state(KING), "hit")
        equal(mock.count("embed"), 2, "equal requests need no vector")
        equal(n.state(CAKE), "miss")
        equal(mock.count("plain"), 2)
        text = n.server.get("/metrics").text.decode()
        for line in ('sluice_cache_hits_total{model="chat",kind="semantic"} 2', 'sluice_cache_hits_total{model="chat",kind="exact"} 1',
                     'sluice_cache_semantic_total{model="chat",result="hit"} 1', 'sluice_cache_semantic_total{model="chat",result="miss"} 2'):
            check(line in text, line + " not in\n" + "\n".join(l for l in text.split("\n") if "sluice_cache" in l))


def test_only_the_last_text_may_differ():
    with Near() as n:
        n.key("a", group="team"), n.key("b", group="team"), n.key("c")
        system = [{"role": "system", "content": "Be brief."}]
        tool = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "tool_choice": "none"}
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
        def user(text):
            return {"role": "user", "content": text}
        equal(n.state(KING), "miss")
        for more in ({"messages": system + [user(RULER)]}, {"messages": [user("Hi"), {"role": "assistant", "content": "Hi"}, user(RULER)]}, tool,
                     {"response_format": {"type": "json_object"}}, {"top_p": 0.5}, {"max_tokens": 9}, {"seed": 4},
                     {"messages": [{"role": "user", "content": [image, {"type": "text", "text": RULER}]}]}):
            equal(n.state(RULER, **more), "miss", str(more))
        equal(n.state(RULER, key="c"), "miss", "another tenant")
        equal(n.state(RULER, key="b"), "semantic", "the same group")
        equal(n.state(KING, messages=system + [user(KING)]), "semantic", "with its own system prompt")
        equal(n.state(KING, messages=[{"role": "user", "content": [image, {"type": "text", "text": KING}]}]), "semantic")
        equal(n.state(KING, temperature=1), "off", "as the exact cache has it")
        n.state("year 2023")
        equal(n.state("year 2024"), "miss", "another number, the same vector")
        mock.vectors["how to bake a bread"] = [0, 1, 0]
        equal([n.state(CAKE), n.state("how to bake a bread")], ["miss", "miss"], "one word is another one, the same vector")
        before = mock.count("embed")
        call = {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
        n.ask("", messages=[user(KING), call, {"role": "tool", "tool_call_id": "x", "content": RULER}])
        n.ask("\u5317\u4eac\u5929\u6c14")
        n.ask("a" * 3000)
        equal(mock.count("embed"), before, "nothing to compare: no vector is asked for")


def test_a_near_answer_streams_in_every_dialect():
    said = "".join(TEXT)
    with Near() as n:
        n.key("a")
        auth = {"Authorization": "Bearer " + n.keys["a"]}
        def lines(path, body):
            return [json.loads(l) for l in n.server.stream(path, body, headers=auth) if l != "[DONE]"]
        chat = {"model": "chat", "temperature": 0, "messages": [{"role": "user", "content": KING}]}
        claude = {"model": "chat", "temperature": 0, "max_tokens": 50, "messages": [{"role": "user", "content": [{"type": "text", "text": KING}]}]}
        gemini = {"contents": [{"role": "user", "parts": [{"text": KING}]}], "generationConfig": {"temperature": 0}}
        for path, body in (("/v1/chat/completions", chat), ("/v1/messages", claude), ("/v1beta/models/chat:generateContent", gemini)):
            r = n.post(path, body)
            equal((r.status, r.headers["x-sluice-cache"]), (200, "miss"), repr(r))
        asked = mock.count("plain")
        def near(body):
            return json.loads(json.dumps(body).replace(KING, RULER))
        got = "".join((l["choices"] or [{"delta": {}}])[0]["delta"].get("content") or "" for l in lines("/v1/chat/completions", {**near(chat), "stream": True}))
        equal(got, said)
        got = "".join(l.get("delta", {}).get("text", "") for l in lines("/v1/messages", {**near(claude), "stream": True}))
        equal(got, said)
        got = "".join(p.get("text", "") for l in lines("/v1beta/models/chat:streamGenerateContent?alt=sse", near(gemini)) for p in l["candidates"][0]["content"]["parts"])
        equal(got, said)
        equal(mock.count("plain"), asked)
        list(n.server.stream("/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": CAKE}], "temperature": 0, "stream": True}, headers=auth))
        mock.vectors["cake, baked how"] = [0, 1, 0.1]
        equal(n.state("cake, baked how"), "semantic", "and a stream serves a whole answer")


def test_a_vector_that_fails_or_is_late_costs_only_the_hit():
    with Near("embed--500") as n:
        n.key("a")
        equal([n.state(KING), n.state(RULER), n.state(KING)], ["miss", "miss", "hit"])
        equal(n.ask(CAKE).headers["x-sluice-attempts"], "1")
        n.ask("another")
        equal(mock.count("embed--500"), 3, "its breaker is open")
        check(b'result="failed"} 4' in n.server.get("/metrics").text, "counted")
    with Near("embed--slow-2000") as n:
        n.key("a")
        began = time.time()
        equal(n.state(KING), "miss")
        took = time.time() - began
        check(0.25 < took < 1.5, took)
        n.ask(RULER), n.ask(CAKE), n.ask("another")
        equal(mock.count("embed--slow-2000"), 3, "who is late three times is not asked again")
    with Near("embed--html") as n:
        n.key("a")
        equal(n.state(KING), "miss")


def test_a_vector_is_paid_for_and_a_budget_sees_it():
    with Near() as n:
        n.key("a", budget={"usd": "1", "per": "day"})
        miss = n.ask(KING)
        equal(miss.headers["x-sluice-cost-usd"], "0.000205000", "145 tokens at 1 dollar and 6 at 10 per million")
        equal(n.ask(RULER).headers["x-sluice-cost-usd"], "0.000060000", "the vector only")
        equal(n.ask(RULER).headers["x-sluice-cost-usd"], "0.000000000")
        wait_for(lambda: n.usage()["total"]["requests"] == 3)
        by = {row["provider"]: row for row in n.usage()["rows"]}
        equal((by["e"]["requests"], by["e"]["input_tokens"], by["e"]["cost_usd"]), (2, 12, 0.00012), str(by))
        equal((by["p"]["requests"], n.usage()["total"]["requests"]), (1, 3), str(by))
        # 145 tokens at 1 dollar, two vectors at 60 millionths each: without these the third one would fit.
        n.key("small", budget={"usd": "0.00048", "per": "day"})
        equal([n.state(t, key="small", max_tokens=5) for t in (KING, RULER)], ["miss", "semantic"])
        r = n.post("/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": CAKE}], "temperature": 0, "max_tokens": 5}, "small")
        equal(r.status, 429, repr(r))
        n.key("unpriced", budget={"usd": "1", "per": "day"})
        equal([n.state(t, key="unpriced", model="free") for t in (KING, RULER)], ["miss", "miss"], "nobody knows what it would cost")
        equal(mock.count("unpriced"), 0)


def test_equal_near_questions_at_the_same_moment_ask_for_one_vector():
    with Near("embed--slow-100") as n:
        n.key("a")
        n.ask(KING)
        states = []
        threads = [threading.Thread(target=lambda: states.append(n.state(RULER))) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        equal(states, ["semantic"] * 8)
        equal(mock.count("embed--slow-100"), 2)


def test_a_client_that_leaves_takes_its_vector_along():
    with Near("embed--slow-200") as n:
        n.key("a")
        body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": KING}], "temperature": 0})
        import socket
        s = socket.create_connection(("127.0.0.1", n.server.port))
        s.sendall(("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s" % (n.keys["a"], len(body), body)).encode())
        wait_for(lambda: mock.count("embed--slow-200") == 1)
        s.close()
        wait_for(lambda: n.usage()["total"]["requests"] == 1)
        equal(mock.count("plain"), 0)
        equal(n.state(KING), "miss")


def test_after_a_restart_equal_requests_hit_and_near_ones_are_new():
    with Near() as n:
        n.key("a")
        n.ask(KING)
        equal(n.server.stop(), 0)
        n.start()
        equal([n.state(KING), n.state(RULER)], ["hit", "miss"])


OWN = """
models:
  - {name: vec, targets: [{provider: local, model: %s}]}
  - {name: own, targets: [{provider: local, model: demo}], cache: {mode: semantic, embedding_model: vec, threshold: 0.5, embedding_timeout: 20s}}
"""


def test_the_engine_makes_vectors_too():
    with Server(config=OWN % os.path.join(ROOT, "tests", "golden", "models", "qwen3-embed.gguf")) as s:
        def ask(text):
            r = s.post("/v1/chat/completions", {"model": "own", "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 20})
            equal(r.status, 200, repr(r))
            return r
        first, near = ask("what is decode?"), ask("what is  decode ?")
        equal((first.headers["x-sluice-cache"], near.headers["x-sluice-cache"]), ("miss", "semantic"), str(s.log))
        equal(near.json["choices"], first.json["choices"])


def test_what_cannot_be_configured_is_said():
    base = "providers: [{name: c, kind: anthropic, api_key: k}]\nmodels:\n  - {name: m, targets: [{provider: local, model: demo}], cache: {%s}}\n"
    for cache, told in (("mode: semantic", "needs an embedding_model"),
                        ("mode: exact, embedding_model: c/x", "needs 'mode: semantic'"),
                        ("mode: semantic, embedding_model: nobody", "no model of this file"),
                        ("mode: semantic, embedding_model: x/y", "no model of this file"),
                        ("mode: semantic, embedding_model: c/claude", "'c' (anthropic) makes no embeddings"),
                        ("mode: semantic, embedding_model: local/x, threshold: 1.01", "must be a number from 0 to 1"),
                        ("mode: semantic, embedding_model: local/x, threshold: -1", "must be a number from 0 to 1")):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(base % cache)
            f.flush()
            r = subprocess.run([BINARY, "check", "-c", f.name], capture_output=True, text=True)
        equal(r.returncode, 2, cache)
        check(told in r.stderr + r.stdout, cache + ": " + r.stderr + r.stdout)


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()
