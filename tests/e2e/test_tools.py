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
    refused(post({**ASKED, "response_format": {"type": "json_object"}}), 400, param="tools")
    refused(post({"input": "a", "previous_response_id": "x"}, path="/responses"), 400, param="previous_response_id")
    refused(post({**ASKED, "model": "nano-uhd"}, name="tools"), 404)
