"""The same boundary in an oblique cell and in the rectangular one around it.

Both hold the same atoms, so static energies differ by rounding. Relaxed from the same
translation, minimisers that stop at a force of 3e-4 eV/Å leave 1e-4 J/m² at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase.build import fcc111, make_supercell
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from autoloop.domain import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Anneal,
    Bicrystal,
    Crystal,
    Grain,
    GrainBoundary,
    Relaxation,
)
from autoloop.geometry import around, project_columns, reduced_cell, wrapped
from autoloop.relax.ase_engine import AseModel, AseRelaxer
from autoloop.relax.bulk import cutoff, relaxed_crystal
from autoloop.relax.energy import EnergyModel, boundary_energy, make_energy_model
from autoloop.relax.engine import LammpsRelaxer, single_point
from autoloop.relax.potentials import Potential, find_potential
from autoloop.structure.assemble import assemble
from autoloop.structure.coincidence import coincidence_boundary
from autoloop.structure.crystals import find_crystal
from autoloop.structure.edits import repeated
from autoloop.structure.template import BoundaryTemplate, build_template

Array = NDArray[np.float64]
Indices = tuple[int, int, int]

STATIC, RELAXED = 1e-6, 1e-4  # [J/m²]
NOTHING = 1e-6  # overlap threshold under which no atom is deleted


def coincident(axis: Indices, sigma: int, plane: Indices):  # type: ignore[no-untyped-def]
    return lambda crystal: coincidence_boundary(crystal, axis, sigma, plane)


def basal(first: Indices, second: Indices):  # type: ignore[no-untyped-def]
    """Two hexagonal crystals on their basal planes, turned about [0001]."""
    return lambda crystal: GrainBoundary(
        upper=Grain(crystal=crystal, zone_axis=first, up=(0, 0, 1)),
        lower=Grain(crystal=crystal, zone_axis=second, up=(0, 0, 1)),
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    crystal: str
    potential: str
    boundary: Callable[[Crystal], GrainBoundary]
    area: Callable[[Crystal], float]
    """Of the coincidence cell, by hand [Å²]."""
    times: int = 2
    """How often that goes into the smallest rectangle on the same beam."""
    terminations: tuple[int, int] = (0, 0)


def cubic(share: float) -> Callable[[Crystal], float]:
    return lambda crystal: share * float(np.linalg.norm(crystal.cell[0])) ** 2


def hexagonal(sigma: int) -> Callable[[Crystal], float]:
    side = np.sqrt(3) / 2
    return lambda crystal: sigma * side * float(np.linalg.norm(crystal.cell[0])) ** 2


COPPER = "Cu_mishin1.eam.alloy"
CASES = {
    # Sigma times the primitive cell of the plane, sqrt(3)/4 a² in (111).
    "Cu S7(111) twist": Case(
        crystal="Cu",
        potential=COPPER,
        boundary=coincident((1, 1, 1), 7, (1, 1, 1)),
        area=cubic(7 * np.sqrt(3) / 4),
    ),
    "Cu S17(410) tilt": Case(
        crystal="Cu",
        potential=COPPER,
        boundary=coincident((0, 0, 1), 17, (4, 1, 0)),
        area=cubic(np.sqrt(17) / 2),
    ),
    "Cu S5(111) mixed": Case(
        crystal="Cu",
        potential=COPPER,
        boundary=coincident((0, 0, 1), 5, (1, 1, 1)),
        area=cubic(5 * np.sqrt(3) / 4),
    ),
    # Its shear is a third of the depth.
    "Cu S5(102) mixed": Case(
        crystal="Cu",
        potential=COPPER,
        boundary=coincident((0, 0, 1), 5, (1, 0, 2)),
        area=cubic(5 * np.sqrt(5) / 2),
        times=3,
    ),
    "Mg S7(0001) twist": Case(
        crystal="Mg",
        potential="Mg_mm.eam.fs",
        boundary=basal((3, 1, 0), (3, 2, 0)),
        area=hexagonal(7),
    ),
    # Wurtzite: the bonds along the axis meet each other, and stand a bond's length
    # apart.
    "GaN S7(0001) twist": Case(
        crystal="GaN",
        potential="GaN.sw",
        boundary=basal((3, 1, 0), (3, 2, 0)),
        area=hexagonal(7),
        terminations=(1, 0),
    ),
}


@dataclass(frozen=True, kw_only=True)
class System:
    crystal: Crystal
    potential: Potential
    oblique: BoundaryTemplate
    straight: BoundaryTemplate
    model: EnergyModel

    def energy(self, relaxation: Relaxation) -> float:
        return boundary_energy(self.model, relaxation).energy_j_per_m2

    def static(self, bicrystal: Bicrystal) -> float:
        return self.energy(
            Relaxation(
                bicrystal=bicrystal,
                energies=single_point(self.potential, bicrystal),
                n_force_evaluations=1,
            )
        )


@cache
def system(name: str) -> System:
    case = CASES[name]
    reference = find_crystal(case.crystal)
    potential = find_potential(case.potential, base=Path(), species=reference.species)
    crystal, _ = relaxed_crystal(potential, reference)
    boundary = case.boundary(crystal)
    oblique, straight = (
        build_template(boundary, boundary, cutoff=cutoff(potential), oblique=choice)
        for choice in (None, False)
    )
    spacings = (oblique.upper.spacing, oblique.lower.spacing)
    return System(
        crystal=crystal,
        potential=potential,
        oblique=oblique,
        straight=straight,
        model=make_energy_model(potential, crystal, crystal, spacings=spacings),
    )


def at(name: str, template: BoundaryTemplate, shift: tuple[float, float]) -> Bicrystal:
    """Whole grains, the upper one translated along x and z, and lifted [Å]."""
    u, v = np.linalg.solve(template.shift_cell.T, shift)
    above, below = CASES[name].terminations
    whole = assemble(
        template,
        {
            "shift_u": u,
            "shift_v": v,
            "overlap": NOTHING,
            "upper_termination": above if len(template.upper.terminations) > 1 else 0,
            "lower_termination": below if len(template.lower.terminations) > 1 else 0,
        },
    )
    lift = np.outer(whole.grains == 1, [0.0, 0.5, 0.0])
    return replace(whole, positions=whole.positions + lift)


def on_each_other(first: Array, second: Array, cell: Array) -> float:
    """Return the largest distance from an atom of one set to the other's nearest."""
    tree = cKDTree(around(first, cell))
    return float(tree.query(wrapped(second, reduced_cell(cell)))[0].max())


cases = pytest.mark.parametrize("name", CASES)
SHIFT = (0.37, 0.91)


@cases
def test_area_and_atoms_are_those_of_the_coincidence_cell(name: str) -> None:
    case, this = CASES[name], system(name)
    small, large = at(name, this.oblique, SHIFT), at(name, this.straight, SHIFT)
    assert abs(this.oblique.shear) > 1.0
    assert small.area == pytest.approx(case.area(this.crystal))
    assert large.area == pytest.approx(case.times * small.area)
    assert len(large.numbers) == case.times * len(small.numbers)
    # The large cell is a cell of the small one's crystal, atom by atom.
    assert on_each_other(small.positions, large.positions, small.cell) < 1e-6
    again = repeated(small, case.times, 1)
    np.testing.assert_allclose(again.cell, large.cell, atol=1e-6)
    assert on_each_other(again.positions, large.positions, large.cell) < 1e-6
    # What an image shows repeats with the width: columns of one width, as many times.
    n_columns = [
        len(project_columns(b, np.ones(len(b.numbers)))[0]) for b in (small, large)
    ]
    assert n_columns[1] == case.times * n_columns[0]


@cases
def test_energies_do_not_depend_on_the_cell(name: str) -> None:
    this = system(name)
    pair = [at(name, t, SHIFT) for t in (this.oblique, this.straight)]
    static = [this.static(bicrystal) for bicrystal in pair]
    assert static[0] == pytest.approx(static[1], abs=STATIC)
    relaxer = LammpsRelaxer(this.potential)
    relaxed = [relaxer.relax(b, np.random.default_rng(0)) for b in pair]
    energies = [this.energy(r) for r in relaxed]
    assert energies[0] == pytest.approx(energies[1], abs=RELAXED)
    # It relaxed, in its own frame: the blocks as they were, the upper one as a whole.
    assert energies[0] < static[0] - 0.01
    moved = relaxed[0].bicrystal.positions - pair[0].positions
    assert np.abs(moved[pair[0].regions == LOWER_BLOCK]).max() < 1e-9
    upper = moved[pair[0].regions == UPPER_BLOCK]
    assert np.ptp(upper, axis=0).max() < 1e-9
    other = (relaxed[1].bicrystal.positions - pair[1].positions)[
        pair[1].regions == UPPER_BLOCK
    ][0]
    # Flat valleys of the twist let the translation end 0.05 Å apart at most.
    np.testing.assert_allclose(upper[0], other, atol=0.05)
    assert single_point(this.potential, relaxed[0].bicrystal).sum() == pytest.approx(
        relaxed[0].energies.sum(), abs=1e-6
    )


def test_dynamics_in_a_sheared_cell() -> None:
    """Atoms move, the blocks stay what they are, and it ends in a minimum."""
    this = system("Cu S5(102) mixed")
    start = at("Cu S5(102) mixed", this.oblique, SHIFT)
    relaxed, again = (
        LammpsRelaxer(this.potential).relax(
            start, np.random.default_rng(3), Anneal(temperature_k=600, steps=400)
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(
        relaxed.bicrystal.positions, again.bicrystal.positions
    )
    moved = relaxed.bicrystal.positions - start.positions
    assert np.abs(moved[start.regions == LOWER_BLOCK]).max() < 1e-9
    assert np.abs(moved[start.regions == FREE]).max() > 0.1
    assert 0.3 < this.energy(relaxed) < 1.5


def test_a_calculator_of_ase_sees_the_same_boundary() -> None:
    """EMT, an independent code with its own neighbours, on both cells."""
    model = AseModel(calculator="ase.calculators.emt.EMT", modules=("ase.calculators",))
    relaxer = AseRelaxer(model)
    boundary = coincidence_boundary(find_crystal("Cu"), (0, 0, 1), 17, (4, 1, 0))
    small, large = (
        at(
            "Cu S17(410) tilt",
            build_template(
                boundary, boundary, cutoff=2.0, free_thickness=6.0, oblique=choice
            ),
            SHIFT,
        )
        for choice in (True, False)
    )
    # [eV], of some 1e2 atoms: rounding.
    before = relaxer.total_energy(small)
    assert 2 * before == pytest.approx(relaxer.total_energy(large), abs=1e-6)
    relaxed = relaxer.relax(small, np.random.default_rng(0))
    assert relaxed.total_energy is not None
    assert relaxed.total_energy < before - 1.0
    twice = relaxer.total_energy(repeated(relaxed.bicrystal, 2, 1))
    assert 2 * relaxed.total_energy == pytest.approx(twice, abs=1e-6)


def test_cu_s7_twist_is_what_ase_builds() -> None:
    """Each grain a supercell of the (111) slab of ase.build, oblique by itself."""
    copper = find_crystal("Cu")
    a = float(copper.cell[0, 0])
    boundary = coincidence_boundary(copper, (1, 1, 1), 7, (1, 1, 1))
    template = build_template(boundary, boundary, cutoff=5.5)
    bicrystal = assemble(template, {"shift_u": 0.0, "shift_v": 0.0, "overlap": NOTHING})
    layer = fcc111("Cu", size=(1, 1, 9), a=a, vacuum=10.0)
    slab = make_supercell(layer, [[2, 1, 0], [-1, 3, 0], [0, 0, 1]])
    first, second = slab.cell[:2]
    assert bicrystal.area == pytest.approx(
        float(np.linalg.norm(np.cross(first, second)))
    )
    assert template.depth == pytest.approx(float(np.linalg.norm(first)))
    # Its first edge along our z, its normal along our y.
    normal, along = np.array([0.0, 0.0, 1.0]), first / np.linalg.norm(first)
    atoms = slab.positions @ np.array([np.cross(normal, along), normal, along]).T
    # The edge of the coincidence cell lies 19.1 degrees to one side of a <110> in one
    # grain and to the other side in the other: mirrored, with the layers from below in
    # the order that they have from above.
    lower = nearest_layers(bicrystal, 2, len(atoms))
    upper = nearest_layers(bicrystal, 1, len(atoms))
    assert matches(atoms, lower, bicrystal.cell)
    assert matches(atoms * [-1.0, -1.0, 1.0], upper, bicrystal.cell)
    assert not matches(atoms, upper, bicrystal.cell)
    assert not matches(atoms * [-1.0, -1.0, 1.0], lower, bicrystal.cell)


def nearest_layers(bicrystal: Bicrystal, grain: int, n: int) -> Array:
    """Return the positions of the `n` atoms of a grain next to the boundary."""
    own = bicrystal.positions[bicrystal.grains == grain]
    height = np.round(np.abs(own[:, 1] - bicrystal.boundary_height), 6)
    return np.asarray(own[np.argsort(height, kind="stable")[:n]])


def matches(slab: Array, atoms: Array, cell: Array) -> bool:
    """Whether a slab is these atoms but for a translation."""
    lowest = slab[np.argmin(slab[:, 1])]
    base = atoms[np.abs(atoms[:, 1] - atoms[:, 1].min()) < 1e-3]
    return any(
        on_each_other(slab - lowest + start, atoms, cell) < 1e-6 for start in base
    )
