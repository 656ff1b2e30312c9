"""Entries that were laid over an image, scored and put in order, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.library.alignment import Pose
from autoloop.library.scores import Figures, Query, figures, prepare_query
from autoloop.library.store import Library, Name
from autoloop.library.verdict import FITS, Evidence, chance
from autoloop.structure.crystals import crystal_names

Array = NDArray[np.float64]

SIZE_COST: Final = 0.02
"""What it costs a score that the size of a crystal is off by all that it may be.
Little: it tells crystals apart that differ in nothing else."""
STRAIN_COST: Final = 0.01
"""What a strain of `STRAIN` costs it, growing with the square. The grains of a measured
boundary show 0.03 and 0.05; with more it is rather another crystal."""
STRAIN: Final = 0.04


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Try:
    """An entry, the patch (n, n) it was laid over at an assumed pixel size, and how."""

    index: int
    patch: Array
    pixel_size: float
    pose: Pose


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """An entry that may be what an image shows.

    Attributes
    ----------
    index : int
        In the library.
    name : Name
        What it is.
    pose : Pose
        How it lies in the patch of the image that was compared.
    figures : Figures
        How alike both are there.
    pixel_size : float
        Of the image, if it is this crystal at its size [Å].
    score : float
        At most 1; what matches are ordered by: that of `figures`, less what another
        size than expected and a strain cost.
    query : Query
        The patch that was compared; where the pixel size is not known, at the one that
        suits this entry.
    """

    index: int
    name: Name
    pose: Pose
    figures: Figures
    pixel_size: float
    score: float
    query: Query


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a library says of an image.

    Attributes
    ----------
    fits : bool
        Whether the first match is what the image shows, rather than the nearest of
        what the library has.
    confidence : float
        0 to 1: the chance that it is, if as many images are of the library as are not.
    evidence : Evidence
        What says so.
    matches : tuple of Match
        Best first.
    """

    fits: bool
    confidence: float
    evidence: Evidence
    matches: tuple[Match, ...]


def answer(library: Library, tries: Sequence[Try], bound: float | None) -> Answer:
    """Draw entries in their poses, score them, and order them.

    Parameters
    ----------
    library : Library
        That they are of.
    tries : sequence of Try
        At least one; each entry once.
    bound : float, optional
        Largest logarithm of their scale; None where the size says nothing.
    """
    queries: dict[float, Query] = {}
    found = []
    for one in tries:
        size = one.pixel_size
        if size not in queries:
            queries[size] = prepare_query(one.patch)
        own = figures(queries[size], library.view(one.index), one.pose)
        found.append(
            Match(
                index=one.index,
                name=library.names[one.index],
                pose=one.pose,
                figures=own,
                pixel_size=size / one.pose.scale,
                score=own.score - _cost(one.pose, bound),
                query=queries[size],
            )
        )
    found.sort(key=lambda match: -match.score)
    evidence = _evidence(found, known_size=bound is not None)
    sure = chance(evidence)
    return Answer(
        fits=sure >= FITS, confidence=sure, evidence=evidence, matches=tuple(found)
    )


def _cost(pose: Pose, bound: float | None) -> float:
    strain = STRAIN_COST * (pose.strain / STRAIN) ** 2
    if bound is None:
        return strain
    return strain + SIZE_COST * (float(np.log(pose.scale)) / bound) ** 2


def _evidence(matches: Sequence[Match], *, known_size: bool) -> Evidence:
    """Return what says whether the first of all matches fits."""
    first = matches[0]
    rival = max((match.pose.explained for match in matches[1:]), default=0.0)
    return Evidence(
        unexplained=1.0 - first.pose.explained,
        rival=1.0 - rival,
        strain=first.pose.strain,
        size=float(np.log(first.pose.scale)) if known_size else None,
        common=any(name in crystal_names() for name in first.name.prototypes),
    )
