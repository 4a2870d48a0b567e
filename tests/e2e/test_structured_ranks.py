"""One process and four ranks give the same text to one grammar."""

import json

from helpers import answer, question

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
}


def test_four_ranks_follow_as_one():
    fields = {"max_tokens": 400, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}
    for more in ({}, {"temperature": 1, "seed": 3}):
        texts = [answer(question(text="Who?"), name=name, **fields, **more)["choices"][0]["message"]["content"]
                 for name in ("single", "mpi")]
        assert texts[0] == texts[1]
        assert json.loads(texts[0]).keys() == {"name", "age"}
