"""What a visual token should know of its neighbours once the language model has looked at the picture, and what a token of
the answer should know of the question: targets of a loss in the middle of the language stage, which tells it what to look
for. Its heads are thrown away after training.

Words are told of wherever they have a character, in the upper or lower half of a cell; shapes where their centre is.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .generate import COLORS, FIELDS, Word
from .model import rotate
from .targets import IGNORE, SHAPE_COUNT, SHAPE_ID, Content, View

LAYER = 4  # after this many layers; the others look the facts up
MOST = 8
WORD_FACTS = {"row": MOST, "column": MOST, "field": 16}  # of the table's cell; of the label whose value this is
SHAPE_FACTS = {"count": 10, "before": SHAPE_COUNT, "after": SHAPE_COUNT}  # so many like it until here; its neighbours in a line
VIEW_FACTS = {"view_row": MOST, "view_column": MOST}  # of the slice in the picture
QUESTION_FACTS = {"asked_shape": SHAPE_COUNT, "asked_field": 16, "asked_row": MOST, "asked_column": MOST}


class Heads(nn.Module):
    def __init__(self, d):
        super().__init__()
        for name, classes in WORD_FACTS.items():
            setattr(self, name, nn.Linear(d, 2 * classes))
        for name, classes in (SHAPE_FACTS | VIEW_FACTS | QUESTION_FACTS).items():
            setattr(self, name, nn.Linear(d, classes))


def of_page(page, form):
    """Targets of every visual token: word facts [views, cells, 2], the others [views, cells]; -1: do not ask. And where each
    character (word, index) and each shape is, as lists of (view, cell) in the slices."""
    rects = form.views(page.w, page.h)
    content = Content(page)
    cells = form.cells**2
    facts = {name: np.full((len(rects), cells, 2), IGNORE) for name in WORD_FACTS}
    facts |= {name: np.full((len(rects), cells), IGNORE) for name in SHAPE_FACTS | VIEW_FACTS}
    slices = rects[:-1] or rects
    columns, rows = sorted({r[0] for r, _ in slices}), sorted({r[1] for r, _ in slices})
    shapes = []  # (view, cell, shape) in the order of the tokens
    first = np.searchsorted(content.word, np.arange(len(page.words)))  # character of each word
    where = {}
    for v, (rect, size) in enumerate(slices):
        view = View(content, rect, size, cells=form.cells)
        facts["view_row"][v], facts["view_column"][v] = rows.index(rect[1]), columns.index(rect[0])
        fx, fy = size[0] / rect[2], size[1] / rect[3]

        def places(x, y):
            x, y = (x - rect[0]) * fx, (y - rect[1]) * fy
            seen = np.flatnonzero((x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1]))
            return zip(seen, *view._cells(x[seen], y[seen]))

        for n, cell, half in places(content.x, content.y):
            word = content.word[n]
            where.setdefault((id(page.words[word]), n - first[word]), []).append((v, cell))
            for name, value in page.words[word].facts.items():
                facts[name][v, cell, half] = value
        shapes += sorted((v, cell, n) for n, cell, _ in places(content.sx, content.sy))
    for v, cell, n in shapes:
        where.setdefault(id(page.shapes[n]), []).append((v, cell))
    add_shape_facts(facts, page, shapes)
    if len(rects) > 1:
        facts["view_row"][-1] = facts["view_column"][-1] = MOST - 1  # the overview
    return facts, where


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


def asked(question):
    """The facts that a question names."""
    words = question.rstrip("?").replace(",", "").split()
    shapes = [(a.rstrip("s"), b) for b, a in zip(words, words[1:]) if b in COLORS]
    facts = {"asked_shape": SHAPE_ID[shapes[0]]} if shapes else {}
    if words[-1] in FIELDS:
        facts["asked_field"] = 1 + FIELDS.index(words[-1])
    if "column" in words:
        facts |= {"asked_row": int(words[words.index("row") + 1]), "asked_column": int(words[-1])}
    return facts


def question_loss(heads, hidden, questions):
    """The same as `loss` for hidden [n, d] of answers to these n questions."""
    total, hits = hidden.new_zeros((), dtype=torch.float32), {}
    facts = [asked(q) for q in questions]
    for name in QUESTION_FACTS:
        target = torch.tensor([f.get(name, IGNORE) for f in facts])
        if (target >= 0).any():
            logits, target = getattr(heads, name)(hidden[target >= 0]).float(), target[target >= 0]
            total = total + F.cross_entropy(logits, target)
            hits[name] = (logits.argmax(-1) == target).sum().item(), len(target)
    return total, hits


def pointers(page, where, question, length):
    """For each of the length tokens of the answer, the (view, cell) that it is read from."""
    things = page.about.get(question, ())
    if things and isinstance(things[0], Word):
        word = things[0]
        return [where.get((id(word), min(k, len(word.text) - 1)), []) for k in range(length)]
    return [[spot for thing in things for spot in where.get(id(thing), ())]] * length


def pointer_loss(layer, x, positions, rows, targets):
    """How little the first half of a layer's heads look where the answer is read from: -log of their attention there.
    x [B, n, d]: what the layer is given; positions: (cos, sin) of its rows; rows: (page, row) of each token of the answers;
    targets: for each of them the rows it is read from."""
    asked = [i for i, t in enumerate(targets) if t]
    if not asked:
        return x.new_zeros(())
    a = layer.self_attn
    half = a.heads // 2
    normed = layer.input_layernorm(x)

    def heads_of(projection):
        y = rotate(projection(normed).unflatten(-1, (a.heads, -1)).transpose(1, 2).float(), *positions)
        return y[:, :half]

    page, row = (torch.tensor(t) for t in zip(*(rows[i] for i in asked)))
    q = heads_of(a.q_proj)[page, :, row]
    scores = torch.einsum("nhd,nhmd->nhm", q, heads_of(a.k_proj)[page]) * q.shape[-1] ** -0.5
    future = torch.arange(x.shape[1]) > row[:, None]
    log_share = scores.masked_fill(future[:, None], -1e4).log_softmax(-1)
    wanted = torch.zeros(len(asked), x.shape[1], dtype=torch.bool)
    for n, i in enumerate(asked):
        wanted[n, targets[i]] = True
    return -log_share.masked_fill(~wanted[:, None], -1e4).logsumexp(-1).mean()


def loss(heads, hidden, pages, places, form, all_facts):
    """Mean loss of the kinds of facts that were asked of hidden [B, n, d], which are the picture's embeddings at places
    [B, n]; and right and all answers of each kind."""
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
