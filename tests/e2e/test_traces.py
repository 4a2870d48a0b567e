"""A traced request leaves a file in which all ranks tell of it on one clock."""

import json

import httpx
from helpers import encoded, picture, question, wait_until
from server import COMMON, MPIRUN, TP2_ENC2, Server

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def ask(server, image, flags, parent=None):
    header = parent or f"00-{ID}-00f067aa0ba902b7-{flags}"
    body = {"messages": question(image), "temperature": 0, "max_tokens": 6}
    reply = httpx.post(server.url + "/chat/completions", json=body, headers={"traceparent": header}, timeout=240)
    assert reply.status_code == 200, reply.text
    return reply.json()


def lanes_of(trace):
    """The spans of each thread, which lie within each other or apart."""
    lanes = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            lanes.setdefault((event["pid"], event["tid"]), []).append(event)
    for lane in lanes.values():
        enclosing = []
        for event in lane:
            assert not enclosing or event["ts"] >= enclosing[-1]["ts"]
            while enclosing and event["ts"] >= enclosing[-1]["ts"] + enclosing[-1]["dur"] - 0.002:
                enclosing.pop()
            end = event["ts"] + event["dur"]
            assert not enclosing or end <= enclosing[-1]["ts"] + enclosing[-1]["dur"] + 0.002, (event, enclosing[-1])
            enclosing.append(event)
    return lanes


def test_two_ranks_and_encoders_tell_of_a_request_on_one_clock(tmp_path):
    arguments = [*TP2_ENC2, *COMMON, f"--trace.dir={tmp_path}/traces"]
    with Server("traces", MPIRUN, arguments) as server:
        ask(server, encoded(picture(200, 150)), "00")  # not sampled
        ask(server, encoded(picture(200, 150)), "01", parent="not a traceparent")
        answered = ask(server, encoded(picture(672, 1008)), "01")
        folder = tmp_path / "traces"
        wait_until(lambda: [*folder.glob("uhd-*.json")])
        files = [*folder.iterdir()]
        assert f"trace={ID}" in server.wait_for_log(f"trace={ID}")
    assert len(files) == 1, "only the sampled request is traced"
    trace = json.loads(files[0].read_text())
    assert trace["otherData"]["trace_id"] == ID and trace["otherData"]["finish"] in ("stop", "length")
    assert 0 < trace["otherData"]["clock_error_us"] < 1e6
    lanes = lanes_of(trace)
    names = {event["pid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "process_name"}
    assert {"leader", "LLM rank 0 (leader)", "LLM rank 1"} <= set(names.values())
    assert sum(name.startswith("encoder ") for name in names.values()) >= 1

    # All that the ranks did lies within the request, and in its order.
    request = lanes[(1, 1)][0]
    slack = trace["otherData"]["clock_error_us"] + 1
    everything = [event for lane in lanes.values() for event in lane]
    for event in everything:  # a follower may end its last step after the leader has answered
        last = event["ts"] if event["pid"] == 11 else event["ts"] + event["dur"]
        assert -slack <= event["ts"] and last <= request["dur"] + slack, event
    encodes = {e["args"]["slice"]: e for e in everything if e["name"] == "encode"}
    assert set(encodes) == set(range(7)) and all(e["dur"] > 0 for e in encodes.values())
    for number, encode in encodes.items():
        lane = {e["name"]: e for e in lanes[(1, 1001 + number)]}
        assert lane["send"]["ts"] + lane["send"]["dur"] <= encode["ts"] + 1
        assert encode["ts"] + encode["dur"] <= lane["transfer"]["ts"] + 1
    leader = {e["name"]: e for e in lanes[(10, 1)]}
    follower = {e["name"]: e for e in lanes[(11, 1)]}
    assert set(leader) == set(follower) and len(leader) >= answered["usage"]["completion_tokens"]
    for step, other in follower.items():  # both are in the same step at the same time
        mine = leader[step]
        assert other["ts"] <= mine["ts"] + mine["dur"] + slack and mine["ts"] <= other["ts"] + other["dur"] + slack
