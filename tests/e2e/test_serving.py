"""What a user does with the official client, against one process and against four ranks."""

import pytest

from helpers import NAME, answer, client, data_url, encoded, http, image_part, picture, post, question, refused
from server import url_of

FIELDS = {"model": "uhd-v1-tiny", "temperature": 0, "max_tokens": 8}


def test_models_list():
    with client() as c:
        models = c.models.list().data
        assert [m.id for m in models] == ["uhd-v1-tiny"]
        assert c.models.retrieve("uhd-v1-tiny").object == "model"


def test_chat_with_text():
    with client() as c:
        reply = c.chat.completions.create(messages=question(text="Is there a cat?"), **FIELDS)
    choice = reply.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert reply.usage.completion_tokens <= 8
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_streamed_text_equals_the_whole():
    with client() as c:
        whole = c.chat.completions.create(messages=question(text="Tell me."), **FIELDS)
        parts, usage = [], None
        for chunk in c.chat.completions.create(
            messages=question(text="Tell me."), stream=True, stream_options={"include_usage": True}, **FIELDS
        ):
            parts += [choice.delta.content or "" for choice in chunk.choices]
            usage = chunk.usage or usage
    assert "".join(parts) == whole.choices[0].message.content
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_chat_with_one_image(kind):
    data = encoded(picture(672, 1008), kind)
    with client() as c:
        reply = c.chat.completions.create(
            messages=[{"role": "user", "content": [image_part(data, kind.lower()), {"type": "text", "text": "What?"}]}],
            **FIELDS)
    assert reply.choices[0].finish_reason in ("stop", "length")
    image = reply.model_extra["uhd"]["images"][0]
    assert (image["width"], image["height"], image["grid"], image["slices"]) == (672, 1008, [2, 3], 6)
    assert reply.usage.prompt_tokens > image["tokens"] >= 7 * 144


def test_a_plan_says_what_an_answer_reports():
    parts = [{"type": "image_size", "width": 672, "height": 1008, "detail": "high", "max_slices": 3},
             {"type": "image_size", "width": 672, "height": 1008, "detail": "low"}]
    text = {"type": "text", "text": "What differs?"}
    image = data_url(encoded(picture(672, 1008)))
    files = [{"type": "image_url", "image_url": {"url": image, **{k: p[k] for k in ("detail", "max_slices") if k in p}}}
             for p in parts]
    planned = post({"messages": [{"role": "user", "content": [*parts, text]}], "max_tokens": 8}, path="/plan")
    assert planned.status_code == 200, planned.text
    plan = planned.json()
    reply = answer([{"role": "user", "content": [*files, text]}])
    assert plan["admission"] == {"admitted": True}
    assert plan["prompt_tokens"] == reply["usage"]["prompt_tokens"]
    assert plan["image_tokens"] == reply["usage"]["prompt_tokens_details"]["image_tokens"]
    assert len(plan["images"]) == len(reply["uhd"]["images"]) == 2
    for before, after in zip(plan["images"], reply["uhd"]["images"]):
        after.pop("cached_slices")
        assert {key: before[key] for key in after} == after
    assert 0 < plan["images"][0]["slices"] <= 3 and plan["images"][1]["grid"] == [0, 0]
    assert plan["flops"]["encode"] > 0 and plan["flops"]["prefill"] > 0


def test_chat_with_several_images_streamed():
    messages = question(encoded(picture(336, 336)), encoded(picture(800, 400, 2), "JPEG"), text="What differs?")
    with client() as c:
        whole = c.chat.completions.create(messages=messages, **FIELDS)
        stream = list(c.chat.completions.create(messages=messages, stream=True, **FIELDS))
    assert len(whole.model_extra["uhd"]["images"]) == 2
    assert "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices) == whole.choices[0].message.content


def test_image_tokens_are_known_beforehand():
    small = answer(question(encoded(picture(300, 200))))
    large = answer(question(encoded(picture(1000, 700))))
    tokens = [reply["usage"]["prompt_tokens_details"]["image_tokens"] for reply in (small, large)]
    difference = large["usage"]["prompt_tokens"] - small["usage"]["prompt_tokens"]
    assert tokens[1] - tokens[0] == difference > 0


def test_the_picture_matters():
    answers = {answer(question(encoded(picture(500, 500, seed))), max_tokens=16)["choices"][0]["message"]["content"] for seed in range(4)}
    assert len(answers) > 1


def test_exif_orientation_is_applied():
    image = picture(600, 300)
    exif = image.getexif()
    exif[0x0112] = 6  # stored on its side
    report = answer(question(encoded(image, "JPEG", exif=exif)))["uhd"]["images"][0]
    assert (report["width"], report["height"]) == (300, 600)


def test_completions_with_text_and_with_ids():
    with client() as c:
        text = c.completions.create(prompt="USER: Hi ASSISTANT:", **FIELDS)
        with http() as session:
            ids = session.post(session.base_url.join("/tokenize"), json={"prompt": "USER: Hi ASSISTANT:"}).json()["tokens"]
        same = c.completions.create(prompt=ids, **FIELDS)
    assert text.choices[0].text == same.choices[0].text
    assert text.usage.prompt_tokens == len(ids)


def test_several_choices_with_a_seed_repeat():
    fields = {**FIELDS, "temperature": 1, "seed": 5, "n": 2}
    with client() as c:
        first = c.chat.completions.create(messages=question(text="Go."), **fields)
        again = c.chat.completions.create(messages=question(text="Go."), **fields)
    texts = [[choice.message.content for choice in reply.choices] for reply in (first, again)]
    assert texts[0] == texts[1] and len(texts[0]) == 2 and texts[0][0] != texts[0][1]


def test_logprobs():
    with client() as c:
        reply = c.chat.completions.create(messages=question(text="Go."), logprobs=True, top_logprobs=3, **FIELDS)
    tokens = reply.choices[0].logprobs.content
    assert len(tokens) == reply.usage.completion_tokens
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.logprob <= 0 and token.top_logprobs[0].logprob == pytest.approx(token.logprob)


def test_stop_string_is_not_part_of_the_answer():
    whole = answer(question(text="Tell me."), max_tokens=24, ignore_eos=True)["choices"][0]["message"]["content"]
    stop = whole[len(whole) // 2:][:2]
    cut = answer(question(text="Tell me."), max_tokens=24, ignore_eos=True, stop=[stop])["choices"][0]
    assert cut["finish_reason"] == "stop"
    assert cut["message"]["content"] == whole[: whole.index(stop)]


def test_what_stopped_an_answer():
    text = answer(question(text="Go on."), max_tokens=16)["choices"][0]["message"]["content"]
    stop = text[len(text) // 2]
    choice = answer(question(text="Go on."), max_tokens=16, stop=[stop])["choices"][0]
    assert choice["stop_reason"] == stop and stop not in choice["message"]["content"]
    kept = answer(question(text="Go on."), max_tokens=16, stop=[stop], include_stop_str_in_output=True)["choices"][0]
    assert kept["message"]["content"] == choice["message"]["content"] + stop


def test_a_conversation_is_tokenised_as_it_runs():
    server = url_of(NAME).removesuffix("/v1")
    messages = question(encoded(picture(600, 400)), text="What is this?")
    reply = answer(messages)
    counted = post({"messages": messages}, path=server + "/tokenize").json()
    assert counted["count"] == reply["usage"]["prompt_tokens"] == len(counted["tokens"])
    visual = [i for i in counted["tokens"] if i == -1]
    assert 0 < len(visual) <= reply["usage"]["prompt_tokens_details"]["image_tokens"]
    assert reply["system_fingerprint"].startswith("fp_")


def test_usage_in_every_chunk():
    options = {"include_usage": True, "continuous_usage_stats": True}
    with client() as c:
        usages = [chunk.usage for chunk in c.chat.completions.create(messages=question(text="Tell me."), stream=True, stream_options=options, **FIELDS)]
    assert all(usages)
    counts = [usage.completion_tokens for usage in usages]
    assert counts == sorted(counts) and counts[-1] > 0
    assert len({usage.prompt_tokens for usage in usages}) == 1


def test_a_prompt_is_echoed():
    whole = post({"prompt": "The slice", "max_tokens": 4, "temperature": 0}, path="/completions").json()
    echoed = post({"prompt": "The slice", "max_tokens": 4, "temperature": 0, "echo": True}, path="/completions").json()
    assert echoed["choices"][0]["text"] == "The slice" + whole["choices"][0]["text"]
    alone = post({"prompt": "The slice", "max_tokens": 0, "echo": True}, path="/completions").json()
    assert alone["choices"][0]["text"] == "The slice"
    assert alone["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]
    assert alone["usage"]["completion_tokens"] == 0


def test_logprobs_of_a_prompt():
    said = post({"prompt": "The slice", "max_tokens": 4, "temperature": 0, "logprobs": 1}, path="/completions").json()["choices"][0]
    ids = post({"prompt": "The slice"}, path="/../tokenize").json()["tokens"]
    whole = {"prompt": "The slice" + said["text"], "max_tokens": 0, "echo": True, "logprobs": 2, "prompt_logprobs": 1}
    choice = post(whole, path="/completions").json()["choices"][0]
    told = choice["logprobs"]
    assert choice["text"] == whole["prompt"]
    assert told["token_logprobs"][0] is None and max(told["token_logprobs"][1:]) <= 0
    assert len(told["tokens"]) == len(told["text_offset"]) == len(choice["prompt_logprobs"])
    if told["tokens"][len(ids) :] == said["logprobs"]["tokens"]:  # the text is cut into the tokens it was made of
        assert told["token_logprobs"][len(ids) :] == said["logprobs"]["token_logprobs"]
    for logprob, top, place in zip(told["token_logprobs"][1:], told["top_logprobs"][1:], choice["prompt_logprobs"][1:]):
        entries = list(place.values())
        assert entries[0]["logprob"] == logprob == min(top.values()) or logprob in top.values()
        assert min(entry["rank"] for entry in entries) == 1
    chat = post({"messages": question(text="Tell me."), "max_tokens": 1, "prompt_logprobs": 0}).json()
    assert len(chat["prompt_logprobs"]) == chat["usage"]["prompt_tokens"]


def test_the_last_message_is_continued():
    messages = question(text="Tell me.") + [{"role": "assistant", "content": "The slice"}]
    told = answer(messages, continue_final_message=True)
    asked = answer(messages)
    assert told["usage"]["prompt_tokens"] < asked["usage"]["prompt_tokens"]


def test_the_document_of_the_api():
    server = url_of(NAME).removesuffix("/v1")
    with http() as session:
        document = session.get(server + "/openapi.json").json()
    fields = document["components"]["schemas"]["Chat"]
    assert "temperature" in fields["properties"] and "functions" in fields["x-refused"]
    # Every path of the document is served.
    with http() as session:
        for path, calls in document["paths"].items():
            for method in calls:
                found = session.request(method, server + path.replace("{model}", "uhd-v1-tiny"), json={} if method == "post" else None)
                assert found.status_code in (200, 400), (path, found.text)


def test_health_ready_metrics():
    with http() as session:
        base = session.base_url
        assert session.get(base.join("/health")).status_code == 200
        assert session.get(base.join("/ready")).json()["status"] == "ready"
        metrics = session.get(base.join("/metrics")).text
    for name in ("uhd_http_requests_total", "uhd_ttft_seconds_bucket", "uhd_kv_pages_free"):
        assert name in metrics


def test_a_timeline_comes_as_it_happens_and_clients_survive_it():
    image = encoded(picture(672, 1008, seed=77))  # nobody has asked for it before
    spans, text, seen = [], "", []
    with client() as c:
        for chunk in c.chat.completions.create(
            messages=question(image), stream=True, stream_options={"include_usage": True},
            extra_body={"timeline": True}, **FIELDS
        ):
            told = ((chunk.model_extra or {}).get("uhd") or {}).get("timeline", [])
            assert not (told and chunk.choices)
            spans += told
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            seen.append("span" if told else "text")
        whole = c.chat.completions.create(messages=question(image), extra_body={"timeline": True}, **FIELDS)
    assert text == whole.choices[0].message.content
    assert seen.index("span") < seen.index("text"), "the picture is told before there is an answer"
    stages = {span["stage"] for span in spans}
    assert {"read", "lay_out", "queue", "cut", "wait", "encode", "prefill", "decode"} <= stages
    assert {span["slice"] for span in spans if span["stage"] == "encode"} == set(range(7))
    assert all(0 <= span["begin"] <= span["end"] for span in spans)
    again = whole.model_extra["uhd"]["timeline"]
    assert {span["slice"] for span in again if span["stage"] == "cached"} == set(range(7))
    assert sum(span["tokens"] for span in again if span["stage"] == "decode") == whole.usage.completion_tokens - 1


def test_a_malformed_timeline_is_refused_by_name():
    refused(post({"messages": question(text="hi"), "timeline": "yes"}), 400, "timeline")
