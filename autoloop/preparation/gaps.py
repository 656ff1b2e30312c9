"""What a run file leaves out, read from its micrograph.

A campaign goes in with gaps and comes out without. What the run file gives stays as it
is given: where one grain's orientation is given and the other's read, the frame of the
given one rules.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from autoloop.config import Campaign, LoadedCampaign
from autoloop.config.models import BoundarySection, Direction, GrainSection
from autoloop.domain import Crystal, Grain, GrainBoundary
from autoloop.errors import DataError
from autoloop.geometry import orientation
from autoloop.microscopy.indexing import BoundaryReading, read_boundary
from autoloop.microscopy.known import Known, KnownGrain
from autoloop.microscopy.orientations import lattice_rotations, turned_direction
from autoloop.microscopy.reading import Micrograph, read_micrograph
from autoloop.microscopy.region import Crop, find_region
from autoloop.preparation.coincidence import exact_boundary
from autoloop.preparation.inspection import check_crop
from autoloop.structure.crystals import find_crystal

SAME_ZONE: Final = 1.0
"""Orientations whose beam directions are this close show one zone axis [degrees]."""
NAMES: Final = ("upper", "lower")


def campaign_micrograph(campaign: Campaign, base: Path) -> Micrograph | None:
    """Read the image file of a campaign, if it has one."""
    section = campaign.micrograph
    if section is None:
        return None
    return read_micrograph(
        base / Path(section.path).expanduser(),
        pixel_size=section.pixel_size,
        index=section.index,
    )


def without_gaps(
    loaded: LoadedCampaign, micrograph: Micrograph | None
) -> tuple[Campaign, tuple[str, ...]]:
    """Fill in crop, orientations and boundary as the micrograph shows them.

    Parameters
    ----------
    loaded : LoadedCampaign
        Checked; sections that leave nothing out come back as they are.
    micrograph : Micrograph, optional
        The image of the campaign.

    Returns
    -------
    campaign : Campaign
        Written out and loaded again, it is the same campaign.
    notes : tuple of str
        What was read, for people.

    Raises
    ------
    ConfigError
        If the crop does not fit the image.
    DataError
        If the image does not show what is left out, or contradicts what is given.
    """
    campaign = loaded.campaign
    if micrograph is None or campaign.micrograph is None:
        return campaign, ()
    crop, notes = campaign.micrograph.crop, tuple[str, ...]()
    if crop is None:
        region = find_region(micrograph.image)
        crop, notes = region.crop, region.notes
    check_crop(micrograph.image, crop)
    if notes:  # a whole image needs no crop
        section = campaign.micrograph.model_copy(update={"crop": crop})
        campaign = campaign.model_copy(update={"micrograph": section})
    if all(grain.oriented for grain in campaign.grains):
        return campaign, notes
    campaign, note = _oriented(campaign, loaded.base, micrograph, crop)
    return campaign, (*notes, note)


def _oriented(
    campaign: Campaign, base: Path, micrograph: Micrograph, crop: Crop
) -> tuple[Campaign, str]:
    """Fill in orientations and boundary."""
    crystals = tuple(find_crystal(grain.crystal, base) for grain in campaign.grains)
    different = {crystal.name: crystal for crystal in crystals}
    found = read_boundary(
        micrograph.image,
        tuple(different.values()),
        crop=crop,
        known=_known(campaign),
    )
    _refuse_exchanged(found, crystals)
    read = found.boundary
    turn = _turn_of_frame(campaign, crystals, read)
    if turn is None:
        boundary, turn = exact_boundary(read)
    else:
        upper, lower = (_turned(grain, -turn) for grain in (read.upper, read.lower))
        boundary = GrainBoundary(upper=upper, lower=lower)
    grains = tuple(
        _filled(section, grain, name, undecided=seen.polarity == "undecided")
        for section, grain, seen, name in zip(
            campaign.grains,
            (boundary.upper, boundary.lower),
            (found.upper, found.lower),
            NAMES,
            strict=True,
        )
    )
    section = placed(
        found.reading.angle_deg + turn, found.reading.origin_px, campaign.boundary
    )
    campaign = campaign.model_copy(update={"grains": grains, "boundary": section})
    return campaign, _note(grains, found)


def placed(
    angle_deg: float,
    point_px: tuple[float, float],
    given: BoundarySection = BoundarySection(),  # noqa: B008 - frozen
) -> BoundarySection:
    """Return a section of the run file with what it leaves out as it was read.

    It holds angles in (-90, 90]; one a little beyond is left to be found again.
    """
    update: dict[str, Any] = {}
    if given.angle_deg is None and -90 < round(angle_deg, 3) <= 90:
        update["angle_deg"] = round(angle_deg, 3)
    if given.point_px is None:
        update["point_px"] = (round(point_px[0], 2), round(point_px[1], 2))
    return given.model_copy(update=update)


def _known(campaign: Campaign) -> Known:
    """Return what the run file gives of the boundary."""
    upper, lower = (
        KnownGrain(
            zone_axis=grain.zone_axis, up=grain.up, rotation_deg=grain.rotation_deg
        )
        for grain in campaign.grains
    )
    return Known(
        upper=upper,
        lower=lower,
        angle_deg=campaign.boundary.angle_deg,
        point_px=campaign.boundary.point_px,
    )


def _refuse_exchanged(found: BoundaryReading, crystals: tuple[Crystal, ...]) -> None:
    """Refuse grains that are not the crystals of the run file, in its order."""
    for name, seen, crystal in zip(
        NAMES, (found.upper, found.lower), crystals, strict=True
    ):
        if seen.crystal != crystal.name:
            raise DataError(
                f"the {name} grain in the image is {seen.crystal}, not {crystal.name}; "
                "exchange the two grains (the one above the boundary comes first)"
            )


def _turn_of_frame(
    campaign: Campaign, crystals: tuple[Crystal, ...], read: GrainBoundary
) -> float | None:
    """Return the turn from the frame of a grain that is given to the one read.

    At most one grain is: else nothing would be read. None if both are free.
    """
    for section, crystal, grain, name in zip(
        campaign.grains, crystals, (read.upper, read.lower), NAMES, strict=True
    ):
        if section.zone_axis is None or section.up is None:
            continue
        given = Grain(
            crystal=crystal,
            zone_axis=section.zone_axis,
            up=section.up,
            rotation_deg=section.rotation_deg or 0.0,
        )
        turns = orientation(grain) @ lattice_rotations(crystal) @ orientation(given).T
        turns = turns[turns[:, 2, 2] > np.cos(np.deg2rad(SAME_ZONE))]
        if not len(turns):
            raise DataError(
                f"the image shows the {name} grain along {list(grain.zone_axis)}, not "
                f"along {list(section.zone_axis)}; leave out its zone_axis, up and "
                "rotation_deg to have them read from the image"
            )
        angles = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
        return float(angles[np.argmin(np.abs(angles))])
    return None


def _turned(grain: Grain, turn_deg: float) -> Grain:
    rotation = (grain.rotation_deg + turn_deg + 180.0) % 360.0 - 180.0
    return replace(grain, rotation_deg=rotation)


def _filled(
    section: GrainSection, grain: Grain, name: str, *, undecided: bool
) -> GrainSection:
    """Return a section of the run file with what the image says where it has gaps.

    A polarity that the image leaves undecided is left open to the search.
    """
    if section.oriented:
        return section
    zone, up = grain.zone_axis, grain.up
    if section.zone_axis is not None and section.zone_axis != zone:
        zone, up = _seen_along(grain, section.zone_axis, name)
    rotation = round(grain.rotation_deg, 3)
    return section.model_copy(
        update={
            "zone_axis": zone,
            "up": up,
            "rotation_deg": rotation,
            "polarity": "open" if undecided else section.polarity,
        }
    )


def _seen_along(
    grain: Grain, zone_axis: Direction, name: str
) -> tuple[Direction, Direction]:
    """Return another zone axis of the same kind, and the `up` that goes with it."""
    crystal = grain.crystal
    for rotation in crystal.rotations:
        if turned_direction(crystal, grain.zone_axis, rotation) == zone_axis:
            return zone_axis, turned_direction(crystal, grain.up, rotation)
    raise DataError(
        f"the image shows the {name} grain along {list(grain.zone_axis)}, which is no "
        f"zone axis of the kind {list(zone_axis)}; leave out its zone_axis to have it "
        "read from the image"
    )


def _note(grains: tuple[GrainSection, ...], found: BoundaryReading) -> str:
    parts = [
        f"{name} grain {grain.crystal} along {list(grain.zone_axis or ())}, up "
        f"{list(grain.up or ())}, turned {grain.rotation_deg:+.2f} degrees (confidence "
        f"{seen.confidence:.2f}"
        f"{', polarity undecided' if seen.polarity == 'undecided' else ''})"
        for name, grain, seen in zip(
            NAMES, grains, (found.upper, found.lower), strict=True
        )
    ]
    return f"read from the image: {'; '.join(parts)}"
