"""The two forms in which the ranks run: one job of LLM and encoder ranks, or a job of LLM ranks and encoders of their own."""

import contextlib
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess

import paths  # noqa: F401
from server import BINARY, COMMON, LIMIT_S, ROOT, STATE, Server, environment, ranks_of, refuse_reports, within

MARK = "UHD_CHAOS"  # in the environment of every process of a run: what is left of it is found by this
MPIRUN = ["mpirun", "--bind-to", "none", "--oversubscribe"]
# Small enough for bursts to overflow, for pages to run out, and for pictures to be encoded again and again.
SETTINGS = [
    "--config", str(ROOT / "configs/tp2-enc2.yaml"), *COMMON,
    "--engine.max_running=8", "--engine.max_waiting=24", "--engine.kv_memory_bytes=64MiB", "--engine.visual_cache_bytes=6MiB",
    "--encoders.wait_s=3", "--cluster.link=tcp", "--cluster.heartbeat_s=0.5", "--cluster.lost_after_s=3", "--cluster.job_deadline_s=20",
    "--net.max_connections=256", "--net.max_body_bytes=16MiB", "--net.max_total_body_bytes=64MiB", "--net.drain_timeout_s=200",
]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Jobs:
    """A leader, a follower and two encoders, of which `kill_encoder` may take one."""

    def __init__(self, form):
        self.form = form
        self.mark = secrets.token_hex(8)
        self.control_port = free_port()
        STATE.mkdir(parents=True, exist_ok=True)
        secret = STATE / f"chaos-{form}.secret"
        secret.write_text(secrets.token_hex(32) + "\n")
        secret.chmod(0o600)
        self.settings = [*SETTINGS, f"--cluster.control_port={self.control_port}", f"--cluster.secret_file={secret}"]
        self.logs = []
        self.started = []  # kept, so that no number of theirs becomes another process's while it is in use here
        self.encoders = []
        self.absent = set()  # encoders that were killed and have not come back

    def __enter__(self):
        one = self.form == "one_job"
        # A lost encoder must not take the job with it.
        launcher = [*MPIRUN, "--enable-recovery", "-n", "4"] if one else [*MPIRUN, "-n", "2"]
        role = [] if one else ["--cluster.role=llm"]
        try:
            self.server = Server(f"chaos-{self.form}", launcher, [*self.settings, *role], **{MARK: self.mark})
            self.port = int(self.server.url.rsplit(":", 1)[1].split("/")[0])
            self.leader = int(re.search(r" ready .*pid=(\d+)", self.server.wait_for_log(" ready ")).group(1))
            ranks = {rank_of(pid): pid for pid in ranks_of(self.server.process.pid)}
            self.follower = ranks[1]
            if one:
                self.encoders = [ranks[2], ranks[3]]
            else:
                self.encoders = [self.start_encoder().pid for _ in range(2)]
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def start_encoder(self, leader_port=None):
        """A process of its own that joins the leader at this port."""
        log = STATE / f"chaos-{self.form}-encoder{len(self.logs)}.log"
        self.logs.append(log)
        leader = f"--cluster.leader=127.0.0.1:{leader_port or self.control_port}"
        with open(log, "w") as out:
            process = subprocess.Popen(
                [BINARY, "serve", *self.settings, "--cluster.role=encoder", leader], cwd=ROOT,
                env={**environment(), MARK: self.mark}, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.started.append(process)
        return process

    def is_there(self, which):
        return which not in self.absent

    def may_kill(self, which):
        """The last one of a job stays, since none comes back to it."""
        return self.is_there(which) and (self.form == "two_jobs" or not self.absent)

    def kill_encoder(self, which):
        os.kill(self.encoders[which], signal.SIGKILL)
        self.absent.add(which)

    def restart_encoder(self, which):
        """False where its job has no way to do so."""
        if self.form == "one_job":
            return False
        self.encoders[which] = self.start_encoder().pid
        self.absent.remove(which)
        return True

    def encoders_left(self):
        return 2 - len(self.absent)

    def processes(self):
        """Every process of this run that has not ended."""
        mine = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                marked = f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
                if marked and (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z":
                    mine.append(int(folder.name))
        return mine

    def wait_for_end(self):
        """What is wrong with how the ranks end, now that the leader was told to stop."""
        wrong = []
        if self.form == "two_jobs":  # they would wait for a leader to come back
            for pid in self.encoders:
                os.kill(pid, signal.SIGTERM)
        ranks = {self.leader, self.follower, *self.encoders}
        if not within(LIMIT_S, lambda: not ranks & set(self.processes())):
            wrong.append(f"ranks did not end: {ranks & set(self.processes())}")
        if " stopped" not in self.server.log.read_text(errors="replace"):
            wrong.append(f"the leader did not stop well:\n{self.server.tail()}")
        # Once in a while OpenMPI 4.1's mpirun locks itself up when its ranks are gone (in PMIx_server_finalize).
        if within(10, lambda: self.server.process.poll() is not None) and not self.absent and self.server.process.returncode != 0:
            wrong.append(f"the leader's job ended with {self.server.process.returncode}:\n{self.server.tail()}")
        return wrong

    def end(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        within(30, lambda: not self.processes())
        for log in {STATE / f"chaos-{self.form}.log", *self.logs}:
            if log.exists():
                refuse_reports(log)


def rank_of(pid):
    variables = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(int(v.split(b"=")[1]) for v in variables if v.startswith(b"OMPI_COMM_WORLD_RANK="))


def memory_of(pid):
    """(now, at most so far) in MiB."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"{name}:\s+(\d+)", text).group(1)) >> 10 for name in ("VmRSS", "VmHWM"))
