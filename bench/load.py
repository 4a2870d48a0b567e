#!/usr/bin/env python3
"""Load for any OpenAI-compatible chat endpoint: new prompts and new pictures every time, several streams at once.

    bench/load.py --url http://127.0.0.1:8080/v1 --streams 1,4,16 --tokens 64
    bench/load.py --url http://127.0.0.1:8080/v1 --streams 1,4 --image 672x1008 --tokens 1

Prints a table: TTFT (request sent to first piece of text) and TPOT (time per token after it) as median and 95th percentile, and tokens
a second of all streams together. Needs httpx, and pillow for pictures: build/venv/bin/python has both.
"""

import argparse
import asyncio
import base64
import io
import json
import random
import statistics
import time

import httpx


def picture(width, height, rng):
    from PIL import Image

    small = Image.frombytes("RGB", (32, 32), rng.randbytes(32 * 32 * 3))
    out = io.BytesIO()
    small.resize((width, height), Image.BICUBIC).save(out, "JPEG", quality=90)
    return {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()}}


def body_of(options, rng):
    text = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(options.prompt))
    parts = [{"type": "text", "text": text}]
    if options.image:
        parts.insert(0, picture(*map(int, options.image.split("x")), rng))
    return {"model": options.model, "messages": [{"role": "user", "content": parts}], "max_tokens": options.tokens, "temperature": 0,
            "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}


async def one(client, options, body):
    """(TTFT, seconds from the first to the last piece, tokens)."""
    start, first, last, tokens = time.perf_counter(), None, None, 0
    async with client.stream("POST", options.url + "/chat/completions", json=body) as response:
        if response.status_code != 200:
            raise SystemExit(f"{response.status_code}: {(await response.aread()).decode()}")
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
            if event["choices"]:
                last = time.perf_counter()
                if first is None and (event["choices"][0]["delta"].get("content") or event["choices"][0]["finish_reason"]):
                    first = last
    return first - start, last - first, tokens


async def run(options, streams, rng):
    limits = httpx.Limits(max_connections=streams)
    headers = {"Authorization": f"Bearer {options.key}"}
    async with httpx.AsyncClient(timeout=options.timeout, limits=limits, headers=headers) as client:
        bodies = [[body_of(options, rng) for _ in range(options.rounds)] for _ in range(streams)]

        async def stream(own):
            return [await one(client, options, body) for body in own]

        start = time.perf_counter()
        results = [r for own in await asyncio.gather(*(stream(own) for own in bodies)) for r in own]
        return results, time.perf_counter() - start


def line(streams, results, wall):
    def both(values, unit):
        top = sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]
        return f"{statistics.median(values) * unit:.1f} / {top * unit:.1f}"

    first = both([r[0] for r in results], 1e3)
    each = [r[1] / (r[2] - 1) for r in results if r[2] > 1]
    return f"| {streams} | {first} | {both(each, 1e3) if each else ''} | {sum(r[2] for r in results) / wall:.1f} | {len(results) / wall:.2f} |"


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080/v1")
    parser.add_argument("--model", default="bench")
    parser.add_argument("--key", default="none")
    parser.add_argument("--streams", default="1,4,16", help="how many at once, one row of the table each")
    parser.add_argument("--rounds", type=int, default=2, help="requests of each stream, one after another")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=100, help="characters")
    parser.add_argument("--image", help="WxH")
    parser.add_argument("--timeout", type=float, default=600)
    options = parser.parse_args()
    rng = random.Random(time.time_ns())
    await run(argparse.Namespace(**{**vars(options), "rounds": 1}), 1, rng)  # warm
    print("| streams | TTFT ms, p50 / p95 | TPOT ms, p50 / p95 | tokens/s | requests/s |\n|---|---|---|---|---|", flush=True)
    for streams in map(int, options.streams.split(",")):
        print(line(streams, *await run(options, streams, rng)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
