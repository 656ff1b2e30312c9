"""What must not change the energy of a boundary, and where no mutation may reach.

Energies from LAMMPS. The static energy is that of the atoms where they stand: it
changes by rounding alone, 1e-6 J/m² at most. Relaxed again from a relaxed state, the
minimiser begins below its force tolerance, 3e-4 eV/Å; what little it still gains stays
below 1e-4 J/m².
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloop.domain import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Bicrystal,
    Candidate,
    Crystal,
    Grain,
    GrainBoundary,
    Proposal,
    Relaxation,
)
from autoloop.errors import SimulationError
from autoloop.geometry import wrapped
from autoloop.relax.bulk import cutoff, relaxed_crystal
from autoloop.relax.energy import EnergyModel, boundary_energy, make_energy_model
from autoloop.relax.engine import LammpsRelaxer, single_point
from autoloop.relax.potentials import Potential, find_potential
from autoloop.structure.assemble import assemble
from autoloop.structure.coincidence import coincidence_boundary
from autoloop.structure.crystals import find_crystal
from autoloop.structure.edits import repeated
from autoloop.structure.mutations import MUTATIONS, applicable, build
from autoloop.structure.template import BoundaryTemplate, build_template

STATIC = 1e-6  # [J/m²]
RELAXED = 1e-4  # [J/m²]

TILTS = {
    "Cu S5(310)": ("Cu", "Cu_mishin1.eam.alloy", (0, 0, 1), (3, 1, 0), (3, -1, 0)),
    "Si S9(221)": ("Si", "Si.sw", (1, -1, 0), (2, 2, 1), (-2, -2, 1)),
    "CdTe S5(310)": (
        "CdTe",
        "CdTeZnSeHgS0.sw",
        (0, 0, 1),
        (3, 1, 0),
        (3, -1, 0),
    ),
    "CdTe S3(112)": (
        "CdTe",
        "CdTeZnSeHgS0.sw",
        (1, -1, 0),
        (-1, -1, -2),
        (-1, -1, 2),
    ),
}
# In oblique cells, by axis, Sigma and plane; the first is sheared by a third of its
# depth, the second by a half.
SHEARED = {
    "Cu S5(102)": ("Cu", "Cu_mishin1.eam.alloy", (0, 0, 1), 5, (1, 0, 2)),
    "CdTe S13(320)": ("CdTe", "CdTeZnSeHgS0.sw", (0, 0, 1), 13, (3, 2, 0)),
}
CASES = (*TILTS, *SHEARED)
cases = pytest.mark.parametrize("case", CASES)
quietly = settings(max_examples=8, deadline=None, derandomize=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    potential: Potential
    template: BoundaryTemplate
    model: EnergyModel

    def energies(self, bicrystal: Bicrystal) -> np.ndarray:
        """Static: at one chemical potential, and at both its limits [J/m²]."""
        return self._gamma(
            Relaxation(
                bicrystal=bicrystal,
                energies=single_point(self.potential, bicrystal),
                n_force_evaluations=1,
            )
        )

    def relax(self, bicrystal: Bicrystal) -> tuple[Bicrystal, np.ndarray]:
        relaxer = LammpsRelaxer(self.potential)
        relaxation = relaxer.relax(bicrystal, np.random.default_rng(0))
        return relaxation.bicrystal, self._gamma(relaxation)

    def _gamma(self, relaxation: Relaxation) -> np.ndarray:
        energy = boundary_energy(self.model, relaxation)
        limits = energy.limits_j_per_m2 or ()
        return np.array([energy.energy_j_per_m2, *limits])


@cache
def system(case: str) -> System:
    name, file = (TILTS.get(case) or SHEARED[case])[:2]
    reference = find_crystal(name)
    potential = find_potential(file, base=Path(), species=reference.species)
    crystal, _ = relaxed_crystal(potential, reference)
    model, given_ = (grain_boundary(case, c) for c in (crystal, reference))
    template = build_template(model, given_, cutoff=cutoff(potential))
    spacings = (template.upper.spacing, template.lower.spacing)
    energy_model = make_energy_model(potential, crystal, crystal, spacings=spacings)
    return System(potential=potential, template=template, model=energy_model)


def grain_boundary(case: str, crystal: Crystal) -> GrainBoundary:
    if case in SHEARED:
        return coincidence_boundary(crystal, *SHEARED[case][2:])
    zone, up, down = TILTS[case][2:]
    return GrainBoundary(
        upper=Grain(crystal=crystal, zone_axis=zone, up=up),
        lower=Grain(crystal=crystal, zone_axis=zone, up=down),
    )


@cache
def parent(case: str) -> tuple[Bicrystal, tuple[float, ...]]:
    """A relaxed boundary and its energies."""
    vector = {"shift_u": 0.27, "shift_v": 0.41, "overlap": 0.75}
    bicrystal, energies = system(case).relax(assemble(system(case).template, vector))
    return bicrystal, tuple(energies)


def as_built(case: str, shift: tuple[float, float]) -> Bicrystal:
    """Whole grains, not too close for the digits of their energy to count."""
    vector = {"shift_u": shift[0], "shift_v": shift[1], "overlap": 1e-6}
    whole = assemble(system(case).template, vector)
    upper = (whole.grains == 1)[:, None]
    apart = whole.positions + upper * np.array([0.0, 1.0, 0.0])
    return replace(whole, positions=apart)


def translated(bicrystal: Bicrystal, grain: int, step: np.ndarray) -> Bicrystal:
    mine = (bicrystal.grains == grain)[:, None]
    return replace(bicrystal, positions=bicrystal.positions + mine * step)


def permuted(bicrystal: Bicrystal, seed: int) -> Bicrystal:
    order = np.random.default_rng(seed).permutation(len(bicrystal.numbers))
    names = ("numbers", "positions", "grains", "regions")
    return replace(bicrystal, **{n: getattr(bicrystal, n)[order] for n in names})


def turned_over(bicrystal: Bicrystal, about: str) -> Bicrystal:
    """Turn by 180 degrees, so that the upper grain becomes the lower one."""
    signs = np.array([1, -1, -1] if about == "x" else [-1, -1, 1])
    top = np.array([0.0, 2 * bicrystal.boundary_height, 0.0])
    cell = bicrystal.cell.copy()
    cell[0, 2] *= -1  # about either axis
    other = np.array([FREE, LOWER_BLOCK, UPPER_BLOCK])
    return replace(
        bicrystal,
        cell=cell,
        positions=bicrystal.positions * signs + top,
        grains=3 - bicrystal.grains,
        regions=other[bicrystal.regions],
        origins=bicrystal.origins[::-1] * signs + top,
    )


def in_plane_vectors(template: BoundaryTemplate, grain: int) -> np.ndarray:
    """Lattice vectors (n, 3) of a grain in the boundary plane, but for zero [Å]."""
    lattice = (template.upper if grain == 1 else template.lower).lattice
    reach = np.arange(-5, 6)
    cells = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3)
    vectors = cells @ lattice
    flat = np.abs(vectors[:, 1]) < 1e-6
    return vectors[flat & (np.linalg.norm(vectors, axis=1) > 1e-6)]


shares = st.floats(0.0, 1.0, exclude_max=True)


@cases
@quietly
@given(grain=st.sampled_from([1, 2]), which=shares, shift=st.tuples(shares, shares))
def test_a_lattice_translation_of_one_grain(case, grain, which, shift):
    bicrystal = as_built(case, shift)
    vectors = in_plane_vectors(system(case).template, grain)
    step = vectors[int(which * len(vectors))]
    moved = translated(bicrystal, grain, step)
    expected = system(case).energies(bicrystal)
    elsewhere = translated(bicrystal, grain, step + np.array([0.4, 0.0, 0.3]))
    assert np.abs(system(case).energies(elsewhere) - expected).max() > 100 * STATIC
    np.testing.assert_allclose(
        system(case).energies(moved), expected, rtol=0, atol=STATIC
    )


@cases
@quietly
@given(
    grain=st.sampled_from([1, 2]),
    n=st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
)
def test_a_common_translation_of_one_relaxed_grain(case, grain, n):
    """Of the vectors of either lattice, those that a relaxed core shares."""
    bicrystal, energies = parent(case)
    step = n[0] * bicrystal.cell[0] + n[1] * bicrystal.cell[2]
    moved = translated(bicrystal, grain, step)
    static = system(case).energies(moved)
    np.testing.assert_allclose(static, energies, rtol=0, atol=STATIC)
    _, again = system(case).relax(moved)
    np.testing.assert_allclose(again, energies, rtol=0, atol=RELAXED)


@cases
@quietly
@given(seed=st.integers(0, 2**32 - 1))
def test_a_permutation_of_atoms(case, seed):
    bicrystal, energies = parent(case)
    shuffled = permuted(bicrystal, seed)
    static = system(case).energies(shuffled)
    np.testing.assert_allclose(static, energies, rtol=0, atol=STATIC)
    _, again = system(case).relax(shuffled)
    np.testing.assert_allclose(again, energies, rtol=0, atol=RELAXED)


@cases
@pytest.mark.parametrize("about", ["x", "z"])
def test_a_swap_of_the_grains(case, about):
    bicrystal, energies = parent(case)
    swapped = turned_over(bicrystal, about)
    static = system(case).energies(swapped)
    np.testing.assert_allclose(static, energies, rtol=0, atol=STATIC)
    _, again = system(case).relax(swapped)
    np.testing.assert_allclose(again, energies, rtol=0, atol=RELAXED)


@cases
@pytest.mark.parametrize("n", [(2, 1), (1, 2)])
def test_a_repetition_of_the_cell(case, n):
    bicrystal, energies = parent(case)
    static = system(case).energies(repeated(bicrystal, *n))
    np.testing.assert_allclose(static, energies, rtol=0, atol=STATIC)


def block_of(bicrystal: Bicrystal, region: int) -> np.ndarray:
    """Sorted positions in the cell (n, 3) [Å]."""
    inside = wrapped(bicrystal.positions, bicrystal.cell)[bicrystal.regions == region]
    return inside[np.lexsort(np.round(inside.T, 4))]


@pytest.mark.parametrize("name", [m for m in MUTATIONS if m != "assemble"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(case=st.sampled_from(sorted(CASES)), seed=st.integers(0, 2**32 - 1))
def test_no_mutation_reaches_into_a_block(name, case, seed):
    if name in applicable(system(case).template):
        changed(case, name, np.random.default_rng(seed))


@pytest.mark.parametrize("case", SHEARED)
def test_every_mutation_finds_its_way_in_a_sheared_cell(case):
    """Of a few draws one gives a boundary that relaxes, as in rectangular cells."""
    assert abs(system(case).template.shear) > 1.0
    rng = np.random.default_rng(1)
    for name in applicable(system(case).template):
        if name != "assemble":
            assert any(changed(case, name, rng) for _ in range(8)), name


def changed(case, name, rng):
    """Whether a mutation, drawn at random, relaxes; it must keep out of the blocks."""
    template = system(case).template
    bicrystal, _ = parent(case)
    mutation = MUTATIONS[name]
    others = (
        translated(bicrystal, 1, np.array([0.7, 0.0, 0.4])),
        repeated(bicrystal, 1, 2),
    )
    parameters = mutation.draw(rng)
    candidate = Candidate(
        id="0000-00",
        cycle=0,
        index=0,
        proposal=Proposal(
            parents=("a", "b")[: mutation.n_parents],
            mutation=name,
            parameters=parameters,
        ),
        parents=(bicrystal, others[int(rng.integers(2))])[: mutation.n_parents],
    )
    try:
        made = build(template, candidate, rng, stoichiometric=False)
    except SimulationError:
        return False
    n = [round(float(made.cell[a, a] / bicrystal.cell[a, a])) for a in (0, 2)]
    large = repeated(bicrystal, *n)
    np.testing.assert_allclose(made.cell, large.cell, atol=1e-9)
    below, above = block_of(made, LOWER_BLOCK), block_of(made, UPPER_BLOCK)
    np.testing.assert_allclose(below, block_of(large, LOWER_BLOCK), atol=1e-9)
    # the upper block may be carried along as a whole: its heights keep their distances
    heights = [np.sort(b[:, 1]) for b in (above, block_of(large, UPPER_BLOCK))]
    assert np.ptp(heights[0] - heights[1]) < 1e-9
    free = made.positions[made.regions == FREE, 1]
    assert below[:, 1].max() < free.min()
    assert free.max() < above[:, 1].min()
    try:
        relaxed, _ = system(case).relax(made)
    except SimulationError:
        return False
    rest = relaxed.positions - made.positions
    # LAMMPS takes positions into its box, a last digit apart
    assert np.abs(rest[made.regions == LOWER_BLOCK]).max() < 1e-9
    assert np.ptp(rest[made.regions == UPPER_BLOCK], axis=0).max() < 1e-9
    return True
