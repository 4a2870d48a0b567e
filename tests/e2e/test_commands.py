"""The subcommands beside the server."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from helpers import LIMIT_S, NAME, answer, encoded, picture, post, question
from server import BINARY, MPIRUN, ROOT, TINY, environment, url_of
from test_lifecycle import uhd

TEXT = "What is this?"


def test_generate_answers_as_the_server_does(tmp_path):
    image = tmp_path / "page.png"
    image.write_bytes(encoded(picture(800, 600)))
    arguments = ["--model", TINY, "--image", str(image), "--max-tokens", "12", "--backend.threads=1", "--model.dtype=f32", TEXT]
    run = uhd("generate", *arguments)
    assert run.returncode == 0, run.stderr
    told = json.loads(uhd("generate", "--json", *arguments).stdout)
    assert told["answer"] + "\n" == run.stdout and told["finish_reason"] == "length"
    assert told["usage"]["completion_tokens"] == 12 and told["uhd"]["images"][0]["slices"] > 1
    served = answer(question(image.read_bytes(), text=TEXT), max_tokens=12)
    assert run.stdout == served["choices"][0]["message"]["content"] + "\n"
    assert "grid" in run.stderr and "first token" in run.stderr


def test_generate_refuses_what_it_cannot_read(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    for arguments in (["--model", TINY, "--image", str(broken), TEXT], ["--model", "/no/such", TEXT],
                      ["--model", TINY, "--image", "/no/such.png", TEXT], ["--model", TINY]):
        run = uhd("generate", *arguments)
        assert run.returncode != 0 and run.stderr and not run.stdout


def test_generate_names_a_file_that_is_no_picture_before_it_loads_a_model(tmp_path):
    for name, content in (("broken.png", b"not an image"), ("old.gif", b"GIF89a" + bytes(40)),
                          ("cut.jpg", b"\xff\xd8\xff")):
        file = tmp_path / name
        file.write_bytes(content)
        loading = uhd("generate", "--model", "/no/such", "--image", str(file), TEXT)
        assert loading.returncode == 1 and str(file) in loading.stderr and "/no/such" not in loading.stderr
        run = uhd("generate", "--model", TINY, "--image", str(file), TEXT)
        assert run.returncode == 1 and str(file) in run.stderr and not run.stdout
        assert "model" not in run.stderr.replace(str(file), "")


def test_slices_plans_and_writes(tmp_path):
    image = tmp_path / "page.png"
    image.write_bytes(encoded(picture(672, 1008)))
    run = uhd("slices", str(image), "--json", "--out", str(tmp_path / "out"))
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)
    assert list((tmp_path / "out").glob("*.png"))


def test_check_reports_the_checkpoint():
    run = uhd("check", "--model", TINY)
    assert run.returncode == 0, run.stderr
    assert "tensors" in run.stdout
    assert uhd("check", "--model", "/no/such").returncode != 0
    told = json.loads(uhd("check", "--backend", "cpu", "--json").stdout)
    assert told["holds"] and {operation["weights"] for operation in told["operations"]} == {"f32", "bf16"}


def test_calibrate_measures_links_between_ranks(tmp_path):
    command = [*MPIRUN[:-1], "2", BINARY, "calibrate", "--name", "../Two ranks/1", "--json", "--budget", "0.01", "--threads", "1"]
    run = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)  # of rank 0 alone
    links = told["links"]
    assert (links["kind"], links["ranks"], links["hosts"]) == ("mpi", 2, 1)
    assert all(figure["seconds"] > 0 for figure in [*links["sums"], links["transfer"]])
    assert told["link_gb_s"] > 0 and len(told["products"]) == 10
    file = tmp_path / "configs/machines/Two-ranks-1.yaml"
    assert "sums of 2 ranks under MPI, on 1 host" in file.read_text() and "threads of one process" not in file.read_text()
    plan = uhd("plan", "--model", TINY, "--machine", str(file))
    assert plan.returncode == 0 and told["name"] in plan.stdout, plan.stderr


def test_the_shell_completes_commands_options_and_settings():
    def completed(*words):
        typed = " ".join(f"'{word}'" for word in words)
        script = f'source <("{BINARY}" completion bash)\nCOMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _uhd\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
        run = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        return run.stdout.split()

    assert {"serve", "slices", "plan"} <= set(completed("uhd", ""))
    assert completed("uhd", "sl") == ["slices"]
    assert completed("uhd", "serve", "--net.po") == ["--net.port="]
    assert "--config" in completed("uhd", "serve", "--")
    assert "--net.port=" not in completed("uhd", "slices", "--")
    assert "--net.port=" in completed("uhd", "generate", "--net.")
    # bash makes a word of '=', zsh does not.
    assert completed("uhd", "serve", "--backend.kind", "=") == ["cpu", "cuda", "auto"]
    assert completed("uhd", "generate", "q", "--model.quantize", "=", "int") == ["int8", "int4"]
    assert completed("uhd", "serve", "--log.format=j") == ["--log.format=json"]
    assert completed("uhd", "batch", "--net.page", "t") == ["true"]
    assert completed("uhd", "check", "--format", "b") == ["bf16"]
    assert completed("uhd", "plan", "--device", "H1") == ["H100"]
    assert completed("uhd", "completion", "") == ["bash", "zsh"]
    assert "README.md" in completed("uhd", "serve", "--config", "=", "READ")
    assert completed("uhd", "serve", "--config=READ") == ["--config=README.md"]
    assert uhd("completion", "fish").returncode == 2
    assert uhd("completion", "zsh").stdout.startswith("autoload")


def test_settings_come_from_the_environment_too():
    run = uhd("serve", "--print-config", UHD_NET_PORT="9123")
    assert "port: 9123" in run.stdout
    run = uhd("serve", "--print-config", UHD_NET_PRT="9123")
    assert run.returncode == 2 and "did you mean UHD_NET_PORT" in run.stderr


def batch_of(tmp_path, texts, **fields):
    """A file of requests, one for each text by its place, and a path for the answers."""
    lines = [{"custom_id": f"q{i}", "method": "POST", "url": "/v1/chat/completions",
              "body": {"messages": question(text=text), "max_tokens": 4, "temperature": 0, **fields}} for i, text in enumerate(texts)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"


def answers_in(path):
    return {line["custom_id"]: line["response"] for line in map(json.loads, path.read_text().splitlines())}


def test_a_batch_is_answered_by_a_server_and_continued(tmp_path):
    texts = ["Why?", "Where?", "When?", "How?"]
    requests, out = batch_of(tmp_path, texts)
    to = ["--url", url_of(NAME), "--retries", "0", "--json"]
    run = uhd("batch", requests, "--out", str(out), *to)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"requests": 4, "skipped": 0, "succeeded": 4, "failed": 0, "unanswered": 0}
    assert "4 of 4 requests, in" in run.stderr
    whole = answers_in(out)
    for i, text in enumerate(texts):
        assert whole[f"q{i}"]["status_code"] == 200 and whole[f"q{i}"]["request_id"]
        assert whole[f"q{i}"]["body"]["choices"] == answer(question(text=text), max_tokens=4)["choices"]
    # It was cut off within its third line: two answers stay, and two are asked for again.
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:2]) + lines[2][:50])
    run = uhd("batch", requests, "--out", str(out), *to)
    assert json.loads(run.stdout)["skipped"] == 2 and json.loads(run.stdout)["succeeded"] == 2
    assert out.read_text().splitlines(keepends=True)[:2] == lines[:2]
    assert {key: value["body"]["choices"] for key, value in answers_in(out).items()} == {key: value["body"]["choices"] for key, value in whole.items()}


def test_a_batch_is_answered_by_an_engine_of_its_own(tmp_path):
    requests, out = batch_of(tmp_path, ["Why?", "Where?"])
    with open(requests, "a") as file:
        file.write(json.dumps({"custom_id": "wrong", "method": "POST", "url": "/v1/completions", "body": {"prompt": "a", "temperature": 9}}) + "\n")
    run = uhd("batch", requests, "--out", str(out), "--model", TINY, "--model.dtype=f32", "--backend.threads=1")
    assert run.returncode == 0, run.stderr
    assert "3 requests: 0 answered before, 3 answered now, 1 of them with an error" in run.stdout
    got = answers_in(out)
    assert got["wrong"]["status_code"] == 400 and got["wrong"]["body"]["error"]["param"] == "temperature"
    assert got["q0"]["body"]["choices"] == answer(question(text="Why?"), max_tokens=4)["choices"]


class LameServer:
    """A server that gives each request the next of the answers, and the last one for ever."""

    def __init__(self, *answers):
        self.asked = 0
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                status, body = answers[min(told.asked, len(answers) - 1)]
                told.asked += 1
                self.send_response(status)
                self.send_header("Retry-After", "0.01")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def test_a_batch_asks_again_what_the_server_lost(tmp_path):
    requests, out = batch_of(tmp_path, ["Why?", "Where?"])
    lost, wrong = (json.dumps({"error": {"code": code}}).encode() for code in ("engine_failed", "internal_error"))
    with LameServer((500, lost), (504, b"gateway"), (200, b"{}"), (500, wrong)) as server:
        run = uhd("batch", requests, "--out", str(out), "--url", server.url, "--concurrency", "1", "--json")
        assert run.returncode == 0 and server.asked == 4, run.stderr
    assert {key: value["status_code"] for key, value in answers_in(out).items()} == {"q0": 200, "q1": 500}


def test_a_batch_leaves_a_server_that_is_gone(tmp_path):
    requests, out = batch_of(tmp_path, ["Why?"] * 9)
    to = ["--concurrency", "1", "--retries", "1", "--json"]
    for status, asked in ((503, 6), (429, 18)):  # one that is busy is there
        with LameServer((status, b"{}")) as server:
            run = uhd("batch", requests, "--out", str(out), "--url", server.url, *to)
            assert run.returncode == 1 and json.loads(run.stdout)["unanswered"] == 9 and server.asked == asked


def test_a_batch_says_what_it_cannot_do(tmp_path):
    requests, out = batch_of(tmp_path, ["Why?", "Where?"])
    # Nobody is there: nothing is written, so that the next run asks again.
    run = uhd("batch", requests, "--out", str(out), "--url", "http://127.0.0.1:9/v1", "--retries", "0")
    assert run.returncode == 1 and "2 requests have no answer" in run.stderr and out.read_text() == ""
    assert uhd("batch", requests, "--out", str(out)).returncode == 1
    assert "must not be the input" in uhd("batch", requests, "--out", requests).stderr
    streamed, _ = batch_of(tmp_path, ["Why?"], stream=True)
    run = uhd("batch", streamed, "--out", str(out), "--url", url_of(NAME))
    assert run.returncode == 1 and "line 1: 'body.stream' must be false" in run.stderr


def test_tokens_are_those_that_the_server_counts(tmp_path):
    image = tmp_path / "page.png"
    image.write_bytes(encoded(picture(672, 1008)))
    messages = question(image.read_bytes(), text=TEXT)
    served = post({"messages": messages, "return_token_strs": True}, path="/../tokenize").json()
    (tmp_path / "request.json").write_text(json.dumps({"messages": messages, "max_tokens": 3}))
    for arguments in (["--image", str(image), TEXT], ["--messages", str(tmp_path / "request.json")]):
        run = uhd("tokenize", "--model", TINY, "--json", *arguments)
        assert run.returncode == 0, run.stderr
        told = json.loads(run.stdout)
        for key in ("count", "tokens", "token_strs", "max_model_len"):
            assert told[key] == served[key], key
        assert told["visual_tokens"] == told["tokens"].count(-1) > 0 and len(told["images"]) == 1
    assert answer(messages)["usage"]["prompt_tokens"] == served["count"]
    run = uhd("tokenize", "--model", TINY, TEXT)
    plain = post({"prompt": TEXT}, path="/../tokenize").json()
    assert run.stdout.splitlines()[-1].startswith(f"{plain['count']} tokens of")
    assert len(run.stdout.splitlines()) == plain["count"] + 1
    assert uhd("tokenize", "--model", "/no/such", TEXT).returncode == 1
