"""Pictures and questions for the tests."""

import base64
import io
import json
import os
import random
import time

import httpx
from PIL import Image

from server import LIMIT_S, url_of

NAME = os.environ.get("UHD_E2E_SERVER", "single")  # which shared server the test talks to


def http(name=NAME, key="none"):
    return httpx.Client(base_url=url_of(name), timeout=LIMIT_S, headers={"Authorization": f"Bearer {key}"})


def client(name=NAME, key="none", **options):
    import openai

    return openai.OpenAI(base_url=url_of(name), api_key=key, timeout=LIMIT_S, max_retries=0, **options)


def picture(width, height, seed=1):
    """A picture with something in every corner, so that slices differ."""
    rng = random.Random(seed)
    small = Image.new("RGB", (8, 8))
    small.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(64)])
    return small.resize((width, height), Image.BICUBIC)


def encoded(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def data_url(data, kind="png"):
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


def image_part(data, kind="png"):
    return {"type": "image_url", "image_url": {"url": data_url(data, kind)}}


def question(*images, text="What is this?"):
    """Messages of one user turn; images are encoded bytes."""
    parts = [image_part(data) for data in images] + [{"type": "text", "text": text}]
    return [{"role": "user", "content": parts if images else text}]


def post(body, path="/chat/completions", name=NAME, key="none"):
    """Sends a body, given as an object or as bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with http(name, key) as session:
        return session.post(path, content=content, headers={"Content-Type": "application/json"})


def answer(messages, name=NAME, **fields):
    response = post({"messages": messages, "temperature": 0, "max_tokens": 8, **fields}, name=name)
    assert response.status_code == 200, response.text
    return response.json()


def refused(response, status, param=None, code=None):
    """The response is an error in OpenAI's form, and the server goes on."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["message"] and error["type"]
    if param is not None:
        assert error["param"] == param, error
    if code is not None:
        assert error["code"] == code, error
    return error


def wait_until(condition):
    """Asks again and again, for as long as any wait may take."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
