"""A forkserver that still imports ends with its controller."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

CONTROLLER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
os.environ["PYTHONPATH"] = sys.argv[1]  # the forkserver is a program of its own
from autoloop.execution.local import LocalExecutor
from autoloop.records import pack
from autoloop.testing.engines import ToyContext, toy_space
from autoloop.domain import Candidate, Proposal
import numpy as np
pool = LocalExecutor(pack(ToyContext()), workers=1, limit_s=9,
                     module="autoloop.testing.engines", preload=("very_slow_module",))
parameters = toy_space().sample(np.random.default_rng(0))
proposal = Proposal(parents=(), mutation="assemble", parameters=parameters)
pool.submit(Candidate(id="0000-00", cycle=0, index=0, proposal=proposal))
time.sleep(600)
"""
SLOW = """
import os, time
from pathlib import Path
Path(__file__).with_name("pid").write_text(str(os.getpid()))
time.sleep(60)
"""


def test_a_controller_killed_during_the_imports(tmp_path: Path) -> None:
    (tmp_path / "very_slow_module.py").write_text(SLOW)
    told = tmp_path / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(tmp_path)]
    ) as controller:
        deadline = time.monotonic() + 60.0
        while not (told.exists() and told.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        controller.kill()
    forkserver = Path(f"/proc/{told.read_text()}")
    deadline = time.monotonic() + 5.0
    while forkserver.exists() and ") Z " not in (forkserver / "stat").read_text():
        assert time.monotonic() < deadline, "the forkserver lives on"
        time.sleep(0.02)


def test_importing_it_elsewhere_does_nothing() -> None:
    from autoloop.execution import preloading

    given = preloading.orders(["a", "b.c"])
    assert given[preloading.MODULES] == "a b.c"
    assert given[preloading.CONTROLLER] == str(os.getpid())
