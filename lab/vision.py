"""Stage 1: the vision tower and the projector learn to tell characters and shapes, and the codes of the tokens."""

import json
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import data, slicing, start, targets
from .export import assemble, vision_part
from .model import interpolation
from .optim import optimizers
from .precision import HALF, autocast
from .progress import Progress, add_hits, descend, hit_shares, weights


class Heads(nn.Module):
    """Read the dense targets from patches and from visual tokens; thrown away after training."""

    def __init__(self, d_patch, d_token):
        super().__init__()
        self.char = nn.Linear(d_patch, 2 * (len(targets.CHARS) + 1))
        self.index = nn.Linear(d_patch, 2 * targets.INDICES)
        self.shape = nn.Linear(d_patch, targets.SHAPE_COUNT)
        self.cell_char = nn.Linear(d_token, targets.SLOTS * (len(targets.CHARS) + 1))
        self.cell_shape = nn.Linear(d_token, targets.SHAPE_COUNT)

    @torch.no_grad()
    def read_codes(self):
        """Start values for tokens that are codes already: of each slot, and of the shapes, the nearest code has the largest logit."""
        chars, shapes, position = targets.codes(self.cell_char.in_features)
        for head, code in (self.cell_char, chars.reshape(-1, chars.shape[-1])), (self.cell_shape, shapes):
            head.weight.copy_(torch.from_numpy(code))
            head.bias.copy_(-torch.from_numpy((code**2).sum(-1) / 2 + code @ position.mean(0)))


def weighted_ce(logits, target, none_weight):
    """Cross entropy where class 0 (none) counts less and -1 not at all."""
    weight = torch.ones(logits.shape[-1])
    weight[0] = none_weight
    return F.cross_entropy(logits.float().flatten(0, -2), target.flatten(), weight, ignore_index=-1)


def hits(logits, target):
    """Right and all among the targets that are something."""
    there = target > 0
    return ((logits.argmax(-1) == target) & there).sum().item(), there.sum().item()


def window_batch(rng, count, writing):
    """Windows of 12x12 patches of slices of any shape."""
    images, views = zip(*(data.window(rng, writing) for _ in range(count)))
    rows = [[interpolation(n, v.grid[1])[v.offset[1] :][: data.WINDOW] for n in (24, 8)] for v in views]
    columns = [[interpolation(n, v.grid[0])[v.offset[0] :][: data.WINDOW] for n in (24, 8)] for v in views]
    rows, columns = ([torch.stack(t) for t in zip(*m)] for m in (rows, columns))
    return vision_batch(images, views, rows, columns)


def slice_batch(rng, count, writing):
    """Whole slices of one shape."""
    images, views = data.whole_slices(rng, count, writing)
    columns, rows = views[0].grid
    return vision_batch(images, views, [rows, rows], [columns, columns])


def padded_batch(rng, count, writing):
    """Whole pages in a square."""
    images, views = data.padded_pages(rng, count, writing)
    return vision_batch(images, views, [24, 24], [24, 24])


def vision_batch(images, views, rows, columns):
    patch = [torch.from_numpy(np.stack(t)) for t in zip(*(v.patch_targets() for v in views))]
    cell = [torch.from_numpy(t) for t in data.stack_cells(views)]
    whole = torch.from_numpy(np.stack([v.whole_cells() for v in views]))
    patches = torch.from_numpy(np.stack([slicing.patches(i) for i in images]))
    return patches, rows, columns, patch, cell, whole


def cell_loss(heads, token, cells, whole, code, mse):
    """Loss of the visual tokens [B, cells, d] against what the whole cells hold."""
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


def vision(args):
    """Stage 1: ViT and projector learn to tell characters and shapes, and the tokens' codes."""
    torch.manual_seed(1)
    model = start.model(args.form)
    part = vision_part(model)
    heads = Heads(model.vision_config["hidden_size"], model.config["hidden_size"])
    if args.init:
        state = weights(args.init)
        part.load_state_dict(state[0])
        heads.load_state_dict(state[1])
    progress = Progress(args, [part, heads], optimizers(nn.ModuleList([part, heads]), args.muon, args.adam))
    code = targets.codes(model.config["hidden_size"], model.form.cells)
    sums, saved = {}, 0
    while progress.tick(hold=args.hold):
        rng = random.Random(f"vision:{args.seed}:{progress.step}")
        writing = data.Writing(0.85 - 0.35 * min(1, progress.used / progress.seconds * 1.6), args.numbers)
        if model.form.square:
            batch = padded_batch(rng, args.batch // 4, writing)
        elif rng.random() < args.whole:
            batch = slice_batch(rng, args.batch // 4, writing)
        else:
            batch = window_batch(rng, args.batch, writing)
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
    state = weights(args.init)
    part.load_state_dict(state[0])
    heads.load_state_dict(state[1])
    trained = nn.ModuleList([model.model.mm_projector, heads])
    progress = Progress(args, [part, heads], optimizers(trained, args.muon, args.adam))
    code = targets.codes(model.config["hidden_size"])
    kept_batches, sums, saved = [], {}, 0
    while progress.tick(hold=args.hold):
        rng = random.Random(f"resampler:{args.seed}:{progress.step}")
        if len(kept_batches) < 20 or rng.random() < args.fresh:
            patches, rows, columns, _, cells, whole = slice_batch(rng, args.batch // 4, data.Writing(numbers=args.numbers))
            with torch.no_grad(), autocast():
                features = model.vision(patches, rows[0], columns[0]).to(HALF)
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
    model = assemble([args.vision])
    resampler = model.model.mm_projector
    code = targets.codes(model.config["hidden_size"])
    inputs, wanted = [], []
    for n in range(2 if args.smoke else 40):
        patches, rows, columns, _, (char, shape), whole = slice_batch(random.Random(f"fit:{n}"), 8, data.Writing(numbers=args.numbers))
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
