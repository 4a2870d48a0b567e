#!/usr/bin/env python3
"""one_definition.py must find a type that is defined twice, and only such."""

import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TYPES = "namespace uhd {\n\n" + "".join(f"struct T{i} {{\n}};\n" for i in range(100)) + "class Line final : public T1 {\n};\n\n}  // namespace uhd\n"
CASES = {
    "namespace uhd {\n\nstruct Line {\n};\n\n}  // namespace uhd\n": 1,
    "namespace uhd {\n\nenum class Line : int { one };\n\n}  // namespace uhd\n": 1,
    "namespace uhd {\nnamespace {\n\nstruct Line {\n};\n\n}  // namespace\n}  // namespace uhd\n": 0,
    "namespace uhd::other {\n\nstruct Line {\n};\n\n}  // namespace uhd::other\n": 0,
    "namespace uhd {\n\nclass Line;\nstruct Line::Part {\n};\n\n}  // namespace uhd\n": 0,
}

for text, expected in CASES.items():
    with tempfile.TemporaryDirectory() as root:
        for folder, content in (("base", TYPES), ("net", text)):
            pathlib.Path(root, folder).mkdir()
            pathlib.Path(root, folder, "line.h").write_text(content)
        found = subprocess.run([sys.executable, HERE / "one_definition.py", root], capture_output=True, text=True)
        assert found.returncode == expected, f"{found.returncode} for {text}\n{found.stdout}{found.stderr}"
