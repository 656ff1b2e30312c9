from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import autoloop
from autoloop.report.export import to_atoms

from .conftest import SETTINGS


@pytest.fixture(scope="module")
def session(of_array: autoloop.Campaign) -> Iterator[autoloop.Session]:
    """A session on the image as an array, otherwise as the run `finished`."""
    kept = {k: v for k, v in SETTINGS.items() if k not in ("name", "micrograph")}
    with of_array.replace(**kept, boundary=None).ask_tell() as session:
        yield session


@pytest.fixture(scope="module")
def first(session: autoloop.Session) -> list[autoloop.Candidate]:
    """What it proposes in its first cycle."""
    return session.ask(2)


def test_ask_and_tell_repeat_the_run(
    by_energy: autoloop.Campaign, finished_by_energy: autoloop.Run, tmp_path: Path
) -> None:
    """Same batches, no lag, no screening: the same evaluations, to the last digit.

    Half way the session is closed and opened again.
    """
    with by_energy.ask_tell(out=tmp_path / "run") as session:
        first = session.ask(2)
        assert session.pending[0].id == first[0].id
        # told in the other order: it does not count
        for outcome in reversed(session.evaluate(first)):
            session.tell(outcome)
        assert session.pending == ()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.ask(1)
    run = autoloop.open_run(tmp_path / "run")
    assert run.state == "finished"
    assert run.statements
    with run.ask_tell() as session:
        assert [c.id for c in session.ask(2)] == ["0001-00", "0001-01"]
        for candidate in session.pending:
            session.tell(session.evaluate(candidate))
    assert run.history == finished_by_energy.history
    with pytest.raises(autoloop.JournalError, match="driven from Python"):
        run.resume(progress=False, report=False)
    with pytest.raises(autoloop.JournalError, match="no session"):
        finished_by_energy.ask_tell()


def test_an_array_is_searched_as_its_file_is(
    session: autoloop.Session,
    first: list[autoloop.Candidate],
    image: Path,
    finished: autoloop.Run,
) -> None:
    # the same pixels, settings and seed: the same numbers
    assert session.evaluate(first[0]).evaluation == finished.history[0]
    values = autoloop.read_micrograph(image, pixel_size=0.1734).image.values
    kept = np.load(session.run.folder / "micrograph.npy")
    assert np.array_equal(kept, values)


def test_without_a_folder_nothing_stays(by_energy: autoloop.Campaign) -> None:
    with by_energy.ask_tell() as session:
        session.ask(1)
        folder = session.run.folder
        assert folder.exists()
    assert folder.exists()  # the run can still be looked at
    del session
    gc.collect()
    assert not folder.exists()


def test_results_of_ones_own_are_imaged_and_scored(
    session: autoloop.Session, first: list[autoloop.Candidate]
) -> None:
    candidate, other = first
    assert len(candidate.atoms.constraints) == 1
    outcome = session.evaluate(candidate)
    known, details = outcome.evaluation, outcome.details
    assert known.score is not None
    assert details is not None
    relaxed = to_atoms(details.bicrystal)
    assert len(relaxed) == len(candidate.atoms)
    energy = known.score.energy_j_per_m2
    relaxed.positions[::3] += relaxed.cell[0] - 2 * relaxed.cell[2]  # as if wrapped
    told = session.tell(candidate, atoms=relaxed, energy_j_per_m2=energy)
    # rounding: atoms are brought back by whole cells
    assert told.cost == pytest.approx(known.cost, abs=1e-9)
    failed = session.tell(other, failure="did not converge")
    assert failed.failure == "told: did not converge"
    assert [e.id for e in session.run.history][-2:] == [told.id, failed.id]
    best = session.run.best
    assert best is not None
    # the journal keeps what was told, brought back
    assert np.ptp(best.atoms.positions[:, 0]) < 1.5 * best.atoms.cell[0, 0]


def test_what_cannot_be_told_is_refused(
    session: autoloop.Session, first: list[autoloop.Candidate]
) -> None:
    (candidate,) = session.ask(1)  # after the first cycle
    atoms = candidate.atoms
    with pytest.raises(ValueError, match="give energy_j_per_m2"):
        session.tell(candidate, atoms=atoms)
    with pytest.raises(ValueError, match="give the relaxed atoms"):
        session.tell(candidate, energy_j_per_m2=1.0)
    with pytest.raises(ValueError, match="are not the"):
        session.tell(candidate, atoms=atoms[:-1], energy_j_per_m2=1.0)
    strained = atoms.copy()
    strained.set_cell(strained.cell * 1.01)
    with pytest.raises(ValueError, match="relax in a fixed cell"):
        session.tell(candidate, atoms=strained, energy_j_per_m2=1.0)
    with pytest.raises(ValueError, match="at least 1"):
        session.ask(0)
    # a structure that is not there: recorded with the reason, as in a run
    moved = atoms.copy()
    moved.positions[:, 0] += np.linspace(0.0, 2.5, len(moved))
    moved.positions[:, 1] *= 1.2
    told = session.tell(candidate, atoms=moved, energy_j_per_m2=1.0)
    assert (told.failure or "").startswith("not_registered")


def test_the_seed_decides(by_energy: autoloop.Campaign) -> None:
    def asked(seed: int) -> list[dict[str, object]]:
        with by_energy.ask_tell(seed=seed) as session:
            return [dict(c.parameters) for c in session.ask(3)]

    first = asked(5)
    assert first == asked(5)
    assert first != asked(6)
