#!/usr/bin/env python3
"""plain_comments.py must find the riddles of old, and leave good sentences alone."""

import pathlib
import subprocess
import sys
import tempfile

from plain_comments import riddle

RIDDLES = [
    "Of one sum, in a row of them; the slowest rank's.",
    "What the last one brought is void.",
    "What this device has free now.",
    "Whether the leader has proved itself.",
    "Where a rank's buffer is, as the others are told.",
    "Where slices become rows: on this rank between steps, or on encoder ranks.",
    "Who is lost: pure state machines over events and given times.",
    "How rows travel: over a second TCP connection, over MPI within one job, or from device to device.",
    "From any thread.",
    "As above, every rank asking for options.role.",
    "With the pool's threads, on the instruction set of that name.",
    "The same of the protocol, which is looked at before the rest of a message can be read.",
    "False when full or closed: the caller decides what to refuse.",
    "Once, last; also after close().",
]
SENTENCES = [
    "Returns the number of rows. The caller owns the result.",
    "Where the sizes allow it, a page is an operand B for each head, which attention reads in place.",
    "When an encoder leaves, its slices are tried elsewhere.",
    "If it is broken the kernel ends, and the next wait for the stream is an error.",
    "With one thread it is the thread's own processor time, with more it is wall-clock time.",
    "In f32, scale = m / most.",
    "After close(), pushes fail and pops drain what is left.",
    "For small tensors, ranks all-gather and each adds everything.",
    "As the format demands, the tensors must cover the bytes after the header without gap or overlap.",
    "The same calls in the same order get the same places.",
    "Until then no other call may be made.",
    "Nothing here was measured.",
    "Empty parts are skipped.",
]

for text in RIDDLES:
    assert riddle(text), f"was not found: {text}"
for text in SENTENCES:
    assert not riddle(text), f"{riddle(text)}: {text}"
assert riddle("what a second connection shows", behind_code=True)
assert not riddle("of one slice, after its first try", behind_code=True)

for header, status in {"// Counts rows.\nint a();\n": 0, "// Counts rows.\n// Whether it is so.\nint a();\n": 1,
                       "struct A {\n  int b;  // whether it is so\n};\n": 1}.items():
    with tempfile.TemporaryDirectory() as root:
        pathlib.Path(root, "a.h").write_text(header)
        subprocess.run(["git", "init", "--quiet", root], check=True)
        check = pathlib.Path(__file__).with_name("plain_comments.py")
        found = subprocess.run([sys.executable, check, root], stdout=subprocess.DEVNULL).returncode
        assert found == status, f"ended with {found} for {header!r}"
