"""The bundled model reads fresh pictures: drawn now, with a seed that nobody has seen."""

import io
import json
import os
import random
import sys

from helpers import answer, question
from server import ROOT

sys.path.insert(0, str(ROOT))
from lab import generate  # noqa: E402

PICTURES = 40
WANTED = 26  # right answers: well under what the model reads, far over what guessing would


def read(data, asked):
    return answer(question(data, text=asked), name="nano", max_tokens=16)["choices"][0]["message"]["content"].strip()


def test_bundled_picture():
    folder = ROOT / "models/nano-uhd/demo"
    demo = json.loads((folder / "demo.json").read_text())
    assert read((folder / demo["image"]).read_bytes(), demo["question"]) == demo["answer"]


def test_fresh_pictures():
    seed = int(os.environ.get("UHD_NANO_SEED", random.SystemRandom().randrange(10**9)))
    right = []
    for i in range(PICTURES):
        page = generate.make("demo", f"{seed}:{i}")
        data = io.BytesIO()
        generate.draw(page).save(data, "PNG")
        asked, wanted = page.questions[0]
        got = read(data.getvalue(), asked)
        print(f"picture {i}: wanted {wanted}, got {got}")
        right.append(got == wanted)
    print(f"seed {seed}: {sum(right)} of {len(right)} right")
    assert sum(right) >= WANTED
