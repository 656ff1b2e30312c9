"""What is fixed before a search: both grains over one cell, strained to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from ase.spacegroup import crystal as spacegroup_crystal

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
        for vector in ([template.width, 0, template.shear], [0, 0, template.depth]):
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


@pytest.fixture
def boride(tmp_path: Path) -> Crystal:
    """Mo3B2 as the metal boride M3B2 (structure type of U3Si2, P4/mbm)."""
    atoms = spacegroup_crystal(
        ["Mo", "Mo", "B"],
        [(0, 0, 0), (0.174, 0.674, 0.5), (0.390, 0.890, 0)],
        spacegroup=127,
        cellpar=[6.00, 6.00, 3.15, 90, 90, 90],
    )
    write(tmp_path / "M3B2.cif", atoms)
    return find_crystal("M3B2.cif", base=tmp_path)


def test_two_crystals_share_strain_in_both_directions(boride: Crystal) -> None:
    """Ni [001] on M3B2 [001], which a published fit could strain by 4.71 %."""
    assert [int(np.sum(boride.numbers == z)) for z in (42, 5)] == [6, 4]
    nickel = find_crystal("Ni")
    for up in ((1, 0, 0), (1, 1, 0)):
        model = GrainBoundary(
            upper=Grain(crystal=nickel, zone_axis=(0, 0, 1), up=(1, 0, 0)),
            lower=Grain(crystal=boride, zone_axis=(0, 0, 1), up=up),
        )
        template = built(model, max_strain=0.0471)
        assert template.strain <= 0.0471
        lattice_holds(template)
        # What each grain is said to be strained by is what its lattice shows.
        for grain, source in (
            (template.upper, model.upper),
            (template.lower, model.lower),
        ):
            gained = np.linalg.det(grain.lattice) / np.linalg.det(
                primitive_vectors(source)
            )
            along, beam = grain.strains
            assert abs(gained) == pytest.approx((1 + along) * (1 + beam))
        assert template.strain == max(
            abs(s) for g in (template.upper, template.lower) for s in g.strains
        )
        assert template.stoichiometry == ((42, 3), (5, 2), (28, 1))
    on_cube = built(
        GrainBoundary(upper=model.upper, lower=replace(model.lower, up=(1, 0, 0))),
        max_strain=0.0471,
    )
    # Five cells on three along the boundary, eight on nine along the beam.
    assert on_cube.width == pytest.approx((5 * 3.524 + 3 * 6.00) / 2)
    assert on_cube.depth == pytest.approx((8 * 3.524 + 9 * 3.15) / 2)
    assert on_cube.strain == pytest.approx(0.0108, abs=1e-4)
    assert on_cube.upper.strains[1] == pytest.approx(0.0028, abs=1e-4)
    shallow = built(
        GrainBoundary(upper=model.upper, lower=replace(model.lower, up=(1, 0, 0))),
        max_strain=0.0471,
        max_depth=20.0,
    )
    assert shallow.depth == pytest.approx((5 * 3.524 + 6 * 3.15) / 2)
    assert 0.036 < shallow.strain <= 0.0471


def test_two_crystals_that_do_not_fit_are_refused(boride: Crystal) -> None:
    model = GrainBoundary(
        upper=Grain(crystal=find_crystal("Ni"), zone_axis=(0, 0, 1), up=(1, 0, 0)),
        lower=Grain(crystal=boride, zone_axis=(0, 0, 1), up=(1, 0, 0)),
    )
    with pytest.raises(ConfigError, match=r"best is 59\.9. Å with a strain of 0\.08 %"):
        built(model, max_strain=0.0005)
    with pytest.raises(ConfigError, match=r"best up to 40 Å is 8 on 9, 28\.27 Å with"):
        built(model, max_strain=0.002)


@pytest.mark.parametrize("turn", [8.05, 8.15, 8.26])
def test_the_83_degree_boundary_of_cdte(turn: float) -> None:
    """A published bicrystal of it strains 1.01 %."""
    model = boundary(CDTE, (1, 1, 0), (-1, 1, 0), (0, 0, 1), turn)
    template = built(model, max_strain=0.0101)
    assert template.width == pytest.approx(32.408, abs=1e-3)
    assert round(100 * template.strain, 2) <= 1.01
    # Five cube edges and one diagonal step meet seven diagonals: tan = 1/(5 sqrt 2).
    exact = np.degrees(np.arctan(1 / np.sqrt(50)))
    assert template.turn_deg == pytest.approx(turn - exact, abs=1e-6)
    lattice_holds(template)


def test_the_twin_of_cdte_has_no_strain() -> None:
    model = GrainBoundary(
        upper=Grain(crystal=CDTE, zone_axis=(1, -1, 0), up=(1, 1, 1)),
        lower=Grain(crystal=CDTE, zone_axis=(-1, 1, 0), up=(1, 1, 1)),
    )
    template = built(model, max_strain=1e-6)
    assert template.exact
    assert template.width == pytest.approx(6.482 * np.sqrt(1.5))
    assert template.depth == pytest.approx(6.482 * np.sqrt(0.5))
    assert template.strain < 1e-12


@pytest.mark.parametrize("up", [(0, 0, 1), (1, -1, 0), (1, -1, 2)])
def test_silicon_tilted_by_10_degrees(up: Indices) -> None:
    """A published bicrystal of <110> on <110> strains 1.00 %."""
    silicon = boundary(find_crystal("Si"), (1, 1, 0), up, up, 10.0)
    template = built(silicon, max_strain=0.01)
    assert template.strain <= 0.0100
    assert abs(template.turn_deg) < 0.03
    lattice_holds(template)


def test_planes_of_high_indices_are_taken_together_in_whole_numbers() -> None:
    """Else a window ending among them would count a compound wrongly."""
    upper = Grain(crystal=COPPER, zone_axis=(2, 2, 1), up=(1, -1, 0), rotation_deg=12)
    model = GrainBoundary(upper=upper, lower=replace(upper, rotation_deg=-12))
    template = built(model, oblique=False)
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
