"""The answer of a run: which structures remain possible, and how much each is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison import (
    BAND,
    EDGE,
    RESOLVED,
    Comparison,
    NoiseFloor,
    Target,
    frame_of,
)
from autoloop.domain import Bicrystal, Columns, Score
from autoloop.evaluation import Evaluator
from autoloop.geometry import Frame
from autoloop.report.best import Finalist
from autoloop.report.differences import differences
from autoloop.report.floor import (
    floor_of,
    floor_statement,
    floor_table,
    unexplained_statement,
)
from autoloop.report.refit import refit_of
from autoloop.scoring.emd import capped_emd, merge_close
from autoloop.scoring.weights import ColumnEvidence, credible_set, shows_bulk, weights

SHARE: Final = 0.9
"""Of the weight that the structures of the answer hold together."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a run found, as a set.

    Attributes
    ----------
    finalists : tuple of Finalist
        Ranked by cost, each with its weight.
    members : tuple of int
        Ranks of the fewest finalists that hold `SHARE` of the weight, heaviest first.
    statements : tuple of str
        For people, one sentence each; the first is the verdict.
    floor : NoiseFloor, optional
        What the best one would score if it were the truth.
    """

    finalists: tuple[Finalist, ...]
    members: tuple[int, ...]
    statements: tuple[str, ...]
    floor: NoiseFloor | None = None

    def table(self) -> dict[str, object]:
        """Return what is worth keeping as JSON values."""
        return {
            "members": list(self.members),
            "share": SHARE,
            "weights": {str(f.rank): f.weight for f in self.finalists},
            "evaluations": {str(f.rank): f.evaluation.id for f in self.finalists},
            "statements": list(self.statements),
            "noise_floor": floor_table(self.floor),
        }


def answer(evaluator: Evaluator, pool: Sequence[Finalist], n: int) -> Answer | None:
    """Weigh structures against each other and choose the finalists.

    Parameters
    ----------
    evaluator : Evaluator
        Of the run.
    pool : sequence of Finalist
        Distinct structures by cost, more than are wanted.
    n : int
        How many of lowest cost are finalists; with them come all that belong to the
        set of `SHARE`.

    Returns
    -------
    Answer, optional
        None if the pool is empty.
    """
    if not pool:
        return None
    found = weights(_evidence(evaluator, pool), _energies(evaluator, pool))
    within = set(credible_set(found, SHARE))
    kept = [i for i in range(len(pool)) if i < n or i in within]
    finalists = tuple(
        replace(
            pool[i],
            rank=rank,
            weight=float(found[i]),
            refit=refit_of(evaluator, pool[i].details.bicrystal),
        )
        for rank, i in enumerate(kept, start=1)
    )
    order = sorted(within, key=lambda i: (-found[i], i))
    members = tuple(kept.index(i) + 1 for i in order)
    floor = floor_of(evaluator, pool[0].details.bicrystal)
    open_ = unexplained_statement(floor, [f.evaluation.score for f in finalists])
    said = (
        open_,
        *_statements(finalists, members, explained=open_ is None),
        floor_statement(floor, pool[0].evaluation.score),
    )
    return Answer(
        finalists=finalists,
        members=members,
        statements=tuple(each for each in said if each is not None),
        floor=floor,
    )


def _evidence(
    evaluator: Evaluator, pool: Sequence[Finalist]
) -> list[ColumnEvidence] | None:
    """Return what the image says of each; None if it shows no bulk to judge by."""
    comparison, target = evaluator.comparison, evaluator.context.target
    if comparison is None or target is None:
        return None
    found = [column_evidence(comparison, target, f.details.bicrystal) for f in pool]
    return found if any(shows_bulk(evidence) for evidence in found) else None


def _energies(evaluator: Evaluator, pool: Sequence[Finalist]) -> list[float] | None:
    """Return boundary energies [J/m²], unless the run file gives them no say."""
    if evaluator.context.objective.energy == 0:
        return None
    known = [(f.evaluation.score or Score()).energy_j_per_m2 for f in pool]
    energies = [energy for energy in known if energy is not None]
    return energies if len(energies) == len(pool) else None


def _statements(
    finalists: Sequence[Finalist], members: Sequence[int], *, explained: bool = True
) -> list[str]:
    named = {f.rank: f for f in finalists}
    shares = {f.rank: f"{100 * (f.weight or 0.0):.0f} %" for f in finalists}
    first = named[members[0]]
    if len(members) == 1:
        alone = "explains the data" if explained else "is nearest to the data"
        return [
            f"one structure of those found {alone}: best/{first.rank} holds "
            f"{shares[first.rank]} of the weight",
            *_two_orders(first.rank, shares),
        ]
    together = sum(named[rank].weight or 0.0 for rank in members)
    said = [
        f"the data cannot tell {len(members)} structures apart: "
        f"{', '.join(f'best/{rank}' for rank in members)} hold {100 * together:.0f} % "
        "of the weight",
        *_two_orders(first.rank, shares),
    ]
    for rank in members[1:]:
        said.append(
            f"best/{rank} ({shares[rank]}) against best/{first.rank} "
            f"({shares[first.rank]}): {differences(first, named[rank])}"
        )
    return said


def _two_orders(first: int, shares: Mapping[int, str]) -> list[str]:
    """Say why the structure of largest weight is not number 1, where it is not."""
    if first == 1:
        return []
    return [
        f"best/{first} has the largest weight ({shares[first]}), best/1 "
        f"({shares[1]}) the lowest cost, by which they are numbered: cost mixes SSIM, "
        "EMD and energy as the objective says, weight asks how probable columns and "
        "energy are; look at both before you name one"
    ]


def column_evidence(
    comparison: Comparison, target: Target, bicrystal: Bicrystal
) -> ColumnEvidence:
    """Hold the columns of the micrograph against those of one structure.

    Log intensities are relative to the median over the bulk: a gain says nothing of a
    structure.
    """
    from scipy.spatial import cKDTree

    placement = comparison.place(bicrystal)
    region = _Region.of(comparison, target)
    drawn = placement.columns
    merged = merge_close(
        drawn, RESOLVED * target.column_width / region.frame.pixel_size
    )
    labels = placement.labels[cKDTree(drawn.positions).query(merged.positions)[1]]
    simulated, inside = region.inside(merged)
    labels = labels[inside]
    measured, _ = region.inside(target.columns)
    edges = region.at_edge(measured), region.at_edge(simulated)
    a, b = region.in_frame(measured), region.in_frame(simulated)
    pairs = capped_emd(a, b, *edges).pairs
    rows = np.column_stack(
        (
            a.positions[pairs[:, 0]] - b.positions[pairs[:, 1]],
            np.log(np.maximum(a.intensities[pairs[:, 0]], 1e-12))
            - np.log(np.maximum(b.intensities[pairs[:, 1]], 1e-12)),
        )
    )
    bulk = np.abs(b.positions[pairs[:, 1], 1]) > BAND
    rows[:, 2] -= np.median(rows[bulk, 2] if bulk.any() else rows[:, 2])
    alone_a = _alone(len(a), pairs[:, 0]) & ~edges[0]
    alone_b = _alone(len(b), pairs[:, 1]) & ~edges[1]
    n_a, n_b = int(alone_a.sum()), int(alone_b.sum())
    own_sites = np.arange(n_a) + 1 + (int(labels.max()) if len(labels) else 0)
    return ColumnEvidence(
        sites=np.concatenate((labels[pairs[:, 1]], own_sites, labels[alone_b])),
        residuals=np.vstack((rows, np.full((n_a + n_b, 3), np.nan))),
        bulk=np.concatenate(
            (
                bulk,
                np.abs(a.positions[alone_a, 1]) > BAND,
                np.abs(b.positions[alone_b, 1]) > BAND,
            )
        ),
    )


def _alone(n: int, taken: NDArray[np.int64]) -> Flags:
    alone = np.ones(n, bool)
    alone[taken] = False
    return alone


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Region:
    """Where columns of micrograph and structure are held against each other.

    Attributes
    ----------
    room : (n_y, n_x) float array
        Distance from each pixel of the crop to the edge of the region [pixels].
    offset_px : (int, int)
        x and y of the crop's first pixel in the whole image.
    frame : Frame
        Of the micrograph.
    """

    room: NDArray[np.float64]
    offset_px: tuple[int, int]
    frame: Frame

    @classmethod
    def of(cls, comparison: Comparison, target: Target) -> _Region:
        from scipy.ndimage import distance_transform_edt

        padded = np.pad(comparison.region, 1)  # the end of the crop is an edge too
        return cls(
            room=np.asarray(distance_transform_edt(padded))[1:-1, 1:-1],
            offset_px=target.offset_px,
            frame=frame_of(target.reading),
        )

    def inside(self, columns: Columns) -> tuple[Columns, Flags]:
        """Return the columns in the region, and which these are."""
        kept = self._room_at(columns) > 0
        return (
            Columns(
                positions=columns.positions[kept], intensities=columns.intensities[kept]
            ),
            kept,
        )

    def at_edge(self, columns: Columns) -> Flags:
        """Whether columns are so near the edge that a partner may lie outside."""
        return np.asarray(self._room_at(columns) * self.frame.pixel_size < EDGE)

    def in_frame(self, columns: Columns) -> Columns:
        """Return columns in the boundary frame [Å]."""
        return Columns(
            positions=self.frame.to_boundary(columns.positions),
            intensities=columns.intensities,
        )

    def _room_at(self, columns: Columns) -> NDArray[np.float64]:
        x, y = np.rint(columns.positions - self.offset_px).astype(int).T
        n_y, n_x = self.room.shape
        found = np.zeros(len(x))
        seen = (x >= 0) & (x < n_x) & (y >= 0) & (y < n_y)
        found[seen] = self.room[y[seen], x[seen]]
        return found
