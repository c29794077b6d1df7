"""Answers that break off and go on at another target: one text for the client, both attempts in the ledger."""
import json, os, sqlite3, sys, time

from harness import Server, check, equal, main, wait_for
from mock_provider import CACHED, INPUT, Mock, OUTPUT, TEXT, WRITTEN

mock = Mock()
WHOLE = "".join(TEXT)
KINDS = {"openai": "v1", "vllm": "v1", "mistral": "v1", "qwen": "v1", "anthropic": "v1", "gemini": "v1beta"}
PRICE = "price: {input: 1, output: 10}"


def targets(*list_):
    out = ""
    for provider, model, prefill in list_:
        out += "      - {provider: %s, model: %s, prefill: %s%s}\n" % (provider, model, str(prefill).lower(), "" if provider == "local" else ", " + PRICE)
    return out


def model(name, *list_, more=""):
    return "  - name: %s\n    resume: true\n    retries: 0\n%s    targets:\n%s" % (name, more, targets(*list_))


CONFIG = "admin_key: adm\nproviders:\n" + "".join(
    "  - {name: %s, kind: %s, base_url: '%s/%s', api_key: key-of-%s-0123456789, breaker: {failures: 100000}}\n" % (k, k, mock.url, v, k) for k, v in KINDS.items())
CONFIG += "models:\n"
for a in ("openai", "anthropic", "gemini"):
    for b in (*KINDS, "local"):
        if a != b:
            CONFIG += model("%s-%s" % (a, b), (a, "x--cut-3" if a != "anthropic" else "x--cut-5", False), (b, "demo" if b == "local" else "y", True))
    CONFIG += model("%s-same" % a, (a, "x--cut-3" if a != "anthropic" else "x--cut-5", False), (a, "y", True))
CONFIG += model("pos", *[("openai", "x--cut-%d" % 4, False), ("anthropic", "y", True)])
CONFIG += model("twice", ("openai", "x--cut-3", False), ("vllm", "z--cut-2", True), ("mistral", "y", True))
CONFIG += model("refused", ("openai", "x--cut-3", False), ("vllm", "z--400", True), ("mistral", "y--500", True), ("qwen", "y", True))
CONFIG += model("hopeless", ("openai", "x--cut-3", False), ("vllm", "z--500", True))
CONFIG += model("nobody", ("openai", "x--cut-3", True), ("vllm", "z", False))
CONFIG += model("stalls", ("openai", "x--stall-3", False), ("vllm", "z", True))
CONFIG += model("errs", ("openai", "x--error-3", False), ("vllm", "z", True))
CONFIG += model("thinks", ("openai", "x-think--cut-4", False), ("vllm", "z", True))
CONFIG += model("closed", ("anthropic", "x--cut-10", False), ("anthropic", "y", True))
CONFIG += model("cached", ("openai", "x--cut-3--first1", False), ("vllm", "z", True), more="    cache: {mode: exact}\n")
CONFIG += "  - {name: alone, targets: [{provider: local, model: demo}]}\n"
CONFIG = CONFIG.replace("name: openai,", "name: openai, idle_timeout: 1s,", 1)

server = Server(config=CONFIG)
ASK = [{"role": "user", "content": "say it"}]
REQUESTS = {
    "openai": lambda m, **k: ("/v1/chat/completions", {"model": m, "messages": ASK, "stream": True, "stream_options": {"include_usage": True}, **k}),
    "anthropic": lambda m, **k: ("/v1/messages", {"model": m, "messages": ASK, "stream": True, "max_tokens": 1000, **k}),
    "gemini": lambda m, **k: ("/v1beta/models/%s:streamGenerateContent?alt=sse" % m, {"contents": [{"role": "user", "parts": [{"text": "say it"}]}], **k}),
}


class Told:
    """What a client of a dialect makes of a stream."""

    def __init__(self, dialect, m, **more):
        self.text, self.ids, self.ends, self.error, self.usage, self.opened, self.closed = "", set(), 0, None, None, [], []
        path, body = REQUESTS[dialect](m, **more)
        self.events = list(server.stream(path, body))
        for data in self.events:
            if data == "[DONE]":
                self.ends += 1
                continue
            e = json.loads(data)
            if "error" in e:
                self.error = e["error"]
            else:
                getattr(self, dialect)(e)

    def openai(self, e):
        self.ids.add(e["id"])
        self.usage = e.get("usage") or self.usage
        for c in e["choices"]:
            self.text += c["delta"].get("content") or ""
            self.opened += ["role"] if "role" in c["delta"] else []
            self.closed += [c["finish_reason"]] if c["finish_reason"] else []

    def anthropic(self, e):
        if e["type"] == "message_start":
            self.ids.add(e["message"]["id"])
            self.opened.append("message")
        elif e["type"] == "content_block_start":
            self.opened.append(e["index"])
        elif e["type"] == "content_block_delta":
            check(e["index"] in self.opened and e["index"] not in self.closed, "a delta outside its block")
            self.text += e["delta"].get("text", "")
        elif e["type"] == "content_block_stop":
            self.closed.append(e["index"])
        elif e["type"] == "message_delta":
            self.usage = e["usage"]
            self.closed.append(e["delta"]["stop_reason"])
        elif e["type"] == "message_stop":
            self.ends += 1

    def gemini(self, e):
        self.usage = e.get("usageMetadata") or self.usage
        for c in e.get("candidates", []):
            self.text += "".join(p.get("text", "") for p in c.get("content", {}).get("parts", []))
            if c.get("finishReason"):
                self.closed.append(c["finishReason"])
                self.ends += 1

    def output_tokens(self):
        u = self.usage
        return u.get("completion_tokens") or u.get("output_tokens") or u.get("candidatesTokenCount")


def seamless(told, name):
    equal(told.error, None, name)
    equal(told.text, WHOLE, name)
    equal(told.ends, 1, name)
    check(len(told.ids) <= 1, "%s: ids %r" % (name, told.ids))
    equal(len(told.closed), {1: 1, 2: 2}[len(told.closed)], name)


def rows(sql, *args):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(server.dir.name, "sluice", "sluice.db"), uri=True)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


def last_body(model_):
    return [r for r in mock.requests if r["model"] == model_][-1]["body"]


def test_every_client_sees_one_text_from_every_pair():
    for client in REQUESTS:
        for a in ("openai", "anthropic", "gemini"):
            for b in (*KINDS, "same"):
                if a != b:
                    name = "%s client, %s-%s" % (client, a, b)
                    seamless(Told(client, "%s-%s" % (a, b)), name)


def test_each_kind_is_asked_in_its_own_way():
    said = "Hello, wörld!"  # without the space behind it
    Told("gemini", "openai-vllm")
    body = last_body("y")
    equal((body["messages"][-1], body["continue_final_message"], body["add_generation_prompt"]),
          ({"role": "assistant", "content": said}, True, False))
    Told("openai", "openai-vllm", x_unknown={"kept": 1})  # the same dialect: spliced
    body = last_body("y")
    equal((body["messages"][-1]["content"], body["continue_final_message"], body["add_generation_prompt"], body["x_unknown"]),
          (said, True, False, {"kept": 1}))
    for client in REQUESTS:
        Told(client, "openai-mistral")
        equal(last_body("y")["messages"][-1], {"role": "assistant", "content": said, "prefix": True})
        Told(client, "openai-qwen")
        equal(last_body("y")["messages"][-1], {"role": "assistant", "content": said, "partial": True})
        Told(client, "openai-anthropic")
        last = last_body("y")["messages"][-1]
        equal((last["role"], last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]), ("assistant", said))
        Told(client, "openai-gemini")
        last = last_body("y")["contents"][-1]
        equal((last["role"], last["parts"][0]["text"]), ("model", said))
        Told(client, "openai-same")
        equal(last_body("y")["messages"][-1], {"role": "assistant", "content": said})


def test_the_engine_continues_too():
    told = Told("openai", "openai-local", max_tokens=60, ignore_eos=True, temperature=0)
    check(told.text.startswith("Hello, wörld! ") and len(told.text) > 40, told.text)
    equal((told.error, told.ends, told.closed), (None, 1, ["length"]))
    # What the engine says when a client asks for the same itself.
    ask = {"model": "alone", "messages": ASK + [{"role": "assistant", "content": "Hello, wörld!"}], "max_tokens": 20, "ignore_eos": True,
           "temperature": 0, "continue_final_message": True, "add_generation_prompt": False}
    answer = server.post("/v1/chat/completions", ask)
    equal(answer.status, 200, repr(answer))
    same = answer.json["choices"][0]["message"]["content"]
    check(("Hello, wörld! " + same.lstrip(" ")).startswith(told.text[:30]), (same, told.text))
    for client in ("anthropic", "gemini"):
        told = Told(client, "openai-local")
        check(told.text.startswith("Hello, wörld!"), told.text)
        equal((told.error, told.ends), (None, 1))


def test_usage_and_cost_add_up_and_the_ledger_shows_both_attempts():
    before = rows("select count(*) from requests")[0][0]
    told = Told("openai", "openai-vllm")
    wait_for(lambda: rows("select count(*) from requests")[0][0] > before, what="the record")
    request = rows("select id, outcome, resumed, status from requests where model = 'openai-vllm' order by end_s desc limit 1")[0]
    attempts = rows("select provider, outcome, output, estimated, cost_nano from attempts where request_id = ? order by idx", request[0])
    equal([a[0] for a in attempts], ["openai", "vllm"])
    equal([a[1] for a in attempts], ["interrupted", "ok"])
    equal((request[1], request[2], request[3]), ("ok", 1, 200))
    equal(attempts[0][3], 1, "the broken one is an estimate")
    equal(told.usage["completion_tokens"], attempts[0][2] + attempts[1][2])
    equal(attempts[1][2], OUTPUT)
    wait_for(lambda: any(request[0] in l and "resumed=1" in l and "attempts=2" in l for l in server.log), what="the trace line")
    check(any(request[0] in l and "going on elsewhere" in l for l in server.log))


def test_the_cap_counts_over_both():
    Told("openai", "openai-vllm", max_tokens=50)
    left = last_body("y")["max_tokens"]
    check(40 <= left < 50, left)


def test_a_second_break_and_refusals_are_survived():
    told = Told("openai", "twice")
    seamless(told, "twice")
    told = Told("anthropic", "refused")
    seamless(told, "refused")


def test_what_nobody_can_continue_ends_in_an_error():
    for name in ("hopeless", "nobody", "thinks"):
        for client in REQUESTS:
            told = Told(client, name)
            check(told.error, "%s %s: no error in %r" % (name, client, told.events))
            equal(told.ends, 0, name)
    equal(Told("anthropic", "closed").ends, 0)


def test_tool_calls_and_formats_are_left_alone():
    tool = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    check(Told("openai", "openai-vllm", tools=tool).error, "a call was continued")
    check(Told("openai", "openai-vllm", response_format={"type": "json_object"}).error, "JSON was continued")
    check(Told("openai", "openai-vllm", messages=ASK + [{"role": "assistant", "content": "Hello"}]).error)


def test_stalls_and_errors_in_band_are_breaks_too():
    seamless(Told("gemini", "stalls"), "stalls")
    seamless(Told("openai", "errs"), "errs")
    seamless(Told("anthropic", "errs"), "errs")


def test_a_resumed_answer_is_not_cached():
    body = {"temperature": 0}
    seamless(Told("openai", "cached", **body), "cached")
    path, ask = REQUESTS["openai"]("cached", **body)
    r = server.post(path, {**ask, "stream": False, "stream_options": None})
    equal(r.headers["x-sluice-cache"], "miss")


def test_a_budget_must_hold_the_continuation_too():
    text = CONFIG.replace("admin_key: adm\n", "admin_key: adm\nauth: keys\nlisten: 127.0.0.1:0\n")
    with Server(config=text) as s:
        for budget, continues in (("0.0015", False), ("0.01", True)):
            key = s.post("/admin/keys", {"name": "k" + budget, "budget": budget}, headers={"Authorization": "Bearer adm"}).json["key"]
            path, body = REQUESTS["openai"]("openai-vllm", max_tokens=100)
            lines = list(s.stream(path, body, headers={"Authorization": "Bearer " + key}))
            equal(lines[-1] == "[DONE]", continues, budget)
            equal(any('"error"' in l for l in lines), not continues, budget)


def test_a_configuration_that_cannot_resume_is_refused():
    import subprocess, tempfile
    from harness import BINARY
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write("models: [{name: m, resume: true, targets: [{provider: local, model: demo}]}]\n")
        f.flush()
        r = subprocess.run([BINARY, "check", "-c", f.name], capture_output=True, text=True)
        equal(r.returncode, 2)
        check("'prefill: true'" in r.stderr, r.stderr)


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()
