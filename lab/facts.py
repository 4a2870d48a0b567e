"""What the language model should find out about the picture on its way to an answer: targets of losses in its middle, which tell
it what to look for. Their heads are thrown away after training.

After `PLACES` layers every visual token should know where in the picture it lies. In the layer after that, some heads are told
where to look: from a word to what stands above or left of it, from a value to its label, from the rest of a word that slices
cut to its beginning, from a shape to those like it and to its neighbours. A head that looks evenly at n things and at the start of the prompt, which weighs as much as `SINK`
things, has counted them. After `LAYER` layers words and shapes should know what follows from that, and a token of the
answer what the question asks, for which heads of the last of these layers look at the shape or label that the question names; in the
layer after that, some heads look at the character that comes next or the shapes that are the answer, and some at the whole word, so that its end
is known; in the last layer once more at the former.

Words are told of wherever they have a character, in the upper or lower half of a cell; shapes where their centre is.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .generate import COLORS, FIELDS
from .model import rotate
from .targets import CELLS, IGNORE, SHAPE_COUNT, SHAPE_ID, Content, View

PLACES, LAYER = 2, 4
ACROSS = 7 * CELLS  # cells of six slices one above the other, and of the overview
SINK = 3
MOST = 8
WORD_FACTS = {"row": MOST, "column": MOST, "field": 16}  # of the table's cell; of the label whose value this is
WORD_FACTS |= {"begun": MOST, "first": MOST}  # characters of it in earlier slices; those before the first one here
SHAPE_FACTS = {"count": 10, "before": SHAPE_COUNT, "after": SHAPE_COUNT}  # so many like it until here; its neighbours in a line
PLACE_FACTS = {"x": ACROSS, "y": ACROSS}  # of the token's cell in the picture
SLICE_FACTS = {"local": MOST}  # of an answer's token: how many characters of its word come before its own in its slice
QUESTION_FACTS = {"asked_shape": SHAPE_COUNT, "asked_field": 16, "asked_row": MOST, "asked_column": MOST}
LOOKS = {"above": (0,), "left": (1,), "label": (2, 3), "like": (4,), "beside": (5,), "begun": (6, 7)}  # the heads that look so
NAMED, POINTERS, WHOLE, LAST_POINTERS = (4, 5), (0, 1), (2, 3), (2, 5)


class Heads(nn.Module):
    def __init__(self, d):
        super().__init__()
        for name, classes in WORD_FACTS.items():
            setattr(self, name, nn.Linear(d, 2 * classes))
        for name, classes in (SHAPE_FACTS | PLACE_FACTS | SLICE_FACTS | QUESTION_FACTS).items():
            setattr(self, name, nn.Linear(d, classes))


class PageFacts:
    """Targets of every visual token of a page: word facts [views, cells, 2], the others [views, cells]; -1: do not ask. And
    where each character and each shape is, as lists of (view, cell) in the slices."""

    def __init__(self, page, form):
        self.page = page
        rects = form.views(page.w, page.h)
        content = Content(page)
        cells = form.cells**2
        self.targets = {name: np.full((len(rects), cells, 2), IGNORE) for name in WORD_FACTS}
        self.targets |= {name: np.full((len(rects), cells), IGNORE) for name in SHAPE_FACTS | PLACE_FACTS}
        slices = rects[:-1] or rects
        columns, rows = sorted({r[0] for r, _ in slices}), sorted({r[1] for r, _ in slices})
        self.chars, self.shapes = {}, {}  # (word, index of the character), shape: [(view, cell)]
        self.local = {}  # (word, index of the character): how many of the word's characters come before it in its slice
        first = np.searchsorted(content.word, np.arange(len(page.words)))  # character of each word
        self.order = []  # (view, cell, shape) in the order of the tokens
        for v, (rect, size) in enumerate(slices):
            view = View(content, rect, size, cells=form.cells)
            y, x = np.divmod(np.arange(cells), form.cells)
            self.targets["x"][v], self.targets["y"][v] = columns.index(rect[0]) * form.cells + x, rows.index(rect[1]) * form.cells + y
            fx, fy = size[0] / rect[2], size[1] / rect[3]

            def places(x, y):
                x, y = (x - rect[0]) * fx, (y - rect[1]) * fy
                seen = np.flatnonzero((x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1]))
                return zip(seen, *view._cells(x[seen], y[seen]))

            for (n, cell, half), index in zip(places(content.x, content.y), view.index):
                word = content.word[n]
                k = n - first[word]
                self.chars.setdefault((word, k), []).append((v, cell))
                self.local[word, k] = index
                for name, value in (page.words[word].facts | {"begun": k - index}).items():
                    if name in WORD_FACTS:
                        self.targets[name][v, cell, half] = value
                if self.targets["first"][v, cell, half] == IGNORE:
                    self.targets["first"][v, cell, half] = k
            self.order += sorted((v, cell, n) for n, cell, _ in places(content.sx, content.sy))
        for v, cell, n in self.order:
            self.shapes.setdefault(n, []).append((v, cell))
        add_shape_facts(self.targets, page, self.order)
        if len(rects) > 1:  # the overview: until it has been seen whole, it might as well be the first slice of one more row
            self.targets["x"][-1], self.targets["y"][-1] = x, len(rows) * form.cells + y

    def spots(self, word):
        """Where the word's characters are, each place once."""
        return list(dict.fromkeys(s for k in range(len(self.page.words[word].text)) for s in self.chars.get((word, k), ())))

    def looks(self):
        """For some of the heads `LOOKS`: (name, place, {place it should look at: weight}, weight of the prompt's start).
        A token sees only earlier ones."""
        result = []

        def look(name, place, wanted, sink):
            weights = {}
            for spot in wanted:
                if spot < place:
                    weights[spot] = weights.get(spot, 0) + 1
            if weights or sink:
                result.append((name, place, weights, sink))

        words = self.page.words
        grid = {(w.facts["row"], w.facts["column"]): n for n, w in enumerate(words) if "row" in w.facts}
        for (row, column), n in grid.items():
            above = [self.chars.get((grid[r, column], 0), ()) for r in range(1, row)]
            left = [self.chars.get((grid[row, c], 0), ()) for c in range(1, column)]
            for spot in self.chars.get((n, 0), ()):
                look("above", spot, sum(map(list, above), []), SINK)
            for spot in self.spots(n):
                look("left", spot, sum(map(list, left), []), SINK)
        for n, word in enumerate(words):
            spots = self.spots(n)
            for at, spot in enumerate(spots):
                begun = [earlier for earlier in spots if earlier[0] < spot[0]]
                if begun or at == 0:
                    look("begun", spot, begun, 1)
            if "label" in word.facts:
                for spot in self.spots(n):
                    look("label", spot, self.spots(word.facts["label"]), 0)
        for at, (v, cell, n) in enumerate(self.order):
            shape, earlier = self.page.shapes[n], self.order[:at]
            like = [(u, c) for u, c, m in earlier if (self.page.shapes[m].kind, self.page.shapes[m].color) == (shape.kind, shape.color)]
            look("like", (v, cell), like, SINK)
            if self.page.in_line:
                look("beside", (v, cell), [(u, c) for u, c, m in earlier if abs(m - n) == 1], 1)
        return result

    def named(self, question):
        """Where the label or the single shape is that the question names."""
        word = self.read_word(question)
        if word is not None:
            return self.spots(self.page.words[word].facts["label"]) if "label" in self.page.words[word].facts else ()
        shape = asked(question).get("asked_shape") if self.page.in_line else None
        return [spot for n, s in enumerate(self.page.shapes) if SHAPE_ID[s.kind, s.color] == shape for spot in self.shapes.get(n, ())]

    def read_word(self, question):
        """Number of the word that is the answer, None where it is not a word."""
        things = self.page.about.get(question, ())
        return next((n for n, w in enumerate(self.page.words) if things and w is things[0]), None)

    def in_slice(self, question, length):
        """Target of each of the length tokens of the answer, the last of which is the end mark."""
        word = self.read_word(question)
        last = self.local.get((word, length - 2), IGNORE)
        return [self.local.get((word, k), IGNORE) for k in range(length - 1)] + [last + 1 if last >= 0 else IGNORE]

    def pointers(self, question, length):
        """For each of the length tokens of the answer, the places that it is read from, those of the whole word, and the weight of
        the prompt's start."""
        things, word = self.page.about.get(question, ()), self.read_word(question)
        if word is not None:
            last, whole = len(self.page.words[word].text) - 1, self.spots(word)
            return [(self.chars.get((word, min(k, last)), ()), whole, 0) for k in range(length)]
        wanted = [n for n, s in enumerate(self.page.shapes) if any(s is t for t in things)]
        sink = SINK if question.startswith("How many") else 0
        spots = [spot for n in wanted for spot in self.shapes.get(n, ())]
        return [(spots, spots, sink)] * length


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


def answer_fact_loss(heads, names, hidden, of_answers):
    """The same as `loss` for hidden [n, d] of n tokens of answers and the facts {name: value} that are known of each."""
    total, hits = hidden.new_zeros((), dtype=torch.float32), {}
    for name in names:
        target = torch.tensor([f.get(name, IGNORE) for f in of_answers])
        if (target >= 0).any():
            logits, target = getattr(heads, name)(hidden[target >= 0]).float(), target[target >= 0]
            total = total + F.cross_entropy(logits, target)
            hits[name] = (logits.argmax(-1) == target).sum().item(), len(target)
    return total, hits


def look_loss(layer, x, positions, looks):
    """Cross entropy of some heads' attention in this layer against where they should look. x [B, n, d]: what the layer is given;
    positions: (cos, sin) of its rows; looks: lists of (heads, page, row, {earlier row: weight})."""
    total, asked = x.new_zeros((), dtype=torch.float32), 0
    a = layer.self_attn
    normed = layer.input_layernorm(x)

    def heads_of(projection, heads):
        d = projection.weight.shape[0] // a.heads
        y = F.linear(normed, projection.weight.unflatten(0, (a.heads, d))[list(heads)].flatten(0, 1))
        return rotate(y.unflatten(-1, (len(heads), d)).transpose(1, 2).float(), *positions)

    for heads in dict.fromkeys(look[0] for look in looks):
        those = [look[1:] for look in looks if look[0] == heads]
        page, row = (torch.tensor(t) for t in list(zip(*those))[:2])
        q = heads_of(a.q_proj, heads)[page, :, row]
        scores = torch.einsum("nhd,nhmd->nhm", q, heads_of(a.k_proj, heads)[page]) * q.shape[-1] ** -0.5
        future = torch.arange(x.shape[1]) > row[:, None]
        log_share = scores.masked_fill(future[:, None], -1e4).log_softmax(-1)
        wanted = torch.zeros(len(those), x.shape[1])
        for n, (_, _, weights) in enumerate(those):
            wanted[n, list(weights)] = torch.tensor(list(weights.values()), dtype=torch.float32)
        wanted /= wanted.sum(1, keepdim=True)
        # less the entropy of what is wanted, so that a loss of 0 is perfect
        entropy = -torch.xlogy(wanted, wanted).sum()
        total = total + (-(log_share * wanted[:, None]).sum() / len(heads) - entropy)
        asked += len(those)
    return total / max(asked, 1)


def loss(heads, names, hidden, places, form, of_pages):
    """Mean loss of the facts of these names that were asked of hidden [B, n, d], which are the picture's embeddings at places
    [B, n]; and right and all answers of each kind."""
    total, hits = hidden.new_zeros((), dtype=torch.float32), {}
    for name in names:
        target = np.stack([f.targets[name] for f in of_pages])
        if form.separators:  # a place of its own after each view, but not after the last
            gap = [(0, 0), (0, 0), (0, 1)] + [(0, 0)] * (target.ndim - 3)
            target = np.pad(target, gap, constant_values=IGNORE)
        target = torch.from_numpy(target.reshape(len(of_pages), -1, *target.shape[3:]))
        target = torch.stack([t[p] for t, p in zip(target, places)])
        asked = target >= 0
        if not asked.any():
            continue
        logits = getattr(heads, name)(hidden)
        logits = logits.unflatten(-1, (*target.shape[2:], -1))[asked].float()
        total = total + F.cross_entropy(logits, target[asked])
        hits[name] = (logits.argmax(-1) == target[asked]).sum().item(), len(logits)
    return total, hits
