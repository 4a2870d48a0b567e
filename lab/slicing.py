"""The published LLaVA-UHD slicing rule: which slices a picture is cut into and how large each one is."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 336
PATCH = 14
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


@dataclass(frozen=True)
class Plan:
    overview: tuple  # (w, h) of the overview
    grid: tuple | None  # (columns, rows), None without slices
    cell: tuple | None  # (w, h) of each slice

    @property
    def refine(self):
        return (self.cell[0] * self.grid[0], self.cell[1] * self.grid[1]) if self.grid else None

    @property
    def separators(self):
        """One character a slice: "," inside a row, "n" (a newline) at its end."""
        return ("," * (self.grid[0] - 1) + "n") * self.grid[1] if self.grid else ""


def best_size(w, h, allow_upscale):
    if w * h > SIDE * SIDE or allow_upscale:
        ratio = w / h
        h = int(SIDE / math.sqrt(ratio))
        w = int(h * ratio)
    return max(w // PATCH * PATCH, PATCH), max(h // PATCH * PATCH, PATCH)


def plan(w, h, max_slices=6):
    log_ratio = math.log(w / h)
    n = min(math.ceil(w * h / (SIDE * SIDE)), max_slices)
    if n <= 1:
        return Plan(best_size(w, h, True), None, None)
    grids = [
        (columns, count // columns)
        for count in (n - 1, n, n + 1)
        if count != 1 and count <= max_slices
        for columns in range(1, count + 1)
        if count % columns == 0
    ]
    grid = min(grids, key=lambda g: abs(log_ratio - math.log(g[0] / g[1])))
    refined = [max(side // parts * parts, parts) for side, parts in zip((w, h), grid)]
    cell = best_size(refined[0] / grid[0], refined[1] / grid[1], True)
    return Plan(best_size(w, h, False), grid, cell)


def borders(w, h):
    """Where one slice ends and the next one to its right begins."""
    columns = (plan(w, h).grid or (1, 1))[0]
    return [w * n / columns for n in range(1, columns)]


def views(w, h, max_slices=6):
    """Every view of a picture in the order the language model sees it, as (rectangle in the picture, (w, h))."""
    p = plan(w, h, max_slices)
    result = []
    if p.grid:
        columns, rows = p.grid
        for row in range(rows):
            for column in range(columns):
                result.append(((column * w / columns, row * h / rows, w / columns, h / rows), p.cell))
    return result + [((0, 0, w, h), p.overview)]


def cut(image, max_slices=6):
    """The slices row by row, then the overview, as PIL images."""
    p = plan(*image.size, max_slices)
    result = []
    if p.grid:
        whole = image.resize(p.refine, Image.Resampling.BICUBIC)
        w, h = p.cell
        for y in range(0, p.refine[1], h):
            for x in range(0, p.refine[0], w):
                result.append(whole.crop((x, y, x + w, y + h)))
    return result + [image.resize(p.overview, Image.Resampling.BICUBIC)]


def patches(image):
    """Normalised patches [rows * columns, 3 * 14 * 14] of one view, in the order of a convolution's weight."""
    x = (np.asarray(image, np.float32) / 255 - MEAN) / STD
    rows, columns = x.shape[0] // PATCH, x.shape[1] // PATCH
    x = x.reshape(rows, PATCH, columns, PATCH, 3).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(x.reshape(rows * columns, 3 * PATCH * PATCH))
