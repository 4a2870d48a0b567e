"""Starts and stops servers for the end-to-end tests.

As a program, for ctest's fixtures: `server.py start NAME` leaves the server of that name running and writes where it
is; `server.py stop NAME` ends it, and fails if it did not end well.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("UHD_BINARY", str(ROOT / "build/release/uhd"))
STATE = pathlib.Path(os.environ.get("UHD_E2E_STATE", ROOT / "build/release/e2e"))
PICTURES = STATE / "picture_port"  # where the server called limited fetches images from
TINY = str(ROOT / "tests/goldens/models/uhd-v1-tiny")
LONG = str(ROOT / "tests/goldens/models/minicpmv26-tiny")  # a context of 32768: an answer that takes its time
LIMIT_S = 240  # of every wait: generous, for machines with other work

# float32, so that the number of ranks cannot turn a near tie.
# No signs of life in streams, so that a picture that takes long to refuse on a busy machine is refused with its status.
COMMON = ["--net.port=0", "--backend.threads=1", f"--model.path={TINY}", "--model.dtype=f32", "--net.stream_ping_s=0"]
MPIRUN = ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", "4"]
TP2_ENC2 = ["--config", str(ROOT / "configs/tp2-enc2.yaml")]
# Slices as small as the checkpoint allows; ranks share two cores with an emulated device each.
# Small steps: all sizes of them are run at start.
CUDA = ["--backend.kind=cuda", "--engine.token_budget=64", "--engine.max_running=4",
    "--cluster.lost_after_s=60", "--cluster.job_deadline_s=600", "--cluster.step_deadline_s=600"]
KEY = "key-of-the-tests"
POOR_KEY = "key-with-a-small-quota"


def settings_of(name):
    """(launcher, arguments) of the servers that several tests share."""
    if name == "single":
        return [], COMMON
    if name == "mpi":
        return MPIRUN, TP2_ENC2 + COMMON
    if name == "cuda":
        return [], COMMON + CUDA
    if name == "cuda_mpi":
        return MPIRUN, TP2_ENC2 + COMMON + CUDA
    if name == "limited":
        STATE.mkdir(parents=True, exist_ok=True)
        keys = STATE / "api_keys"
        keys.write_text(f"# of the tests\n{KEY}\nanother-key\n{POOR_KEY} quota=0.0001\n")
        with socket.create_server(("127.0.0.1", 0)) as free:
            PICTURES.write_text(str(free.getsockname()[1]))
        return [], COMMON + [f"--model.path={LONG}",
            f"--net.image_hosts=localhost:{PICTURES.read_text()}", "--net.image_private_addresses=true",
            f"--net.api_keys_file={keys}", "--engine.max_running=1", "--engine.max_waiting=1",
            "--net.max_requests_per_client=4", "--net.max_body_bytes=1MiB", "--image.max_images=2",
        ]
    if name == "tools":  # the bundled model behind a published template with tools
        folder = STATE / "nano-tools"
        folder.mkdir(parents=True, exist_ok=True)
        for file in (ROOT / "models/nano-uhd").iterdir():
            link = folder / file.name
            if not link.exists():
                link.symlink_to(file)
        template = ROOT / "tests/model/data/tool_templates/qwen25.jinja"
        (folder / "chat_template.jinja").write_text(template.read_text())
        return [], ["--net.port=0", f"--model.path={folder}", "--model.name=nano-tools"]
    if name == "nano":
        return [], ["--net.port=0", f"--model.path={ROOT / 'models/nano-uhd'}"]
    raise SystemExit(f"no server is called {name}")


def environment():
    # OpenMPI refuses root unless told; both settings are asked for.
    return {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


class Server:
    """A running server; `url` ends in /v1. Its log goes to a file, whose end is shown when it does not start."""

    def __init__(self, name, launcher, arguments, **variables):
        STATE.mkdir(parents=True, exist_ok=True)
        self.log = STATE / f"{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [*launcher, BINARY, "serve", *arguments], cwd=ROOT, env={**environment(), **variables}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.url = self.wait_until_ready()

    def wait_until_ready(self):
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if line.startswith("uhd serves "):
                    return line.split(" at ")[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.kill()
        raise SystemExit(f"the server did not start:\n{self.tail()}")

    def wait_for_log(self, text):
        """The log, when it holds the text."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.log.read_text():
            if time.monotonic() > deadline:
                raise SystemExit(f"the log never said '{text}':\n{self.tail()}")
            time.sleep(0.02)
        return self.log.read_text()

    def tail(self):
        return "\n".join(self.log.read_text().splitlines()[-30:])

    def signal(self, number):
        os.kill(self.process.pid, number)

    def wait(self):
        return self.process.wait(LIMIT_S)

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        refuse_reports(self.log)


def refuse_reports(log):
    """A rank that a sanitizer ended is a failure, even where its job goes on without it."""
    text = log.read_text(errors="replace")
    found = re.search(r"\S*Sanitizer:|: runtime error:", text)
    if found:
        raise SystemExit(f"a report in {log}:\n{text[max(found.start() - 1000, 0):found.start() + 6000]}")


def state_file(name):
    return STATE / f"{name}.json"


def url_of(name):
    return json.loads(state_file(name).read_text())["url"]


def is_ours(pid):
    try:
        return b"serve" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def ranks_of(mpirun):
    """Its children that have not ended."""
    ranks = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just gone
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if int(parent) == mpirun and state != "Z":
                ranks.append(int(stat.parent.name))
    return ranks


def within(limit_s, holds):
    """Whether it holds before so many seconds have passed."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def start(name):
    end(name)
    launcher, arguments = settings_of(name)
    server = Server(name, launcher, arguments)
    state_file(name).write_text(json.dumps({"url": server.url, "pid": server.process.pid}))


def end(name):
    """Ends the server and its whole process group; a server that is not there is none to end."""
    if not state_file(name).exists():
        return
    pid = json.loads(state_file(name).read_text())["pid"]
    state_file(name).unlink()
    if not is_ours(pid):
        return
    os.kill(pid, signal.SIGTERM)
    launcher, _ = settings_of(name)
    if not within(60, lambda: not is_ours(pid) or (launcher and not ranks_of(pid))):
        os.killpg(pid, signal.SIGKILL)
        raise SystemExit(f"the server {name} did not end when asked to")
    # Once in a while OpenMPI 4.1's mpirun locks itself up when its ranks are gone (in PMIx_server_finalize).
    if not within(10, lambda: not is_ours(pid)):
        os.killpg(pid, signal.SIGKILL)


def stop(name):
    """Ends it, and fails if a sanitizer ended one of its ranks, or all of it."""
    end(name)
    if (STATE / f"{name}.log").exists():
        refuse_reports(STATE / f"{name}.log")


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](sys.argv[2])
