#!/usr/bin/env python3
"""Measures this server beside other servers on one checkpoint, by turns, and prints a table with ratios and shares of the roof.

    bench/peers.py --model DIR --kit KIT --install PEERS --servers uhd,vllm
    bench/peers.py --model DIR --server "uhd=build/release/uhd serve --model.path={model} --net.port={port}" --server "other=..."
    bench/peers.py --model DIR --kit KIT --install PEERS --servers uhd,vllm,llama --gguf FOLDER --plot peers.svg --json peers.json

A kit is a folder with the command lines of the peers: vserve.sh starts vLLM, lserve.sh starts llama.cpp's server. --install is the folder
into which they were installed. Any other server is named with its command, where {model} and {port} stand for what they say.

All servers are up, and all but the one that is asked are stopped meanwhile (SIGSTOP), because some take time while idle. Every line of the table is asked of each server in turn, and all of it again in
each round; `uhd bench` asks, with equal prompts and pictures for all servers of a round, and new ones in the next. The table holds medians of
rounds. The ratio is of this server's figure to the best other's: above 1 is ahead. Shares are of what `uhd calibrate` measures before the
servers start: decoding reads the language model's weights once a step, and a prompt's token is multiplied with each of them once.
Standard library only.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
UHD = "{binary} serve --model.path={model} --net.port={port} --log.level=info"

# Name, arguments of `uhd bench`, and the figure of its report: what it is called, and whether more is better.
# A text of 2,200 characters is some 1,000 tokens of a vocabulary that holds no such words.
LINES = {
    "prefill": ("a prompt, tokens/s", ["--streams", 1, "--sessions", 3, "--text", 2200, "--tokens", 1], True),
    "decode1": ("decode of 1 stream, tokens/s", ["--streams", 1, "--sessions", 2, "--text", 20, "--tokens", 48], True),
    "decode4": ("decode of 4 streams, tokens/s", ["--streams", 4, "--sessions", 4, "--text", 20, "--tokens", 48], True),
    "decode16": ("decode of 16 streams, tokens/s", ["--streams", 16, "--sessions", 16, "--text", 20, "--tokens", 48], True),
    "picture336": ("first token of a picture of 336x336, s", ["--streams", 1, "--sessions", 3, "--pictures", "photo", "--size", "336x336", "--tokens", 1],
                   False),
    "picture1008": ("first token of a picture of 672x1008, s", ["--streams", 1, "--sessions", 2, "--pictures", "photo", "--size", "672x1008",
                                                                "--tokens", 1], False),
    "load336": ("336x336 + 32 tokens, 8 streams, requests/s", ["--streams", 8, "--sessions", 8, "--pictures", "photo", "--size", "336x336",
                                                               "--tokens", 32], True),
    "load1008": ("672x1008 + 32 tokens, 4 streams, requests/s", ["--streams", 4, "--sessions", 4, "--pictures", "photo", "--size", "672x1008",
                                                                 "--tokens", 32], True),
}


def figure_of(line, report):
    if line == "prefill":
        return report["prompt_tokens"] / report["answered"] / (report["first_token"]["mean_ms"] / 1e3)
    if line.startswith("decode"):
        return int(line.removeprefix("decode")) * 1e3 / report["token"]["mean_ms"]
    if line.startswith("picture"):
        return report["first_token"]["p50_ms"] / 1e3
    return report["answered_per_s"]


class Server:
    def __init__(self, name, command, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.name, self.log, self.begin = name, log, time.monotonic()
        words = [word.replace("{port}", str(self.port)) for word in shlex.split(command)]
        self.process = subprocess.Popen(words, stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True,
                                        env=os.environ | {"PORT": str(self.port)})

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def wait(self, limit_s):
        """Returns the seconds from the start until a first answer."""
        body = json.dumps({"model": self.model(limit_s), "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 1}).encode()
        while True:
            with contextlib.suppress(urllib.error.URLError, OSError):
                request = urllib.request.Request(self.url + "/chat/completions", body, {"Content-Type": "application/json"})
                urllib.request.urlopen(request, timeout=limit_s).read()
                return time.monotonic() - self.begin
            self.check(limit_s)

    def model(self, limit_s):
        while True:
            with contextlib.suppress(urllib.error.URLError, OSError):
                with urllib.request.urlopen(self.url + "/models", timeout=limit_s) as answer:
                    return json.load(answer)["data"][0]["id"]
            self.check(limit_s)

    def check(self, limit_s):
        if self.process.poll() is not None or time.monotonic() - self.begin > limit_s:
            sys.exit(f"{self.name} did not start:\n{self.log.read_text()[-3000:]}")
        time.sleep(0.1)

    def memory(self):
        """Bytes of the server's processes, shared pages divided among those that share them."""
        total = 0
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                if os.getpgid(int(process.name)) == self.process.pid:
                    total += int(re.search(r"^Pss:\s+(\d+)", (process / "smaps_rollup").read_text(), re.MULTILINE)[1]) * 1024
        return total

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self):
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)


def ask(server, line, seed, options):
    run = subprocess.run([options.binary, "bench", "--url", server.url, "--json", "--ignore-eos", "--warm-up", "0", "--seed", str(seed),
                          *map(str, LINES[line][1])], capture_output=True, text=True)
    report = json.loads(run.stdout) if run.stdout else {}
    if run.returncode != 0 or report["errors"]:
        print(f"{server.name} does not answer the line {line}: {run.stderr}{report.get('errors', '')}", file=sys.stderr)
        return None
    return figure_of(line, report)


def commands(options):
    found = dict(server.split("=", 1) for server in options.server)
    for name in filter(None, options.servers.split(",")):
        kit = f"env PEERS={shlex.quote(str(options.install))} "
        if name == "uhd":
            found[name] = UHD
        elif name == "vllm":
            found[name] = kit + f"{options.kit}/vserve.sh {{model}}"
        elif name == "vllm-compiled":
            found[name] = kit + f"EAGER= {options.kit}/vserve.sh {{model}} --skip-mm-profiling"
        elif name == "llama":
            stem = options.model.name.removeprefix("bench-")
            found[name] = kit + f"{options.kit}/lserve.sh {options.gguf}/{stem}-bf16.gguf {options.gguf}/{stem}-mmproj-bf16.gguf"
        else:
            sys.exit(f"{name} is not known; say --server '{name}=COMMAND'")
    return {name: command.replace("{binary}", options.binary).replace("{model}", str(options.model)) for name, command in found.items()}


def roofs(options):
    """Bytes a second that memory gives, and bfloat16 products a second, of two operations each."""
    done = subprocess.run([options.binary, "calibrate", "--json"], capture_output=True, text=True, check=True)
    machine = json.loads(done.stdout)
    return machine["memory_gb_s"] * 1e9, machine["bf16_tflops"] * 1e12


def share_of(line, figure, weights, roof):
    if line == "prefill":
        return figure * weights / roof[1]  # two bytes and two operations each
    if line.startswith("decode"):
        return figure * weights / (int(line.removeprefix("decode")) * roof[0])
    return None


def table(results, weights, roof):
    names = list(results)
    peers = [name for name in names if name != "uhd"]
    rows = ["| | " + " | ".join(names) + " | uhd / best peer | uhd, share of the roof |", "|---" * (len(names) + 3) + "|"]
    for line, (title, _, more) in LINES.items():
        middle = {name: statistics.median(values[line]) for name, values in results.items() if values.get(line)}
        if not middle:
            continue
        best = [middle[name] for name in peers if name in middle]
        ratio = share = ""
        if "uhd" in middle and best:
            ratio = f"{middle['uhd'] / max(best) if more else min(best) / middle['uhd']:.2f}"
        if "uhd" in middle and roof and (part := share_of(line, middle["uhd"], weights, roof)):
            share = f"{100 * part:.0f} %"
        rows.append(f"| {title} | " + " | ".join(f"{middle[name]:.3g}" if name in middle else "-" for name in names) + f" | {ratio} | {share} |")
    for key, title in (("start", "start to the first answer, s"), ("memory", "memory at the end (Pss), GiB")):
        rows.append(f"| {title} | " + " | ".join(f"{results[name][key]:.3g}" for name in names) + " | | |")
    return "\n".join(rows)


def plot(results):
    """As SVG: for each line, bars of all servers as parts of the best."""
    colours = ["#2f6f9f", "#c9772f", "#5f9f5f", "#9f5f8f", "#7f7f7f"]
    rows, y = [], 30
    for line, (title, _, more) in LINES.items():
        middle = {name: statistics.median(values[line]) for name, values in results.items() if values.get(line)}
        if not middle:
            continue
        rows.append(f'<text x="8" y="{y}" font-weight="bold">{title}</text>')
        best = max(middle.values()) if more else min(middle.values())
        for name, value in middle.items():
            width = 300 * (value / best if more else best / value)
            y += 20
            rows.append(f'<text x="8" y="{y}">{name}</text><rect x="130" y="{y - 12}" width="{width:.1f}" height="15" '
                        f'fill="{colours[list(results).index(name) % len(colours)]}"/><text x="{136 + width:.1f}" y="{y}">{value:.3g}</text>')
        y += 32
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="520" height="{y}" font-family="sans-serif" font-size="13">'
            f'<rect width="520" height="{y}" fill="white"/>' + "".join(rows) + "</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a checkpoint that all servers read")
    parser.add_argument("--servers", default="", help="of the kit, and uhd: uhd, vllm, vllm-compiled, llama")
    parser.add_argument("--server", action="append", default=[], help="NAME=COMMAND")
    parser.add_argument("--kit", type=pathlib.Path)
    parser.add_argument("--install", type=pathlib.Path, help="where the kit installed the peers")
    parser.add_argument("--gguf", type=pathlib.Path, help="folder with llama.cpp's form of the checkpoint")
    parser.add_argument("--lines", default=",".join(LINES), help="of the table: " + ", ".join(LINES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binary", default=str(ROOT / "build/release/uhd"))
    parser.add_argument("--logs", type=pathlib.Path, default=pathlib.Path("."), help="folder for the servers' logs")
    parser.add_argument("--start-limit", type=float, default=600, help="seconds")
    parser.add_argument("--plot", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    roof = roofs(options)
    servers, results = [], {}
    try:
        for name, command in commands(options).items():
            server = Server(name, command, options.logs / f"{name}.log")
            servers.append(server)
            results[name] = {"start": server.wait(options.start_limit)}
            print(f"{name} answers after {results[name]['start']:.1f} s", file=sys.stderr, flush=True)
        for turn in range(options.rounds + 1):
            for line in options.lines.split(","):
                for server in servers:
                    for other in servers:
                        other.send(signal.SIGCONT if other is server else signal.SIGSTOP)
                    figure = ask(server, line, 1000 * turn + list(LINES).index(line), options)
                    if figure is not None and turn > 0:  # the first round warms up
                        results[server.name].setdefault(line, []).append(figure)
                        print(f"round {turn}, {line}, {server.name}: {figure:.4g}", file=sys.stderr, flush=True)
        for server in servers:
            server.send(signal.SIGCONT)
            results[server.name]["memory"] = server.memory() / 2**30
        booked = re.search(r"language model +([0-9.]+) MiB", (options.logs / "uhd.log").read_text()) if "uhd" in results else None
        text = table(results, float(booked[1]) * 2**20 if booked else 0, roof if booked else None)
        print(text)
        print(f"\nMedians of {options.rounds} rounds. Memory reads {roof[0] / 1e9:.1f} GB/s, products of bfloat16 reach {roof[1] / 1e12:.2f} TFLOP/s.")
        if options.plot:
            options.plot.write_text(plot(results))
        if options.json:
            options.json.write_text(json.dumps({"results": results, "memory_bytes_s": roof[0], "bf16_flops": roof[1]}, indent=1))
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main()
