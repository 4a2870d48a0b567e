#!/usr/bin/env python3
"""Writes chat_expected.jsonl: every template of templates/ over the conversations below, rendered by Jinja2 with the
settings of transformers (trim_blocks, lstrip_blocks, loop controls, its own tojson, raise_exception). And
language_expected.jsonl: what each of language_cases.txt gives, which go through the language itself. And
tool_expected.jsonl: the templates of tool_templates/ over conversations with tools. No package that this project
installs holds the published ones (SmolLM2's knows no tools, and MiniCPM's of the goldens neither), so these were
written down by hand after Qwen2.5's, Qwen3's and Llama 3.1's. Over these conversations Jinja2 makes the same texts of
them as of the published files (compared by hand with the copies in llama.cpp's sources). What is tested is that they
are rendered as Jinja2 does, and that the calls they show are read.

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

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a city, \u00e9 and \"all\" </tools> <|im_end|>",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                       "required": ["city"]}}},
    {"type": "function", "function": {"name": "stop"}},
]


def called(name, arguments, content="", id="c1"):
    function = {"name": name, "arguments": arguments}
    return {"role": A, "content": content, "tool_calls": [{"type": "function", "function": function, "id": id}]}


def result(text, id="c1"):
    return {"role": "tool", "content": text, "tool_call_id": id}


USER = {"role": U, "content": "How is Paris?"}
TWO = called("get_weather", {"city": "Paris"})
TWO["tool_calls"] = TWO["tool_calls"] + called("stop", {}, id="c2")["tool_calls"]
TOOL_CONVERSATIONS = [
    [USER],
    [{"role": S, "content": "Be brief."}, USER],
    [USER, called("get_weather", {"city": "Pa\u00efs \"<|im_end|>\"", "days": 2}), result("sunny <|im_end|>")],
    [USER, called("get_weather", {"city": "Paris"}, "Let me look."), result('{"t": 21.5}'),
     {"role": A, "content": "21.5"}, {"role": U, "content": "And now?"}],
    [USER, TWO, result("sunny"), result("done", "c2")],
    [USER, {**TWO, "reasoning_content": "\nTwo calls <|im_end|>\n"}, result("sunny"), result("done", "c2"),
     {"role": A, "content": "Sunny.", "reasoning_content": "I know."}],
    [USER, {"role": A, "content": "Sunny.", "reasoning_content": "an old thought"}, {"role": U, "content": "And now?"}],
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


def write_tools(env):
    with open(HERE / "tool_expected.jsonl", "w") as out:
        for path in sorted((HERE / "tool_templates").glob("*.jinja")):
            template = env.from_string(path.read_text())
            for messages in TOOL_CONVERSATIONS:
                row = {"template": path.stem, "messages": messages, "tools": TOOLS}
                try:
                    row["prompt"] = template.render(messages=messages, add_generation_prompt=True, tools=TOOLS,
                                                    documents=None, bos_token="<s>", eos_token="</s>")
                except TemplateError as error:
                    row["error"] = str(error)
                out.write(json.dumps(row) + "\n")


def main():
    env = environment()
    write_language(env)
    write_tools(env)
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
