"""mock_provider.py - Providers that speak the real wire shapes and misbehave on demand.

One port answers as OpenAI (/v1/chat/completions, /v1/embeddings), Anthropic (/v1/messages) and
Gemini (/v1beta/models/M:generateContent, :streamGenerateContent).  A model's name says what it
does: words behind "--" are faults, "plain--500" or "plain--cut-3--crlf":

  N            status N with the dialect's own error (400, 401, 403, 404, 413, 500, 503, 529)
  429, 429-S   limited, without or with Retry-After of S seconds;  billing: 429 insufficient_quota
  credit       400 that says the credit is used up;  context: 400 context_length_exceeded
  firstN       the other faults hit only the first N requests of this model
  cut-K        the connection breaks after K events of a stream, or after half of a whole answer
  end-K        the stream ends cleanly after K events, without its end
  stall-K      nothing more after K events;  slow-MS: MS before the first byte;  pace-MS: between events
  split        one byte at a time;  crlf, comments: legal but unusual framing
  garbage-K    malformed JSON as event K;  error-K: an in-band error as event K (0: the first)
  empty, html  a 200 with no body, or with a page;  short: less than content-length says
  big          five megabytes of text;  keyK: 401 unless the API key ends in K;  nousage
  redirect     302 to another address

What a model says can be written down: script["name"] is a list of answers, the last of which is repeated; an
answer is a text, a list of pieces, a list of calls (name, arguments as a value or as text), or {"text", "citations"}.

Embeddings are those of vectors[text], else all alike.

A model with "think" in its name reasons first; a request with tools gets two parallel calls until
it brings results.  Use Mock() in a test, or run this file with a port."""
import json, re, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = ["Hello", ", wörld! ", "日本", " 🎉 ", "the ", "end."]
THOUGHT = ["Let me ", "think."]
SIGNATURE = "c2lnbmF0dXJlLW9mLXRob3VnaHQ="
CALLS = [("get_weather", {"city": "Paris"}), ("get_time", {"tz": "CET", "long": True})]
INPUT, CACHED, WRITTEN, OUTPUT, REASONING = 120, 100, 7, 25, 5


def faults_of(model):
    found = {}
    for word in model.split("--")[1:]:
        m = re.fullmatch(r"([a-z]+|\d{3})-?(\d*)", word)
        if not m:
            raise ValueError("unknown fault " + word)
        found[m.group(1)] = int(m.group(2)) if m.group(2) else None
    return found


def args_text(a):
    return a if isinstance(a, str) else json.dumps(a)


# ---- OpenAI ----

def openai_usage(think):
    return {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT,
            "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": REASONING if think else 0}}


def openai_whole(model, text, think, calls):
    message = {"role": "assistant", "content": None if calls else text, "refusal": None, "annotations": []}
    if think:
        message["reasoning_content"] = "".join(THOUGHT)
    if calls:
        message["tool_calls"] = [{"id": "call_%d" % i, "type": "function", "function": {"name": n, "arguments": args_text(a)}}
                                 for i, (n, a) in enumerate(calls)]
    return {"id": "chatcmpl-mock", "object": "chat.completion", "created": 1700000000, "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}],
            "usage": openai_usage(think), "service_tier": "default", "system_fingerprint": "fp_mock", "x_unknown": {"kept": 1}}


def openai_events(model, pieces, think, calls, with_usage):
    base = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1700000000, "model": model,
            "system_fingerprint": "fp_mock", "obfuscation": "xyz"}
    def chunk(delta, finish=None):
        c = {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        return ("", {**c, "usage": None} if with_usage else c)
    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for t in THOUGHT if think else []:
        yield chunk({"reasoning_content": t})
    if calls:
        for i, (n, a) in enumerate(calls):
            yield chunk({"tool_calls": [{"index": i, "id": "call_%d" % i, "type": "function", "function": {"name": n, "arguments": ""}}]})
            text = args_text(a)
            for at in range(0, len(text), 7):
                yield chunk({"tool_calls": [{"index": i, "function": {"arguments": text[at:at + 7]}}]})
    else:
        for t in pieces:
            yield chunk({"content": t})
    yield chunk({}, "tool_calls" if calls else "stop")
    if with_usage:
        yield ("", {**base, "choices": [], "usage": openai_usage(think)})
    yield ("", "[DONE]")


# ---- Anthropic ----

def anthropic_usage(output):
    return {"input_tokens": INPUT - CACHED - WRITTEN, "cache_read_input_tokens": CACHED, "cache_creation_input_tokens": WRITTEN,
            "cache_creation": {"ephemeral_5m_input_tokens": WRITTEN, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output, "service_tier": "standard"}


def anthropic_blocks(pieces, think, calls, citations=None):
    if think:
        yield {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
    if calls:
        for i, (n, a) in enumerate(calls):
            yield {"type": "tool_use", "id": "toolu_%d" % i, "name": n, "input": a}
    else:
        yield {"type": "text", "text": pieces, **({"citations": citations} if citations else {})}


def anthropic_whole(model, pieces, think, calls, citations=None):
    content = []
    for b in anthropic_blocks(pieces, think, calls, citations):
        content.append({k: "".join(v) if isinstance(v, list) and k != "citations" else v for k, v in b.items()})
    return {"id": "msg_mock", "type": "message", "role": "assistant", "model": model, "content": content,
            "stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None, "usage": anthropic_usage(OUTPUT),
            "x_unknown": {"kept": 1}}


def anthropic_events(model, pieces, think, calls, citations=None):
    def event(kind, **members):
        return (kind, {"type": kind, **members})
    yield event("message_start", message={"id": "msg_mock", "type": "message", "role": "assistant", "model": model, "content": [],
                                          "stop_reason": None, "stop_sequence": None, "usage": anthropic_usage(1)})
    yield event("ping")
    for i, b in enumerate(anthropic_blocks(pieces, think, calls, citations)):
        if b["type"] == "thinking":
            yield event("content_block_start", index=i, content_block={"type": "thinking", "thinking": "", "signature": ""})
            for t in b["thinking"]:
                yield event("content_block_delta", index=i, delta={"type": "thinking_delta", "thinking": t})
            yield event("content_block_delta", index=i, delta={"type": "signature_delta", "signature": b["signature"]})
        elif b["type"] == "text":
            yield event("content_block_start", index=i, content_block={"type": "text", "text": ""})
            for t in b["text"]:
                yield event("content_block_delta", index=i, delta={"type": "text_delta", "text": t})
            for c in b.get("citations", []):
                yield event("content_block_delta", index=i, delta={"type": "citations_delta", "citation": c})
        else:
            yield event("content_block_start", index=i, content_block={**b, "input": {}})
            yield event("content_block_delta", index=i, delta={"type": "input_json_delta", "partial_json": ""})
            text = json.dumps(b["input"])
            for at in range(0, len(text), 7):
                yield event("content_block_delta", index=i, delta={"type": "input_json_delta", "partial_json": text[at:at + 7]})
        yield event("content_block_stop", index=i)
    yield event("message_delta", delta={"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None},
                usage={"output_tokens": OUTPUT})
    yield event("message_stop")


# ---- Gemini ----

def gemini_usage(think):
    u = {"promptTokenCount": INPUT, "cachedContentTokenCount": CACHED,
         "candidatesTokenCount": OUTPUT - REASONING if think else OUTPUT, "totalTokenCount": INPUT + OUTPUT}
    return {**u, "thoughtsTokenCount": REASONING} if think else u


def gemini_parts(pieces, think, calls):
    if think:
        for t in THOUGHT:
            yield {"text": t, "thought": True}
    if calls:
        for i, (n, a) in enumerate(calls):
            part = {"functionCall": {"name": n, "args": a}}
            yield {**part, "thoughtSignature": SIGNATURE} if think and i == 0 else part
    else:
        for t in pieces:
            yield {"text": t}


def gemini_answer(model, parts, finish, usage):
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "resp_mock"}


def gemini_whole(model, pieces, think, calls):
    parts = list(gemini_parts(["".join(pieces)], think, calls))
    return {**gemini_answer(model, parts, "STOP", gemini_usage(think)), "x_unknown": {"kept": 1}}


def gemini_events(model, pieces, think, calls):
    parts = list(gemini_parts(pieces, think, calls))
    for i, p in enumerate(parts):
        last = i == len(parts) - 1
        yield ("", gemini_answer(model, [p], "STOP" if last else None, gemini_usage(think) if last else {"promptTokenCount": INPUT}))


# ---- errors ----

GEMINI_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED",
                 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
ANTHROPIC_TYPE = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
                  413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}
OPENAI_TYPE = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
               429: "rate_limit_error", 500: "server_error", 503: "service_unavailable_error"}


def error_body(dialect, status, text, code=None):
    if dialect == "anthropic":
        return {"type": "error", "error": {"type": ANTHROPIC_TYPE.get(status, "api_error"), "message": text}, "request_id": "req_mock"}
    if dialect == "gemini":
        return {"error": {"code": status, "message": text, "status": GEMINI_STATUS.get(status, "UNKNOWN")}}
    return {"error": {"message": text, "type": code or OPENAI_TYPE.get(status, "server_error"), "param": None, "code": code}}


def continued(request):
    """What is left to say of a request that begins the answer itself."""
    last = (request.get("messages") or request.get("contents") or [{}])[-1]
    if last.get("role") not in ("assistant", "model"):
        return None
    said = last.get("content", last.get("parts"))
    said = said if isinstance(said, str) else "".join(p.get("text", "") for p in said or [])
    pieces = list(TEXT)
    while said:
        n = min(len(said), len(pieces[0]))
        if said[:n] != pieces[0][:n]:
            return [" <not my words: %s>" % said]
        said, pieces[0] = said[n:], pieces[0][n:]
        if not pieces[0]:
            pieces.pop(0)
    return pieces or [""]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def chunk(self, data):
        step = 1 if "split" in self.faults else len(data)
        for at in range(0, len(data), step or 1):
            part = data[at:at + step]
            self.connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))

    def head(self, status, headers):
        lines = ["HTTP/1.1 %d Mock" % status] + ["%s: %s" % h for h in headers.items()]
        self.connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def whole(self, status, body, headers=None, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        declared = len(data) + 1000 if "short" in self.faults else len(data)
        self.head(status, {"Content-Type": kind, "Content-Length": declared, **(headers or {})})
        if status == 200 and "cut" in self.faults:
            data = data[:len(data) // 2]
            self.close_connection = True
        if "short" in self.faults:
            self.close_connection = True
        step = 1 if "split" in self.faults else 1 << 16
        for at in range(0, len(data), step):
            self.connection.sendall(data[at:at + step])

    def fail(self, status, text, code=None, headers=None):
        self.whole(status, error_body(self.dialect, status, text, code), headers)

    def stream(self, events):
        f = self.faults
        self.head(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        eol = "\r\n" if "crlf" in f else "\n"
        for i, (name, data) in enumerate(events):
            if f.get("cut") == i:
                self.close_connection = True
                return
            if f.get("end") == i:
                break
            if f.get("stall") == i:
                self.wait_for_hangup()
                return
            if f.get("error") == i and "error" in f:
                name, data = ("error" if self.dialect == "anthropic" else ""), error_body(self.dialect, 500, "in-band failure")
            text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
            if f.get("garbage") == i:
                text = text[:len(text) // 2] + "\x01"
            out = (": a comment" + eol + eol if "comments" in f else "") + ("event: " + name + eol if name else "") + "data: " + text + eol + eol
            self.chunk(out.encode())
            if f.get("error") == i and "error" in f:
                break
            if f.get("pace"):
                time.sleep(f["pace"] / 1000)
        self.connection.sendall(b"0\r\n\r\n")

    def wait_for_hangup(self):
        """Returns when the gateway closes the connection, and notes the time."""
        self.connection.settimeout(30)
        try:
            while self.connection.recv(1000):
                pass
        except OSError:
            pass
        self.server.mock.hung_up.append(time.time())
        self.close_connection = True

    def do_GET(self):
        self.faults, self.dialect = {}, "openai"
        if self.path == "/_/requests":
            self.whole(200, self.server.mock.requests)
        elif self.path == "/_/reset":
            self.server.mock.reset()
            self.whole(200, {})
        else:
            self.fail(404, "nothing here")

    def do_POST(self):
        self.faults = {}
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.split("?")[0]
        self.dialect = "anthropic" if path.startswith("/v1/messages") else "gemini" if path.startswith("/v1beta/") else "openai"
        request = json.loads(body)
        found = re.fullmatch(r"/v1beta/models/([^:]*):(\w+)", path)
        model = found.group(1) if found else request.get("model", "")
        seen = {"path": self.path, "model": model, "body": request, "raw": body.decode(), "headers": {k.lower(): v for k, v in self.headers.items()}}
        n = self.server.mock.saw(seen)
        self.faults = faults_of(model)
        if "first" in self.faults and n > self.faults["first"]:
            self.faults = {k: v for k, v in self.faults.items() if k == "pace"}
        try:
            self.answer(path, model, request, found.group(2) if found else "")
        except (BrokenPipeError, ConnectionResetError):
            self.server.mock.hung_up.append(time.time())
            self.close_connection = True

    def refused(self):
        f = self.faults
        key = (self.headers.get("authorization") or "").removeprefix("Bearer ") or self.headers.get("x-api-key") or self.headers.get("x-goog-api-key") or ""
        if "slow" in f:
            time.sleep(f["slow"] / 1000)
        if "key" in f and not key.endswith(str(f["key"])):
            return self.fail(401, "this key is dead") or True
        if "billing" in f and (f["billing"] is None or not key.endswith(str(f["billing"]))):
            return self.fail(429, "You exceeded your current quota", "insufficient_quota") or True
        if "limited" in f and not key.endswith(str(f["limited"])):
            return self.fail(429, "slow down", "rate_limit_exceeded", {"Retry-After": 30}) or True
        if "credit" in f:
            return self.fail(400, "Your credit balance is too low to access the API.") or True
        if "context" in f:
            return self.fail(400, "This model's maximum context length is 100 tokens. However, your messages resulted in 200 tokens.",
                             "context_length_exceeded") or True
        if "empty" in f:
            return self.whole(200, b"") or True
        if "html" in f:
            return self.whole(200, b"<html><body>Bad gateway</body></html>", kind="text/html") or True
        if "redirect" in f:
            return self.whole(302, b"", {"Location": "http://127.0.0.1:1/stolen"}) or True
        for status in (400, 401, 403, 404, 413, 422, 429, 500, 503, 529):
            if str(status) in f:
                wait = f[str(status)]
                told = " with key %s and team %s" % (key, self.headers.get("x-team")) if status in (400, 401, 403) else ""
                return self.fail(status, "mock failure %d%s" % (status, told), None, {} if wait is None else {"Retry-After": wait}) or True
        return False

    def answer(self, path, model, request, action):
        if self.refused():
            return
        if path.endswith("/embeddings"):
            many = request["input"] if isinstance(request["input"], list) else [request["input"]]
            self.whole(200, {"object": "list", "model": model, "data": [{"object": "embedding", "index": i, "embedding": self.server.mock.vectors.get(str(text), [0.25, -1.5, i])}
                       for i, text in enumerate(many)], "usage": {"prompt_tokens": 6, "total_tokens": 6}})
            return
        if path.endswith("/count_tokens"):
            self.whole(200, {"input_tokens": INPUT})
            return
        if action == "countTokens":
            self.whole(200, {"totalTokens": INPUT})
            return
        text = json.dumps(request)
        has_results = '"tool"' in text and '"role": "tool"' in text or "tool_result" in text or "functionResponse" in text
        calls = CALLS if request.get("tools") and not has_results else []
        think = "think" in model
        pieces = continued(request) or (["x" * 50000] * 100 if "big" in self.faults else TEXT)
        citations = None
        said = self.server.mock.says(model)
        if said is not None:
            calls = said if isinstance(said, list) and isinstance(said[0], tuple) else []
            citations = said["citations"] if isinstance(said, dict) else None
            text = said["text"] if citations else said
            pieces = TEXT if calls else text if isinstance(text, list) else [text[at:at + 6] for at in range(0, len(text), 6)] or [""]
        if self.dialect == "gemini":
            if action == "streamGenerateContent":
                self.stream(gemini_events(model, pieces, think, calls))
            else:
                self.whole(200, gemini_whole(model, pieces, think, calls))
        elif self.dialect == "anthropic":
            if request.get("stream"):
                self.stream(anthropic_events(model, pieces, think, calls, citations))
            else:
                self.whole(200, anthropic_whole(model, pieces, think, calls, citations))
        elif request.get("stream"):
            with_usage = (request.get("stream_options") or {}).get("include_usage") and "nousage" not in self.faults
            self.stream(openai_events(model, pieces, think, calls, with_usage))
        else:
            self.whole(200, openai_whole(model, "".join(pieces), think, calls))


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        pass  # a gateway that hangs up is no news


class Mock:
    def __init__(self, port=0):
        self.lock = threading.Lock()
        self.reset()
        self.server = Listener(("127.0.0.1", port), Handler)
        self.server.mock = self
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reset(self):
        with self.lock:
            self.requests, self.counts, self.hung_up, self.script, self.vectors = [], {}, [], {}, {}

    def says(self, model):
        with self.lock:
            answers = self.script.get(model.split("--")[0])
            return None if not answers else answers.pop(0) if len(answers) > 1 else answers[0]

    def saw(self, request):
        with self.lock:
            self.requests.append(request)
            self.counts[request["model"]] = self.counts.get(request["model"], 0) + 1
            return self.counts[request["model"]]

    def count(self, model):
        return self.counts.get(model, 0)


if __name__ == "__main__":
    mock = Mock(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(mock.url, flush=True)
    threading.Event().wait()
