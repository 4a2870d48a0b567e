"""Ranks with a device each reach one another over NCCL: nothing goes by way of the host, and who is lost may come back."""

import re
import socket
import subprocess

import httpx

from helpers import answer, encoded, picture, question, wait_until
from server import BINARY, COMMON, CUDA, LIMIT_S, ROOT, STATE, Server, refuse_reports


def test_rows_and_sums_go_from_device_to_device():
    log = STATE / "cuda_mpi.log"
    # A server is ready with the first encoder, so the second may join while this test begins.
    wait_until(lambda: len(re.findall(r"encoder joined .*link=", log.read_text())) == 2)
    assert len(re.findall(r"encoder joined .*link=device", log.read_text())) == 2
    assert "by way of the host" not in log.read_text()


def test_a_killed_encoder_is_replaced():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = COMMON + CUDA + [f"--cluster.control_port={port}", f"--cluster.leader=127.0.0.1:{port}", "--encoders.count=1"]
    messages = question(encoded(picture(64, 96)), text="What?")
    encoder = [BINARY, "serve", *arguments, "--cluster.role=encoder"]
    log = STATE / "cuda_encoders.log"
    log.unlink(missing_ok=True)

    def start_encoder():
        with open(log, "a") as out:
            return subprocess.Popen(encoder, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    with Server("cuda_llm", [], [*arguments, "--cluster.role=llm"]) as llm:
        first = start_encoder()
        llm.wait_for_log("encoder joined encoder=1 ")
        first.kill()
        first.wait(LIMIT_S)
        llm.wait_for_log("encoder left encoder=1 ")
        second = start_encoder()
        try:
            body = {"messages": messages, "temperature": 0, "max_tokens": 4}
            response = httpx.post(llm.url + "/chat/completions", json=body, timeout=LIMIT_S)
        finally:
            second.kill()
            second.wait(LIMIT_S)
        assert response.status_code == 200, response.text
        text = response.json()["choices"][0]["message"]["content"]
        assert text == answer(messages, name="single", max_tokens=4)["choices"][0]["message"]["content"]
        assert "encoder joined encoder=2 " in llm.log.read_text()
    refuse_reports(log)
