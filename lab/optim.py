"""Muon for the hidden matrices, Adam for all other parameters."""

import torch

from .precision import HALF


def orthogonalise(g, steps=5):
    x = g.to(HALF)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """matrices: pairs of a parameter and the rate factors of the matrices stacked in it (three for q, k, v in one)."""

    def __init__(self, matrices, lr, momentum=0.95):
        super().__init__([{"params": [p], "parts": parts} for p, parts in matrices], {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                g = p.grad.lerp(buffer, group["momentum"])
                n = len(group["parts"])
                for factor, part, weight in zip(group["parts"], g.chunk(n), p.chunk(n)):
                    scale = factor * max(1, part.shape[0] / part.shape[1]) ** 0.5
                    weight.add_(orthogonalise(part), alpha=-group["lr"] * scale)


def optimizers(module, muon_lr, adam_lr):
    """Embeddings, heads, positions and vectors go to Adam. Where the resampler's queries look changes slowly: at full
    rate its start values are lost before the patches have anything to tell."""
    matrices, places, rest = [], [], []
    for name, p in module.named_parameters():
        if "in_proj_weight" in name:
            matrices.append((p, (0.05, 0.05, 1.0)))
        elif p.dim() == 2 and any(s in name for s in ("layers.", "attn.", "kv_proj")):
            matrices.append((p, (1.0,)))
        elif any(s in name for s in ("pos_embed", "query", "ln_q", "in_proj_bias")):
            places.append(p)
        else:
            rest.append(p)
    groups = [{"params": rest, "scale": 1.0}, {"params": places, "scale": 0.05}]
    adam = torch.optim.Adam([g for g in groups if g["params"]], adam_lr, betas=(0.9, 0.98))
    return [adam, Muon(matrices, muon_lr)] if matrices else [adam]


def rate(done, hold=0.6, floor=0.03, warm=0.02):
    """Factor of the learning rate after this share of the stage: a short rise, held, then falling linearly."""
    if done < warm:
        return max(done / warm, 0.05)
    return 1.0 if done < hold else max(floor, 1 - (1 - floor) * (done - hold) / (1 - hold))
