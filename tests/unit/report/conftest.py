"""A small run on disk, and the values it is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoloop.domain import (
    Bicrystal,
    Details,
    Evaluation,
    Image,
    Proposal,
    Score,
    candidate_id,
)
from autoloop.geometry import Frame
from autoloop.journal import Journal
from autoloop.protocols import Event, Outcome, Timing
from autoloop.records import pack
from autoloop.report.best import Finalist
from autoloop.report.figures import ColumnTable, View

FLAGS = (
    "wrong_species: 1 Te-Te contacts, the shortest 2.90 Å",
    "wrong_species: 2 Cd-Cd contacts, the shortest 3.10 Å",
    "whole_columns: annealed in a cell 4.6 Å deep",
)


def make_bicrystal(seed: int = 0, *, low: float = 7.0) -> Bicrystal:
    """A slab of two species, 20 Å thick, in a cell with vacuum along y."""
    rng = np.random.default_rng(seed)
    cell = np.diag([11.43, 41.7, 3.615])
    positions = rng.random((17, 3)) * [11.43, 20.0, 3.615] + [0.0, low, 0.0]
    return Bicrystal(
        numbers=rng.choice([48, 52], 17),
        positions=positions,
        cell=cell,
        boundary_height=low + 10.0,
        grains=np.where(positions[:, 1] > low + 10.0, 1, 2),
        regions=np.zeros(17, int),
    )


def make_outcome(
    index: int,
    *,
    cycle: int = 0,
    cost: float | None = None,
    fingerprint: str = "",
    energy: float | None = None,
    flags: tuple[str, ...] = (),
    **fate: str,
) -> Outcome:
    name = candidate_id(cycle, index)
    score = None
    if cost is not None:
        known = cost + 0.5 if energy is None else energy
        score = Score(ssim=0.9, energy_j_per_m2=known)
    evaluation = Evaluation(
        id=name,
        cycle=cycle,
        index=index,
        proposal=Proposal(parents=(), mutation="assemble", parameters={"x": index}),
        score=score,
        cost=cost,
        fingerprint=fingerprint,
        flags=flags,
        **fate,
    )
    details = Details(
        bicrystal=make_bicrystal(10 * cycle + index), excess_energies=np.zeros(17)
    )
    return Outcome(
        evaluation=evaluation,
        details=None if cost is None else details,
        timing=Timing(wall_s=2.0, cpu_s=1.5, relax_cpu_s=0.25),
    )


@pytest.fixture
def bicrystal() -> Bicrystal:
    return make_bicrystal()


@pytest.fixture
def outcomes() -> list[Outcome]:
    """Six evaluations: four scored, of which two are the same structure."""
    return [
        make_outcome(0, cost=0.7, fingerprint="a"),
        make_outcome(1, failure="LostAtoms: 3 of 17 atoms left the cell"),
        make_outcome(2, cost=0.3, fingerprint="b", flags=FLAGS[:1]),
        make_outcome(0, cycle=1, cost=0.5, fingerprint="c", flags=FLAGS),
        make_outcome(1, cycle=1, duplicate_of="0000-00"),
        make_outcome(2, cycle=1, cost=0.4, energy=0.8, fingerprint="b"),
    ]


@pytest.fixture
def run_folder(tmp_path: Path, outcomes: list[Outcome]) -> Path:
    folder = tmp_path / "runs" / "toy"
    folder.mkdir(parents=True)
    meta = {"name": "toy", "state": "finished", "budget": 6, "policy": "random_search"}
    with Journal.create(folder / "journal.sqlite", meta=meta) as journal:
        for outcome in outcomes:
            journal.record(outcome)
    return folder


@pytest.fixture
def view() -> View:
    """A picture wider than high, with a smoothed copy as its simulation."""
    rng = np.random.default_rng(3)
    values = rng.random((40, 64))
    mask = np.zeros((40, 64), bool)
    mask[5:35, 10:50] = True
    return View(
        measured=Image(values=values, pixel_size=0.2),
        simulated=Image(values=0.5 * values + 0.25, pixel_size=0.2),
        mask=mask,
        corner_px=(100.0, 50.0),
        frame=Frame(origin_px=(132.0, 70.0), pixel_size=0.2, angle_deg=10.0),
        columns=ColumnTable(
            positions_px=np.array([[112.25, 60.5], [120.0, 70.125], [130.0, 80.0]]),
            elements=("Cd", "Te", "CdTe"),
            masses=np.array([719.5, 826.4, 1545.9]),
        ),
    )


@pytest.fixture
def finalist(outcomes: list[Outcome], view: View) -> Finalist:
    best = outcomes[2]
    assert best.details is not None
    return Finalist(rank=1, evaluation=best.evaluation, details=best.details, view=view)


class Story:
    """Tells a run as the controller does, and counts along."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {
            "n_done": 0,
            "n_failed": 0,
            "n_duplicates": 0,
            "best": None,
        }

    def start(self, **known: object) -> Event:
        self.told |= known
        data = {"name": "toy", "policy": "RandomSearch", "budget": 9, **self.told}
        return Event(name="run_started", cycle=0, data=data)

    def proposed(self, cycle: int, *reasons: str) -> Event:
        proposals = [{"id": candidate_id(cycle, 0), "reason": r} for r in reasons]
        return Event(name="cycle_proposed", cycle=cycle, data={"proposals": proposals})

    def evaluation(
        self, evaluation: Evaluation, wall_s: float | None = None, **extra: object
    ) -> Event:
        best = self.told["best"]
        if evaluation.cost is not None and (
            best is None or evaluation.cost < best["cost"]
        ):
            best = {"id": evaluation.id, "cost": evaluation.cost}
        self.told = {
            "n_done": self.told["n_done"] + 1,
            "n_failed": self.told["n_failed"] + (evaluation.failure is not None),
            "n_duplicates": self.told["n_duplicates"]
            + (evaluation.duplicate_of is not None),
            "best": best,
        }
        data = {**json.loads(pack(evaluation).text), "wall_s": wall_s}
        return Event(
            name="evaluation",
            cycle=evaluation.cycle,
            data={**data, **self.told, **extra},
        )

    def finish(self, reason: str) -> Event:
        data = {"reason": reason, **self.told}
        return Event(name="run_finished", cycle=3, data=data)


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def evaluated() -> Callable[..., Evaluation]:
    """Make an evaluation of cycle 12, with the score of the log's example."""

    def make(index: int = 3, mutation: str = "translate", **fate: Any) -> Evaluation:
        if "cost" in fate:
            score = {"ssim": 0.873, "emd_angstrom_per_column": 1.92}
            fate = {
                "score": Score(**score, energy_j_per_m2=0.912),
                **fate,
            }
        return Evaluation(
            id=candidate_id(12, index),
            cycle=12,
            index=index,
            proposal=Proposal(parents=(), mutation=mutation, parameters={}),
            **fate,
        )

    return make
