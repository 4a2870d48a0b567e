"""What operators use of deploy/: Prometheus finds every number of the dashboard, and a service manager hears how far a server is."""

import json
import re
import socket
import subprocess
import time

import httpx
import pytest
from helpers import NAME, answer, encoded, picture, question, wait_until
from server import COMMON, LIMIT_S, ROOT, Server, url_of

DEPLOY = ROOT / "deploy"


@pytest.fixture
def prometheus(tmp_path):
    """A Prometheus that watches the shared server twice a second; its URL."""
    target = url_of(NAME).removeprefix("http://").removesuffix("/v1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rules = tmp_path / "alerts.yaml"
    rules.write_text((DEPLOY / "alerts.yaml").read_text())
    config = (DEPLOY / "prometheus.yaml").read_text().replace("127.0.0.1:8080", target).replace("15s", "500ms")
    (tmp_path / "prometheus.yaml").write_text(config)
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def up():
        try:
            return httpx.get(url + "/-/ready").status_code == 200
        except httpx.TransportError:
            assert process.poll() is None, (tmp_path / "log").read_text()

    wait_until(up)
    yield url
    process.kill()
    process.wait(LIMIT_S)


def found(url, expression):
    result = httpx.get(url + "/api/v1/query", params={"query": expression}).json()
    assert result["status"] == "success", result
    return [sample for sample in result["data"]["result"] if sample["value"][1] != "NaN"]


def test_every_number_of_the_dashboard_is_found(prometheus):
    def ask(seed):  # a picture that was not encoded before
        answer(question(encoded(picture(300, 200, seed + time.time_ns())), text="What is it?"), max_tokens=4)

    ask(1)
    wait_until(lambda: found(prometheus, "uhd_requests_accepted_total"))
    ask(2)
    before = time.monotonic()
    wait_until(lambda: time.monotonic() > before + 1.5)  # a rate needs two looks
    panels = json.loads((DEPLOY / "dashboard.json").read_text())["panels"]
    expressions = [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]]
    assert len(expressions) > 30
    assert [expression for expression in expressions if not found(prometheus, expression)] == []

    rules = httpx.get(prometheus + "/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert [rule["name"] for rule in rules if rule.get("lastError")] == []
    # An alert on a metric of another name would be silent for ever.
    told = httpx.get(url_of(NAME).removesuffix("/v1") + "/metrics").text
    for name in set(re.findall(r"\buhd_\w+", " ".join(rule["query"] for rule in rules))):
        assert name in told, name


def test_alert_rules_are_sound():
    checked = subprocess.run(["promtool", "check", "rules", DEPLOY / "alerts.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_service_manager_hears_when_it_is_ready_and_when_it_stops(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(LIMIT_S)
        with Server("notify", [], COMMON, NOTIFY_SOCKET=str(tmp_path / "notify")) as server:
            assert manager.recv(100) == b"READY=1"
            assert httpx.get(server.url + "/models").status_code == 200
            server.process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert server.wait() == 0
    # Nobody who listens is no reason to fail.
    with Server("notify", [], COMMON, NOTIFY_SOCKET="/does/not/exist") as server:
        server.process.terminate()
        assert server.wait() == 0
