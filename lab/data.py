"""Training samples: windows of slices full of text and shapes for the vision stage, and whole pages."""

import random
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from . import generate as g
from . import slicing
from .forms import FORMS
from .targets import IN_SLICES, IN_SQUARE, Content, View

WINDOW = 12  # patches a side


@dataclass(frozen=True)
class Writing:
    """What the vision stages read: the share of pages that are full of lines, and of words that are numbers; how much
    larger than 14 to 27 pixels the print is."""

    lines: float = 0.4
    numbers: float = 0.6
    zoom: float = 1.0

    def word(self, rng):
        what = rng.random()
        return g.number(rng, 6) if what < self.numbers else g.letters(rng) if what < (2 + self.numbers) / 3 else g.price(rng)

    def face(self, rng):
        return g.any_face(rng) if rng.random() < 0.8 else rng.randrange(len(g.FACES))

    def size(self, rng):
        return round(self.zoom * (rng.randint(15, 18) if rng.random() < 0.55 else rng.randint(14, 27)))


def text_lines(rng, page, writing):
    """Lines of words over the whole page, cut by its borders."""
    size, face, color = writing.size(rng), writing.face(rng), g.ink(rng)
    y = rng.uniform(-2, size)
    while y < page.h + size * 0.5:
        if rng.random() < 0.5:
            size, face, color = writing.size(rng), writing.face(rng), g.ink(rng)
        x = rng.uniform(-50, 20)
        while x < page.w:
            word = g.Word(writing.word(rng), round(x, 2), round(y, 2), size, face, color)
            page.words.append(word)
            x += g.width(face, size, word.text) + size * rng.uniform(0.6, 2.5)
        y += size * rng.uniform(1.15, 2.2)


def scattered(rng, page, words, shapes, writing):
    taken = []
    for _ in range(shapes):
        g.place_shape(rng, page, taken)
    for _ in range(words):
        word = g.Word(writing.word(rng), rng.randint(-40, page.w), rng.randint(0, page.h + 8), writing.size(rng), writing.face(rng), g.ink(rng))
        if g.clear(g.box(word), taken):
            taken.append(g.box(word))
            page.words.append(word)
    g.decorate(rng, page, taken, 6)


def grids(rng):
    """The patch grid (columns, rows) of a view of a random page."""
    while True:
        p = slicing.plan(*g.canvas(rng))
        w, h = p.cell if p.cell and rng.random() < 0.85 else p.overview
        if min(w, h) >= WINDOW * 14:
            return w // 14, h // 14


def slice_page(rng, w, h, writing):
    """A page about as large as the w x h pixels it will be resized to."""
    what = rng.random()
    if what < 0.4:
        fx = fy = 1.0
    elif what < 0.9:
        fx = rng.uniform(0.8, 1.8)
        fy = fx * rng.uniform(0.94, 1.06)
    else:
        fx = fy = rng.uniform(0.3, 0.75)
    return filled(rng, g.Page(round(w / fx), round(h / fy), g.light(rng)), max(1, w * h // 40000), writing)


def filled(rng, page, crowd, writing):
    if rng.random() < writing.lines:
        text_lines(rng, page, writing)
    elif rng.random() < 0.6:
        scattered(rng, page, rng.randint(1, 6 * crowd), rng.randint(0, crowd), writing)
    else:
        scattered(rng, page, rng.randint(0, 3 * crowd), rng.randint(1, 7 * crowd), writing)
    return page


def drawn(rng, page, size):
    image = g.draw(page)
    if rng.random() < 0.5:
        image = g.wear(rng, image)
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def window(rng, writing):
    """A picture of 168x168 pixels and its View: part of a slice."""
    grid = grids(rng)
    offset = rng.randint(0, grid[0] - WINDOW), rng.randint(0, grid[1] - WINDOW)
    size = (WINDOW * 14, WINDOW * 14)
    page = slice_page(rng, *size, writing)
    return drawn(rng, page, size), View(Content(page), (0, 0, page.w, page.h), size, grid, offset)


def whole_slices(rng, count, writing):
    """Pictures of whole slices of one shape, and their Views."""
    grid = (24, 24) if rng.random() < 0.5 else grids(rng)
    size = grid[0] * 14, grid[1] * 14
    pages = [slice_page(rng, *size, writing) for _ in range(count)]
    return [drawn(rng, p, size) for p in pages], [View(Content(p), (0, 0, p.w, p.h), size) for p in pages]


def padded_pages(rng, count, writing):
    """Pictures of whole pages of any size, padded to the square view of LLaVA-1.5, and their Views."""
    square, images, views = FORMS["square"], [], []
    for _ in range(count):
        w, h = g.canvas(rng)
        zoom = rng.uniform(1, max(1, min(4, max(w, h) / slicing.SIDE)))  # so that some can be read at any size
        page = filled(rng, g.Page(w, h, g.light(rng)), max(1, int(w * h / zoom**2) // 40000), replace(writing, zoom=zoom))
        images += square.cut(g.draw(page))
        views += page_views(page, square)
    return images, views


def page_views(page, form=FORMS["uhd"]):
    """The View of every slice and of the overview of a page."""
    content, limits = Content(page), IN_SQUARE if form.square else IN_SLICES
    return [View(content, rect, size, cells=form.cells, limits=limits) for rect, size in form.views(page.w, page.h)]


MIX = ("number", "long", "cut", "word", "both", "table", "receipt", "count", "relation")


def random_page(rng, kinds=MIX, size=None, most=None):
    """A page of one of these kinds, with at most so many things on it. Short numbers are soon learnt, so half of their
    pages are drawn anew."""
    kind = rng.choice(kinds)
    limits = {"most": most} if most and kind in g.LARGEST else {}
    page = g.make(kind, rng.getrandbits(48), size, **limits)
    if kind == "number" and len(page.words[0].text) < 4 and rng.random() < 0.5:
        page = g.make(kind, rng.getrandbits(48), size)
    return page


def stack_cells(views):
    char, shape = zip(*(v.cell_targets() for v in views))
    return np.stack(char), np.stack(shape)
