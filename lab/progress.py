"""What all stages share: a resumable account of time and rates, a step, running means of the weights, and sums of right
answers."""

import copy
import json
import time
from pathlib import Path

import torch

from .optim import rate


def weights(file):
    """State dictionaries of the modules in a state file: their running means where the stage kept them."""
    state = torch.load(file, weights_only=False)
    return state.get("means", state["modules"])


class Progress:
    """Where a stage stands; saves and restores everything it needs to go on. The running means of the weights, over the
    last few hundred steps, are what a later stage or the export takes: they are better at every moment than the weights
    themselves, whose rate has not fallen yet."""

    def __init__(self, args, modules, optims):
        self.folder, self.modules, self.optims = Path(args.out), modules, optims
        self.means = copy.deepcopy(modules)
        self.seconds, self.last_step = args.seconds, args.smoke or None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rates = [o.param_groups[0]["lr"] for o in optims]
        self.used, self.step, self.since = 0.0, 0, time.process_time()
        if (self.folder / "state.pt").exists():
            state = torch.load(self.folder / "state.pt", weights_only=False)
            for m, s in zip(modules, state["modules"]):
                m.load_state_dict(s)
            for o, s in zip(optims, state["optims"]):
                o.load_state_dict(s)
            for m, s in zip(self.means, state.get("means", state["modules"])):
                m.load_state_dict(s)
            self.used, self.step = state["used"], state["step"]

    @torch.no_grad()
    def average(self):
        """Moves the means towards the weights: over all steps at first, over some 400 later."""
        for mean, module in zip(self.means, self.modules):
            for m, p in zip(mean.parameters(), module.parameters()):
                m.lerp_(p, max(1 / 400, 1 / (1 + self.step)))

    def tick(self, **schedule):
        """Counts time, sets the rates; False when the stage is over."""
        if self.step:
            self.average()
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
            "means": [m.state_dict() for m in self.means],
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
