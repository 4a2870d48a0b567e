#!/usr/bin/env python3
"""Sweeps ranks, encoders, streams and formats on real ranks, and writes a table and a report with plots.

    bench/scaling.py --model models/nano-uhd --out build/scaling            # everything, some minutes
    bench/scaling.py --model DIR --out DIR --sweeps encoders,slices
    bench/scaling.py --model DIR --out DIR --ranks 64 --launcher 'srun -n {ranks}'

Each point starts a server (under mpirun where it has several ranks), sends a load with `uhd bench` and reads the CPU time of every rank. Points
that OUT/points.csv holds already are not run again, so a sweep that was stopped goes on. OUT/report.html needs nothing else.

As many ranks are tried as the machine has cores, and four at least. --ranks says another number, for a cluster; --launcher is the command that
starts so many ranks there, of which the first must run on this host, where the load comes from. CPU times are those of ranks on this host: where
not all of a point's are found here, as under Slurm, its row has none, and the report says so.

A rank has one thread. Where ranks outnumber cores, wall time says nothing about scaling; then the CPU time of the busiest rank stands for it:
it is the time that the slowest rank would take on a core of its own, without waiting for the others. The report says which is which, and how
far each point is from the roof that `uhd calibrate` measures for one thread (OUT/machine.json). Standard library only.
"""

import argparse
import contextlib
import csv
import functools
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time
import urllib.request

from scaling_report import TITLES, report

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIELDS = ["sweep", "x", "cores", "tensor_parallel", "encoders", "streams", "format", "turns", "wall_s", "turns_per_s", "tokens_per_s", "first_ms",
          "token_ms", "llm_cpu_s", "encoder_cpu_s", "busiest_s", "all_cpu_s", "rank_cpu_s",
          "queue_s", "cut_s", "encode_s", "first_s", "decode_s", "transfer_s", "sums_s", "steps", "step_s", "rows", "slices", "encode_flops"]
# The server's own counts of a run.
COUNTS = {"queue_s": "uhd_queue_seconds_sum", "cut_s": "uhd_preprocess_seconds_sum", "encode_s": "uhd_encode_seconds_sum",
          "first_s": "uhd_ttft_seconds_sum", "decode_s": "uhd_decode_seconds_sum", "transfer_s": "uhd_transfer_seconds_sum",
          "sums_s": "uhd_collective_seconds_total", "steps": "uhd_step_seconds_count", "step_s": "uhd_step_seconds_sum",
          "rows": "uhd_prefill_tokens_total", "slices": "uhd_slices_encoded_total"}
MOST_LLM_RANKS = 64  # that llm.tensor_parallel takes
# Weights of a picture's slices bind where one token is asked for.
DECODE = ["--text", "200", "--tokens", "48", "--ignore-eos"]
PICTURE = ["--pictures", "document", "--size", "672x1008", "--text", "40", "--tokens", "1"]
# Eleven slices of 336x336 and the overview are twelve pieces, which 1, 2, 3, 4, 6 and 12 encoders share evenly.
TALL = ["--pictures", "document", "--size", "336x3696", "--text", "40", "--tokens", "1"]
TALL_SETTINGS = ["--image.max_slices=11"]


def doubled(first, most):
    return [first << i for i in range(64) if first << i <= most]


def sweeps(cores):
    """The points of each sweep for a machine of so many cores: the place on the x axis, and what the point changes."""
    encoders = [1, 2, 3, 4, *doubled(8, cores)]
    return {
        "tensor_parallel": [(n, {"tensor_parallel": n, "streams": 4, "load": DECODE}) for n in doubled(1, min(max(4, cores), MOST_LLM_RANKS))],
        "encoders": [(n, {"encoders": n, "streams": 1, "load": PICTURE}) for n in encoders],
        "slices": [(n, {"encoders": n, "streams": 1, "load": TALL, "settings": TALL_SETTINGS}) for n in (1, 2, 3, 4, 6, 12) if n <= max(4, cores)],
        "weak_encoders": [(n, {"encoders": n, "streams": n, "load": PICTURE}) for n in doubled(1, max(4, cores))],
        "weak_tensor_parallel": [(n, {"tensor_parallel": n, "streams": 2 * n, "load": DECODE}) for n in doubled(1, min(max(4, cores), MOST_LLM_RANKS))],
        "streams": [(n, {"streams": n, "load": DECODE}) for n in (1, 2, 4, 8)],
        "batch": [(n, {"encoders": 1, "streams": 2, "load": PICTURE, "settings": [f"--encoders.batch_patches={n}"]}) for n in (1, 1024, 2048, 4096)],
        "format": [(f, {"format": f, "streams": 2, "load": DECODE}) for f in ("none", "int8", "int4")],
    }


def cores_of_machine(root="/sys/devices/system/cpu"):
    """Cores that this process may use, as mpirun counts them: two threads of a core are one."""
    def core(cpu):
        topology = pathlib.Path(root, f"cpu{cpu}", "topology")
        try:
            return (topology / "physical_package_id").read_text(), (topology / "core_id").read_text()
        except OSError:
            return cpu

    return len({core(cpu) for cpu in os.sched_getaffinity(0)})


def launcher_command(ranks, cores, template=None):
    """What stands before the program. Ranks that fit the cores have one each, so that none is moved to another's."""
    if template:
        return shlex.split(template.replace("{ranks}", str(ranks)))
    if ranks == 1:
        return []
    return ["mpirun", *(["--bind-to", "core"] if ranks <= cores else ["--bind-to", "none", "--oversubscribe"]), "-n", str(ranks)]


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
    """Of all threads, as the scheduler counts them: the clock of /proc/PID/stat has ticks of 10 ms."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


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


@functools.cache
def refusal(binary, model, ranks):
    """Why so many LLM ranks cannot share this model; nothing if they can."""
    run = subprocess.run([binary, "check", "--model", model, "--tp", str(ranks), "--json"], capture_output=True, text=True)
    return run.stderr.strip().rpartition("\n")[2] if run.returncode else ""


class Server:
    def __init__(self, options, tensor_parallel, encoders, quantize, settings, log):
        count = tensor_parallel + encoders
        launcher = launcher_command(count, cores_of_machine(), options.launcher)
        arguments = [f"--model.path={options.model}", f"--llm.tensor_parallel={tensor_parallel}", f"--encoders.count={encoders}", "--net.port=0",
                     "--backend.threads=1", f"--model.quantize={quantize}", "--engine.prefix_cache=false", *settings]
        environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        with open(log, "w") as out:
            self.process = subprocess.Popen([*launcher, options.binary, "serve", *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment,
                                            start_new_session=True)
        for _ in range(1200):
            ready = re.search(r"uhd serves .* at (\S+)", pathlib.Path(log).read_text())  # behind the rank where a launcher names it
            if ready:
                break
            if self.process.poll() is not None:
                raise SystemExit(f"the server did not start: {log}")
            time.sleep(0.1)
        else:
            self.stop()
            raise SystemExit(f"the server was not ready in time: {log}")
        self.url = ready.group(1).rstrip("/").removesuffix("/v1")
        ranks = ranks_of(self.process.pid, options.binary)
        self.ranks = ranks if len(ranks) == count else []  # others are on other hosts, or not below the launcher

    def stop(self):
        """Asks first: a launcher that is killed may leave its ranks on other hosts."""
        for sign, limit_s in ((signal.SIGTERM, 20), (signal.SIGKILL, None)):
            if self.process.poll() is not None:
                return
            os.killpg(self.process.pid, sign)
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                pass


def busiest_of_each(server, bench, tensor_parallel, pictures):
    """The CPU time of the busiest encoder of one picture, which need not be the same one for the next."""
    total = 0
    for picture in range(pictures):
        before = [cpu_seconds(pid) for pid in server.ranks]
        subprocess.run([*bench, "--sessions", "1", "--seed", str(1000 + picture), "--warm-up", "0"], capture_output=True, text=True, check=True)
        total += max(cpu_seconds(pid) - start for pid, start in list(zip(server.ranks, before))[tensor_parallel:])
    return total / pictures


def measure(options, sweep, x, point):
    tensor_parallel, encoders = point.get("tensor_parallel", 1), point.get("encoders", 0)
    server = Server(options, tensor_parallel, encoders, point.get("format", "none"), point.get("settings", []), options.out / f"{sweep}-{x}.log")
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
        alone = encoders > 0 and sweep != "weak_encoders" and used
        busiest = busiest_of_each(server, bench, tensor_parallel, options.rounds) if alone else None
    finally:
        server.stop()
    if run.returncode:
        raise SystemExit(run.stderr or run.stdout)
    told = json.loads(run.stdout)
    if told["errors"]:
        raise SystemExit(f"{sweep} {x}: {told['errors']}")
    counted["rows"] += told["answer_tokens_per_s"] * told["seconds"]  # of prompts so far
    columns = cpu_columns(used, tensor_parallel)
    if busiest is not None:
        columns["busiest_s"] = busiest * told["turns"]
    return {**counted, **columns, "encode_flops": flops, "sweep": sweep, "x": x, "cores": options.cores,
            "tensor_parallel": tensor_parallel, "encoders": encoders, "streams": point["streams"], "format": point.get("format", "none"),
            "turns": told["turns"], "wall_s": told["seconds"], "turns_per_s": told["answered_per_s"], "tokens_per_s": told["answer_tokens_per_s"],
            "first_ms": told["first_token"]["p50_ms"], "token_ms": told["token"]["p50_ms"]}


def cpu_columns(used, tensor_parallel):
    """Of the seconds of each rank, LLM ranks first; empty where they are not known."""
    if not used:
        return dict.fromkeys(("llm_cpu_s", "encoder_cpu_s", "busiest_s", "all_cpu_s", "rank_cpu_s"), "")
    llm, encoders = used[:tensor_parallel], used[tensor_parallel:]
    # With encoders, the stage that is swept is theirs: the busiest of them is what a picture waits for.
    return {"llm_cpu_s": sum(llm), "encoder_cpu_s": sum(encoders), "busiest_s": max(encoders or llm), "all_cpu_s": sum(used),
            "rank_cpu_s": " ".join(f"{seconds:.2f}" for seconds in used)}


def roofs(options):
    """Of one thread of this machine, measured once for a folder."""
    machine = options.out / "machine.json"
    if not machine.exists():
        print("measuring this machine's roofs", flush=True)
        machine.write_text(json.dumps(measured_by(options, "calibrate", "--threads", "1", "--name", "one thread", "--out", "-")))
    return json.loads(machine.read_text())


def weights_of(options):
    @functools.cache
    def weights(ranks, quantize):
        form = [] if quantize == "none" else ["--format", quantize]
        return measured_by(options, "check", "--model", options.model, "--tp", str(ranks), *form)["memory"]["cpu"]

    return weights


def points_left(options, known):
    """Points that are wanted, not known and possible; says which are not."""
    for sweep in options.sweeps:
        for x, point in sweeps(options.ranks)[sweep]:
            if (sweep, str(x)) in known:
                continue
            ranks = point.get("tensor_parallel", 1)
            if why := refusal(options.binary, options.model, ranks) if ranks > 1 else "":
                print(f"{sweep} {x} is left out: {why}", flush=True)
                continue
            yield sweep, x, point


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/nano-uhd")
    parser.add_argument("--binary", default=str(ROOT / "build/release/uhd"))
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--sweeps", default=",".join(TITLES), help="any of " + ",".join(TITLES))
    parser.add_argument("--rounds", type=int, default=4, help="sessions of each stream")
    parser.add_argument("--ranks", type=int, help="try as many as if there were so many cores (those of this machine)")
    parser.add_argument("--launcher", help="what starts {ranks} ranks, instead of mpirun on this machine: 'srun -n {ranks}'")
    options = parser.parse_args(arguments)
    options.sweeps = options.sweeps.split(",")
    if unknown := set(options.sweeps) - set(TITLES):
        parser.error(f"--sweeps: there is no {', '.join(sorted(unknown))}")
    if options.launcher and "{ranks}" not in options.launcher:
        parser.error("--launcher must say where the number of ranks stands: {ranks}")
    machine = cores_of_machine()
    options.ranks = options.ranks or machine
    options.cores = options.ranks if options.launcher else machine  # that the ranks have
    return options


def main(arguments=None):
    options = options_of(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "points.csv"
    known = {(r["sweep"], r["x"]): r for r in csv.DictReader(table.open())} if table.exists() else {}
    if any(set(FIELDS) - set(row) for row in known.values()):
        raise SystemExit(f"{table} has other columns: give another folder")
    left = list(points_left(options, known))
    start = time.monotonic()
    for i, (sweep, x, point) in enumerate(left):
        row = measure(options, sweep, x, point)
        fresh = not table.exists()
        with table.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        busiest = f"busiest {row['busiest_s']:.2f} s CPU" if row["busiest_s"] != "" else "CPU times unknown"
        spent = time.monotonic() - start
        print(f"{sweep} {x}: {row['turns_per_s']:.2f} answers/s, first token {row['first_ms']:.0f} ms, {busiest}; "
              f"{spent / (i + 1) * (len(left) - i - 1):.0f} s left", flush=True)
    if not table.exists():
        raise SystemExit("no point could be measured")
    rows = list(csv.DictReader(table.open()))
    (options.out / "report.html").write_text(report(options.model, rows, roofs(options), weights_of(options)))
    print(f"{table} and {options.out / 'report.html'}")


if __name__ == "__main__":
    main()
