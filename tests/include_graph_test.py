#!/usr/bin/env python3
"""include_graph.py must find a wrong edge: a check that cannot fail checks nothing."""

import pathlib
import subprocess
import sys
import tempfile

CASES = {
    "base/a.h": '#include "net/b.h"\n',
    "net/c.cc": '#include "engine/step.h"\n',
    "model/d.cc": '#include "cluster/launch/world.h"\n',
    "engine/e.h": "#include <boost/asio/io_context.hpp>\n",
    "cluster/host/g.cc": '#include "cluster/launch/world.h"\n',
    "engine/leader/i.cc": "#include <engine/step.h>\n",
    "app/f.cc": '#include "tests/support/goldens.h"\n',
}

for name, text in CASES.items():
    with tempfile.TemporaryDirectory() as root:
        for header in ("net/b.h", "engine/step.h", "cluster/launch/world.h", name):
            path = pathlib.Path(root, header)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if header == name else "")
        run = subprocess.run([sys.executable, pathlib.Path(__file__).with_name("include_graph.py"), root])
        assert run.returncode == 1, f"{name} was allowed: {text}"
