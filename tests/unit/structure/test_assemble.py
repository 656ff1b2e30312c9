"""`assemble`: what a vector of the search space becomes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoloop.domain import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Bicrystal,
    Grain,
    GrainBoundary,
)
from autoloop.errors import SimulationError
from autoloop.geometry import periodic_pairs
from autoloop.structure.assemble import (
    OVERLAP_BOUNDS,
    assemble,
    assemble_space,
    initial_gap,
    species_excess,
)
from autoloop.structure.crystals import find_crystal
from autoloop.structure.template import BoundaryTemplate, build_template

Array = NDArray[np.float64]
Indices = tuple[int, int, int]

NOTHING = 1e-6  # as share of a bond: no two atoms of different grains are that close


@cache
def template_of(
    name: str, zone: Indices, upper: Indices, lower: Indices, turn: float = 0.0
) -> BoundaryTemplate:
    crystal = find_crystal(name)
    boundary = GrainBoundary(
        upper=Grain(crystal=crystal, zone_axis=zone, up=upper, rotation_deg=turn),
        lower=Grain(crystal=crystal, zone_axis=zone, up=lower),
    )
    return build_template(boundary, boundary, cutoff=5.5)


CASES = {
    "Cu S5(310)": template_of("Cu", (0, 0, 1), (3, 1, 0), (3, -1, 0)),
    "Cu S3(111)": template_of("Cu", (1, -1, 0), (1, 1, 1), (1, 1, -1)),
    "Si S9(221)": template_of("Si", (1, -1, 0), (2, 2, 1), (2, 2, -1)),
    "CdTe S5(310)": template_of("CdTe", (0, 0, 1), (3, 1, 0), (3, -1, 0)),
    "CdTe S3(112)": template_of("CdTe", (1, -1, 0), (1, 1, 2), (-1, -1, 2)),
    "CdTe 7.2": template_of("CdTe", (1, 1, 0), (-1, 1, 0), (0, 0, 1), 7.2),
}
NAMES = sorted(CASES)
NEUTRAL = ("CdTe S5(310)", "CdTe S3(112)", "CdTe 7.2")


def vector(template: BoundaryTemplate, seed: int, **fixed: Any) -> dict[str, Any]:
    return assemble_space(template).sample(np.random.default_rng(seed)) | fixed


def lengths(bicrystal: Bicrystal, radius: float) -> Array:
    """Sorted distances of all pairs, in a cell wide enough to hold each once."""
    repeats = [1 + int(2 * radius // bicrystal.cell[k, k]) for k in (0, 2)]
    steps = [
        i * bicrystal.cell[0] + k * bicrystal.cell[2]
        for i in range(repeats[0])
        for k in range(repeats[1])
    ]
    positions = np.vstack([bicrystal.positions + step for step in steps])
    cell = bicrystal.cell * np.array([[repeats[0]], [1], [repeats[1]]])
    return np.sort(periodic_pairs(positions, cell, radius)[1])


# --- the space ----------------------------------------------------------------------


def test_dimensions_follow_the_terminations() -> None:
    plain = assemble_space(CASES["Cu S5(310)"])
    assert [d.name for d in plain.dimensions] == ["shift_u", "shift_v", "overlap"]
    assert [d.kind for d in plain.dimensions] == ["periodic", "periodic", "real"]
    measured = assemble_space(CASES["CdTe 7.2"], {"shift_u": 0.2}, {"shift_u": 0.1})
    assert [d.name for d in measured.dimensions] == [
        *("shift_u", "shift_v", "upper_termination", "lower_termination", "overlap")
    ]
    assert measured.measured == {"shift_u": 0.2}
    assert measured.measured_sigma == {"shift_u": 0.1}


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6))
def test_every_vector_of_the_space_becomes_a_boundary(name: str, seed: int) -> None:
    template = CASES[name]
    parameters = vector(template, seed)
    made = assemble(template, parameters)
    again = assemble(template, dict(reversed(parameters.items())))
    for field in ("numbers", "positions", "grains", "regions", "origins", "cell"):
        np.testing.assert_array_equal(getattr(made, field), getattr(again, field))
    assert np.ptp(made.positions[:, 1]) > 2 * template.free_thickness
    np.testing.assert_allclose(
        made.cell, np.diag([template.width, made.cell[1, 1], template.depth])
    )
    # Vacuum on both sides, and every region in its place.
    assert made.positions[:, 1].min() > 9
    assert made.positions[:, 1].max() < made.cell[1, 1] - 9
    height = made.positions[:, 1] - made.boundary_height
    for region, side in ((UPPER_BLOCK, 1), (LOWER_BLOCK, -1)):
        block = made.regions == region
        assert np.all(side * height[block] > template.free_thickness)
        assert np.all(made.grains[block] == (1 if side > 0 else 2))
        # Forces reach two cutoffs: no free atom feels the surface.
        free = side * height[made.regions == FREE]
        assert (side * height).max() - free.max() > 2 * 5.5
    assert np.all(np.abs(height[made.regions == FREE]) < template.free_thickness + 2)


# --- translation and termination ----------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 10**6),
    steps=st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
)
def test_a_step_of_the_shift_cell_gives_the_same_boundary(
    name: str, seed: int, steps: tuple[int, int]
) -> None:
    template = CASES[name]
    here = vector(template, seed, overlap=NOTHING)
    there = here | {
        "shift_u": here["shift_u"] + steps[0],
        "shift_v": here["shift_v"] + steps[1],
    }
    one, other = assemble(template, here), assemble(template, there)
    assert len(one.numbers) == len(other.numbers)
    np.testing.assert_allclose(lengths(one, 4.5), lengths(other, 4.5), atol=1e-5)


def test_other_translations_give_other_boundaries() -> None:
    """So that the property above is one of the shift cell, not of any vector."""
    for name, template in CASES.items():
        for u, v in ((0.5, 0.0), (0.0, 0.5), (0.31, 0.17)):
            one, other = (
                lengths(assemble(template, vector(template, 1, **shift)), 4.5)
                for shift in (
                    {"shift_u": 0.1, "shift_v": 0.1, "overlap": NOTHING},
                    {"shift_u": 0.1 + u, "shift_v": 0.1 + v, "overlap": NOTHING},
                )
            )
            same = len(one) == len(other) and np.abs(one - other).max() < 1e-3
            assert not same, f"{name}: a shift of {u}, {v} changes nothing"


@pytest.mark.parametrize("name", NAMES)
def test_only_the_upper_grain_moves(name: str) -> None:
    template = CASES[name]
    plain = vector(template, 3, shift_u=0.0, shift_v=0.0, overlap=NOTHING)
    still = assemble(template, plain)
    moved = assemble(template, plain | {"shift_u": 0.3, "shift_v": 0.6})
    below = still.positions[still.grains == 2]
    np.testing.assert_array_equal(below, moved.positions[moved.grains == 2])
    dx, dz = np.array([0.3, 0.6]) @ template.shift_cell
    step = moved.origins - still.origins
    np.testing.assert_allclose(step, [[dx, 0, dz], [0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize("name", ["Si S9(221)", "CdTe 7.2"])
def test_a_termination_puts_its_plane_at_the_boundary(name: str) -> None:
    template = CASES[name]
    gap = initial_gap(template)
    for k in range(2):
        for grain, key, side in ((1, "upper", 1), (2, "lower", -1)):
            parameters = vector(template, 5, overlap=NOTHING) | {
                f"{key}_termination": k
            }
            made = assemble(template, parameters)
            own = made.grains == grain
            height = side * (made.positions[own, 1] - made.boundary_height)
            assert height.min() == pytest.approx(gap / 2, abs=1e-9)
            # The origin of the crystal lies where that plane has it.
            source = template.upper if grain == 1 else template.lower
            origin = made.origins[grain - 1, 1] - made.boundary_height
            plane = origin + source.terminations[k]
            assert side * plane == pytest.approx(gap / 2, abs=1e-9)


def test_a_plane_that_is_not_quite_flat_ends_both_grains_whole(tmp_path: Path) -> None:
    # Two atoms 0.03 Å apart in height, one termination: both or none at each end.
    buckled = Atoms(
        "CuAu",
        scaled_positions=[(0, 0, 0), (0.5, 0.0075, 0.5)],
        cell=[3.5, 4.0, 3.7],
        pbc=True,
    )
    write(tmp_path / "buckled.vasp", buckled)
    crystal = find_crystal("buckled.vasp", base=tmp_path)
    boundary = GrainBoundary(
        upper=Grain(crystal=crystal, zone_axis=(0, 0, 1), up=(0, 1, 0)),
        lower=Grain(crystal=crystal, zone_axis=(1, 0, 0), up=(0, 1, 0)),
    )
    template = build_template(boundary, boundary, cutoff=5.5, max_strain=0.1)
    assert len(template.upper.terminations) == len(template.lower.terminations) == 1
    made = assemble(template, {"shift_u": 0.1, "shift_v": 0.2, "overlap": NOTHING})
    for grain in (1, 2):
        own = made.positions[:, 1][made.grains == grain]
        near = np.abs(own - made.boundary_height) < 3.9  # less than the next plane
        kinds = made.numbers[made.grains == grain][near]
        assert np.sum(kinds == 29) == np.sum(kinds == 79) > 0


@pytest.mark.parametrize("name", ["Cu", "Si", "CdTe", "Mg"])
def test_where_the_cell_of_the_crystal_begins_does_not_matter(name: str) -> None:
    """A file may put its atoms anywhere: none is lost, and the planes stay."""
    crystal = find_crystal(name)
    away = replace(
        crystal, scaled_positions=np.mod(crystal.scaled_positions + 0.93, 1.0)
    )
    made = []
    for kind in (crystal, away):
        boundary = GrainBoundary(
            upper=Grain(crystal=kind, zone_axis=(0, 0, 1), up=(1, 0, 0)),
            lower=Grain(
                crystal=kind, zone_axis=(0, 0, 1), up=(1, 0, 0), rotation_deg=21.8
            ),
        )
        template = build_template(boundary, boundary, cutoff=5.5)
        made.append(
            [
                assemble(template, vector(template, 1, overlap=NOTHING, **ends))
                for ends in ({}, {"shift_u": 0.77, "shift_v": 0.41})
            ]
        )
        for bicrystal in made[-1]:
            for grain, source in ((1, template.upper), (2, template.lower)):
                volume = abs(np.linalg.det(source.lattice)) / len(source.numbers)
                own = bicrystal.grains == grain
                area = template.width * template.depth
                thickness = template.free_thickness + template.block_thickness
                assert own.sum() == pytest.approx(
                    area * thickness / volume, abs=area * source.spacing / volume + 1e-6
                )
                # No lattice plane has a hole.
                y = np.abs(bicrystal.positions[own, 1] - bicrystal.boundary_height)
                layer = ((y - y.min() + 1e-3) // source.spacing).astype(int)
                held = np.bincount(layer)[:-1]
                assert set(held) == {round(area * source.spacing / volume)}


# --- overlap ------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 10**6),
    overlap=st.floats(*OVERLAP_BOUNDS),
)
def test_atoms_of_both_grains_keep_their_distance(
    name: str, seed: int, overlap: float
) -> None:
    template = CASES[name]
    parameters = vector(template, seed, overlap=overlap)
    limit = overlap * template.bond_length
    before = assemble(template, parameters | {"overlap": NOTHING})
    after = assemble(template, parameters)
    pairs, _ = periodic_pairs(before.positions, before.cell, limit)
    close = pairs[before.grains[pairs[:, 0]] != before.grains[pairs[:, 1]]]
    lost = len(before.numbers) - len(after.numbers)
    assert (lost > 0) == (len(close) > 0)
    assert lost <= len(close)
    # Where no atom was merged into, nothing closer than the limit is left. An atom that
    # was has moved by half of a distance below it, never further.
    gap = np.linalg.norm(after.positions[:, None] - before.positions, axis=2)
    gap[after.grains[:, None] != before.grains] = np.inf
    nearest = gap.min(axis=1)
    assert nearest.max() <= limit / 2
    moved = nearest > 1e-9
    pairs, _ = periodic_pairs(after.positions, after.cell, limit - 1e-6)
    across = after.grains[pairs[:, 0]] != after.grains[pairs[:, 1]]
    assert np.all(moved[pairs[across]].any(axis=1))
    assert moved.sum() <= lost
    # Far from the boundary nothing happens.
    for region in (UPPER_BLOCK, LOWER_BLOCK):
        np.testing.assert_array_equal(
            after.positions[after.regions == region],
            before.positions[before.regions == region],
        )


def test_two_atoms_in_one_place_become_one() -> None:
    """Mirror twin at zero shift: the planes next to the boundary meet in pairs."""
    template = CASES["Cu S5(310)"]
    made = assemble(template, {"shift_u": 0.0, "shift_v": 0.0, "overlap": 0.5})
    raw = assemble(template, {"shift_u": 0.0, "shift_v": 0.0, "overlap": NOTHING})
    assert len(made.numbers) == len(raw.numbers) - 1
    # The pair straddles the boundary, so the one that stays lies in it.
    assert np.abs(made.positions[:, 1] - made.boundary_height).min() < 1e-9


def test_a_merge_across_the_seam_stays_where_the_pair_was() -> None:
    template = CASES["Cu S5(310)"]
    # The upper atom at x = -0.2 Å, that is near the right end of the cell.
    shift = -0.2 / template.width
    made = assemble(template, {"shift_u": shift, "shift_v": 0.0, "overlap": 0.5})
    middle = np.abs(made.positions[:, 1] - made.boundary_height) < 1e-9
    assert middle.sum() == 1
    x = made.positions[middle, 0]
    assert (x + 0.1 + 1) % template.width - 1 == pytest.approx(0.0, abs=1e-9)


def test_of_unlike_atoms_the_species_goes_that_is_in_excess() -> None:
    n_seen = 0
    for seed in range(150):
        template = CASES["CdTe S5(310)"]
        parameters = vector(template, seed, overlap=0.95)
        before = assemble(template, parameters | {"overlap": NOTHING})
        limit = 0.95 * template.bond_length
        pairs, _ = periodic_pairs(before.positions, before.cell, limit)
        close = pairs[before.grains[pairs[:, 0]] != before.grains[pairs[:, 1]]]
        unlike = before.numbers[close[:, 0]] != before.numbers[close[:, 1]]
        if len(close) < 2 or not unlike.all() or len(np.unique(close)) < close.size:
            continue
        n_seen += 1
        after = assemble(template, parameters)
        lost = [
            np.sum(before.numbers == z) - np.sum(after.numbers == z) for z in (48, 52)
        ]
        assert sum(lost) == len(close)
        assert abs(lost[0] - lost[1]) <= 1
    assert n_seen >= 5  # translations of the kind looked for are among those drawn


# --- composition --------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(NEUTRAL), seed=st.integers(0, 10**6))
def test_stoichiometric_means_no_excess(name: str, seed: int) -> None:
    template = CASES[name]
    parameters = vector(template, seed)
    free = assemble(template, parameters)
    excess = species_excess(free, template)
    if abs(excess - round(excess)) > 1e-3:  # as between polar planes
        with pytest.raises(SimulationError, match="cannot be removed"):
            assemble(template, parameters, stoichiometric=True)
        return
    made = assemble(template, parameters, stoichiometric=True)
    assert species_excess(made, template) == pytest.approx(0.0, abs=1e-3)
    # By deletion near the boundary alone, of no more than were too many.
    removed = ~np.any(np.all(free.positions[:, None] == made.positions, axis=2), axis=1)
    assert removed.sum() == round(abs(excess))
    # The most crowded go first.
    pairs, distances = periodic_pairs(
        free.positions, free.cell, 1.4 * template.bond_length
    )
    room = np.full(len(free.numbers), np.inf)
    np.minimum.at(room, pairs, distances[:, None])
    near = np.abs(free.positions[:, 1] - free.boundary_height) < 5.0
    others = near & ~removed & (free.numbers == (52 if excess > 0 else 48))
    if removed.any():
        assert room[removed].max() <= room[others].min() + 2e-3  # equal to rounding
    for region in (UPPER_BLOCK, LOWER_BLOCK):
        np.testing.assert_array_equal(
            made.positions[made.regions == region],
            free.positions[free.regions == region],
        )


def test_excess_counts_what_is_missing_from_the_boundary() -> None:
    # (310) planes of zincblende are neutral and hold one atom of each species a cell.
    template = CASES["CdTe S5(310)"]
    made = assemble(template, {"shift_u": 0.3, "shift_v": 0.4, "overlap": NOTHING})
    assert species_excess(made, template) == pytest.approx(0.0, abs=1e-9)
    near = np.argsort(np.abs(made.positions[:, 1] - made.boundary_height))
    for species, sign in ((48, 1.0), (52, -1.0)):
        gone = [i for i in near if made.numbers[i] == species][:3]
        kept = np.delete(np.arange(len(made.numbers)), gone)
        fewer = Bicrystal(
            numbers=made.numbers[kept],
            positions=made.positions[kept],
            cell=made.cell,
            boundary_height=made.boundary_height,
            grains=made.grains[kept],
            regions=made.regions[kept],
        )
        assert species_excess(fewer, template) == pytest.approx(3 * sign, abs=1e-9)


def test_an_excess_that_no_deletion_mends_is_the_candidate_s_failure() -> None:
    # Between (111) of one grain and (111) of the other, both Cd faces: half an atom.
    template = template_of("CdTe", (1, -1, 0), (1, 1, 1), (-1, -1, -1))
    found = set()
    for upper in (0, 1):
        for lower in (0, 1):
            parameters = {
                "shift_u": 0.1,
                "shift_v": 0.2,
                "overlap": NOTHING,
                "upper_termination": upper,
                "lower_termination": lower,
            }
            free = assemble(template, parameters)
            excess = species_excess(free, template)
            found.add(round(excess, 2))
            if abs(excess - round(excess)) > 1e-3:
                with pytest.raises(
                    SimulationError, match="stoichiometry: an excess of"
                ):
                    assemble(template, parameters, stoichiometric=True)
    # Both terminations of either grain count differently.
    assert len(found) > 1


def test_of_an_element_nothing_is_in_excess() -> None:
    template = CASES["Cu S5(310)"]
    parameters = vector(template, 2)
    one = assemble(template, parameters, stoichiometric=True)
    np.testing.assert_array_equal(
        one.positions, assemble(template, parameters).positions
    )
