from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import autoloop


def test_results_are_objects_of_other_programs(finished: autoloop.Run) -> None:
    from ase import Atoms

    assert finished.state == "finished"
    best = finished.best
    assert best is not None
    assert best is finished.finalists[0]
    assert best.cost == min(e.cost for e in finished.history if e.cost is not None)
    atoms = best.atoms
    assert isinstance(atoms, Atoms)
    assert list(atoms.pbc) == [True, False, True]
    assert set(atoms.arrays["grain"]) == {1, 2}
    assert np.array_equal(finished.atoms(best.id).positions, atoms.positions)
    assert best.image is not None
    assert best.measured is not None
    assert best.compared is not None
    assert best.image.values.shape == best.measured.values.shape
    residual = best.residual
    assert residual is not None
    assert np.isnan(residual).sum() == (~best.compared).sum()
    assert best.columns is not None
    assert set(best.columns.elements) == {"Cu"}
    assert sum(f.weight or 0.0 for f in finished.finalists) == pytest.approx(1.0)


def test_evaluations_are_a_table(finished: autoloop.Run) -> None:
    table = finished.evaluations
    assert list(table.index) == [e.id for e in finished.history]
    assert len(table) == 4
    assert table["cost"].dtype == float
    best = finished.best
    assert best is not None
    assert table["cost"].idxmin() == best.id
    assert (table["wall_s"] > 0).any()
    columns = best.column_table
    assert columns is not None
    assert list(columns) == ["x_px", "y_px", "element", "mass"]


def test_without_pandas_the_remedy_is_named(
    finished: autoloop.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        autoloop.InstallationError, match=r"pip install 'autoloop\[notebook\]'$"
    ):
        _ = finished.evaluations


def test_the_verdict_is_that_of_the_run(finished: autoloop.Run) -> None:
    assert finished.statements
    assert finished.statements[0][1:] in finished.verdict
    assert finished.status["answer"]["statements"] == list(finished.statements)


def test_the_report_is_written_where_it_is_said(
    finished_by_energy: autoloop.Run,
) -> None:
    assert not (finished_by_energy.folder / "report.html").exists()
    page = finished_by_energy.report()
    assert page == finished_by_energy.folder / "report.html"
    assert "energy" in page.read_text()


def test_html_shows_images_and_escapes(finished: autoloop.Run) -> None:
    best = finished.best
    assert best is not None
    for shown in (finished._repr_html_(), best._repr_html_()):
        assert shown.count("data:image/png;base64,") == 2
        assert len(shown) < 400_000
        assert "http" not in shown
        assert "<script" not in shown


def test_callbacks_hear_what_is_on_disk(
    finished: autoloop.Run, heard: list[tuple[str, int]]
) -> None:
    assert sorted(id_ for id_, _ in heard) == [e.id for e in finished.history]
    assert [n for _, n in heard] == [1, 2, 3, 4]


def test_open_run_reads_the_same_and_refuses_nothing_there(
    finished: autoloop.Run, tmp_path: Path
) -> None:
    assert autoloop.open_run(finished.folder).history == finished.history
    with pytest.raises(autoloop.JournalError, match="holds no run"):
        autoloop.open_run(tmp_path)


def test_a_folder_with_a_run_is_not_overwritten(
    campaign: autoloop.Campaign, finished: autoloop.Run
) -> None:
    with pytest.raises(autoloop.JournalError, match=r"autoloop\.open_run\('.*'\)\.res"):
        campaign.run(out=finished.folder, progress=False, report=False)


def test_stopped_and_failing_callbacks_lose_nothing_and_resume_to_the_same(
    by_energy: autoloop.Campaign, finished_by_energy: autoloop.Run, tmp_path: Path
) -> None:
    def stop(run: autoloop.Run, evaluation: autoloop.Evaluation) -> None:
        run.stop()

    run = by_energy.run(
        out=tmp_path / "run", callbacks=[stop], progress=False, report=False
    )
    assert (run.state, run.status["ended"]) == ("interrupted", "callback")
    n_before = len(run.history)
    assert 1 <= n_before < 4
    assert (run.folder / "best" / "1" / "structure.extxyz").exists()

    def fail(run: autoloop.Run, evaluation: autoloop.Evaluation) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        run.resume(callbacks=[fail], progress=False, report=False)
    assert "open_run" in caught.value.__notes__[0]
    assert run.state == "interrupted"
    assert len(run.history) == n_before + 1

    assert run.resume(progress=False, report=False).state == "finished"
    assert run.history == finished_by_energy.history
