"""The short form of the benchmark of reliability loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")
pytest.importorskip("cryptography")


@pytest.mark.slow
def test_nothing_is_lost(experiments: Path) -> None:
    script = experiments / "benchmarks" / "reliability.py"
    done = subprocess.run(
        [sys.executable, str(script), "--quick"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] > 30
    for name in ("lost", "corrupt", "orphans", "different", "innocent_lost"):
        assert told[name] == 0, name
    assert told["reader_errors"] == 0
    # Ended in order, as soon as it had proposed the next cycle.
    assert told["parts"]["monitor"]["resume_status"] == 130
    # On a busy machine children start late; then nothing but its load delays them.
    assert told["parts"]["slots"]["busy_percent_filled"] > 50
    faulty = told["parts"]["faulty local"]
    assert faulty["accounted"] == faulty["candidates"]
    # Two at first, one in place of the one that is killed, one that is added.
    assert told["parts"]["dask workers"]["workers_used"] == 4
