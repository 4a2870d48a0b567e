#!/usr/bin/env python3
"""tidy.py CLANG_TIDY BUILD_DIRECTORY FOLDER: clang-tidy on the folder's files. A file whose text, headers of ours and
settings are those of its last clean run is not read again. Nor is one that has not changed since the commit that
tests/lint/read_clean names, at which all were read and clean; where that commit or git is not at hand, or UHD_TIDY is
"all", every file is read. Who has read all of them may write the new commit there."""

import hashlib
import json
import os
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


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def changed():
    """What differs from the commit at which everything was clean; None where it cannot be known, or concerns every file."""
    if os.environ.get("UHD_TIDY") == "all":
        return None
    commit = (ROOT / "tests/lint/read_clean").read_text().strip()
    try:
        names = git("diff", "--name-only", commit, "--") + git("ls-files", "--others", "--exclude-standard")
    except (OSError, subprocess.CalledProcessError):
        return None
    if any(name.endswith(".clang-tidy") or name.startswith("cmake/") or name == "tests/lint/tidy.py" for name in names):
        return None
    return {ROOT / name for name in names}


def digest(entry, seen):
    text = hashlib.sha256(entry["command"].encode())
    for folder in pathlib.Path(entry["file"]).relative_to(ROOT).parents:
        if (ROOT / folder / ".clang-tidy").is_file():
            text.update((ROOT / folder / ".clang-tidy").read_bytes())
    for path in sorted(seen):
        text.update(path.read_bytes())
    return text.hexdigest()


def single_files(build):
    """The commands of all files. One that is compiled with others as one is read by itself, with their flags."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        command = entry["command"].replace(" -Wno-subobject-linkage", "")  # g++'s alone
        file = entry["file"]
        joined = re.findall(r'^#include "(/[^"]+)"', pathlib.Path(file).read_text(), re.MULTILINE) if "/Unity/" in file else [file]
        for single in joined:
            yield {"directory": entry["directory"], "command": command.replace(file, single), "file": single}


def main():
    tidy, build, folder = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    clean = build / "tidy" / folder
    clean.mkdir(parents=True, exist_ok=True)
    failed = 0
    news = changed()
    entries = list(single_files(build))
    (clean / "compile_commands.json").write_text(json.dumps(entries))
    for entry in entries:
        if pathlib.Path(entry["file"]).relative_to(ROOT).parts[0] != folder:
            continue
        seen = set()
        reach(pathlib.Path(entry["file"]), seen)
        mark = clean / digest(entry, seen)
        if mark.exists() or (news is not None and not news & seen):
            continue
        run = subprocess.run([tidy, "--quiet", "-p", clean, entry["file"]], cwd=ROOT, capture_output=True, text=True)
        if run.returncode == 0:
            mark.touch()
        else:
            failed += 1
            print(run.stdout, run.stderr, f"{entry['file']}: clang-tidy ended with {run.returncode}", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
