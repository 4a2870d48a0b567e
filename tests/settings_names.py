#!/usr/bin/env python3
"""A setting has one name everywhere: in the list of settings, in the struct that keeps it, and in messages.

    python3 tests/settings_names.py [ROOT]

Fails where a member of an options struct is not called as its setting (`engine.page_size` is kept in `page_size`, and
`model.path` in `path` or `model_path`), and where a text of the product names a setting that does not exist.
"""

import pathlib
import re
import sys

FOLDERS = ["app", "base", "cluster", "configs", "engine", "kernels", "model", "net", "plan", "scheduler"]
ENTRY = re.compile(r'\{"(\w+)\.(\w+)",\s*&([\w.]+),')
# Comments and characters are matched too, so that a quote in them begins no text.
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\((.*?)\)\1"|"((?:[^"\\\n]|\\.)*)"|\'(?:[^\'\\\n]|\\.)+\'', re.DOTALL)
# Names of files look like settings.
NO_SETTING = {"model.safetensors", "trace.jsonl"}


def entries(root):
    """(section, key, member) of every setting."""
    found = ENTRY.findall((root / "configs" / "settings.cc").read_text())
    return [(section, key, place.split(".")[-1]) for section, key, place in found]


def texts(source):
    """(line, text) of the literals of a C++ file, but for its includes."""
    source = re.sub(r"^\s*#\s*include[^\n]*", "", source, flags=re.MULTILINE)
    for token in TOKEN.finditer(source):
        text = token[2] if token[2] is not None else token[3]
        if text is not None:
            yield source.count("\n", 0, token.start()) + 1, text


def wrong_members(settings):
    for section, key, member in settings:
        if member not in {key, f"{section}_{key}", f"{section.rstrip('s')}_{key}"}:
            yield f"configs/settings.cc: {section}.{key} is kept in a member called {member}"


def wrong_texts(root, settings):
    known = {f"{section}.{key}" for section, key, _ in settings}
    sections = "|".join(sorted({section for section, _, _ in settings}))
    name = re.compile(rf"(?<![\w./])((?:{sections})\.[a-z]\w*)(?![\w(]|\.\w|\.$|/)")
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc", ".cu", ".cuh"):
                continue
            for line, text in texts(path.read_text()):
                for named in name.findall(text):
                    if named not in known | NO_SETTING:
                        yield f"{path.relative_to(root)}:{line}: there is no setting {named}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    settings = entries(root)
    found = [*wrong_members(settings), *wrong_texts(root, settings)]
    if len(settings) < 50:
        found.append(f"configs/settings.cc: only {len(settings)} settings are found in it")
    print("\n".join(found) or "every setting has one name")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
