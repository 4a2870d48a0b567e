"""Trains the model in stages; every stage can be stopped and started again.

    python -m lab.train vision --out runs/vision --seconds 2400
"""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import data, generate, slicing, start, targets, text
from .model import LlavaUhd, interpolation
from .optim import optimizers, rate


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


class Heads(nn.Module):
    """Read the dense targets from patches and from visual tokens; thrown away after training."""

    def __init__(self, d_patch, d_token):
        super().__init__()
        self.char = nn.Linear(d_patch, 2 * (len(targets.CHARS) + 1))
        self.index = nn.Linear(d_patch, 2 * targets.INDICES)
        self.shape = nn.Linear(d_patch, targets.SHAPE_COUNT)
        self.cell_char = nn.Linear(d_token, targets.SLOTS * (len(targets.CHARS) + 1))
        self.cell_shape = nn.Linear(d_token, targets.SHAPE_COUNT)


def weighted_ce(logits, target, none_weight):
    """Cross entropy where class 0 (none) counts less and -1 not at all."""
    weight = torch.ones(logits.shape[-1])
    weight[0] = none_weight
    return F.cross_entropy(logits.float().flatten(0, -2), target.flatten(), weight, ignore_index=-1)


def hits(logits, target):
    """Right and all among the targets that are something."""
    there = target > 0
    return ((logits.argmax(-1) == target) & there).sum().item(), there.sum().item()


class Progress:
    """Where a stage stands; saves and restores everything it needs to go on."""

    def __init__(self, folder, modules, optims, seconds):
        self.folder, self.modules, self.optims, self.seconds = Path(folder), modules, optims, seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rates = [o.param_groups[0]["lr"] for o in optims]
        self.used, self.step, self.since = 0.0, 0, time.process_time()
        if (self.folder / "state.pt").exists():
            state = torch.load(self.folder / "state.pt", weights_only=False)
            for m, s in zip(modules, state["modules"]):
                m.load_state_dict(s)
            for o, s in zip(optims, state["optims"]):
                o.load_state_dict(s)
            self.used, self.step = state["used"], state["step"]

    def tick(self, **schedule):
        """Counts time, sets the rates; False when the stage is over."""
        now = time.process_time()
        self.used, self.since, self.step = self.used + now - self.since, now, self.step + 1
        factor = rate(self.used / self.seconds, **schedule)
        for o, r in zip(self.optims, self.rates):
            for group in o.param_groups:
                group["lr"] = r * factor * group.get("scale", 1.0)
        return self.used < self.seconds

    def save(self):
        state = {
            "modules": [m.state_dict() for m in self.modules],
            "optims": [o.state_dict() for o in self.optims],
            "used": self.used,
            "step": self.step,
        }
        torch.save(state, self.folder / "state.tmp")
        (self.folder / "state.tmp").rename(self.folder / "state.pt")

    def log(self, **figures):
        line = {"cpu_s": round(self.used), "step": self.step, **figures}
        print(json.dumps(line), flush=True)
        with open(self.folder / "log.jsonl", "a") as f:
            f.write(json.dumps(line) + "\n")


def window_batch(rng, count, lines):
    images, views = zip(*(data.window(rng, lines) for _ in range(count)))
    rows = [[interpolation(n, v.grid[1])[v.offset[1] :][: data.WINDOW] for n in (24, 8)] for v in views]
    columns = [[interpolation(n, v.grid[0])[v.offset[0] :][: data.WINDOW] for n in (24, 8)] for v in views]
    rows, columns = ([torch.stack(t) for t in zip(*m)] for m in (rows, columns))
    patch = [torch.from_numpy(np.stack(t)) for t in zip(*(v.patch_targets() for v in views))]
    cell = [torch.from_numpy(t) for t in data.stack_cells(views)]
    whole = torch.from_numpy(np.stack([v.whole_cells() for v in views]))
    patches = torch.from_numpy(np.stack([slicing.patches(i) for i in images]))
    return patches, rows, columns, patch, cell, whole


def vision_loss(model, heads, code, batch, mse):
    patches, rows, columns, (char, index, shape), (cell_char, cell_shape), whole = batch
    features = model.vision(patches, rows[0], columns[0])
    token = model.model.mm_projector(features, rows[1], columns[1])[whole]
    perfect = torch.from_numpy(targets.tokens(cell_char.numpy(), cell_shape.numpy(), code))[whole]
    cell_char, cell_shape = cell_char[whole], cell_shape[whole]
    char_logits = heads.char(features).unflatten(-1, (2, -1))
    cell_logits = heads.cell_char(token).unflatten(-1, (targets.SLOTS, -1))
    asked = (cell_char >= 0).all(-1) & (cell_shape >= 0)
    shape_logits = heads.cell_shape(token)
    loss = (
        weighted_ce(char_logits, char, 0.25)
        + 0.5 * weighted_ce(heads.index(features).unflatten(-1, (2, -1)), index, 1)
        + 0.5 * weighted_ce(heads.shape(features), shape, 0.1)
        + weighted_ce(cell_logits, cell_char, 0.1)
        + 0.5 * weighted_ce(shape_logits, cell_shape, 0.1)
        + mse * (token.float() - perfect)[asked].square().mean()
    )
    return loss, {"patch": hits(char_logits, char), "cell": hits(cell_logits, cell_char), "shape": hits(shape_logits, cell_shape)}


def vision(args):
    """Stage 1: ViT and resampler learn to tell characters and shapes, and the tokens' codes."""
    torch.manual_seed(1)
    model = start.model()
    part = nn.ModuleList([model.vision, model.model.mm_projector])
    heads = Heads(model.vision_config["hidden_size"], model.config["hidden_size"])
    if args.init:
        state = torch.load(args.init, weights_only=False)["modules"]
        part.load_state_dict(state[0])
        heads.load_state_dict(state[1])
    progress = Progress(args.out, [part, heads], optimizers(nn.ModuleList([part, heads]), args.muon, args.adam), args.seconds)
    code = targets.codes(model.config["hidden_size"])
    sums, saved = {}, 0
    while progress.tick(hold=args.hold):
        rng = random.Random(f"vision:{args.seed}:{progress.step}")
        lines = 0.85 - 0.35 * min(1, progress.used / progress.seconds * 1.6)
        batch = window_batch(rng, args.batch, lines)
        with autocast():
            loss, figures = vision_loss(model, heads, code, batch, 2.0)
        for o in progress.optims:
            o.zero_grad()
        loss.backward()
        for o in progress.optims:
            o.step()
        for name, (right, n) in figures.items():
            a, b = sums.get(name, (0, 0))
            sums[name] = (a + right, b + n)
        if progress.step % 25 == 0:
            progress.log(loss=round(loss.item(), 3), **{n: round(a / max(b, 1), 3) for n, (a, b) in sums.items()})
            sums = {}
        if progress.used - saved > 60:
            progress.save()
            saved = progress.used
    progress.save()


class PerfectTokens:
    """Visual tokens of pages that are never drawn: the codes of what the views hold, with noise."""

    def __init__(self, d):
        self.code = targets.codes(d)

    def __call__(self, pages, rng):
        noise = np.random.default_rng(rng.getrandbits(32))
        result = []
        for page in pages:
            char, shape = data.stack_cells(data.page_views(page))
            char[(char == targets.IGNORE) & (noise.random(char.shape) < 0.5)] = 0
            slip = (char > 0) & (noise.random(char.shape) < 0.01)
            char[slip] = noise.integers(0, len(targets.CHARS) + 1, slip.sum())
            t = targets.tokens(char, shape, self.code)
            result.append(t + 0.15 * noise.standard_normal(t.shape, np.float32))
        return torch.from_numpy(np.stack(result)).float()


WEIGHTS = {"number": 5, "word": 3, "both": 3, "table": 4, "receipt": 3, "count": 2, "relation": 2}


def canvas(rng, slices):
    """A page size that is cut into this many slices (0: overview alone)."""
    while True:
        size = generate.canvas(rng)
        p = slicing.plan(*size)
        if slices == (p.grid[0] * p.grid[1] if p.grid else 0):
            return size


def page_batch(rng, slices, count, weights):
    kinds = rng.choices(list(weights), weights.values(), k=count)
    return [data.random_page(rng, (kind,), canvas(rng, slices)) for kind in kinds]


def conversation(page, limit):
    """Ids after the picture and, for each, whether it is to be learnt."""
    ids, learn = [], []
    for n, (question, answer) in enumerate(page.questions[:limit]):
        asked, said = text.turn(question, n == 0), text.encode(answer) + [text.EOS]
        ids += asked + said
        learn += [False] * len(asked) + [True] * len(said)
    return ids, learn


def llm_loss(model, tokens, pages, limit):
    """Loss of the answers, and per page whether each answer was right (teacher forced, which equals greedy decoding)."""
    talks = [conversation(p, limit) for p in pages]
    longest = max(len(ids) for ids, _ in talks)
    ids = torch.tensor([i + [text.EOS] * (longest - len(i)) for i, _ in talks])
    learn = torch.tensor([k + [False] * (longest - len(k)) for _, k in talks])
    embed = model.model.embed_tokens
    marks = [slicing.plan(p.w, p.h).separators for p in pages]
    rows = torch.stack([model.image_embeddings(t, m) for t, m in zip(tokens, marks)])
    bos = embed.weight[text.BOS].expand(len(pages), 1, -1)
    x = torch.cat([bos, rows, embed(ids)], 1)
    hidden = model.llm(x)[:, -longest - 1 : -1]
    logits = model.lm_head(hidden[learn]).float()
    loss = F.cross_entropy(logits, ids[learn])
    good = torch.ones_like(learn)
    good[learn] = logits.argmax(-1) == ids[learn]
    results = []
    for b in range(len(pages)):
        ends = [n for n in range(longest) if learn[b, n] and ids[b, n] == text.EOS]
        first = 0
        for end in ends:
            results.append(bool(good[b, first : end + 1].all()))
            first = end + 1
    return loss, results


def language(args):
    """Stage 2: the language model learns to answer from perfect tokens."""
    torch.manual_seed(2)
    model = start.model()
    part = nn.ModuleList([model.model.embed_tokens, model.model.layers, model.model.norm, model.lm_head])
    if args.init:
        part.load_state_dict(torch.load(args.init, weights_only=False)["modules"][0])
    progress = Progress(args.out, [part], optimizers(part, args.muon, args.adam), args.seconds)
    source = PerfectTokens(model.config["hidden_size"])
    sums, saved, losses = {}, 0, []
    while progress.tick(hold=args.hold):
        rng = random.Random(f"language:{args.seed}:{progress.step}")
        done = progress.used / progress.seconds
        slices = 0 if rng.random() < max(0.15, 1 - 2.5 * done) else rng.choice((2, 3, 4, 6, 6))
        count = max(8, args.budget // (65 * slices + 64 + 110))
        pages = page_batch(rng, slices, count, WEIGHTS)
        tokens = source(pages, rng)
        with autocast():
            loss, results = llm_loss(model, tokens, pages, args.questions)
        for o in progress.optims:
            o.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        for o in progress.optims:
            o.step()
        losses.append(loss.item())
        count_answers(sums, pages, results, slices, args.questions)
        if progress.step % 25 == 0:
            progress.log(loss=round(sum(losses) / len(losses), 3), **shares(sums))
            sums, losses = {}, []
        if progress.used - saved > 60:
            progress.save()
            saved = progress.used
    progress.save()


def count_answers(sums, pages, results, slices, limit):
    """Adds right and all answers by kind of question and by small (overview alone) or large picture."""
    i = 0
    for page in pages:
        for question, _ in page.questions[:limit]:
            key = kind_of(question) + ("0" if slices == 0 else "+")
            right, n = sums.get(key, (0, 0))
            sums[key] = (right + results[i], n + 1)
            i += 1


def kind_of(question):
    for mark, kind in (("umber", "number"), ("word", "word"), ("column", "table"), ("many", "count"), ("of the", "relation"), ("above", "relation"), ("below", "relation")):
        if mark in question:
            return kind
    return "receipt"


def shares(sums):
    return {k: round(a / n, 2) for k, (a, n) in sorted(sums.items())}


STAGES = {"vision": vision, "language": language}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--out", required=True, help="folder of the stage's state; an existing state is resumed")
    parser.add_argument("--init", help="state file to start from")
    parser.add_argument("--seconds", type=float, default=2400, help="CPU seconds of the whole stage")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--budget", type=int, default=6000, help="embeddings a step of the language model")
    parser.add_argument("--questions", type=int, default=5, help="most questions of one conversation")
    parser.add_argument("--muon", type=float, default=0.02)
    parser.add_argument("--adam", type=float, default=3e-3)
    parser.add_argument("--hold", type=float, default=0.5, help="share of the stage before the rates fall")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    STAGES[args.stage](args)


if __name__ == "__main__":
    main()
