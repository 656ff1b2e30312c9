"""`autoloop validate`: its one line, its warnings, its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoloop.cli import main

RUN = """\
name: al_s5
grains:
  - {crystal: Al, zone_axis: [0, 0, 1], up: [3, 1, 0]}
  - {crystal: Al, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Al_zhou.eam.alloy}
policy: random_search
search: {batch: 1, lag: 0}
budget: {evaluations: 20}
execution: {workers: 3}
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "al.yaml"
    path.write_text(RUN)
    return path


def test_summary_and_warning(
    run_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(run_file)]) == 0
    out, err = capsys.readouterr()
    assert out == (
        f"{run_file}: valid: al_s5: Al on Al, energy by Al_zhou.eam.alloy, policy "
        "random_search, 20 evaluations in batches of 1, 3 workers\n"
    )
    assert err.startswith(f"autoloop: warning: {run_file}: search: batch x (lag + 1)")


def test_json(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(run_file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["valid"], found["errors"]) == (True, [])
    assert len(found["warnings"]) == 1
    assert found["campaign"]["energy"]["mu_fraction"] == 0.5


def test_json_of_a_wrong_file(
    run_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_file.write_text(RUN.replace("batch: 1", "batch: 0").replace("name", "nam"))
    assert main(["validate", str(run_file), "--json"]) == 2
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["valid"], found["campaign"], err) == (False, None, "")
    assert len(found["errors"]) == 2  # the misspelt key, not that it lacks; the batch
    assert all(error.startswith(f"{run_file}:") for error in found["errors"])
