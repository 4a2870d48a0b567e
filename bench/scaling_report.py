"""Draws the report of bench/scaling.py from the rows of its table: one HTML page that is well-formed XML and needs nothing else."""

import html
import math
import time

# The sweeps, in the order of the report.
TITLES = {"tensor_parallel": "LLM ranks, prompts and answers", "encoders": "encoder ranks, one picture at a time",
          "slices": "one picture's slices over encoders that share them evenly", "weak_encoders": "encoder ranks, as many pictures at once",
          "weak_tensor_parallel": "LLM ranks, two streams for each", "streams": "answers at once",
          "batch": "patches of a pass of the tower, one encoder and two pictures at once", "format": "format of weights"}
STAGES = ("queue", "cut", "encode", "prefill", "decode")
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
SHARE = 0.9  # of the encoders, or of a picture's pieces where they are fewer: the speed-up that is asked for
STYLE = "td, th { padding-right: 1em; text-align: left }"
LLM = ("tensor_parallel", "weak_tensor_parallel")
ENCODERS = ("encoders", "slices", "weak_encoders")


def number(row, key):
    """Nothing where the table has none: the CPU times of ranks that were not found."""
    return float(row[key]) if row[key] else None


def each(rows, key, by=None, scale=1):
    """(name, value) of each row, for so many of another column; no value where the table has none."""
    def value(row):
        top = number(row, key)
        return None if top is None else scale * top / (max(1, number(row, by)) if by else 1)

    return [(row["x"], value(row)) for row in rows]


def crowded(row):
    return int(row["tensor_parallel"]) + int(row["encoders"]) > int(row["cores"])


def svg(width, height, lines):
    return f'<svg width="{width}" height="{height}" font-family="sans-serif" font-size="12">{"".join(lines)}</svg>'


def text(x, y, words, size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}">{html.escape(str(words))}</text>'


def box(x, y, width, colour, title=""):
    tip = f"<title>{html.escape(title)}</title>" if title else ""
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="17" fill="{colour}" stroke="#fff" stroke-width="0.5">{tip}</rect>'


def table(heads, rows):
    def line(kind, cells):
        return "<tr>" + "".join(f"<{kind}>{html.escape(str(cell))}</{kind}>" for cell in cells) + "</tr>"

    return f"<table>{line('th', heads)}{''.join(line('td', row) for row in rows)}</table>"


def bars(title, unit, values, digits=2):
    """Horizontal bars: (name, value). Rows without a value are left out, and so is a plot without rows."""
    return stacked(title, unit, [(name, [(value, COLOURS[0], "")]) for name, value in values if value is not None], digits)


def stacked(title, unit, rows, digits=2, legend=()):
    """Bars of parts: (name, (value, colour, what it is) of each part), with the sum behind them."""
    if not rows:
        return ""
    top = max(sum(part[0] for part in parts) for _, parts in rows) or 1
    first = 46 if legend else 28
    lines = [text(0, 14, title, 14)]
    for i, (name, colour) in enumerate(legend):
        lines.append(f'<rect x="{70 + 90 * i}" y="22" width="10" height="10" fill="{colour}"/>{text(84 + 90 * i, 31, name)}')
    for i, (name, parts) in enumerate(rows):
        x, y = 70.0, first + 24 * i
        lines.append(text(0, y + 13, name))
        for value, colour, what in parts:
            width = 400 * value / top
            lines.append(box(x, y, width, colour, what and f"{what}: {value:.{digits}f} {unit}"))
            x += width
        lines.append(text(x + 6, y + 13, f"{sum(part[0] for part in parts):.{digits}f} {unit}"))
    return svg(600, first + 6 + 24 * len(rows), lines)


def stages(rows):
    """Where the time of an answer goes. Prefill begins before the last slice is encoded, so its part is what it adds."""
    def of(row):
        queue, cut, encode, first, decode = (1000 * number(row, name) / number(row, "turns")
                                             for name in ("queue_s", "cut_s", "encode_s", "first_s", "decode_s"))
        return list(zip((queue, cut, encode, max(0, first - queue - cut - encode), decode), COLOURS, STAGES))

    return stacked("where the time of an answer goes, by the server's clock", "ms", [(row["x"], of(row)) for row in rows], 0, list(zip(STAGES, COLOURS)))


def cpu_of_ranks(rows):
    def of(row):
        used, llm = [float(seconds) / number(row, "turns") for seconds in row["rank_cpu_s"].split()], int(row["tensor_parallel"])
        return [(seconds, COLOURS[rank >= llm], f"encoder {rank - llm}" if rank >= llm else f"LLM rank {rank}") for rank, seconds in enumerate(used)]

    return stacked("where CPU time goes, rank by rank, for each answer", "s", [(row["x"], of(row)) for row in rows if row["rank_cpu_s"]], 3,
                   (("LLM ranks", COLOURS[0]), ("encoders", COLOURS[1])))


def encoding(sweep, rows):
    """(how it was measured, the seconds that a picture's encoding takes at each point): the same for all points, so that they can be compared."""
    wall = each(rows, "wall_s" if sweep == "weak_encoders" else "encode_s", "turns")
    if not any(crowded(row) for row in rows):
        return "wall time, for all ranks have cores of their own", wall
    if all(row["busiest_s"] for row in rows):
        return "CPU time of the busiest encoder, for ranks outnumber cores at some points", each(rows, "busiest_s", "turns")
    return "wall time, though ranks outnumber cores at some points, for CPU times are not known", wall


def scaling_of_encoders(sweep, rows):
    how, seconds = encoding(sweep, rows)
    out = [f"<p>The time of a picture's encoding is {how}.</p>", bars("encoding of a picture", "s", seconds, 3)]
    alone = dict(seconds).get("1")
    if not alone or not all(value for _, value in seconds):
        return [*out, "<p>There is no speed-up without a point of one encoder, or where a time is zero.</p>"]
    speed = [(name, alone / value) for name, value in seconds]
    out.append(bars("speed-up by it", "times", speed))
    out.append(bars("efficiency: speed-up for each encoder", "%", [(name, 100 * value / float(name)) for name, value in speed], 0))
    if sweep == "slices":
        out.append(bounds(rows, seconds, speed))
    return out


def bounds(rows, seconds, speed):
    """Whether one picture's pieces make use of as many encoders as they can."""
    lines = []
    for row, (name, second), (_, times) in zip(rows, seconds, speed):
        pieces = round(number(row, "slices") / number(row, "turns"))
        bound = SHARE * min(pieces, int(name))
        lines.append((name, pieces, f"{second:.3f}", f"{times:.2f}", f"{bound:.2f}", "met" if times >= bound else "missed"))
    return table(("encoders", "pieces", "s a picture", "speed-up", f"bound: {SHARE} of the smaller of both", ""), lines)


def section(sweep, rows):
    first = rows[0]
    out = [f"<h2>{html.escape(TITLES[sweep])}</h2>", bars("answers a second", "1/s", each(rows, "turns_per_s")),
           bars("median time to the first token", "ms", each(rows, "first_ms"), 0)]
    if sweep in LLM:  # ranks wait for each other inside MPI, which counts as CPU time
        speed = [(row["x"], number(row, "turns_per_s") / number(first, "turns_per_s")) for row in rows]
        out.append(bars("speed-up of answers a second, by the wall clock", "times", speed))
        out.append(bars("efficiency: speed-up for each rank", "%", [(name, 100 * value / float(name)) for name, value in speed], 0))
    if sweep in ENCODERS:
        out += scaling_of_encoders(sweep, rows)
    out.append(stages(rows))
    if sweep in LLM:
        out.append(bars("of which sums of the LLM ranks, waiting included, for each step", "ms", each(rows, "sums_s", "steps", 1000), 3))
    if sweep in ENCODERS:
        out.append(bars("of which transfers of rows, for each slice", "ms", each(rows, "transfer_s", "slices", 1000), 3))
    out.append(cpu_of_ranks(rows))
    if any(crowded(row) for row in rows):
        out.append(f"<p>Some of these points have more ranks than the {first['cores']} cores: look at CPU time there, and not at wall time.</p>")
    if unknown := [row["x"] for row in rows if not row["rank_cpu_s"]]:
        out.append(f"<p>CPU times are not known at {html.escape(', '.join(unknown))}: not all of their ranks were on the host that measured.</p>")
    return "<br/>".join(part for part in out if part)


def on_the_roof(row, weights):
    """Operations for each byte of weights, and operations a second of one rank: of all steps of the language model, or of the pictures."""
    if number(row, "encode_flops"):
        if not number(row, "encoder_cpu_s"):
            return None
        work = number(row, "encode_flops") * number(row, "turns")
        return work / (number(row, "slices") * weights(1, "none")["encoder_rank"]["weights"]), work / number(row, "encoder_cpu_s")
    if not number(row, "step_s"):
        return None
    ranks = int(row["tensor_parallel"])
    work = 2 * number(row, "rows") * weights(ranks, "none")["llm_rank"]["weights"] / 2  # a multiplication and a sum for each of two bytes
    return work / (number(row, "steps") * weights(ranks, row["format"])["llm_rank"]["weights"]), work / number(row, "step_s")


def roofline(rows, roofs, weights):
    peak, bandwidth = roofs["bf16_tflops"] * 1e12, roofs["memory_gb_s"] * 1e9
    points = [(row["sweep"], row["x"], *place) for row in rows if (place := on_the_roof(row, weights))]
    low_x, high_x = min([p[2] for p in points] + [1]) / 2, max([p[2] for p in points] + [4 * peak / bandwidth]) * 2
    low_y, high_y = min([p[3] for p in points] + [peak / 100]) / 2, peak * 2
    place_x = lambda x: 70 + 520 * math.log(x / low_x) / math.log(high_x / low_x)  # noqa: E731
    place_y = lambda y: 330 - 290 * math.log(y / low_y) / math.log(high_y / low_y)  # noqa: E731
    share = lambda p: f"{100 * p[3] / min(peak, p[2] * bandwidth):.0f} %"  # noqa: E731
    path = " ".join(f"{place_x(x):.1f},{place_y(min(peak, x * bandwidth)):.1f}" for x in (max(low_x, low_y / bandwidth), peak / bandwidth, high_x))
    lines = [f'<polyline points="{path}" fill="none" stroke="#444" stroke-width="2"/>', '<path d="M70 40V330H590" fill="none" stroke="#999"/>',
             text(200, 370, "operations for each byte of weights"), text(0, 14, "operations a second of one rank")]
    lines += [text(place_x(10**n) - 8, 346, f"{10**n:g}") for n in range(math.ceil(math.log10(low_x)), math.floor(math.log10(high_x)) + 1)]
    lines += [text(4, place_y(10**n) + 4, f"{10**(n - 9):g} G") for n in range(math.ceil(math.log10(low_y)), math.floor(math.log10(high_y)) + 1)]
    colours = dict(zip(TITLES, COLOURS))
    for i, name in enumerate(dict.fromkeys(p[0] for p in points)):
        lines.append(f'<circle cx="450" cy="{235 + 15 * i}" r="4" fill="{colours[name]}"/>{text(460, 239 + 15 * i, name)}')
    lines += [f'<circle cx="{place_x(p[2]):.1f}" cy="{place_y(p[3]):.1f}" r="4" fill="{colours[p[0]]}">'
              f"<title>{html.escape(f'{p[0]} {p[1]}: {share(p)} of the roof')}</title></circle>" for p in points]
    return (f"<h2>Roofline of one thread</h2>{svg(640, 390, lines)}<p>The roof is what <code>uhd calibrate --threads 1</code> measured: "
            f"{peak / 1e9:.0f} GFLOP/s and {bandwidth / 1e9:.1f} GB/s. Decode points are all steps of a run, prompts among them, by the leader's "
            "clock; pictures are the tower's work by the encoders' CPU time, where that is known. Small models do not fill it: their weights stay in "
            "the caches, and what a step costs besides products weighs more. Where ranks outnumber cores, steps wait for each other.</p>"
            + table(("sweep", "", "operations a byte", "GFLOP/s", "of the roof"),
                    [(p[0], p[1], f"{p[2]:.2f}", f"{p[3] / 1e9:.1f}", share(p)) for p in points]))


def report(model, rows, roofs, weights):
    """`roofs` is what `uhd calibrate --json` says; weights(ranks, format) is `memory.cpu` of `uhd check --json`."""
    cores = ", ".join(dict.fromkeys(row["cores"] for row in rows))
    # By sweep, and by number within it, since a later run may have added smaller ones.
    rows = sorted(rows, key=lambda row: (list(TITLES).index(row["sweep"]), int(row["x"]) if row["x"].isdigit() else 0))
    parts = [section(sweep, chosen) for sweep in TITLES if (chosen := [row for row in rows if row["sweep"] == sweep])]
    return (f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"/><title>Scaling</title><style>{STYLE}</style></head>'
            f'<body><h1>Scaling of {html.escape(model)}</h1>'
            f"<p>{html.escape(cores)} cores; a rank has one thread; {time.strftime('%Y-%m-%d')}</p>"
            f"{''.join(parts)}{roofline(rows, roofs, weights)}</body></html>\n")
