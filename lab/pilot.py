"""The paper's pilot experiments against any OpenAI-compatible server.

    python -m lab.pilot --url http://127.0.0.1:8080 --count 20 --out pilot.json

place: a few red circles in one ninth of a picture; how often is their number told, by the place of the ninth?
size: nine red circles, three by three; which number is told, and for how many tokens, as the same picture grows?
padding: which share of a square view is padding, by aspect ratio, and how many tokens the server counts for the picture.
"""

import argparse
import json
import random
import re
from pathlib import Path

from . import generate
from .client import Server, file_of
from .forms import FORMS

QUESTION = "How many red circles are there?"
SIZES = (200, 336, 448, 560, 672, 784, 896, 1008)
RATIOS = ((1, 4), (1, 2), (2, 3), (1, 1), (3, 2), (2, 1), (4, 1))


def circles(rng, side, boxes):
    """A square picture with one circle in each box (left, top, side)."""
    page = generate.Page(side, side, generate.light(rng))
    for left, top, room in boxes:
        d = 0.6 * room
        x, y = (start + rng.uniform(d / 2 + 1, room - d / 2 - 1) for start in (left, top))
        page.shapes.append(generate.Shape("circle", "red", x, y, d))
    return generate.draw(page)


def in_ninth(rng, side, row, column, number):
    """The picture with this many circles in one of its nine parts, which is cut into nine boxes."""
    part = side / 3
    boxes = [(column * part + i % 3 * part / 3, row * part + i // 3 * part / 3, part / 3) for i in rng.sample(range(9), number)]
    return circles(rng, side, boxes)


def three_by_three(rng, side):
    return circles(rng, side, [(i % 3 * side / 3, i // 3 * side / 3, side / 3) for i in range(9)])


def number_in(reply):
    found = re.search(r"\d+", reply)
    return int(found[0]) if found else None


def place(ask, count, side=672):
    """Percent right for each ninth, row by row."""
    rows = []
    for row in range(3):
        rows.append([])
        for column in range(3):
            right = 0
            for i in range(count):
                rng = random.Random(f"place:{row}:{column}:{i}")
                number = rng.randint(1, 5)
                right += number_in(ask(file_of(in_ninth(rng, side, row, column, number)), QUESTION)[0]) == number
            rows[-1].append(round(100 * right / count, 1))
    return rows


def size(ask, count):
    """For each side in pixels: how often each number was told, and the prompt's tokens."""
    result = {}
    for side in SIZES:
        told, tokens = {}, 0
        for i in range(count):
            reply, usage = ask(file_of(three_by_three(random.Random(f"size:{i}"), side)), QUESTION)
            number = str(number_in(reply))
            told[number] = told.get(number, 0) + 1
            tokens = usage.get("prompt_tokens", 0)
        result[side] = {"told": dict(sorted(told.items())), "prompt_tokens": tokens}
    return result


def padding_share(w, h):
    """Share of patches of a padded square view that show no part of the picture."""
    form = FORMS["square"]
    (left, top, side, _), (view, _) = form.views(w, h)[0]
    patch = side * 14 / view

    def whole_patches(n, offset):
        return sum((i + 1) * patch <= offset or i * patch >= offset + n for i in range(view // 14))

    grid = view // 14
    seen = (grid - whole_patches(w, -left)) * (grid - whole_patches(h, -top))
    return 1 - seen / grid**2


def padding(ask, pixels=448 * 448):
    result = {}
    for across, down in RATIOS:
        w, h = round((pixels * across / down) ** 0.5), round((pixels * down / across) ** 0.5)
        page = generate.Page(w, h, (255, 255, 255))
        _, usage = ask(file_of(generate.draw(page)), QUESTION, 1)
        result[f"{across}:{down}"] = {"padding": round(padding_share(w, h), 3), "prompt_tokens": usage.get("prompt_tokens", 0)}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--name", help="model name for the server; the first one it lists by default")
    parser.add_argument("--key", default="none", help="API key")
    parser.add_argument("--count", type=int, default=20, help="pictures for each place and size")
    parser.add_argument("--out", type=Path, help="JSON file")
    args = parser.parse_args()
    ask = Server(args.url, args.name, args.key).ask
    result = {"place": place(ask, args.count), "size": size(ask, args.count), "padding": padding(ask)}
    for name, figures in result.items():
        print(f"{name}:")
        rows = figures.items() if isinstance(figures, dict) else enumerate(figures)
        for key, value in rows:
            print(f"  {key}: {value}")
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
