"""Writes reference answers of a model in float32 PyTorch, for the server's tests to compare with.

    python -m lab.fixture --model models/nano-uhd --out tests/goldens-nano
"""

import argparse
import json
from pathlib import Path

import torch

from . import generate, slicing, text
from .model import LlavaUhd

PICTURES = (  # kind, size
    *(("demo", None),) * 4,
    ("number", (672, 1088)),
    ("number", (1008, 672)),
    ("number", (1344, 336)),
    ("number", (336, 1344)),
    ("number", (500, 500)),
    ("number", (300, 220)),
    ("word", (672, 1008)),
    ("word", (640, 480)),
    ("both", (700, 900)),
    ("table", (672, 672)),
    ("table", (600, 400)),
    ("receipt", (500, 800)),
    ("receipt", (336, 336)),
    ("count", (800, 600)),
    ("count", (300, 300)),
    ("relation", (900, 300)),
)
FIRST_SEED = 800_000_000


@torch.no_grad()
def answer(model, image, question):
    """Greedy ids and, for each, by how much its logit leads the next best one's."""
    marks = model.form.marks(*image.size)
    embed = model.model.embed_tokens.weight
    x = torch.cat([
        embed[[text.BOS]],
        model.image_embeddings(model.encode_image(image), marks),
        embed[torch.tensor(text.turn(question, True))],
    ])
    ids = model.generate(x)
    x = torch.cat([x, embed[torch.tensor(ids[:-1], dtype=torch.long)]])
    top = model.lm_head(model.llm(x[None])[0, -len(ids) :]).topk(2).values
    return ids, [round(m, 4) for m in (top[:, 0] - top[:, 1]).tolist()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = LlavaUhd.load(args.model)
    args.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for n, (kind, size) in enumerate(PICTURES):
        page = generate.make(kind, FIRST_SEED + n, size)
        image, (question, expected) = generate.draw(page), page.questions[0]
        name = f"{n:02d}-{kind}.png"
        image.save(args.out / name, optimize=True)
        ids, margins = answer(model, image, question)
        plan = slicing.plan(*image.size, model.config["mm_max_slices"])
        lines.append({
            "image": name,
            "size": list(image.size),
            "grid": plan.grid and list(plan.grid),
            "question": question,
            "expected": expected,
            "ids": ids,
            "margins": margins,
            "text": text.decode(ids),
        })
    (args.out / "nano_greedy.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"{sum(line['text'] == line['expected'] for line in lines)} of {len(lines)} answers right")


if __name__ == "__main__":
    main()
