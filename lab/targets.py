"""Dense targets: which characters and shapes each patch and each visual token of a view should tell of.

A visual token (cell) is asked for "the character with index k in its word" in its upper and its lower half, and for the
shape whose centre it holds. The sum of fixed random codes for these facts is the token itself that the resampler learns
to give, so that the language model can be trained on perfect tokens at the same time.
"""

import numpy as np

from .generate import COLORS, DIGITS, LETTERS, SHAPES, advance

CHARS = DIGITS + LETTERS + "."
CHAR_ID = {c: i + 1 for i, c in enumerate(CHARS)}  # 0 is none
INDICES = 6  # characters of a word beyond the sixth are not told
SLOTS = 2 * INDICES  # upper and lower half of the cell
SHAPE_ID = {(k, c): 1 + i * len(COLORS) + j for i, k in enumerate(SHAPES) for j, c in enumerate(COLORS)}
SHAPE_COUNT = 1 + len(SHAPE_ID)
BLOCK = 18  # dimensions of a slot's code
CELLS = 8
IN_SLICES = (11.0, 8.5), (17.0, 13.0)  # pixels of text and of shapes in the view: asked for from the first, silent below the second
IN_SQUARE = (4.5, 3.5), (8.0, 6.0)  # a whole page in 336x336: whatever can be told at all
IGNORE = -1


def codes(d, cells=CELLS):
    """Fixed token codes: characters [SLOTS, classes, d], shapes [SHAPE_COUNT, d], cell positions [cells * cells, d].

    Every slot has dimensions of its own, in which a character looks the same whatever the slot.
    """
    rng = np.random.default_rng(20240318)
    look = rng.standard_normal((len(CHARS), BLOCK)).astype(np.float32)
    look[:, 0] = [1.5 if c in DIGITS else -1.5 for c in CHARS]
    look[:, 1] = 1.5
    chars = np.zeros((SLOTS, len(CHARS) + 1, d), np.float32)
    for slot in range(SLOTS):
        chars[slot, 1:, slot * BLOCK : (slot + 1) * BLOCK] = look
    first = SLOTS * BLOCK
    shapes = np.zeros((SHAPE_COUNT, d), np.float32)
    for (kind, color), i in SHAPE_ID.items():
        shapes[i, first + SHAPES.index(kind)] = shapes[i, first + 3 + list(COLORS).index(color)] = 2
        shapes[i, first + 8 : first + 16] = rng.standard_normal(8)
    position = np.zeros((cells * cells, d), np.float32)
    position[:, first + 32 :] = 2  # keeps the norms of empty and full tokens alike
    place = np.clip((np.arange(cells) + 0.5) / cells * CELLS - 0.5, 0, CELLS - 1)
    near = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(CELLS)))  # shared by the two nearest of eight marks
    position[:, first + 16 : first + 24], position[:, first + 24 : first + 32] = np.tile(near, (cells, 1)), near.repeat(cells, 0)
    return chars, shapes, position


class Content:
    """The characters and shapes of a page as arrays."""

    def __init__(self, page):
        x, y, size, char, word = [], [], [], [], []
        for n, w in enumerate(page.words):
            left = w.x
            for c in w.text:
                step = advance(w.face, w.size, c)
                x.append(left + step / 2)
                y.append(w.y - 0.36 * w.size)
                size.append(w.size)
                char.append(CHAR_ID[c])
                word.append(n)
                left += step
        self.x, self.y, self.size = np.array(x, float), np.array(y, float), np.array(size, float)
        self.char, self.word = np.array(char, int), np.array(word, int)
        self.shape = np.array([SHAPE_ID[s.kind, s.color] for s in page.shapes], int)
        self.sx, self.sy, self.sd = (np.array([getattr(s, a) for s in page.shapes], float) for a in ("x", "y", "d"))


class View:
    """Targets of one view: a rectangle of the page resized to size pixels, which lie at offset (in patches) of a grid
    (columns, rows) of patches."""

    def __init__(self, content, rect, size, grid=None, offset=(0, 0), cells=CELLS, limits=IN_SLICES):
        self.cells, (self.readable, self.shape_seen) = cells, limits
        fx, fy = size[0] / rect[2], size[1] / rect[3]
        self.patches = size[0] // 14, size[1] // 14
        self.grid, self.offset = grid or self.patches, offset
        x, y = (content.x - rect[0]) * fx, (content.y - rect[1]) * fy
        seen = (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
        self.x, self.y, self.char = x[seen], y[seen], content.char[seen]
        self.text_size = content.size[seen] * fy
        word = content.word[seen]
        starts = np.flatnonzero(np.r_[True, word[1:] != word[:-1]]) if len(word) else np.zeros(0, int)
        self.index = np.arange(len(word)) - np.repeat(starts, np.diff(np.r_[starts, len(word)]))
        x, y = (content.sx - rect[0]) * fx, (content.sy - rect[1]) * fy
        seen = (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
        self.sx, self.sy, self.shape, self.sd = x[seen], y[seen], content.shape[seen], content.sd[seen] * min(fx, fy)

    def _cells(self, x, y):
        u = (x / 14 + self.offset[0]) / self.grid[0] * self.cells
        v = (y / 14 + self.offset[1]) / self.grid[1] * self.cells
        return np.floor(v).astype(int) * self.cells + np.floor(u).astype(int), (v % 1 >= 0.5).astype(int)

    def patch_targets(self):
        """Character [n, 2] and index [n, 2] of the first two characters of each patch, shape [n]; -1: do not ask."""
        columns, rows = self.patches
        char = np.zeros((rows * columns, 2), np.int64)
        index = np.full((rows * columns, 2), IGNORE, np.int64)
        used = np.zeros(rows * columns, int)
        where = (self.y // 14).astype(int) * columns + (self.x // 14).astype(int)
        for i in np.lexsort((self.x, where)):
            p = where[i]
            if used[p] < 2 and self.text_size[i] > self.readable[1]:
                if self.text_size[i] >= self.readable[0]:
                    char[p, used[p]], index[p, used[p]] = self.char[i], min(self.index[i], INDICES - 1)
                else:
                    char[p, used[p]] = IGNORE
                used[p] += 1
        return char, index, self._shapes((self.sy // 14).astype(int) * columns + (self.sx // 14).astype(int), rows * columns)

    def _shapes(self, where, count):
        shape = np.zeros(count, np.int64)
        for p, s, d in zip(where, self.shape, self.sd):
            shape[p] = s if d >= self.shape_seen[0] else IGNORE if d >= self.shape_seen[1] else shape[p]
        return shape

    def cell_targets(self):
        """Character of each slot [cells, SLOTS], shape [cells]; -1: do not ask."""
        char = np.zeros((self.cells**2, SLOTS), np.int64)
        if len(self.x):
            cell, half = self._cells(self.x, self.y)
            for c, h, i, k, size in zip(cell, half, self.index, self.char, self.text_size):
                if i < INDICES and size > self.readable[1] and char[c, h * INDICES + i] <= 0:
                    char[c, h * INDICES + i] = k if size >= self.readable[0] else IGNORE
        return char, self._shapes(self._cells(self.sx, self.sy)[0], self.cells**2)

    def whole_cells(self):
        """Which of the cells lie inside this view altogether."""
        inside = []
        for axis in (0, 1):
            edge = np.arange(self.cells + 1) * self.grid[axis] / self.cells - self.offset[axis]
            inside.append((edge[:-1] >= -0.01) & (edge[1:] <= self.patches[axis] + 0.01))
        return (inside[1][:, None] & inside[0][None]).reshape(-1)


def things(char, shape, code):
    """The codes [..., d] of what is in cells; what must not be asked counts as absent."""
    chars, shapes, _ = code
    return shapes[np.maximum(shape, 0)] + chars[np.arange(SLOTS), np.maximum(char, 0)].sum(-2)


def tokens(char, shape, code):
    """The perfect tokens [..., cells, d] of cell targets."""
    return code[2] + things(char, shape, code)
