#!/usr/bin/env python3
"""Counts the instructions of fixed runs of the bundled model, and compares them with those that bench/results keeps.

    bench/instructions.py                  # counts and compares; fails where a figure grew by more than the limit
    bench/instructions.py --keep           # counts, and keeps the figures for later comparisons

A figure is a difference of two runs divided by what the longer one does more, so that starting, loading and ending cancel out. Instructions do
not depend on what else the machine does: a regression of two in a hundred is seen where seconds scatter by half. They tell nothing of memory.
perf counts them where the processor's counters may be read, with the table that the processor gets; else callgrind does, which knows no
AVX-512: then the table is avx2 everywhere. Both are kept apart. One thread, because threads that wait spin. Pictures are left out: under
callgrind a tower takes minutes. Standard library and valgrind or perf.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
KEPT = ROOT / "bench/results/instructions.json"
MODEL = ROOT / "models/nano-uhd"
# The figure: what it is of, and the arguments of the shorter and of the longer run, which differ in that alone.
FIGURES = {
    "prompt": ("a token of the prompt", ["--raw", "--max-tokens", "1", "page " * 16], ["--raw", "--max-tokens", "1", "page " * 80]),
    "answer": ("a token of the answer", ["--raw", "--max-tokens", "8", "The"], ["--raw", "--max-tokens", "40", "The"]),
}


def perf_counts():
    """Whether this system lets perf count instructions."""
    try:
        done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stderr.strip().split(",")[0].isdigit()


def run(counter, uhd, arguments):
    """(instructions, tokens of the prompt, tokens of the answer, instruction set) of one run of `uhd generate`."""
    table = [] if counter == "perf" else ["--backend.isa=avx2"]
    program = [uhd, "generate", "--model", MODEL, "--backend.threads=1", "--engine.context_length=1024",
               "--engine.kv_memory_bytes=32MiB", "--cluster.step_deadline_s=3600", *table, *arguments]
    before = ["perf", "stat", "-x,", "-e", "instructions:u"] if counter == "perf" else [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run([*before, *map(str, program)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    counted = re.search(r"^(\d+),.*instructions:u" if counter == "perf" else r"Collected : (\d+)", done.stderr, re.M)
    tokens = re.search(r"prompt (\d+) tokens .*answer (\d+) tokens", done.stderr)
    isa = re.search(r"cpu (\w+), ", done.stderr)
    return int(counted[1]), *(int(n) for n in tokens.groups()), isa[1]


def count(counter, uhd):
    """The figures, and the instruction set that ran."""
    figures, isa = {}, ""
    with concurrent.futures.ThreadPoolExecutor() as threads:  # what runs beside changes no count
        runs = {name: [threads.submit(run, counter, uhd, arguments) for arguments in pair] for name, (_, *pair) in FIGURES.items()}
    for name, pair in runs.items():
        small, large = (one.result() for one in pair)
        more = sum(large[1:3]) - sum(small[1:3])
        if more < 16:
            sys.exit(f"{name}: only {more} tokens more, which is too few to tell")
        figures[name], isa = round((large[0] - small[0]) / more), large[3]
    return figures, isa


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uhd", default=str(ROOT / "build/release/uhd"))
    parser.add_argument("--keep", action="store_true", help="keep the figures instead of comparing them")
    parser.add_argument("--limit", type=float, default=2, help="growth that is a failure, in percent")
    options = parser.parse_args()
    counter = "perf" if perf_counts() else "callgrind"
    figures, isa = count(counter, options.uhd)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    key, grown = f"{counter}, {isa}", []
    print(f"| instructions by {key} | now | kept | |\n|---|---|---|---|")
    for name, now in figures.items():
        before = kept.get(key, {}).get(name)
        change = 100 * (now / before - 1) if before else 0
        print(f"| {FIGURES[name][0]} | {now:,} | {before or 0:,} | {change:+.2f} % |")
        if change > options.limit:
            grown.append(name)
    if options.keep:
        kept[key] = figures
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    elif key not in kept:
        sys.exit(f"nothing is kept for {key}: run with --keep")
    elif grown:
        sys.exit(f"more instructions than were kept: {', '.join(grown)}")


if __name__ == "__main__":
    main()
