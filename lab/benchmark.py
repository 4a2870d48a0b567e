"""Scores any OpenAI-compatible server on a public benchmark whose data you have.

    python -m lab.benchmark --benchmark textvqa --data DIR --url http://127.0.0.1:8080

docs/lab.md tells which files of each benchmark DIR must hold.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

from .benchmarks import BENCHMARKS
from .client import Server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", choices=BENCHMARKS, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the benchmark's files")
    parser.add_argument("--url", required=True)
    parser.add_argument("--name", help="model name for the server; the first one it lists by default")
    parser.add_argument("--key", default="none", help="API key")
    parser.add_argument("--limit", type=int, help="only this many questions, from the first")
    parser.add_argument("--out", type=Path, help="JSON Lines file for the single replies")
    args = parser.parse_args()
    server = Server(args.url, args.name, args.key)
    read, score = BENCHMARKS[args.benchmark]
    pairs = []
    for item in islice(read(args.data), args.limit):
        pairs.append((item, server.ask(item.file(), item.question)[0]))
        if len(pairs) % 100 == 0:
            print(f"{len(pairs)} questions", flush=True)
    if args.out:
        lines = ({"question": i.question, "truth": i.truth, "category": i.category, "reply": r} for i, r in pairs)
        args.out.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    print(f"{args.benchmark}, {len(pairs)} questions")
    for name, value in score(pairs).items():
        print(f"{name}: {value:.2f}")


if __name__ == "__main__":
    main()
