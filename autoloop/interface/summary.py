"""A campaign in brief: what it searches, in rows and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.config import Campaign, LoadedCampaign
from autoloop.errors import AutoloopError
from autoloop.interface.html import figure, grey_png

if TYPE_CHECKING:
    from autoloop.microscopy.reading import Micrograph


def summary(s: Campaign, image: Micrograph | None) -> list[tuple[str, str]]:
    """Return names and values of what a person asks first.

    Parameters
    ----------
    s : Campaign
        The settings.
    image : Micrograph or None
        If it came from memory.
    """
    grains = " on ".join(
        f"{g.crystal} {list(g.zone_axis)}" if g.zone_axis else g.crystal
        for g in s.grains
    )
    file = "" if s.micrograph is None else Path(s.micrograph.path).name
    energy = "" if s.energy is None else s.energy.potential
    return [
        ("grains", grains),
        ("image", "from memory" if image is not None else file),
        ("potential", energy if isinstance(energy, str) else json.dumps(energy)),
        ("policy", s.policy.name),
        ("evaluations", str(s.budget.evaluations)),
        ("seed", str(s.seed)),
    ]


def picture(loaded: LoadedCampaign, image: Micrograph | None) -> str:
    """Return HTML of the micrograph; empty if there is none that can be read."""
    from autoloop.interface.sources import as_micrograph

    section = loaded.campaign.micrograph
    if section is None:
        return ""
    try:
        read = image or as_micrograph(
            loaded.resolve(section.path),
            pixel_size=section.pixel_size,
            index=section.index,
        )
    except AutoloopError:  # `check` says it; a representation does not fail
        return ""
    return figure(grey_png(read.image.values), "micrograph")
