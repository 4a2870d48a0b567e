"""Greedy exact-match accuracy on freshly drawn pictures: by this PyTorch code, or through an OpenAI-compatible server.

    python -m lab.evaluate --model models/nano-uhd --kind number --count 200
    python -m lab.evaluate --url http://127.0.0.1:8080 --kind number --count 200
    python -m lab.evaluate --url http://127.0.0.1:8080 --pages runs/plain

Prints the model card's tables.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image

from . import generate, slicing, text
from .client import Server
from .model import LlavaUhd

FIRST_SEED = 900_000_000  # training draws its seeds from 48 bits; these are kept for evaluation


class Local:
    """The model in float32 by lab/model.py."""

    def __init__(self, folder):
        self.model = LlavaUhd.load(folder).eval()

    @torch.no_grad()
    def __call__(self, image, questions):
        """Answers to the questions, each asked alone about the picture."""
        model = self.model
        marks = model.form.marks(*image.size)
        embed = model.model.embed_tokens.weight
        picture = torch.cat([embed[[text.BOS]], model.image_embeddings(model.encode_image(image), marks)])
        return [text.decode(self.ids(picture, question)) for question in questions]

    def ids(self, picture, question):
        asked = self.model.model.embed_tokens.weight[torch.tensor(text.turn(question, True))]
        return self.model.generate(torch.cat([picture, asked]))


def aspect(w, h):
    """Name of the aspect ratio's class, e.g. "1:2" for tall pictures."""
    ratio = w / h
    return "1:4..1:2" if ratio < 0.5 else "1:2..2:1" if ratio <= 2 else "2:1..4:1"


def extent(page, question):
    """Where the word that is the answer begins and ends, None where it is not a word."""
    thing = next(iter(page.about.get(question, ())), None)
    return (thing.x, thing.x + generate.width(thing.face, thing.size, thing.text)) if isinstance(thing, generate.Word) else None


def record(kind, seed, size, text_px, turn, question, answer, got, across):
    grid = slicing.plan(*size).grid
    return {
        "kind": kind,
        "seed": seed,
        "size": list(size),
        "slices": grid[0] * grid[1] if grid else 0,
        "aspect": aspect(*size),
        "text_px": text_px,
        "cut": across and any(across[0] < x < across[1] for x in slicing.borders(*size)),
        "turn": turn,
        "question": question,
        "answer": answer,
        "got": got,
        "right": got == answer,
    }


def evaluate(ask, kind, count, questions, first_seed, size=None):
    """One record for each question asked."""
    records = []
    for seed in range(first_seed, first_seed + count):
        page = generate.make(kind, seed, size)
        asked = page.questions[:questions]
        text_px = page.words[0].size if page.words else None
        for turn, ((question, answer), got) in enumerate(zip(asked, ask(generate.draw(page), [q for q, _ in asked]))):
            records.append(record(kind, seed, (page.w, page.h), text_px, turn, question, answer, got, extent(page, question)))
    return records


def evaluate_pages(ask, folder):
    """The same for the pictures of a folder with a pages.jsonl, as lab.plain writes it."""
    records = []
    for line in map(json.loads, (folder / "pages.jsonl").read_text().splitlines()):
        image = Image.open(folder / line["image"]).convert("RGB")
        (got,) = ask(image, [line["question"]])
        records.append(record(folder.name, line["seed"], image.size, line["text_px"], 0, line["question"], line["answer"], got, line["across"]))
    return records


def text_class(px):
    return "no text" if px is None else next(f"up to {most:02d} px" for most in (14, 18, 26, 36, 99) if px <= most)


def shrunk(size):
    """How much the longer side is shrunk to 336 pixels, rounded; 1 for smaller pictures."""
    return f"1/{max(1, round(max(size) / slicing.SIDE))}"


GROUPS = {  # name of a column's value: what it is told from
    "text": lambda r: text_class(r["text_px"]),
    "square view": lambda r: shrunk(r["size"]),
    "slices": lambda r: str(r["slices"]),
    "on a border of slices": lambda r: {True: "yes", False: "no"}.get(r.get("cut"), "not known"),
    "aspect": lambda r: r["aspect"],
    "question": lambda r: str(r["turn"] + 1),
    "answer": lambda r: r["answer"] if r["kind"] == "count" else f"length {len(r['answer'])}",
}


def table(records):
    """Accuracy of each kind of page, and within it by text size, slices, aspect ratio and so on, as lines of Markdown: one
    line for each way to group, with the groups side by side."""
    lines = ["| kind | | questions | right, % |", "| --- | --- | --- | --- |"]

    def row(kind, name, groups):
        rights = (f"{100 * sum(r['right'] for r in g) / len(g):.1f}" for g in groups)
        lines.append(f"| {kind} | {name} | {', '.join(str(len(g)) for g in groups)} | {', '.join(rights)} |")

    for kind in dict.fromkeys(r["kind"] for r in records):
        of_kind = [r for r in records if r["kind"] == kind]
        row(f"`{kind}`", "all", [of_kind])
        for name, group_of in GROUPS.items():
            groups = {}
            for r in of_kind:
                groups.setdefault(group_of(r), []).append(r)
            if len(groups) > 1:
                row("", f"{name}: {', '.join(sorted(groups))}", [groups[value] for value in sorted(groups)])
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--model", type=Path, help="model directory, run by PyTorch")
    target.add_argument("--url", help="server to ask, e.g. http://127.0.0.1:8080")
    target.add_argument("--read", type=Path, nargs="+", help="files written by --out, to print the tables of")
    parser.add_argument("--name", help="model name for the server; the first one it lists by default")
    parser.add_argument("--kind", choices=generate.KINDS, action="append", help="may be repeated; all by default")
    parser.add_argument("--pages", type=Path, help="folder of pictures to ask about instead, with their questions in its pages.jsonl")
    parser.add_argument("--count", type=int, default=100, help="pictures of each kind")
    parser.add_argument("--questions", type=int, default=1, help="most questions about one picture")
    parser.add_argument("--talk", action="store_true", help="ask a server these questions in one conversation, not each alone")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--size", type=int, nargs=2, help="draw all pictures at this width and height")
    parser.add_argument("--floor", type=float, help="fail when the accuracy in percent is below this")
    parser.add_argument("--out", type=Path, help="JSON Lines file for the single answers")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.read:
        records = [json.loads(line) for file in args.read for line in file.read_text().splitlines()]
    else:
        ask = Local(args.model) if args.model else Server(args.url, args.name)
        if args.talk:
            ask = Server(args.url, args.name).talk
        records = evaluate_pages(ask, args.pages) if args.pages else []
        for kind in () if args.pages else args.kind or generate.TASKS:
            records += evaluate(ask, kind, args.count, args.questions, args.first_seed, args.size and tuple(args.size))
    if args.out:
        args.out.write_text("".join(json.dumps(r) + "\n" for r in records))
    print(table(records))
    right = 100 * sum(r["right"] for r in records) / len(records)
    print(f"all: {right:.1f} % of {len(records)}")
    if args.floor is not None and right < args.floor:
        raise SystemExit(f"below the floor of {args.floor} %")


if __name__ == "__main__":
    main()
