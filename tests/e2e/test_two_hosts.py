"""configs/multinode.yaml on two hosts: the same answers, a cable that is pulled, and one job over both."""

import contextlib
import os
import signal
import subprocess

import httpx
import pytest

from helpers import encoded, picture, question, wait_until
from hosts import A, ADDRESS, B, bytes_received, on, set_link, two_hosts
from server import BINARY, COMMON, KEY, LIMIT_S, ROOT, STATE, Server, environment

MPIRUN = ["mpirun", "--bind-to", "none", "--oversubscribe"]
SHORT = {"temperature": 0, "max_tokens": 16, "ignore_eos": True}


@pytest.fixture
def settings():
    """multinode.yaml with the addresses and secrets of these hosts, on the tests' model."""
    STATE.mkdir(parents=True, exist_ok=True)
    for name, text in {"hosts_keys": KEY, "hosts_secret": "a secret of the tests, long enough"}.items():
        (STATE / name).write_text(text + "\n")
        (STATE / name).chmod(0o600)
    return ["--config", str(ROOT / "configs/multinode.yaml"), *COMMON, f"--net.host={ADDRESS[A]}", f"--net.api_keys_file={STATE / 'hosts_keys'}",
            f"--cluster.secret_file={STATE / 'hosts_secret'}", f"--cluster.control_host={ADDRESS[A]}", f"--cluster.leader={ADDRESS[A]}:7000",
            "--cluster.heartbeat_s=0.25", "--cluster.lost_after_s=1", "--encoders.wait_s=0.5"]


@contextlib.contextmanager
def encoders(settings):
    """Two encoder ranks, a job of their own on host b."""
    with open(STATE / "hosts-encoders.log", "w") as log:
        job = subprocess.Popen(on(B, *MPIRUN, "-n", "2", BINARY, "serve", *settings, "--cluster.role=encoder"),
                               cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()


def ask(server, messages):
    return httpx.post(server.url + "/chat/completions", json={"messages": messages, **SHORT}, timeout=LIMIT_S, headers={"Authorization": f"Bearer {KEY}"})


def text_of(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def large(seed):
    return question(encoded(picture(1008, 672, seed)))


def expected(*conversations):
    """The answers of one process on one host."""
    with Server("hosts-single", [], COMMON) as single:
        return [text_of(ask(single, messages)) for messages in conversations]


def test_two_jobs_on_two_hosts(settings):
    wanted = expected(large(1), large(2), large(3), question())
    with two_hosts(), encoders(settings), Server("hosts-llm", [*MPIRUN, "-n", "2"], settings + ["--cluster.role=llm"]) as server:
        wait_until(lambda: ask(server, large(1)).status_code == 200)  # the encoders have joined
        before = bytes_received(A)
        assert text_of(ask(server, large(2))) == wanted[1]
        assert bytes_received(A) - before > 7 * 64 * 4  # rows of visual tokens came over the wire
        set_link(B, "down")
        assert text_of(ask(server, question())) == wanted[3]
        wait_until(lambda: ask(server, large(4)).status_code == 503)  # a new picture, and no encoder
        assert text_of(ask(server, question())) == wanted[3]
        set_link(B, "up")
        wait_until(lambda: ask(server, large(5)).status_code == 200)  # they have come back by themselves
        assert text_of(ask(server, large(3))) == wanted[2]


def test_one_job_over_two_hosts(settings):
    wanted = expected(large(1), question())
    launcher = on(A, *MPIRUN, "--mca", "plm_rsh_agent", str(ROOT / "tests/e2e/netns_agent"), "-host", f"{A}:2,{B}:2", "-n", "4")
    with two_hosts():
        before = bytes_received(B)
        with Server("hosts-job", launcher, settings) as server:
            assert [text_of(ask(server, large(1))), text_of(ask(server, question()))] == wanted
        assert bytes_received(B) - before > 3 * 336 * 336  # slices went over the wire
