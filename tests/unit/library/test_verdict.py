"""The verdict: each piece of evidence counts the way it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autoloop.library.verdict import FITS, Evidence, chance

GOOD = Evidence(unexplained=0.003, rival=0.2, strain=0.01, size=0.01, common=False)


@pytest.mark.parametrize(
    ("field", "worse"),
    [
        ("unexplained", 0.05),
        ("rival", 0.01),
        ("strain", 0.06),
        ("size", 0.05),
        ("size", -0.05),
    ],
)
def test_worse_evidence_lowers_the_chance(field: str, worse: float) -> None:
    changed: dict[str, Any] = {field: worse}
    assert chance(replace(GOOD, **changed)) < chance(GOOD)


def test_clear_cases() -> None:
    assert chance(GOOD) > 0.9
    # explained as well by another entry: still hardly anything is left
    assert chance(replace(GOOD, rival=0.003)) > FITS
    poor = Evidence(unexplained=0.1, rival=0.12, strain=0.05, size=0.04, common=False)
    assert chance(poor) < 0.05
    assert chance(poor) < chance(replace(poor, common=True)) < FITS


def test_an_unknown_size_says_little() -> None:
    known = [chance(replace(GOOD, size=size)) for size in (0.0, 0.06)]
    assert known[1] < chance(replace(GOOD, size=None)) <= known[0]


def test_shares_below_nothing_are_nothing() -> None:
    """A pose may explain a little more than there is, by interpolation."""
    assert chance(replace(GOOD, unexplained=-1e-9)) == pytest.approx(
        chance(replace(GOOD, unexplained=0.0))
    )
