"""Starting, being stopped, and everything that keeps a server from starting."""

import concurrent.futures
import contextlib
import os
import re
import signal
import socket
import subprocess

import httpx
import pytest

from helpers import LIMIT_S, question
from server import BINARY, COMMON, LONG, MPIRUN, ROOT, TP2_ENC2, Server, environment, refuse_reports

SLOW = COMMON + [f"--model.path={LONG}"]


def uhd(*arguments, **variables):
    return subprocess.run([BINARY, *arguments], cwd=ROOT, env={**environment(), **variables}, capture_output=True, text=True, timeout=LIMIT_S)


def fails_to_start(*arguments):
    """Its one line of error."""
    run = uhd("serve", *arguments)
    assert run.returncode not in (0, None) and run.returncode > 0, run
    lines = [line for line in run.stderr.splitlines() if line.startswith("uhd: ")]
    assert len(lines) == 1, run.stderr
    return lines[0]


def leader_of(server):
    """The process that serves HTTP: itself, or rank 0 of the job."""
    return int(re.search(r" ready .*pid=(\d+)", server.wait_for_log(" ready ")).group(1))


def stream(url, tokens):
    """A long answer: what has come of it, and how it ended."""
    body = {"messages": question(text="Go on."), "max_tokens": tokens, "ignore_eos": True, "stream": True}
    return httpx.stream("POST", url + "/chat/completions", json=body, timeout=LIMIT_S)


@pytest.mark.parametrize("launcher", ["process", "mpi"])
def test_sigterm_lets_running_requests_finish(launcher):
    mpi = launcher == "mpi"
    settings = (TP2_ENC2 if mpi else []) + SLOW + ["--net.drain_timeout_s=200"]
    with Server(f"drain-{launcher}", MPIRUN if mpi else [], settings) as server:
        leader = leader_of(server)
        # The other client is connected before the signal, so that it is refused while the long answer still runs.
        with httpx.Client(timeout=LIMIT_S) as other, stream(server.url, 1500) as running:
            lines = running.iter_lines()
            next(lines)
            other.get(server.url + "/models")
            os.kill(leader, signal.SIGTERM)  # mpirun itself gives its ranks a second only
            refusal = None
            while refusal is None or refusal.status_code == 200:  # until the server has heard it
                # It closes idle connections then, seen here as an end or as a reset: ask over a new one.
                with contextlib.suppress(httpx.RemoteProtocolError, httpx.NetworkError):
                    refusal = other.post(server.url + "/chat/completions", json={"messages": question(), "max_tokens": 1})
            assert refusal.status_code == 503 and "retry-after" in refusal.headers
            rest = [line for line in lines if line.startswith("data: ")]
        assert rest[-1] == "data: [DONE]"
        assert '"finish_reason":"length"' in rest[-2]
        assert server.wait() == 0


def test_drain_has_a_limit():
    with Server("drain-limit", [], SLOW + ["--net.drain_timeout_s=0.2"]) as server:
        with stream(server.url, 30000) as running:
            lines = running.iter_lines()
            next(lines)
            server.signal(signal.SIGTERM)
            with pytest.raises(httpx.HTTPError):
                list(lines)
        assert server.wait() == 0


def test_a_second_sigint_stops_at_once():
    with Server("sigint", [], SLOW + ["--net.drain_timeout_s=10000"]) as server:
        with stream(server.url, 30000) as running:
            lines = running.iter_lines()
            next(lines)
            server.signal(signal.SIGINT)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                rest = pool.submit(lambda: pytest.raises(httpx.HTTPError, lambda: list(lines)))
                server.wait_for_log("draining")
                server.signal(signal.SIGINT)
                rest.result()
        assert server.wait() == 0


def test_a_leader_that_hangs_ends_the_job():
    """Nobody outside sees it: the rank that waits for it gives the step up, or the leader if none is under way."""
    launcher = ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", "2"]
    settings = SLOW + ["--llm.tensor_parallel=2", "--cluster.step_deadline_s=3", "--engine.ready_within_s=3", "--cluster.job_deadline_s=3"]
    with Server("hangs", launcher, settings) as server:
        leader = leader_of(server)
        with stream(server.url, 4000) as running:
            next(running.iter_lines())
            os.kill(leader, signal.SIGSTOP)
            try:
                assert server.wait() != 0
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(leader, signal.SIGCONT)
        assert re.search("a step did not end in time|the leader has sent nothing", server.log.read_text())


def test_config_typo_names_line_and_nearest_key(tmp_path):
    config = tmp_path / "typo.yaml"
    config.write_text("model:\n  path: x\nnet:\n  prot: 8080\n")
    assert f"{config}:4: unknown key net.prot; did you mean net.port?" in fails_to_start("--config", str(config))


def test_config_with_a_wrong_type(tmp_path):
    config = tmp_path / "type.yaml"
    config.write_text("net:\n  port: eighty\n")
    assert f"{config}:2: net.port must be a whole number" in fails_to_start("--config", str(config))


def test_absent_config():
    assert "/no/such.yaml" in fails_to_start("--config", "/no/such.yaml")


def test_absent_model():
    assert "/no/such/model" in fails_to_start("--net.port=0", "--model.path=/no/such/model")


def test_model_directory_without_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    fails_to_start("--net.port=0", f"--model.path={tmp_path}")


def test_absent_key_file():
    assert "/no/such/keys" in fails_to_start(*COMMON, "--net.api_keys_file=/no/such/keys")


def test_busy_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = fails_to_start(*COMMON, f"--net.port={port}")
    assert str(port) in error and "--net.port" in error


def test_busy_port_under_mpirun():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run([*MPIRUN, BINARY, "serve", *TP2_ENC2, *COMMON, f"--net.port={port}"], cwd=ROOT,
                             env=environment(), capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode != 0
    assert re.search(rf"uhd: rank 0: .*{port}.*--net.port", run.stderr), run.stderr


def test_tensor_parallel_that_does_not_divide():
    run = subprocess.run([*MPIRUN[:-1], "3", BINARY, "serve", *COMMON, "--llm.tensor_parallel=3"], cwd=ROOT,
                         env=environment(), capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode != 0 and "uhd: " in run.stderr


def test_help_and_version():
    for command in ([], ["serve"], ["generate"], ["slices"], ["check"], ["plan"]):
        run = uhd(*command, "--help")
        assert run.returncode == 0
        if command:
            assert "Examples:" in run.stdout
    assert "--net.port" in uhd("serve", "--help").stdout
    assert uhd("--version").stdout.startswith("uhd ")
    assert uhd().returncode != 0


def test_print_config_reads_back(tmp_path):
    printed = uhd("serve", "--config", "configs/tp2-enc2.yaml", "--net.port=81", "--print-config")
    assert printed.returncode == 0 and "port: 81" in printed.stdout
    again = tmp_path / "printed.yaml"
    again.write_text(printed.stdout)
    assert uhd("serve", "--config", str(again), "--print-config").stdout == printed.stdout


def test_every_config_of_the_repository_is_good():
    for config in sorted((ROOT / "configs").glob("*.yaml")):
        assert uhd("serve", "--config", str(config), "--print-config").returncode == 0, config


@pytest.mark.parametrize("report", [
    "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x6020", "==7==ERROR: LeakSanitizer: detected memory leaks",
    "engine/engine.cc:12:3: runtime error: signed integer overflow"])
def test_a_sanitizers_report_in_a_log_fails_its_test(tmp_path, report):
    log = tmp_path / "server.log"
    log.write_text("uhd serves a model\nuhd stopped\n")
    refuse_reports(log)
    log.write_text(f"uhd serves a model\n{report}\nuhd stopped\n")
    with pytest.raises(SystemExit, match="a report in "):
        refuse_reports(log)
