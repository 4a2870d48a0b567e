"""Ranks with a device each reach one another over NCCL: nothing goes by way of the host."""

import re

from server import STATE


def test_rows_and_sums_go_from_device_to_device():
    log = (STATE / "cuda_mpi.log").read_text()
    assert len(re.findall(r"encoder joined .*link=device", log)) == 2
    assert "by way of the host" not in log
