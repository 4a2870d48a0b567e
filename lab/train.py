"""Trains the model in stages; every stage can be stopped and started again.

    python -m lab.train vision --out runs/vision --seconds 2400
"""

import argparse
from pathlib import Path

import torch

from . import start
from .export import language_part, vision_part
from .forms import FORMS
from .language import MIXES, language
from .model import LlavaUhd
from .vision import Heads, fit, resampler, vision


def resume(args):
    """State files of the bundled weights, to start from; or with --tower of their vision tower alone, before a new projector of
    any form."""
    model = LlavaUhd.load(args.model)
    heads = Heads(model.vision_config["hidden_size"], model.config["hidden_size"])
    if args.tower:
        tower, model = model.vision, start.model(args.form)
        model.vision.load_state_dict(tower.state_dict())
    else:
        heads.read_codes()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"modules": [vision_part(model).state_dict(), heads.state_dict()]}, out / "vision.pt")
    torch.save({"modules": [language_part(model).state_dict()]}, out / "language.pt")


STAGES = {"resume": resume, "vision": vision, "resampler": resampler, "fit": fit, "language": language}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--out", required=True, help="folder of the stage's state; an existing state is resumed")
    parser.add_argument("--init", help="state file to start from")
    parser.add_argument("--seconds", type=float, default=2400, help="CPU seconds of the whole stage")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--whole", type=float, default=0.0, help="share of vision steps on whole slices, not windows")
    parser.add_argument("--numbers", type=float, default=0.6, help="share of numbers among the words of the vision stages")
    parser.add_argument("--budget", type=int, default=6000, help="embeddings a step of the language model")
    parser.add_argument("--questions", type=int, default=4, help="most questions of one conversation")
    parser.add_argument("--vision", help="state file of the vision stage, for a language stage on real tokens")
    parser.add_argument("--mix", choices=MIXES, default="all", help="tasks of a language stage")
    parser.add_argument("--real-mix", choices=MIXES, help="tasks on real tokens, where others than --mix")
    parser.add_argument("--looking", type=float, default=0.0, help="share of steps of a language stage that only look at pictures, without a question")
    parser.add_argument("--facts", type=float, default=0.3, help="weight of the facts in the loss of a language stage")
    parser.add_argument("--model", help="model directory, for resume")
    parser.add_argument("--tower", action="store_true", help="resume the vision tower alone")
    parser.add_argument("--real", type=float, default=0.5, help="share of steps on real tokens")
    parser.add_argument("--fresh", type=float, default=0.2, help="share of these that draw new pages")
    parser.add_argument("--muon", type=float, default=0.02)
    parser.add_argument("--adam", type=float, default=3e-3)
    parser.add_argument("--hold", type=float, default=0.5, help="share of the stage before the rates fall")
    parser.add_argument("--form", choices=FORMS, default="uhd", help="the paper's, the same without separators, or LLaVA-1.5's square")
    parser.add_argument("--tune", type=float, default=0.0, help="rate at which a language stage on real tokens also trains the projector")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", type=int, default=0, metavar="N", help="N small steps only, to see that the stage runs")
    args = parser.parse_args()
    if args.smoke:
        args.batch, args.budget = 4, 400
    torch.set_num_threads(args.threads)
    STAGES[args.stage](args)


if __name__ == "__main__":
    main()
