#!/usr/bin/env python3
"""Instruction counts of the matrix kernels: figures that repeat exactly, where times do not.

  bench/kernels.py [--keep]

  AVX2      instructions of every tile per 1,000 multiply-adds, counted by callgrind on one strip of 2,048 inputs
  AVX-512   the innermost loop of every tile from its disassembly (valgrind does not know these instructions):
            instructions, byte dot products, what share of the instructions they are, and registers spilled

Compared with bench/results/kernels.csv where that was made with the same compiler: a count that grew by more
than 3 % is a fault (exit 1).  --keep writes that file.  Needs valgrind and objdump."""
import argparse, csv, os, re, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "bench", "results", "kernels.csv")
TILE = re.compile(r"^((?:Q\d_\w|IQ\d_\w+|MXFP4|NVFP4|B?F\d\d)\w*)_([1-6])$")
N_IN, STRIP = 2048, 32


def compiler():
    return subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()


def avx2():
    subprocess.run(["make", "-s", "-C", ROOT, "MODE=release", "lib"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        program, profile = os.path.join(folder, "counts"), os.path.join(folder, "profile")
        subprocess.run(["cc", "-std=gnu17", "-O1", "-D_GNU_SOURCE", "-I" + ROOT + "/src", "-I" + ROOT + "/include", ROOT + "/bench/kernel_counts.c",
                        ROOT + "/build/release/libsluice.a", "-lpcre2-8", "-lutf8proc", "-lm", "-pthread", "-o", program], check=True)
        subprocess.run(["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=" + profile, program], check=True, capture_output=True)
        names, counts, calls, here, skip = {}, {}, {}, None, False
        for line in open(profile):
            m = re.match(r"(c?fn)=\((\d+)\)(?: (.*))?", line)
            if m:
                if m.group(3):
                    names[m.group(2)] = m.group(3).strip()
                name = names[m.group(2)]
                if m.group(1) == "fn":
                    here = name
                else:
                    called = name
            elif line.startswith("calls="):
                calls[called] = calls.get(called, 0) + int(line[6:].split()[0])
                skip = True  # the next line is the callee's cost
            elif re.match(r"[+\-*\d]", line):
                if not skip:
                    counts[here] = counts.get(here, 0) + int(line.split()[1])
                skip = False
    for name, n in sorted(counts.items()):
        m = TILE.match(name)
        if m:  # some are called once for each part of a strip: together they made all its outputs
            yield {"level": "avx2", "tile": name, "per_1000_macs": round(1000 * n / (N_IN * STRIP * int(m.group(2))), 1)}


def functions(path):
    name, lines = None, []
    for line in subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout.splitlines():
        m = re.match(r"[0-9a-f]+ <(.*)>:", line)
        if m:
            if name:
                yield name, lines
            name, lines = m.group(1), []
            continue
        m = re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line)
        if m:
            lines.append((int(m.group(1), 16), m.group(2), m.group(3)))
    if name:
        yield name, lines


def innermost(lines):
    """The smallest loop with the most dot products (or, for floats, fma)."""
    best = None
    for at, op, args in lines:
        m = re.match(r"([0-9a-f]+)", args) if op.startswith("j") else None
        if not m or int(m.group(1), 16) > at:
            continue
        body = [(o, a) for x, o, a in lines if int(m.group(1), 16) <= x <= at]
        dots = sum(o in ("vpdpbusd",) for o, _ in body) or sum(o.startswith("vfmadd") for o, _ in body)
        if dots and (best is None or (dots, -len(body)) > (best[0], -len(best[1]))):
            best = (dots, body)
    return best


def avx512():
    for name, lines in functions(os.path.join(ROOT, "build", "release", "src", "kernel", "matmul_avx512.o")):
        loop = innermost(lines) if TILE.match(name) else None
        if loop:
            dots, body = loop
            spills = sum(o.startswith("vmovdq") or o.startswith("vmovap") for o, a in body if re.search(r"zmm\d+,.*\(%r[sb]p", a))
            yield {"level": "avx512", "tile": name, "loop": len(body), "products": dots, "share": round(dots / len(body), 3), "spills": spills}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--keep", action="store_true")
    o = p.parse_args()
    version, before, worse = compiler(), {}, 0
    if os.path.exists(OUT):
        before = {(r["level"], r["tile"]): r for r in csv.DictReader(open(OUT)) if r["compiler"] == version}
    rows = [{"compiler": version, **r} for r in [*avx2(), *avx512()]]
    print("%-7s %-10s %14s %6s %9s %6s %7s" % ("level", "tile", "per 1000 MACs", "loop", "products", "share", "spills"))
    for r in rows:
        key = "per_1000_macs" if r["level"] == "avx2" else "loop"
        old = before.get((r["level"], r["tile"]))
        grew = old and float(old[key]) * 1.03 < float(r[key]) and float(old[key]) / float(old.get("products") or 1) * 1.03 < float(r[key]) / float(r.get("products") or 1)
        worse += bool(grew)
        print("%-7s %-10s %14s %6s %9s %6s %7s%s" % (r["level"], r["tile"], r.get("per_1000_macs", ""), r.get("loop", ""), r.get("products", ""),
                                                   r.get("share", ""), r.get("spills", ""), "   was " + old[key] if grew else ""))
    if o.keep:
        with open(OUT, "w", newline="") as f:
            w = csv.DictWriter(f, fieldnames=["compiler", "level", "tile", "per_1000_macs", "loop", "products", "share", "spills"], restval="")
            w.writeheader()
            w.writerows(rows)
    sys.exit(1 if worse else 0)


main()
