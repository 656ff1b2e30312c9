"""Which word a misspelt one may mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_STEM: Final = 4  # letters from which on a beginning says which word is meant


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``; did you mean 'x'?``, or nothing if no known word is near.

    Near is a word of about the same letters, or one that the other begins with. Words
    match from the share `cutoff` of letters in common on.

    Examples
    --------
    >>> nearest("polcy", ["policy", "name"])
    "; did you mean 'policy'?"
    >>> nearest("bayesian_optimization", ["anneal", "bayesian"])
    "; did you mean 'bayesian'?"
    """
    by_lower = {name.lower(): name for name in known}
    lower = word.lower()
    found = difflib.get_close_matches(lower, by_lower, n=1, cutoff=cutoff)
    found = found or [
        name
        for name in by_lower
        if min(len(name), len(lower)) >= _STEM
        and (name.startswith(lower) or lower.startswith(name))
    ]
    return f"; did you mean '{by_lower[found[0]]}'?" if found else ""
