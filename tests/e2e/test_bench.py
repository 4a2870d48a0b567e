"""The load generator against a server, and against some that answer by a script."""

import contextlib
import http.server
import json
import threading
import time

from helpers import NAME, picture
from server import url_of
from test_lifecycle import uhd


def bench(*arguments, url=None):
    return uhd("bench", "--url", url or url_of(NAME), "--json", *arguments)


def test_bench_measures_turns_and_replays_them(tmp_path):
    trace, table, plot = (tmp_path / name for name in ("trace.jsonl", "turns.csv", "run.svg"))
    run = bench("--streams", "2", "--sessions", "3", "--turns", "2", "--tokens", "4", "--ignore-eos", "--text", "12", "--pictures", "document",
                "--size", "90x120", "--record", str(trace), "--csv", str(table), "--plot", str(plot), "--objective-first", "60000")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert (report["turns"], report["answered"], report["good"], report["errors"]) == (6, 6, 6, {})
    assert report["answer_tokens"] == 24 and report["prompt_tokens"] > 6 * 12
    assert 0 < report["first_token"]["p50_ms"] <= report["total"]["p50_ms"]
    assert report["first_token"]["p50_ms"] <= report["first_token"]["p99_ms"] <= report["first_token"]["max_ms"]
    assert len(table.read_text().splitlines()) == 7 and plot.read_text().startswith("<svg")
    # The same bodies again, at the recorded times: the same tokens in and out.
    again = bench("--replay", str(trace), "--ignore-eos", "--warm-up", "0")
    assert again.returncode == 0, again.stderr
    replayed = json.loads(again.stdout)
    assert [replayed[k] for k in ("turns", "answered", "answer_tokens", "prompt_tokens")] == \
        [report[k] for k in ("turns", "answered", "answer_tokens", "prompt_tokens")]


def session(at_s, tokens, text, beside=False, file=None, think_s=0, turns=1):
    turn = {"text": text, "pictures": [{"file": str(file)}] if file else [], "max_tokens": tokens}
    return json.dumps({"at_us": round(at_s * 1e6), "think_us": round(think_s * 1e6), "beside": beside, "turns": [turn] * turns}) + "\n"


@contextlib.contextmanager
def serving(handler):
    """A server that answers by the script of `handler`; gives its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


class Scripted(http.server.BaseHTTPRequestHandler):
    def begin(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        return request

    def say(self, event):
        self.wfile.write(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def piece(self, text, finish=None):
        self.say({"choices": [{"delta": {"content": text}, "finish_reason": finish}]})

    def end(self, tokens):
        self.say({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}})
        self.say("[DONE]")

    def log_message(self, *_):
        pass


class Endless(Scripted):
    """Answers a picture at once, and a text until its client leaves."""

    left = threading.Event()

    def do_POST(self):
        content = self.begin()["messages"][0]["content"]
        if any(part["type"] == "image_url" for part in content):
            self.piece("a")
            self.piece("b", "stop")
            self.end(2)
            return
        try:
            while True:
                self.piece("a")
                time.sleep(0.01)
        except OSError:
            self.left.set()


def test_bench_ends_what_runs_beside_others(tmp_path):
    trace, table, page = (tmp_path / name for name in ("trace.jsonl", "turns.csv", "page.png"))
    picture(90, 120).save(page)
    # One whose answer never ends, with a turn in an hour, one that would begin in an hour, and a picture that both are beside of.
    trace.write_text(session(0, 9, "a", beside=True, think_s=3600, turns=2) + session(3600, 4, "b", beside=True) + session(0.5, 2, "c", file=page))
    with serving(Endless) as url:
        run = bench("--replay", str(trace), "--model", "m", "--warm-up", "0", "--csv", str(table), url=url)
        assert Endless.left.wait(30)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert (report["turns"], report["answered"], report["answer_tokens"]) == (1, 1, 2)
    assert report["beside_before"]["turns"] == 1 and report["beside_before"]["first_token"]["max_ms"] > 0
    assert report["beside_among"]["turns"] == 0 and report["beside_among"]["errors"] == {}
    assert len(table.read_text().splitlines()) == 3


class Quiet(Scripted):
    """Ends with tokens that have no text."""

    def do_POST(self):
        self.begin()
        self.piece("a")
        time.sleep(0.3)
        self.piece("", "length")
        self.end(4)


def test_bench_counts_the_time_of_tokens_without_text():
    with serving(Quiet) as url:
        run = bench("--sessions", "1", "--model", "m", "--warm-up", "0", url=url)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["total"]["p50_ms"] >= 300 and report["token"]["mean_ms"] >= 50


def test_bench_names_what_it_was_refused():
    run = bench("--sessions", "2", "--rate", "1000", "--text", "100000", "--warm-up", "0")
    report = json.loads(run.stdout)
    assert run.returncode == 1 and report["answered"] == 0 and report["errors"] == {"http 400": 2}
    assert "cannot be reached" in bench(url="http://127.0.0.1:1/v1").stderr
    assert "http://" in bench(url="https://127.0.0.1/v1").stderr


class Wrong(Scripted):
    """Answers by the model's name, each wrong in a way of its own."""

    def do_POST(self):
        model = self.begin()["model"]
        event = {"choices": [{"delta": {"content": "a"}}]}
        said = {"cut": json.dumps(event), "garbage": "{", "error": json.dumps({"error": {"message": "no"}}), "empty": "[DONE]"}[model]
        self.say(said)


def test_bench_finds_broken_answers():
    with serving(Wrong) as url:
        for model, kind in (("cut", "broken"), ("garbage", "broken"), ("error", "error event"), ("empty", "no token")):
            run = bench("--sessions", "1", "--model", model, "--warm-up", "0", url=url)
            assert run.returncode == 1 and json.loads(run.stdout)["errors"] == {kind: 1}, (model, run.stdout, run.stderr)
