"""`autoloop report`: writes the page and says where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloop.cli import main
from autoloop.journal import Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    meta = {"name": "toy", "state": "finished", "budget": 4, "policy": "random_search"}
    Journal.create(run / "journal.sqlite", meta=meta).close()
    return run


def test_says_where_the_page_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert "toy" in (folder / "report.html").read_text("utf-8")


def test_another_file(folder: Path, tmp_path: Path) -> None:
    assert main(["report", str(folder), "-o", str(tmp_path / "a.html")]) == 0
    assert (tmp_path / "a.html").is_file()
    assert not (folder / "report.html").exists()


def test_no_run_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds no run" in line


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--help"]) == 0
    assert "autoloop report runs/quickstart" in capsys.readouterr().out
