"""What a visual token should know of its neighbours once the language model has looked at the picture: targets of a loss
in the middle of the language stage, which tells it what to look for. Its heads are thrown away after training.

Words are told of wherever they have a character, in the upper or lower half of a cell; shapes where their centre is.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .targets import IGNORE, SHAPE_COUNT, SHAPE_ID, Content, View

LAYER = 4  # after this many layers; the others look the facts up
MOST = 8
WORD_FACTS = {"row": MOST, "column": MOST, "field": 16}  # of the table's cell; of the label whose value this is
SHAPE_FACTS = {"count": 10, "before": SHAPE_COUNT, "after": SHAPE_COUNT}  # so many like it until here; its neighbours in a line
VIEW_FACTS = {"view_row": MOST, "view_column": MOST}  # of the slice in the picture


class Heads(nn.Module):
    def __init__(self, d):
        super().__init__()
        for name, classes in WORD_FACTS.items():
            setattr(self, name, nn.Linear(d, 2 * classes))
        for name, classes in (SHAPE_FACTS | VIEW_FACTS).items():
            setattr(self, name, nn.Linear(d, classes))


def of_page(page, form):
    """Targets of every visual token: word facts [views, cells, 2], the others [views, cells]; -1: do not ask."""
    rects = form.views(page.w, page.h)
    content = Content(page)
    cells = form.cells**2
    facts = {name: np.full((len(rects), cells, 2), IGNORE) for name in WORD_FACTS}
    facts |= {name: np.full((len(rects), cells), IGNORE) for name in SHAPE_FACTS | VIEW_FACTS}
    slices = rects[:-1] or rects
    columns, rows = sorted({r[0] for r, _ in slices}), sorted({r[1] for r, _ in slices})
    shapes = []  # (view, cell, shape) in the order of the tokens
    for v, (rect, size) in enumerate(slices):
        view = View(content, rect, size, cells=form.cells)
        facts["view_row"][v], facts["view_column"][v] = rows.index(rect[1]), columns.index(rect[0])
        fx, fy = size[0] / rect[2], size[1] / rect[3]

        def places(x, y):
            x, y = (x - rect[0]) * fx, (y - rect[1]) * fy
            seen = np.flatnonzero((x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1]))
            return zip(seen, *view._cells(x[seen], y[seen]))

        for n, cell, half in places(content.x, content.y):
            for name, value in page.words[content.word[n]].facts.items():
                facts[name][v, cell, half] = value
        shapes += sorted((v, cell, n) for n, cell, _ in places(content.sx, content.sy))
    add_shape_facts(facts, page, shapes)
    if len(rects) > 1:
        facts["view_row"][-1] = facts["view_column"][-1] = MOST - 1  # the overview
    return facts


def add_shape_facts(facts, page, shapes):
    """A shape is told of a neighbour only when that one's token comes first: a token sees no later one."""
    like = {}
    for order, (v, cell, n) in enumerate(shapes):
        shape, earlier = page.shapes[n], {m for _, _, m in shapes[:order]}
        so_far = like[shape.kind, shape.color] = like.get((shape.kind, shape.color), 0) + 1
        facts["count"][v, cell] = min(so_far, 9)
        if page.in_line:
            for name, m in (("before", n - 1), ("after", n + 1)):
                if m in earlier:
                    facts[name][v, cell] = SHAPE_ID[page.shapes[m].kind, page.shapes[m].color]


def loss(heads, hidden, pages, places, form):
    """Mean loss of the kinds of facts that were asked of hidden [B, n, d], which are the picture's embeddings at places
    [B, n]; and right and all answers of each kind."""
    all_facts = [of_page(p, form) for p in pages]
    total, hits = hidden.new_zeros((), dtype=torch.float32), {}
    for name in WORD_FACTS | SHAPE_FACTS | VIEW_FACTS:
        target = np.stack([f[name] for f in all_facts])
        if form.separators:  # a place of its own after each view, but not after the last
            gap = [(0, 0), (0, 0), (0, 1)] + [(0, 0)] * (target.ndim - 3)
            target = np.pad(target, gap, constant_values=IGNORE)
        target = torch.from_numpy(target.reshape(len(pages), -1, *target.shape[3:]))
        target = torch.stack([t[p] for t, p in zip(target, places)])
        asked = target >= 0
        if not asked.any():
            continue
        logits = getattr(heads, name)(hidden)
        logits = logits.unflatten(-1, (*target.shape[2:], -1))[asked].float()
        total = total + F.cross_entropy(logits, target[asked])
        hits[name] = (logits.argmax(-1) == target[asked]).sum().item(), len(logits)
    return total, hits
