"""Random requests, many of which end early: afterwards nothing is held, memory has not grown, and answers are the same.

scripts/test --all also runs a short form under ThreadSanitizer. By hand, with more requests: UHD_SOAK_REQUESTS=20000 build/venv/bin/python -m pytest -s tests/e2e/test_soak.py
"""

import asyncio
import os
import pathlib
import random
import re

import httpx

from helpers import LIMIT_S, encoded, picture, question, wait_until
from server import BINARY, COMMON, Server

REQUESTS = int(os.environ.get("UHD_SOAK_REQUESTS", "300"))
AT_ONCE = 12
# Few pages and rows, so that sequences are preempted and both caches give way; slices come back from host memory.
SETTINGS = COMMON + ["--engine.page_size=16", "--engine.max_running=8", "--engine.max_waiting=64",
    "--engine.kv_memory_bytes=11MiB", "--engine.visual_cache_bytes=1MiB", "--engine.visual_cache_host_bytes=4MiB",
    "--net.max_requests_per_client=1000", "--log.level=error"]
KINDS = ("text", "picture", "again", "two", "several", "stop", "leave", "bad", "plan")
if pathlib.Path(BINARY).with_name("libuhd_grammar.so").exists():
    KINDS += ("structured",)
PATTERN = "[a-f]{2,9}(-[0-9]{1,4}){1,3}"


def pictures():
    """A few that come again, by number."""
    sizes = [(40, 40), (336, 336), (500, 200), (700, 700), (90, 900), (1000, 640)]
    return [encoded(picture(w, h, seed)) for seed, (w, h) in enumerate(sizes)]


def request_of(kind, rng, known):
    body = {"messages": question(text=f"{rng.randrange(10**6)} What is this?"), "max_tokens": rng.randrange(1, 40), "ignore_eos": True,
            "temperature": rng.choice([0, 1]), "stream": rng.random() < 0.5, "priority": rng.choice([-100, -1, 0, 0, 2, 100])}
    if kind in ("picture", "leave"):
        data = encoded(picture(rng.randrange(20, 900), rng.randrange(20, 900), rng.random()))
        body["messages"] = question(data, text=f"{rng.randrange(100)}?")
    elif kind == "again":
        body["messages"] = question(rng.choice(known), text=rng.choice(["What?", "Where?"]))
    elif kind == "two":
        body["messages"] = question(rng.choice(known[:3]), rng.choice(known[:3]))
    elif kind == "several":
        body.update(n=rng.randrange(2, 5), messages=question(rng.choice(known)))
    elif kind == "stop":
        body.update(stop=[chr(rng.randrange(97, 123))], ignore_eos=False)
    elif kind == "plan":
        body.update(stream=False, messages=question(*rng.sample(known[:3], rng.randrange(3))))
    elif kind == "structured":
        images = [rng.choice(known)] if rng.random() < 0.5 else []
        body.update(stream=False, ignore_eos=False, messages=question(*images), structured_outputs={"regex": PATTERN})
    elif kind == "bad":
        body["messages"] = question(rng.choice([b"no picture", known[0][:-40], b""]))
    return body


async def one(client, kind, rng, known, seen):
    body = request_of(kind, rng, known)
    if kind != "leave":
        planned = await client.post("/plan", json=body) if kind == "plan" else None
        response = await client.post("/chat/completions", json=body)
        # A stream's header is out before a picture is decoded, so that what only decoding finds is an event.
        expected = [200] if kind != "bad" else [200, 400] if body["stream"] else [400]
        assert response.status_code in expected, (kind, response.text[:300])
        assert ('"error":' in response.text) == (kind == "bad"), response.text[:300]
        if kind == "plan":
            assert planned.status_code == 200, planned.text[:300]
            assert planned.json()["prompt_tokens"] == response.json()["usage"]["prompt_tokens"]
        if kind == "structured" and response.json()["choices"][0]["finish_reason"] == "stop":
            assert re.fullmatch(PATTERN, response.json()["choices"][0]["message"]["content"]), response.text[:300]
        seen[kind] = seen.get(kind, 0) + 1
        return
    body["stream"] = True
    async with client.stream("POST", "/chat/completions", json=body) as response:
        lines = response.aiter_lines()
        for _ in range(rng.randrange(3)):
            await anext(lines, None)
    seen[kind] = seen.get(kind, 0) + 1


async def run(url, first, last, known, seen):
    """Requests first..last - 1, each by a seed of its own, some at once."""
    left = iter(range(first, last))
    limits = httpx.Limits(max_connections=AT_ONCE)

    async def worker(client):
        for number in left:
            rng = random.Random(number)
            await one(client, rng.choice(KINDS), rng, known, seen)

    async with httpx.AsyncClient(base_url=url, timeout=LIMIT_S, limits=limits) as client:
        await asyncio.gather(*[worker(client) for _ in range(AT_ONCE)])


def metrics(url):
    page = httpx.get(url.removesuffix("/v1") + "/metrics").text
    return {line.split("{")[0]: float(line.split()[-1]) for line in page.splitlines() if not line.startswith("#")}


def resident(server):
    """Bytes of memory."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def probe(url, known):
    body = {"messages": question(known[3], text="Say what you see."), "max_tokens": 16, "temperature": 0, "ignore_eos": True, "logprobs": True}
    response = httpx.post(url + "/chat/completions", json=body, timeout=LIMIT_S)
    return response.json()["choices"]


def test_after_many_random_requests_nothing_is_held_and_answers_are_the_same():
    known, seen = pictures(), {}
    with Server("soak", [], SETTINGS) as server:
        answer = probe(server.url, known)
        asyncio.run(run(server.url, 0, REQUESTS // 3, known, seen))
        early = resident(server)
        asyncio.run(run(server.url, REQUESTS // 3, REQUESTS, known, seen))
        assert probe(server.url, known) == answer
        wait_until(lambda: metrics(server.url)["uhd_running_sequences"] == 0)
        last = metrics(server.url)
        late = resident(server)
        print(seen, f"resident {early / 2**20:.0f} MiB after a third, {late / 2**20:.0f} MiB at the end", last)
        assert set(seen) == set(KINDS)
        assert last["uhd_kv_pages_free"] == last["uhd_kv_pages"]
        assert last["uhd_waiting_requests"] == 0 and last["uhd_slices_queued"] == 0
        reached = ["uhd_slices_cached_total", "uhd_slices_kept_total", "uhd_prefix_cached_tokens_total"]
        if REQUESTS >= 3000:  # it takes the right company
            reached.append("uhd_preemptions_total")
        for name in reached:
            assert last[name] > 0, f"the soak did not reach {name}"
        if REQUESTS >= 300:  # fewer still fill the caches
            assert late < 1.1 * early + 2**24
