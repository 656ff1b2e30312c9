from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import autoloop

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "experiments" / "cu_s5_310" / "image.tif"

# One worker and no screening: what a session does in the same order is then the same.
SETTINGS: dict[str, Any] = {
    "name": "quick",
    "seed": 3,
    "micrograph": {"path": str(IMAGE), "pixel_size": 0.1734},
    "microscope": {
        "beam_energy_kev": 200,
        "convergence_mrad": 22,
        "detector_mrad": [70, 135],
    },
    "grains": [
        {"crystal": "Cu", "zone_axis": [0, 0, 1], "up": [3, -1, 0]},
        {"crystal": "Cu", "zone_axis": [0, 0, 1], "up": [3, 1, 0]},
    ],
    "energy": {"potential": "Cu_mishin1.eam.alloy"},
    "policy": {"name": "random_search"},
    "search": {"batch": 2, "lag": 0, "screening": False},
    "budget": {"evaluations": 4},
    "execution": {"workers": 1},
}

# Without an image a run is over in a second.
ENERGY: dict[str, Any] = {
    key: SETTINGS[key]
    for key in SETTINGS
    if key not in ("name", "micrograph", "microscope")
} | {"name": "energy"}


@pytest.fixture(scope="session")
def image() -> Path:
    return IMAGE


@pytest.fixture(scope="session")
def campaign() -> autoloop.Campaign:
    return autoloop.Campaign.from_dict(SETTINGS)


@pytest.fixture(scope="session")
def of_image(image: Path) -> autoloop.Campaign:
    """Drafted from the image file."""
    return autoloop.Campaign.from_image(image, "Cu", pixel_size=0.1734)


@pytest.fixture(scope="session")
def of_array(image: Path) -> autoloop.Campaign:
    """Drafted from its pixels in memory."""
    values = autoloop.read_micrograph(image, pixel_size=0.1734).image.values
    return autoloop.Campaign.from_image(values, "Cu", pixel_size=0.1734, name="mine")


@pytest.fixture(scope="session")
def heard() -> list[tuple[str, int]]:
    """What the callback of the run `finished` heard: ids, and what was on disk."""
    return []


@pytest.fixture(scope="session")
def finished(
    campaign: autoloop.Campaign,
    heard: list[tuple[str, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> autoloop.Run:
    """A run of four evaluations, in a folder that is only read from then on."""
    folder = tmp_path_factory.mktemp("interface") / "quick"

    def hear(run: autoloop.Run, evaluation: autoloop.Evaluation) -> None:
        heard.append((evaluation.id, len(run.history)))

    return campaign.run(out=folder, callbacks=[hear], progress=False, report=False)


@pytest.fixture(scope="session")
def by_energy() -> autoloop.Campaign:
    return autoloop.Campaign.from_dict(ENERGY)


@pytest.fixture(scope="session")
def finished_by_energy(
    by_energy: autoloop.Campaign, tmp_path_factory: pytest.TempPathFactory
) -> autoloop.Run:
    """The same by energy alone; also only read."""
    folder = tmp_path_factory.mktemp("interface") / "energy"
    return by_energy.run(out=folder, progress=False, report=False)
