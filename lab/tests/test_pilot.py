"""Runs the pilot experiments against a server that counts red circles by their pixels, and one that always says 9.

    python -m lab.tests.test_pilot
"""

import io

from PIL import Image

from lab import pilot
from lab.generate import COLORS


def blobs(picture):
    """How many separate red regions a picture has."""
    w, h = picture.size
    pixels = picture.load()
    red = {(x, y) for x in range(w) for y in range(h) if pixels[x, y] == COLORS["red"]}
    number = 0
    while red:
        number += 1
        edge = [red.pop()]
        while edge:
            x, y = edge.pop()
            for near in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
                if near in red:
                    red.remove(near)
                    edge.append(near)
    return number


def counting(file, question, max_tokens=32):
    assert question == pilot.QUESTION
    picture = Image.open(io.BytesIO(file))
    return f"There are {blobs(picture)}.", {"prompt_tokens": picture.width}


def main():
    assert pilot.place(counting, 1, side=168) == [[100.0] * 3] * 3
    assert pilot.place(lambda *_: ("nine", {}), 1, side=168) == [[0.0] * 3] * 3
    pilot.SIZES = (90, 180)
    assert pilot.size(counting, 2) == {90: {"told": {"9": 2}, "prompt_tokens": 90}, 180: {"told": {"9": 2}, "prompt_tokens": 180}}
    figures = pilot.padding(counting, 100 * 100)
    assert figures["1:1"]["padding"] == 0
    assert figures["1:4"]["padding"] == figures["4:1"]["padding"] == 0.75
    assert figures["2:1"]["prompt_tokens"] == 141
    print("pilot experiments ran")


if __name__ == "__main__":
    main()
