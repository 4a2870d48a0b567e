#!/usr/bin/env python3
"""format.py CLANG_FORMAT: every source file of the repository is as .clang-format says."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ["app", "base", "bench", "cluster", "configs", "emulation", "engine", "kernels", "model", "net", "plan", "scheduler", "tests"]

files = sorted(
    str(path) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".h", ".cc", ".cu", ".cuh"))
sys.exit(subprocess.run([sys.argv[1], "--dry-run", "--Werror", *files], cwd=ROOT).returncode)
