"""Intruders, and ranks that are stopped, killed or unlike each other: who loses what, and what is said."""

import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import time

import httpx
import pytest

from helpers import LIMIT_S, encoded, picture, question, wait_until
from intruder import REFUSED, Intruder
from server import BINARY, COMMON, LONG, MPIRUN, ROOT, STATE, TP2_ENC2, Server, environment, ranks_of

SECRET = "a secret of the tests, long enough"
SLOW = COMMON + [f"--model.path={LONG}"]
RECOVERS = [MPIRUN[0], "--enable-recovery", *MPIRUN[1:]]


def rank_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return int(re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", file.read()).group(1))


def ranks(server):
    """The job's processes by rank."""
    return {rank_of(pid): pid for pid in ranks_of(server.process.pid)}


def ask(server, messages, **fields):
    return httpx.post(server.url + "/chat/completions", json={"messages": messages, "temperature": 0, "max_tokens": 8, **fields}, timeout=LIMIT_S)


def large(seed):
    return question(encoded(picture(1008, 672, seed)))


def encoders(server):
    metrics = httpx.get(server.url.removesuffix("/v1") + "/metrics", timeout=LIMIT_S).text
    return float(re.search(r"^uhd_encoders(?:\{.*\})? (\S+)$", metrics, re.M).group(1))


def running_stream(server, tokens=20000):
    body = {"messages": question(text="Go on."), "max_tokens": tokens, "ignore_eos": True, "stream": True}
    return httpx.stream("POST", server.url + "/chat/completions", json=body, timeout=LIMIT_S)


def secret_file():
    STATE.mkdir(parents=True, exist_ok=True)
    file = STATE / "faults_secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("launch", ["process", "process_without_a_file", "job", "two_jobs"])
def test_an_intruder_learns_nothing(launch):
    known = launch != "process_without_a_file"
    settings = [*COMMON, "--encoders.count=1", *([f"--cluster.secret_file={secret_file()}"] if known else [])]
    launcher = ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", "2"] if launch == "job" else []
    role = ["--cluster.role=llm"] if launch == "two_jobs" else []
    with Server(f"intruder-{launch}", launcher, [*settings, *role]) as server:
        port = int(re.search(r"listening for encoders address=127.0.0.1:(\d+)", server.wait_for_log("listening for encoders")).group(1))
        encoder = None
        if launch == "two_jobs":
            arguments = [*settings, "--cluster.role=encoder", f"--cluster.leader=127.0.0.1:{port}"]
            encoder = subprocess.Popen([BINARY, "serve", *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: encoders(server) == 1)
            facts = [("model.path (its tensors)", "0" * 32)]
            if known:  # who proves the secret is told which settings differ; an intruder may have heard them from it
                with Intruder(port) as honest:
                    kind, reason = honest.hello(facts, secret=SECRET)
                assert kind == REFUSED
                facts = re.findall(r"(?:^|; )(\S+(?: \([^)]*\))?) is (\S+) on the leader", reason) + re.findall(r"(?:^|; )(\S+(?: \([^)]*\))?) is known to the leader alone", reason)
                assert "model.path (its tensors) is " in reason
                facts = [fact if isinstance(fact, tuple) else (fact, "?") for fact in facts]
            refusals = set()
            for said in ({}, {"mac": os.urandom(32)}, {"secret": ""}, {"secret": "secret"}, {"secret": "another secret, long enough"}):
                for claimed in ([], facts):
                    with Intruder(port) as intruder:
                        kind, reason = intruder.hello(claimed, **said)
                    assert kind == REFUSED, "an intruder was let in"
                    refusals.add(reason)
            assert len(refusals) == 1, refusals
            assert not any(value in refusals.copy().pop() for _, value in facts)
            with Intruder(port) as intruder:
                assert intruder.guess_link()[0] is None
            assert encoders(server) == 1
            assert ask(server, large(1)).status_code == 200
        finally:
            if encoder is not None:
                encoder.kill()
                encoder.wait(LIMIT_S)


def test_a_leader_that_was_stopped_loses_nothing():
    settings = ["--cluster.heartbeat_s=0.2", "--cluster.lost_after_s=1"]
    with Server("stopped-leader", MPIRUN, TP2_ENC2 + COMMON + settings) as server, concurrent.futures.ThreadPoolExecutor(1) as pool:
        wait_until(lambda: encoders(server) == 2)
        leader = ranks(server)[0]
        os.kill(leader, signal.SIGSTOP)
        asked = pool.submit(ask, server, large(2))
        server.wait_for_log("lost the leader")
        time.sleep(4)  # longer than any rank would have to wait for it
        os.kill(leader, signal.SIGCONT)
        assert asked.result().status_code == 200
        wait_until(lambda: encoders(server) == 2)
        assert ask(server, large(3)).status_code == 200
        os.kill(leader, signal.SIGTERM)
        assert server.wait() == 0
        assert " W " not in server.log.read_text().split("draining")[1]


def test_a_killed_encoder_costs_nothing_where_mpirun_goes_on():
    with Server("killed-encoder", RECOVERS, TP2_ENC2 + COMMON) as server:
        wait_until(lambda: encoders(server) == 2)
        started = ranks(server)
        os.kill(started[2], signal.SIGKILL)
        for seed in range(4):
            assert ask(server, large(seed)).status_code == 200
        os.kill(started[0], signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.parametrize("launcher", [MPIRUN, RECOVERS], ids=["plain", "recovers"])
def test_a_killed_llm_rank_ends_streams_with_an_error(launcher):
    with Server("killed-rank", launcher, TP2_ENC2 + SLOW) as server:
        started = ranks(server)
        with running_stream(server) as running:
            lines = running.iter_lines()
            next(lines)
            os.kill(started[1], signal.SIGKILL)
            rest = "\n".join(lines)
        assert "engine_failed" in rest
        server.wait()
        assert ranks_of(server.process.pid) == []


def test_a_pause_of_the_machine_is_no_stuck_step():
    with Server("paused", [], SLOW + ["--cluster.step_deadline_s=5"]) as server, running_stream(server, 3000) as running:
        lines = running.iter_lines()
        next(lines)
        server.signal(signal.SIGSTOP)
        time.sleep(8)
        server.signal(signal.SIGCONT)
        rest = "\n".join(lines)
        assert "engine_failed" not in rest and "[DONE]" in rest


def test_ranks_that_do_not_answer_end_the_job():
    with Server("stuck", MPIRUN, TP2_ENC2 + COMMON + ["--cluster.step_deadline_s=5"]) as server:
        started = ranks(server)
        os.kill(started[1], signal.SIGSTOP)
        assert ask(server, question()).status_code == 500
        server.wait_for_log("this process ends")
        os.kill(started[1], signal.SIGCONT)
        assert server.wait() != 0


def test_ranks_that_differ_are_named():
    command = ["mpirun", "--bind-to", "none", "--oversubscribe"]
    serve = [BINARY, "serve", *COMMON, "--llm.tensor_parallel=2"]
    run = subprocess.run([*command, "-n", "1", *serve, ":", "-n", "1", *serve, "--engine.page_size=32", "--engine.max_running=4",
                          "--backend.isa=scalar"], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode != 0
    assert "engine.page_size is 64 on rank 0 and 32 on rank 1" in run.stderr
    assert "engine.max_running is 32 on rank 0 and 4 on rank 1" in run.stderr
    if "avx2" in pathlib.Path("/proc/cpuinfo").read_text():  # else both ranks have chosen the same
        assert "and scalar on rank 1" in run.stderr


def test_a_rank_says_that_it_waits_for_the_others():
    command = ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", "1", BINARY, "serve", *COMMON, "--llm.tensor_parallel=2", ":", "-n", "1", "sleep", "600"]
    job = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert any("waiting for the other ranks of this job to start" in line for line in job.stderr)
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait(LIMIT_S)


def test_a_log_that_nobody_reads_stops_nothing(tmp_path):
    reads, writes = os.pipe()
    with open(tmp_path / "out", "w") as out:
        server = subprocess.Popen([BINARY, "serve", *COMMON], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=writes)
    os.close(writes)
    try:
        wait_until(lambda: (tmp_path / "out").read_text().endswith("/v1\n"))
        url = (tmp_path / "out").read_text().split(" at ")[1].strip()
        with httpx.Client(timeout=LIMIT_S) as client:
            for _ in range(600):  # a line each: more than the pipe holds
                body = {"messages": question(), "max_tokens": 1, "temperature": 0}
                assert client.post(url + "/chat/completions", json=body).status_code == 200
            os.close(reads)  # and now there is no reader at all
            for _ in range(10):
                assert client.post(url + "/chat/completions", json=body).status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(LIMIT_S) == 0
    finally:
        server.kill()
        server.wait(LIMIT_S)


def test_an_answer_that_nobody_reads_ends_quietly():
    command = [BINARY, "generate", "--model", LONG, "--max-tokens", "2000", "--backend.threads=1", "Go on."]
    asked = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    asked.stdout.close()
    assert asked.wait(LIMIT_S) == 0
    assert "uhd:" not in asked.stderr.read()
