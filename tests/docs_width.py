#!/usr/bin/env python3
"""Prose of the documentation has lines of at most 110 columns: docs_width.py [ROOT]. Tables and indented code may be wider."""

import pathlib
import sys

WIDTH = 110
PAGES = ["README.md", "CHANGELOG.md", "docs/*.md", "lab/README.md", "models/*/README.md"]


def wide(root):
    for page in (page for pattern in PAGES for page in sorted(root.glob(pattern))):
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if len(line) > WIDTH and not line.lstrip().startswith("|") and not line.startswith("    "):
                yield f"{page.relative_to(root)}:{number}: {len(line)} columns"


if __name__ == "__main__":
    wrong = list(wide(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)))
    print("\n".join(wrong) or "no line is too wide")
    sys.exit(1 if wrong else 0)
