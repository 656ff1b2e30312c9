"""Run files with gaps: what is left out is read, what is given stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.config import Campaign, LoadedCampaign, dump_campaign, load_campaign
from autoloop.domain import Crystal, Grain, GrainBoundary, Image, Reading
from autoloop.errors import ConfigError, DataError
from autoloop.microscopy.indexing import BoundaryReading, GrainReading
from autoloop.microscopy.known import Known
from autoloop.microscopy.reading import Micrograph
from autoloop.microscopy.translation import NearlyExact
from autoloop.preparation import gaps
from autoloop.preparation.gaps import without_gaps
from autoloop.structure.crystals import find_crystal

RUN = """\
name: cu
micrograph: {{path: image.tif{crop}}}
microscope: {{beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [80, 150]}}
{boundary}grains:
  - {upper}
  - {lower}
budget: {{evaluations: 4}}
"""
GAP = "{crystal: Cu}"
GIVEN = "{crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}"


class Reader:
    """Says what an image shows, and remembers what it was told."""

    def __init__(
        self, *, upper: float = 18.535, lower: float = -18.335, names: str = "Cu Cu"
    ) -> None:
        self.turns = (upper, lower)
        self.names = names.split()
        self.known: list[Known | None] = []

    def __call__(
        self,
        image: Image,
        crystals: tuple[Crystal, ...],
        *,
        crop: tuple[int, int, int, int],
        known: Known | None = None,
    ) -> BoundaryReading:
        self.known.append(known)
        # [1, 0, 0] over [0, 0, 1]: the same as [0, 0, 1] over [1, 0, 0], canonically.
        grains = [
            Grain(
                crystal=find_crystal(name),
                zone_axis=(1, 0, 0),
                up=(0, 0, 1),
                rotation_deg=turn,
            )
            for name, turn in zip(self.names, self.turns, strict=True)
        ]
        said = [
            GrainReading(
                crystal=grain.crystal.name,
                zone_axis=grain.zone_axis,
                up=grain.up,
                rotation_deg=grain.rotation_deg,
                polarity="none",
                polarity_confidence=1.0,
                confidence=0.9,
            )
            for grain in grains
        ]
        return BoundaryReading(
            reading=Reading(
                pixel_size=0.17,
                pixel_size_nominal=0.1734,
                angle_deg=5.9,
                shear=0.009,
                origin_px=(30.126, 20.0),
                upper_origin_px=(30.0, 19.0),
                lower_origin_px=(30.0, 21.0),
                confidence=0.9,
            ),
            boundary=GrainBoundary(upper=grains[0], lower=grains[1]),
            upper=said[0],
            lower=said[1],
            translation_angstrom=0.0,
            expansion_angstrom=0.2,
            translation_sigma=0.1,
            expansion_sigma=0.1,
            displacement_modulo=None,
            nearly_exact=NearlyExact(),
            core_angstrom=1.0,
            angle_sigma_deg=0.1,
            alternatives=(),
        )


def load(
    folder: Path, upper: str, lower: str, crop: str = "", boundary: str = ""
) -> LoadedCampaign:
    path = folder / "run.yaml"
    path.write_text(RUN.format(upper=upper, lower=lower, crop=crop, boundary=boundary))
    return load_campaign(path)


def micrograph(bar: int = 0) -> Micrograph:
    values = np.random.default_rng(0).random((60, 80))
    if bar:
        values[-bar:] = 0.0
    return Micrograph(
        image=Image(values=values, pixel_size=0.1734),
        path="image.tif",
        sha256="",
        sources={"pixel_size": "given"},
        beam_energy_kev=None,
    )


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader()
    monkeypatch.setattr(gaps, "read_boundary", reader)
    return reader


def written_out_and_loaded(campaign: Campaign, folder: Path) -> Campaign:
    path = folder / "campaign.yaml"
    path.write_text(dump_campaign(campaign))
    return load_campaign(path).campaign


def test_a_file_that_gives_all_comes_back_unread(
    tmp_path: Path, reader: Reader
) -> None:
    loaded = load(tmp_path, GIVEN, GIVEN.replace("-1", "1"))
    assert without_gaps(loaded, micrograph()) == (loaded.campaign, ())
    assert reader.known == []


def test_nothing_given(tmp_path: Path, reader: Reader) -> None:
    """Both grains are put on the planes of the coincidence that they are close to."""
    campaign, notes = without_gaps(load(tmp_path, GAP, GAP), micrograph())
    upper, lower = campaign.grains
    assert (upper.up, lower.up) == ((0, 1, 3), (0, -1, 3))
    assert (upper.rotation_deg, lower.rotation_deg) == (0.0, 0.0)
    assert campaign.boundary.point_px == (30.13, 20.0)
    # What the lattices were turned too far by, on average, the frame is turned more.
    assert campaign.boundary.angle_deg == pytest.approx(5.9 + 0.1, abs=2e-3)
    assert campaign.micrograph is not None
    assert campaign.micrograph.crop is None
    assert "upper grain Cu along [1, 0, 0]" in notes[0]
    assert written_out_and_loaded(campaign, tmp_path) == campaign


def test_one_grain_given(tmp_path: Path, reader: Reader) -> None:
    """Its frame rules: the other keeps the misorientation that was measured."""
    campaign, _ = without_gaps(load(tmp_path, GIVEN, GAP), micrograph())
    upper, lower = campaign.grains
    assert (upper.zone_axis, upper.up) == ((0, 0, 1), (3, -1, 0))
    assert lower.rotation_deg == pytest.approx(-18.335 - 0.1, abs=2e-3)
    assert campaign.boundary.angle_deg == pytest.approx(6.0, abs=2e-3)
    known = reader.known[0]
    assert known is not None
    assert (known.upper.up, known.lower.up) == ((3, -1, 0), None)


def test_zone_axis_and_boundary_given(tmp_path: Path, reader: Reader) -> None:
    loaded = load(
        tmp_path,
        "{crystal: Cu, zone_axis: [0, 0, -1]}",
        GAP,
        boundary="boundary: {angle_deg: 5.5}\n",
    )
    campaign, _ = without_gaps(loaded, micrograph())
    upper = campaign.grains[0]
    assert upper.zone_axis == (0, 0, -1)
    assert upper.up is not None
    assert sorted(map(abs, upper.up)) == [0, 1, 3]
    assert campaign.boundary.angle_deg == 5.5
    known = reader.known[0]
    assert known is not None
    assert (known.angle_deg, known.upper.zone_axis) == (5.5, (0, 0, -1))


def test_wrong_zone_axes_are_contradicted(tmp_path: Path, reader: Reader) -> None:
    loaded = load(tmp_path, "{crystal: Cu, zone_axis: [1, 1, 0]}", GAP)
    with pytest.raises(DataError, match=r"upper grain along \[1, 0, 0\], which is no"):
        without_gaps(loaded, micrograph())
    given = "{crystal: Cu, zone_axis: [1, 1, 0], up: [0, 0, 1]}"
    with pytest.raises(DataError, match=r"not along \[1, 1, 0\]; leave out"):
        without_gaps(load(tmp_path, given, GAP), micrograph())


def test_grains_in_the_wrong_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "read_boundary", Reader(names="Ni Cu"))
    with pytest.raises(DataError, match="exchange the two grains"):
        without_gaps(load(tmp_path, GAP, "{crystal: Ni}"), micrograph())


def test_general_boundary_is_not_rounded_to_planes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "read_boundary", Reader(upper=17.1, lower=-3.4567))
    campaign, _ = without_gaps(load(tmp_path, GAP, GAP), micrograph())
    assert [g.rotation_deg for g in campaign.grains] == [17.1, -3.457]
    assert campaign.boundary.angle_deg == 5.9


def test_crop_left_out(tmp_path: Path, reader: Reader) -> None:
    """An info bar is left out, whether or not anything else is read."""
    loaded = load(tmp_path, GIVEN, GIVEN.replace("-1", "1"))
    campaign, notes = without_gaps(loaded, micrograph(bar=9))
    assert campaign.micrograph is not None
    assert campaign.micrograph.crop == (0, 51, 0, 80)
    assert "rows 51 to 59" in notes[0]
    assert replace(loaded, campaign=campaign).campaign.grains == loaded.campaign.grains


def test_crop_beyond_the_image(tmp_path: Path, reader: Reader) -> None:
    loaded = load(tmp_path, GAP, GAP, crop=", crop: [0, 61, 0, 80]")
    with pytest.raises(ConfigError, match="reaches beyond the image of 60 rows"):
        without_gaps(loaded, micrograph())
