"""Plain pages with a number, set by Chromium from HTML: nothing of them is drawn by `generate.py`, and no training sees them.

    python -m lab.plain --out runs/plain
    python -m lab.evaluate --model models/nano-uhd --pages runs/plain

Needs Debian's Chromium and the Python package playwright.
"""

import argparse
import json
import random
from pathlib import Path

from playwright.sync_api import sync_playwright

from .generate import ASK_NUMBER

FAMILIES = (
    *("DejaVu " + f for f in ("Sans", "Sans Mono", "Serif")),
    *("Liberation " + f for f in ("Sans", "Serif", "Mono", "Sans Narrow")),
)
SIZES = (
    *((200, 200), (300, 220), (336, 336), (420, 300), (500, 500), (640, 480), (480, 640), (800, 600), (672, 672), (900, 300)),
    *((1200, 400), (1200, 400), (400, 1200), (1000, 500), (672, 1008), (1008, 672), (700, 900), (600, 1060)),
)


def page(seed):
    """The HTML of a page, its size, the question and the answer."""
    rng = random.Random(f"plain:{seed}")
    w, h = rng.choice(SIZES)
    digits = 5 if rng.random() < 0.9 else rng.randint(1, 4)
    number = str(rng.randrange(10 ** (digits - 1), 10**digits))
    px = rng.randint(15, 24)
    paper = f"hsl({rng.randrange(360)} {rng.randint(10, 90)}% {rng.randint(88, 98)}%)"
    ink = f"hsl({rng.randrange(360)} {rng.randint(0, 60)}% {rng.randint(0, 28)}%)"
    x, y = rng.uniform(4, w - 4 - 0.72 * px * len(number)), rng.uniform(2, h - 1.4 * px)
    style = f"position:absolute;left:{x:.2f}px;top:{y:.2f}px;color:{ink};font:{rng.choice((400, 400, 700))} {px}px/1.2 '{rng.choice(FAMILIES)}'"
    html = f"<body style='margin:0;background:{paper}'><span style=\"{style}\">{number}</span>"
    return html, (w, h), px, rng.choice(ASK_NUMBER), number


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures and pages.jsonl")
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = []
    with sync_playwright() as play:
        # Root needs --no-sandbox; nothing but our own page is opened.
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tab = browser.new_page()
        for seed in range(args.first_seed, args.first_seed + args.count):
            html, (w, h), px, question, answer = page(seed)
            tab.set_viewport_size({"width": w, "height": h})
            tab.set_content(html)
            tab.screenshot(path=args.out / f"{seed}.png")
            left, right = tab.evaluate("(({left, right}) => [left, right])(document.querySelector('span').getBoundingClientRect())")
            line = {"image": f"{seed}.png", "seed": seed, "text_px": px, "across": [left, right]}
            lines.append(line | {"question": question, "answer": answer})
        browser.close()
    (args.out / "pages.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
