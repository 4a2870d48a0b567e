"""chaos.py FORM [--seed N] [--minutes M]: a storm of faults over the ranks while a probe load runs.

FORM is one_job (LLM and encoder ranks under one mpirun) or two_jobs (encoders are processes of their own, killed and
started again). The faults follow from the seed, which is printed; without --seed it is drawn. In the end every request
that was accepted has been answered or ended by an error, the probes' answers are what they were, all pages are free,
the leader's memory is what it was, and nothing is left when the server has been told to stop.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import time

import paths  # noqa: F401
from exchange import HANGING_S, ask, page
from faults import KINDS, Faults, schedule
from jobs import Jobs, memory_of
from materials import long_stream
from probes import Probes

SETTLED_S = 240  # generous: everything that was asked must have ended by then
# Of the leader beyond what it held when it was quiet: bodies and cut pictures under load, and what the allocator keeps.
MOST_AT_ONCE_MIB = 512
MOST_KEPT_MIB = 256


class Clock:
    def __init__(self):
        self.start = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self.start

    def say(self, what):
        print(f"{self.elapsed():7.1f} s  {what}", flush=True)


async def storm(faults, probes, seed, seconds, kinds, clock):
    stop = asyncio.Event()
    load = asyncio.create_task(probes.load(stop))
    start = time.monotonic()
    running = []
    for at, name, own_seed in schedule(seed, seconds, kinds):
        await asyncio.sleep(max(0, start + at - time.monotonic()))
        running.append(asyncio.create_task(getattr(faults, name)(random.Random(own_seed))))
    await asyncio.gather(*running)
    clock.say("no more faults")
    stop.set()
    await load


async def metrics_of(port):
    text = await page(port, "/metrics") or ""
    values = {}
    for name, value in re.findall(r"^(uhd_\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE):
        values[name] = values.get(name, 0) + float(value)  # summed over labels
    return values


def unsettled(values, encoders):
    """What the metrics say that a quiet server would not."""
    wanted = {"uhd_running_sequences": 0, "uhd_waiting_requests": 0, "uhd_slices_queued": 0, "uhd_http_body_bytes": 0,
              "uhd_kv_pages_free": values.get("uhd_kv_pages"), "uhd_encoders": encoders, "uhd_ready": 1,
              "uhd_requests_finished_total": values.get("uhd_requests_accepted_total")}
    if not values:
        return ["/metrics does not answer"]
    return [f"{name} is {values.get(name, 0)} instead of {value}" for name, value in wanted.items() if values.get(name, 0) != value]


async def settle(jobs):
    """What is still wrong when it has had its time."""
    deadline = time.monotonic() + SETTLED_S
    while wrong := unsettled(await metrics_of(jobs.port), jobs.encoders_left()):
        if time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(0.5)
    return []


async def drain(jobs):
    """A stream that runs when the leader is told to stop is answered to its end."""
    stream = asyncio.create_task(ask(jobs.port, {**long_stream(random.Random(0)), "max_tokens": 200}))
    deadline = time.monotonic() + HANGING_S
    while (await metrics_of(jobs.port)).get("uhd_running_sequences") == 0 and not stream.done() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    os.kill(jobs.leader, signal.SIGTERM)
    ending = await stream
    return [] if ending.kind == "answered" else [f"a stream of a server that was told to stop: {ending}"]


async def run(jobs, seed, seconds, kinds, clock):
    """Everything that is wrong in the end."""
    probes = Probes(jobs.port, seed)
    if wrong := await settle(jobs):  # the encoders have not joined
        return wrong
    await probes.learn()
    quiet, _ = memory_of(jobs.leader)
    clock.say(f"the leader holds {quiet} MiB")
    await storm(Faults(jobs, probes, clock.say), probes, seed, seconds, kinds, clock)
    during = dict(probes.answered)
    if wrong := await settle(jobs):
        return wrong + probes.complaints
    await probes.all_answered_again(SETTLED_S)
    wrong = await settle(jobs)
    now, most = memory_of(jobs.leader)
    clock.say(f"the leader holds {now} MiB, at most {most}; probes answered {during}; all that ended: {dict(probes.endings)}")
    if now > quiet + MOST_KEPT_MIB or most > quiet + MOST_AT_ONCE_MIB:
        wrong.append(f"the leader's memory was {quiet} MiB, is {now}, and was {most}")
    if not during.get("text") or not during.get("picture"):
        wrong.append(f"too few probes were answered in the storm: {during}")
    return wrong + probes.complaints + await drain(jobs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("form", choices=["one_job", "two_jobs"])
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--minutes", type=float, default=0.6, help="of faults; starting and ending come on top")
    parser.add_argument("--only", nargs="+", default=KINDS, choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args()
    print(f"chaos.py {options.form} --seed {options.seed} --minutes {options.minutes}", flush=True)
    clock = Clock()
    with Jobs(options.form) as jobs:
        wrong = asyncio.run(run(jobs, options.seed, options.minutes * 60, options.only, clock))
        wrong += jobs.wait_for_end()
    for what in wrong[:50]:
        print(f"wrong: {what}")
    print(f"{'FAILED' if wrong else 'ok'}: {options.form}, seed {options.seed}, {clock.elapsed():.0f} s")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
