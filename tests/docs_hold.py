#!/usr/bin/env python3
"""A page holds, word for word, what a program prints: docs_hold.py PAGE PROGRAM."""

import pathlib
import subprocess
import sys

page, program = sys.argv[1:]
printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
if not printed.strip() or printed not in pathlib.Path(page).read_text():
    sys.exit(f"{page} does not hold what {program} prints")
