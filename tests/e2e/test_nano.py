"""The bundled model answers about pictures that no training saw, drawn now from fixed seeds."""

import io
import json
import sys

import pytest
from helpers import answer, question
from server import ROOT

sys.path.insert(0, str(ROOT))
from lab import generate  # noqa: E402

# Kind of page: pictures, percent that must be right: the model card's figure less ten points.
FLOORS = {
    "demo": (30, 85),
    "number": (30, 84),
    "word": (30, 75),
    "receipt": (30, 67),
    "table": (30, 56),
    "count": (30, 39),
    "relation": (30, 71),
}


def read(data, asked):
    return answer(question(data, text=asked), name="nano", max_tokens=16)["choices"][0]["message"]["content"].strip()


def test_bundled_picture():
    folder = ROOT / "models/nano-uhd/demo"
    demo = json.loads((folder / "demo.json").read_text())
    assert read((folder / demo["image"]).read_bytes(), demo["question"]) == demo["answer"]


def test_text_before_the_picture_asks_the_same():
    folder = ROOT / "models/nano-uhd/demo"
    demo = json.loads((folder / "demo.json").read_text())
    picture_first = question((folder / demo["image"]).read_bytes(), text=demo["question"])
    text_first = [{"role": "user", "content": picture_first[0]["content"][::-1]}]
    asked = [answer(messages, name="nano", max_tokens=16) for messages in (picture_first, text_first)]
    for reply in asked:
        assert reply["choices"][0]["message"]["content"].strip() == demo["answer"]
    assert asked[0]["usage"]["prompt_tokens"] == asked[1]["usage"]["prompt_tokens"]


@pytest.mark.parametrize("kind", FLOORS)
def test_fresh_pictures(kind):
    count, floor = FLOORS[kind]
    right = 0
    for i in range(count):
        page = generate.make(kind, f"held:{i}")
        data = io.BytesIO()
        generate.draw(page).save(data, "PNG")
        asked, wanted = page.questions[0]
        got = read(data.getvalue(), asked)
        print(f"{kind} {i}: wanted {wanted}, got {got}")
        right += got == wanted
    print(f"{kind}: {right} of {count} right")
    assert 100 * right >= floor * count
