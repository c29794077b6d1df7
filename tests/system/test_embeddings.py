"""Embeddings of local models: all forms of input, both dialects, hostile requests, keys and the ledger."""
import base64, json, os, socket, struct, subprocess, sys, tempfile, threading

from harness import BINARY, ROOT, Server, check, equal, main, wait_for

MODELS = os.path.join(ROOT, "tests", "golden", "models")
EMBED, MEAN = (os.path.join(MODELS, n + ".gguf") for n in ("qwen3-embed", "llama-mean"))
server = Server("-m", "embed=" + EMBED, "-m", "mean=" + MEAN, "--context", "256")


def ask(text, model="embed", **more):
    return server.post("/v1/embeddings", {"model": model, "input": text, **more})


def vectors(text, model="embed", **more):
    a = ask(text, model, **more)
    equal(a.status, 200, repr(a))
    equal([d["index"] for d in a.json["data"]], list(range(len(a.json["data"]))))
    return [d["embedding"] for d in a.json["data"]]


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def test_all_forms_of_input():
    one = ask("hello")
    equal(one.status, 200, repr(one))
    equal((one.json["object"], one.json["model"], one.json["data"][0]["object"]), ("list", "embed", "embedding"))
    for name in ("x-request-id", "x-sluice-provider", "x-sluice-model", "x-sluice-attempts", "x-sluice-cost-usd"):
        check(name in one.headers, name)
    [v] = vectors("hello")
    equal(len(v), 32)
    check(abs(sum(x * x for x in v) - 1) < 1e-6, "length one")
    equal(vectors(["hello", "other", "hello"]), [v, *vectors("other"), v])
    [ids] = vectors([5, 6, 7])
    equal(vectors([[5, 6, 7], [8]]), [ids, *vectors([8])])
    a = ask([[5, 6, 7], [8]])
    equal(a.json["usage"], {"prompt_tokens": 4, "total_tokens": 4})


def test_base64_and_dimensions():
    [v] = vectors("hello")
    [packed] = vectors("hello", encoding_format="base64")
    equal(list(struct.unpack("<32f", base64.b64decode(packed))), [f32(x) for x in v])
    [short] = vectors("hello", dimensions=8)
    length = sum(x * x for x in v[:8]) ** 0.5
    check(max(abs(a - b / length) for a, b in zip(short, v)) < 1e-6 and len(short) == 8, "cut, then of length one")


def test_gemini():
    [v] = vectors("hello")
    body = {"content": {"parts": [{"text": "hel"}, {"text": "lo"}]}}
    a = server.post("/v1beta/models/embed:embedContent", body)
    equal((a.status, a.json), (200, {"embedding": {"values": v}}), repr(a))
    a = server.post("/v1beta/models/embed:batchEmbedContents", {"requests": [{**body, "outputDimensionality": 8, "title": "t"}] * 2})
    equal(a.json["embeddings"], [{"values": vectors("hello", dimensions=8)[0]}] * 2)
    equal(a.headers["x-sluice-dropped"], "title")
    a = server.post("/v1beta/models/embed:embedContent", {**body, "taskType": "RETRIEVAL_QUERY"})
    equal(a.status, 400, repr(a))
    check("taskType" in a.json["error"]["message"], repr(a))


def test_equal_in_a_crowd_and_beside_answers():
    """Mean and last token, many inputs at once, tokens being generated beside them."""
    texts = ["text %d %s" % (i, "and more of it " * (i % 7)) for i in range(40)]
    alone = {m: [vectors(t, m)[0] for t in texts] for m in ("embed", "mean")}
    wrong = []
    def crowd(m):
        if vectors(texts, m) != alone[m]:
            wrong.append(m)
    def talk(m):
        server.post("/v1/completions", {"model": m, "prompt": "a", "max_tokens": 60, "ignore_eos": True})
    threads = [threading.Thread(target=f, args=(m,)) for f in (crowd, talk, crowd) for m in ("embed", "mean")]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(wrong, [])


def test_ten_thousand_inputs():
    a = ask(["t%d" % (i % 100) for i in range(10000)], dimensions=4)
    equal(a.status, 200, repr(a))
    data = a.json["data"]
    equal(len(data), 10000)
    equal(data[9901]["embedding"], vectors("t1", dimensions=4)[0])


def test_what_cannot_be_embedded_is_refused():
    for body, words in (({"input": ""}, "input 0 is empty"), ({"input": []}, "must not be empty"), ({"input": ["a", ""]}, "input 1 is empty"),
                        ({"input": [[1], []]}, "input 1 is empty"), ({"input": [[1], [288]]}, "token 0 of input 1 is 288"), ({"input": [-1]}, "-1"),
                        ({"input": [2**40]}, "input"), ({"input": "a", "dimensions": 33}, "32 numbers"), ({"input": "a", "dimensions": 0}, "dimensions"),
                        ({"input": ["a", "x" * 3000]}, "at most 256"), ({"input": [1] * 257}, "input 0 has 257 tokens; at most 256"), ({"input": 7}, "input"),
                        ({"input": [{"a": 1}]}, "input"), ({}, "input"), ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
                        ({"input": [[1]] * 50001}, "50000")):
        a = server.post("/v1/embeddings", {"model": "embed", **body})
        equal(a.status, 400, "%r %s" % (a, str(body)[:60]))
        check(words in a.json["error"]["message"], "%r does not say %r" % (a, words))
    equal(ask("x" * 3000).json["error"]["code"], "context_length_exceeded")
    equal(len(vectors([1] * 256)[0]), 32)
    equal(ask("a", model="none").status, 404)


def test_a_client_that_leaves_frees_the_engine():
    body = json.dumps({"model": "mean", "input": ["word " * 40] * 2000}).encode()
    before = metric("sluice_engine_prompt_tokens_total", "mean")
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: metric("sluice_engine_prompt_tokens_total", "mean") > before, what="the request to run")
    wait_for(lambda: metric("sluice_engine_queue_depth", "mean") == metric("sluice_engine_kv_blocks_used", "mean") == 0, what="the engine to be idle")
    check(metric("sluice_engine_prompt_tokens_total", "mean") - before < 2000 * 200, "it was computed to the end")
    equal(len(vectors("a", "mean")[0]), 32)


def metric(name, model):
    for line in server.get("/metrics").text.decode().splitlines():
        if line.startswith(name + "{") and 'model="%s"' % model in line:
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def test_keys_limits_and_the_ledger():
    place = tempfile.TemporaryDirectory(prefix="sluice-embed-")
    config = """
listen: 127.0.0.1:0
auth: keys
state: sqlite:%s/s.db
models:
  - {name: vec, targets: [{provider: local, model: %s, price: {input: 1000, output: 0}}]}
""" % (place.name, EMBED)
    with Server(config=config) as s:
        def run(*args):
            r = subprocess.run([BINARY, *args], capture_output=True, text=True, env={**os.environ, "SLUICE_CONFIG": s.config})
            equal(r.returncode, 0, r.stderr)
            return r.stdout
        key = {"Authorization": "Bearer " + run("key", "create", "--name", "app").strip()}
        few = {"Authorization": "Bearer " + run("key", "create", "--name", "few", "--tpm", "3").strip()}
        other = {"Authorization": "Bearer " + run("key", "create", "--name", "other", "--models", "chat").strip()}
        body = {"model": "vec", "input": [[1, 2, 3], [4]], "dimensions": 2}
        wait_for(lambda: s.post("/v1/embeddings", body, headers=other).status == 403, what="the keys to be known")
        equal(s.post("/v1/embeddings", body).status, 401)
        a = s.post("/v1/embeddings", body, headers=key)
        equal(a.status, 200, repr(a))
        equal(a.headers["x-sluice-cost-usd"], "0.004000000")
        equal(s.post("/v1/embeddings", body, headers=few).status, 429)
        total = lambda: json.loads(run("usage", "--json", "--by", "key"))["total"]
        wait_for(lambda: total()["input_tokens"] == 4, what="the ledger")
        equal((total()["output_tokens"], round(total()["cost_usd"], 6)), (0, 0.004))
        # Who leaves has used what was computed until then.
        computed = lambda: sum(float(l.split()[-1]) for l in s.get("/metrics").text.decode().splitlines() if l.startswith("sluice_engine_prompt_tokens_total{"))
        many = json.dumps({"model": "vec", "input": ["%d " % i + "word " * 40 for i in range(3000)], "dimensions": 2}).encode()
        with socket.create_connection(("127.0.0.1", s.port)) as c:
            c.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n" % (key["Authorization"].encode(), len(many)) + many)
            wait_for(lambda: computed() > 2000, what="the request to run")
        wait_for(lambda: total()["requests"] == 2, what="the ledger")
        check(1000 < total()["input_tokens"] < 3000 * 200, total())
        check(abs(total()["cost_usd"] - total()["input_tokens"] * 0.001) < 1e-6, total())


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()
