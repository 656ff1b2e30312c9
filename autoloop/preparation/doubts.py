"""What the image says of the run file, where the two are at odds.

Nothing here stops a run: lattices were seen that fit. A person should know by how much.
"""

from __future__ import annotations

from typing import Final

from autoloop.comparison import grain_matrices
from autoloop.config import Campaign
from autoloop.domain import Reading
from autoloop.microscopy.lattice import NOTABLE_TURN
from autoloop.microscopy.lattice_fit import own_turn

NOTABLE_SCALE: Final = 0.03
"""Pixel sizes in files are seldom wrong by more."""


def doubts(campaign: Campaign, reading: Reading) -> tuple[str, ...]:
    """Return what in the run file the lattices of the image contradict.

    Parameters
    ----------
    campaign : Campaign
        With the orientations that the lattices were fitted with.
    reading : Reading
        The frame, and the map of each grain from the columns near the boundary.
    """
    found = (_turn(campaign, reading), _scale(campaign, reading))
    return tuple(doubt for doubt in found if doubt)


def _turn(campaign: Campaign, reading: Reading) -> str:
    turn = own_turn(*grain_matrices(reading))
    if abs(turn) < NOTABLE_TURN:
        return ""
    given = campaign.grains[0].rotation_deg or 0.0
    better = round(given + turn, 2) + 0.0  # no -0
    return (
        f"check rotation_deg: the image shows the upper grain turned by {turn:+.2f} "
        f"degrees more against the lower one than the run file says; with grains[0]."
        f"rotation_deg {better:.2f} instead of {given:.2f} both would fit"
    )


def _scale(campaign: Campaign, reading: Reading) -> str:
    off = reading.pixel_size / reading.pixel_size_nominal - 1
    if abs(off) <= NOTABLE_SCALE:
        return ""
    names = " and ".join(dict.fromkeys(grain.crystal for grain in campaign.grains))
    return (
        f"check the crystals and pixel_size: the lattice of {names} fits the image "
        f"with {reading.pixel_size:.5f} Å, {100 * off:+.1f} % of the nominal "
        f"{reading.pixel_size_nominal:.5f} Å; files are seldom off by more than "
        f"{100 * NOTABLE_SCALE:.0f} %, a wrong lattice constant looks like this"
    )
