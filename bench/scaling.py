#!/usr/bin/env python3
"""Sweeps ranks, encoders, streams and formats on real ranks of this machine, and writes a table and a report with plots.

    bench/scaling.py --model models/nano-uhd --out build/scaling            # everything, about ten minutes
    bench/scaling.py --model DIR --out DIR --sweeps encoders,streams

Each point starts a server (under mpirun where it has several ranks), sends a load with `uhd bench` and reads the CPU time of every rank. Points
that OUT/points.csv holds already are not run again, so a sweep that was stopped goes on. OUT/report.html needs nothing else.

A rank has one thread. Where ranks outnumber cores, wall time says nothing about scaling; then the CPU time of the busiest rank stands for it:
it is the time that the slowest rank would take on a core of its own, without waiting for the others. The report says which is which.
Standard library only.
"""

import argparse
import csv
import html
import json
import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIELDS = ["sweep", "x", "tensor_parallel", "encoders", "streams", "format", "turns", "wall_s", "turns_per_s", "tokens_per_s", "first_ms", "token_ms",
          "llm_cpu_s", "encoder_cpu_s", "busiest_s", "all_cpu_s"]
# Each point: its place on the x axis, what it changes, and the load. Weights of a picture's slices bind where one token is asked for.
DECODE = ["--text", "200", "--tokens", "48", "--ignore-eos"]
PICTURE = ["--pictures", "document", "--size", "672x1008", "--text", "40", "--tokens", "1"]
SWEEPS = {
    "tensor_parallel": ("LLM ranks, prompts and answers", [(n, {"tensor_parallel": n, "streams": 4, "load": DECODE}) for n in (1, 2, 4)]),
    "encoders": ("encoder ranks, one picture at a time", [(n, {"encoders": n, "streams": 1, "load": PICTURE}) for n in (1, 2, 3, 4)]),
    "weak_encoders": ("encoder ranks, as many pictures at once", [(n, {"encoders": n, "streams": n, "load": PICTURE}) for n in (1, 2, 4)]),
    "streams": ("answers at once", [(n, {"streams": n, "load": DECODE}) for n in (1, 2, 4, 8)]),
    "format": ("format of weights", [(f, {"format": f, "streams": 2, "load": DECODE}) for f in ("none", "int8", "int4")]),
}


def ranks_of(pid, binary):
    """The pids of the program below this one, in the order in which they began: that of their ranks."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        try:
            name = pathlib.Path(f"/proc/{one}/comm").read_text().strip()
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
        if name == pathlib.Path(binary).name[:15]:  # as the kernel cuts it
            found.append(one)
    return sorted(found)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, options, tensor_parallel, encoders, quantize, log):
        count = tensor_parallel + encoders
        launcher = [] if count == 1 else ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", str(count)]
        arguments = [f"--model.path={options.model}", f"--llm.tensor_parallel={tensor_parallel}", f"--encoders.count={encoders}", "--net.port=0",
                     "--backend.threads=1", f"--model.quantize={quantize}", "--engine.prefix_cache=false"]
        environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        with open(log, "w") as out:
            self.process = subprocess.Popen([*launcher, options.binary, "serve", *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment,
                                            start_new_session=True)
        for _ in range(1200):
            ready = re.search(r"^uhd serves .* at (\S+)", pathlib.Path(log).read_text(), re.M)
            if ready:
                break
            if self.process.poll() is not None:
                raise SystemExit(f"the server did not start: {log}")
            time.sleep(0.1)
        else:
            self.stop()
            raise SystemExit(f"the server was not ready in time: {log}")
        self.url = ready.group(1)
        self.ranks = ranks_of(self.process.pid, options.binary)
        if len(self.ranks) != count:
            self.stop()
            raise SystemExit(f"{len(self.ranks)} processes for {count} ranks")

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def measure(options, sweep, x, point):
    tensor_parallel, encoders = point.get("tensor_parallel", 1), point.get("encoders", 0)
    server = Server(options, tensor_parallel, encoders, point.get("format", "none"), options.out / f"{sweep}-{x}.log")
    try:
        bench = [options.binary, "bench", "--url", server.url, "--json", "--streams", str(point["streams"]), *point["load"]]
        warm = subprocess.run([*bench, "--sessions", str(point["streams"]), "--seed", "77", "--warm-up", "0"], capture_output=True, text=True)
        if warm.returncode:
            raise SystemExit(warm.stderr or warm.stdout)
        before = [cpu_seconds(pid) for pid in server.ranks]
        run = subprocess.run([*bench, "--sessions", str(options.rounds * point["streams"]), "--warm-up", "0"], capture_output=True, text=True)
        used = [cpu_seconds(pid) - start for pid, start in zip(server.ranks, before)]
    finally:
        server.stop()
    if run.returncode:
        raise SystemExit(run.stderr or run.stdout)
    report = json.loads(run.stdout)
    if report["errors"]:
        raise SystemExit(f"{sweep} {x}: {report['errors']}")
    # With encoders, the stage that is swept is theirs: the busiest of them is what a picture waits for.
    stage = used[tensor_parallel:] if encoders else used
    return {"sweep": sweep, "x": x, "tensor_parallel": tensor_parallel, "encoders": encoders, "streams": point["streams"],
            "format": point.get("format", "none"), "turns": report["turns"], "wall_s": report["seconds"], "turns_per_s": report["answered_per_s"],
            "tokens_per_s": report["answer_tokens_per_s"], "first_ms": report["first_token"]["p50_ms"], "token_ms": report["token"]["p50_ms"],
            "llm_cpu_s": sum(used[:tensor_parallel]), "encoder_cpu_s": sum(used[tensor_parallel:]), "busiest_s": max(stage), "all_cpu_s": sum(used)}


def bars(title, unit, rows, digits=2):
    """Horizontal bars: (name, value)."""
    top = max((value for _, value in rows), default=0) or 1
    lines = [f'<svg width="560" height="{34 + 24 * len(rows)}" font-family="sans-serif" font-size="12"><text y="14" font-size="14">{html.escape(title)}</text>']
    for i, (name, value) in enumerate(rows):
        y = 28 + 24 * i
        lines.append(f'<text y="{y + 13}">{html.escape(str(name))}</text><rect x="70" y="{y}" width="{380 * value / top:.1f}" height="17" fill="#1f77b4"/>'
                     f'<text x="{76 + 380 * value / top:.1f}" y="{y + 13}">{value:.{digits}f} {unit}</text>')
    return "".join(lines) + "</svg>"


def section(sweep, rows):
    first, cores = rows[0], os.cpu_count()
    out = [f"<h2>{html.escape(SWEEPS[sweep][0])}</h2>"]
    crowded = any(int(r["tensor_parallel"]) + int(r["encoders"]) > cores for r in rows)
    names = [r["x"] for r in rows]
    number = lambda row, key: float(row[key])  # noqa: E731
    out.append(bars("answers a second", "1/s", [(n, number(r, "turns_per_s")) for n, r in zip(names, rows)]))
    out.append(bars("median time to the first token", "ms", [(n, number(r, "first_ms")) for n, r in zip(names, rows)], 0))
    if sweep == "tensor_parallel":  # ranks wait for each other inside MPI, which counts as CPU time
        out.append(bars("speed-up of answers a second, by the wall clock", "times",
                        [(n, number(r, "turns_per_s") / number(first, "turns_per_s")) for n, r in zip(names, rows)]))
    if sweep in ("encoders", "weak_encoders"):
        each = [number(r, "busiest_s") / number(r, "turns") for r in rows]
        speed = [each[0] / e for e in each]
        out.append(bars("CPU time of the busiest encoder, for each picture", "s", list(zip(names, each)), 3))
        out.append(bars("speed-up by it", "times", list(zip(names, speed))))
        out.append(bars("efficiency: speed-up for each rank", "%", [(n, 100 * s / float(n)) for n, s in zip(names, speed)], 0))
    out.append(bars("where CPU time goes: LLM ranks, for each answer", "s", [(n, number(r, "llm_cpu_s") / number(r, "turns")) for n, r in zip(names, rows)], 3))
    if any(number(r, "encoder_cpu_s") for r in rows):
        out.append(bars("and encoders", "s", [(n, number(r, "encoder_cpu_s") / number(r, "turns")) for n, r in zip(names, rows)], 3))
    if crowded:
        out.append(f"<p>Some of these points have more ranks than the {cores} cores: look at CPU time there, and not at wall time.</p>")
    return "<br>".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/nano-uhd")
    parser.add_argument("--binary", default=str(ROOT / "build/release/uhd"))
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--sweeps", default=",".join(SWEEPS))
    parser.add_argument("--rounds", type=int, default=4, help="sessions of each stream")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "points.csv"
    known = {(r["sweep"], r["x"]): r for r in csv.DictReader(table.open())} if table.exists() else {}
    wanted = [(sweep, x, point) for sweep in options.sweeps.split(",") for x, point in SWEEPS[sweep][1]]
    left = [w for w in wanted if (w[0], str(w[1])) not in known]
    start = time.monotonic()
    for i, (sweep, x, point) in enumerate(left):
        row = measure(options, sweep, x, point)
        fresh = not table.exists()
        with table.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        spent = time.monotonic() - start
        print(f"{sweep} {x}: {row['turns_per_s']:.2f} answers/s, first token {row['first_ms']:.0f} ms, busiest {row['busiest_s']:.2f} s CPU; "
              f"{spent / (i + 1) * (len(left) - i - 1):.0f} s left", flush=True)
    rows = list(csv.DictReader(table.open()))
    parts = [section(sweep, [r for r in rows if r["sweep"] == sweep]) for sweep in SWEEPS if any(r["sweep"] == sweep for r in rows)]
    head = (f"<title>Scaling</title><h1>Scaling of {html.escape(options.model)}</h1>"
            f"<p>{os.cpu_count()} cores; a rank has one thread; {time.strftime('%Y-%m-%d')}</p>")
    (options.out / "report.html").write_text(f"<!doctype html><meta charset=utf-8>{head}{''.join(parts)}\n")
    print(f"{table} and {options.out / 'report.html'}")


if __name__ == "__main__":
    main()
