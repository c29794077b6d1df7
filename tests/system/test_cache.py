"""The exact cache and the strategies, with the demo model behind two names."""
import glob, json, os, signal, sys, tempfile, threading, time

from harness import Server, check, equal, main, wait_for
from mock_provider import Mock

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


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()
