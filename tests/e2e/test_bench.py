"""The load generator against a server, and against one that answers wrongly."""

import http.server
import json
import threading

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


def session(at_s, tokens, text, beside=False, file=None):
    turn = {"text": text, "pictures": [{"file": str(file)}] if file else [], "max_tokens": tokens}
    return json.dumps({"at_us": round(at_s * 1e6), "think_us": 0, "beside": beside, "turns": [turn]}) + "\n"


def test_bench_ends_what_runs_beside_others(tmp_path):
    trace, table, page = (tmp_path / name for name in ("trace.jsonl", "turns.csv", "page.png"))
    picture(90, 120).save(page)
    # One that would stream for long, one that would begin in an hour, and a picture that both are beside of.
    trace.write_text(session(0, 900, "a", beside=True) + session(3600, 4, "b", beside=True) + session(0.5, 2, "c", file=page))
    run = bench("--replay", str(trace), "--ignore-eos", "--warm-up", "0", "--csv", str(table))
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert (report["turns"], report["answered"], report["answer_tokens"]) == (1, 1, 2)
    assert report["beside_before"]["turns"] == 1 and report["beside_before"]["first_token"]["max_ms"] > 0
    assert report["beside_among"]["turns"] == 0 and report["beside_among"]["errors"] == {}
    assert len(table.read_text().splitlines()) == 3


def test_bench_names_what_it_was_refused():
    run = bench("--sessions", "2", "--rate", "1000", "--text", "100000", "--warm-up", "0")
    report = json.loads(run.stdout)
    assert run.returncode == 1 and report["answered"] == 0 and report["errors"] == {"http 400": 2}
    assert "cannot be reached" in bench(url="http://127.0.0.1:1/v1").stderr
    assert "http://" in bench(url="https://127.0.0.1/v1").stderr


class Wrong(http.server.BaseHTTPRequestHandler):
    """Answers by the model's name, each wrong in a way of its own."""

    def do_POST(self):
        model = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["model"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        event = {"choices": [{"delta": {"content": "a"}}]}
        said = {"cut": json.dumps(event), "garbage": "{", "error": json.dumps({"error": {"message": "no"}}), "empty": "[DONE]"}[model]
        self.wfile.write(f"data: {said}\n\n".encode())

    def log_message(self, *_):
        pass


def test_bench_finds_broken_answers():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wrong)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for model, kind in (("cut", "broken"), ("garbage", "broken"), ("error", "error event"), ("empty", "no token")):
            run = bench("--sessions", "1", "--model", model, "--warm-up", "0", url=f"http://127.0.0.1:{server.server_port}/v1")
            assert run.returncode == 1 and json.loads(run.stdout)["errors"] == {kind: 1}, (model, run.stdout, run.stderr)
    finally:
        server.shutdown()
