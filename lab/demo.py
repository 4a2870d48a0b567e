"""Writes the demo: a large page, a question about its small print, and the true answer.

    python -m lab.demo --seed 7 --out models/nano-uhd/demo
"""

import argparse
import json
from pathlib import Path

from . import generate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    page = generate.make("demo", args.seed)
    question, answer = page.questions[0]
    args.out.mkdir(parents=True, exist_ok=True)
    generate.draw(page).save(args.out / "page.png", optimize=True)
    file = args.out / "demo.json"
    about = json.loads(file.read_text()).get("about") if file.exists() else None
    demo = {"image": "page.png", "question": question, "answer": answer} | ({"about": about} if about else {})
    file.write_text(json.dumps(demo, indent=2) + "\n")


if __name__ == "__main__":
    main()
