"""What is fixed before a search: both grains over one cell, strained to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from autoloop.domain import Crystal, Grain, GrainBoundary
from autoloop.errors import ConfigError
from autoloop.geometry import orientation
from autoloop.structure.crystals import find_crystal
from autoloop.structure.lattices import primitive_basis, primitive_vectors, zone_period
from autoloop.structure.template import BoundaryTemplate, build_template

Indices = tuple[int, int, int]
CUTOFF = 5.5


def boundary(
    crystal: Crystal,
    zone: Indices,
    upper: Indices,
    lower: Indices,
    turn: float = 0.0,
) -> GrainBoundary:
    return GrainBoundary(
        upper=Grain(crystal=crystal, zone_axis=zone, up=upper, rotation_deg=turn),
        lower=Grain(crystal=crystal, zone_axis=zone, up=lower),
    )


def scaled(crystal: Crystal, factor: float) -> Crystal:
    return replace(crystal, cell=crystal.cell * factor)


COPPER, CDTE = find_crystal("Cu"), find_crystal("CdTe")
S5 = boundary(COPPER, (0, 0, 1), (3, 1, 0), (3, -1, 0))
TILT = boundary(CDTE, (1, 1, 0), (-1, 1, 0), (0, 0, 1), 7.2)


def built(model: GrainBoundary, reference: GrainBoundary | None = None, **options):  # type: ignore[no-untyped-def]
    return build_template(model, reference or model, cutoff=CUTOFF, **options)


def test_s5_310_of_copper() -> None:
    template = built(S5)
    a = 3.6149
    assert template.width == pytest.approx(a * np.sqrt(10) / 2)
    assert template.depth == pytest.approx(a)
    assert template.bond_length == pytest.approx(a / np.sqrt(2))
    assert template.exact
    assert template.strain < 1e-9
    assert abs(template.turn_deg) < 1e-6
    assert template.stoichiometry == ((29, 1),)
    for grain in (template.upper, template.lower):
        assert grain.spacing == pytest.approx(a / np.sqrt(10) / 2)
        np.testing.assert_allclose(grain.terminations, [0.0], atol=1e-9)
        np.testing.assert_allclose(grain.to_reference, np.eye(2), atol=1e-9)
    # A block feels nothing of the surface: forces of free atoms reach two cutoffs.
    assert template.block_thickness > 2 * CUTOFF + template.upper.spacing
    area = abs(np.linalg.det(template.shift_cell))
    assert area == pytest.approx(template.width * template.depth)


@pytest.mark.parametrize(
    ("name", "zone", "upper", "lower", "n_terminations", "n_shifts"),
    [
        ("Cu", (0, 0, 1), (2, 1, 0), (2, -1, 0), 1, 2),
        ("Cu", (1, -1, 0), (1, 1, 1), (1, 1, -1), 1, 2),
        ("W", (1, -1, 0), (1, 1, 2), (1, 1, -2), 1, 1),
        # Glide set and shuffle set of diamond and zincblende.
        ("Si", (1, -1, 0), (1, 1, 1), (1, 1, -1), 2, 2),
        ("CdTe", (1, -1, 0), (1, 1, 1), (1, 1, -1), 2, 2),
        ("CdTe", (0, 0, 1), (3, 1, 0), (3, -1, 0), 1, 1),
        ("CdTe", (1, -1, 0), (1, 1, 2), (-1, -1, 2), 1, 1),
        # SrO and TiO2 planes.
        ("SrTiO3", (0, 0, 1), (3, 1, 0), (3, -1, 0), 2, 1),
    ],
)
def test_terminations_and_shifts(
    name: str,
    zone: Indices,
    upper: Indices,
    lower: Indices,
    n_terminations: int,
    n_shifts: int,
) -> None:
    template = built(boundary(find_crystal(name), zone, upper, lower))
    assert len(template.upper.terminations) == n_terminations
    assert len(template.lower.terminations) == n_terminations
    area = abs(np.linalg.det(template.shift_cell))
    assert template.width * template.depth / area == pytest.approx(n_shifts)


def test_formula_units() -> None:
    assert built(TILT).stoichiometry == ((48, 1), (52, 1))
    oxide = find_crystal("SrTiO3")
    template = built(boundary(oxide, (0, 0, 1), (3, 1, 0), (3, -1, 0)))
    assert template.stoichiometry == ((38, 1), (22, 1), (8, 3))


def lattice_holds(template: BoundaryTemplate) -> None:
    """Both grains repeat with the cell, to what rounding leaves of 60 Å."""
    for grain in (template.upper, template.lower):
        for vector in ([template.width, 0, 0], [0, 0, template.depth]):
            indices = np.linalg.solve(grain.lattice.T, vector)
            np.testing.assert_allclose(indices, np.round(indices), atol=1e-9)


@pytest.mark.parametrize("turn", [0.0, 3.3, 7.2, 12.9, 25.0])
def test_grains_repeat_with_the_cell_and_share_the_strain(turn: float) -> None:
    model = boundary(CDTE, (1, 1, 0), (-1, 1, 0), (0, 0, 1), turn)
    template = built(model, max_period=150.0)
    lattice_holds(template)
    volume = abs(np.linalg.det(primitive_vectors(model.lower)))
    strains = [
        abs(np.linalg.det(g.lattice)) / volume - 1
        for g in (template.upper, template.lower)
    ]
    # One is stretched by what the other is pressed, along x alone; to second order.
    assert sum(strains) == pytest.approx(0, abs=2 * template.strain**2 + 1e-12)
    assert max(np.abs(strains)) == pytest.approx(template.strain, abs=1e-9)


def test_the_approximant_of_the_measured_boundary() -> None:
    template = built(TILT)
    assert template.width == pytest.approx(32.408, abs=1e-3)
    assert template.strain == pytest.approx(0.0101, abs=1e-4)
    assert not template.exact


def test_the_way_back_to_the_image_undoes_strain_turn_and_scale() -> None:
    """Lattice points of the template land where the measured crystal has them."""
    reference = TILT
    model = GrainBoundary(
        upper=replace(TILT.upper, crystal=scaled(CDTE, 1.013)),
        lower=replace(TILT.lower, crystal=scaled(CDTE, 1.013)),
    )
    template = built(model, reference)
    for grain, seen in (
        (template.upper, reference.upper),
        (template.lower, reference.lower),
    ):
        points = grain.lattice[:, :2] @ grain.to_reference.T
        np.testing.assert_allclose(points, primitive_vectors(seen)[:, :2], atol=1e-9)
        basis, numbers = primitive_basis(seen)
        atoms = grain.basis[:, :2] @ grain.to_reference.T
        np.testing.assert_allclose(atoms, basis[:, :2], atol=1e-9)
        np.testing.assert_array_equal(grain.numbers, numbers)


def test_scale_of_the_model_is_the_template_s() -> None:
    model = boundary(scaled(COPPER, 1.02), (0, 0, 1), (3, 1, 0), (3, -1, 0))
    template = built(model, S5)
    assert template.width == pytest.approx(1.02 * built(S5).width)
    np.testing.assert_allclose(template.upper.to_reference, np.eye(2) / 1.02, atol=1e-9)


def test_equivalent_orientations_are_refused() -> None:
    for same in (
        boundary(COPPER, (1, -1, 0), (1, 1, 1), (-1, -1, -1)),
        boundary(COPPER, (0, 0, 1), (1, 0, 0), (1, 0, 0), 90.0),
        boundary(find_crystal("Mg"), (0, 0, 1), (1, 0, 0), (1, 0, 0), -60.0),
    ):
        with pytest.raises(ConfigError, match="same orientation up to a symmetry"):
            built(same)


def test_two_zone_axes_share_a_depth_or_are_refused() -> None:
    model = GrainBoundary(
        upper=Grain(crystal=COPPER, zone_axis=(0, 0, 1), up=(0, 1, 0)),
        lower=Grain(crystal=COPPER, zone_axis=(1, 1, 0), up=(1, -1, 0)),
    )
    # Along x both have [001]; along the beam 2 a and 3 a/√2 differ by 6 %, 5 a and
    # 7 a/√2 by 1 %, of which each takes half.
    template = built(model, max_strain=0.01)
    a = 3.6149
    assert template.width == pytest.approx(a)
    assert template.depth == pytest.approx((5 + 7 / np.sqrt(2)) / 2 * a)
    lattice_holds(template)
    with pytest.raises(ConfigError, match=r"no common multiple within .* 0\.1 %"):
        built(model, max_strain=0.001)


def test_planes_of_high_indices_are_taken_together_in_whole_numbers() -> None:
    """Else a window ending among them would count a compound wrongly."""
    upper = Grain(crystal=COPPER, zone_axis=(2, 2, 1), up=(1, -1, 0), rotation_deg=12)
    model = GrainBoundary(upper=upper, lower=replace(upper, rotation_deg=-12))
    template = built(model)
    plane = template.width * template.depth
    for grain in (template.upper, template.lower):
        # Planes that hold one lattice point of the cell each lie closer than 0.05 Å.
        spacing = abs(np.linalg.det(grain.lattice)) / plane
        assert spacing < 0.05 <= grain.spacing
        assert grain.spacing / spacing == pytest.approx(round(grain.spacing / spacing))
        heights = grain.lattice[:, 1] / spacing
        np.testing.assert_allclose(heights, np.round(heights), atol=1e-6)


def test_a_plane_that_is_not_quite_flat_is_one_termination(tmp_path: Path) -> None:
    # Two atoms 0.03 Å apart in height along y, in a cell of their own.
    write(
        tmp_path / "buckled.vasp",
        Atoms(
            "CuAu",
            scaled_positions=[(0, 0, 0), (0.5, 0.0075, 0.5)],
            cell=[3.5, 4.0, 3.7],
            pbc=True,
        ),
    )
    crystal = find_crystal("buckled.vasp", base=tmp_path)
    template = built(boundary(crystal, (0, 0, 1), (0, 1, 0), (1, 0, 0)), max_strain=0.1)
    assert len(template.upper.terminations) == 1
    assert len(template.lower.terminations) == 2


def test_turned_grains_keep_their_chirality() -> None:
    """A proper rotation, never a reflection: matters for polar and chiral crystals."""
    template = built(TILT)
    for grain, source in ((template.upper, TILT.upper), (template.lower, TILT.lower)):
        oriented = source.crystal.cell @ orientation(source).T
        whole = np.linalg.lstsq(primitive_vectors(source), grain.lattice, rcond=None)[0]
        assert np.linalg.det(whole) > 0
        assert np.linalg.det(oriented) * np.linalg.det(source.crystal.cell) > 0
        assert zone_period(source) == pytest.approx(template.depth)
