"""Runs every training stage for a step, and a stage of each kind for two; exports, evaluates, and draws every kind of page.

    python -m lab.tests.test_smoke
"""

import os
import runpy
import sys
import tempfile
import time
from pathlib import Path

import torch  # once for all stages, since it takes seconds to load
from lab import generate


def lab(module, *args):
    """Does as `python -m module args` does, in a process of its own."""
    print("lab", module, *args, flush=True)
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.argv = [module, *map(str, args)]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            if not isinstance(end.code, int | None):
                print(end.code, file=sys.stderr)
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"{module} ended with {os.waitstatus_to_exitcode(status)}"
    print(f"{time.monotonic() - begun:.1f} s", flush=True)


def main():
    for kind in generate.KINDS:
        first, again = (generate.draw(generate.make(kind, 5)).tobytes() for _ in range(2))
        assert first == again, kind
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        lab("lab.train", "vision", "--smoke", 2, "--out", runs / "vision")
        lab("lab.train", "vision", "--smoke", 1, "--whole", 1, "--init", runs / "vision/state.pt", "--out", runs / "whole")
        lab("lab.train", "resampler", "--smoke", 1, "--init", runs / "whole/state.pt", "--out", runs / "resampler")
        lab("lab.train", "fit", "--smoke", 1, "--vision", runs / "resampler/state.pt", "--out", runs / "fit")
        lab("lab.train", "language", "--smoke", 2, "--out", runs / "perfect")
        real = ("--vision", runs / "fit/state.pt", "--init", runs / "perfect/state.pt", "--real", 1, "--mix", "all")
        lab("lab.train", "language", "--smoke", 1, "--looking", 1, "--init", runs / "perfect/state.pt", "--out", runs / "looking")
        lab("lab.train", "language", "--smoke", 1, *real, "--out", runs / "language")
        tune = ("--tune", 0.002, "--out", runs / "tuned")
        lab("lab.train", "language", "--smoke", 1, *real, *tune)
        assert (runs / "tuned/vision.pt").exists()
        lab("lab.export", "--vision", runs / "fit/state.pt", "--language", runs / "language/state.pt", "--out", runs / "model")
        lab("lab.evaluate", "--model", runs / "model", "--kind", "relation", "--count", 2, "--out", runs / "answers.jsonl")
        lab("lab.evaluate", "--read", runs / "answers.jsonl", runs / "answers.jsonl")
        lab("lab.train", "resume", "--model", runs / "model", "--out", runs / "resume")
        again = ("--vision", runs / "resume/vision.pt", "--init", runs / "resume/language.pt", "--mix", "number")
        lab("lab.train", "language", "--smoke", 1, *again, "--out", runs / "again")
        lab("lab.train", "resume", "--model", runs / "model", "--tower", "--form", "square", "--out", runs / "tower")
        lab("lab.train", "vision", "--smoke", 1, "--whole", 1, "--form", "square", "--init", runs / "tower/vision.pt", "--out", runs / "on")
        lab("lab.train", "language", "--smoke", 1, "--mix", "corner", "--form", "unmarked", "--out", runs / "corner")
        for form in ("square", "unmarked"):
            out, form = runs / form, ("--form", form)
            lab("lab.train", "vision", "--smoke", 1, "--whole", 1, *form, "--out", out / "vision")
            lab("lab.train", "language", "--smoke", 1, *form, "--out", out / "perfect")
            real = ("--vision", out / "vision/state.pt", "--init", out / "perfect/state.pt", "--real", 1, "--mix", "all")
            lab("lab.train", "language", "--smoke", 1, *form, *real, "--out", out / "language")
            states = ("--vision", out / "vision/state.pt", "--language", out / "language/state.pt")
            lab("lab.export", *form, *states, "--out", out / "model")
            lab("lab.evaluate", "--model", out / "model", "--kind", "relation", "--count", 1)
    print("all stages ran with PyTorch", torch.__version__)


if __name__ == "__main__":
    main()
