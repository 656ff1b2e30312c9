"""All evaluations in memory, as policies see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from operator import attrgetter
from typing import Final

from autoloop.domain import Details, Evaluation, Proposal, Score

_SAME: Final = {
    "energy_j_per_m2": 0.003,  # what a relaxation leaves, and thermal rattling hides
    "gamma_excess_per_nm2": 1e-3,
    "ssim": 0.01,
    "emd_angstrom_per_column": 0.03,
}
"""Differences below which two evaluations show one structure, in the score's units."""
_APART: Final = tuple(_SAME.values())
_same: Final = attrgetter(*_SAME)  # `alike` is asked 100,000 times for a long archive


def alike(a: Evaluation, b: Evaluation) -> bool:
    """Whether two evaluations ended in the same structure, as far as was measured.

    Tolerances instead of a hash: equal structures relax to slightly different numbers,
    and any rounding has an edge that separates some of them.
    """
    if a.score is None or b.score is None:
        return False
    n_compared = 0
    for x, y, tolerance in zip(_same(a.score), _same(b.score), _APART, strict=True):
        if x is None or y is None:
            if x is not y:
                return False
            continue
        if abs(x - y) > tolerance:
            return False
        n_compared += 1
    return n_compared > 0


def rank(evaluation: Evaluation) -> tuple[float, int, int]:
    """Return what scored evaluations are ordered by, the best first."""
    if evaluation.cost is None:
        raise ValueError(f"evaluation {evaluation.id} has no cost")
    return evaluation.cost, evaluation.cycle, evaluation.index


def image_cost(score: Score) -> float | None:
    """Return how far an image is from the measured one, the energy left out.

    1 - SSIM, and half of the earth mover's distance over 1.5 Å, as by default in the
    cost. None without an image.

    Examples
    --------
    >>> image_cost(Score(ssim=0.9, emd_angstrom_per_column=0.3))
    0.2
    """
    if score.ssim is None and score.emd_angstrom_per_column is None:
        return None
    unlike = 0.0 if score.ssim is None else 1.0 - score.ssim
    apart = (score.emd_angstrom_per_column or 0.0) / 1.5
    return round(unlike + 0.5 * apart, 12)


def _objectives(evaluation: Evaluation) -> tuple[float, float]:
    """Return image cost and boundary energy of a scored evaluation; 0 if unmeasured."""
    score = evaluation.score or Score()
    return image_cost(score) or 0.0, score.energy_j_per_m2 or 0.0


def _no_details(evaluation_id: str) -> Details:
    raise KeyError(f"no details are stored for evaluation {evaluation_id}")


class Archive:
    """Evaluations ordered by (cycle, index), whatever order they came in.

    Parameters
    ----------
    evaluations : iterable of Evaluation
        What is known.
    pending : iterable of Proposal
        Proposed already, result not visible yet.
    load_details : callable
        From an id to its `Details`; raises KeyError if there are none.
    """

    def __init__(
        self,
        evaluations: Iterable[Evaluation] = (),
        *,
        pending: Iterable[Proposal] = (),
        load_details: Callable[[str], Details] = _no_details,
    ) -> None:
        ordered = sorted(evaluations, key=lambda e: (e.cycle, e.index))
        self._by_id = {e.id: e for e in ordered}
        self._pending = tuple(pending)
        self._load_details = load_details
        # An archive never changes, and policies ask it again and again.
        self._scored: tuple[Evaluation, ...] | None = None
        self._ranked: list[Evaluation] | None = None

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, evaluation_id: object) -> bool:
        return evaluation_id in self._by_id

    def __getitem__(self, evaluation_id: str) -> Evaluation:
        return self._by_id[evaluation_id]

    @property
    def pending(self) -> tuple[Proposal, ...]:
        """Proposals whose results are not visible yet, oldest first."""
        return self._pending

    @property
    def scored(self) -> tuple[Evaluation, ...]:
        """Evaluations that have a cost."""
        if self._scored is None:
            self._scored = tuple(e for e in self if e.cost is not None)
        return self._scored

    @property
    def failed(self) -> tuple[Evaluation, ...]:
        """Evaluations that ended with a reason instead of a score."""
        return tuple(e for e in self if e.failure is not None)

    def with_pending(self, proposals: Iterable[Proposal]) -> Archive:
        """Return the same archive with more proposals pending."""
        same = copy(self)
        same._pending = (*self._pending, *proposals)
        return same

    def best(self, n: int = 1) -> list[Evaluation]:
        """Return the `n` distinct structures of lowest cost, best first.

        Of several evaluations that are `alike` the one of lowest cost stands for all.
        """
        if self._ranked is None:
            self._ranked = sorted(self.scored, key=rank)
        chosen: list[Evaluation] = []
        for evaluation in self._ranked:
            if len(chosen) == n:
                break
            if not any(alike(evaluation, other) for other in chosen):
                chosen.append(evaluation)
        return chosen

    def front(self, n: int) -> list[Evaluation]:
        """Return distinct structures that none betters in both image and energy.

        The Pareto front of `image_cost` against boundary energy, lowest cost first, at
        most `n` of them. Where only one of the two was measured it is the best alone.
        """
        # In order of energy, those whose image is better than that of all before.
        placed = sorted(
            ((*_objectives(e), e) for e in self.scored),
            key=lambda row: (row[1], row[0], row[2].cycle, row[2].index),
        )
        kept: list[Evaluation] = []
        lowest = float("inf")
        for image, _, evaluation in placed:
            if image < lowest and not any(alike(evaluation, other) for other in kept):
                kept.append(evaluation)
            lowest = min(lowest, image)
        kept.sort(key=rank)
        return kept[:n]

    def details(self, evaluation_id: str) -> Details:
        """Return the relaxed bicrystal and column residuals of an evaluation.

        Raises
        ------
        KeyError
            If there are none: a failure, a duplicate, or an unknown id.
        """
        return self._load_details(evaluation_id)


class Counts:
    """What evaluations amount to, one more at a time.

    Attributes
    ----------
    n_done, n_failed, n_duplicates : int
        The first counts all.
    best : Evaluation, optional
        Of lowest cost.
    """

    def __init__(self) -> None:
        self.n_done = self.n_failed = self.n_duplicates = 0
        self.best: Evaluation | None = None

    def add(self, evaluation: Evaluation) -> None:
        """Count one that was not counted before."""
        self.n_done += 1
        self.n_failed += evaluation.failure is not None
        self.n_duplicates += evaluation.duplicate_of is not None
        if evaluation.cost is not None and (
            self.best is None or rank(evaluation) < rank(self.best)
        ):
            self.best = evaluation
