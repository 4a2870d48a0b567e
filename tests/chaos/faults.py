"""What can go wrong, each kind a coroutine that draws its particulars first and then does its worst for a while."""

import asyncio
import contextlib
import os
import random
import signal

import paths  # noqa: F401
from exchange import ask, connection, request, send_and_read
from helpers import question
from lies import LIES, Relay, frame
from materials import about, hostile_image, long_stream, new_picture, noise_like

KINDS = []


def kind(fault):
    KINDS.append(fault.__name__)
    return fault


class Faults:
    """`jobs` is what they are done to, `probes` judges the requests among them that are well formed, `say` tells what happens."""

    def __init__(self, jobs, probes, say):
        self.jobs = jobs
        self.probes = probes
        self.say = say

    # Ranks.

    async def pause(self, name, pid, seconds):
        self.say(f"pauses {name} for {seconds:.1f} s")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                os.kill(pid, signal.SIGCONT)

    @kind
    async def pause_leader(self, rng):
        await self.pause("the leader", self.jobs.leader, rng.uniform(1, 8))

    @kind
    async def pause_follower(self, rng):
        await self.pause("the other LLM rank", self.jobs.follower, rng.uniform(1, 8))

    @kind
    async def pause_encoder(self, rng):
        which, seconds = rng.randrange(2), rng.uniform(1, 8)
        if self.jobs.is_there(which):
            await self.pause(f"encoder {which}", self.jobs.encoders[which], seconds)

    @kind
    async def kill_encoder(self, rng):
        which, absent = rng.randrange(2), rng.uniform(0.5, 4)
        if not self.jobs.may_kill(which):
            return
        self.say(f"kills encoder {which}")
        self.jobs.kill_encoder(which)
        await asyncio.sleep(absent)
        if self.jobs.restart_encoder(which):
            self.say(f"starts encoder {which} again")

    @kind
    async def lying_encoder(self, rng):
        lie, seconds = rng.choice(sorted(LIES)), rng.uniform(4, 8)
        self.say(f"adds an encoder that lies for {seconds:.1f} s: {lie}")
        async with Relay(self.jobs.control_port, lie) as relay:
            encoder = self.jobs.start_encoder(relay.port)
            await asyncio.sleep(seconds)
            encoder.kill()
            encoder.wait()
        self.say(f"the encoder that lied did so {relay.told} times: {lie}")

    # Strangers, and noise.

    async def noise(self, name, port, messages, seconds):
        self.say(f"sends {len(messages)} pieces of noise to the {name} port")
        for message in messages:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(send_and_read(port, message, bytearray()), seconds / len(messages))

    @kind
    async def noise_for_http(self, rng):
        whole = request({"messages": question(text="Hello?"), "max_tokens": 2})
        await self.noise("HTTP", self.jobs.port, [noise_like(rng, whole) for _ in range(40)], 4)

    @kind
    async def noise_for_control(self, rng):
        frames = [frame(rng.choice([1, 2, 5, 16, 17, 22, 33, 99]), rng.randbytes(rng.randrange(200))) for _ in range(40)]
        await self.noise("control", self.jobs.control_port, [noise_like(rng, one) for one in frames], 4)

    async def strangers(self, name, port, count, seconds):
        self.say(f"opens {count} silent connections to the {name} port for {seconds:.1f} s")
        async with contextlib.AsyncExitStack() as held:
            for _ in range(count):
                with contextlib.suppress(OSError):
                    await held.enter_async_context(connection(port))
            await asyncio.sleep(seconds)

    @kind
    async def strangers_at_http(self, rng):
        await self.strangers("HTTP", self.jobs.port, 300, rng.uniform(2, 5))

    @kind
    async def strangers_at_control(self, rng):
        await self.strangers("control", self.jobs.control_port, 80, rng.uniform(2, 5))

    # Clients.

    async def dribble(self, sent, at_once, seconds):
        """Sends the first bytes at once, and the others one by one."""
        with contextlib.suppress(OSError):
            async with connection(self.jobs.port) as (_, writer):
                writer.write(sent[:at_once])
                deadline = asyncio.get_running_loop().time() + seconds
                for byte in sent[at_once:]:
                    if writer.transport.is_closing() or asyncio.get_running_loop().time() > deadline:
                        return
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.1)

    @kind
    async def slow_headers(self, rng):
        count, seconds = rng.randint(5, 20), rng.uniform(3, 8)
        self.say(f"{count} clients send their headers a byte at a time for {seconds:.1f} s")
        sent = request({"messages": question(text="Slowly."), "max_tokens": 2})
        await asyncio.gather(*(self.dribble(sent, 10, seconds) for _ in range(count)))

    @kind
    async def slow_bodies(self, rng):
        count, seconds, claimed = rng.randint(5, 20), rng.uniform(3, 8), rng.choice([1 << 10, 8 << 20, 16 << 20])
        self.say(f"{count} clients send bodies of {claimed} bytes a byte at a time for {seconds:.1f} s")
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {claimed}\r\n\r\n".encode()
        await asyncio.gather(*(self.dribble(head + b" " * 1000, len(head), seconds) for _ in range(count)))

    @kind
    async def slow_readers(self, rng):
        count, seconds = rng.randint(2, 6), rng.uniform(3, 8)
        self.say(f"{count} clients ask for long streams and read nothing for {seconds:.1f} s")
        body = long_stream(rng, logprobs=True, top_logprobs=20)

        async def one():
            with contextlib.suppress(OSError):
                async with connection(self.jobs.port, limit=1 << 10) as (_, writer):
                    writer.write(request(body))
                    await asyncio.sleep(seconds)

        await asyncio.gather(*(one() for _ in range(count)))

    @kind
    async def leavers(self, rng):
        bodies = [rng.choice([long_stream(rng), {**long_stream(rng), "stream": False}, about(new_picture(rng))])
                  for _ in range(rng.randint(8, 20))]
        stays = [rng.choice([0, rng.uniform(0, 1.5)]) for _ in bodies]
        self.say(f"{len(bodies)} clients leave before their answers are there")

        async def one(body, seconds):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(send_and_read(self.jobs.port, request(body), bytearray()), seconds)

        await asyncio.gather(*(one(body, seconds) for body, seconds in zip(bodies, stays)))

    async def judged(self, name, bodies):
        """Requests that are well formed as HTTP: each must end as it should."""
        endings = await asyncio.gather(*(ask(self.jobs.port, body) for body in bodies))
        for ending in endings:
            self.probes.judge(name, ending)

    @kind
    async def burst(self, rng):
        count, tokens = rng.randint(40, 80), rng.randint(2, 60)
        bodies = [{"messages": question(text=f"Question {rng.random()}"), "max_tokens": tokens, "ignore_eos": True,
                   "stream": rng.random() < 0.5} for _ in range(count)]
        self.say(f"{count} clients ask at once for {tokens} tokens each")
        await self.judged("one of a burst", bodies)

    @kind
    async def burst_of_pictures(self, rng):
        bodies = [about(new_picture(rng), stream=rng.random() < 0.5) for _ in range(rng.randint(10, 20))]
        self.say(f"{len(bodies)} clients ask at once, each about a picture of its own")
        await self.judged("one of a burst of pictures", bodies)

    @kind
    async def hostile_images(self, rng):
        images = [hostile_image(rng) for _ in range(12)]
        self.say(f"{len(images)} pictures that are none, or not what they claim")
        endings = await asyncio.gather(*(ask(self.jobs.port, about(image)) for image in images))
        for ending in endings:
            if not (ending.kind == "refused" and ending.status in (400, 413)):
                self.probes.judge("a hostile picture", ending)

    @kind
    async def huge_bodies(self, rng):
        """A length that is refused by the header, a body that never ends, and prompts far beyond the context."""
        self.say("bodies that are too large")
        claim = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1099511627776\r\n\r\n"
        endless = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4000000\r\n"
        prompt = {"messages": question(text="word " * rng.randint(1 << 19, 3 << 20)), "max_tokens": 2}

        async def refused(sent):
            came = bytearray()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(send_and_read(self.jobs.port, sent, came), 60)

        endings = asyncio.gather(*(ask(self.jobs.port, prompt) for _ in range(3)))
        await asyncio.gather(refused(claim + bytes(1 << 20)), refused(endless + bytes(24 << 20)), endings)
        for ending in endings.result():
            if not (ending.kind == "refused" and ending.status in (400, 413)):
                self.probes.judge("a prompt beyond the context", ending)



def schedule(seed, seconds, kinds):
    """(start, kind, seed of its own), in order: rounds in each of which every kind comes once."""
    rng = random.Random(f"{seed} schedule")
    rounds = max(1, round(seconds / (2.2 * len(kinds))))
    names = [name for _ in range(rounds) for name in rng.sample(kinds, len(kinds))]
    apart = seconds / len(names)
    return [(apart * (index + rng.random()), name, f"{seed} {index} {name}") for index, name in enumerate(names)]
