#!/usr/bin/env python3
"""What one client's pictures do to another client's answers, for several settings of the server, by turns.

    bench/scheduling.py gaps  --model DIR --with= --with=--engine.tpot_target_ms=0
    bench/scheduling.py chats --model DIR --with= --with=--engine.tpot_target_ms=0
    bench/scheduling.py chats --url http://127.0.0.1:8000/v1
    bench/scheduling.py turns --model models/nano-uhd --with= --with=--engine.prefix_cache=false
    bench/scheduling.py work  --model DIR --with= --with=--engine.deterministic=true --with=--encoders.batch_patches=1
    bench/scheduling.py show  --model DIR --out FOLDER

gaps: some answers stream, and pictures of another client arrive. Prints the gaps between their tokens meanwhile.
chats: a client posts many pictures at once, and another asks a short question every second. Prints how long those wait for
their first tokens, alone and beside the pictures. With --one-key both have one key, so that nobody takes turns: first come
first served.
turns: a conversation of five turns about the demo's picture. Prints for each turn the tokens that were computed and kept and
the seconds to the first token, and how many slices were encoded in all.
work: prints the processor seconds of the server for a picture, for a long prompt, and for the tokens of an answer. They say
what a setting costs, on a busy machine too. With --ranks they are of all ranks of the language model.
show: chats, gaps and turns, with each feature switched in turn. Writes table.md, figures.json and plot.svg into a folder.

Each setting gets a server of its own, for every round, in one process; with --url, gaps and chats ask a server that runs
already, this or another. `uhd bench` sends all requests, from traces that this program writes. Standard library only.
"""

import argparse
import contextlib
import csv
import json
import os
import pathlib
import shlex
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
KEYS = ["key-of-the-one-client", "key-of-the-other-client"]


def session(at_s, text, tokens, picture=None, beside=False):
    """A line of a trace."""
    turn = {"text": text, "pictures": [picture] if picture else [], "max_tokens": tokens}
    return {"at_us": round(at_s * 1e6), "think_us": 0, "beside": beside, "turns": [turn]}


class Server:
    """A server that is up, and what it is asked."""

    def __init__(self, url, options, pid=None):
        self.url, self.options, self.pid = url, options, pid

    def get(self, path):
        request = urllib.request.Request(self.url + path, headers={"Authorization": "Bearer " + KEYS[0]})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def ready(self):
        try:
            return self.get("/ready") is not None
        except (urllib.error.URLError, OSError):
            return False

    def bench(self, *arguments):
        run = subprocess.run([self.options.binary, "bench", "--url", self.url + "/v1", "--json", "--ignore-eos", "--warm-up", "0",
                              "--timeout", str(self.options.timeout), "--key", KEYS[0], *map(str, arguments)], capture_output=True, text=True)
        if run.returncode != 0:
            raise SystemExit(run.stdout + run.stderr)
        report = json.loads(run.stdout)
        if report["errors"]:
            raise SystemExit(f"answers failed: {report}")
        return report

    def replay(self, sessions, *arguments):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as trace:
            trace.writelines(json.dumps(line) + "\n" for line in sessions)
            trace.flush()
            return self.bench("--replay", trace.name, *arguments)

    def metrics(self):
        lines = [line for line in self.get("/metrics").splitlines() if line and not line.startswith("#")]
        return [(name, float(value)) for name, value in (line.rsplit(" ", 1) for line in lines)]

    def counter(self, series):
        return sum(value for name, value in self.metrics() if name.startswith(series))


def seconds(spread, name):
    return spread[name + "_ms"] / 1e3


def pictures(options, seed):
    """Sessions of the client whose pictures come at once, after those of the other have begun."""
    drawn = [{"kind": "photo", "width": options.size[0], "height": options.size[1], "seed": 1000 * seed + i} for i in range(options.pictures)]
    return [session(options.lead, f"{seed} {i} What is it?", options.picture_tokens, picture) for i, picture in enumerate(drawn)]


def gap_counts(server):
    """How many gaps between tokens the server counted, by their upper bounds."""
    found, below = {}, 0
    for name, value in server.metrics():
        if name.startswith("uhd_tpot_seconds_bucket"):
            found[float(name.split('le="')[1].split('"')[0])], below = value - below, value
    return found


def gaps(server, options, seed):
    streams = [session(0, f"{seed} {i} Tell me more.", options.tokens, beside=True) for i in range(options.streams)]
    # A checkpoint of seeded weights has answers that show no text for long: the server's own gaps count them, too.
    before = {} if options.url else gap_counts(server)
    report = server.replay(streams + pictures(options, seed), "--beside-key", KEYS[1])
    found = {f"gap {name}": seconds(report["beside_among"]["gap"], name) for name in ("p50", "p99", "max")}
    if not options.url:
        after = gap_counts(server)
        found["gap of tokens below"] = max([limit for limit, count in after.items() if count > before.get(limit, 0)], default=0)
    return found | {"picture p50": seconds(report["first_token"], "p50"), "all pictures": report["seconds"]}


def chats(server, options, seed):
    asked = [session(i * options.every, f"{seed} {i} What is two and two?", 8, beside=True) for i in range(int(options.timeout / options.every))]
    report = server.replay(asked + pictures(options, seed), "--beside-key", KEYS[0] if options.one_key else KEYS[1])
    alone, beside = report["beside_before"]["first_token"], report["beside_among"]["first_token"]
    return {"alone p50": seconds(alone, "p50"), "alone max": seconds(alone, "max"), "chat p50": seconds(beside, "p50"),
            "chat p99": seconds(beside, "p99"), "all pictures": report["seconds"], "chats": report["beside_among"]["turns"],
            "of them refused": sum(report["beside_among"]["errors"].values())}


def turns(server, options, seed):
    encoded = server.counter("uhd_slices_encoded_total")
    with tempfile.NamedTemporaryFile("r", suffix=".csv") as table:
        server.bench("--picture", ROOT / "models/nano-uhd/demo/page.png", "--text", 20, "--tokens", 8, "--turns", 5, "--sessions", 1,
                     "--seed", seed, "--csv", table.name)
        found = {}
        for row in csv.DictReader(table):
            turn = int(row["turn"]) + 1
            found |= {f"turn {turn} computed": int(row["prompt_tokens"]) - int(row["cached_tokens"]), f"turn {turn} kept": int(row["cached_tokens"]),
                      f"turn {turn} first token": float(row["first_token_s"])}
    return found | {"encoded in all": server.counter("uhd_slices_encoded_total") - encoded}


def processor_seconds(pid):
    """Of all threads of a process and of those that it started, as Linux counts them."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    children = [child for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(map(processor_seconds, children))


def work(server, options, seed):
    asked = {"a picture": ["--pictures", "photo", "--size", "{}x{}".format(*options.size), "--tokens", 1],
             "a prompt": ["--text", 1200, "--tokens", 1],
             "100 tokens": ["--text", 20, "--tokens", 100]}
    found = {}
    for name, arguments in asked.items():
        before = processor_seconds(server.pid)
        server.bench("--sessions", 1, "--seed", seed, *arguments)
        found[name] = processor_seconds(server.pid) - before
    return found


@contextlib.contextmanager
def started(options, settings):
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        keys = pathlib.Path(folder, "keys")
        keys.write_text("\n".join(KEYS) + "\n")
        keys.chmod(0o600)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [options.binary, "serve", f"--model.path={options.model}", f"--net.port={port}", f"--net.api_keys_file={keys}",
                   "--net.max_requests_per_client=10000", "--engine.max_waiting=10000", f"--net.request_timeout_s={options.timeout}", *settings]
        if options.ranks > 1:
            command = ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", str(options.ranks), *command, f"--llm.tensor_parallel={options.ranks}"]
        with open(pathlib.Path(folder, "log"), "w+") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                server = Server(f"http://127.0.0.1:{port}", options, process.pid)
                while not server.ready():
                    if process.poll() is not None:
                        log.seek(0)
                        raise SystemExit(log.read())
                    time.sleep(0.1)
                yield server
            finally:
                process.terminate()
                process.wait()


MEASURED = {"gaps": gaps, "chats": chats, "turns": turns, "work": work}


def measure(options, settings, seed):
    if options.url:
        return MEASURED[options.what](Server(options.url.removesuffix("/").removesuffix("/v1"), options), options, seed)
    with started(options, shlex.split(settings)) as server:
        server.bench("--pictures", "photo", "--size", "300x300", "--sessions", 1, "--tokens", 4, "--seed", 77)  # first uses are not measured
        return MEASURED[options.what](server, options, seed)


# What is measured, under which name, with which settings, of both clients with one key or with two.
SHOWN = [
    ("chats", "first come first served", "", True),
    ("chats", "turns", "", False),
    ("chats", "turns, passes whole", "--engine.tpot_target_ms=0", False),
    ("chats", "turns, no pages kept", "--engine.prefix_cache=false", False),
    ("gaps", "passes whole", "--engine.tpot_target_ms=0", False),
    ("gaps", "passes divided", "", False),
    ("turns", "slices kept", "--engine.prefix_cache=false", False),
    ("turns", "slices and pages kept", "", False),
]


# Of these a plot is drawn.
PLOTTED = [("chats", "chat p50"), ("chats", "chat p99"), ("chats", "all pictures"), ("gaps", "gap p50"), ("gaps", "gap p99"), ("gaps", "all pictures"),
           ("turns", "turn 2 first token"), ("turns", "turn 5 first token")]


def plot(middle):
    """As SVG: for each figure a bar for each name, as long as its part of the longest."""
    rows, y = [], 24
    for what, figure in PLOTTED:
        values = middle[what][figure]
        longest = max(values.values()) or 1
        rows.append(f'<text x="8" y="{y}" font-weight="bold">{what}: {figure}, s</text>')
        for name, value in values.items():
            y += 21
            width = 330 * value / longest
            rows.append(f'<text x="8" y="{y}">{name}</text><rect x="180" y="{y - 13}" width="{width:.1f}" height="16" fill="#4878a8"/>'
                        f'<text x="{186 + width:.1f}" y="{y}">{value:.3g}</text>')
        y += 34
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="{y}" font-family="sans-serif" font-size="13">'
            f'<rect width="600" height="{y}" fill="white"/>' + "".join(rows) + "</svg>\n")


def show(options):
    folder = pathlib.Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for turn in range(options.rounds):
        for what, name, settings, one_key in SHOWN:
            large = argparse.Namespace(**vars(options) | {"what": what, "one_key": one_key})
            if what == "chats":
                large.pictures, large.size = options.posters, (3000, 4000)
            for figure, value in measure(large, settings, turn + 1).items():
                found.setdefault(what, {}).setdefault(figure, {}).setdefault(name, []).append(value)
            print(what, name, *[f"{figure} {values[name][-1]:.3f}" for figure, values in found[what].items()], sep="  ", flush=True)
            (folder / "figures.json").write_text(json.dumps(found, indent=1))
    middle = {what: {figure: {name: statistics.median(values) for name, values in by_name.items()} for figure, by_name in figures.items()}
              for what, figures in found.items()}
    lines = [f"The median of {options.rounds} rounds, in seconds and counts.", ""]
    for what, figures in middle.items():
        names = list(next(iter(figures.values())))
        lines += ["| " + what + " | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| {figure} | " + " | ".join(f"{by_name[name]:.3g}" for name in names) + " |" for figure, by_name in figures.items()]
        lines.append("")
    (folder / "table.md").write_text("\n".join(lines))
    (folder / "plot.svg").write_text(plot(middle))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*MEASURED, "show"])
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--model", help="the checkpoint to serve")
    server.add_argument("--url", help="a server that runs already, for gaps and chats")
    parser.add_argument("--binary", default=str(ROOT / "build/release/uhd"))
    parser.add_argument("--with", dest="settings", action="append", help="settings of one of the servers; may be given again")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--size", type=lambda s: tuple(map(int, s.split("x"))), default=(2000, 3000), metavar="WxH")
    parser.add_argument("--picture-tokens", type=int, default=16, help="of an answer about a picture")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=2000, help="of an answer that streams")
    parser.add_argument("--every", type=float, default=1, help="seconds between chats")
    parser.add_argument("--lead", type=float, default=10, help="seconds before the pictures come")
    parser.add_argument("--timeout", type=int, default=3600, help="seconds of one answer, and of all chats")
    parser.add_argument("--one-key", action="store_true", help="both clients have one key")
    parser.add_argument("--ranks", type=int, default=1, help="of the language model, under mpirun")
    parser.add_argument("--posters", type=int, default=40, help="of the show, 3000x4000 each")
    parser.add_argument("--out", default="scheduling", help="the folder of the show")
    options = parser.parse_args()
    if options.url and options.what not in ("gaps", "chats"):
        parser.error("--url is for gaps and chats")
    if options.what == "show":
        return show(options)
    for turn in range(options.rounds):
        for settings in options.settings or [""]:
            figures = measure(options, settings, turn + 1)
            print(settings or options.url or "(defaults)", *[f"{name} {value:.3f}" for name, value in figures.items()], sep="  ", flush=True)


if __name__ == "__main__":
    main()
