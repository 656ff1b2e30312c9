"""What a user knows of a boundary before its image is read; all may be missing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal, Grain
from autoloop.errors import DataError
from autoloop.geometry import orientation
from autoloop.microscopy.orientations import (
    Direction,
    canonical,
    natural_ups,
    turned_variants,
)
from autoloop.microscopy.spectrum import SECTOR, Catalogue, Pattern

GIVEN_WITHIN: Final = 3.0
"""Given angles are right within this [degrees]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGrain:
    """What is known of one grain.

    Attributes
    ----------
    zone_axis : (3,) int tuple, optional
        As in `domain.Grain`.
    up : (3,) int tuple, optional
        Only with zone axis and rotation.
    rotation_deg : float, optional
        Only with zone axis and up; right within 3 degrees.
    """

    zone_axis: Direction | None = None
    up: Direction | None = None
    rotation_deg: float | None = None

    def grain(self, crystal: Crystal) -> Grain | None:
        """Return the orientation, None unless it is known whole."""
        if self.zone_axis is None or self.up is None or self.rotation_deg is None:
            return None
        return Grain(
            crystal=crystal,
            zone_axis=self.zone_axis,
            up=self.up,
            rotation_deg=self.rotation_deg,
        )

    def zone_of(self, crystal: Crystal) -> Direction | None:
        """Return the canonical form of the zone axis, None if it is not known."""
        if self.zone_axis is None:
            return None
        up = natural_ups(crystal, self.zone_axis)[0]
        start = Grain(crystal=crystal, zone_axis=self.zone_axis, up=up)
        zones = [canonical(v).zone_axis for v in turned_variants(start)]
        return min(zones, key=lambda z: (sum(i < 0 for i in z), [-i for i in z]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a boundary.

    Attributes
    ----------
    upper, lower : KnownGrain
        Of the grains.
    angle_deg : float, optional
        Angle of the boundary, as in `geometry.Frame`.
    point_px : (float, float), optional
        A point (x, y) on the boundary line [pixels of the whole image].
    """

    upper: KnownGrain = field(default_factory=KnownGrain)
    lower: KnownGrain = field(default_factory=KnownGrain)
    angle_deg: float | None = None
    point_px: tuple[float, float] | None = None


def allowed_turns(
    patterns: list[Pattern], known: KnownGrain
) -> dict[int, tuple[float, ...]] | None:
    """Return which patterns agree with what is known of a grain, and how turned.

    Returns
    -------
    dict or None
        Index of a pattern to the turns against it that are allowed, in the frame of
        the boundary [degrees]; no turn means any. None where nothing is known.
    """
    if known.zone_axis is None:
        return None
    allowed: dict[int, tuple[float, ...]] = {}
    for number, pattern in enumerate(patterns):
        crystal = pattern.grain.crystal
        if pattern.grain.zone_axis != known.zone_of(crystal):
            continue
        given = known.grain(crystal)
        turns = [
            turn_about_beam(pattern.grain, v)
            for v in (turned_variants(given) if given is not None else ())
        ]
        allowed[number] = tuple(t for t in turns if t is not None)
    return allowed


def allowed_entries(
    catalogue: Catalogue,
    allowed: dict[int, tuple[float, ...]] | None,
    angle_deg: float,
) -> NDArray[np.bool_]:
    """Return which entries (n,) of a catalogue are allowed.

    Parameters
    ----------
    catalogue : Catalogue
        The entries.
    allowed : dict or None
        From `allowed_turns`.
    angle_deg : float
        Of the trial line; that of the boundary is within half a sector of it.
    """
    if allowed is None:
        return np.ones(len(catalogue.pattern), dtype=bool)
    entries = np.zeros(len(catalogue.pattern), dtype=bool)
    for number, turns in allowed.items():
        own = catalogue.pattern == number
        away = np.array([catalogue.turn[own] - t - angle_deg for t in turns or (0.0,)])
        away = np.abs((away + 90.0) % 180.0 - 90.0)
        near = away.min(axis=0) <= SECTOR / 2 + GIVEN_WITHIN
        entries[own] = near if turns else True
    return entries


def turn_about_beam(start: Grain, end: Grain) -> float | None:
    """Return the turn about the beam from one orientation to another [degrees].

    The smallest over the point group; None if they are not along the same zone.
    """
    turns = []
    for symmetry in start.crystal.rotations:
        turn = orientation(end) @ symmetry @ orientation(start).T
        if turn[2, 2] > 1 - 1e-6:
            turns.append(float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))))
    return min(turns, key=abs) if turns else None


def as_given(found: Grain, known: KnownGrain) -> Grain | None:
    """Write an orientation found in the terms given, None where nothing was.

    Its rotation is the one measured.
    """
    given = known.grain(found.crystal)
    if given is None:
        return None
    turns = [
        turn
        for v in turned_variants(given)
        if (turn := turn_about_beam(v, found)) is not None
    ]
    turn = min(turns, key=abs)
    return replace(given, rotation_deg=given.rotation_deg + turn)


def demand_whole(known: Known) -> None:
    """Refuse half an orientation.

    Raises
    ------
    DataError
        If `up` or `rotation_deg` stands without the others.
    """
    for name, grain in (("upper", known.upper), ("lower", known.lower)):
        halves = (grain.up, grain.rotation_deg)
        whole = grain.zone_axis is not None and None not in halves
        if any(v is not None for v in halves) and not whole:
            raise DataError(
                f"the {name} grain has {'up' if grain.up else 'rotation_deg'} but not "
                f"zone_axis, up and rotation_deg together; give all three, or only "
                f"the zone_axis"
            )
