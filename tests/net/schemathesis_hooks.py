"""What schemathesis needs to know beyond /openapi.json: docs/api.md has the command.

No JSON Schema tells which text is a picture or a grammar, so the formats of the document have their values here. It could
compare two fields by listing all their values only, so cases that are refused by such a comparison are left out.
"""

import schemathesis
from hypothesis import strategies

PICTURE = ("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
LONGEST_SIDE, MOST_ASPECT = 7000, 100
SHORTEST_TIMEOUT_S = 5  # a shorter one may end as 503, which is an answer of the server, and no fault of it
LEGACY_MAX_TOKENS = 16  # of completions that do not say how many
MOST_MIN_TOKENS = 100  # the context has room for them, and they end soon
MOST_FORCED_TOKENS = 500
MOST_ANSWERS = 16  # of one call: the prompts times n

schemathesis.openapi.format("image-url", strategies.just(PICTURE))
schemathesis.openapi.format("ebnf", strategies.sampled_from(['root ::= "a"', "root ::= [a-z]+"]))
schemathesis.openapi.format("xgrammar-regex", strategies.sampled_from(["a+", "[0-9]{2}", "x|y"]))
schemathesis.openapi.format("json-object", strategies.sampled_from(["{}", '{"type":"integer"}']))
schemathesis.openapi.format("structural-tag", strategies.just('{"type":"structural_tag","format":{"type":"const_string","value":"a"}}'))


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def objects_in(value):
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from objects_in(inner)


def has_taken_size(part):
    width, height = part.get("width"), part.get("height")
    if not (is_number(width) and is_number(height) and width > 0 and height > 0):
        return True
    longer, shorter = max(width, height), min(width, height)
    return longer <= min(LONGEST_SIDE, MOST_ASPECT * shorter)


def have_company(body):
    """No field stands beside another one, or without one, that has it refused."""
    if is_number(body.get("best_of")) and body["best_of"] != (body["n"] if is_number(body.get("n")) else 1):
        return False
    told = body.get("stream_options")
    if isinstance(told, dict) and body.get("stream") is not True and (told.get("include_usage") or told.get("continuous_usage_stats")):
        return False
    if body.get("stream") is True and body.get("prompt_logprobs") is not None:
        return False
    if body.get("top_logprobs") and body.get("logprobs") is not True:
        return False
    if body.get("echo") is True and body.get("truncate_prompt_tokens") is not None:
        return False
    penalties = [(name, 0) for name in ("frequency_penalty", "presence_penalty")] + [("repetition_penalty", 1)]
    if body.get("repeat_last_n") is not None and any(body.get(name) not in (None, neutral) for name, neutral in penalties):
        return False
    return body.get("echo") is True or 0 not in (body.get("max_tokens"), body.get("max_completion_tokens"))


@schemathesis.hook
def filter_case(context, case):
    body = case.body
    if not isinstance(body, dict):
        return True
    most = [body[name] for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") if is_number(body.get(name))]
    if not most and "prompt" in body:
        most = [LEGACY_MAX_TOKENS]
    if is_number(body.get("min_tokens")) and body["min_tokens"] > min(most + [MOST_MIN_TOKENS]):
        return False
    if body.get("ignore_eos") is True and not (most and min(most) <= MOST_FORCED_TOKENS):  # it would fill the context
        return False
    if is_number(body.get("timeout")) and 0 < body["timeout"] < SHORTEST_TIMEOUT_S:
        return False
    if body.get("continue_final_message") is True:  # the last message may have no text to continue
        return False
    prompts = body.get("prompt")
    if isinstance(prompts, list) and is_number(body.get("n")) and len(prompts) * body["n"] > MOST_ANSWERS:
        return False
    if not have_company(body):
        return False
    parts = list(objects_in(body))
    if any(isinstance(part.get("structural_tag"), dict) for part in parts):  # it has a language of its own
        return False
    if any(part[one] != part[other] for part in parts for one, other in [("reasoning", "reasoning_content")]
           if isinstance(part.get(one), str) and isinstance(part.get(other), str)):  # thoughts are told once
        return False
    pictures = any(part.get("type") in ("image_url", "image_size") for part in parts)
    if pictures and body.get("truncate_prompt_tokens") is not None:  # a prompt with pictures is not cut
        return False
    return all(has_taken_size(part) for part in parts)
