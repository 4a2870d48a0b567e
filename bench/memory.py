#!/usr/bin/env python3
"""Measures the memory of a process that loads a model and answers one picture, against what it must hold: packed weights, and the KV in use.

    bench/memory.py models/nano-uhd /tmp/smolvlm-256m            # a table, one line for each model
    bench/memory.py --picture page.jpg --with=--model.quantize=int8 DIR

The peak is VmHWM of `uhd generate`, which the kernel keeps, from start to end; so loading is in it. Its private part (RssAnon, sampled) leaves
out pages of files: the program, its libraries and rows of the embedding table, which the system can take back. Packed weights are those that
the rank's log books, tower included; an embedding table stays in its file and counts nothing. KV in use is whole pages for prompt and answer.
The last columns are what `uhd check` tells of such a process, for 1024 tokens; it knows no settings, so there are none with --with.
Standard library only.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
MIB = 1 << 20


def watch(process):
    """Returns the greatest VmHWM and RssAnon of the process, in bytes, until it ends."""
    peak = private = 0
    while process.poll() is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        values = {key: int(kib) * 1024 for key, kib in re.findall(r"(VmHWM|RssAnon):\s+(\d+) kB", status)}
        peak, private = max(peak, values.get("VmHWM", 0)), max(private, values.get("RssAnon", 0))
        time.sleep(0.02)
    return peak, private


def booked(log, use):
    found = re.search(rf": {use} +([0-9.]+) MiB", log)
    return float(found[1]) * MIB if found else 0.0


def kv_in_use(log):
    """Bytes of the whole pages that prompt and answer fill."""
    tokens, page_tokens = (int(n) for n in re.search(r"prompt (\d+) tokens.*?answer (\d+) tokens", log).groups()), 64
    held, mib = re.search(r"KV pages, (\d+) tokens +([0-9.]+) MiB", log).groups()
    pages = -(-sum(tokens) // page_tokens)
    return pages * page_tokens * float(mib) * MIB / (int(held) + page_tokens)  # one page more is for probes


def told(model, options):
    """The bytes of a process on the host that `uhd check` tells."""
    done = subprocess.run([options.uhd, "check", "--json", "--model", model], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["memory"]["cpu"]["total"]


def measure(model, options):
    command = [options.uhd, "generate", "--model", model, "--image", options.picture, "--max-tokens", str(options.tokens), "--temperature", "0",
               "--engine.context_length=2048", "--engine.page_size=64", *options.with_settings, "What is it?"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        peak, private = watch(process)
        log = process.stderr.read()
    if process.returncode != 0:
        sys.exit(f"{model}: {log}")
    weights = booked(log, "language model") + booked(log, "vision tower")
    return weights, kv_in_use(log), peak, private


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="checkpoint directories")
    parser.add_argument("--uhd", default=str(ROOT / "build/release/uhd"))
    parser.add_argument("--picture", default=str(ROOT / "models/nano-uhd/demo/page.png"))
    parser.add_argument("--tokens", type=int, default=16, help="of the answer")
    parser.add_argument("--with", dest="with_settings", action="append", default=[], help="a setting, as --model.quantize=int8; several may be given")
    options = parser.parse_args()
    heads = ["model", "packed weights, MiB", "KV in use, MiB", "peak, MiB", "over both", "private, MiB", "over both"]
    if not options.with_settings:
        heads += ["`uhd check`, MiB", "over the peak"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for model in options.models:
        weights, kv, peak, private = measure(model, options)
        cells = [pathlib.Path(model).name, f"{weights / MIB:.1f}", f"{kv / MIB:.1f}"]
        for value in (peak, private):
            cells += [f"{value / MIB:.1f}", f"{100 * (value / (weights + kv) - 1):+.1f} %"]
        if not options.with_settings:
            total = told(model, options)
            cells += [f"{total / MIB:.1f}", f"{100 * (total / peak - 1):+.1f} %"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
