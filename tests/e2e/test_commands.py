"""The subcommands beside the server."""

import json

from helpers import answer, encoded, picture, question
from server import TINY
from test_lifecycle import uhd

TEXT = "What is this?"


def test_generate_answers_as_the_server_does(tmp_path):
    image = tmp_path / "page.png"
    image.write_bytes(encoded(picture(800, 600)))
    run = uhd("generate", "--model", TINY, "--image", str(image), "--max-tokens", "12", "--backend.threads=1", "--model.dtype=f32", TEXT)
    assert run.returncode == 0, run.stderr
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
