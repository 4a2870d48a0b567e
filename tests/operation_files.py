#!/usr/bin/env python3
"""Holds the price of an operation: in how many files the name of each operation of kernels/operations.h stands.

operation_files.py [ROOT]: looks at kernels/, tests/kernels/ and tests/reference/; what calls a backend is not counted, and
neither are comments and the serial loops of one instruction set (LOOPS), which are functions of their own. Fails where a
name stands in more than LIMIT files, and where docs/architecture.md lists other files for its example.
"""

import pathlib
import re
import sys

LIMIT = 8
FOLDERS = ["kernels", "tests/kernels", "tests/reference"]
LOOPS = {"kernels/cpu/table.h", "kernels/cpu/make_table.h", "kernels/cpu/row_loops.h"}
# Called by the tests of others as well: the reference of an epilogue, of a rounding, products of codes.
ALSO_USED = {"Matmul": {"tests/kernels/rows_test.cc", "tests/kernels/codes_test.cc"}, "Add": {"tests/kernels/draw_test.cc"}}
EXAMPLE = re.compile(r"`(\w+)` stands in these files:\n+((?:- `[^`]+`.*\n(?:  .*\n)*)+)")


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def operations(root):
    text = (root / "kernels/operations.h").read_text()
    return re.findall(r"X\((\w+)\)", text[text.index("#define UHD_OPERATIONS(X)") + len("#define UHD_OPERATIONS(X)"):])


def code_of(root):
    """Each file's text without its comments."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            name = str(path.relative_to(root))
            if path.suffix in (".h", ".cc", ".cu", ".cuh") and name not in LOOPS:
                yield name, re.sub(r"//.*", "", path.read_text())


def files_of(name, code):
    function = snake(name)
    called = rf"\b{function}\b" if "_" in function else rf"(?<!table_)(?:->|\.|::|Values |void ){function}\("
    pattern = re.compile(rf"\bops::{name}\b|\bstruct {name} {{|\b{name}::verify\b|{called}")
    return {path for path, text in code.items() if pattern.search(text)} - ALSO_USED.get(name, set())


def wrong(root):
    code = dict(code_of(root))
    for name in operations(root):
        files = files_of(name, code)
        if len(files) > LIMIT:
            yield f"{snake(name)} stands in {len(files)} files, at most {LIMIT} are allowed: {', '.join(sorted(files))}"
    example = EXAMPLE.search((root / "docs/architecture.md").read_text())
    if not example:
        yield "docs/architecture.md lists the files of no operation"
        return
    listed = set(re.findall(r"^- `([^`]+)`", example[2], re.MULTILINE))
    there = next((files_of(name, code) for name in operations(root) if snake(name) == example[1]), set())
    if listed != there:
        yield (f"docs/architecture.md lists other files for {example[1]} than there are: "
               f"too many {sorted(listed - there)}, missing {sorted(there - listed)}")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    found = list(wrong(root))
    print("\n".join(found) or f"every operation stands in at most {LIMIT} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
