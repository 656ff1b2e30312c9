"""`autoloop doctor`: a healthy machine, and every patient that it must recognise."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from autoloop.cli import checkup, main


def test_healthy_machine(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    status = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    sick = [c for c in found["checks"] if c["needed"] and not c["ok"]]
    assert sick == []
    assert (status, found["healthy"]) == (0, True)
    names = {check["name"] for check in found["checks"]}
    assert {"Python", "numpy", "LAMMPS", "LAMMPS packages", "SQLite"} <= names
    assert list(tmp_path.iterdir()) == []


def test_something_needed_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        importlib.metadata,
        "requires",
        lambda _: ["no-such-thing>=1", "x; extra == 't'"],
    )
    assert main(["doctor"]) == 3
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "no-such-thing" in line]
    assert line.startswith("missing")
    assert "not installed; run 'pip install -e .'" in line
    assert "or 'pip install \"no-such-thing>=1\"'" in line
    assert lines[-1].startswith("1 needed")


@pytest.mark.parametrize(
    ("requirement", "ok"),
    [
        ("numpy>=2.0", True),
        ("numpy", True),
        ("numpy>=99.1", False),
        ("rosettasciio[hdf5,image,tiff]>=0.9", True),
        ("lammps[mpi]>=2025.7.22", True),
    ],
)
def test_dependency_version(requirement: str, ok: bool) -> None:
    assert checkup.check_dependency(requirement).ok is ok


def test_broken_dependency_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is there but cannot be loaded, as after a half-done upgrade."""
    monkeypatch.setitem(sys.modules, "cattrs", None)
    check = checkup.check_dependency("cattrs>=24.1")
    assert not check.ok
    assert "cannot be imported" in check.sentence


def test_lammps_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import os, sys; print('libmpi.so.12: gone', file=sys.stderr); os.abort()"
    monkeypatch.setattr(checkup, "_START_LAMMPS", script)
    (check,) = checkup.check_lammps()
    assert not check.ok
    assert "does not start (status -6): libmpi.so.12: gone" in check.detail
    assert "lammps[mpi]" in check.remedy


def test_lammps_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_START_LAMMPS", "import time; time.sleep(60)")
    monkeypatch.setattr(checkup, "_LAMMPS_LIMIT_S", 0.2)
    (check,) = checkup.check_lammps()
    assert not check.ok
    assert "timed out" in check.detail


def test_lammps_without_manybody(monkeypatch: pytest.MonkeyPatch) -> None:
    script = """print('{"version": 1, "packages": ["MC"]}')"""
    monkeypatch.setattr(checkup, "_START_LAMMPS", script)
    starts, packages = checkup.check_lammps()
    assert starts.ok
    assert not packages.ok
    assert "MANYBODY" in packages.sentence


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that is gone refuses every user, the superuser as well."""
    gone = tmp_path / "gone"
    check = checkup.check_folder("current folder", gone, "change to a folder")
    assert not check.ok
    assert str(gone) in check.sentence
    assert not checkup.check_sqlite(gone).ok
    assert checkup.check_sqlite(tmp_path).detail.endswith("journal mode wal")


def test_release_numbers() -> None:
    assert checkup._release("0.9.7.post1") == (0, 9, 7)
    assert checkup._release("2.0") == checkup._release("2")
    assert checkup._release("2025.7.22.4.0") > checkup._release("2025.7.22")
