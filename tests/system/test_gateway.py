"""The gateway in front of providers that misbehave: every client dialect to every provider."""
import json, os, re, signal, socket, sys, threading, time

from harness import Server, check, equal, main, wait_for
from mock_provider import CACHED, CALLS, INPUT, Mock, OUTPUT, REASONING, SIGNATURE, TEXT, THOUGHT, WRITTEN

mock = Mock()
SECRETS = ["sk-openai-secret-1", "sk-openai-secret-2", "sk-ant-secret-1", "AIza-secret-1", "header-secret-9"]
PROVIDERS = ["openai", "anthropic", "gemini"]
PRICE = "price: {input: 1.0, cached_input: 0.1, output: 2.0}"
ALL = "Hello, wörld! 日本 🎉 the end."


def model(name, *targets, more=""):
    lines = ["  - name: %s" % name, "    retries: 2"]
    lines += ["    " + more] if more else []
    lines.append("    targets:")
    for provider, m in targets:
        lines.append("      - {provider: %s, model: %s, %s}" % (provider, m, PRICE))
    return "\n".join(lines)


MODELS = [model("to-" + p, (p, "plain")) for p in PROVIDERS]
MODELS += [model("capped-" + p, (p, "plain"), more="max_output_tokens: 20") for p in PROVIDERS]
MODELS += [model("think-" + p, (p, "think")) for p in PROVIDERS]
MODELS += [
    model("over-500", ("openai", "plain--500"), ("anthropic", "plain")),
    model("over-cut", ("openai", "plain--cut-0"), ("gemini", "plain")),
    model("over-cut1", ("openai", "plain--cut-1"), ("gemini", "plain")),
    model("over-slow", ("hasty", "plain--stall-0"), ("anthropic", "plain")),
    model("over-401", ("openai", "plain--401"), ("anthropic", "plain")),
    model("over-403", ("openai", "plain--403"), ("anthropic", "plain")),
    model("over-404", ("openai", "plain--404"), ("anthropic", "plain")),
    model("over-529", ("anthropic", "plain--529"), ("openai", "plain")),
    model("over-credit", ("anthropic", "plain--credit"), ("openai", "plain")),
    model("over-context", ("openai", "plain--context"), ("gemini", "plain")),
    model("over-limited", ("openai", "over--429-30"), ("anthropic", "plain")),
    model("over-400", ("openai", "plain--400"), ("anthropic", "plain")),
    model("over-422", ("openai", "plain--422"), ("anthropic", "plain")),
    model("over-redirect", ("openai", "plain--redirect"), ("anthropic", "plain")),
    model("over-dead", ("dead", "plain"), ("anthropic", "plain")),
    model("all-limited", ("openai", "a--429-33"), ("anthropic", "b--429-12")),
    model("limited-once", ("openai2", "c--429-1--first1")),
    model("twice-500", ("anthropic", "plain--500--first2")),
    model("busy-once", ("anthropic", "plain--529--first1")),
    model("all-500", ("openai", "all--500"), ("anthropic", "all--500")),
    model("breaks", ("fragile", "breaks--500")),
    model("billing", ("two-keys", "plain--billing2")),
    model("one-key-limited", ("two-keys2", "plain--limited2")),
    model("narrow", ("narrow", "plain--slow-600"), more="queue_timeout: 200ms"),
    model("narrow-patient", ("narrow", "plain--slow-600"), more="queue_timeout: 5s"),
    model("narrow-over", ("narrow", "plain--slow-600"), ("openai", "plain")),
    model("dead-only", ("gemini", "plain--401")),
    model("no-usage", ("openai", "plain--nousage")),
    model("sticky", ("openai", "plain"), ("anthropic", "plain"), ("gemini", "plain"), more="strategy: weighted"),
    model("least-busy", ("openai", "plain"), ("anthropic", "plain"), ("gemini", "plain"), more="strategy: least_busy"),
]
for p in PROVIDERS:
    for fault in ("split", "crlf", "comments", "big", "cut-4", "end-4", "stall-4", "error-4", "error-0", "garbage-4", "empty", "html", "short", "pace-100"):
        MODELS.append(model("%s-%s" % (p, fault), ("quick-" + p, "plain--%s" % fault)))

CONFIG = """
listen: 127.0.0.1:0
state: sqlite:%(dir)s/state.db
admin_key: admin-secret-7
auth: none
log: {level: debug}
providers:
  - {name: openai, kind: openai, base_url: %(url)s/v1, api_key: sk-openai-secret-1, headers: {x-team: header-secret-9}, breaker: {failures: 1000}}
  - {name: openai2, kind: openai, base_url: %(url)s/v1, api_key: sk-openai-secret-2}
  - {name: anthropic, kind: anthropic, base_url: %(url)s, api_key: sk-ant-secret-1, breaker: {failures: 1000}}
  - {name: gemini, kind: gemini, base_url: %(url)s/v1beta, api_key: AIza-secret-1}
  - {name: hasty, kind: openai, base_url: %(url)s/v1, api_key: k, first_token_timeout: 300ms, breaker: {failures: 1000}}
  - {name: quick-openai, kind: openai, base_url: %(url)s/v1, api_key: k, idle_timeout: 1s, timeout: 10s, breaker: {failures: 1000}}
  - {name: quick-anthropic, kind: anthropic, base_url: %(url)s/v1, api_key: k, idle_timeout: 1s, timeout: 10s, breaker: {failures: 1000}}
  - {name: quick-gemini, kind: gemini, base_url: %(url)s, api_key: k, idle_timeout: 1s, timeout: 10s, breaker: {failures: 1000}}
  - {name: fragile, kind: openai, base_url: %(url)s/v1, api_key: k, breaker: {failures: 3, window: 30s, cooldown: 1s}}
  - {name: two-keys, kind: openai, base_url: %(url)s/v1, api_key: [sk-openai-secret-1, sk-openai-secret-2]}
  - {name: two-keys2, kind: openai, base_url: %(url)s/v1, api_key: [sk-openai-secret-1, sk-openai-secret-2]}
  - {name: narrow, kind: openai, base_url: %(url)s/v1, api_key: k, max_concurrency: 1}
  - {name: dead, kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: k, connect_timeout: 300ms, breaker: {failures: 1000}}
models:
%(models)s
"""
import tempfile
state = tempfile.TemporaryDirectory(prefix="sluice-gateway-")
server = Server(config=CONFIG % {"dir": state.name, "url": mock.url, "models": "\n".join(MODELS)})

# ---- clients: one request, one canonical answer ----

TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NAMES = [n for n, _ in CALLS]


class Got:
    def __init__(self):
        self.text = self.thought = ""
        self.calls, self.error, self.finish, self.usage, self.is_clean = [], None, None, None, False
        self.signature = ""

    def normal(self):
        return (self.text, [(n, json.loads(a) if isinstance(a, str) else a) for n, a in self.calls], self.finish)


def openai_body(m, stream=False, tools=False, **more):
    body = {"model": m, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "max_tokens": 100, **more}
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": n, "description": "d", "parameters": TOOL}} for n in NAMES]
    if stream:
        body.update(stream=True, stream_options={"include_usage": True})
    return "/v1/chat/completions", body


def anthropic_body(m, stream=False, tools=False, **more):
    body = {"model": m, "max_tokens": 100, "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}], **more}
    if tools:
        body["tools"] = [{"name": n, "description": "d", "input_schema": TOOL} for n in NAMES]
    if stream:
        body["stream"] = True
    return "/v1/messages", body


def gemini_body(m, stream=False, tools=False, **more):
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"maxOutputTokens": 100}, **more}
    if tools:
        body["tools"] = [{"functionDeclarations": [{"name": n, "description": "d", "parameters": TOOL} for n in NAMES]}]
    return "/v1beta/models/%s:%s" % (m, "streamGenerateContent?alt=sse" if stream else "generateContent"), body


def openai_whole(j):
    g = Got()
    m = j["choices"][0]["message"]
    g.text = m["content"] or ""
    g.thought = m.get("reasoning_content") or ""
    g.calls = [(c["function"]["name"], c["function"]["arguments"]) for c in m.get("tool_calls") or []]
    g.finish = {"stop": "stop", "tool_calls": "tools", "length": "length"}[j["choices"][0]["finish_reason"]]
    u = j["usage"]
    g.usage = (u["prompt_tokens"], u["prompt_tokens_details"]["cached_tokens"], u["completion_tokens"])
    g.is_clean = True
    return g


def anthropic_whole(j):
    g = Got()
    for b in j["content"]:
        if b["type"] == "text":
            g.text += b["text"]
        elif b["type"] == "thinking":
            g.thought += b["thinking"]
            g.signature = b["signature"]
        else:
            g.calls.append((b["name"], b["input"]))
    g.finish = {"end_turn": "stop", "tool_use": "tools", "max_tokens": "length"}[j["stop_reason"]]
    g.usage = anthropic_usage(j["usage"])
    g.is_clean = True
    return g


def anthropic_usage(u):
    read, written = u.get("cache_read_input_tokens") or 0, u.get("cache_creation_input_tokens") or 0
    return (u["input_tokens"] + read + written, read, u["output_tokens"])


def gemini_take(g, j):
    if "error" in j:
        g.error = j["error"]
        return g
    for c in j.get("candidates", []):
        for p in c.get("content", {}).get("parts", []):
            if "functionCall" in p:
                g.calls.append((p["functionCall"]["name"], p["functionCall"].get("args", {})))
            elif p.get("thought"):
                g.thought += p.get("text", "")
            else:
                g.text += p.get("text", "")
        if c.get("finishReason"):
            g.finish = "tools" if g.calls else {"STOP": "stop", "MAX_TOKENS": "length"}[c["finishReason"]]
            g.is_clean = True
    u = j.get("usageMetadata", {})
    if "candidatesTokenCount" in u:
        g.usage = (u["promptTokenCount"], u.get("cachedContentTokenCount", 0), u["candidatesTokenCount"] + u.get("thoughtsTokenCount", 0))
    return g


def gemini_whole(j):
    return gemini_take(Got(), j)


def events(raw):
    """(name, data) of each event, strictly."""
    for block in raw.decode().replace("\r\n", "\n").split("\n\n"):
        name, data = "", []
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data.append(line[6:])
            elif line and not line.startswith(":"):
                raise AssertionError("not a line of an event stream: %r" % line)
        if data:
            yield name, "\n".join(data)


def openai_stream(raw):
    g = Got()
    calls = {}
    for _, data in events(raw):
        if data == "[DONE]":
            g.is_clean = True
            continue
        j = json.loads(data)
        if j.get("error"):
            g.error = j["error"]
            continue
        if j.get("usage"):
            u = j["usage"]
            g.usage = (u["prompt_tokens"], u["prompt_tokens_details"]["cached_tokens"], u["completion_tokens"])
        for c in j["choices"]:
            g.text += c["delta"].get("content") or ""
            g.thought += c["delta"].get("reasoning_content") or ""
            for t in c["delta"].get("tool_calls") or []:
                call = calls.setdefault(t["index"], ["", ""])
                call[0] += t["function"].get("name") or ""
                call[1] += t["function"].get("arguments") or ""
            if c.get("finish_reason"):
                g.finish = {"stop": "stop", "tool_calls": "tools", "length": "length"}[c["finish_reason"]]
    g.calls = [tuple(calls[i]) for i in sorted(calls)]
    return g


def anthropic_stream(raw):
    g = Got()
    blocks, usage = {}, {}
    for name, data in events(raw):
        j = json.loads(data)
        equal(name, j["type"], "every event is named")
        if name == "error":
            g.error = j["error"]
        elif name == "message_start":
            usage.update(j["message"]["usage"])
        elif name == "content_block_start":
            blocks[j["index"]] = (j["content_block"], [])
        elif name == "content_block_delta":
            d = j["delta"]
            blocks[j["index"]][1].append(d.get("text") or d.get("thinking") or d.get("partial_json") or "")
            g.signature += d.get("signature", "")
        elif name == "message_delta":
            g.finish = {"end_turn": "stop", "tool_use": "tools", "max_tokens": "length"}[j["delta"]["stop_reason"]]
            usage.update({k: v for k, v in j["usage"].items() if v is not None})
        elif name == "message_stop":
            g.is_clean = True
    for block, parts in blocks.values():
        if block["type"] == "text":
            g.text += "".join(parts)
        elif block["type"] == "thinking":
            g.thought += "".join(parts)
        else:
            g.calls.append((block["name"], "".join(parts)))
    if usage:
        g.usage = anthropic_usage(usage)
    return g


def gemini_stream(raw):
    g = Got()
    for _, data in events(raw):
        gemini_take(g, json.loads(data))
    if g.error:
        g.is_clean = False
    return g


CLIENTS = {"openai": (openai_body, openai_whole, openai_stream), "anthropic": (anthropic_body, anthropic_whole, anthropic_stream),
           "gemini": (gemini_body, gemini_whole, gemini_stream)}


def ask(client, m, stream=False, headers=None, **how):
    """The HTTP answer, with .got where it is a 200."""
    body_of, whole, streamed = CLIENTS[client]
    path, body = body_of(m, stream, **how)
    a = server.post(path, body, headers=headers, timeout=30)
    if a.status == 200:
        a.got = streamed(a.text) if stream else whole(a.json)
    return a


def each(stream=(False, True)):
    for c in CLIENTS:
        for s in stream:
            yield c, s

# ---- the matrix ----


def test_text_from_every_client_to_every_provider():
    for client, stream in each():
        for p in PROVIDERS:
            what = "%s -> %s, %s" % (client, p, "stream" if stream else "whole")
            a = ask(client, "to-" + p, stream)
            equal(a.status, 200, what + " " + repr(a))
            equal(a.got.normal(), (ALL, [], "stop"), what)
            equal(a.got.usage, (INPUT, CACHED, OUTPUT), what)
            check(a.got.is_clean and not a.got.error, what)
            equal((a.headers["x-sluice-provider"], a.headers["x-sluice-model"], a.headers["x-sluice-attempts"]), (p, "plain", "1"), what)
            check(a.headers["x-request-id"].startswith("req_"), what)
            sent = mock.requests[-1]
            check("Be brief." in sent["raw"] and "Hi" in sent["raw"], what)
            equal(sent["model"], "plain", what)
            if p == client or stream:
                continue
            check(not any(h in sent["headers"] for h in ("cookie", "x-sluice-provider")), what)


def test_tools_from_every_client_to_every_provider():
    want = [(n, a) for n, a in CALLS]
    for client, stream in each():
        for p in PROVIDERS:
            what = "%s -> %s, %s" % (client, p, "stream" if stream else "whole")
            a = ask(client, "to-" + p, stream, tools=True)
            equal(a.status, 200, what + " " + repr(a))
            equal(a.got.normal(), ("", want, "tools"), what)
            raw = mock.requests[-1]["raw"]
            check("get_weather" in raw and "get_time" in raw and '"required"' in raw, what)


def test_results_of_tools_reach_every_provider():
    histories = {
        "openai": {"messages": [{"role": "user", "content": "Hi"},
                                {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}},
                                                                                      {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]},
                                {"role": "tool", "tool_call_id": "call_1", "content": "sunny-7"}, {"role": "tool", "tool_call_id": "call_2", "content": "noon-8"}]},
        "anthropic": {"messages": [{"role": "user", "content": "Hi"},
                                   {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
                                                                     {"type": "tool_use", "id": "toolu_2", "name": "get_time", "input": {}}]},
                                   {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny-7"},
                                                                {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "noon-8"}]}]}]},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]},
                                {"role": "model", "parts": [{"functionCall": {"name": "get_weather", "args": {"city": "Paris"}}}, {"functionCall": {"name": "get_time", "args": {}}}]},
                                {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"output": "sunny-7"}}},
                                                           {"functionResponse": {"name": "get_time", "response": {"output": "noon-8"}}}]}]},
    }
    for client, stream in each():
        for p in PROVIDERS:
            a = ask(client, "to-" + p, stream, tools=True, **histories[client])
            what = "%s -> %s" % (client, p)
            equal(a.status, 200, what + repr(a))
            equal(a.got.normal(), (ALL, [], "stop"), what)
            raw = mock.requests[-1]["raw"]
            check("sunny-7" in raw and "noon-8" in raw and "Paris" in raw, what + raw)


def test_reasoning_and_signatures():
    for client, stream in each():
        for p in PROVIDERS:
            a = ask(client, "think-" + p, stream)
            what = "%s -> %s, %s" % (client, p, stream)
            equal(a.status, 200, what + repr(a))
            equal(a.got.text, ALL, what)
            equal(a.got.thought, "".join(THOUGHT), what)
            equal(a.got.usage, (INPUT, CACHED, OUTPUT), what)
            if client == p == "anthropic":
                equal(a.got.signature, SIGNATURE)


def test_the_same_dialect_passes_unknown_fields_both_ways():
    for client in CLIENTS:
        path, body = CLIENTS[client][0]("to-" + client, x_new_field={"deep": [1, "NUMBER", "é"]})
        a = server.post(path, json.dumps(body).replace('"NUMBER"', "2.50"))
        equal(a.status, 200, repr(a))
        equal(a.json["x_unknown"], {"kept": 1}, client)
        equal(mock.requests[-1]["body"]["x_new_field"], {"deep": [1, 2.5, "é"]}, client)
        check('2.50' in mock.requests[-1]["raw"], "numbers stay as they came")


def test_a_stream_without_asked_usage_shows_none_but_is_charged():
    path, body = openai_body("to-openai")
    a = server.post(path, {**body, "stream": True})
    chunks = [json.loads(d) for _, d in events(a.text) if d != "[DONE]"]
    check(all(c["choices"] for c in chunks), "no chunk without choices")
    check(mock.requests[-1]["body"]["stream_options"]["include_usage"] is True, "usage is asked for")


def test_what_cannot_be_said_is_refused_or_named():
    n = len(mock.requests)
    a = ask("openai", "to-anthropic", n=2)
    equal(a.status, 400, repr(a))
    check("n" in (a.json["error"]["param"] or "") or " n" in a.json["error"]["message"], repr(a))
    a = ask("openai", "to-anthropic", logit_bias={"5": 3})
    equal(a.status, 400, repr(a))
    check("logit_bias" in a.json["error"]["message"], repr(a))
    equal(len(mock.requests), n, "nobody was asked")
    a = ask("openai", "to-anthropic", service_tier="auto", metadata={"a": "b"})
    equal(a.status, 200, repr(a))
    check("service_tier" in a.headers.get("x-sluice-dropped", ""), a.headers)


def test_embeddings_and_counts():
    a = server.post("/v1/embeddings", {"model": "to-openai", "input": ["a", "b"]})
    equal(a.status, 200, repr(a))
    equal([d["embedding"] for d in a.json["data"]], [[0.25, -1.5, 0], [0.25, -1.5, 1]])
    a = server.post("/v1/embeddings", {"model": "to-openai", "input": ["a"] * 40000})   # an answer of three megabytes
    equal((a.status, a.json.get("data", [{}])[-1].get("embedding")), (200, [0.25, -1.5, 39999]), repr(a)[:300])
    path, body = anthropic_body("to-anthropic")
    body.pop("max_tokens")
    a = server.post("/v1/messages/count_tokens", body)
    equal((a.status, a.json), (200, {"input_tokens": INPUT}), repr(a))
    a = server.post("/v1/messages/count_tokens", {**body, "model": "to-gemini"})
    equal((a.status, a.json), (200, {"input_tokens": INPUT}), repr(a))

# ---- framing ----


def test_ugly_framing_changes_nothing():
    for client in CLIENTS:
        for p in PROVIDERS:
            for fault in ("split", "crlf", "comments"):
                a = ask(client, "%s-%s" % (p, fault), True)
                what = "%s -> %s, %s" % (client, p, fault)
                equal(a.status, 200, what + repr(a))
                equal(a.got.normal(), (ALL, [], "stop"), what)
                check(a.got.is_clean, what)


def test_five_megabytes():
    for client, stream in each():
        for p in PROVIDERS:
            a = ask(client, p + "-big", stream)
            what = "%s -> %s, %s" % (client, p, stream)
            equal(a.status, 200, what + repr(a)[:300])
            equal(len(a.got.text), 5000000, what)


def test_the_regression_watch_is_exported():
    ask("openai", "to-openai", True)
    rows = lambda: [l for l in server.get("/metrics").text.decode().splitlines() if l.startswith("sluice_drift{") and 'model="to-openai"' in l]
    equal(sorted(re.search(r'what="(\w+)"', l).group(1) for l in rows()), ["cost", "errors", "first_token", "output_tokens"])
    check(all('target="openai/plain"' in l and l.endswith(" 0") for l in rows()), rows())


# ---- failures before the client saw anything ----


def test_failures_before_content_are_invisible():
    for name, attempts in (("over-500", 4), ("over-cut", 4), ("over-cut1", 4), ("over-slow", 4), ("over-dead", 4), ("over-401", 2), ("over-403", 2),
                           ("over-404", 2), ("over-credit", 2), ("over-context", 2), ("over-limited", 2), ("over-redirect", None),
                           ("over-529", 2)):  # the last: it pauses all of its provider
        for stream in (False, True):
            if name in ("over-slow", "over-cut", "over-cut1") and not stream:
                continue  # their fault shows in streams
            a = ask("openai", name, stream)
            equal(a.status, 200, name + repr(a))
            equal(a.got.normal(), (ALL, [], "stop"), name)
            first = attempts if not (name == "over-limited" and stream) else 1
            if attempts and not (stream and name in ("over-529", "over-limited", "over-401", "over-credit")):
                equal(a.headers["x-sluice-attempts"], str(first), name)


def test_a_whole_answer_that_breaks_is_asked_again_elsewhere():
    for p in PROVIDERS:
        a = ask("openai", "%s-cut-4" % p)
        equal(a.status, 502, repr(a))
        equal(a.headers["x-should-retry"], "false")
        equal(a.headers["x-sluice-attempts"], "3")
    for p in PROVIDERS:
        for fault in ("empty", "html", "short"):
            for stream in (False, True):
                if fault == "short" and stream:
                    continue
                a = ask("anthropic", "%s-%s" % (p, fault), stream)
                equal(a.status, 502, "%s %s %r" % (p, fault, a))
                equal(a.json["type"], "error")
                equal(a.headers["x-should-retry"], "false")


def test_an_error_inside_a_200_is_a_failure():
    for p in PROVIDERS:
        a = ask("openai", p + "-error-0", True)
        equal(a.status, 502, p + repr(a))


def test_what_is_the_clients_fault_is_told_and_nobody_else_asked():
    for name, status in (("over-400", 400), ("over-422", 400)):
        mock.reset()
        for client in CLIENTS:
            a = ask(client, name)
            check(a.status in (400, 422), repr(a))
            check("mock failure" in a.text.decode(), repr(a))
        equal([r["path"] for r in mock.requests], ["/v1/chat/completions"] * 3, name)


def test_a_failure_that_passes_is_tried_again():
    a = ask("openai", "twice-500")
    equal((a.status, a.headers.get("x-sluice-attempts")), (200, "3"), repr(a))
    a = ask("openai", "busy-once")
    equal((a.status, a.headers.get("x-sluice-attempts")), (200, "2"), repr(a))
    t = time.time()
    a = ask("openai", "limited-once")
    equal((a.status, a.headers.get("x-sluice-attempts")), (200, "2"), repr(a))
    check(time.time() - t >= 0.95, "Retry-After is waited for")


def test_all_limited_is_429_with_the_smallest_wait():
    for client in CLIENTS:
        t = time.time()
        a = ask(client, "all-limited")
        equal(a.status, 429, repr(a))
        check(1 <= int(a.headers["retry-after"]) <= 12, a.headers)
        check(float(a.headers["retry-after-ms"]) > 1000, a.headers)
        equal(a.headers["x-should-retry"], "false")
        check(time.time() - t < 3, "a wait that is too long is not waited for")


def test_all_failed_is_502_and_names_the_target():
    a = ask("anthropic", "all-500")
    equal(a.status, 502, repr(a))
    equal(a.headers["x-should-retry"], "false")
    check("anthropic/all--500" in a.json["error"]["message"], repr(a))
    equal(a.headers["x-sluice-attempts"], "6")


def test_a_dead_key_gives_way_to_the_next():
    for name in ("billing", "one-key-limited"):
        for _ in range(4):
            a = ask("openai", name)
            equal(a.status, 200, name + repr(a))
        used = [r["headers"]["authorization"][-1] for r in mock.requests if r["model"].startswith("plain--" + ("billing" if name == "billing" else "limited"))]
        check(used.count("1") <= 1, "%s: the dead key is not asked again: %r" % (name, used))


def test_a_dead_single_key_is_a_502_each_time():
    for _ in range(3):
        a = ask("openai", "dead-only")
        equal((a.status, a.headers["x-sluice-attempts"]), (502, "1"), repr(a))
    equal(ask("openai", "to-gemini").status, 200)


def beside(m, n):
    """n requests at once: their answers."""
    answers = []
    def one():
        answers.append(ask("openai", m))
    threads = [threading.Thread(target=one) for _ in range(n)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return sorted(answers, key=lambda a: a.status)


def test_a_full_target_is_waited_for_then_503():
    a = beside("narrow", 3)
    equal([x.status for x in a], [200, 503, 503], repr(a))
    check(int(a[1].headers["retry-after"]) >= 1, a[1].headers)
    check("x-should-retry" not in a[1].headers, "nobody was asked: a later try is welcome")
    equal([x.status for x in beside("narrow-patient", 3)], [200] * 3)
    equal(sorted(x.headers["x-sluice-provider"] for x in beside("narrow-over", 3)), ["narrow", "openai", "openai"])


def test_the_breaker_opens_and_closes():
    mock.reset()
    equal(ask("openai", "breaks").status, 502)
    n = mock.count("breaks--500")
    equal(n, 3)
    t = time.time()
    a = ask("openai", "breaks")  # waits for the probe, which fails
    check(a.status in (502, 503), repr(a))
    check(mock.count("breaks--500") <= n + 1, "an open breaker lets one probe through, not %d" % (mock.count("breaks--500") - n))
    check(time.time() - t > 0.3)

# ---- failures after content ----


def test_a_stream_that_breaks_never_ends_cleanly():
    for client in CLIENTS:
        for p in PROVIDERS:
            for fault in ("cut-4", "end-4", "stall-4", "error-4", "garbage-4"):
                a = ask(client, "%s-%s" % (p, fault), True)
                what = "%s -> %s, %s: %r" % (client, p, fault, a)
                equal(a.status, 200, what)
                check(a.got.error, what)
                check(not a.got.is_clean, what)
                check(ALL.startswith(a.got.text) and a.got.text, what)
                check(a.got.error["message"], what)


def test_a_client_that_hangs_up_stops_the_provider():
    for p in PROVIDERS:
        mock.hung_up.clear()
        path, body = openai_body(p + "-stall-4", stream=True)
        data = json.dumps(body).encode()
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data))
        got = b""
        while b"data: " not in got:
            got += s.recv(1000)
        left = time.time()
        s.close()
        wait_for(lambda: mock.hung_up, 5, "the provider's end")
        check(mock.hung_up[0] - left < 0.3, "%s: %.3f s" % (p, mock.hung_up[0] - left))


def test_many_at_once_and_slow_readers():
    results = []
    def one(i):
        results.append(ask(list(CLIENTS)[i % 3], "to-" + PROVIDERS[i // 3 % 3], i % 2 == 0).got.normal())
    threads = [threading.Thread(target=one, args=(i,)) for i in range(90)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(len(results), 90)
    check(all(r == (ALL, [], "stop") for r in results))
    path, body = openai_body("anthropic-big", stream=True)
    data = json.dumps(body).encode()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", server.port))
    s.sendall(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data))
    got = b""
    time.sleep(0.5)
    while b"data: [DONE]" not in got[-100:]:
        piece = s.recv(65536)
        check(piece, "the stream ended early: %r" % got[-300:])
        got += piece
    s.close()
    equal(got.count(b"x" * 100) >= 49000, True)


def test_a_model_or_a_provider_by_name():
    a = ask("openai", "openai/plain")
    equal(a.status, 200, repr(a))
    equal(ask("openai", "nobody/plain").status, 404)
    equal(ask("gemini", "none").status, 404)


def test_equal_beginnings_stay_at_one_provider():
    for name in ("sticky", "least-busy"):
        used = []
        for rules in range(8):
            system = "Rule %d. " % rules + "Follow the house style in every answer. " * 120
            places = [server.post("/v1/chat/completions", {"model": name, "max_tokens": 5, "messages": [
                {"role": "system", "content": system}, {"role": "user", "content": "Question %d" % i}]}).headers["x-sluice-provider"] for i in range(25)]
            best = max(set(places), key=places.count)
            used.append(best)
            check(places.count(best) >= 24, "%s: %s" % (name, places))
        check(name != "sticky" or len(set(used)) > 1, "other beginnings go elsewhere: %s" % used)


def test_gemini_streams_as_one_json_array():
    for p in PROVIDERS:
        path, body = gemini_body("to-" + p, True)
        a = server.post(path.replace("?alt=sse", ""), body)
        equal((a.status, a.headers["content-type"].split(";")[0]), (200, "application/json"), repr(a))
        g = Got()
        for part in a.json:
            gemini_take(g, part)
        equal(g.normal(), (ALL, [], "stop"), p)
    a = server.post("/v1beta/models/openai-cut-4:streamGenerateContent", gemini_body("x")[1])
    equal(a.status, 200)
    try:
        parts = a.json
    except ValueError:
        parts = [{"error": "cut"}]
    check("error" in parts[-1], repr(a))


def test_caps_hold_whatever_is_asked():
    for client in CLIENTS:
        for p in PROVIDERS:
            equal(ask(client, "capped-" + p).status, 200)
            sent = mock.requests[-1]["body"]
            caps = [sent.get("max_tokens"), sent.get("max_completion_tokens"), (sent.get("generationConfig") or {}).get("maxOutputTokens")]
            equal([c for c in caps if c is not None], [20], "%s -> %s" % (client, p))


def test_a_reload_drops_nothing_and_a_faulty_file_changes_nothing():
    def reload(text):
        with open(server.config, "w") as f:
            f.write(text)
        server.process.send_signal(signal.SIGHUP)
    with open(server.config) as f:
        old = f.read()
    got = []
    t = threading.Thread(target=lambda: got.append(ask("openai", "openai-pace-100", True).got.normal()))
    t.start()
    time.sleep(0.2)
    reload(old + model("new-one", ("openai", "plain")) + "\n")
    wait_for(lambda: ask("openai", "new-one").status == 200, 5, "the new model")
    reload(old + "  - {name: broken, colour: 7}\n")
    wait_for(lambda: any("colour" in line for line in server.log), 5, "the fault")
    equal(ask("openai", "new-one").status, 200)
    t.join()
    equal(got, [(ALL, [], "stop")])


def test_metrics_tell_of_attempts_and_breakers():
    text = server.get("/metrics").text.decode()
    check('sluice_provider_attempts_total{' in text and 'outcome="failed"' in text and "sluice_breaker_state{" in text)
    check('sluice_cost_usd_total{' in text)


def test_secrets_are_nowhere():
    text = "".join(server.log)
    check("request" in text)
    for root, _, files in os.walk(state.name):
        for f in files:
            with open(os.path.join(root, f), "rb") as h:
                text += h.read().decode("latin-1")
    text += ask("openai", "over-401").text.decode() + ask("openai", "over-400").text.decode() + ask("openai", "dead-only").text.decode() + server.get("/metrics").text.decode() + ask("openai", "all-500").text.decode()
    for secret in SECRETS + ["admin-secret-7"]:
        check(secret not in text, "a secret is shown: %s" % secret)


def test_it_ends_well():
    equal(server.get("/health").status, 200)
    equal(server.stop(), 0)
    state.cleanup()


if __name__ == "__main__":
    main(sys.modules[__name__])
