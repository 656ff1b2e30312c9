"""Arrays in frozen values: copies that nobody writes to."""

from __future__ import annotations

import numpy as np


def lock(value: object, names: tuple[str, ...]) -> None:
    """Replace the named array fields of a frozen dataclass by read-only copies."""
    for name in names:
        array = np.array(getattr(value, name))
        array.flags.writeable = False
        object.__setattr__(value, name, array)
