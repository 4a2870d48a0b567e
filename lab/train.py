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
from .export import assemble, language_part, vision_part
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

    def __init__(self, args, modules, optims):
        self.folder, self.modules, self.optims = Path(args.out), modules, optims
        self.seconds, self.last_step = args.seconds, 2 if args.smoke else None
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
        return self.used < self.seconds and (self.last_step is None or self.step <= self.last_step)

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
    """Windows of 12x12 patches of slices of any shape."""
    images, views = zip(*(data.window(rng, lines) for _ in range(count)))
    rows = [[interpolation(n, v.grid[1])[v.offset[1] :][: data.WINDOW] for n in (24, 8)] for v in views]
    columns = [[interpolation(n, v.grid[0])[v.offset[0] :][: data.WINDOW] for n in (24, 8)] for v in views]
    rows, columns = ([torch.stack(t) for t in zip(*m)] for m in (rows, columns))
    return vision_batch(images, views, rows, columns)


def slice_batch(rng, count, lines):
    """Whole slices of one shape."""
    images, views = data.whole_slices(rng, count, lines)
    columns, rows = views[0].grid
    return vision_batch(images, views, [rows, rows], [columns, columns])


def vision_batch(images, views, rows, columns):
    patch = [torch.from_numpy(np.stack(t)) for t in zip(*(v.patch_targets() for v in views))]
    cell = [torch.from_numpy(t) for t in data.stack_cells(views)]
    whole = torch.from_numpy(np.stack([v.whole_cells() for v in views]))
    patches = torch.from_numpy(np.stack([slicing.patches(i) for i in images]))
    return patches, rows, columns, patch, cell, whole


def cell_loss(heads, token, cells, whole, code, mse):
    """Loss of the visual tokens [B, 64, d] against what the whole cells hold."""
    char, shape = cells
    perfect = torch.from_numpy(targets.tokens(char.numpy(), shape.numpy(), code))[whole]
    token, char, shape = token[whole], char[whole], shape[whole]
    asked = (char >= 0).all(-1) & (shape >= 0)
    char_logits = heads.cell_char(token).unflatten(-1, (targets.SLOTS, -1))
    shape_logits = heads.cell_shape(token)
    loss = (
        weighted_ce(char_logits, char, 0.1)
        + 0.5 * weighted_ce(shape_logits, shape, 0.1)
        + mse * (token.float() - perfect)[asked].square().mean()
    )
    return loss, {"cell": hits(char_logits, char), "shape": hits(shape_logits, shape)}


def vision_loss(model, heads, code, batch, mse):
    patches, rows, columns, (char, index, shape), cells, whole = batch
    features = model.vision(patches, rows[0], columns[0])
    token = model.model.mm_projector(features, rows[1], columns[1])
    char_logits = heads.char(features).unflatten(-1, (2, -1))
    index_logits = heads.index(features).unflatten(-1, (2, -1))
    loss, figures = cell_loss(heads, token, cells, whole, code, mse)
    loss = (
        loss
        + weighted_ce(char_logits, char, 0.25)
        + 1.5 * weighted_ce(index_logits, index, 1)
        + 0.5 * weighted_ce(heads.shape(features), shape, 0.1)
    )
    return loss, {"patch": hits(char_logits, char), "index": hits(index_logits, index), **figures}


def descend(loss, optims):
    for o in optims:
        o.zero_grad()
    loss.backward()
    for o in optims:
        o.step()


def add_hits(sums, figures):
    for name, (right, n) in figures.items():
        a, b = sums.get(name, (0, 0))
        sums[name] = (a + right, b + n)


def hit_shares(sums):
    return {name: round(a / max(b, 1), 3) for name, (a, b) in sums.items()}


def vision(args):
    """Stage 1: ViT and resampler learn to tell characters and shapes, and the tokens' codes."""
    torch.manual_seed(1)
    model = start.model()
    part = vision_part(model)
    heads = Heads(model.vision_config["hidden_size"], model.config["hidden_size"])
    if args.init:
        state = torch.load(args.init, weights_only=False)["modules"]
        part.load_state_dict(state[0])
        heads.load_state_dict(state[1])
    progress = Progress(args, [part, heads], optimizers(nn.ModuleList([part, heads]), args.muon, args.adam))
    code = targets.codes(model.config["hidden_size"])
    sums, saved = {}, 0
    while progress.tick(hold=args.hold):
        rng = random.Random(f"vision:{args.seed}:{progress.step}")
        lines = 0.85 - 0.35 * min(1, progress.used / progress.seconds * 1.6)
        if rng.random() < args.whole:
            batch = slice_batch(rng, args.batch // 4, lines)
        else:
            batch = window_batch(rng, args.batch, lines)
        with autocast():
            loss, figures = vision_loss(model, heads, code, batch, 8.0)
        descend(loss, progress.optims)
        add_hits(sums, figures)
        if progress.step % 25 == 0:
            progress.log(loss=round(loss.item(), 3), **hit_shares(sums))
            sums = {}
        if progress.used - saved > 60:
            progress.save()
            saved = progress.used
    progress.save()


def resampler(args):
    """Stage 1, second part: the resampler alone, on kept features of the frozen ViT, many cheap steps."""
    torch.manual_seed(3)
    model = start.model()
    part = vision_part(model)
    heads = Heads(model.vision_config["hidden_size"], model.config["hidden_size"])
    state = torch.load(args.init, weights_only=False)["modules"]
    part.load_state_dict(state[0])
    heads.load_state_dict(state[1])
    trained = nn.ModuleList([model.model.mm_projector, heads])
    progress = Progress(args, [part, heads], optimizers(trained, args.muon, args.adam))
    code = targets.codes(model.config["hidden_size"])
    kept_batches, sums, saved = [], {}, 0
    while progress.tick(hold=args.hold):
        rng = random.Random(f"resampler:{args.seed}:{progress.step}")
        if len(kept_batches) < 20 or rng.random() < args.fresh:
            patches, rows, columns, _, cells, whole = slice_batch(rng, args.batch // 4, 0.4)
            with torch.no_grad(), autocast():
                features = model.vision(patches, rows[0], columns[0]).bfloat16()
            kept_batches.append((features, rows, columns, cells, whole))
            kept_batches = kept_batches[-120:]
        features, rows, columns, cells, whole = rng.choice(kept_batches)
        with autocast():
            token = model.model.mm_projector(features, rows[1], columns[1])
            loss, figures = cell_loss(heads, token, cells, whole, code, 8.0)
        descend(loss, progress.optims)
        add_hits(sums, figures)
        if progress.step % 50 == 0:
            progress.log(loss=round(loss.item(), 3), kept=len(kept_batches), **hit_shares(sums))
            sums = {}
        if progress.used - saved > 30:
            progress.save()
            saved = progress.used
    progress.save()


@torch.no_grad()
def fit(args):
    """Stage 1, end: the projection that brings the tokens nearest to their codes, by least squares."""
    model = assemble(args.vision)
    resampler = model.model.mm_projector
    code = targets.codes(model.config["hidden_size"])
    inputs, wanted = [], []
    for n in range(5 if args.smoke else 40):
        patches, rows, columns, _, (char, shape), whole = slice_batch(random.Random(f"fit:{n}"), 8, 0.4)
        with autocast():
            pooled = resampler.pooled(model.vision(patches, rows[0], columns[0]), rows[1], columns[1])
        asked = whole & (char >= 0).all(-1) & (shape >= 0)
        inputs.append(pooled[asked].float())
        wanted.append(torch.from_numpy(targets.tokens(char.numpy(), shape.numpy(), code))[asked])
    x, y = torch.cat(inputs), torch.cat(wanted)
    x_test, y_test = x[: len(x) // 8], y[: len(x) // 8]
    x, y = x[len(x) // 8 :], y[len(y) // 8 :]
    resampler.proj.copy_(torch.linalg.solve(x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1]), x.T @ y))
    error, spread = (x_test @ resampler.proj - y_test).square().mean(), y_test.var(0).mean()
    print(json.dumps({"tokens": len(x), "error": round(error.item(), 4), "of": round(spread.item(), 4)}))
    Path(args.out).mkdir(parents=True, exist_ok=True)
    torch.save({"modules": [vision_part(model).state_dict()]}, Path(args.out) / "state.pt")


class PerfectTokens:
    """Visual tokens of pages that are never drawn: the codes of what the views hold, with noise. Also says which tokens
    hold something."""

    def __init__(self, d):
        self.code = targets.codes(d)

    def __call__(self, pages, rng):
        noise = np.random.default_rng(rng.getrandbits(32))
        result, busy = [], []
        for page in pages:
            char, shape = data.stack_cells(data.page_views(page))
            char[(char == targets.IGNORE) & (noise.random(char.shape) < 0.5)] = 0
            slip = (char > 0) & (noise.random(char.shape) < 0.01)
            char[slip] = noise.integers(0, len(targets.CHARS) + 1, slip.sum())
            t = targets.tokens(char, shape, self.code)
            full = (char > 0).any(-1) | (shape > 0)
            result.append(t + np.where(full, 0.2, 0.08)[..., None] * noise.standard_normal(t.shape, np.float32))
            busy.append(full)
        return torch.from_numpy(np.stack(result)).float(), np.stack(busy)


class RealTokens:
    """Visual tokens of drawn pages by the frozen vision side; some batches are shown again."""

    def __init__(self, model, keep, fresh):
        self.model, self.keep, self.fresh, self.pool = model, keep, fresh, []

    def page(self, page, every, rng):
        """Tokens [views, 64, d], which tokens hold something, which views are known: those that hold something, and
        every one or some of the others."""
        char, shape = data.stack_cells(data.page_views(page))
        busy = (char != 0).any(-1) | (shape != 0)
        known = busy.any(1) | np.array([every or rng.random() < 0.25 for _ in busy])
        parts = slicing.cut(generate.draw(page))
        tokens = torch.zeros(*busy.shape, self.model.config["hidden_size"], dtype=torch.bfloat16)
        for views in ([i for i in np.flatnonzero(known[:-1])], [len(parts) - 1] if known[-1] else []):
            if views:
                w, h = parts[views[0]].size
                patches = torch.stack([torch.from_numpy(slicing.patches(parts[i])) for i in views])
                tokens[views] = self.model.encode(patches, h // 14, w // 14).bfloat16()
        return tokens, busy, known

    @torch.no_grad()
    def draw(self, pages, every, rng):
        with autocast():
            tokens, busy, known = zip(*(self.page(p, every, rng) for p in pages))
        return pages, torch.stack(tokens), np.stack(busy), np.stack(known)

    def batch(self, rng, draw_pages, every):
        """Pages, tokens, busy, known: newly drawn, or some of those kept."""
        if len(self.pool) < 4 or rng.random() < self.fresh:
            self.pool.append(self.draw(draw_pages(), every, rng))
            if len(self.pool) > self.keep:
                self.pool.pop(0)
            return self.pool[-1]
        return rng.choice(self.pool)


# Groups of kinds of pages whose conversations are about equally long, with the embeddings these take, and their share
# of the steps.
READING = (("number", "word", "both"), 60, 0.6)
MIXES = {
    "number": ((("number",), 60, 1.0),),
    "reading": (READING, (("number",), 60, 0.6)),
    "all": (READING, (("table", "receipt"), 150, 0.25), (("count", "relation"), 130, 0.15)),
}


def canvas(rng, slices):
    """A page size that is cut into this many slices (0: overview alone)."""
    while True:
        size = generate.canvas(rng)
        p = slicing.plan(*size)
        if slices == (p.grid[0] * p.grid[1] if p.grid else 0):
            return size


def page_batch(rng, slices, share, budget, groups):
    """Pages of one group that are cut into equally many slices, for about this many embeddings."""
    kinds, length, _ = rng.choices(groups, [g[2] for g in groups])[0]
    count = max(6, int(budget / ((65 * slices + 64) * share + length)))
    return [data.random_page(rng, kinds, canvas(rng, slices)) for _ in range(count)]


def conversation(page, limit):
    """Ids after the picture and, for each, whether it is to be learnt."""
    ids, learn = [], []
    for n, (question, answer) in enumerate(page.questions[:limit]):
        asked, said = text.turn(question, n == 0), text.encode(answer) + [text.EOS]
        ids += asked + said
        learn += [False] * len(asked) + [True] * len(said)
    return ids, learn


def kept(busy, share, rng, known):
    """Places [B, n] of the picture's embeddings that a step looks at: all that hold something, the separators, and some
    empty ones of the views that are known, equally many for every page."""
    pages, views, cells = busy.shape
    full = np.zeros((pages, views, cells + 1), bool)
    full[:, :, :cells], full[:, :-1, cells] = busy, True
    full = full.reshape(pages, -1)[:, :-1]
    unknown = np.repeat(~known, cells + 1, 1)[:, :-1] & ~full
    n = max(full.sum(1).max(), min(int(share * full.shape[1]), (~unknown).sum(1).min()))
    order = np.random.default_rng(rng.getrandbits(32)).random(full.shape) - full + unknown
    return torch.from_numpy(np.sort(np.argsort(order, 1)[:, :n], 1))


def llm_loss(model, tokens, pages, limit, places=None):
    """Loss of the answers, and per page whether each answer was right (teacher forced, which equals greedy decoding).
    places: the picture's embeddings that are shown, all by default; every one keeps its position."""
    talks = [conversation(p, limit) for p in pages]
    longest = max(len(ids) for ids, _ in talks)
    ids = torch.tensor([i + [text.EOS] * (longest - len(i)) for i, _ in talks])
    learn = torch.tensor([k + [False] * (longest - len(k)) for _, k in talks])
    embed = model.model.embed_tokens
    marks = [slicing.plan(p.w, p.h).separators for p in pages]
    rows = torch.stack([model.image_embeddings(t, m) for t, m in zip(tokens, marks)])
    total = rows.shape[1]
    if places is None:
        places = torch.arange(total).expand(len(pages), -1)
    else:
        rows = rows.gather(1, places[..., None].expand(-1, -1, rows.shape[2]))
    positions = torch.cat([torch.zeros(len(pages), 1), 1 + places, (1 + total + torch.arange(longest)).expand(len(pages), -1)], 1)
    bos = embed.weight[text.BOS].expand(len(pages), 1, -1)
    x = torch.cat([bos, rows, embed(ids)], 1)
    hidden = model.llm(x, positions=positions)[:, -longest - 1 : -1]
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
    """Stage 2: the language model learns to answer, from perfect tokens or, with --vision, from both kinds."""
    torch.manual_seed(2)
    model = assemble(args.vision, args.init)
    part = language_part(model)
    progress = Progress(args, [part], optimizers(part, args.muon, args.adam))
    perfect = PerfectTokens(model.config["hidden_size"])
    real = RealTokens(model, keep=60, fresh=args.fresh)
    sums, saved, losses = {}, 0, []
    while progress.tick(hold=args.hold):
        rng = random.Random(f"language:{args.seed}:{progress.step}")
        done = progress.used / progress.seconds
        small = 0.2 if args.vision else max(0.15, 1 - 2.5 * done)
        slices = 0 if rng.random() < small else rng.choice((2, 3, 4, 5, 6, 6, 6))
        share = 1.0 if rng.random() < 0.1 + 0.3 * done else rng.uniform(0.1, 0.4)

        mix = args.mix or ("number" if done < 0.1 else "reading" if done < 0.3 else "all")

        def draw_pages():
            return page_batch(rng, slices, share, args.budget, MIXES[mix])

        if args.vision and rng.random() < args.real:
            mark = "r"
            pages, tokens, busy, known = real.batch(rng, draw_pages, share == 1)
        else:
            mark, pages = "", draw_pages()
            tokens, busy = perfect(pages, rng)
            known = np.ones(busy.shape[:2], bool)
        with autocast():
            loss, results = llm_loss(model, tokens.float(), pages, args.questions, kept(busy, share, rng, known))
        descend(loss, progress.optims)
        losses.append(loss.item())
        count_answers(sums, pages, results, mark, args.questions)
        if progress.step % 25 == 0:
            progress.log(loss=round(sum(losses) / len(losses), 3), **shares(sums))
            sums, losses = {}, []
        if progress.used - saved > 60:
            progress.save()
            saved = progress.used
    progress.save()


def count_answers(sums, pages, results, mark, limit):
    """Adds right and all answers by kind of question and by small (overview alone, 0) or large (+) picture."""
    i = 0
    for page in pages:
        small = slicing.plan(page.w, page.h).grid is None
        for question, _ in page.questions[:limit]:
            key = kind_of(question) + mark + ("0" if small else "+")
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


def resume(args):
    """State files of the bundled weights, to start from."""
    model = LlavaUhd.load(args.model)
    heads = Heads(model.vision_config["hidden_size"], model.config["hidden_size"])
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"modules": [vision_part(model).state_dict(), heads.state_dict()]}, out / "vision.pt")
    torch.save({"modules": [language_part(model).state_dict()]}, out / "language.pt")


STAGES = {"resume": resume, "vision": vision, "resampler": resampler, "fit": fit, "language": language}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--out", required=True, help="folder of the stage's state; an existing state is resumed")
    parser.add_argument("--init", help="state file to start from")
    parser.add_argument("--seconds", type=float, default=2400, help="CPU seconds of the whole stage")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--whole", type=float, default=0.0, help="share of vision steps on whole slices, not windows")
    parser.add_argument("--budget", type=int, default=6000, help="embeddings a step of the language model")
    parser.add_argument("--questions", type=int, default=4, help="most questions of one conversation")
    parser.add_argument("--vision", help="state file of the vision stage, for a language stage on real tokens")
    parser.add_argument("--mix", choices=MIXES, help="tasks of a language stage; by default more and more of them")
    parser.add_argument("--model", help="model directory, for resume")
    parser.add_argument("--real", type=float, default=0.5, help="share of steps on real tokens")
    parser.add_argument("--fresh", type=float, default=0.2, help="share of these that draw new pages")
    parser.add_argument("--muon", type=float, default=0.02)
    parser.add_argument("--adam", type=float, default=3e-3)
    parser.add_argument("--hold", type=float, default=0.5, help="share of the stage before the rates fall")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="two small steps only, to see that the stage runs")
    args = parser.parse_args()
    if args.smoke:
        args.batch, args.budget = 4, 400
    torch.set_num_threads(args.threads)
    STAGES[args.stage](args)


if __name__ == "__main__":
    main()
