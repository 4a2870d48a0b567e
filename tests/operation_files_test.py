#!/usr/bin/env python3
"""operation_files.py must find an operation that spreads and a page that is wrong: a check that cannot fail checks nothing."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CASES = {
    "kernels/another.h": "class Another { void each(const ops::RegionAlign& op); };\n",
    "tests/kernels/another_test.cc": "TEST(Another, Test) { backend->gather_rows(out, x, index); }\n",
    "docs/architecture.md": "`region_align` stands in these files:\n\n- `kernels/operations.h`\n- `kernels/region_align.h`\n",
}


def run(changed):
    with tempfile.TemporaryDirectory() as root:
        for folder in ("kernels", "docs", "tests/kernels", "tests/reference"):
            shutil.copytree(HERE.parent / folder, pathlib.Path(root, folder))
        # As full as it may be, so that one more is too many.
        for extra in range(2):
            pathlib.Path(root, f"kernels/full_{extra}.cc").write_text("// ops::Nothing\nops::GatherRows{};\n")
        for name, text in changed.items():
            pathlib.Path(root, name).write_text(text)
        return subprocess.run([sys.executable, HERE / "operation_files.py", root], capture_output=True, text=True)


unchanged = run({})
assert unchanged.returncode == 0, unchanged.stdout
for name, text in CASES.items():
    changed = run({name: text})
    assert changed.returncode == 1, f"{name} was allowed: {text}"
