"""How often a server's greedy answers equal those of float32 PyTorch, on fresh pictures of every kind.

    uhd serve --model.path=models/nano-uhd --model.dtype=f32
    python -m lab.parity --model models/nano-uhd --url http://127.0.0.1:8080 --count 200 --floor 100

Several servers may be named, to ask PyTorch once.
"""

import argparse
from pathlib import Path

import torch

from . import generate
from .client import Server
from .evaluate import FIRST_SEED, Local


def differences(local, servers, count, kinds):
    """(server's number, picture's number, question, PyTorch's answer, the server's) wherever they differ."""
    for n in range(count):
        page = generate.make(kinds[n % len(kinds)], FIRST_SEED + 50_000_000 + n)
        image, question = generate.draw(page), page.questions[0][0]
        wanted = local(image, [question])[0].strip()
        for i, server in enumerate(servers):
            got = server(image, [question])[0]
            if got != wanted:
                yield i, n, question, wanted, got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model directory, run by PyTorch")
    parser.add_argument("--url", required=True, nargs="+", help="servers of the same model")
    parser.add_argument("--name", help="model name for the server; the first one it lists by default")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--kind", choices=generate.KINDS, action="append", help="may be repeated; all by default")
    parser.add_argument("--floor", type=float, default=0, help="fail when fewer percent are equal")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = [0] * len(args.url)
    servers = [Server(url, args.name) for url in args.url]
    for i, n, question, wanted, got in differences(Local(args.model), servers, args.count, args.kind or list(generate.TASKS)):
        found[i] += 1
        print(f"{args.url[i]}, picture {n}, {question!r}: PyTorch {wanted!r}, server {got!r}", flush=True)
    equal = [100 * (args.count - n) / args.count for n in found]
    for url, share in zip(args.url, equal):
        print(f"{url}: {share:.1f} % of {args.count} answers are equal")
    if min(equal) < args.floor:
        raise SystemExit(f"below the floor of {args.floor} %")


if __name__ == "__main__":
    main()
