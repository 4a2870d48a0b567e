"""The CUDA backend on the emulated device gives the CPU's text: in one process, and on four ranks over NCCL."""

import subprocess

import pytest

from helpers import answer, encoded, picture, question
from server import BINARY, LIMIT_S

# Small: the emulation runs every thread of every block as a fibre.
QUESTIONS = {
    "text": lambda: question(text="Is there a cat?"),
    "picture": lambda: question(encoded(picture(96, 64)), text="What?"),
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_same_answer_as_on_the_cpu(kind):
    messages = QUESTIONS[kind]()
    texts = {
        name: answer(messages, name=name, max_tokens=6, ignore_eos=True)["choices"][0]["message"]["content"]
        for name in ("single", "cuda", "cuda_mpi")
    }
    assert texts["cuda"] == texts["single"]
    assert texts["cuda_mpi"] == texts["single"]


def test_check_finds_every_operation_right():
    done = subprocess.run([BINARY, "check", "--backend", "cuda"], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("every operation holds\n")
    assert "device 0" in done.stdout and "NCCL" in done.stdout
