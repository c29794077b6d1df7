#!/usr/bin/env python3
"""What the gateway costs: beside nginx's proxy_pass and Portkey's gateway, in one sitting.

  bench/gateway.py [--rounds 3] [--seconds 3] [--only json,streams,start,memory,engine] [--no-portkey]

  SLUICE_BINARY   the program (default build/release/sluice)
  PORTKEY         folder with node_modules/@portkey-ai/gateway (default: installed by npm under build/)

One CPU for the gateway, another one for the load and the provider, which are C and answer from memory, so every
figure is per core.  Subjects take turns (A B C A B C ...), because shared machines drift; quoted are medians.
Sluice runs with everything on: a key, limits, a budget, the ledger in SQLite, metrics, the access log to a file.
CPU is the scheduler's time of all threads of the gateway (the ledger's included), per request or per event.
`relayed` is an OpenAI client to an OpenAI provider, `translated` an OpenAI client to an Anthropic one.
The result is printed beside the goals and kept as CSV in bench/results/."""
import argparse, csv, datetime, glob, http.client, json, os, platform, re, shutil, socket, statistics, subprocess, sys, tempfile, threading, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SLUICE = os.environ.get("SLUICE_BINARY", os.path.join(ROOT, "build", "release", "sluice"))
BUILD = os.path.join(ROOT, "build", "bench")
LOAD_CPU, GATEWAY_CPU = "0", "1"
N_EVENTS = {"relayed": 67, "translated": 69, "direct": 67, "nginx": 67, "portkey": 67}  # that the provider sends per stream
SIZES = {"200 B": 200, "32 KB": 32768}

SLUICE_CONFIG = """
listen: 127.0.0.1:0
threads: 1
auth: keys
admin_key: bench-admin
state: sqlite:%(dir)s/state.db
metrics: public
log: {level: info, format: json}
limits: {rpm: 1000000000, tpm: 1000000000000, concurrency: 100000, budget: {usd: 1000000000, per: month}}
providers:
  - {name: openai, kind: openai, base_url: "http://127.0.0.1:%(port)d/v1", api_key: upstream-key-1}
  - {name: anthropic, kind: anthropic, base_url: "http://127.0.0.1:%(port)d", api_key: upstream-key-2}
models:
  - {name: relayed, targets: [{provider: openai, model: gpt-4o-mini, price: {input: 0.15, cached_input: 0.075, output: 0.6}}]}
  - {name: translated, targets: [{provider: anthropic, model: claude-sonnet-4-5, price: {input: 3, output: 15}}]}
  - {name: relayed-paced, targets: [{provider: openai, model: gpt-paced, price: {input: 0.15, output: 0.6}}]}
  - {name: translated-paced, targets: [{provider: anthropic, model: claude-paced, price: {input: 3, output: 15}}]}
"""
NGINX_CONFIG = """
worker_processes 1; daemon off; pid %(dir)s/nginx.pid; error_log %(dir)s/error.log;
events { worker_connections 8192; }
http {
  access_log off; client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy; fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
  keepalive_requests 1000000000; client_max_body_size 64m; client_body_buffer_size 128k;
  upstream provider { server 127.0.0.1:%(port)d; keepalive 1024; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:%(own)d; location / { proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } }
}
"""


def pinned(cpu, *command):
    return ["taskset", "-c", cpu, *command]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("nobody listens at port %d" % port)


# ---- processes ----

class Process:
    def __init__(self, command, **kw):
        self.p = subprocess.Popen(command, **kw)
        self.pid = self.p.pid

    def pids(self):
        """Of the program and its children (nginx has a worker)."""
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
            return [self.pid, *map(int, f.read().split())]

    def cpu_s(self):
        ns = 0
        for pid in self.pids():
            for task in glob.glob("/proc/%d/task/*/schedstat" % pid):
                try:
                    with open(task) as f:
                        ns += int(f.read().split()[0])
                except OSError:
                    pass
        return ns / 1e9

    def rss_mb(self):
        kb = 0
        for pid in self.pids():
            with open("/proc/%d/status" % pid) as f:
                kb = max(kb, int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)))
        return kb / 1024

    def stop(self):
        self.p.terminate()
        try:
            self.p.wait(10)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()


def start_sluice(folder, mock_port, cpu=GATEWAY_CPU, args=(), config=SLUICE_CONFIG):
    path = os.path.join(folder, "sluice.yaml")
    with open(path, "w") as f:
        f.write(config % {"dir": folder, "port": mock_port})
    log = open(os.path.join(folder, "access.log"), "wb")
    s = Process(pinned(cpu, SLUICE, "serve", "-c", path, *args), stderr=log)
    end = time.time() + 20
    while time.time() < end:
        with open(log.name) as f:
            found = re.search(r"listening on http://127.0.0.1:(\d+)", f.read())
        if found:
            s.port, s.log_path = int(found.group(1)), log.name
            return s
        time.sleep(0.005)
    raise RuntimeError("sluice did not listen: " + open(log.name).read())


def make_key(port):
    c = http.client.HTTPConnection("127.0.0.1", port)
    c.request("POST", "/admin/keys", json.dumps({"name": "bench-%d" % time.time_ns()}), {"Authorization": "Bearer bench-admin"})
    return json.loads(c.getresponse().read())["key"]


def start_nginx(folder, mock_port):
    own = free_port()
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w") as f:
        f.write(NGINX_CONFIG % {"dir": folder, "port": mock_port, "own": own})
    s = Process(pinned(GATEWAY_CPU, shutil.which("nginx") or "/usr/sbin/nginx", "-p", folder, "-c", path), stderr=subprocess.DEVNULL)
    s.port = own
    wait_for_port(own)
    return s


def portkey_folder():
    folder = os.environ.get("PORTKEY", os.path.join(BUILD, "portkey"))
    script = os.path.join(folder, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js")
    if not shutil.which("node") or (not os.path.exists(script) and not shutil.which("npm")):
        return None
    if not os.path.exists(script):
        os.makedirs(folder, exist_ok=True)
        # With the newest hono every streamed answer of this version fails: these are of its own lock file.
        with open(os.path.join(folder, "package.json"), "w") as f:
            json.dump({"private": True, "dependencies": {"@portkey-ai/gateway": "1.15.2"}, "overrides": {"@hono/node-server": "1.13.5", "hono": "4.9.7"}}, f)
        if subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder).returncode != 0:
            return None
    return script


def start_portkey(folder, script):
    own = free_port()
    env = {**os.environ, "NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    s = Process(pinned(GATEWAY_CPU, "node", script, "--headless", "--port=%d" % own), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, cwd=folder)
    s.port = own
    wait_for_port(own)
    return s


# ---- requests ----

def body_of(model, size, stream=False):
    """A request whose prompt has about `size` bytes."""
    text = ("Please read this and answer. " * (size // 28 + 1))[:max(size - (0 if size > 1000 else 90), 20)]
    start = '{"model":"%s",%s' % (model, '"stream":true,' if stream else "")
    return start + '"max_tokens":256,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"%s"}]}' % text


class Bench:
    def __init__(self, o):
        self.o = o
        self.rows = []
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        os.makedirs(BUILD, exist_ok=True)
        for name in ("mock_upstream", "stream_load"):
            subprocess.run(["gcc", "-O2", "-o", os.path.join(BUILD, name), os.path.join(ROOT, "bench", name + ".c")], check=True)
        self.mock = Process(pinned(LOAD_CPU, os.path.join(BUILD, "mock_upstream"), "0"), stdout=subprocess.PIPE, text=True)
        self.mock.port = int(self.mock.p.stdout.readline())
        self.sluice = start_sluice(self.folder, self.mock.port)
        self.key = make_key(self.sluice.port)
        self.idle = {"sluice": self.sluice.rss_mb()}
        self.subjects = {"direct": None, "nginx": start_nginx(self.folder, self.mock.port), "relayed": self.sluice, "translated": self.sluice}
        self.idle["nginx"] = self.subjects["nginx"].rss_mb()
        script = None if o.no_portkey else portkey_folder()
        if script:
            self.subjects["portkey"] = start_portkey(self.folder, script)
            time.sleep(1)
            self.idle["portkey"] = self.subjects["portkey"].rss_mb()
        elif not o.no_portkey:
            print("Portkey is left out: node or npm is not there", file=sys.stderr)

    def stop(self):
        for s in {id(s): s for s in [*self.subjects.values(), self.mock] if s}.values():
            s.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def request(self, subject, size, stream=False, paced=False):
        """(port, path, headers, body) of this subject."""
        own = subject in ("relayed", "translated")
        model = subject + ("-paced" if paced else "") if own else "gpt-paced" if paced else "gpt-4o-mini"
        headers = {"Content-Type": "application/json", "Authorization": "Bearer " + (self.key if own else "upstream-key-1")}
        if subject == "portkey":
            headers.update({"x-portkey-provider": "openai", "x-portkey-custom-host": "http://127.0.0.1:%d/v1" % self.mock.port})
        port = self.subjects[subject].port if self.subjects[subject] else self.mock.port
        return port, "/v1/chat/completions", headers, body_of(model, size, stream)

    def check(self, subject):
        port, path, headers, body = self.request(subject, 200)
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        c.request("POST", path, body, headers)
        r = c.getresponse()
        text = r.read()
        if r.status != 200 or b"quick brown fox" not in text:
            raise RuntimeError("%s answers %d %r" % (subject, r.status, text[:300]))

    def measured(self, subject, run):
        """run() -> a dict with n; adds CPU microseconds for each and the core's load."""
        s = self.subjects[subject]
        before, began = (s.cpu_s() if s else 0), time.time()
        r = run()
        took = time.time() - began
        cpu = (s.cpu_s() if s else 0) - before
        r.update(cpu_us=cpu * 1e6 / r["n"] if s and r["n"] else None, busy=cpu / took if s else None)
        return r

    def wrk(self, subject, size, conns):
        port, path, headers, body = self.request(subject, size)
        script = os.path.join(self.folder, "wrk-%s-%d.lua" % (subject, size))
        with open(script, "w") as f:
            f.write('wrk.method = "POST"\nwrk.body = [[%s]]\n' % body)
            f.writelines('wrk.headers["%s"] = "%s"\n' % h for h in headers.items())
            f.write('function done(s, l, r) io.write(string.format("RESULT %d %d %d %f %f %f\\n", s.requests, s.duration, s.errors.status + s.errors.read + s.errors.timeout, '
                    'l:percentile(50), l:percentile(90), l:percentile(99))) end\n')

        def run(seconds):
            out = subprocess.run(pinned(LOAD_CPU, "wrk", "-t1", "--timeout", "20s", "-c%d" % conns, "-d%d" % max(seconds, 1), "-s", script, "http://127.0.0.1:%d%s" % (port, path)),
                                 capture_output=True, text=True).stdout
            n, us, errors, p50, p90, p99 = map(float, re.search(r"RESULT (.*)", out).group(1).split())
            if errors and subject != "portkey":
                raise RuntimeError("%s: %d of %d requests failed" % (subject, errors, n))
            if errors:
                print("         portkey: %d of %d requests failed" % (errors, n))
            return {"n": n, "rate": n * 1e6 / us, "p50": p50 / 1000, "p90": p90 / 1000, "p99": p99 / 1000}
        run(1)
        return self.measured(subject, lambda: run(self.o.seconds))

    def streams(self, subject, paced, conns):
        if paced and subject not in self.stream_bytes: # of a whole stream, from many that are not paced
            self.stream_bytes[subject] = 0
            self.streams(subject, False, 1)
        port, path, headers, body = self.request(subject, 200, True, paced)
        path_file = os.path.join(self.folder, "stream-%s" % subject)
        lines = ["POST %s HTTP/1.1" % path, "Host: 127.0.0.1", "Content-Length: %d" % len(body)] + ["%s: %s" % h for h in headers.items()]
        with open(path_file, "w") as f:
            f.write("\r\n".join(lines) + "\r\n\r\n" + body)

        def run(seconds):
            out = subprocess.run(pinned(LOAD_CPU, os.path.join(BUILD, "stream_load"), str(port), str(conns), "%g" % seconds, path_file), capture_output=True, text=True)
            r = json.loads(out.stdout)
            if r["errors"] and subject != "portkey":
                raise RuntimeError("%s: %d streams failed: %s" % (subject, r["errors"], out.stderr[:300]))
            # A paced stream that is cut off by the end was served too: count what was given.
            if not paced and r["streams"]:
                self.stream_bytes[subject] = r["bytes"] / (r["streams"] + conns / 2)
            n = r["bytes"] / self.stream_bytes[subject] * N_EVENTS[subject] if paced else r["streams"] * N_EVENTS[subject]
            return {"n": n, "rate": n / r["seconds"] / N_EVENTS[subject], "p50": r["first_p50"], "p99": r["first_p99"], "total_p50": r["total_p50"]}
        return self.measured(subject, lambda: run(self.o.seconds + (2 if paced else 0)))

    stream_bytes = {}

    def rounds(self, what, point, run, subjects=None):
        """Each subject in turn, o.rounds times; rows get the medians."""
        results = {}
        for i in range(self.o.rounds):
            for subject in subjects or self.subjects:
                if subject == "portkey" and i > 0:
                    continue # it is far away: once is enough
                results.setdefault(subject, []).append(run(subject))
        for subject, all_rounds in results.items():
            row = {"what": what, "point": point, "subject": subject}
            for name in all_rounds[0]:
                values = [r[name] for r in all_rounds if r[name] is not None]
                row[name] = statistics.median(values) if values else None
                if name == "cpu_us" and values:
                    row["cpu_min"], row["cpu_max"] = min(values), max(values)
            self.rows.append(row)
            show(row)

    def find(self, what, point, subject, name):
        for r in self.rows:
            if (r["what"], r["point"], r["subject"]) == (what, point, subject):
                return r.get(name)
        return None


# ---- start, engine ----

def first_answer_ms(mock_port, folder):
    """From the process's start to the end of a request's answer, state and key being there."""
    where = os.path.join(folder, "start-%d" % time.time_ns())
    os.makedirs(where)
    port = free_port()
    config = SLUICE_CONFIG.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:%d" % port)
    s = start_sluice(where, mock_port, config=config)
    key = make_key(port)
    s.stop()
    body = body_of("relayed", 200).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n" % (key.encode(), len(body)) + body
    began = time.perf_counter()
    with open(os.path.join(where, "log"), "wb") as log:
        p = subprocess.Popen([SLUICE, "serve", "-c", os.path.join(where, "sluice.yaml")], stderr=log)
    while True:
        try:
            c = socket.create_connection(("127.0.0.1", port), 2)
            break
        except OSError:
            time.sleep(0.0002)
    c.sendall(request)
    answer = c.recv(65536)
    took = (time.perf_counter() - began) * 1000
    c.close()
    p.terminate()
    p.wait()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError("the first answer is %r" % answer[:200])
    return took


def beside_engine(b):
    """p99 of relayed requests while the demo model decodes on all cores."""
    where = os.path.join(b.folder, "engine")
    os.makedirs(where)
    config = SLUICE_CONFIG.replace("threads: 1\n", "") + "  - {name: demo, targets: [{provider: local, model: demo, price: {input: 0, output: 0}}]}\n"
    s = start_sluice(where, b.mock.port, cpu="0-%d" % (os.cpu_count() - 1), config=config)
    key = make_key(s.port)
    is_over = threading.Event()
    n_tokens = [0]

    def decode():
        body = json.dumps({"model": "demo", "stream": True, "max_tokens": 400, "ignore_eos": True, "messages": [{"role": "user", "content": "Tell a long story."}]})
        while not is_over.is_set():
            c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=60)
            c.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
            for line in c.getresponse():
                n_tokens[0] += line.startswith(b"data: ")
            c.close()
    threads = [threading.Thread(target=decode, daemon=True) for _ in range(4)]
    [t.start() for t in threads]
    time.sleep(1)
    script = os.path.join(b.folder, "engine.lua")
    with open(script, "w") as f:
        f.write('wrk.method = "POST"\nwrk.body = [[%s]]\nwrk.headers["Authorization"] = "Bearer %s"\nwrk.headers["Content-Type"] = "application/json"\n' % (body_of("relayed", 200), key))
        f.write('function done(s, l, r) io.write(string.format("RESULT %d %d %f %f\\n", s.requests, s.duration, l:percentile(50), l:percentile(99))) end\n')
    tokens = n_tokens[0]
    out = subprocess.run(["wrk", "-t1", "-c4", "-d%d" % max(b.o.seconds, 5), "-s", script, "http://127.0.0.1:%d/v1/chat/completions" % s.port], capture_output=True, text=True).stdout
    n, us, p50, p99 = map(float, re.search(r"RESULT (.*)", out).group(1).split())
    tokens = n_tokens[0] - tokens
    is_over.set()
    s.stop()
    return {"n": n, "rate": n * 1e6 / us, "p50": p50 / 1000, "p99": p99 / 1000, "tokens_per_s": tokens * 1e6 / us}


# ---- showing ----

def number(v, form="%.1f"):
    return "–" if v is None else form % v


def show(r):
    print("%-8s %-22s %-11s %9s/s  p50 %8s  p99 %8s ms  CPU %7s us  core %4s" %
          (r["what"], r["point"], r["subject"], number(r["rate"], "%.0f"), number(r["p50"], "%.3f"), number(r["p99"], "%.3f"), number(r.get("cpu_us")),
           number(None if r.get("busy") is None else r["busy"] * 100, "%.0f%%")), flush=True)


def goals(b, starts, loaded, engine):
    """(goal, limit, value, met)"""
    f, out = b.find, []

    def at_most(text, value, limit, form="%.1f"):
        if value is not None and limit is not None:
            out.append((text, "≤ " + form % limit, form % value, value <= limit))

    def at_least(text, value, limit):
        if value is not None:
            out.append((text, "≥ %.0f" % limit, "%.0f" % value, value >= limit))
    nginx = f("json", "200 B c=64", "nginx", "cpu_us")
    own = f("json", "200 B c=64", "relayed", "cpu_us")
    at_most("CPU µs a small request, 1.5 × nginx's", own, nginx and 1.5 * nginx)
    at_most("CPU µs a small request", own, 25)
    at_most("CPU µs a request of 32 KB", f("json", "32 KB c=64", "relayed", "cpu_us"), 45)
    if own:
        at_least("small requests/s per core by CPU", 1e6 / own, 40000)
    at_most("CPU µs a relayed event (10 ms apart)", f("stream", "10 ms apart c=256", "relayed", "cpu_us"), 11)
    at_most("CPU µs a translated event (10 ms apart)", f("stream", "10 ms apart c=256", "translated", "cpu_us"), 15)
    at_most("CPU µs a relayed event (at once)", f("stream", "at once c=64", "relayed", "cpu_us"), 11)
    at_most("CPU µs a translated event (at once)", f("stream", "at once c=64", "translated", "cpu_us"), 15)
    for subject, want in (("relayed", 800), ("translated", 600)):
        us = f("stream", "10 ms apart c=256", subject, "cpu_us")
        if us:
            at_least("%s streams of 100 tokens/s per core by CPU" % subject, 1e4 / us, want)
    direct = f("json", "200 B c=1", "direct", "p50")
    if direct and f("json", "200 B c=1", "nginx", "p50"):
        at_most("added p50 ms at c=1, 1.5 × nginx's", f("json", "200 B c=1", "relayed", "p50") - direct, 1.5 * (f("json", "200 B c=1", "nginx", "p50") - direct), "%.3f")
    at_most("p99 ms at c=64, 1.25 × nginx's", f("json", "200 B c=64", "relayed", "p99"), 1.25 * (f("json", "200 B c=64", "nginx", "p99") or 0) or None, "%.2f")
    at_most("resident MB idle", b.idle["sluice"], 10)
    at_most("resident MB loaded", loaded.get("sluice"), 40)
    at_most("first answer ms after start, median", starts and statistics.median(starts), 20)
    at_most("p99 ms while the engine decodes on all cores", engine and engine["p99"], 10)
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--only", default="json,streams,start,memory,engine")
    p.add_argument("--no-portkey", action="store_true")
    o = p.parse_args()
    for tool in ("wrk", "nginx", "gcc", "taskset"):
        if not shutil.which(tool) and not os.path.exists("/usr/sbin/" + tool):
            sys.exit("bench/gateway.py needs %s (./do bench installs it)" % tool)
    if (os.cpu_count() or 1) < 2:
        sys.exit("bench/gateway.py needs two CPUs: one for the gateway, one for load and provider")
    wanted = o.only.split(",")
    b = Bench(o)
    starts, engine, loaded = [], None, {}
    try:
        for subject in b.subjects:
            b.check(subject)
        if "json" in wanted:
            for size, n in SIZES.items():
                for conns in (1, 64):
                    b.rounds("json", "%s c=%d" % (size, conns), lambda s: b.wrk(s, n, conns))
        if "streams" in wanted:
            for conns in (1, 64):
                b.rounds("stream", "at once c=%d" % conns, lambda s: b.streams(s, False, conns))
            for conns in (64, 256):
                b.rounds("stream", "10 ms apart c=%d" % conns, lambda s: b.streams(s, True, conns))
        if "memory" in wanted:
            for name, s in (("sluice", b.sluice), ("nginx", b.subjects["nginx"]), ("portkey", b.subjects.get("portkey"))):
                if s:
                    loaded[name] = s.rss_mb()
                    print("memory   %-22s %-11s idle %.1f MB, loaded %.1f MB" % ("", name, b.idle[name], loaded[name]))
        if "start" in wanted:
            starts = [first_answer_ms(b.mock.port, b.folder) for _ in range(9)]
            print("start    first answer after %.1f ms (%.1f to %.1f)" % (statistics.median(starts), min(starts), max(starts)))
        if "engine" in wanted:
            engine = beside_engine(b)
            row = {"what": "engine", "point": "decoding on all, c=4", "subject": "relayed", **engine}
            b.rows.append(row)
            show(row)
            print("         %.0f tokens/s of the demo model beside it" % engine["tokens_per_s"])
    finally:
        b.stop()
    print()
    result = goals(b, starts, loaded, engine)
    for text, limit, value, met in result:
        print("%-52s goal %10s   %10s   %s" % (text, limit, value, "met" if met else "MISSED"))
    for text, limit, value, met in result:
        b.rows.append({"what": "goal", "point": text, "subject": "met" if met else "missed", "rate": value, "p50": limit})
    for name in b.idle:
        b.rows.append({"what": "memory", "point": "idle, loaded MB", "subject": name, "rate": round(b.idle[name], 2), "p50": round(loaded[name], 2) if name in loaded else ""})
    if starts:
        b.rows.append({"what": "start", "point": "first answer ms", "subject": "relayed", "rate": round(statistics.median(starts), 2), "p50": round(min(starts), 2), "p99": round(max(starts), 2)})
    folder = os.path.join(ROOT, "bench", "results")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "gateway-%s.csv" % datetime.datetime.utcnow().strftime("%Y-%m-%dT%H%M%SZ"))
    fields = ["what", "point", "subject", "n", "rate", "p50", "p90", "p99", "total_p50", "cpu_us", "cpu_min", "cpu_max", "busy", "tokens_per_s"]
    with open(path, "w", newline="") as f:
        f.write("# %s, %s, %d CPUs, load %s, rounds %d of %g s\n" % (datetime.datetime.utcnow().isoformat(timespec="seconds"), platform.machine(), os.cpu_count(),
                                                                    " ".join("%.1f" % x for x in os.getloadavg()), o.rounds, o.seconds))
        w = csv.DictWriter(f, fields, extrasaction="ignore")
        w.writeheader()
        w.writerows({k: (round(v, 4) if isinstance(v, float) else v) for k, v in r.items()} for r in b.rows)
    print("kept in " + os.path.relpath(path, ROOT))


if __name__ == "__main__":
    main()
