#!/usr/bin/env python3
"""Sweeps ranks, encoders, streams and formats on real ranks of this machine, and writes a table and a report with plots.

    bench/scaling.py --model models/nano-uhd --out build/scaling            # everything, about ten minutes
    bench/scaling.py --model DIR --out DIR --sweeps encoders,streams

Each point starts a server (under mpirun where it has several ranks), sends a load with `uhd bench` and reads the CPU time of every rank. Points
that OUT/points.csv holds already are not run again, so a sweep that was stopped goes on. OUT/report.html needs nothing else.

A rank has one thread. Where ranks outnumber cores, wall time says nothing about scaling; then the CPU time of the busiest rank stands for it:
it is the time that the slowest rank would take on a core of its own, without waiting for the others. The report says which is which.

The report also says where an answer's time goes by the server's own histograms, what sums of LLM ranks and transfers of rows cost, and how far
each point is from the roof that `uhd calibrate` measures for one thread (OUT/machine.json). Standard library only.
"""

import argparse
import csv
import html
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIELDS = ["sweep", "x", "tensor_parallel", "encoders", "streams", "format", "turns", "wall_s", "turns_per_s", "tokens_per_s", "first_ms", "token_ms",
          "llm_cpu_s", "encoder_cpu_s", "busiest_s", "all_cpu_s",
          "queue_s", "cut_s", "encode_s", "first_s", "decode_s", "transfer_s", "sums_s", "steps", "step_s", "rows", "slices", "encode_flops"]
# The server's own counts of a run.
COUNTS = {"queue_s": "uhd_queue_seconds_sum", "cut_s": "uhd_preprocess_seconds_sum", "encode_s": "uhd_encode_seconds_sum",
          "first_s": "uhd_ttft_seconds_sum", "decode_s": "uhd_decode_seconds_sum", "transfer_s": "uhd_transfer_seconds_sum",
          "sums_s": "uhd_collective_seconds_total", "steps": "uhd_step_seconds_count", "step_s": "uhd_step_seconds_sum",
          "rows": "uhd_prefill_tokens_total", "slices": "uhd_slices_encoded_total"}
STAGES = ("queue", "cut", "encode", "prefill", "decode")
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")
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


def counts(url):
    """The sums of COUNTS over all labels; a series that is not there has counted nothing."""
    text = urllib.request.urlopen(url + "/metrics", timeout=30).read().decode()
    return {name: sum(float(value) for value in re.findall(rf"^{series}(?:{{[^\n]*}})? (\S+)$", text, re.M)) for name, series in COUNTS.items()}


def encode_flops(url, load):
    """Of one picture of this load, by the server's plan."""
    if "--size" not in load:
        return 0
    width, height = map(int, load[load.index("--size") + 1].split("x"))
    body = {"messages": [{"role": "user", "content": [{"type": "image_size", "width": width, "height": height}]}]}
    request = urllib.request.Request(url + "/v1/plan", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=30))["flops"]["encode"]


def measured_by(options, *arguments):
    """What a command of uhd prints as JSON."""
    return json.loads(subprocess.run([options.binary, *arguments, "--json"], capture_output=True, text=True, check=True).stdout)


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
        self.url = ready.group(1).rstrip("/").removesuffix("/v1")
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
        flops = encode_flops(server.url, point["load"])
        known = counts(server.url)
        before = [cpu_seconds(pid) for pid in server.ranks]
        run = subprocess.run([*bench, "--sessions", str(options.rounds * point["streams"]), "--warm-up", "0"], capture_output=True, text=True)
        used = [cpu_seconds(pid) - start for pid, start in zip(server.ranks, before)]
        counted = {name: value - known[name] for name, value in counts(server.url).items()}
    finally:
        server.stop()
    if run.returncode:
        raise SystemExit(run.stderr or run.stdout)
    report = json.loads(run.stdout)
    if report["errors"]:
        raise SystemExit(f"{sweep} {x}: {report['errors']}")
    # With encoders, the stage that is swept is theirs: the busiest of them is what a picture waits for.
    stage = used[tensor_parallel:] if encoders else used
    counted["rows"] += report["answer_tokens_per_s"] * report["seconds"]  # of prompts so far
    return {**counted, "encode_flops": flops, "sweep": sweep, "x": x, "tensor_parallel": tensor_parallel, "encoders": encoders, "streams": point["streams"],
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


def stages(rows):
    """Stacked bars: where the time of an answer goes. Prefill begins before the last slice is encoded, so its part is what it adds."""
    def of(row):
        queue, cut, encode, first, decode = (float(row[name]) / float(row["turns"]) for name in ("queue_s", "cut_s", "encode_s", "first_s", "decode_s"))
        return queue, cut, encode, max(0, first - queue - cut - encode), decode

    each = [(row["x"], of(row)) for row in rows]
    top = max(sum(values) for _, values in each) or 1
    lines = [f'<svg width="640" height="{58 + 24 * len(each)}" font-family="sans-serif" font-size="12">'
             '<text y="14" font-size="14">where the time of an answer goes, by the server\'s clock</text>']
    for i, stage in enumerate(STAGES):
        lines.append(f'<rect x="{70 + 90 * i}" y="22" width="10" height="10" fill="{COLOURS[i]}"/><text x="{84 + 90 * i}" y="31">{stage}</text>')
    for row, (name, values) in enumerate(each):
        y, x = 40 + 24 * row, 70.0
        lines.append(f'<text y="{y + 13}">{html.escape(str(name))}</text>')
        for value, colour in zip(values, COLOURS):
            width = 420 * value / top
            lines.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="17" fill="{colour}"/>')
            x += width
        lines.append(f'<text x="{x + 6:.1f}" y="{y + 13}">{1000 * sum(values):.0f} ms</text>')
    return "".join(lines) + "</svg>"


def on_the_roof(options, row, weights):
    """Operations for each byte of weights, and operations a second of one rank: of all steps of the language model, or of the pictures."""
    if float(row["encode_flops"]):
        work = float(row["encode_flops"]) * float(row["turns"])
        return work / (float(row["slices"]) * weights(1, "none")["encoder_rank"]["weights"]), work / float(row["encoder_cpu_s"])
    ranks = int(row["tensor_parallel"])
    work = 2 * float(row["rows"]) * weights(ranks, "none")["llm_rank"]["weights"] / 2  # a multiplication and a sum for each of two bytes
    return work / (float(row["steps"]) * weights(ranks, row["format"])["llm_rank"]["weights"]), work / float(row["step_s"])


def roofline(options, rows):
    machine = options.out / "machine.json"
    if not machine.exists():
        print("measuring this machine's roofs", flush=True)
        machine.write_text(json.dumps(measured_by(options, "calibrate", "--threads", "1", "--name", "one thread")))
    roofs = json.loads(machine.read_text())
    peak, bandwidth = roofs["bf16_tflops"] * 1e12, roofs["memory_gb_s"] * 1e9
    known = {}

    def weights(ranks, quantize):
        if (ranks, quantize) not in known:
            form = [] if quantize == "none" else ["--format", quantize]
            known[ranks, quantize] = measured_by(options, "check", "--model", options.model, "--tp", str(ranks), *form)["memory"]["cpu"]
        return known[ranks, quantize]

    points = [(row["sweep"], row["x"], *on_the_roof(options, row, weights)) for row in rows if float(row["step_s"])]
    low_x, high_x = min([p[2] for p in points] + [1]) / 2, max([p[2] for p in points] + [4 * peak / bandwidth]) * 2
    low_y, high_y = min([p[3] for p in points] + [peak / 100]) / 2, peak * 2
    place_x = lambda x: 70 + 520 * math.log(x / low_x) / math.log(high_x / low_x)  # noqa: E731
    place_y = lambda y: 330 - 290 * math.log(y / low_y) / math.log(high_y / low_y)  # noqa: E731
    corner = peak / bandwidth
    start = max(low_x, low_y / bandwidth)
    path = " ".join(f"{place_x(x):.1f},{place_y(min(peak, x * bandwidth)):.1f}" for x in (start, corner, high_x))
    lines = ['<svg width="640" height="390" font-family="sans-serif" font-size="12">',
             f'<polyline points="{path}" fill="none" stroke="#444" stroke-width="2"/>',
             '<path d="M70 40V330H590" fill="none" stroke="#999"/>',
             '<text x="200" y="370">operations for each byte of weights</text><text x="0" y="14">operations a second of one rank</text>']
    for power in range(math.ceil(math.log10(low_x)), math.floor(math.log10(high_x)) + 1):
        lines.append(f'<text x="{place_x(10**power) - 8:.1f}" y="346">{10**power:g}</text>')
    for power in range(math.ceil(math.log10(low_y)), math.floor(math.log10(high_y)) + 1):
        lines.append(f'<text x="4" y="{place_y(10**power) + 4:.1f}">{10**(power - 9):g} G</text>')
    names = list(dict.fromkeys(p[0] for p in points))
    for i, name in enumerate(names):
        lines.append(f'<circle cx="450" cy="{250 + 15 * i}" r="4" fill="{COLOURS[i]}"/><text x="460" y="{254 + 15 * i}">{html.escape(name)}</text>')
    for sweep, x, intensity, speed in points:
        share = 100 * speed / min(peak, intensity * bandwidth)
        lines.append(f'<circle cx="{place_x(intensity):.1f}" cy="{place_y(speed):.1f}" r="4" fill="{COLOURS[names.index(sweep)]}">'
                     f'<title>{html.escape(sweep)} {html.escape(str(x))}: {share:.0f} % of the roof</title></circle>')
    table = "".join(f"<tr><td>{html.escape(sweep)}</td><td>{html.escape(str(x))}</td><td>{intensity:.2f}</td><td>{speed / 1e9:.1f}</td>"
                    f"<td>{100 * speed / min(peak, intensity * bandwidth):.0f} %</td></tr>" for sweep, x, intensity, speed in points)
    return (f"<h2>Roofline of one thread</h2>{''.join(lines)}</svg><p>The roof is what <code>uhd calibrate --threads 1</code> measured: {peak / 1e9:.0f} "
            f"GFLOP/s and {bandwidth / 1e9:.1f} GB/s. Decode points are all steps of a run, prompts among them, by the leader's clock; pictures are the "
            "tower's work by the encoders' CPU time. Small models do not fill it: their weights stay in the caches, and what a step costs besides "
            "products weighs more. Where ranks outnumber cores, steps wait for each other.</p>"
            f"<table><tr><th>sweep</th><th></th><th>operations a byte</th><th>GFLOP/s</th><th>of the roof</th></tr>{table}</table>")


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
    out.append(stages(rows))
    if sweep == "tensor_parallel":
        out.append(bars("of which sums of the LLM ranks, waiting included, for each step", "ms",
                        [(n, 1000 * number(r, "sums_s") / max(1, number(r, "steps"))) for n, r in zip(names, rows)], 3))
    if sweep in ("encoders", "weak_encoders"):
        out.append(bars("of which transfers of rows, for each slice", "ms",
                        [(n, 1000 * number(r, "transfer_s") / max(1, number(r, "slices"))) for n, r in zip(names, rows)], 3))
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
    if any(set(FIELDS) - set(row) for row in known.values()):
        raise SystemExit(f"{table} has other columns: give another folder")
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
    (options.out / "report.html").write_text(f"<!doctype html><meta charset=utf-8>{head}{''.join(parts)}{roofline(options, rows)}\n")
    print(f"{table} and {options.out / 'report.html'}")


if __name__ == "__main__":
    main()
