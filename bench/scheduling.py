#!/usr/bin/env python3
"""What one client's pictures do to another client's answers, for several settings of the server, by turns.

    bench/scheduling.py gaps  --model DIR --with= --with=--engine.tpot_target_ms=0
    bench/scheduling.py chats --model DIR --with= --with=--engine.tpot_target_ms=0
    bench/scheduling.py turns --model models/nano-uhd --with= --with=--engine.prefix_cache=false
    bench/scheduling.py work  --model DIR --with= --with=--engine.deterministic=true --with=--encoders.batch_patches=1
    bench/scheduling.py show  --model DIR --out FOLDER

gaps: some answers stream, and pictures of another client arrive. Prints the gaps between their tokens meanwhile.
chats: a client posts many pictures at once, and another asks short questions, one a second. Prints how long those wait for
their first tokens, alone and beside the pictures. With --one-key both have one key, so that nobody takes turns: first come
first served.
turns: a conversation of five turns about the demo's picture. Prints for each turn the slices that were encoded, the tokens
that were computed and kept, and the seconds to the first token.
work: prints the processor seconds of the server for a picture, for a long prompt, and for the tokens of an answer. They say
what a setting costs, on a busy machine too. With --ranks they are of all ranks of the language model.
show: chats, gaps and turns, with each feature switched in turn, and 40 posters of 3000x4000 beside the chats. Writes table.md, figures.json and
plots (SVG) into a folder.

Each setting gets a server of its own, for every round, in one process. Needs httpx and pillow: build/venv/bin/python has both.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import pathlib
import random
import shlex
import socket
import subprocess
import tempfile
import time

import httpx
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
KEYS = ["key-of-the-one-client", "key-of-the-other-client"]


def picture(size, rng):
    small = Image.frombytes("RGB", (32, 32), rng.randbytes(32 * 32 * 3))
    out = io.BytesIO()
    small.resize(size, Image.BICUBIC).save(out, "JPEG", quality=80)
    return {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()}}


def body(content, tokens):
    return {"messages": [{"role": "user", "content": content}], "max_tokens": tokens, "temperature": 0, "ignore_eos": True,
            "stream": True}


async def ask(client, key, request, times=None):
    """Seconds to the first token; appends the moment of each token to `times`."""
    start, first = time.perf_counter(), None
    headers = {"Authorization": "Bearer " + key}
    async with client.stream("POST", "/v1/chat/completions", json=request, headers=headers) as response:
        if response.status_code != 200:
            raise SystemExit(f"{response.status_code}: {(await response.aread()).decode()}")
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            choices = json.loads(line[6:])["choices"]
            if choices and choices[0]["delta"].get("content"):
                now = time.perf_counter()
                first = first or now
                if times is not None:
                    times.append(now)
    return (first or time.perf_counter()) - start


def share(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


async def buckets(client):
    """How many gaps between tokens the server counted, by their upper bounds."""
    text = (await client.get("/metrics", headers={"Authorization": "Bearer " + KEYS[0]})).text
    found, below = {}, 0
    for line in text.splitlines():
        if line.startswith("uhd_tpot_seconds_bucket"):
            limit, count = float(line.split('le="')[1].split('"')[0]), float(line.rsplit(" ", 1)[1])
            found[limit], below = count - below, count
    return found


async def gaps(client, options, rng):
    # Made before anything is measured: the client reads no stream meanwhile.
    pictures = [[picture(options.size, rng), {"type": "text", "text": "What is it?"}] for _ in range(options.pictures)]
    streams = [[] for _ in range(options.streams)]
    running = [asyncio.create_task(ask(client, KEYS[1], body(f"{i} Tell me more.", options.tokens), streams[i]))
               for i in range(options.streams)]
    # A checkpoint of seeded weights has answers that show no text for long: the server's own gaps count them, too.
    patience = time.perf_counter() + 60
    while not all(len(times) > 2 for times in streams) and time.perf_counter() < patience:
        await asyncio.sleep(0.05)
    before = await buckets(client)
    begin = time.perf_counter()
    waits = await asyncio.gather(*[ask(client, KEYS[0], body(p, 1)) for p in pictures])
    end = time.perf_counter()
    after = await buckets(client)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    between = [b - a for times in streams for a, b in zip(times, times[1:]) if b > begin and a < end]
    longest = max([limit for limit, count in after.items() if count > before.get(limit, 0)], default=0)
    return {"gap p50": share(between, 0.5), "gap p99": share(between, 0.99), "gap of text max": max(between, default=0),
            "gap of tokens below": longest,
            "picture p50": share(waits, 0.5), "all pictures": end - begin}


async def chats(client, options, rng):
    key = KEYS[0] if options.one_key else KEYS[1]

    async def chat(i):
        return await ask(client, key, body(f"{i} What is two and two?", 8))

    alone = [await chat(i) for i in range(10)]
    pictures = [[picture(options.size, rng), {"type": "text", "text": "What is it?"}] for _ in range(options.pictures)]
    begin = time.perf_counter()
    posting = asyncio.gather(*[ask(client, KEYS[0], body(p, 16)) for p in pictures])
    beside = []
    while not posting.done():
        beside.append(await chat(len(beside)))
        await asyncio.wait([posting], timeout=options.every)
    await posting
    wall = time.perf_counter() - begin
    return {"alone p50": share(alone, 0.5), "alone max": max(alone), "chat p50": share(beside, 0.5),
            "chat p99": share(beside, 0.99), "all pictures": wall}


COUNTERS = {"encoded": "uhd_slices_encoded_total", "computed": "uhd_prefill_tokens_total",
            "kept": "uhd_prefix_cached_tokens_total"}


async def counted(client):
    text = (await client.get("/metrics", headers={"Authorization": "Bearer " + KEYS[0]})).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series + "{"))
            for name, series in COUNTERS.items()}


async def turns(client, options, rng):
    shown = base64.b64encode((ROOT / "models/nano-uhd/demo/page.png").read_bytes()).decode()
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + shown}},
                                             {"type": "text", "text": "What is the number?"}]}]
    figures = {}
    for turn in range(1, 6):
        before = await counted(client)
        first = await ask(client, KEYS[0], body("", 8) | {"messages": messages})
        after = await counted(client)
        figures |= {f"turn {turn} {name}": after[name] - before[name] for name in COUNTERS}
        figures[f"turn {turn} first token"] = first
        messages += [{"role": "assistant", "content": "1155"}, {"role": "user", "content": "Are you sure?"}]
    return figures


@contextlib.contextmanager
def server(options, settings):
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        keys = pathlib.Path(folder, "keys")
        keys.write_text("\n".join(KEYS) + "\n")
        keys.chmod(0o600)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [options.binary, "serve", f"--model.path={options.model}", f"--net.port={port}", f"--net.api_keys_file={keys}",
                   "--net.max_requests_per_client=1000", *settings]
        if options.ranks > 1:
            command = ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", str(options.ranks), *command, f"--llm.tensor_parallel={options.ranks}"]
        with open(pathlib.Path(folder, "log"), "w+") as log:
            process = options.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                url = f"http://127.0.0.1:{port}"
                while not ready(url):
                    if process.poll() is not None:
                        log.seek(0)
                        raise SystemExit(log.read())
                    time.sleep(0.1)
                yield url
            finally:
                process.terminate()
                process.wait()


def ready(url):
    try:
        return httpx.get(url + "/ready", headers={"Authorization": "Bearer " + KEYS[0]}).status_code == 200
    except httpx.TransportError:
        return False


async def measure(url, options, rng):
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=options.timeout, limits=limits) as client:
        await ask(client, KEYS[0], body([picture((300, 300), rng), {"type": "text", "text": "Hello."}], 4))
        return await MEASURED[options.what](client, options, rng)


def processor_seconds(pid):
    """Of all threads of a process and of those that it started, as Linux counts them."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    children = [child for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()]
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(map(processor_seconds, children))


async def work(client, options, rng):
    asked = {"a picture": body([picture(options.size, rng), {"type": "text", "text": "What is it?"}], 1),
             "a prompt": body(" ".join(str(rng.random()) for _ in range(60)), 1),
             "100 tokens": body("Tell me more.", 100)}
    figures = {}
    for name, request in asked.items():
        before = processor_seconds(options.process.pid)
        await ask(client, KEYS[0], request)
        figures[name] = processor_seconds(options.process.pid) - before
    return figures


MEASURED = {"gaps": gaps, "chats": chats, "turns": turns, "work": work}

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


def bars(title, values):
    """A plot as SVG: a bar for each name."""
    longest = max([v for v in values.values() if v == v] + [1e-9])
    rows = [f'<text x="8" y="20" font-weight="bold">{title}</text>']
    for i, (name, value) in enumerate(values.items()):
        y = 34 + 24 * i
        rows.append(f'<text x="8" y="{y + 14}">{name}</text>'
                    f'<rect x="220" y="{y}" width="{360 * value / longest:.1f}" height="18" fill="#4878a8"/>'
                    f'<text x="{226 + 360 * value / longest:.1f}" y="{y + 14}">{value:.3g}</text>')
    height = 44 + 24 * len(values)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="{height}" font-family="sans-serif" font-size="13">'
            + "".join(rows) + "</svg>\n")


def show(options):
    folder = pathlib.Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for turn in range(options.rounds):
        for what, name, settings, one_key in SHOWN:
            large = argparse.Namespace(**vars(options) | {"what": what, "one_key": one_key})
            if what == "chats":
                large.pictures, large.size = options.posters, (3000, 4000)
            with server(large, shlex.split(settings)) as url:
                figures = asyncio.run(measure(url, large, random.Random(turn)))
            for figure, value in figures.items():
                found.setdefault(what, {}).setdefault(figure, {}).setdefault(name, []).append(value)
            print(what, name, *[f"{figure} {value:.3f}" for figure, value in figures.items()], sep="  ", flush=True)
            (folder / "figures.json").write_text(json.dumps(found, indent=1))
    lines = [f"The median of {options.rounds} rounds, in seconds and counts.", ""]
    for what, figures in found.items():
        names = list(next(iter(figures.values())))
        lines += ["| " + what + " | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for figure, by_name in figures.items():
            middle = {name: share(values, 0.5) for name, values in by_name.items()}
            lines.append(f"| {figure} | " + " | ".join(f"{middle[name]:.3g}" for name in names) + " |")
            (folder / f"{what}-{figure.replace(' ', '-')}.svg").write_text(bars(f"{what}: {figure}", middle))
        lines.append("")
    (folder / "table.md").write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*MEASURED, "show"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--binary", default=str(ROOT / "build/release/uhd"))
    parser.add_argument("--with", dest="settings", action="append", help="settings of one of the servers; may be given again")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--size", type=lambda s: tuple(map(int, s.split("x"))), default=(2000, 3000), metavar="WxH")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=2000, help="of an answer that streams")
    parser.add_argument("--every", type=float, default=1, help="seconds between chats")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--one-key", action="store_true", help="both clients have one key")
    parser.add_argument("--ranks", type=int, default=1, help="of the language model, under mpirun")
    parser.add_argument("--posters", type=int, default=40, help="of the show")
    parser.add_argument("--out", default="scheduling", help="the folder of the show")
    options = parser.parse_args()
    if options.what == "show":
        return show(options)
    for turn in range(options.rounds):
        for settings in options.settings or [""]:
            with server(options, shlex.split(settings)) as url:
                figures = asyncio.run(measure(url, options, random.Random(turn)))
            print(settings or "(defaults)", *[f"{name} {value:.3f}" for name, value in figures.items()], sep="  ", flush=True)


if __name__ == "__main__":
    main()
