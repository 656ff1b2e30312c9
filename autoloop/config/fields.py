"""What the sections of a run file share: their base, kinds of numbers, directions."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

Direction = tuple[int, int, int]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
_MAX_INDEX: Final = 50
"""Crystal directions beyond it are slips of the keyboard, not zone axes."""


def checked_direction(direction: Direction) -> Direction:
    """Return a direction of a crystal that can be meant.

    Raises
    ------
    ValueError
        If it is zero, or far from any low index.
    """
    if not any(direction):
        raise ValueError("[0, 0, 0] is no direction; write three indices")
    if max(map(abs, direction)) > _MAX_INDEX:
        raise ValueError(
            f"{list(direction)} has an index beyond {_MAX_INDEX}; write the direction "
            "by its smallest indices"
        )
    return direction


class Section(BaseModel):
    """A mapping of the run file: no unknown keys, no changes, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
