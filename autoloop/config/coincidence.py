"""Two grains in place of ``coincidence: {crystal, axis, sigma, plane, angle_deg}``.

Done as soon as the file is read, so that nothing else has to know of the short form,
and so that a campaign written out names both grains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from autoloop.config.marked import KeyPath, Marked, Place, Problem
from autoloop.config.models import CoincidenceSection, GrainSection
from autoloop.errors import AutoloopError

if TYPE_CHECKING:
    from autoloop.domain import Crystal, Grain, GrainBoundary

KEY: Final = "coincidence"
_IN_EVERY_CUBIC: Final = ((1, 1, 1), 3, (1, 1, 1))
"""Axis, Sigma and plane of a boundary that only a crystal can be wrong for."""


def with_grains(marked: Marked, base: Path) -> tuple[Marked, list[Problem]]:
    """Return the values of a run file with `grains` in place of `coincidence`.

    Parameters
    ----------
    marked : Marked
        As read. A section that is itself malformed is left for validation to refuse.
    base : Path
        Folder that a structure file starts from.

    Returns
    -------
    marked : Marked
        The place of the grains is that of the section.
    problems : list of Problem
        What keeps it from naming a boundary.
    """
    if KEY not in marked.values:
        return marked, []
    if "grains" in marked.values:
        message = (
            "names both grains, and so does 'grains' in line "
            f"{marked.place(('grains',)).line}; remove one of the two"
        )
        return _without_section(marked, {}), [Problem(path=(KEY,), message=message)]
    try:
        section = CoincidenceSection.model_validate_json(
            json.dumps(marked.values[KEY]), strict=True
        )
    except ValidationError:
        return marked, []
    boundary, problem = _boundary(section, base)
    if boundary is not None:
        grains, problem = _sections(section, boundary)
        if problem is None:
            return _without_section(marked, {"grains": grains}), []
    return marked, [] if problem is None else [problem]


def _without_section(marked: Marked, instead: Mapping[str, Any]) -> Marked:
    """Put other keys where the section stands."""
    values: dict[str, Any] = {}
    for key, value in marked.values.items():
        values.update(instead if key == KEY else {key: value})
    places: dict[KeyPath, Place] = {(key,): marked.place((KEY,)) for key in instead}
    return replace(marked, values=values, places={**marked.places, **places})


def _boundary(
    section: CoincidenceSection, base: Path
) -> tuple[GrainBoundary | None, Problem | None]:
    """Return the boundary, or what is wrong with which key."""
    from autoloop.structure.coincidence import coincidence_boundary
    from autoloop.structure.crystals import find_crystal

    def bounded(crystal: Crystal, angle_deg: float | None) -> GrainBoundary:
        return coincidence_boundary(
            crystal, section.axis, section.sigma, section.plane, angle_deg=angle_deg
        )

    # Each step can be wrong by one key alone.
    key = "crystal"
    try:
        crystal = find_crystal(section.crystal, base)
        coincidence_boundary(crystal, *_IN_EVERY_CUBIC)
        key = "sigma"
        boundary = bounded(crystal, None)
        key = "angle_deg"
        if section.angle_deg is not None:
            boundary = bounded(crystal, section.angle_deg)
    except AutoloopError as error:
        return None, Problem(path=(KEY, key), message=str(error))
    return boundary, None


def _sections(
    section: CoincidenceSection, boundary: GrainBoundary
) -> tuple[list[dict[str, Any]], Problem | None]:
    """Return both grains as a run file would hold them."""

    def written(grain: Grain) -> dict[str, Any]:
        return GrainSection(
            crystal=section.crystal,
            zone_axis=grain.zone_axis,
            up=grain.up,
            rotation_deg=grain.rotation_deg,
        ).model_dump(mode="json")

    try:
        return [written(g) for g in (boundary.upper, boundary.lower)], None
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        message = f"needs a grain whose direction {reason.split(';')[0]}; choose others"
        return [], Problem(path=(KEY,), message=message)
