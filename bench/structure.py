#!/usr/bin/env python3
"""What a form costs: generation speed with and without a grammar, beside llama-server where its path is given.

  bench/structure.py [--model FILE] [--pairs 5] [--tokens 128] [--threads N] [--engines A,B] [--masks-only]

  free       the model says what it likes, to the last token
  schema     objects with texts, numbers and enums in a list, as applications ask for them
  text       one long JSON string: every step is a choice among nearly the whole vocabulary
  compile    from request to first token, with a schema that was never seen, beside the same prompt without

  masks      CPU time of compiling a grammar and of its masks, token by token, the first time a grammar is used and again
             (bench/masks.c), with the vocabulary of MASKS_VOCABULARY

  MASKS_VOCABULARY  a GGUF file of which the vocabulary is taken (a real one: random-weight models have a made-up one,
                    smaller inside than it looks); default: the model's
  LLAMA_SERVER   path of llama.cpp's llama-server (default: beside LLAMA_BENCH, if that is set)
  BENCH_MODELS   folder of the random-weight models (made if absent; default build/bench-models)

With and without take turns (A B A B ...) in one sitting on one server, because shared machines drift; quoted
are medians and the median of the ratios pair by pair.  Tokens per second are counted between the first and the last
token of a stream.  Forms may make an answer faster than free text: tokens that have no alternative are taken
without asking the model; `text` has none of them."""
import argparse, csv, datetime, json, os, socket, statistics, subprocess, sys, tempfile, time, http.client

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SLUICE = os.environ.get("SLUICE_BINARY", os.path.join(ROOT, "build", "release", "sluice"))

ITEM = {"type": "object", "properties": {
    "name": {"type": "string", "minLength": 8, "maxLength": 60}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "email": {"type": "string"}, "role": {"enum": ["owner", "editor", "reader"]}, "scores": {"type": "array", "items": {"type": "number"}, "maxItems": 4}},
    "required": ["name", "age", "email", "role", "scores"], "additionalProperties": False}
SCHEMAS = {"schema": {"type": "array", "items": ITEM, "minItems": 200},
           "text": {"type": "string", "minLength": 1500}}


def model_file():
    folder = os.environ.get("BENCH_MODELS", os.path.join(ROOT, "build", "bench-models"))
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "qwen2.5-0.5b-q4_k_m.gguf")
    if not os.path.exists(path):
        subprocess.run([sys.executable, os.path.join(ROOT, "tools", "make_gguf.py"), "--preset", "qwen2.5-0.5b", "--type", "q4_k_m", path + ".part"], check=True)
        os.rename(path + ".part", path)
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Rival:
    """A server with OpenAI's dialect."""

    def __init__(self, name, command, port, model):
        self.name, self.port, self.model = name, port, model
        self.log = tempfile.TemporaryFile()
        self.state = tempfile.TemporaryDirectory(prefix="sluice-bench-")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**os.environ, "XDG_STATE_HOME": self.state.name})
        for _ in range(600):
            try:
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                c.request("GET", "/health")
                if c.getresponse().status == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.log.seek(0)
        sys.exit("%s did not start: %s" % (name, self.log.read()[-500:].decode("utf-8", "replace")))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.state.cleanup()

    def stream(self, tokens, schema, seed):
        """(seconds to the first token, tokens per second after it)"""
        body = {"model": self.model, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": tokens, "temperature": 1.0, "seed": seed,
                "messages": [{"role": "user", "content": "List everybody who works here. %d" % seed}]}
        if schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "list", "schema": schema}}
        else:
            body["ignore_eos"] = True
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        begun = time.perf_counter()
        c.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        r = c.getresponse()
        if r.status != 200:
            raise RuntimeError("%s: %d %s" % (self.name, r.status, r.read(300).decode("utf-8", "replace")))
        first = last = None
        n = 0
        for line in r:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if (event.get("usage") or {}).get("completion_tokens"):
                n = event["usage"]["completion_tokens"]
            if event.get("choices") and (event["choices"][0]["delta"].get("content") or event["choices"][0]["delta"].get("reasoning_content")):
                last = time.perf_counter()
                first = first or last
        c.close()
        if not first or n < tokens // 2:
            raise RuntimeError("%s: only %d tokens came" % (self.name, n))
        return first - begun, (n - 1) / max(last - first, 1e-9)  # short answers may come as one event


def spread(values):
    return "%.2f (%.2f to %.2f)" % (statistics.median(values), min(values), max(values))


MASK_FIELDS = ["case", "tokens", "compile_ms", "first_mean_us", "first_p99_us", "first_max_us", "again_mean_us", "again_p99_us", "again_max_us"]


def masks(vocabulary):
    """rows of MASK_FIELDS"""
    subprocess.run(["make", "-s", "-C", ROOT, "MODE=release", "lib"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "masks")
        subprocess.run(["cc", "-std=gnu17", "-O2", "-D_GNU_SOURCE", "-I" + ROOT + "/src", "-I" + ROOT + "/include", ROOT + "/bench/masks.c",
                        ROOT + "/build/release/libsluice.a", "-lpcre2-8", "-lutf8proc", "-lm", "-pthread", "-o", program], check=True)
        lines = [line.split() for line in subprocess.run([program, vocabulary], check=True, capture_output=True, text=True).stdout.splitlines()]
    print("masks, %s: %s tokens, made ready in %s ms" % (os.path.basename(vocabulary), lines[0][1], lines[0][2]))
    print("  %-10s%8s%12s%28s%28s" % ("", "tokens", "compile ms", "first: mean, p99, max us", "again: mean, p99, max us"))
    for r in lines[1:]:
        print("  %-10s%8s%12s%28s%28s" % (r[0], r[1], r[2], ", ".join(r[3:6]), ", ".join(r[6:9])), flush=True)
    return lines[1:]


def keep(name, head, rows):
    out = os.path.join(ROOT, "bench", "results", "%s-%s.csv" % (name, datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")))
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(head)
        w.writerows(rows)
    print("kept in " + os.path.relpath(out, ROOT))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model")
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--tokens", type=int, default=128)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--engines", default="sluice,llama-server", help="which of them")
    p.add_argument("--masks-only", action="store_true", help="no servers")
    o = p.parse_args()
    path = o.model or (None if o.masks_only and os.environ.get("MASKS_VOCABULARY") else model_file())
    keep("masks", MASK_FIELDS, masks(os.environ.get("MASKS_VOCABULARY") or path))
    if o.masks_only:
        return
    ours, theirs = free_port(), free_port()
    servers = [] if "sluice" not in o.engines else [Rival("sluice", [SLUICE, "serve", "--listen", "127.0.0.1:%d" % ours, "-m", "m=" + path, "--threads", str(o.threads), "--context", "4096"], ours, "m")]
    beside = os.path.join(os.path.dirname(os.environ.get("LLAMA_BENCH", "")), "llama-server")
    llama = os.environ.get("LLAMA_SERVER") or (beside if os.environ.get("LLAMA_BENCH") and os.path.exists(beside) else None)
    if llama and "llama-server" in o.engines:
        servers.append(Rival("llama-server", [llama, "-m", path, "--host", "127.0.0.1", "--port", str(theirs), "-t", str(o.threads), "-np", "1", "-c", "4096",
                                              "-fa", "on", "--no-webui"], theirs, "m"))
    print("structure, %s, %d tokens, %d threads" % (os.path.basename(path), o.tokens, o.threads))
    rows = []
    try:
        for server in servers:
            try:
                server.stream(16, None, 0)
                firsts = []
                for what, schema in SCHEMAS.items():
                    free, held = [], []
                    for i in range(o.pairs):
                        free.append(server.stream(o.tokens, None, i + 1))
                        held.append(server.stream(o.tokens, schema, i + 1))
                    ratio = [h[1] / f[1] for f, h in zip(free, held)]
                    print("  %-14s%-8s free %6.1f, held %6.1f tokens/s: %s x" % (server.name, what, statistics.median(f[1] for f in free),
                          statistics.median(h[1] for h in held), spread(ratio)), flush=True)
                    rows.append([server.name, what, statistics.median(f[1] for f in free), statistics.median(h[1] for h in held),
                                 statistics.median(ratio), min(ratio), max(ratio)])
                for i in range(o.pairs):  # never seen before: another name of a property each time
                    new = json.loads(json.dumps(SCHEMAS["schema"]).replace('"email"', '"email%d"' % (1000 * os.getpid() + i)))
                    firsts.append((server.stream(8, new, 100 + i)[0] - server.stream(8, None, 200 + i)[0]) * 1000)
                print("  %-14scompile  %s ms more to the first token" % (server.name, spread(firsts)), flush=True)
                rows.append([server.name, "compile_ms", "", "", statistics.median(firsts), min(firsts), max(firsts)])
            except RuntimeError as e:
                print("  %-14s%s" % (server.name, e), flush=True)
    finally:
        for server in servers:
            server.stop()
    keep("structure", ["engine", "what", "free_tokens_s", "held_tokens_s", "median", "min", "max"], rows)


if __name__ == "__main__":
    main()
