#!/usr/bin/env python3
"""environment.py [ROOT]: nothing in the program changes its environment, which other threads may be reading (getenv has no lock)."""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2])
FOLDERS = ["app", "base", "cluster", "configs", "engine", "kernels", "model", "net", "scheduler"]
CHANGE = re.compile(r"\b(setenv|unsetenv|putenv|clearenv)\s*\(")

found = [
    f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".h", ".cc", ".cu", ".cuh")
    for number, line in enumerate(path.read_text().splitlines(), 1)
    if CHANGE.search(line)
]
print("\n".join(found))
sys.exit(1 if found else 0)
