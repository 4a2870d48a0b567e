"""The probe load: fixed greedy questions, of text and of pictures, whose answers must never change."""

import asyncio
import collections
import random

import paths  # noqa: F401
from exchange import ask
from helpers import encoded, picture, question

PICTURES = [[(300, 200)], [(672, 1008)], [(800, 400)], [(1000, 700)], [(500, 900), (336, 336)]]
TEXTS = ["Is there a cat?", "Tell me.", "What is two and two? " * 20, "Go on."]
# What may become of a request that the server could take: refused, or ended when an encoder did not do its part.
FAIR_STATUS = {429, 503}
FAIR_CODES = {"encoding_failed", "no_encoder"}
UNFAIR_CODES = {"engine_stalled", "engine_failed", "deadline_exceeded", "shutting_down", "internal_error"}


def is_fair(ending):
    if ending.kind == "refused":
        return ending.code in FAIR_CODES or (ending.status in FAIR_STATUS and ending.code not in UNFAIR_CODES)
    return ending.kind == "answered" or (ending.kind == "failed" and ending.code in FAIR_CODES)


def fields(messages, tokens):
    return {"messages": messages, "temperature": 0, "max_tokens": tokens, "ignore_eos": True}


def all_questions():
    bodies = {text[:24]: fields(question(text=text), 24) for text in TEXTS}
    for sizes in PICTURES:
        images = [encoded(picture(*size, seed=size[0])) for size in sizes]
        bodies[f"picture of {sizes}"] = fields(question(*images, text="What?"), 12)
    return bodies


class Probes:
    def __init__(self, port, seed):
        self.port = port
        self.rng = random.Random(f"{seed} probes")
        self.questions = all_questions()
        self.answers = {}
        self.endings = collections.Counter()
        self.complaints = []
        self.answered = collections.Counter()  # since learn(): "text" and "picture"

    async def learn(self):
        """The answers of a server that has nothing else to do."""
        for name, body in self.questions.items():
            ending = await ask(self.port, body)
            assert ending.kind == "answered" and ending.text, f"{name} on a quiet server: {ending}"
            self.answers[name] = ending.text

    async def ask(self, name, stream):
        ending = await ask(self.port, {**self.questions[name], "stream": stream})
        self.judge(name, ending)
        if ending.kind == "answered":
            self.answered["picture" if name.startswith("picture") else "text"] += 1
            if ending.text != self.answers[name]:
                self.complaints.append(f"{name}: answered {ending.text!r} instead of {self.answers[name]!r}")
        return ending

    def judge(self, name, ending):
        """Of every request that was well formed, probe or not."""
        self.endings[str(ending)] += 1
        if not is_fair(ending):
            self.complaints.append(f"{name}: {ending}")

    async def run(self, stop, names):
        """One client after another, until the event."""
        while not stop.is_set():
            ending = await self.ask(self.rng.choice(names), self.rng.random() < 0.5)
            await asyncio.sleep(0.1 if ending.kind == "answered" else 0.4)

    async def load(self, stop):
        texts = [name for name in self.questions if not name.startswith("picture")]
        pictures = [name for name in self.questions if name.startswith("picture")]
        await asyncio.gather(*(self.run(stop, names) for names in (texts, texts, pictures, pictures)))

    async def all_answered_again(self, limit_s):
        """Every question once more; what is refused is asked again, as clients do."""
        deadline = asyncio.get_running_loop().time() + limit_s
        for name in self.questions:
            while (ending := await self.ask(name, stream=True)).kind != "answered":
                if asyncio.get_running_loop().time() > deadline:
                    self.complaints.append(f"{name}: {ending}, long after the last fault")
                    break
                await asyncio.sleep(0.5)
