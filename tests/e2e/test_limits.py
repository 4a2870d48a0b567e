"""Keys, full queues, and clients that leave."""

import concurrent.futures

import httpx
import pytest

from helpers import client, encoded, http, picture, post, question, refused, wait_until
from server import KEY


def finished(session, reason):
    """How many requests have ended for this reason, by the metrics."""
    for line in session.get(session.base_url.join("/metrics")).text.splitlines():
        if line.startswith("uhd_requests_finished_total{") and f'"{reason}"' in line:
            return float(line.split()[-1])
    return 0


def long_request():
    return {"messages": question(text="Go on."), "max_tokens": 30000, "ignore_eos": True, "stream": True}


def test_keys_are_asked_for():
    import openai

    with http("limited", "wrong") as session:
        assert session.get(session.base_url.join("/health")).status_code == 200
        for path in ("/ready", "/metrics", "/v1/models"):
            refused(session.get(session.base_url.join(path)), 401, code="invalid_api_key")
    refused(post({"messages": question()}, name="limited", key="key-of-the-test"), 401)
    with client("limited", "wrong") as c, pytest.raises(openai.AuthenticationError):
        c.models.list()
    with client("limited", KEY) as c:
        assert c.models.list().data


def waiting(session):
    return session.get(session.base_url.join("/ready")).json()["waiting"]


def test_full_queue_is_429_and_a_client_that_leaves_makes_room():
    with http("limited", KEY) as session, concurrent.futures.ThreadPoolExecutor(1) as pool:
        before = finished(session, "cancelled")
        with session.stream("POST", "/chat/completions", json=long_request()) as running:
            lines = running.iter_lines()
            next(lines)  # it runs: its first text is here
            wait_until(lambda: waiting(session) == 0)  # and is counted so, which the step that gave the text does at its end
            queued = pool.submit(post, {"messages": question(), "max_tokens": 2}, name="limited", key=KEY)
            wait_until(lambda: waiting(session) == 1)
            error = post({"messages": question()}, name="limited", key=KEY)
            refused(error, 429)
            assert int(error.headers["retry-after"]) >= 1
        # Leaving cancelled the first, so the second runs.
        assert queued.result().status_code == 200
        wait_until(lambda: finished(session, "cancelled") == before + 1)


def test_a_client_that_leaves_before_its_answer_is_cancelled():
    with http("limited", KEY) as session:
        before = finished(session, "cancelled")
        with pytest.raises(httpx.TimeoutException):
            session.post("/chat/completions", json={**long_request(), "stream": False}, timeout=0.5)
        wait_until(lambda: finished(session, "cancelled") == before + 1)


def test_large_bodies_are_413():
    refused(post(b" " * (2 << 20), name="limited", key=KEY), 413)


def test_too_many_images_by_setting():
    refused(post({"messages": question(*[encoded(picture(8, 8))] * 3)}, name="limited", key=KEY), 400, code="too_many_images")
