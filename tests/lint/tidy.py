#!/usr/bin/env python3
"""tidy.py CLANG_TIDY BUILD_DIRECTORY FOLDER: clang-tidy on the folder's files. A file whose text, headers of ours and
settings are those of its last clean run is not read again."""

import hashlib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def reach(path, seen):
    """The file and every header of ours that it includes."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    for header in OURS.findall(path.read_text()):
        reach(ROOT / header, seen)


def digest(entry):
    seen = set()
    reach(pathlib.Path(entry["file"]), seen)
    text = hashlib.sha256(entry["command"].encode())
    for folder in pathlib.Path(entry["file"]).relative_to(ROOT).parents:
        if (ROOT / folder / ".clang-tidy").is_file():
            text.update((ROOT / folder / ".clang-tidy").read_bytes())
    for path in sorted(seen):
        text.update(path.read_bytes())
    return text.hexdigest()


def main():
    tidy, build, folder = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    clean = build / "tidy"
    clean.mkdir(exist_ok=True)
    failed = 0
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if pathlib.Path(entry["file"]).relative_to(ROOT).parts[0] != folder:
            continue
        mark = clean / digest(entry)
        if mark.exists():
            continue
        run = subprocess.run([tidy, "--quiet", "-p", build, entry["file"]], cwd=ROOT, capture_output=True, text=True)
        if run.returncode == 0:
            mark.touch()
        else:
            failed += 1
            print(run.stdout, run.stderr, f"{entry['file']}: clang-tidy ended with {run.returncode}", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
