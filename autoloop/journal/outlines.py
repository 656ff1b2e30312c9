"""Evaluations in brief, for those who count over a long run and look often."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """An evaluation without its score and its recipe.

    Attributes
    ----------
    id, cycle, cost, failure, duplicate_of, flags
        As of `Evaluation`.
    mutation, policy, reason : str
        As of its `Proposal`.
    """

    id: str
    cycle: int
    cost: float | None
    failure: str | None
    duplicate_of: str | None
    flags: tuple[str, ...]
    mutation: str
    policy: str
    reason: str


OUTLINE_COLUMNS: Final = "id, cycle, cost, failure, duplicate_of, flags, proposal"
"""Columns of the table of evaluations, in the order of `outline_of`."""

_NONE: Final = type(None)
_KINDS: Final[tuple[tuple[type, ...], ...]] = (
    *((str,), (int,), (float, int, _NONE), (str, _NONE), (str, _NONE), (str,), (str,)),
)


def outline_of(row: tuple[Any, ...]) -> Outline:
    """Return the outline of a row; ValueError if the row holds no evaluation."""
    id_, cycle, cost, failure, duplicate_of, flags, recipe = row
    if not all(map(isinstance, row, _KINDS)):
        raise ValueError(f"evaluation {id_!r} holds values of a wrong kind")
    outcomes = (cost, failure, duplicate_of).count(None)
    if cycle < 0 or outcomes != 2 or (cost is not None and not math.isfinite(cost)):
        raise ValueError(f"evaluation {id_!r} is not one of cost, failure and repeat")
    try:
        proposal = json.loads(recipe)
        mutation = proposal["mutation"]
        policy, reason = proposal.get("policy", ""), proposal.get("reason", "")
        names = json.loads(flags)
        words = [mutation, policy, reason, *names]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"evaluation {id_!r} has no recipe: {error!r}") from error
    if not isinstance(names, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"evaluation {id_!r} has a recipe of a wrong kind")
    return Outline(
        id=id_,
        cycle=cycle,
        cost=cost,
        failure=failure,
        duplicate_of=duplicate_of,
        flags=tuple(names),
        mutation=mutation,
        policy=policy,
        reason=reason,
    )
