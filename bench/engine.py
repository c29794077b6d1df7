#!/usr/bin/env python3
"""Prompt and generation speed of the engine, beside llama.cpp where its llama-bench is given.

  bench/engine.py [--models 0.5b,1b] [--types q4_0,q8_0,q4_k_m] [--pairs 5] [-p 512] [-n 64] [--threads N]

  LLAMA_BENCH      path of llama.cpp's llama-bench
  IK_LLAMA_BENCH   path of ik_llama.cpp's llama-bench
  BENCH_MODELS     folder for the random-weight models (made if absent; default build/bench-models)

The engines take turns (A B A B ...) in one sitting, because shared machines drift; quoted are medians, the
spread, and the median of the ratios pair by pair.  Each round also reads this machine's memory bandwidth and
int8 peak, so that the shares mean something.  The result is printed and kept as CSV in bench/results/.
Speed does not depend on weights' values: the models have the real shapes and random weights."""
import argparse, csv, datetime, json, os, platform, statistics, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SLUICE = os.environ.get("SLUICE_BINARY", os.path.join(ROOT, "build", "release", "sluice"))
PRESETS = {"0.5b": "qwen2.5-0.5b", "1b": "llama-3.2-1b", "8b": "llama-3.1-8b"}
PEERS = [(name, os.environ[var]) for name, var in (("llama.cpp", "LLAMA_BENCH"), ("ik_llama.cpp", "IK_LLAMA_BENCH")) if os.environ.get(var)]


def model_file(size, kind):
    folder = os.environ.get("BENCH_MODELS", os.path.join(ROOT, "build", "bench-models"))
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "%s-%s.gguf" % (PRESETS[size], kind))
    if not os.path.exists(path):
        subprocess.run([sys.executable, os.path.join(ROOT, "tools", "make_gguf.py"), "--preset", PRESETS[size], "--type", kind, path + ".part"], check=True)
        os.rename(path + ".part", path)
    return path


def run_sluice(path, o):
    out = subprocess.run([SLUICE, "bench", path, "-p", str(o.p), "-n", str(o.n), "-r", str(o.r), "-d", str(o.depth), "-t", str(o.threads), "--json"],
                         capture_output=True, text=True, check=True).stdout
    j = json.loads(out)
    return {"prompt": j["prompt"]["tokens_per_second"]["median"] if o.p else None,
            "generate": j["generate"]["tokens_per_second"]["median"] if o.n else None,
            "share_int8": j["prompt"]["share_of_int8_peak"] if o.p else None,
            "share_bandwidth": j["generate"]["share_of_bandwidth"] if o.n else None,
            "bandwidth": j["machine"]["read_bytes_per_second"] / 1e9, "int8": j["machine"]["int8_ops_per_second"] / 1e9}


def run_peer(binary, path, o):
    args = [binary, "-m", path, "-p", str(o.p), "-n", str(o.n), "-r", str(o.r), "-t", str(o.threads), "-fa", "1", "-o", "json"]
    if o.depth:
        args += ["-d", str(o.depth)]
    out = subprocess.run(args, capture_output=True, text=True, check=True).stdout
    result = {"prompt": None, "generate": None}
    for test in json.loads(out[out.index("["):]):
        speeds = sorted(test.get("samples_ts") or [test["avg_ts"]])
        result["prompt" if test["n_prompt"] and not test["n_gen"] else "generate"] = statistics.median(speeds)
    return result


def spread(values):
    return "%8.1f (%.1f to %.1f)" % (statistics.median(values), min(values), max(values))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--models", default="0.5b,1b")
    p.add_argument("--types", default="q4_0,q8_0,q4_k_m")
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("-p", type=int, default=512)
    p.add_argument("-n", type=int, default=64)
    p.add_argument("-r", type=int, default=1, help="repetitions inside one run")
    p.add_argument("--depth", type=int, default=0)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    o = p.parse_args()
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")
    print("# %s, %d threads, %s, Linux %s; prompt %d, generate %d, depth %d, %d pairs" %
          (cpu, o.threads, stamp, platform.release(), o.p, o.n, o.depth, o.pairs))
    if not PEERS:
        print("# no peer is given (LLAMA_BENCH, IK_LLAMA_BENCH): only Sluice is measured")
    rows = []
    for size in o.models.split(","):
        for kind in o.types.split(","):
            path = model_file(size, kind)
            seen = {"sluice": []}
            for name, _ in PEERS:
                seen[name] = []
            for _ in range(o.pairs):
                seen["sluice"].append(run_sluice(path, o))
                for name, binary in PEERS:
                    seen[name].append(run_peer(binary, path, o))
            ours = seen["sluice"]
            print("\n%s %s   read bandwidth %s GB/s, int8 peak %s Gop/s" %
                  (PRESETS[size], kind, spread([x["bandwidth"] for x in ours]), spread([x["int8"] for x in ours])))
            for what, share in (("prompt", "share_int8"), ("generate", "share_bandwidth")):
                if ours[0][what] is None:
                    continue
                line = "  %-9s sluice %s tok/s, %4.1f%% of %s" % (what, spread([x[what] for x in ours]), 100 * statistics.median(x[share] for x in ours),
                                                                "int8 peak" if what == "prompt" else "bandwidth")
                row = {"time": stamp, "cpu": cpu, "threads": o.threads, "model": PRESETS[size], "type": kind, "what": what, "depth": o.depth,
                       "sluice": statistics.median(x[what] for x in ours), "sluice_min": min(x[what] for x in ours), "sluice_max": max(x[what] for x in ours),
                       "share": statistics.median(x[share] for x in ours), "bandwidth_GBps": statistics.median(x["bandwidth"] for x in ours),
                       "int8_Gops": statistics.median(x["int8"] for x in ours)}
                for name, _ in PEERS:
                    ratios = [a[what] / b[what] for a, b in zip(ours, seen[name])]
                    line += "; %s %s, ratio %.2f (%.2f to %.2f)" % (name, spread([x[what] for x in seen[name]]), statistics.median(ratios), min(ratios), max(ratios))
                    row[name], row["ratio_" + name] = statistics.median(x[what] for x in seen[name]), statistics.median(ratios)
                rows.append(row)
                print(line, flush=True)
    folder = os.path.join(ROOT, "bench", "results")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "engine-%s.csv" % stamp), "w", newline="") as f:
        w = csv.DictWriter(f, fieldnames=sorted({k for r in rows for k in r}, key=list(rows[0]).index if rows else None) if len({len(r) for r in rows}) == 1 else sorted({k for r in rows for k in r}))
        w.writeheader()
        w.writerows(rows)
    print("\n# kept in %s" % os.path.relpath(f.name, ROOT))


main()
