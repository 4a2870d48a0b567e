"""Draws training curves and accuracies; needs matplotlib.

    python -m lab.plots curve RUN/log.jsonl... --keys number+ numberr+ --out docs/lab-curve.png
    python -m lab.plots accuracy ANSWERS.jsonl... --group slices --out docs/lab-slices.png

RUN/log.jsonl is written by a training stage, ANSWERS.jsonl by `lab.evaluate --out`.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from .evaluate import GROUPS  # noqa: E402


def lines_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def smooth(values, width=3):
    """Means over a few neighbours."""
    return [sum(v) / len(v) for v in (values[max(0, i - width // 2) : i + width // 2 + 1] for i in range(len(values)))]


def curve(axes, files, keys):
    """The logs one after the other, over CPU seconds."""
    points, start = {}, 0
    for file in files:
        log = lines_of(file)
        for line in log:
            for key in keys:
                if line.get(key) is not None:
                    points.setdefault(key, []).append((start + line["cpu_s"], line[key]))
        start += log[-1]["cpu_s"] if log else 0
    for key, pairs in points.items():
        x, y = zip(*pairs)
        axes.plot(x, smooth(y), label=key)
    axes.set_xlabel("CPU seconds")
    axes.legend()


def accuracy(axes, files, group):
    """Share of right answers of each file's records by group, as bars side by side."""
    names = sorted({GROUPS[group](r) for f in files for r in lines_of(f)})
    for n, file in enumerate(files):
        records = [(GROUPS[group](r), r["right"]) for r in lines_of(file)]
        shares = []
        for name in names:
            right = [ok for g, ok in records if g == name]
            shares.append(100 * sum(right) / len(right) if right else 0)
        width = 0.8 / len(files)
        axes.bar([i + n * width for i in range(len(names))], shares, width, label=file.stem)
    axes.set_xticks([i + 0.4 - 0.4 / len(files) for i in range(len(names))], names)
    axes.set_ylim(0, 100)
    axes.set_xlabel(group)
    axes.set_ylabel("right, %")
    axes.figure.legend(loc="outside upper center", ncols=len(files))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("curve", "accuracy"))
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--keys", nargs="+", default=["loss"], help="figures of the log")
    parser.add_argument("--group", choices=GROUPS, default="slices")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    args = parser.parse_args()
    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
    if args.kind == "curve":
        curve(axes, args.files, args.keys)
    else:
        accuracy(axes, args.files, args.group)
    axes.grid(alpha=0.3)
    figure.savefig(args.out, dpi=80)


if __name__ == "__main__":
    main()
