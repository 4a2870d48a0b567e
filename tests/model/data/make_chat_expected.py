#!/usr/bin/env python3
"""Writes chat_expected.jsonl: every template of templates/ over the conversations below, rendered by Jinja2 with the
settings of transformers (trim_blocks, lstrip_blocks, loop controls, its own tojson, raise_exception). And
language_expected.jsonl: what each of language_cases.txt gives, which go through the language itself.

  python3 tests/model/data/make_chat_expected.py      (needs jinja2)
"""
import json
from pathlib import Path

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = Path(__file__).resolve().parent
U, A, S = "user", "assistant", "system"
CONVERSATIONS = [
    [(U, "Hi")],
    [(S, "Be brief."), (U, "What is 2+2?"), (A, "4"), (U, " And 3+3? \n")],
    [(U, "caf\u00e9 \u4f60\u597d \U0001f600"), (A, "  spaced  "), (U, "<|im_end|> </s> [INST]")],
    [(U, "line one\nline two\n"), (A, "<think>\nhm\n</think>\n\nanswer"), (U, "\"quoted\" 'text' \\n")],
    [(A, "out of turn"), (U, "x")],
    [(S, ""), (U, "empty system")],
    [(U, "a"), (A, "b")],
]


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        parser.stream.skip(1)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=["jinja2.ext.loopcontrols", Generation])

    def raise_exception(message):
        raise TemplateError(message)

    env.globals["raise_exception"] = raise_exception

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    return env


def write_language(env):
    messages = [{"role": S, "content": "Be brief."}, {"role": U, "content": "hi <b>\"q\" it's & \u00e9"},
                {"role": A, "content": "yes"}, {"role": U, "content": "why  not"}]
    with open(HERE / "language_expected.jsonl", "w") as out:
        for source in (HERE / "language_cases.txt").read_text()[:-1].split("\n=====\n"):
            row = {"template": source, "prompt": env.from_string(source).render(messages=messages)}
            out.write(json.dumps(row) + "\n")


def main():
    env = environment()
    write_language(env)
    with open(HERE / "chat_expected.jsonl", "w") as out:
        for path in sorted((HERE / "templates").glob("*.jinja")):
            source = path.read_text()
            parts = "in message['content']" in source
            template = env.from_string(source)
            for turns in CONVERSATIONS:
                messages = [{"role": r, "content": [{"type": "text", "text": c}] if parts else c} for r, c in turns]
                for add in (False, True):
                    row = {"template": path.stem, "turns": turns, "add_generation_prompt": add}
                    try:
                        row["prompt"] = template.render(messages=messages, add_generation_prompt=add, tools=None,
                                                        documents=None, bos_token="<s>", eos_token="</s>")
                    except TemplateError as error:
                        row["error"] = str(error)
                    out.write(json.dumps(row) + "\n")


main()
