"""Two tensor-parallel ranks and two encoders give the CPU's answer in whatever order an emulated device runs its threads."""

import httpx
import pytest

from helpers import answer, encoded, picture, question
from server import COMMON, CUDA, LIMIT_S, MPIRUN, TP2_ENC2, Server


# The fourth order, forward, is that of the shared servers.
@pytest.mark.parametrize("order", ["reverse", "shuffled", "run_ahead"])
def test_same_answer_in_every_order(order):
    messages = question(encoded(picture(64, 96)), text="What?")
    body = {"messages": messages, "temperature": 0, "max_tokens": 4, "ignore_eos": True}
    with Server(f"cuda_mpi_{order}", MPIRUN, TP2_ENC2 + COMMON + CUDA, UHD_LANE_ORDER=order) as server:
        response = httpx.post(server.url + "/chat/completions", json=body, timeout=LIMIT_S)
    assert response.status_code == 200, response.text
    wanted = answer(messages, name="single", max_tokens=4, ignore_eos=True)["choices"][0]["message"]["content"]
    assert response.json()["choices"][0]["message"]["content"] == wanted
