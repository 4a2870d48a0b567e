#!/usr/bin/env python3
"""Every call of the program in README.md and docs/ names a command and options that the program has.

docs_commands.py PROGRAM: looks at the indented and fenced blocks. A call of `uhd serve` is run with --print-config, so
that its settings and their values are read by the program itself; of others, the names of the options are looked up in
--help. Prints each call that the program would not take, with its page and line.
"""

import functools
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CALL = re.compile(r"(?:^|[ (])(?:build/release/)?uhd ([a-z].*)$")
PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())


def uhd(*arguments):
    return subprocess.run([PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True)


@functools.cache
def options_of(command):
    run = uhd(command, "--help")
    return set(re.findall(r"(?<![\w-])--?[a-z][\w.-]*", run.stdout)) if run.returncode == 0 else None


def calls(text):
    """(line, arguments) of each call within a fenced block, whose lines may go on behind a backslash."""
    fenced, begun, words = False, 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            begun, words = (begun, words) if words else (number, "")
            words += line.split(" #")[0].rstrip()
            if words.endswith("\\"):
                words = words[:-1] + " "
                continue
            found = CALL.search(words)
            if found:
                yield begun, shlex.split(found[1].split(" > ")[0].rstrip(")"))
            words = ""


def complaint(arguments):
    command, *rest = arguments
    known = options_of(command)
    if known is None:
        return f"there is no command {command}"
    for option in [word.split("=")[0] for word in rest if word.startswith("-")]:
        if option not in known:
            return f"uhd {command} has no option {option}"
    if command == "serve" and (run := uhd(*arguments, "--print-config")).returncode != 0:
        return run.stderr.splitlines()[0]
    return None


def main():
    seen, wrong = 0, 0
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for line, arguments in calls(page.read_text()):
            seen += 1
            if said := complaint(arguments):
                wrong += 1
                print(f"{page.relative_to(ROOT)}:{line}: {said}")
    if seen < 10:
        print(f"only {seen} calls were found")
    return 1 if wrong or seen < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
