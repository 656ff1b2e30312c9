"""`autoloop status`: once, followed, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoloop.cli import main, status

RUNNING = {"name": "x", "state": "running", "evaluations": 3}


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let the run of the folder go through given states, one for each look."""
    coming: list[dict[str, Any]] = []
    looks: Iterator[dict[str, Any]] = iter(coming)

    def read_status(folder: Path) -> dict[str, Any]:
        assert folder == Path("d")
        return next(looks)

    import autoloop.report.status

    monkeypatch.setattr(autoloop.report.status, "read_status", read_status)
    monkeypatch.setattr(
        autoloop.report.status,
        "format_status",
        lambda state: f"{state['state']} {state['evaluations']}\n",
    )
    monkeypatch.setattr(status, "INTERVAL_S", 0.0)
    return coming


def test_once(states: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    states += [RUNNING]
    assert main(["status", "d"]) == 0
    assert capsys.readouterr().out == "running 3\n"


def test_json(states: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    states += [RUNNING]
    assert main(["status", "d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == RUNNING


@pytest.mark.parametrize("end", ["finished", "interrupted"])
def test_follow_ends_with_the_run_and_shows_changes_only(
    end: str, states: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    later = RUNNING | {"evaluations": 4}
    states += [RUNNING, RUNNING, later, later | {"state": end}]
    assert main(["status", "d", "--follow"]) == 0
    assert capsys.readouterr().out == f"running 3\nrunning 4\n{end} 4\n"
