#!/usr/bin/env python3
"""one_definition.py [ROOT]: a type's name stands for one type in all of the project.

Two types of one namespace and one name are compiled without a word, and the linker keeps the members of
either for both. Types in unnamed namespaces are their file's own.
"""

import collections
import pathlib
import re
import sys

FOLDERS = "app base cluster configs emulation engine kernels model net plan scheduler".split()
DEFINITION = re.compile(r"(?:class|struct|enum class|enum struct|union) (?:\[\[.*?\]\] |alignas\(.*?\) )*(\w+)(?: final)?(?: ?: ?[^:].*)? ?\{")


def types_of(text):
    namespaces = []
    for line in text.splitlines():
        if opened := re.match(r"(?:inline )?namespace ?([\w:]*) ?\{", line):
            namespaces.append(opened.group(1) or "unnamed")
        elif re.match(r"\}  // namespace", line) and namespaces:
            namespaces.pop()
        elif "unnamed" not in namespaces and (found := DEFINITION.match(line)):
            yield "::".join([*namespaces, found.group(1)])


def main(root):
    places = collections.defaultdict(list)
    for folder in FOLDERS:
        for path in sorted(pathlib.Path(root, folder).rglob("*")):
            if path.suffix in {".h", ".cc", ".cu", ".cuh"}:
                for name in types_of(path.read_text()):
                    places[name].append(str(path.relative_to(root)))
    if len(places) < 100:
        sys.exit(f"one_definition.py: only {len(places)} types were found below {root}")
    twice = {name: files for name, files in places.items() if len(files) > 1}
    for name, files in sorted(twice.items()):
        print(f"{name} is defined in {' and in '.join(files)}")
    return 1 if twice else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent))
