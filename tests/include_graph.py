#!/usr/bin/env python3
"""Fails on an #include that the table of halls (docs/architecture.md) does not allow, and on a circle among halls.

    python3 tests/include_graph.py [ROOT]

A hall is a folder of the product; a folder that has no line of its own belongs to the hall above it.
"""

import pathlib
import re
import sys

# Hall: halls it may include, besides itself. An entry that ends like a header allows that one header.
ALLOWED = {
    "base": [],
    "kernels": ["base", "emulation/cuda.h"],  # the emulation stands for CUDA's own headers: kernels/cuda/device.cuh
    "cluster": ["base", "kernels"],
    "cluster/host": ["base", "kernels", "cluster"],
    "cluster/encoders": ["base", "kernels", "cluster", "cluster/host"],
    "cluster/nccl": ["base", "kernels", "cluster"],
    "cluster/launch": ["base", "kernels", "cluster", "cluster/host", "cluster/encoders", "cluster/nccl/plugin.h"],
    "scheduler": ["base"],
    "model": ["base", "kernels", "cluster/communicator.h"],
    "grammar": ["base", "model/text/grammar.h"],  # a plugin
    "engine": ["base", "kernels", "cluster", "scheduler", "model"],
    "engine/llm": ["base", "kernels", "cluster", "cluster/encoders", "scheduler", "model", "engine"],
    "engine/slices": ["base", "kernels", "cluster", "cluster/host", "cluster/encoders", "model", "engine"],
    "engine/leader": ["base", "kernels", "cluster", "cluster/encoders", "scheduler", "model", "engine", "engine/llm",
                      "engine/slices"],
    "engine/launch": ["base", "kernels", "cluster", "cluster/host", "cluster/encoders", "cluster/launch", "scheduler",
                      "model", "engine", "engine/llm", "engine/slices", "engine/leader"],
    "net": ["base", "engine/engine.h", "engine/request.h", "engine/request_limits.h",
            "engine/request_plan.h", "engine/trace_context.h"],
    "configs": ["base", "net/options.h", "engine/options.h", "cluster/options.h"],
    "plan": ["base", "kernels", "model", "engine/options.h", "engine/request_plan.h", "engine/slices/row_sizes.h",
             "configs/yaml_settings.h"],
    "app": ["base", "kernels", "cluster", "cluster/host", "cluster/launch", "model", "engine", "engine/launch", "net", "configs", "plan"],
    "emulation": ["base", "kernels"],
}
TOPS = {hall.split("/")[0] for hall in ALLOWED}
# Headers that cost seconds in every file that sees them: in .cc files only.
HEAVY = re.compile(r"(boost/(asio|beast)|mpi\.h|yaml-cpp|CLI/|spdlog|prometheus)")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)


def hall_of(path):
    """The longest folder of this path that is a hall."""
    folder = pathlib.PurePosixPath(path).parent
    while str(folder) not in ALLOWED and str(folder) != ".":
        folder = folder.parent
    return str(folder)


def sources(root):
    for top in sorted(TOPS):
        for path in sorted((root / top).rglob("*")):
            # FlashInfer's stand-in includes as FlashInfer does.
            if path.suffix in (".h", ".cc", ".cu", ".cuh") and "flashinfer_standin" not in path.parts:
                yield path.relative_to(root)


def violations(root):
    for path in sources(root):
        hall = hall_of(path)
        for quote, header in INCLUDE.findall((root / path).read_text()):
            if quote == "<" and (root / header).is_file():
                yield f"{path}: <{header}> is the project's own and stands in quotes"
            elif quote == "<" and path.suffix == ".h" and HEAVY.match(header):
                yield f"{path}: <{header}> belongs in a .cc file"
            elif quote == '"' and header.split("/")[0] not in TOPS:
                yield f"{path}: \"{header}\" is not written from the root of the repository, or is not of the product"
            elif quote == '"' and not (root / header).is_file():
                yield f"{path}: \"{header}\" does not exist"
            elif quote == '"' and not {hall_of(header), header} & {hall, *ALLOWED[hall]}:
                yield f"{path}: {hall}/ may not include \"{header}\""


def circles():
    """Halls that the table itself lets include each other, whole halls alone."""
    edges = {hall: [a for a in allowed if a in ALLOWED] for hall, allowed in ALLOWED.items()}
    done = set()

    def visit(hall, way):
        if hall in way:
            yield " -> ".join([*way[way.index(hall):], hall])
        elif hall not in done:
            for other in edges[hall]:
                yield from visit(other, [*way, hall])
            done.add(hall)

    for hall in edges:
        yield from visit(hall, [])


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    found = [*violations(root), *(f"a circle of halls: {circle}" for circle in circles())]
    print("\n".join(found) or "every include is allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
