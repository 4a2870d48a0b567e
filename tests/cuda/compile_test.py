#!/usr/bin/env python3
"""Every kernel compiles for every architecture without a warning, uses what resources.txt says, and loads wide.

    compile_test.py NVCC [--update] [--disassembler CUOBJDUMP NVDISASM] [--flashinfer INCLUDE]

With --flashinfer it is FLASHINFER alone, against the headers in that folder; what their kernels take is their affair.
resources.txt holds registers, spilled bytes and static shared memory of each kernel as this compiler gives them. With another
release of the compiler only spills are compared. A change of kernels updates the table with --update, so that a
review sees what it costs.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = pathlib.Path(__file__).with_name("resources.txt")
ARCHITECTURES = ["80", "89", "90", "100"]
FLASHINFER = "attention_flashinfer.cu"
MOST_SPILLED = 16  # bytes: a few registers outside the loops
# Instructions that a file's code claims: SASS, and PTX where no disassembler is at hand.
WIDE = [("LDG.E.128", "ld.global.v4"), ("STG.E.128", "st.global.v4")]
TENSOR = [("HMMA.16816.F32.BF16", "mma.sync.aligned.m16n8k16"), ("LDSM", "ldmatrix"), ("LDGSTS", "cp.async.cg")]
CLAIMS = {
    FLASHINFER: TENSOR, "attention_packed.cu": TENSOR, "attention_paged.cu": TENSOR, "elementwise.cu": WIDE, "finite.cu": WIDE[:1], "norm.cu": WIDE,
    "peer_sum.cu": WIDE, "quantized.cu": [WIDE[0], WIDE[1], TENSOR[0]], "quantized_activations.cu": WIDE, "rope.cu": WIDE, "rows.cu": WIDE,
    "select.cu": WIDE[:1], "vision.cu": WIDE,
}
ENTRY = re.compile(
    r"Compiling entry function '(\S+)' for 'sm_(\d+)a?'.*?(\d+) bytes spill stores.*?Used (\d+) registers"
    r"(?:[^\n]*?(\d+) bytes smem)?", re.DOTALL)


def compile_file(nvcc, source, folder, headers=()):
    """(log of the compiler, fatbin with every architecture). headers: folders of others' headers."""
    out = pathlib.Path(folder) / (source.stem + ".fatbin")
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
    done = subprocess.run(
        [nvcc, "-std=c++20", "-O3", f"-I{ROOT}", *(f"-isystem={h}" for h in headers), "-Werror=all-warnings",
         "-Xcompiler=-Wall,-Wextra", "-Xptxas=-v", *targets,
         "-fatbin", str(source), "-o", str(out)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{source.name} does not compile:\n{done.stderr}")
    return done.stderr, out


def kernels(log):
    """{(kernel, architecture): (registers, spilled bytes, shared bytes)}."""
    found = ENTRY.findall(log)
    names = subprocess.run(["c++filt"], input="\n".join(f[0] for f in found), capture_output=True, text=True,
                           check=True).stdout.split("\n")
    short = [n.replace("(anonymous namespace)::", "").split("(")[0].replace("void ", "").replace("uhd::cuda::", "")
             for n in names]
    return {(name, sm): (int(registers), int(spills), int(shared or 0))
            for name, (_, sm, spills, registers, shared) in zip(short, found)}


def missing_claims(nvcc, disassembler, source, fatbin, headers=()):
    """What the code claims and the binary lacks."""
    claims = CLAIMS.get(source.name, [])
    if disassembler:
        cuobjdump, nvdisasm = disassembler
        done = subprocess.run([cuobjdump, "-sass", str(fatbin)], capture_output=True, text=True,
                              env={**os.environ, "NVDISASM_PATH": str(pathlib.Path(nvdisasm).parent)})
        parts = re.split(r"code for sm_", done.stdout)[1:]
        if done.returncode != 0 or len(parts) < len(ARCHITECTURES):
            return [f"cannot be disassembled: {done.stderr.strip() or 'architectures are missing'}"]
        return [f"sm_{part.split()[0]} has no {sass}" for part in parts for sass, _ in claims if sass not in part]
    ptx = fatbin.with_suffix(".ptx")
    subprocess.run([nvcc, "-std=c++20", "-O3", f"-I{ROOT}", *(f"-isystem={h}" for h in headers),
                    f"-arch=compute_{ARCHITECTURES[0]}", "-ptx", str(source), "-o", str(ptx)], check=True)
    text = ptx.read_text().replace("ld.global.nc.", "ld.global.")  # the same access through the read-only path
    return [f"PTX has no {wanted}" for _, wanted in claims if wanted not in text]


def render(version, rows):
    lines = [f"# nvcc {version}. Registers / spilled bytes / static shared memory; tests/cuda/compile_test.py --update.",
             "# " + " ".join(f"sm_{a}" for a in ARCHITECTURES)]
    for file in sorted(rows):
        names = sorted({name for name, _ in rows[file]})
        for name in names:
            cells = ["/".join(map(str, rows[file].get((name, a), ("-",)))) for a in ARCHITECTURES]
            lines.append(f"{file} {name.replace(' ', '')}: " + " ".join(cells))
    return "\n".join(lines) + "\n"


def check_flashinfer(nvcc, disassembler, headers):
    source = ROOT / "kernels" / "cuda" / FLASHINFER
    with tempfile.TemporaryDirectory() as folder:
        log, fatbin = compile_file(nvcc, source, folder, [headers])
        problems = missing_claims(nvcc, disassembler, source, fatbin, [headers])
    found = ENTRY.findall(log)
    print("\n".join(problems) or f"{len(found)} kernels, all architectures together: up to {max(int(f[3]) for f in found)} registers and "
          f"{max(int(f[2]) for f in found)} bytes spilled")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("nvcc")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--disassembler", nargs=2, metavar=("CUOBJDUMP", "NVDISASM"))
    parser.add_argument("--flashinfer", metavar="INCLUDE")
    options = parser.parse_args()
    if options.flashinfer:
        return check_flashinfer(options.nvcc, options.disassembler, options.flashinfer)
    version = re.search(r"V([\d.]+)", subprocess.run([options.nvcc, "--version"], capture_output=True, text=True,
                                                     check=True).stdout).group(1)
    sources = sorted(s for s in (ROOT / "kernels" / "cuda").glob("*.cu") if s.name != FLASHINFER)
    problems, rows = [], {}
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        for source, (log, fatbin) in zip(sources, pool.map(lambda s: compile_file(options.nvcc, s, folder), sources)):
            rows[source.name] = kernels(log)
            problems += [f"{source.name}: {p}" for p in missing_claims(options.nvcc, options.disassembler, source, fatbin)]
            problems += [f"{source.name}: {name} spills {r[1]} bytes on sm_{sm}"
                         for (name, sm), r in rows[source.name].items() if r[1] > MOST_SPILLED]
    table = render(version, rows)
    count = sum(len(r) for r in rows.values())
    if options.update:
        TABLE.write_text(table)
    elif f"nvcc {version}." not in TABLE.read_text().split("\n")[0]:
        print(f"resources.txt is of another nvcc than {version}: registers are not compared")
    elif TABLE.read_text() != table:
        old = set(TABLE.read_text().split("\n"))
        problems += ["resources.txt does not have: " + line for line in table.split("\n") if line not in old]
        problems.append("run tests/cuda/compile_test.py NVCC --update if this is meant")
    where = "SASS" if options.disassembler else "PTX (no disassembler at hand)"
    print("\n".join(problems) or f"{count} kernels for {len(ARCHITECTURES)} architectures; instructions checked in {where}")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
