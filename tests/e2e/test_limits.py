"""Keys, full queues, and clients that leave."""

import concurrent.futures
import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from helpers import client, encoded, http, picture, post, question, refused, wait_until
from server import KEY, PICTURES, POOR_KEY


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
        for path in ("/health", "/livez", "/ready", "/readyz"):
            assert session.get(session.base_url.join(path)).status_code == 200
        for path in ("/metrics", "/v1/models", "/version", "/openapi.json"):
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


def test_a_key_over_its_quota_is_told_when_to_come_back():
    asked = {"messages": question(), "max_tokens": 2}
    assert post(asked, name="limited", key=KEY).status_code == 200  # something is measured
    answers = [post(asked, name="limited", key=POOR_KEY) for _ in range(2)]
    assert answers[0].status_code == 200  # a whole quota pays for one
    refused(answers[1], 429, code="quota_exceeded")
    assert int(answers[1].headers["retry-after"]) >= 1
    assert post(asked, name="limited", key=KEY).status_code == 200


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


@contextlib.contextmanager
def pictures(asked):
    """A server of pictures where the server under test may fetch them; it notes the paths that were asked for."""

    class Pictures(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            moved = self.path == "/moved.png"
            content = encoded(picture(40, 30))
            self.send_response(302 if moved else 200)
            if moved:
                self.send_header("Location", "/a.png")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", int(PICTURES.read_text())), Pictures)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_image_of_an_allowed_host_is_fetched_for_a_key():
    def ask(url, key=KEY):
        part = {"type": "image_url", "image_url": {"url": url}}
        return post({"messages": [{"role": "user", "content": [part]}], "max_tokens": 2}, name="limited", key=key)

    asked, param = [], "messages[0].content[0].image_url.url"
    with pictures(asked) as host:
        refused(ask(host + "/a.png", key="wrong"), 401)
        refused(ask(host.replace("localhost", "127.0.0.1") + "/a.png"), 400, param, "invalid_image_url")
        assert asked == []
        assert ask(host + "/a.png").status_code == 200
        refused(ask(host + "/moved.png"), 400, param, "image_fetch_failed")
        assert asked == ["/a.png", "/moved.png"]
