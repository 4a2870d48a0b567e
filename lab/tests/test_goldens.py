"""Checks the slicing rule and the model's mathematics against golden reference data.

    python -m lab.tests.test_goldens GOLDENS_DIR
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from lab import slicing
from lab.model import LlavaUhd


def check_slicing(goldens):
    rows = [json.loads(line) for line in open(goldens / "slicing" / "slicing_uhd_v1.jsonl")]
    for row in rows:
        p = slicing.plan(row["w"], row["h"], row["max"])
        got = [list(p.overview), p.grid and list(p.grid), p.cell and list(p.cell), p.refine and list(p.refine), p.separators]
        assert got == [row[k] for k in ("overview", "grid", "cell", "refine", "seps")], row
    print(f"slicing: {len(rows)} rows equal")


def close(name, got, want, tolerance):
    worst = (got - want.float()).abs().max().item()
    print(f"{name}: max difference {worst:.1e}")
    assert worst < tolerance, name


@torch.no_grad()
def check_model(folder):
    model = LlavaUhd.load(folder)
    golden = load_file(folder / "golden_resampler.safetensors")
    for name in [n for n in golden if n.startswith("in.")]:
        shape = name[3:]
        rows, columns = map(int, shape.split("x"))
        got = model.model.mm_projector(golden[name].float()[None], rows, columns)[0]
        close(f"resampler {shape}", got, golden["out." + shape], 2e-4)
    for file in sorted(folder.glob("golden_image_*.json")):
        info, golden = json.loads(file.read_text()), load_file(file.with_suffix(".safetensors"))
        if info["prescale_longest_to"]:
            continue
        model.config["mm_max_slices"] = info["max_slices"]
        image = Image.open(folder / info["image"]).convert("RGB")
        parts = slicing.cut(image, info["max_slices"])
        names = [f"slice{i}" for i in range(len(parts) - 1)] + ["overview"]
        for name, part in zip(names, parts):
            if "vit." + name in golden:
                rows, columns = part.size[1] // 14, part.size[0] // 14
                features = model.vision(torch.from_numpy(slicing.patches(part))[None], rows, columns)[0]
                close(f"{file.stem} vit.{name}", features, golden["vit." + name], 2e-4)
        tokens = model.encode_image(image)
        for name, token in zip(names, tokens):
            if "proj." + name in golden:
                close(f"{file.stem} proj.{name}", token, golden["proj." + name], 2e-4)
        marks = slicing.plan(*image.size, info["max_slices"]).separators
        where = info["input_ids"].index(-200)
        embed = model.model.embed_tokens.weight
        x = torch.cat([
            embed[torch.tensor(info["input_ids"][:where])],
            model.image_embeddings(tokens, marks),
            embed[torch.tensor(info["input_ids"][where + 1 :])],
        ])
        logits = model.lm_head(model.llm(x[None])[0, -1])
        close(f"{file.stem} logits", logits, golden["greedy_logits_first8"][0], 1e-3)
        want = golden["greedy_ids"].tolist()
        assert model.generate(x, len(want)) == want, file.stem
        print(f"{file.stem}: {len(want)} greedy ids equal")


def main():
    goldens = Path(sys.argv[1])
    check_slicing(goldens)
    check_model(goldens / "models" / "uhd-paper-tiny")


if __name__ == "__main__":
    main()
