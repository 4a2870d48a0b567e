"""Bad input: a clear error to that client, and the server goes on."""

import base64
import concurrent.futures
import json
import struct
import zlib

import pytest

from helpers import NAME, answer, data_url, encoded, http, picture, post, question, refused, url_of


@pytest.fixture(autouse=True)
def the_server_goes_on():
    yield
    assert answer(question(text="Still there?"), max_tokens=2)["usage"]["completion_tokens"] > 0


def ask_about(data, kind="png"):
    return post({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": data if isinstance(data, str) else data_url(data, kind)}},
        {"type": "text", "text": "What?"}]}], "max_tokens": 2})


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width, height, rows=b""):
    """A PNG whose header names a size that its data need not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b""))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_truncated_image(kind, share):
    data = encoded(picture(600, 400), kind)
    refused(ask_about(data[: max(13, int(len(data) * share))]), 400)


def test_the_broken_image_of_several_is_named():
    data = encoded(picture(600, 400))
    body = {"messages": question(data, data[: len(data) // 2], data), "max_tokens": 2}
    refused(post(body), 400, param="messages[0].content[1].image_url", code="image_invalid")


def test_truncated_image_in_a_stream():
    data = encoded(picture(600, 400))
    body = {"messages": question(data[: len(data) // 2]), "max_tokens": 2, "stream": True}
    response = post(body)  # its header is sent before a pixel is decoded
    assert response.status_code == 200
    event = json.loads(response.text.split("data: ")[1])
    assert event["error"]["type"] == "invalid_request_error", event
    assert response.text.endswith("data: [DONE]\n\n")


def test_png_with_too_little_data():
    refused(ask_about(png_claiming(500, 500)), 400)


def test_png_that_claims_to_be_huge():
    assert ask_about(png_claiming(60000, 60000)).status_code in (400, 413)


def test_png_with_the_largest_size_there_is():
    assert ask_about(png_claiming(2**31 - 1, 2**31 - 1)).status_code in (400, 413)


def test_png_of_no_size():
    refused(ask_about(png_claiming(0, 0)), 400)


def test_jpeg_with_a_lying_size():
    data = bytearray(encoded(picture(64, 64), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at:at + 4] = struct.pack(">HH", 65535, 65535)
    assert ask_about(bytes(data), "jpeg").status_code in (400, 413)


@pytest.mark.parametrize("size", [(1, 100000), (100000, 1), (1, 20000), (20000, 1)])
def test_extreme_shape(size):
    assert ask_about(encoded(picture(*size))).status_code in (400, 413)


def test_one_pixel_is_an_image():
    assert ask_about(encoded(picture(1, 1))).status_code in (200, 400)


def test_bomb_of_many_pixels():
    rows = zlib.compress(b"\0" * 1000)
    assert ask_about(png_claiming(30000, 30000, rows)).status_code in (400, 413)


def test_noise_is_no_image():
    refused(ask_about(b"GIF89a" + bytes(100)), 400, "messages[0].content[0].image_url.url", "unsupported_image")


def test_remote_urls_are_not_fetched():
    for url in ("http://127.0.0.1:1/a.png", "https://example.org/a.png", "file:///etc/passwd"):
        refused(ask_about(url), 400, "messages[0].content[0].image_url.url")


def test_too_many_images():
    refused(post({"messages": question(*[encoded(picture(8, 8))] * 17)}), 400, code="too_many_images")


def test_one_bad_image_among_good_requests():
    data = encoded(picture(400, 300))
    bad = {"messages": question(data[: len(data) // 2]), "max_tokens": 2}
    good = {"messages": question(data), "max_tokens": 4, "temperature": 0}
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        statuses = [r.status_code for r in pool.map(post, [good, bad, good, bad, good, good])]
    assert statuses == [200, 400, 200, 400, 200, 200]


WRONG = {
    "temperature": ["hot", -1, 1e9, [], {}, True],
    "top_p": ["x", -0.5, 2],
    "top_k": ["x", -2, 1.5, 1e300],
    "min_p": ["x", -1, 1.5],
    "max_tokens": ["x", 0, -1, 1.5, 10**30, 2**63],
    "max_completion_tokens": ["x", 0, -5],
    "n": ["x", 0, -1, 1000, 1.5],
    "seed": ["x", 1.5, 2**64],
    "presence_penalty": ["x", 3, -3],
    "frequency_penalty": ["x", 3, -3],
    "repetition_penalty": ["x", 0, -1],
    "logit_bias": [[], {"x": 1}, {"-1": 1}, {"99999999": 1}, {"1": 1000}],
    "stop": [5, [1], ["a"] * 100, ""],
    "stream": ["yes", 1],
    "logprobs": ["x", 3],
    "messages": ["x", [], [5], {}],
    "response_format": [{"type": "xml"}, {"type": "json_schema"}],
    "tools": [[{"type": "function", "function": {"name": "f"}}]],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_value(name):
    for value in WRONG[name]:
        error = refused(post({"messages": question(), name: value}), 400)
        assert error["param"].startswith(name), (value, error)


def test_prompt_longer_than_the_context():
    refused(post({"messages": question(text="word " * 20000)}), 400, code="context_length_exceeded")
    turns = question(text="word " * 300) * 30
    refused(post({"messages": turns}), 400, param="messages", code="context_length_exceeded")
    refused(post({"input": turns}, path="/responses"), 400, param="input", code="context_length_exceeded")


def test_max_tokens_longer_than_the_context():
    response = post({"messages": question(), "max_tokens": 2**31 - 1, "stop": ["e", "a", "i", "o", " "]})
    assert response.status_code == 200, response.text  # a cap that is not reached


def test_a_huge_prompt_is_refused_by_its_size():
    words = "The quick brown fox jumps over the lazy dog. " * 400_000
    for body in ({"messages": question(text=words)}, {"messages": question(text=words), "n": 16}):
        refused(post(body), 400, code="context_length_exceeded")
    refused(post({"prompt": words}, path="/completions"), 400, code="context_length_exceeded")
    refused(post({"prompt": [5] * 300_000}, path="/completions"), 400, code="context_length_exceeded")
    refused(post(b'{"x":[' + b"[]," * 3_000_000 + b"[]]}"), 413, code="too_many_values")


def test_health_answers_while_huge_bodies_are_read():
    body = json.dumps({"messages": question(text="word " * 8_000_000)}).encode()
    with concurrent.futures.ThreadPoolExecutor(4) as pool, http() as session:
        uploads = [pool.submit(post, body) for _ in range(4)]
        while not all(upload.done() for upload in uploads):
            assert session.get(session.base_url.join("/health")).status_code == 200
        for upload in uploads:
            refused(upload.result(), 400, code="context_length_exceeded")


def test_tokenize_has_limits():
    server = url_of(NAME).removesuffix("/v1")
    refused(post({"prompt": "word " * 100_000}, path=server + "/tokenize"), 413, "prompt")
    refused(post({"tokens": [5] * 300_000}, path=server + "/detokenize"), 413, "tokens")


def test_history_comes_back_as_it_was_sent():
    turn = post({"messages": question(text="One"), "max_tokens": 2}).json()["choices"][0]["message"]
    for echo in (turn, {**turn, "tool_calls": []}, {**turn, "content": None}, {"role": "assistant"}):
        messages = question(text="One") + [echo] + question(text="Two")
        assert post({"messages": messages, "max_tokens": 2}).status_code == 200, echo


def test_base64_with_line_breaks_is_an_image():
    url = "data:image/png;base64," + base64.encodebytes(encoded(picture(40, 40))).decode()
    assert ask_about(url).status_code == 200


def test_unknown_and_unsupported_fields_are_named():
    error = refused(post({"messages": question(), "tempreature": 0}), 400, "tempreature", "unknown_parameter")
    assert "did you mean 'temperature'?" in error["message"]
    for name, value in {"guided_whitespace_pattern": "a", "repeat_penalty": 1.1, "reasoning_effort": "low"}.items():
        refused(post({"messages": question(), name: value}), 400, name, "unsupported_parameter")
    harmless = {"store": True, "metadata": {"a": "b"}, "service_tier": "auto", "tool_choice": "none", "modalities": ["text"]}
    assert post({"messages": question(), "max_tokens": 2, **harmless}).status_code == 200


def test_not_json():
    for body in (b"", b"{", b"[]", b"\xff\xfe", b'{"temperature": NaN}', b"[" * 100000, b'"x"', b"null"):
        refused(post(body), 400)


def test_unknown_model():
    refused(post({"model": "gpt-4o", "messages": question()}), 404, "model", "model_not_found")


def test_unknown_path():
    refused(post({}, path="/nothing"), 404)
