"""Two hosts on one machine: network namespaces `uhd-a` and `uhd-b`, joined by a veth pair. Needs root and iproute2."""

import contextlib
import ctypes
import os
import pathlib
import subprocess

A, B = "uhd-a", "uhd-b"
ADDRESS = {A: "10.77.0.1", B: "10.77.0.2"}
CLONE_NEWNET = 0x40000000


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def on(host, *command):
    """The command on that host, under its own host name: MPI tells hosts apart by it."""
    return ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", f'hostname {host}; exec "$@"', "sh", *command]


def set_link(host, state):
    ip("-n", host, "link", "set", "wire", state)


def bytes_received(host):
    out = subprocess.run(["ip", "netns", "exec", host, "cat", "/proc/net/dev"], check=True, capture_output=True, text=True).stdout
    return int(next(line for line in out.splitlines() if "wire:" in line).split()[1])


def remove():
    for host in (A, B):
        subprocess.run(["ip", "netns", "delete", host], capture_output=True)
        folder = pathlib.Path("/etc/netns") / host
        (folder / "hosts").unlink(missing_ok=True)
        if folder.exists():
            folder.rmdir()


@contextlib.contextmanager
def two_hosts():
    """The calling thread, and with it every program it starts, is on host a inside the block."""
    remove()
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(namespace):
        if libc.setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    try:
        names = "".join(f"{address} {host}\n" for host, address in ADDRESS.items())
        for host in (A, B):
            ip("netns", "add", host)
            folder = pathlib.Path("/etc/netns") / host
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text("127.0.0.1 localhost\n" + names)  # bound over /etc/hosts by ip netns exec
        ip("link", "add", "wire", "netns", A, "type", "veth", "peer", "name", "wire", "netns", B)
        for host in (A, B):
            ip("-n", host, "address", "add", ADDRESS[host] + "/24", "dev", "wire")
            ip("-n", host, "link", "set", "lo", "up")
            set_link(host, "up")
        host_a = os.open(f"/run/netns/{A}", os.O_RDONLY)
        enter(host_a)
        os.close(host_a)
        yield
    finally:
        enter(home)
        os.close(home)
        remove()


if __name__ == "__main__":  # can this machine do it?
    with two_hosts():
        subprocess.run(on(B, "true"), check=True)
