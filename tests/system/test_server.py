"""The server as a client sees it, with the built-in demo model."""
import json, os, signal, socket, subprocess, sys, tempfile, threading, time

from harness import BINARY, ROOT, Server, check, equal, main, wait_for

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "What is prefill?"}], "temperature": 0, "max_tokens": 40}
server = Server()


def test_health_ready_and_models():
    equal(server.get("/health").json["status"], "ok")
    equal(server.get("/ready").json, {"ready": True})
    models = server.get("/v1/models").json
    equal([m["id"] for m in models["data"]], ["demo"])
    equal(server.get("/v1/models/demo").json["id"], "demo")
    equal(server.get("/v1/models/none").status, 404)


def test_whole_and_streamed_answers_are_equal():
    whole = server.post("/v1/chat/completions", CHAT)
    equal(whole.status, 200, repr(whole))
    text = whole.json["choices"][0]["message"]["content"]
    check(len(text) > 10)
    for name in ("x-request-id", "x-sluice-provider", "x-sluice-model", "x-sluice-attempts", "x-sluice-cache"):
        check(name in whole.headers, name)
    lines = list(server.stream("/v1/chat/completions", {**CHAT, "stream": True, "stream_options": {"include_usage": True}}))
    equal(lines[-1], "[DONE]")
    chunks = [json.loads(l) for l in lines[:-1]]
    equal("".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]), text)
    usage = chunks[-1]["usage"]
    equal(usage["completion_tokens"], whole.json["usage"]["completion_tokens"])
    equal(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])


def test_a_long_prefix_is_reused():
    long = {**CHAT, "messages": [{"role": "system", "content": "You are a helpful assistant. " * 40}, *CHAT["messages"]]}
    first = server.post("/v1/chat/completions", long).json
    second = server.post("/v1/chat/completions", long).json
    check(second["usage"]["prompt_tokens_details"]["cached_tokens"] > 100, repr(second["usage"]))
    equal(second["choices"][0]["message"], first["choices"][0]["message"])


def test_equal_seed_gives_equal_text_beside_others():
    # A model that knows its answers by heart needs heat and an open prompt to differ.
    request = {**CHAT, "temperature": 2, "seed": 7, "messages": [{"role": "user", "content": "zx qv blorp"}]}
    alone = server.post("/v1/chat/completions", request).json["choices"][0]["message"]["content"]
    results = []
    def ask(seed):
        results.append((seed, server.post("/v1/chat/completions", {**request, "seed": seed}).json["choices"][0]["message"]["content"]))
    threads = [threading.Thread(target=ask, args=(7 if i % 4 == 0 else i,)) for i in range(16)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for seed, text in results:
        if seed == 7:
            equal(text, alone)
    check(len({text for _, text in results}) > 1, "other seeds give other texts")


def test_completions_with_text_tokens_and_echo():
    r = server.post("/v1/completions", {"model": "demo", "prompt": "Prefill is", "max_tokens": 5, "temperature": 0})
    equal(r.status, 200, repr(r))
    equal(r.json["usage"]["completion_tokens"] <= 5, True)
    ids = server.post("/v1/completions", {"model": "demo", "prompt": [10, 11, 12], "max_tokens": 1, "temperature": 0})
    equal(ids.status, 200, repr(ids))
    equal(ids.json["usage"]["prompt_tokens"], 3)
    echo = server.post("/v1/completions", {"model": "demo", "prompt": "Hello", "max_tokens": 2, "temperature": 0, "echo": True,
                                           "logprobs": 2}).json["choices"][0]
    check(echo["text"].startswith("Hello"), echo["text"])
    check(echo["logprobs"]["token_logprobs"][0] is None)


def test_the_engine_behind_every_dialect():
    words = server.post("/v1/chat/completions", CHAT).json
    text, usage = words["choices"][0]["message"]["content"], words["usage"]
    messages = server.post("/v1/messages", {**CHAT}).json
    equal((messages["content"][0]["text"], messages["stop_reason"]), (text, "end_turn"))
    equal(messages["usage"]["input_tokens"] + messages["usage"]["cache_read_input_tokens"], usage["prompt_tokens"])
    gemini = {"contents": [{"role": "user", "parts": [{"text": "What is prefill?"}]}], "generationConfig": {"temperature": 0, "maxOutputTokens": 40}}
    answer = server.post("/v1beta/models/demo:generateContent", gemini).json
    equal(answer["candidates"][0]["content"]["parts"][0]["text"], text)
    equal(server.post("/v1/messages/count_tokens", CHAT).json["input_tokens"], usage["prompt_tokens"])
    equal(server.post("/v1beta/models/demo:countTokens", gemini).json["totalTokens"], usage["prompt_tokens"])


def test_n_stop_and_logprobs():
    r = server.post("/v1/chat/completions", {**CHAT, "n": 3, "temperature": 1, "seed": 1, "logprobs": True, "top_logprobs": 3}).json
    equal([c["index"] for c in r["choices"]], [0, 1, 2])
    for c in r["choices"]:
        for t in c["logprobs"]["content"]:
            check(t["logprob"] <= 1e-6 and len(t["top_logprobs"]) == 3)
    whole = server.post("/v1/chat/completions", CHAT).json["choices"][0]["message"]["content"]
    word = whole.split()[2]
    cut = server.post("/v1/chat/completions", {**CHAT, "stop": [word]}).json["choices"][0]
    equal(cut["message"]["content"], whole[:whole.index(word)])
    equal(cut["finish_reason"], "stop")


def test_what_is_wrong_is_said_by_name():
    cases = [
        ({**CHAT, "temperature": -1}, "temperature"), ({**CHAT, "messages": "x"}, "messages"), ({**CHAT, "n": 0}, "n"),
        ({**CHAT, "messages": [{"role": "wizard", "content": "x"}]}, "role"), ({**CHAT, "top_logprobs": 99, "logprobs": True}, "top_logprobs"),
        ({**CHAT, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]}, "content"),
    ]
    for body, word in cases:
        r = server.post("/v1/chat/completions", body)
        equal(r.status, 400, repr(r))
        check(word in r.json["error"]["message"] or word in (r.json["error"]["param"] or ""), repr(r))
    equal(server.post("/v1/chat/completions", "{").status, 400)
    equal(server.post("/v1/chat/completions", {**CHAT, "model": "none"}).status, 404)
    equal(server.get("/nothing").status, 404)
    equal(server.get("/v1/chat/completions").status, 405)


def test_too_long_a_prompt_is_refused_with_both_numbers():
    r = server.post("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": "word " * 60000}]})
    equal(r.status, 400, repr(r))
    equal(r.json["error"]["code"], "context_length_exceeded")
    check(sum(w.strip(".,").isdigit() for w in r.json["error"]["message"].split()) >= 2, r.json["error"]["message"])


def test_only_loopback_names_and_pages_without_keys():
    equal(server.get("/v1/models", headers={"Host": "evil.example"}).status, 403)
    equal(server.get("/v1/models", headers={"Origin": "https://evil.example"}).status, 403)
    ok = server.get("/v1/models", headers={"Origin": "http://localhost:3000"})
    equal((ok.status, ok.headers.get("access-control-allow-origin")), (200, "http://localhost:3000"))
    equal(server.request("OPTIONS", "/v1/chat/completions", headers={"Origin": "http://localhost:3000"}).status, 204)


def test_metrics_count():
    text = server.get("/metrics").text.decode()
    for name in ("sluice_requests_total", "gen_ai_server_time_to_first_token_seconds_bucket", "gen_ai_client_token_usage_count",
                 "sluice_engine_kv_blocks_used", "sluice_provider_attempts_total"):
        check(name in text, name)


def metric(name):
    for line in server.get("/metrics").text.decode().splitlines():
        if line.startswith(name):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def test_a_client_that_hangs_up_frees_its_slot():
    body = json.dumps({**CHAT, "stream": True, "max_tokens": 1500, "ignore_eos": True})
    s = socket.create_connection(("127.0.0.1", server.port))
    s.sendall(("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
               % (len(body), body)).encode())
    check(b"200" in s.recv(200))
    s.close()
    wait_for(lambda: metric('sluice_requests_total{status="499"}') >= 1, what="the request's end")
    wait_for(lambda: metric("sluice_engine_kv_blocks_used") == 0, what="its pages' release")


def test_sigterm_lets_a_running_stream_end():
    with Server() as own:
        got = []
        def read():
            got.extend(own.stream("/v1/chat/completions", {**CHAT, "stream": True, "max_tokens": 300, "ignore_eos": True}))
        t = threading.Thread(target=read)
        t.start()
        wait_for(lambda: len(got) > 2, what="the stream's start")
        own.process.send_signal(signal.SIGTERM)
        t.join(60)
        equal(got[-1], "[DONE]")
        equal(own.process.wait(20), 0)


def test_run_bench_inspect_and_check_from_the_command_line():
    run = subprocess.run([BINARY, "run", "demo", "What is prefill?", "--temperature", "0", "-n", "40"], capture_output=True, text=True)
    equal(run.returncode, 0, run.stderr)
    equal(run.stdout.rstrip("\n"), server.post("/v1/chat/completions", CHAT).json["choices"][0]["message"]["content"].rstrip("\n"))
    piped = subprocess.run([BINARY, "run", "demo", "--temperature", "0", "-n", "40"], input="What is prefill?\n", capture_output=True, text=True)
    equal(piped.stdout, run.stdout)
    remote = subprocess.run([BINARY, "run", server.url + "/demo", "What is prefill?", "--temperature", "0", "-n", "40"], capture_output=True, text=True)
    equal(remote.stdout, run.stdout, remote.stderr)
    bench = subprocess.run([BINARY, "bench", "demo", "-p", "64", "-n", "16", "-r", "2", "--json"], capture_output=True, text=True)
    equal(bench.returncode, 0, bench.stderr)
    result = json.loads(bench.stdout)
    check(result["generate"]["share_of_bandwidth"] > 0 and result["prompt"]["share_of_int8_peak"] > 0)
    bench = subprocess.run([BINARY, "bench", "demo", "-p", "0", "-n", "48", "-r", "2", "--draft", "ngram", "--json"], capture_output=True, text=True)
    equal(bench.returncode, 0, bench.stderr)
    draft = json.loads(bench.stdout)["draft"]
    check(draft["kind"] == "ngram" and draft["guessed"] >= draft["accepted"] >= 0 and draft["gain"]["median"] > 0, str(draft))
    equal(subprocess.run([BINARY, "bench", "demo", "--draft", "/nonexistent.gguf"], capture_output=True).returncode, 1)


def test_a_prompt_outlives_the_process_in_a_folder():
    with tempfile.TemporaryDirectory() as folder:
        long = "A word and another one, and then some more of them. " * 12
        runs = [subprocess.run([BINARY, "run", "demo", "--raw", "--temperature", "0", "-n", "8", "--stats", "--kv-cache-dir", folder], input=long, capture_output=True, text=True)
                for _ in range(2)]
        for run in runs:
            equal(run.returncode, 0, run.stderr)
        equal(runs[0].stdout, runs[1].stdout)
        check("(0 cached)" in runs[0].stderr, runs[0].stderr)
        check("(0 cached)" not in runs[1].stderr, runs[1].stderr)


def test_more_of_the_command_line():
    inspect = subprocess.run([BINARY, "inspect", "demo", "--json"], capture_output=True, text=True)
    equal(json.loads(inspect.stdout)["model"]["architecture"], "llama")
    equal(subprocess.run([BINARY, "run", "/nonexistent.gguf", "x"], capture_output=True).returncode, 1)
    equal(subprocess.run([BINARY, "serve", "-c", "/nonexistent.yaml"], capture_output=True).returncode, 2)
    equal(subprocess.run([BINARY, "nonsense"], capture_output=True).returncode, 2)
    equal(subprocess.run([BINARY, "serve", "--help"], capture_output=True).returncode, 0)


def test_the_docs_say_what_the_table_of_options_says():
    docs = subprocess.run([BINARY, "config", "--docs"], capture_output=True, text=True).stdout
    example = subprocess.run([BINARY, "config", "--example"], capture_output=True, text=True).stdout
    check(len(docs) > 1000 and docs in open(os.path.join(ROOT, "docs", "configuration.md")).read(), "run sluice config --docs again")
    equal(example, open(os.path.join(ROOT, "docs", "sluice.example.yaml")).read(), "run sluice config --example again")


def test_a_port_in_use_is_a_failure_with_one_sentence():
    r = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:%d" % server.port], capture_output=True, text=True,
                       env=dict(os.environ, XDG_STATE_HOME=server.dir.name, HOME=server.dir.name))
    equal(r.returncode, 1)
    check(str(server.port) in r.stderr.splitlines()[-1], r.stderr)


def test_a_file_named_demo_takes_the_place_of_the_built_in_model():
    with Server("-m", os.path.join(ROOT, "models", "demo.gguf")) as own:
        equal([m["id"] for m in own.get("/v1/models").json["data"]], ["demo"])
        equal(own.post("/v1/chat/completions", CHAT).json["choices"], server.post("/v1/chat/completions", CHAT).json["choices"])


def test_an_idle_model_is_unloaded_and_comes_back():
    with Server("--idle-unload", "1s") as own:
        equal(own.post("/v1/chat/completions", CHAT).status, 200)
        wait_for(lambda: any("unloaded" in l for l in own.log), 10, "unloading")
        equal(own.post("/v1/chat/completions", CHAT).status, 200)


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()
