#!/usr/bin/env python3
"""Fails on an #include that the table of folders (docs/architecture.md) does not allow.

    python3 tests/include_graph.py [ROOT]
"""

import pathlib
import re
import sys

# Folder: folders it may include, besides itself. An entry with a slash allows that one header.
ALLOWED = {
    "base": [],
    "kernels": ["base"],
    "cluster": ["base", "kernels"],
    "scheduler": ["base"],
    "model": ["base", "kernels", "cluster/communicator.h"],
    "engine": ["base", "kernels", "cluster", "scheduler", "model"],
    "net": ["base", "engine/engine.h", "scheduler/request.h"],
    "configs": ["base", "net/options.h", "engine/options.h", "cluster/options.h"],
    "app": ["base", "kernels", "cluster", "scheduler", "model", "engine", "net", "configs"],
}
# Headers that cost seconds in every file that sees them: in .cc files only.
HEAVY = re.compile(r"<(boost/(asio|beast)|mpi\.h|yaml-cpp|CLI/|spdlog|prometheus)")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)


def allowed(folder, header):
    own = header.split("/")[0]
    return own == folder or any(header == rule or own == rule for rule in ALLOWED[folder])


def violations(root):
    for folder in ALLOWED:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc", ".cu", ".cuh"):
                continue
            for quote, header in INCLUDE.findall(path.read_text()):
                if quote == '"' and header.split("/")[0] not in ALLOWED:
                    yield f"{path}: \"{header}\" is not written from the root of the repository, or is not of the product"
                elif quote == '"' and not (root / header).is_file():
                    yield f"{path}: \"{header}\" does not exist"
                elif quote == '"' and not allowed(folder, header):
                    yield f"{path}: {folder}/ may not include \"{header}\""
                elif quote == "<" and path.suffix == ".h" and HEAVY.match(f"<{header}"):
                    yield f"{path}: <{header}> belongs in a .cc file"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    found = list(violations(root))
    print("\n".join(found) or "every include is allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
