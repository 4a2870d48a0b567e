#!/usr/bin/env python3
"""Every header between the program and its CUDA plugin is in the digest by which the two know each other.

plugin_headers.py [ROOT]: takes the headers that uhd_digest is given in kernels/ and cluster/ with all that they include,
and fails on a header outside of the plugin's folders that a source of the plugin includes and the digest lacks.
"""

import pathlib
import re
import sys

PLUGIN = ["kernels/cuda", "cluster/nccl"]
# The emulation is the plugin's own: it stands for CUDA's headers.
OWN = (*(f"{folder}/" for folder in PLUGIN), "emulation/")
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def with_all_included(root, headers):
    seen, left = set(), list(headers)
    while left:
        header = left.pop()
        if header not in seen and (root / header).is_file():
            seen.add(header)
            left += INCLUDE.findall((root / header).read_text())
    return seen


def digested(root):
    given = []
    for folder in ("kernels", "cluster"):
        text = (root / folder / "CMakeLists.txt").read_text()
        given += re.search(r"uhd_digest\(interface \S+\s([^)]*)\)", text)[1].split()
    return with_all_included(root, given)


def missing(root):
    known = digested(root)
    for folder in PLUGIN:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc", ".cu", ".cuh"):
                continue
            for header in INCLUDE.findall(path.read_text()):
                if not header.startswith(OWN) and header not in known:
                    yield f"{path.relative_to(root)}: {header} is not in the digest of {folder.split('/')[0]}/CMakeLists.txt"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    found = list(missing(root))
    print("\n".join(found) or "the digest holds every header between program and plugin")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
