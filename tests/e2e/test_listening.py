"""Who listens, and how: TLS, a Unix socket, and what SIGHUP reads again."""

import os
import signal
import socket
import ssl
import stat
import subprocess

import httpx
import openai
import pytest
from helpers import question, wait_until
from server import COMMON, LIMIT_S, Server

ASK = {"model": "uhd-v1-tiny", "temperature": 0, "max_tokens": 4}


def make_certificate(folder, name):
    """A certificate of its own authority for localhost: (certificate, key)."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate, "-keyout", key],
        check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def copy(source, target):
    """In one step, as those who renew certificates do it."""
    draft = target.with_suffix(".new")
    draft.write_bytes(source.read_bytes())
    draft.chmod(0o600)
    os.replace(draft, target)


def shown_name(port):
    """The name in the certificate that the server shows now."""
    shown = ssl.get_server_certificate(("127.0.0.1", port))
    text = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=shown, capture_output=True, text=True, check=True)
    return text.stdout.strip().replace(" ", "").removeprefix("subject=CN=")


def test_tls_serves_real_clients_and_takes_a_new_certificate(tmp_path):
    first, second = make_certificate(tmp_path, "first"), make_certificate(tmp_path, "second")
    used = tmp_path / "used.pem", tmp_path / "used.key"
    for source, target in zip(first, used):
        copy(source, target)
    keys = tmp_path / "keys"
    keys.write_text("old-key-of-the-test\n")
    arguments = [*COMMON, f"--net.tls_certificate={used[0]}", f"--net.tls_key={used[1]}", f"--net.api_keys_file={keys}"]
    with Server("tls", [], arguments) as server:
        assert server.url.startswith("https://")
        port = httpx.URL(server.url).port
        trusted = ssl.create_default_context(cafile=str(first[0]))
        with openai.OpenAI(base_url=server.url, api_key="old-key-of-the-test", max_retries=0, timeout=LIMIT_S,
                           http_client=httpx.Client(verify=trusted)) as client:
            whole = client.chat.completions.create(messages=question(text="Hello?"), **ASK)
            chunks = [*client.chat.completions.create(messages=question(text="Hello?"), stream=True, **ASK)]
        streamed = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
        assert streamed == whole.choices[0].message.content
        body = tmp_path / "body.json"  # large enough that curl asks first whether it may be sent
        body.write_text('{"prompt": "' + "a " * 100 + '", "max_tokens": 1, "user": "' + "u" * 2_000_000 + '"}')
        curl = subprocess.run(
            ["curl", "--silent", "--show-error", "--fail-with-body", "--cacert", first[0], "--max-time", "60", "--write-out",
             "%{http_code} %{ssl_verify_result}", "--output", tmp_path / "reply", "-H", "Authorization: Bearer old-key-of-the-test",
             "-H", "Content-Type: application/json", "-H", "Expect: 100-continue", "--data-binary", f"@{body}",
             f"https://localhost:{port}/v1/completions"], capture_output=True, text=True)
        assert (curl.returncode, curl.stdout) == (0, "200 0"), curl.stdout + curl.stderr + (tmp_path / "reply").read_text()

        for version, taken in {"-tls1_1": False, "-tls1_2": True, "-tls1_3": True}.items():
            said = subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", version, "-cipher", "ALL:@SECLEVEL=0"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S)
            assert (said.returncode == 0) == taken, (version, said.stderr)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/health")

        # A new key and certificate hold from the signal on; the old connections live.
        assert shown_name(port) == "first"
        with httpx.Client(verify=trusted, timeout=LIMIT_S) as kept:
            assert kept.get(server.url + "/models", headers={"Authorization": "Bearer old-key-of-the-test"}).status_code == 200
            for source, target in zip(second, used):
                copy(source, target)
            keys.write_text("new-key-of-the-test\n")
            server.signal(signal.SIGHUP)
            server.wait_for_log("read again what=net.api_keys_file")
            assert kept.get(server.url + "/models", headers={"Authorization": "Bearer old-key-of-the-test"}).status_code == 401
            assert kept.get(server.url + "/models", headers={"Authorization": "Bearer new-key-of-the-test"}).status_code == 200
        assert shown_name(port) == "second"

        # Files that cannot be taken change nothing.
        copy(first[1], used[1])  # the key of another certificate
        keys.write_text("a-key quota=nonsense\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log("the old one holds what=net.api_keys_file")
        assert "the old one holds what=net.tls_certificate" in server.log.read_text()
        assert "nonsense" not in server.log.read_text() and "a-key" not in server.log.read_text()
        assert shown_name(port) == "second"
        trusted = ssl.create_default_context(cafile=str(second[0]))
        with httpx.Client(verify=trusted, timeout=LIMIT_S) as again:
            assert again.get(server.url + "/models", headers={"Authorization": "Bearer new-key-of-the-test"}).status_code == 200
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_bad_keys_of_tls_are_refused_at_start(tmp_path):
    certificate, key = make_certificate(tmp_path, "one")
    _, other = make_certificate(tmp_path, "other")

    def refusal(*arguments):
        with pytest.raises(SystemExit) as ended:
            Server("tls-refused", [], [*COMMON, *arguments])
        return str(ended.value)

    assert "net.tls_key" in refusal(f"--net.tls_certificate={certificate}", f"--net.tls_key={other}")
    assert "set together" in refusal(f"--net.tls_certificate={certificate}")
    assert "net.tls_certificate" in refusal(f"--net.tls_certificate={tmp_path}/none", f"--net.tls_key={key}")
    key.chmod(0o644)
    assert "every user may read" in refusal(f"--net.tls_certificate={certificate}", f"--net.tls_key={key}")


def test_a_unix_socket_serves_those_whom_its_mode_lets_in(tmp_path):
    path = tmp_path / "uhd.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))  # as a server that was killed leaves it
    stale.close()
    arguments = [*COMMON, f"--net.unix_socket={path}", "--net.unix_mode=0660"]
    with Server("unix", [], arguments) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        transport = httpx.HTTPTransport(uds=str(path))
        with openai.OpenAI(base_url="http://localhost/v1", api_key="none", max_retries=0, timeout=LIMIT_S,
                           http_client=httpx.Client(transport=transport)) as client:
            here = client.chat.completions.create(messages=question(text="Hello?"), **ASK)
            chunks = [*client.chat.completions.create(messages=question(text="Hello?"), stream=True, **ASK)]
        assert "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices) == here.choices[0].message.content
        with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=LIMIT_S) as client:
            there = client.chat.completions.create(messages=question(text="Hello?"), **ASK)
        assert here.choices[0].message.content == there.choices[0].message.content
        assert f'client="user {os.getuid()}"' in server.log.read_text()
        # A client that leaves cancels its request here too.
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=LIMIT_S) as client:
            body = {"prompt": "a", "max_tokens": 1000, "ignore_eos": True, "stream": True}
            with client.stream("POST", "http://localhost/v1/completions", json=body) as reply:
                next(reply.iter_lines())
        server.wait_for_log("status=499")
        with pytest.raises(SystemExit) as ended:
            Server("unix-again", [], arguments)
        assert "another program listens" in str(ended.value)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    wait_until(lambda: not path.exists())
