"""All evaluations in memory, as policies see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from autoloop.domain import Details, Evaluation, Proposal


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
        return tuple(e for e in self if e.cost is not None)

    @property
    def failed(self) -> tuple[Evaluation, ...]:
        """Evaluations that ended with a reason instead of a score."""
        return tuple(e for e in self if e.failure is not None)

    def best(self, n: int = 1) -> list[Evaluation]:
        """Return the `n` distinct structures of lowest cost, best first.

        Of several evaluations with one fingerprint the earliest stands for all.
        """
        ranked = sorted(self.scored, key=lambda e: (e.cost, e.cycle, e.index))
        chosen: dict[str, Evaluation] = {}
        for evaluation in ranked:
            chosen.setdefault(evaluation.fingerprint or evaluation.id, evaluation)
            if len(chosen) == n:
                break
        return list(chosen.values())

    def details(self, evaluation_id: str) -> Details:
        """Return the relaxed bicrystal and column residuals of an evaluation.

        Raises
        ------
        KeyError
            If there are none: a failure, a duplicate, or an unknown id.
        """
        return self._load_details(evaluation_id)
