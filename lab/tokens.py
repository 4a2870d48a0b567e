"""Visual tokens for the language stage: perfect ones, or those of a vision side."""

import numpy as np
import torch

from . import data, generate, slicing, targets
from .precision import HALF, autocast


class PerfectTokens:
    """Visual tokens of pages that are never drawn: the codes of what the views hold, with noise. Also says which tokens
    hold something."""

    def __init__(self, model):
        self.form, self.code = model.form, targets.codes(model.config["hidden_size"], model.form.cells)
        self.noise = np.random.default_rng(5).standard_normal(2**23, np.float32)  # drawing it anew would take longer than the codes

    def __call__(self, pages, rng):
        slips = np.random.default_rng(rng.getrandbits(32))
        result, busy = [], []
        for page in pages:
            char, shape = data.stack_cells(data.page_views(page, self.form))
            char[(char == targets.IGNORE) & (slips.random(char.shape) < 0.5)] = 0
            slip = (char > 0) & (slips.random(char.shape) < 0.01)
            char[slip] = slips.integers(0, len(targets.CHARS) + 1, slip.sum())
            full = (char > 0).any(-1) | (shape > 0)
            position = self.code[2]
            size = len(full) * position.size
            start = rng.randrange(len(self.noise) - size)
            t = self.noise[start : start + size].reshape(len(full), *position.shape) * np.where(full, 0.2, 0.08)[..., None].astype(np.float32)
            t += position
            t[full] += targets.things(char[full], shape[full], self.code)
            result.append(t)
            busy.append(full)
        return torch.from_numpy(np.stack(result)), np.stack(busy)


class Drawn:
    """Drawn pages behind the frozen vision tower. busy: which tokens hold something; known: which views were looked at;
    perfect: the codes of their tokens."""

    def __init__(self, pages, features, busy, known, perfect):
        self.pages, self.features, self.busy, self.known, self.perfect = pages, features, busy, known, perfect


class RealTokens:
    """Visual tokens of drawn pages. The features of some batches are kept and shown again; the projector's part is done
    anew each time, so that it may learn."""

    def __init__(self, model, keep, fresh):
        self.model, self.keep, self.fresh, self.pool = model, keep, fresh, []
        self.code = targets.codes(model.config["hidden_size"], model.form.cells)

    def page(self, page, every, rng):
        """Features of the views that are looked at: those that hold something, and every one or some of the others."""
        char, shape = data.stack_cells(data.page_views(page, self.model.form))
        busy = (char != 0).any(-1) | (shape != 0)
        known = busy.any(1) | np.array([every or rng.random() < 0.25 for _ in busy])
        image = generate.draw(page)
        parts = self.model.form.cut(generate.wear(rng, image) if rng.random() < 0.5 else image)
        features = []
        for views in ([i for i in np.flatnonzero(known[:-1])], [len(parts) - 1] if known[-1] else []):
            if views:
                w, h = parts[views[0]].size
                patches = torch.stack([torch.from_numpy(slicing.patches(parts[i])) for i in views])
                features.append((views, self.model.vision(patches, h // 14, w // 14).to(HALF), h // 14, w // 14))
        asked = (char >= 0).all(-1) & (shape >= 0) & known[:, None]
        return features, busy, known, np.where(asked[..., None], targets.tokens(char, shape, self.code), np.nan).astype(np.float32)

    @torch.no_grad()
    def draw(self, pages, every, rng):
        with autocast():
            features, busy, known, perfect = zip(*(self.page(p, every, rng) for p in pages))
        return Drawn(pages, features, np.stack(busy), np.stack(known), torch.from_numpy(np.stack(perfect)).bfloat16())

    def batch(self, rng, draw_pages, every):
        """Pages newly drawn, or some of those kept."""
        if len(self.pool) < 4 or rng.random() < self.fresh:
            self.pool.append(self.draw(draw_pages(), every, rng))
            if len(self.pool) > self.keep:
                self.pool.pop(0)
            return self.pool[-1]
        return rng.choice(self.pool)

    def tokens(self, drawn):
        """Visual tokens [pages, views, cells, hidden]; zero where a view is not known."""
        rows = []
        for features, busy in zip(drawn.features, drawn.busy):
            views = [torch.zeros(busy.shape[1], self.model.config["hidden_size"])] * len(busy)
            for indices, feature, height, width in features:
                for i, t in zip(indices, self.model.model.mm_projector(feature, height, width)):
                    views[i] = t.float()
            rows.append(torch.stack(views))
        return torch.stack(rows)
