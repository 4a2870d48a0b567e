#!/usr/bin/env python3
"""What stands in backticks in the documentation exists: files and folders, settings, names of the code.

docs_names.py [ROOT]: looks at README.md and at the pages of docs/ that speak of the code. Text in backticks is taken
for a path when it has a slash and no space, for a file when it ends like one, for a name of the code when it is one C++
name (`Scheduler::next`, `PageRef`), for a test when it is a suite and a name (`Frame.ReadsBackWhatItWrote`), and for nothing else: commands, values and shapes are left alone. Prints each that
is not there, with its page and line.
"""

import pathlib
import re
import subprocess
import sys

QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PATH = re.compile(r"^\.{0,2}/?[\w.*-]+(/[\w.*-]+)*/?$")
NAME = re.compile(r"^~?[A-Za-z_]\w*(::~?[A-Za-z_]\w*)*(\(\))?$")
SETTING = re.compile(r"^(model|llm|engine|backend|cluster|encoders|net|image|log|trace)\.[a-z][a-z0-9_]*$")
CODE = {".cc", ".h", ".cu", ".cuh", ".py", ".cmake", ".txt", ".json", ".yaml"}
FILE = re.compile(r"^[\w-]+\.(cc|h|cu|cuh|py|cmake)$")
# Made by a build; media types; public data; published checkpoints.
ELSEWHERE = ("build/", "application/", "text/", "image/", "val2014/", "images/", "test/ID/", "train_images/", "val/",
             "liuhaotian/", "llava-hf/", "openbmb/", "Qwen/", "HuggingFaceTB/", "HuggingFaceM4/")
OTHERS_CODE = {"std::source_location", "jump_fcontext"}
PAGES = ["README.md", "docs/architecture.md", "docs/api.md", "docs/gpu.md", "docs/gpu-tables.md",
         "docs/lab.md", "docs/metrics.md", "docs/models.md", "docs/notes.md", "docs/numbers.md", "docs/operating.md",
         "docs/scaling.md", "docs/security.md"]
TEST = re.compile(r"^([A-Z]\w+)\.([A-Z]\w+)$")
DEFINED_TEST = re.compile(r"\bTEST(?:_F|_P)?\((\w+),\s*(\w+)\)")


def words_of_code(root, files):
    words = set()
    for name in files:
        if pathlib.PurePath(name).suffix in CODE:
            words.update(re.findall(r"[A-Za-z_]\w*", (root / name).read_text(errors="replace")))
    return words


def missing(root):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True)
    files = [f for f in listed.stdout.split("\n") if f and (root / f).is_file()]
    names = {pathlib.PurePath(f).name for f in files}
    there = set(files) | {str(parent) for f in files for parent in pathlib.PurePath(f).parents}
    words = words_of_code(root, [f for f in files if not f.startswith("docs/")])
    settings = (root / "configs" / "settings.cc").read_text()
    tests = {match for f in files if f.startswith("tests/") and f.endswith(".cc")
             for match in DEFINED_TEST.findall((root / f).read_text())}
    for page in PAGES:
        for number, line in enumerate((root / page).read_text().splitlines(), 1):
            for quoted in QUOTED.findall(line):
                if wrong := reason(quoted, there, names, words, settings, tests):
                    yield f"{page}:{number}: `{quoted}`: {wrong}"


def reason(quoted, there, names, words, settings, tests):
    if SETTING.match(quoted):
        return None if f'"{quoted}"' in settings else "there is no such setting"
    if test := TEST.match(quoted):
        return None if test.groups() in tests else "there is no such test"
    if FILE.match(quoted):
        return None if quoted in names else "no file is called so"
    if quoted in OTHERS_CODE:
        return None
    if "/" in quoted and PATH.match(quoted):
        path = quoted.rstrip("/")
        if quoted.startswith(("/", "-", ".", *ELSEWHERE)):
            return None
        if "*" in path:
            pattern = re.compile(re.escape(path).replace(r"\*", "[^/]*") + "$")
            return None if any(pattern.match(t) for t in there) else "no file is called so"
        if pathlib.PurePath(path).suffix or quoted.endswith("/"):
            return None if path in there else "there is no such file or folder"
        return None
    if NAME.match(quoted) and ("::" in quoted or quoted.endswith("()") or re.search(r"[a-z][A-Z]|^[A-Z][a-z]|[a-z]_[a-z]", quoted)):
        lost = [w for w in re.findall(r"[A-Za-z_]\w*", quoted) if w not in words]
        return f"the code has no {lost[0]}" if lost else None
    return None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    wrong = list(missing(root))
    print("\n".join(wrong) or "every name in the documentation exists")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
