"""A real run, its commands on record, and its results in the files of others."""

from __future__ import annotations

import json
import shlex
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoloop.cli import main
from autoloop.journal import Journal
from autoloop.report.export import FORMATS


@pytest.fixture(scope="module")
def commands(experiments: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The commands of a run and of its extension; the run folder is in the first."""
    out = tmp_path_factory.mktemp("a run") / "it's"
    run_file = str(experiments / "quickstart.yaml")
    run = ["run", run_file, "--out", str(out), "--evaluations", "3", "--workers", "1"]
    resume = ["resume", str(out), "--evaluations", "4", "--workers", "1"]
    assert main(run) == 0
    assert main(resume) == 0
    return [shlex.join(["autoloop", *words]) for words in (run, resume)]


@pytest.fixture(scope="module")
def folder(commands: list[str]) -> Path:
    words = shlex.split(commands[0])
    return Path(words[words.index("--out") + 1])


def test_every_command_is_on_record(folder: Path, commands: list[str]) -> None:
    with Journal.read(folder / "journal.sqlite") as journal:
        found = journal.meta["commands"]
    assert found == [{"command": c, "folder": str(Path.cwd())} for c in commands]


def test_status_and_report_tell_them(
    folder: Path, commands: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from html import escape

    assert main(["status", str(folder), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert [entry["command"] for entry in status["commands"]] == commands
    page = (folder / "report.html").read_text()
    for command in commands:
        assert f"<code>{escape(command)}</code>" in page


def test_a_journal_without_commands_still_opens(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an older version wrote it: status, report and resume read it."""
    old = tmp_path / "old"
    old.mkdir()
    for name in ("journal.sqlite", "campaign.yaml"):
        (old / name).write_bytes((folder / name).read_bytes())
    with sqlite3.connect(old / "journal.sqlite") as connection:
        connection.execute("DELETE FROM meta WHERE key = 'commands'")
    connection.close()
    assert main(["status", str(old), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["commands"] == []
    assert main(["report", str(old), "-o", str(tmp_path / "page.html")]) == 0
    assert "<th>command</th>" not in (tmp_path / "page.html").read_text()
    assert main(["resume", str(old), "--workers", "1"]) == 0
    with Journal.read(old / "journal.sqlite") as journal:
        (entry,) = journal.meta["commands"]
    assert entry["command"] == shlex.join(
        ["autoloop", "resume", str(old), "--workers", "1"]
    )


@pytest.mark.parametrize("format", FORMATS)
def test_everything_can_be_exported(
    format: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if format in ("optuna", "chemiscope"):
        pytest.importorskip(format)
    path = tmp_path / "any name. at all"  # suffixes are the user's to choose
    assert main(["export", str(folder), "--format", format, "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_size > 0


def read_hspy(path: Path) -> dict[str, Any]:
    from rsciio.hspy import file_reader

    (found,) = file_reader(str(path))
    return dict(found)


def test_the_exported_image_is_that_of_best(folder: Path, tmp_path: Path) -> None:
    """The image simulated again for `export` is the one that lies in best/1."""
    from rsciio.tiff import file_reader

    path = tmp_path / "best.hspy"
    assert main(["export", str(folder), "--format", "hspy", "-o", str(path)]) == 0
    found = read_hspy(path)
    (expected,) = file_reader(str(folder / "best" / "1" / "image.tif"))
    np.testing.assert_array_equal(found["data"], expected["data"])
    scales = [axis["scale"] for axis in found["axes"]]
    # TIFF holds the pixel size as a fraction, to about seven digits.
    assert scales == pytest.approx([a["scale"] for a in expected["axes"]], rel=1e-6)


def test_the_exported_columns_are_those_of_best(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "best.csv"
    assert main(["export", str(folder), "--format", "csv", "-o", str(path)]) == 0
    assert path.read_text() == (folder / "best" / "1" / "columns.csv").read_text()


def test_the_study_has_every_evaluation(folder: Path, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    path = tmp_path / "run.db"
    assert main(["export", str(folder), "--format", "optuna", "-o", str(path)]) == 0
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{path}")
    with Journal.read(folder / "journal.sqlite") as journal:
        evaluations = list(journal.evaluations())
    assert len(study.trials) == len(evaluations) == 4
    for trial, evaluation in zip(study.trials, evaluations, strict=True):
        assert trial.user_attrs["id"] == evaluation.id
        if evaluation.cost is not None:
            assert trial.values[0] == pytest.approx(evaluation.cost)
        assert trial.params.items() <= dict(evaluation.proposal.parameters).items()
