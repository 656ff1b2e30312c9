"""The common cell: as small as the coincidence lattice has it, oblique if need be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoloop.domain import Crystal, Grain, GrainBoundary
from autoloop.errors import ConfigError
from autoloop.geometry import periodic_pairs
from autoloop.structure.assemble import assemble, widened
from autoloop.structure.cells import CommonCell, common_cell, is_small, slanted_rows
from autoloop.structure.coincidence import coincidence_boundary, coincidence_rotations
from autoloop.structure.crystals import _from_atoms, find_crystal
from autoloop.structure.edits import repeated, replicate
from autoloop.structure.integers import completed
from autoloop.structure.lattices import equivalent, primitive_vectors, zone_period
from autoloop.structure.merging import merge
from autoloop.structure.template import BoundaryTemplate, build_template

Array = NDArray[np.float64]
Indices = tuple[int, int, int]

COPPER = find_crystal("Cu")
EDGE = float(COPPER.cell[0, 0])
VECTOR = {"shift_u": 0.31, "shift_v": 0.17, "overlap": 1e-6}


def crystal(name: str, *lengths_and_angles: float) -> Crystal:
    """Two species in a cell without any symmetry but what its axes have."""
    sites = [(0.0, 0.0, 0.0), (0.4, 0.3, 0.55)]
    atoms = Atoms("ZrO", scaled_positions=sites, cell=lengths_and_angles, pbc=True)
    return _from_atoms(name, atoms)


MONOCLINIC = crystal("monoclinic", 4.1, 5.2, 5.9, 90, 99.2, 90)
TRICLINIC = crystal("triclinic", 4.1, 5.2, 5.9, 83, 99.2, 95)


def found(boundary: GrainBoundary, **options: float | bool | None) -> CommonCell:
    limits = {"max_strain": 1e-6, "max_period": 100.0, "max_depth": 60.0}
    return common_cell(boundary.upper, boundary.lower, **(limits | options))  # type: ignore[arg-type]


def tilted(of: Crystal, zone: Indices, up: Indices, down: Indices) -> GrainBoundary:
    return GrainBoundary(
        upper=Grain(crystal=of, zone_axis=zone, up=up),
        lower=Grain(crystal=of, zone_axis=zone, up=down),
    )


# --- rows ---------------------------------------------------------------------------


@given(row=st.tuples(*[st.integers(-9, 9)] * 3).filter(lambda v: np.gcd.reduce(v) == 1))
def test_two_rows_complete_a_primitive_one(row: Indices) -> None:
    whole = np.vstack((row, completed(np.array(row))))
    assert abs(round(float(np.linalg.det(whole)))) == 1


@pytest.mark.parametrize(
    ("of", "zone", "up"),
    [
        (COPPER, (1, -2, 1), (1, 1, 1)),
        (COPPER, (0, 0, 1), (4, 1, 0)),
        (find_crystal("Mg"), (1, 0, 0), (0, 1, 1)),
        (MONOCLINIC, (1, 0, 1), (0, 1, 0)),
        (TRICLINIC, (1, 0, 0), (0, 1, 0)),
    ],
)
def test_rows_are_those_of_brute_force(of: Crystal, zone: Indices, up: Indices) -> None:
    grain = Grain(crystal=of, zone_axis=zone, up=up)
    depth, lattice = zone_period(grain), primitive_vectors(grain)
    rows = slanted_rows(grain, 11.0, 0.2)
    indices = np.linalg.solve(lattice.T, rows.T).T
    np.testing.assert_allclose(indices, np.round(indices), atol=1e-9)
    assert np.all((rows[:, 2] > -1e-6) & (rows[:, 2] < depth))
    axis = np.arange(-12, 13)
    every = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3) @ lattice
    length = np.hypot(every[:, 0], every[:, 1])
    angle = np.abs(np.arctan2(every[:, 1], every[:, 0]))
    near = every[(length > 1e-3) & (length <= 11.0) & (angle <= 0.2)]
    expected = np.unique(np.round(near[:, :2], 5) + 0.0, axis=0)
    assert len(np.unique(np.round(rows[:, :2], 5) + 0.0, axis=0)) == len(rows)
    assert len(rows) == len(expected) > 0


# --- size ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "sigma", "plane", "in_planes", "rectangle"),
    [
        # Sigma times the primitive cell of a (111) plane, sqrt(3)/4 a².
        ((1, 1, 1), 7, (1, 1, 1), 7 * np.sqrt(3) / 4, 2),
        ((1, 1, 1), 13, (1, 1, 1), 13 * np.sqrt(3) / 4, 2),
        # A tilt about an axis in both planes: what holds (4,1,0) is [1-40] and [001],
        # centred.
        ((0, 0, 1), 17, (4, 1, 0), np.sqrt(17) / 2, 2),
        ((0, 0, 1), 13, (3, 2, 0), np.sqrt(13) / 2, 2),
        # (100) on (430): five of the one plane's cells, a²/2, or one of the other.
        ((0, 0, 1), 5, (1, 0, 0), 5 / 2, 2),
        # Mixed.
        ((0, 0, 1), 5, (1, 1, 1), 5 * np.sqrt(3) / 4, 2),
        ((0, 0, 1), 5, (1, 0, 2), 5 * np.sqrt(5) / 2, 3),
        ((1, 2, 0), 3, (0, 0, 1), 3 / 2, 10),
    ],
)
def test_the_area_is_that_of_the_coincidence_cell(
    axis: Indices, sigma: int, plane: Indices, in_planes: float, rectangle: int
) -> None:
    boundary = coincidence_boundary(COPPER, axis, sigma, plane)
    oblique, straight = found(boundary), found(boundary, oblique=False)
    width, depth, shear = oblique.size
    assert width * depth == pytest.approx(in_planes * EDGE**2)
    assert abs(shear) <= depth / 2 * (1 + 1e-9)
    assert abs(shear) > 0.05
    assert straight.shear == 0.0
    ratio = straight.size[0] * straight.size[1] / (width * depth)
    assert ratio == pytest.approx(rectangle)
    assert abs(oblique.slip) < 1e-9


def coincidences(boundary: GrainBoundary, reach: float) -> Array:
    """Return the vectors (x, z) in the plane that both lattices have, by trying."""
    upper, lower = (primitive_vectors(g) for g in (boundary.upper, boundary.lower))
    n = int(np.ceil(reach / np.linalg.norm(upper, axis=1).min())) + 2
    axis = np.arange(-n, n + 1)
    every = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3) @ upper
    flat = every[np.abs(every[:, 1]) < 1e-6]
    flat = flat[np.linalg.norm(flat, axis=1) < reach]
    other = np.linalg.solve(lower.T, flat.T).T
    both = np.abs(other - np.round(other)).max(axis=1) < 1e-6
    return np.asarray(flat[both][:, [0, 2]])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    axis=st.tuples(*[st.integers(-2, 2)] * 3).filter(lambda v: np.gcd.reduce(v) == 1),
    plane=st.tuples(*[st.integers(-1, 1)] * 3).filter(any),
    sigma=st.sampled_from([3, 5, 7]),
)
def test_no_smaller_cell_exists(axis: Indices, plane: Indices, sigma: int) -> None:
    """Of all pairs of coincidence vectors none spans less."""
    if not coincidence_rotations(axis, sigma):
        return
    boundary = coincidence_boundary(COPPER, axis, sigma, plane)
    if equivalent(boundary.upper, boundary.lower):
        return
    width, depth, shear = found(boundary, oblique=True, max_period=400.0).size
    shared = coincidences(boundary, 32.0)
    for vector in ((width, shear), (0.0, depth)):
        if np.hypot(*vector) < 32.0:
            assert np.linalg.norm(shared - vector, axis=1).min() < 1e-6
    areas = np.abs(
        shared[:, :1] * shared[None, :, 1] - shared[:, 1:] * shared[None, :, 0]
    )
    assert areas[areas > 1e-3].min() == pytest.approx(width * depth)


def test_small_cells_stay_rectangular_unless_asked() -> None:
    """The coherent twin: two atoms a layer in its rectangle, of 0.87 a²."""
    boundary = coincidence_boundary(COPPER, (1, -1, 0), 3, (1, 1, 1))
    assert is_small(np.sqrt(0.75) * EDGE**2, COPPER)
    assert found(boundary).size == pytest.approx(
        (np.sqrt(1.5) * EDGE, EDGE / np.sqrt(2), 0.0)
    )
    width, depth, shear = found(boundary, oblique=True).size
    assert width * depth == pytest.approx(np.sqrt(3) / 4 * EDGE**2)
    assert shear == pytest.approx(depth / 2)


def test_a_primitive_rectangle_is_kept() -> None:
    boundary = coincidence_boundary(COPPER, (0, 0, 1), 5, (0, 0, 1))
    width, depth, shear = found(boundary, oblique=True).size
    assert (width, depth, shear) == pytest.approx((np.sqrt(2.5) * EDGE,) * 2 + (0,))


# --- strain -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "zone", "up", "down"),
    [
        (MONOCLINIC, (1, 0, 0), (0, 1, 0), (0, -1, 0)),
        (MONOCLINIC, (1, 0, 1), (0, 1, 0), (0, -1, 0)),
        (MONOCLINIC, (1, 0, 0), (0, 0, 1), (0, 0, -1)),
        (TRICLINIC, (1, 0, 0), (0, 1, 0), (0, -1, 0)),
        (TRICLINIC, (0, 1, 0), (0, 0, 1), (0, 0, -1)),
    ],
)
def test_crystals_with_oblique_axes(
    of: Crystal, zone: Indices, up: Indices, down: Indices
) -> None:
    """No lattice plane lies across the beam; the shear between grains is shared."""
    boundary = tilted(of, zone, up, down)
    with pytest.raises(ConfigError, match=r"no lattice plane .* perpendicular"):
        found(boundary, max_strain=0.02, oblique=False)
    cell = found(boundary, max_strain=0.02)
    shears = [cell.shear_strain(grain) for grain in (1, 2)]
    assert shears[0] == pytest.approx(-shears[1])
    assert abs(shears[0]) <= 0.0201
    width, depth, shear = cell.size
    for number, grain in ((1, boundary.upper), (2, boundary.lower)):
        lattice = primitive_vectors(grain) @ cell.deformation(number).T
        for vector in ([width, 0, shear], [0, 0, depth]):
            indices = np.linalg.solve(lattice.T, vector)
            np.testing.assert_allclose(indices, np.round(indices), atol=1e-9)
        # Volumes change by stretch alone.
        stretch = np.prod(1 + np.array(cell.strains(number)))
        assert np.linalg.det(cell.deformation(number)) == pytest.approx(stretch)
    template = build_template(boundary, boundary, cutoff=4.0, max_strain=0.02)
    assert template.strain >= abs(shears[0])
    grain_shears = (template.upper.shear_strain, template.lower.shear_strain)
    assert grain_shears == pytest.approx(shears)
    holds_perfect_grains(template)


def holds_perfect_grains(template: BoundaryTemplate) -> None:
    """No atom is lost or doubled at the faces, and none too close inside a grain."""
    bicrystal = assemble(template, VECTOR)
    thickness = template.free_thickness + template.block_thickness
    for number, grain in ((1, template.upper), (2, template.lower)):
        own = bicrystal.grains == number
        volume = abs(np.linalg.det(grain.lattice)) / len(grain.numbers)
        slack = bicrystal.area * grain.spacing / volume
        whole = bicrystal.area * thickness / volume
        assert own.sum() == pytest.approx(whole, abs=slack + 1e-6)
        _, lengths = periodic_pairs(
            bicrystal.positions[own], bicrystal.cell, 1.5 * template.bond_length
        )
        assert lengths.min() > 0.99 * template.bond_length


def test_the_bound_holds_for_shear_too() -> None:
    boundary = tilted(MONOCLINIC, (1, 0, 0), (0, 1, 0), (0, -1, 0))
    cell = found(boundary, max_strain=0.02)
    shear = abs(cell.shear_strain(1))
    assert cell.period.strain() < 1e-9
    assert shear > 0.01
    # A bound below this shear: a longer cell with less of it, or none.
    longer = found(boundary, max_strain=0.9 * shear)
    assert longer.size[0] > cell.size[0]
    assert abs(longer.shear_strain(1)) <= 0.91 * shear
    with pytest.raises(ConfigError, match="no oblique cell within these limits"):
        found(boundary, max_strain=1e-5, max_period=30.0)


# --- cells of a template ------------------------------------------------------------


@pytest.fixture(scope="module")
def template() -> BoundaryTemplate:
    boundary = coincidence_boundary(COPPER, (0, 0, 1), 5, (1, 0, 2))
    return build_template(boundary, boundary, cutoff=4.0)


@pytest.mark.parametrize("n", [(1, 1), (2, 1), (1, 2), (3, 1), (2, 3)])
def test_repeated_cells_are_the_same_crystal(
    template: BoundaryTemplate, n: tuple[int, int]
) -> None:
    """Assembled in a larger cell, or repeated: atoms on atoms."""
    one = assemble(template, VECTOR)
    large = repeated(one, *n)
    whole = assemble(template, VECTOR | {"repeat_x": n[0], "repeat_z": n[1]})
    np.testing.assert_allclose(whole.cell, large.cell, atol=1e-9)
    depth = large.cell[2, 2]
    assert abs(large.cell[0, 2]) <= depth / 2 * (1 + 1e-9)
    assert len(whole.numbers) == len(large.numbers) == n[0] * n[1] * len(one.numbers)
    for here, there in product((large, whole), repeat=2):
        assert same_places(here.positions, there.positions, here.cell)


def same_places(first: Array, second: Array, cell: Array) -> bool:
    shares = (first[:, None] - second[None]) @ np.linalg.inv(cell)
    shares[..., [0, 2]] -= np.round(shares[..., [0, 2]])
    apart = np.linalg.norm(shares @ cell, axis=2)
    return bool(apart.min(axis=0).max() < 1e-6 and apart.min(axis=1).max() < 1e-6)


def test_parents_repeated_in_different_ways_have_a_common_cell(
    template: BoundaryTemplate,
) -> None:
    """Repeated along x the shear is reduced by a depth that another parent keeps."""
    one = assemble(template, VECTOR)
    wide = replicate(template, (one,), {"repeat_x": 2, "repeat_z": 1})
    deep = replicate(template, (one,), {"repeat_x": 1, "repeat_z": 2})
    assert wide.cell[0, 2] != pytest.approx(2 * one.cell[0, 2])  # it was reduced
    joined = merge(template, (wide, deep), {"start": 0.2, "share": 0.5})
    # Both being the same crystal, what comes in is what went out.
    assert len(joined.numbers) == 4 * len(one.numbers)
    assert same_places(joined.positions, repeated(one, 2, 2).positions, joined.cell)


def test_a_template_widened_twice_is_widened_by_both(
    template: BoundaryTemplate,
) -> None:
    once, twice = widened(template, 4, 1), widened(widened(template, 2, 1), 2, 1)
    assert (once.width, once.depth) == pytest.approx((twice.width, twice.depth))
    assert once.shear == pytest.approx(twice.shear)
