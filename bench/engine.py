#!/usr/bin/env python3
"""Speed of the engine beside llama.cpp and ik_llama.cpp, where their llama-bench is given.

  bench/engine.py [SECTION...] [--models 0.5b,1b] [--types q4_0,q8_0,q4_k_m] [--pairs 3] [--threads N]

  prompt     tokens/s of prompts of 512 and 2,048 tokens, share of the int8 peak
  generate   tokens/s of one stream, share of the memory bandwidth that was read before and after
  streams    4, 8, 16 and 32 streams at once, tokens/s in total            (first model and type)
  tail       21 new tokens behind a warm prefix of 1,724                   (first model and type)
  arrivals   4 and 8 requests of 170 tokens together: first token, longest gap of a running stream
  depth      generation behind 4k, 8k (and --depths) tokens, KV in 16 bits (ours i16, theirs f16) and q8_0
  start      process start to first token, and the memory that is resident then
  sampling   microseconds to choose a token

Without a section: all of them.  --quick: one pair of everything, short runs.

  LLAMA_BENCH      path of llama.cpp's llama-bench; llama-batched-bench and llama-server are looked for beside it
  IK_LLAMA_BENCH   the same of ik_llama.cpp
  BENCH_MODELS     folder of the random-weight models (made if absent; default build/bench-models)

The engines take turns (A B A B ...) in one sitting, because shared machines drift; quoted are medians, the
spread, and the median of the ratios pair by pair.  In generation the peers run as well tuned as they can be
from outside: weights in anonymous memory on huge pages, ik_llama.cpp repacked at run time.  The result is
printed and kept as CSV in bench/results/.  Speed does not depend on weights' values: the models have the real
shapes and random weights."""
import argparse, csv, datetime, http.client, json, os, platform, random, socket, statistics, subprocess, sys, tempfile, threading, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SLUICE = os.environ.get("SLUICE_BINARY", os.path.join(ROOT, "build", "release", "sluice"))
PRESETS = {"0.5b": "qwen2.5-0.5b", "1b": "llama-3.2-1b", "8b": "llama-3.1-8b"}
HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
PORT = 18077
rows = []


class Peer:
    def __init__(self, name, bench):
        self.name, self.bench = name, bench
        self.is_ik = name.startswith("ik")

    def beside(self, program):
        path = os.path.join(os.path.dirname(self.bench), program)
        return path if os.path.exists(path) else None


PEERS = [Peer(name, os.path.abspath(os.environ[var])) for name, var in (("llama.cpp", "LLAMA_BENCH"), ("ik_llama.cpp", "IK_LLAMA_BENCH")) if os.environ.get(var)]


def model_file(size, kind):
    folder = os.path.abspath(os.environ.get("BENCH_MODELS", os.path.join(ROOT, "build", "bench-models")))
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "%s-%s.gguf" % (PRESETS[size], kind))
    if not os.path.exists(path):
        subprocess.run([sys.executable, os.path.join(ROOT, "tools", "make_gguf.py"), "--preset", PRESETS[size], "--type", kind, path + ".part"], check=True)
        os.rename(path + ".part", path)
    return path


# ---- running ----

def sluice_bench(o, path, *args):
    out = subprocess.run([SLUICE, "bench", path, "-t", str(o.threads), "--json", *([] if "--context" in args else ["--context", "4096"]), *map(str, args)], capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit("sluice bench failed: " + out.stderr)
    return json.loads(out.stdout)


def peer_bench(o, peer, path, *args, tuned=False):
    """Tokens per second by llama-bench, or None where it fails (a type or an option that it does not have)."""
    command = [peer.bench, "-m", path, "-t", str(o.threads), "-fa", "1", "-r", "1", "-o", "json", *map(str, args)]
    if tuned:
        command += ["-mmp", "0"] + (["-rtr", "1"] if peer.is_ik else [])
    out = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(HUGE if tuned else {})})
    try:
        tests = json.loads(out.stdout[out.stdout.index("["):out.stdout.rindex("]") + 1])
        return tests[-1]["avg_ts"]
    except (ValueError, IndexError, KeyError):
        print("  # %s: %s" % (peer.name, (out.stderr.strip().splitlines() or ["no answer"])[-1]), file=sys.stderr)
        return None


def in_turns(o, ours, peers):
    """Measure A B A B...: `ours()` and each of {name: function}.  Values that are None are left out."""
    seen = {"sluice": []}
    for _ in range(o.pairs):
        seen["sluice"].append(ours())
        for name, run in peers.items():
            seen.setdefault(name, []).append(run())
    return seen


def show(o, section, model, what, seen, unit="tokens/s", extra=None, lower_is_better=False):
    """Print a line for all engines and keep a row for each."""
    line = "  %-26s" % what
    base = seen["sluice"]
    for name, values in seen.items():
        values_here = [v for v in values if v is not None]
        if not values_here:
            continue
        row = {"section": section, "model": model, "what": what, "engine": name, "unit": unit, "median": statistics.median(values_here),
               "min": min(values_here), "max": max(values_here), "runs": len(values_here)}
        line += "%s%s %.1f (%.1f to %.1f)" % ("" if name == "sluice" else ";  ", name, row["median"], row["min"], row["max"])
        if name == "sluice":
            line += " " + unit
            for key, value in (extra or {}).items():
                row[key] = value
                line += ", %s %s" % (key.replace("_", " "), "%.1f%%" % (100 * value) if key.startswith("share") else "%.1f" % value)
        else:
            ratios = [(b / a if lower_is_better else a / b) for a, b in zip(base, values) if b]
            row["ratio"], row["ratio_min"], row["ratio_max"] = statistics.median(ratios), min(ratios), max(ratios)
            line += " = %.2f x (%.2f to %.2f)" % (row["ratio"], row["ratio_min"], row["ratio_max"])
        rows.append(row)
    print(line, flush=True)


def title(size, kind):
    return "%s %s" % (PRESETS[size], kind)


# ---- llama-bench sections ----

def run_prompt(o):
    for size, kind in o.files:
        path = model_file(size, kind)
        print("\nprompt, %s" % title(size, kind))
        for n in o.prompts:
            shares = []

            def ours():
                j = sluice_bench(o, path, "-p", n, "-n", 0, "-r", 1)
                shares.append(j["prompt"]["share_of_int8_peak"])
                return j["prompt"]["tokens_per_second"]["median"]

            seen = in_turns(o, ours, {p.name: (lambda p=p: peer_bench(o, p, path, "-p", n, "-n", 0)) for p in PEERS})
            show(o, "prompt", title(size, kind), "%d tokens" % n, seen, extra={"share_of_int8_peak": statistics.median(shares)})


def generation(o, path, n, depth, *args):
    j = sluice_bench(o, path, "-p", 0, "-n", n, "-d", depth, "-r", o.repetitions, *args)
    return j["generate"]["tokens_per_second"]["median"], j["generate"]["share_of_bandwidth"], j["machine"]["read_bytes_per_second"] / 1e9


def run_generate(o):
    for size, kind in o.files:
        path = model_file(size, kind)
        print("\ngeneration, one stream, %s" % title(size, kind))
        shares, reads = [], []

        def ours():
            speed, share, read = generation(o, path, o.n, 0)
            shares.append(share)
            reads.append(read)
            return speed

        seen = in_turns(o, ours, {p.name: (lambda p=p: peer_bench(o, p, path, "-p", 0, "-n", o.n, tuned=True)) for p in PEERS})
        show(o, "generate", title(size, kind), "%d tokens" % o.n, seen,
             extra={"share_of_bandwidth": statistics.median(shares), "share_best": max(shares), "read_GBps": statistics.median(reads)})


def run_depth(o):
    size, kind = o.files[0]
    path = model_file(size, kind)
    print("\ngeneration behind a long context, %s" % title(size, kind))
    for depth in o.depths:
        for kv in ("16 bits", "q8_0"):
            mine, theirs = ("i16", "f16") if kv == "16 bits" else (kv, kv)
            shares = []

            def ours():
                speed, share, _ = generation(o, path, 24, depth, "--kv-type", mine, "--context", depth + 64)
                shares.append(share)
                return speed

            peers = {p.name: (lambda p=p: peer_bench(o, p, path, "-p", 0, "-n", 24, "-d", depth, "-ctk", theirs, "-ctv", theirs, tuned=True))
                     for p in PEERS if depth <= o.peer_depth and not p.is_ik or depth <= o.peer_depth and has_depth(p)}
            seen = in_turns(o, ours, peers)
            show(o, "depth", title(size, kind), "%d tokens, KV %s" % (depth, kv), seen, extra={"share_of_roofline": statistics.median(shares)})


def has_depth(peer):
    return "--n-depth" in subprocess.run([peer.bench, "--help"], capture_output=True, text=True).stdout


def run_streams(o):
    size, kind = o.files[0]
    path = model_file(size, kind)
    counts = [4, 8, 16, 32]
    print("\nstreams at once, %s, 128 tokens of prompt and 32 generated each, total" % title(size, kind))

    def peer(p):
        program = p.beside("llama-batched-bench")
        if not program:
            return {}
        out = subprocess.run([program, "-m", path, "-c", str(32 * 192), "-npp", "128", "-ntg", "32", "-npl", ",".join(map(str, counts)), "-t", str(o.threads),
                              "-b", "2048", "-ub", "512"] + ([] if p.is_ik else ["-fa", "on"]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             cwd=tempfile.gettempdir()).stdout  # one of them leaves a log where it runs
        speeds = {}
        for line in out.splitlines():
            cells = [c.strip() for c in line.strip().strip("|").split("|")]
            if len(cells) >= 8 and cells[0].isdigit():  # PP TG B N_KV T_PP S_PP T_TG S_TG ...
                speeds[int(cells[2])] = float(cells[7])
        return speeds

    ours, theirs = {n: [] for n in counts}, {p.name: {n: [] for n in counts} for p in PEERS}
    for _ in range(o.pairs):
        for n in counts:
            ours[n].append(sluice_bench(o, path, "-p", 0, "-n", 32, "-d", 128, "-b", n, "-r", 1)["generate"]["tokens_per_second"]["median"])
        for p in PEERS:
            speeds = peer(p)
            for n in counts:
                theirs[p.name][n].append(speeds.get(n))
    for n in counts:
        show(o, "streams", title(size, kind), "%d streams" % n, {"sluice": ours[n], **{name: t[n] for name, t in theirs.items()}})


def run_sampling(o):
    size, kind = o.files[0]
    j = sluice_bench(o, model_file(size, kind), "-p", 0, "-n", 0)["sampling"]
    print("\nsampling of %d tokens" % j["vocabulary"])
    for key in ("greedy_us", "top_k_us", "top_p_us", "top_p_flat_us"):
        show(o, "sampling", "", key[:-3], {"sluice": [j[key]]}, unit="us")


# ---- servers ----

class Server:
    """A server process with one model, and one way to ask it: token ids in, server-sent events out."""

    def __init__(self, o, name, command, model):
        self.name, self.model = name, model
        self.home = tempfile.mkdtemp(prefix="bench-engine-")
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "XDG_STATE_HOME": self.home})

    def wait(self, is_ready):
        while time.monotonic() - self.began < 120:
            if self.process.poll() is not None:
                raise RuntimeError(self.name + " ended")
            try:
                if is_ready():
                    return
            except OSError:
                pass
            time.sleep(0.005)
        raise RuntimeError(self.name + " does not answer")

    def get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        c.request("GET", path)
        return c.getresponse().status

    def ask(self, tokens, n, on_text=None):
        """Times at which tokens came.  The bias makes them the letter "a" (in both vocabularies): of random weights, many tokens
        are parts of characters, which no server shows before the rest, and two steps would look like one long one."""
        times = []
        body = json.dumps({"model": self.model, "prompt": tokens, "max_tokens": n, "temperature": 1, "top_k": 40, "stream": True, "ignore_eos": True,
                           "cache_prompt": True, "seed": 1, "logit_bias": {"64": 100}})
        c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=300)
        c.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        r = c.getresponse()
        if r.status != 200:
            raise RuntimeError("%s: %d %s" % (self.name, r.status, r.read()[:300]))
        while True:
            line = r.readline()
            if not line or line.startswith(b"data: [DONE]"):
                break
            if line.startswith(b"data: {") and b'"text":""' not in line:
                times.append(time.monotonic())
                if on_text:
                    on_text(len(times))
        c.close()
        return times

    def rss_mb(self):
        for line in open("/proc/%d/status" % self.process.pid):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1e3

    def stop(self):
        self.process.terminate()
        self.process.wait()


def start_server(o, name, path, slots=8, context=2048):
    """With room for `slots` requests of `context` tokens (ours takes what comes)."""
    stem = os.path.splitext(os.path.basename(path))[0]
    if name == "sluice":
        s = Server(o, name, [SLUICE, "serve", "-m", path, "--listen", "127.0.0.1:%d" % PORT, "--draft", stem + "=off"], stem)
        s.wait(lambda: socket.create_connection(("127.0.0.1", PORT), 1).close() is None)
        return s
    program = next((p.beside("llama-server") for p in PEERS if p.name == name), None)
    s = Server(o, name, [program, "-m", path, "--port", str(PORT), "-t", str(o.threads), "-fa", "on", "-c", str(slots * context), "-np", str(slots)], stem)
    s.wait(lambda: s.get("/health") == 200)
    return s


def servers(o):
    return ["sluice"] + [p.name for p in PEERS if p.beside("llama-server") and not p.is_ik]


rng = random.Random(1)


def some_tokens(n):
    return [rng.randrange(300, 20000) for _ in range(n)]


def run_tail(o):
    size, kind = o.files[0]
    path = model_file(size, kind)
    print("\n21 tokens behind a warm prefix of 1,724, %s, time to the first token" % title(size, kind))
    seen = {}
    for name in servers(o):
        s = start_server(o, name, path)
        try:
            s.ask(some_tokens(40), 2)
            prefix = some_tokens(1724)
            s.ask(prefix + some_tokens(21), 2)
            for _ in range(2 + 3 * o.pairs):
                t = time.monotonic()
                seen.setdefault(name, []).append((s.ask(prefix + some_tokens(21), 2)[0] - t) * 1e3)
        finally:
            s.stop()
    show(o, "tail", title(size, kind), "21 behind 1,724", seen, unit="ms", lower_is_better=True)


def arrive(s, n):
    """n requests at once: the mean time to the first token, in ms."""
    first, prompts = [], [some_tokens(170) for _ in range(n)]

    def one(prompt):
        t = time.monotonic()
        first.append((s.ask(prompt, 32)[0] - t) * 1e3)

    threads = [threading.Thread(target=one, args=(p,)) for p in prompts]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return statistics.mean(first)


def longest_gap(s, n):
    """Longest silence of a stream while n requests arrive beside it, in ms, and its usual step."""
    begun, times = threading.Event(), []
    runner = threading.Thread(target=lambda: times.extend(s.ask(some_tokens(8), 160, lambda k: k >= 24 and begun.set())))
    runner.start()
    begun.wait(60)
    arrive(s, n)
    runner.join()
    gaps = [(b - a) * 1e3 for a, b in zip(times, times[1:])]
    return max(gaps[24:]), statistics.median(gaps[4:24])


def run_arrivals(o):
    size, kind = o.files[0]
    path = model_file(size, kind)
    print("\nrequests of 170 tokens arriving together, %s" % title(size, kind))
    first, gaps, steps = {}, {}, []
    for name in servers(o):
        s = start_server(o, name, path)
        try:
            arrive(s, 2)
            for n in (4, 8):
                for _ in range(o.pairs):
                    first.setdefault(n, {}).setdefault(name, []).append(arrive(s, n))
                    gap, step = longest_gap(s, n)
                    gaps.setdefault(n, {}).setdefault(name, []).append(gap)
                    if name == "sluice":
                        steps.append(step)
        finally:
            s.stop()
    for n in first:
        show(o, "arrivals", title(size, kind), "%d: mean first token" % n, first[n], unit="ms", lower_is_better=True)
        show(o, "arrivals", title(size, kind), "%d: running stream's gap" % n, gaps[n], unit="ms", lower_is_better=True,
             extra={"own_step_ms": statistics.median(steps)})


def run_start(o):
    for size, kind in o.files:
        path = model_file(size, kind)
        with open(path, "rb") as f:  # into the page cache
            while f.read(1 << 24):
                pass
        print("\nstart to first token, file in the page cache, %s" % title(size, kind))
        seconds, resident = {}, {}
        kv = sluice_bench(o, path, "-p", 0, "-n", 0, "--context", 0)["memory"]["kv_bytes"] / 1e6
        for _ in range(o.pairs):
            for name in servers(o):
                s = start_server(o, name, path, 1, 4096)
                try:
                    seconds.setdefault(name, []).append(s.ask(some_tokens(6), 2)[0] - s.began)
                    last = 0
                    while s.rss_mb() > last and time.monotonic() - s.began < 40:  # the KV pool is put into memory behind the start
                        last = s.rss_mb()
                        time.sleep(1)
                    resident.setdefault(name, []).append(s.rss_mb())
                finally:
                    s.stop()
        show(o, "start", title(size, kind), "first token", seconds, unit="s", lower_is_better=True)
        over = statistics.median(resident["sluice"]) - os.path.getsize(path) / 1e6 - kv
        show(o, "start", title(size, kind), "resident memory", resident, unit="MB", lower_is_better=True,
             extra={"file_MB": os.path.getsize(path) / 1e6, "kv_pool_MB": kv, "over_both_MB": over})


SECTIONS = {"prompt": run_prompt, "generate": run_generate, "streams": run_streams, "tail": run_tail, "arrivals": run_arrivals, "depth": run_depth,
            "start": run_start, "sampling": run_sampling}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    p.add_argument("--models", default="1b,0.5b")
    p.add_argument("--types", default="q4_0,q8_0,q4_k_m")
    p.add_argument("--pairs", type=int, default=3)
    p.add_argument("--prompts", default="512,2048")
    p.add_argument("-n", type=int, default=64, help="tokens generated in one run")
    p.add_argument("--repetitions", type=int, default=3, help="of generation inside one run of ours")
    p.add_argument("--depths", default="4096,8192")
    p.add_argument("--peer-depth", type=int, default=8192, help="peers take minutes to get deeper")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--quick", action="store_true")
    o = p.parse_args()
    unknown = [s for s in o.sections if s not in SECTIONS]
    if unknown:
        p.error("no section '%s'; there are %s" % (unknown[0], ", ".join(SECTIONS)))
    o.files = [(size, kind) for size in o.models.split(",") for kind in o.types.split(",")]
    o.prompts = [int(x) for x in o.prompts.split(",")]
    o.depths = [int(x) for x in o.depths.split(",")]
    if o.quick:
        o.pairs, o.n, o.repetitions, o.prompts, o.depths = 1, 32, 2, o.prompts[:1], o.depths[:1]
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")
    print("# %s, %d threads, %s, Linux %s; %d pairs" % (cpu, o.threads, stamp, platform.release(), o.pairs))
    if not PEERS:
        print("# no peer is given (LLAMA_BENCH, IK_LLAMA_BENCH): only Sluice is measured")
    try:
        for name in o.sections or SECTIONS:
            SECTIONS[name](o)
    finally:
        keep(stamp, cpu, o)


def keep(stamp, cpu, o):
    if not rows:
        return
    folder = os.path.join(ROOT, "bench", "results")
    os.makedirs(folder, exist_ok=True)
    fields = ["time", "cpu", "threads"]
    for row in rows:
        row.update(time=stamp, cpu=cpu, threads=o.threads)
        fields += [k for k in row if k not in fields]
    with open(os.path.join(folder, "engine-%s.csv" % stamp), "w", newline="") as f:
        w = csv.DictWriter(f, fieldnames=fields, restval="")
        w.writeheader()
        w.writerows(rows)
    print("\n# kept in %s" % os.path.relpath(f.name, ROOT))


main()
