"""Answers that follow a grammar: the bundled model's, and the same on four ranks."""

import concurrent.futures
import json
import math
import re

import pydantic
import pytest

from helpers import NAME, answer, client, post, question, refused
from server import ROOT


class Reading(pydantic.BaseModel):
    number: int
    unit: str = pydantic.Field(pattern=r"^[a-z]{1,8}$")


SCHEMA = {
    "type": "object",
    "properties": {
        "number": {"type": "integer", "minimum": 0, "maximum": 99999},
        "sure": {"type": "boolean"},
        "kinds": {"type": "array", "items": {"enum": ["page", "photo"]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["number", "sure", "kinds"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "page", "schema": SCHEMA, "strict": True}}


def demo():
    folder = ROOT / "models/nano-uhd/demo"
    known = json.loads((folder / "demo.json").read_text())
    return question((folder / known["image"]).read_bytes(), text=known["question"]), known["answer"]


def text_of(reply, choice=0):
    assert reply["choices"][choice]["finish_reason"] == "stop", reply
    return reply["choices"][choice]["message"]["content"]


def holds(text):
    value = json.loads(text)
    assert set(value) == set(SCHEMA["properties"])
    assert type(value["number"]) is int and type(value["sure"]) is bool
    assert 1 <= len(value["kinds"]) <= 2 and set(value["kinds"]) <= {"page", "photo"}


def test_a_schema_holds_and_the_answer_stays_right():
    messages, number = demo()
    digits = {"type": "string", "pattern": "^[0-9]{1,5}$"}
    schema = {"type": "object", "properties": {"number": digits}, "required": ["number"]}
    reply = answer(messages, max_tokens=60, response_format={"type": "json_schema", "json_schema": {
        "name": "page", "schema": schema}})
    assert set(json.loads(text_of(reply))) == {"number"}
    assert text_of(answer(messages, max_tokens=16, structured_outputs={"regex": "[0-9]{1,6}"})).startswith(number[:1])
    for n in (1, 2):
        reply = answer(messages, max_tokens=200, n=n, temperature=1.5, seed=7, response_format=FORMAT)
        for choice in range(n):
            holds(text_of(reply, choice))


def test_the_official_client_parses():
    with client() as c:
        reply = c.chat.completions.parse(model="nano-uhd", messages=question(text="How far is it?"), seed=3,
                                         temperature=1, max_tokens=200, response_format=Reading)
        assert isinstance(reply.choices[0].message.parsed, Reading)


def test_numbers_without_bounds_end():
    """A model that would write digits for ever ends its answer all the same."""
    kinds = {"whole": {"type": "integer"}, "least": {"type": "integer", "minimum": 12}, "most": {"type": "integer", "maximum": -1},
             "number": {"type": "number"}, "above": {"type": "number", "exclusiveMinimum": 0.5}}
    schema = {"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False}
    bias = {}
    for characters, added in (("123456789", 100), (" \t\r\n", -100)):
        ids = post({"prompt": characters, "add_special_tokens": False}, path="/../tokenize").json()["tokens"]
        bias.update({str(i): added for i in ids})
    reply = answer(question(), max_tokens=400, temperature=0, logit_bias=bias, guided_json=schema)
    text = text_of(reply)
    value = json.loads(text)
    assert list(value) == list(kinds)
    assert len(str(value["whole"])) == 19 == len(str(value["least"])) and len(str(value["most"])) == 20
    assert math.isfinite(value["number"]) and 0.5 < value["above"] < 1e20


def test_regex_choice_grammar():
    sums = 'root ::= number (" + " number)+\nnumber ::= [1-9] [0-9]?'
    rules = {
        r"[ab]{3}-[0-9]{2}": {"structured_outputs": {"regex": r"[ab]{3}-[0-9]{2}"}},
        r'(yes|"no"|été)': {"guided_choice": ["yes", '"no"', "été"]},
        r"[1-9][0-9]?( \+ [1-9][0-9]?)+": {"grammar": sums},
    }
    for pattern, fields in rules.items():
        for seed in range(4):
            reply = answer(question(), temperature=2, seed=seed, max_tokens=300, **fields)
            text = reply["choices"][0]["message"]["content"]
            if reply["choices"][0]["finish_reason"] == "stop":
                assert re.fullmatch(pattern, text), (pattern, text)
            else:
                assert "grammar" in fields  # a sum may go on
    value = json.loads(text_of(answer(question(), max_tokens=400, seed=1, temperature=2, logit_bias={"2": 40},
                                      response_format={"type": "json_object"})))
    assert isinstance(value, dict)


def test_a_stream_is_the_whole():
    fields = {"messages": question(), "model": "nano-uhd", "max_tokens": 200, "response_format": FORMAT, "seed": 5,
              "temperature": 1}
    with client() as c:
        whole = c.chat.completions.create(**fields).choices[0].message.content
        parts = [chunk.choices[0].delta.content or "" for chunk in c.chat.completions.create(stream=True, **fields)]
    assert "".join(parts) == whole
    holds(whole)


def test_others_in_the_batch_are_answered_as_alone():
    texts = [f"Tell me about the number {i}." for i in range(6)]
    plain = {"max_tokens": 40, "ignore_eos": True, "temperature": 0.7, "seed": 11}

    def ask(i):
        if i % 2:
            return answer(question(text=texts[i]), **plain)
        return answer(question(text=texts[i]), max_tokens=200, seed=i, temperature=1, response_format=FORMAT)

    alone = [ask(i)["choices"][0]["message"]["content"] for i in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        together = [reply["choices"][0]["message"]["content"] for reply in pool.map(ask, range(6))]
    assert together == alone
    for text in together[::2]:
        holds(text)


def test_many_grammars_of_one_client_wait_for_their_turns():
    """Each is compiled alone, and none of the calls is told to come back."""
    def ask(i):
        return answer(question(), max_tokens=100, seed=i, temperature=1, guided_regex=f"(many|grammars) of one client {i // 2}")

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        for i, reply in enumerate(pool.map(ask, range(24))):
            assert re.fullmatch(f"(many|grammars) of one client {i // 2}", text_of(reply)), reply


def test_max_tokens_and_stop_cut_it():
    reply = answer(question(), max_tokens=3, response_format=FORMAT)
    assert reply["choices"][0]["finish_reason"] == "length"
    reply = answer(question(), max_tokens=100, guided_regex="abc-def", stop=["-"])
    assert reply["choices"][0]["message"]["content"] == "abc"
    digits = answer(question(), max_tokens=40, guided_regex="[0-9]{4}", logit_bias={}, min_tokens=1)
    assert re.fullmatch("[0-9]{4}", text_of(digits))


def test_completions_follow_too():
    reply = post({"prompt": "Number:", "max_tokens": 20, "temperature": 0, "regex": "[0-9]{3}"}, path="/completions")
    assert re.fullmatch("[0-9]{3}", reply.json()["choices"][0]["text"])


WRONG = [
    {"regex": "(a"},
    {"regex": "(" * 20_000 + "a" + ")" * 20_000},
    {"grammar": "root ::= missing"},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "nonsense"}}}},
    {"guided_json": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}},
]


@pytest.mark.parametrize("fields", WRONG, ids=lambda fields: next(iter(fields)))
def test_wrong_grammar(fields):
    refused(post({"messages": question(), **fields}), 400, code="invalid_grammar")
    assert NAME and answer(question())["choices"]
