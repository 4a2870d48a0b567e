"""What bench/scaling.py tries, how it starts ranks, what it does not run again, and its report of a recorded table."""

import csv
import json
import math
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench"))
import scaling  # noqa: E402
import scaling_report  # noqa: E402

ROOFS = {"bf16_tflops": 0.2, "memory_gb_s": 12.0}
CPU = ("llm_cpu_s", "encoder_cpu_s", "busiest_s", "all_cpu_s", "rank_cpu_s")


def recorded():
    """Rows of a run on two cores: LLM ranks, one picture's slices over encoders, and formats."""
    return list(csv.DictReader((HERE / "points.csv").open()))


def weights(ranks, quantize):
    return {"llm_rank": {"weights": 8_000_000 // ranks // (1 if quantize == "none" else 2)}, "encoder_rank": {"weights": 4_000_000}}


def places(sweep, cores):
    return [x for x, _ in scaling.sweeps(cores)[sweep]]


def test_points_follow_from_the_cores():
    assert list(scaling.sweeps(2)) == list(scaling_report.TITLES)
    for cores in (1, 2, 4):
        assert places("tensor_parallel", cores) == [1, 2, 4] == places("weak_encoders", cores)
        assert places("encoders", cores) == [1, 2, 3, 4] == places("slices", cores)
    assert places("tensor_parallel", 12) == [1, 2, 4, 8] and places("encoders", 12) == [1, 2, 3, 4, 8]
    assert places("slices", 12) == [1, 2, 3, 4, 6, 12]
    assert places("encoders", 128) == [1, 2, 3, 4, 8, 16, 32, 64, 128] and places("tensor_parallel", 128)[-1] == 64
    for cores in (2, 64):
        for sweep in scaling.sweeps(cores).values():
            assert all({"streams", "load"} <= set(point) for _, point in sweep)
        assert all(12 % encoders == 0 for encoders in places("slices", cores))


def test_ranks_are_bound_where_each_has_a_core():
    assert scaling.launcher_command(1, 2) == []
    assert scaling.launcher_command(2, 2) == ["mpirun", "--bind-to", "core", "-n", "2"]
    assert scaling.launcher_command(3, 2) == ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", "3"]
    assert scaling.launcher_command(9, 2, "srun -n {ranks} --cpu-bind='cores'") == ["srun", "-n", "9", "--cpu-bind=cores"]
    assert scaling.launcher_command(1, 2, "mpirun --host a,b -n {ranks}")[-1] == "1"


def test_two_threads_of_a_core_are_one(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling.os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 9})
    for cpu in range(4):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(f"{cpu // 2}\n")
        (topology / "core_id").write_text("0\n")
    assert scaling.cores_of_machine(tmp_path) == 3  # the system says nothing of the last


def test_the_ranks_that_stand_for_cores(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(scaling, "cores_of_machine", lambda: 2)
    out = ["--out", str(tmp_path)]
    assert (scaling.options_of(out).ranks, scaling.options_of(out).cores) == (2, 2)
    crowded = scaling.options_of([*out, "--ranks", "8"])
    assert (crowded.ranks, crowded.cores) == (8, 2)
    cluster = scaling.options_of([*out, "--ranks", "8", "--launcher", "srun -n {ranks}"])
    assert (cluster.ranks, cluster.cores) == (8, 8)
    for wrong in (["--launcher", "srun -n 8"], ["--sweeps", "slices,nothing"]):
        with pytest.raises(SystemExit):
            scaling.options_of([*out, *wrong])
        assert wrong[0] in capsys.readouterr().err


def test_points_that_the_table_holds_are_not_run_again(monkeypatch, tmp_path, capsys):
    known = {(row["sweep"], row["x"]): row for row in recorded()}
    with (tmp_path / "points.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, scaling.FIELDS)
        writer.writeheader()
        writer.writerows(row for place, row in known.items() if place not in {("slices", "4"), ("tensor_parallel", "4")})
    (tmp_path / "machine.json").write_text(json.dumps(ROOFS))
    ran = []

    def measure(_, sweep, x, point):
        ran.append((sweep, x))
        row = known[sweep, str(x)]
        return {**row, **{key: float(row[key]) for key in ("turns_per_s", "first_ms")}, **scaling.cpu_columns([], 1)}

    monkeypatch.setattr(scaling, "cores_of_machine", lambda: 2)
    monkeypatch.setattr(scaling, "measure", measure)
    monkeypatch.setattr(scaling, "refusal", lambda _, model, ranks: "4 does not divide 9 heads" if ranks == 4 else "")
    monkeypatch.setattr(scaling, "weights_of", lambda _: weights)
    arguments = ["--out", str(tmp_path), "--sweeps", "tensor_parallel,slices"]
    scaling.main(arguments)
    assert ran == [("slices", 4)]
    said = capsys.readouterr().out
    assert "tensor_parallel 4 is left out: 4 does not divide 9 heads" in said and "CPU times unknown; 0 s left" in said
    scaling.main(arguments)
    assert ran == [("slices", 4)]
    assert len(list(csv.DictReader((tmp_path / "points.csv").open()))) == len(known) - 1
    assert "CPU times are not known at 4" in (tmp_path / "report.html").read_text()
    (tmp_path / "points.csv").write_text("sweep,x\nslices,1\n")
    with pytest.raises(SystemExit, match="other columns"):
        scaling.main(arguments)


def test_cpu_times_of_ranks():
    assert scaling.cpu_columns([1.0, 2.0, 4.0], 1) == {"llm_cpu_s": 1, "encoder_cpu_s": 6, "busiest_s": 4, "all_cpu_s": 7, "rank_cpu_s": "1.00 2.00 4.00"}
    assert scaling.cpu_columns([1.0, 2.0], 2)["busiest_s"] == 2
    assert scaling.cpu_columns([], 1) == dict.fromkeys(CPU, "")


def report_of(rows):
    """The page's text, and its tables' rows; every number of every plot is finite, and nothing is wider than nothing."""
    page = scaling_report.report("a <model> & more", rows, ROOFS, weights)
    root = ElementTree.fromstring(page.partition("\n")[2])
    plots = list(root.iter("svg"))
    assert len(plots) > 4
    for element in (element for plot in plots for element in plot.iter()):
        for name in ("x", "y", "width", "height", "cx", "cy", "r"):
            if name in element.attrib:
                assert math.isfinite(float(element.attrib[name])), (name, element.attrib)
                assert float(element.attrib[name]) >= 0 or name in "xy"
        numbers = re.split(r"[ ,]+", element.attrib.get("points", "0"))
        assert all(math.isfinite(float(number)) for number in numbers)
        assert not re.search(r"\b(nan|inf|None)\b", element.text or "")
    return " ".join(root.itertext()), [[cell.text or "" for cell in line] for line in root.iter("tr")]


def test_the_report_of_a_recorded_table():
    text, lines = report_of(recorded())
    assert "a <model> & more" in text and "2 cores" in text
    for what in ("speed-up", "efficiency", "rank by rank", "sums of the LLM ranks", "transfers of rows", "Roofline"):
        assert what in text, what
    assert "CPU time of the busiest encoder, for ranks outnumber cores" in text
    bounds = {line[0]: line for line in lines if line[-1] in ("met", "missed")}
    assert set(bounds) == {"1", "2", "3", "4"} and all(line[1] == "12" for line in bounds.values())
    assert [bounds[str(n)][4] for n in (1, 2, 3, 4)] == ["0.90", "1.80", "2.70", "3.60"]
    for line in bounds.values():
        assert (line[-1] == "met") == (float(line[3]) >= float(line[4])) or line[3] == line[4]  # both are rounded


def test_the_bound_is_that_of_the_pieces_where_they_are_fewer():
    rows = [dict(row) for row in recorded() if row["sweep"] == "slices" and row["x"] in ("1", "4")]
    for row, seconds in zip(rows, ("8.0", "3.0")):
        row |= {"cores": "8", "turns": "4", "slices": "12", "encode_s": seconds}
    text, lines = report_of(rows)
    assert "wall time, for all ranks have cores of their own" in text
    assert ["4", "3", "0.750", "2.67", "2.70", "missed"] in lines


def test_the_report_without_cpu_times():
    rows = [{**row, **dict.fromkeys(CPU, "")} for row in recorded()]
    text, lines = report_of(rows)
    assert "CPU times are not known at 1, 2, 3, 4" in text and "rank by rank" not in text
    assert "wall time, though ranks outnumber cores" in text
    assert not [line for line in lines if line[0] == "slices"]  # no place under the roof
    one = [row for row in rows if (row["sweep"], row["x"]) == ("slices", "3")]
    assert "no speed-up without a point of one encoder" in report_of(one)[0]
