"""Tools and responses with the official client: the bundled model behind a template with tools, written after a
published one (tests/model/data/make_chat_expected.py)."""

import json

import pytest

from helpers import client, post, refused

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]},
                                                        "days": {"type": "integer", "minimum": 1, "maximum": 9}},
                       "required": ["city", "days"], "additionalProperties": False}}},
    {"type": "function", "function": {"name": "stop", "parameters": {"type": "object", "properties": {}}}},
]
ASKED = {"model": "nano-tools", "messages": [{"role": "user", "content": "How is Paris?"}], "tools": TOOLS,
         "max_tokens": 200, "temperature": 1}


def holds(name, arguments):
    value = json.loads(arguments)
    if name == "stop":
        assert value == {}
    else:
        assert name == "get_weather" and set(value) == {"city", "days"} and 1 <= value["days"] <= 9


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}],
                         ids=["required", "named"])
def test_calls_are_held_to_their_schema(choice):
    with client() as c:
        for seed in range(3):
            reply = c.chat.completions.create(tool_choice=choice, seed=seed, parallel_tool_calls=False, **ASKED)
            assert reply.choices[0].finish_reason == "tool_calls"
            assert reply.choices[0].message.content is None
            (call,) = reply.choices[0].message.tool_calls
            holds(call.function.name, call.function.arguments)
            if choice != "required":
                assert call.function.name == "get_weather"


def forced(text, low=30):
    """Biases and banned texts that lead an answer letter by letter into the text, which has each letter's way on within
    two letters."""
    letters = sorted(set(text))
    ids = {letter: post({"model": "nano-tools", "prompt": letter, "add_special_tokens": False}, path="/../tokenize")
           for letter in letters}
    bias = {str(ids[letter].json()["tokens"][-1]): low for letter in letters}
    bias[str(ids[text[0]].json()["tokens"][-1])] = 2 * low
    pairs = [a + b for a in letters for b in letters]
    threes = [pair + c for pair in pairs if pair in text for c in letters if pair[1] + c in text]
    return {"logit_bias": bias, "bad_words": [b for b in pairs + threes if b not in text]}


def test_strict_calls_are_held_in_free_text():
    asked = {**ASKED, "temperature": 0, "parallel_tool_calls": False}
    strict = [{"type": "function", "function": {**TOOLS[0]["function"], "name": "f", "strict": True}}]
    free = [{"type": "function", "function": {**TOOLS[0]["function"], "name": "f"}}]
    with client() as c:
        plain = c.chat.completions.create(**{**asked, "tools": free}).choices[0]
        same = c.chat.completions.create(**{**asked, "tools": strict}).choices[0]
        assert plain.message.content and same.message.content == plain.message.content
        led = {**asked, "extra_body": forced("<tool_call>")}
        led["logit_bias"] = led["extra_body"].pop("logit_bias")
        reply = c.chat.completions.create(**{**led, "tools": strict}).choices[0]
        loose = c.chat.completions.create(**{**led, "tools": free}).choices[0]
    assert reply.finish_reason == "tool_calls" and reply.message.content is None, reply
    (call,) = reply.message.tool_calls
    assert call.function.name == "f"
    holds("get_weather", call.function.arguments)
    assert loose.message.content.startswith("<tool_call>") and not loose.message.tool_calls, loose


def test_a_format_beside_tools():
    schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
    shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    strict = [{**tool, "function": {**tool["function"], "strict": True}} for tool in TOOLS]
    asked = {**ASKED, "tools": strict, "parallel_tool_calls": False}
    with client() as c:
        for seed in range(3):
            (choice,) = c.chat.completions.create(response_format=shape, seed=seed, **asked).choices
            if choice.finish_reason == "tool_calls":
                (call,) = choice.message.tool_calls
                holds(call.function.name, call.function.arguments)
            else:
                assert set(json.loads(choice.message.content)) == {"sure"}


def test_a_stream_of_calls_is_the_whole():
    with client() as c:
        fields = {**ASKED, "tool_choice": "required", "parallel_tool_calls": False, "seed": 4}
        (whole,) = c.chat.completions.create(**fields).choices[0].message.tool_calls
        names, arguments, reasons = [], "", []
        for chunk in c.chat.completions.create(stream=True, **fields):
            for choice in chunk.choices:
                reasons.append(choice.finish_reason)
                assert not choice.delta.content
                for call in choice.delta.tool_calls or []:
                    assert call.index == 0
                    names += [call.function.name] if call.function.name else []
                    arguments += call.function.arguments or ""
    assert names == [whole.function.name] and arguments == whole.function.arguments
    assert reasons[-1] == "tool_calls"


def test_the_conversation_goes_on_with_the_result():
    with client() as c:
        reply = c.chat.completions.create(tool_choice="required", parallel_tool_calls=False, seed=1, **ASKED)
        call = reply.choices[0].message.tool_calls[0]
        messages = [*ASKED["messages"], reply.choices[0].message.model_dump(exclude_none=True),
                    {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        again = c.chat.completions.create(**{**ASKED, "messages": messages, "max_tokens": 4, "temperature": 0})
        plain = c.chat.completions.create(**{**ASKED, "max_tokens": 4, "temperature": 0, "tool_choice": "none"})
    assert again.usage.prompt_tokens > reply.usage.prompt_tokens > plain.usage.prompt_tokens


def test_responses():
    tools = [{"type": "function", **tool["function"]} for tool in TOOLS]
    asked = {"model": "nano-tools", "input": "How is Paris?", "instructions": "Be brief.", "store": False,
             "max_output_tokens": 200, "temperature": 0}
    with client() as c:
        reply = c.responses.create(**asked)
        assert reply.status in ("completed", "incomplete") and reply.output_text
        called = c.responses.create(tools=tools, tool_choice="required", parallel_tool_calls=False, **asked)
        (call,) = called.output
        assert call.type == "function_call"
        holds(call.name, call.arguments)
        items = [{"role": "user", "content": asked["input"]}, call.model_dump(exclude_none=True),
                 {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
        assert c.responses.create(tools=tools, **{**asked, "input": items}).output
        schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
        formatted = c.responses.create(text={"format": {"type": "json_schema", "name": "s", "schema": schema}}, **asked)
        assert set(json.loads(formatted.output_text)) == {"sure"}
        with c.responses.stream(**asked) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            assert stream.get_final_response().output_text == text == reply.output_text


def test_without_a_place_they_are_refused():
    wrong = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"not": {}}}}
    refused(post({**ASKED, "tools": [wrong]}), 400, param="tools[0].function.parameters.not", code="unsupported_schema")
    wrong["function"]["parameters"] = {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}
    refused(post({**ASKED, "tools": [wrong]}), 400, param="tools[0].function.strict", code="invalid_grammar")
    refused(post({"input": "a", "previous_response_id": "x"}, path="/responses"), 400, param="previous_response_id")
    refused(post({**ASKED, "model": "nano-uhd"}, name="tools"), 404)
