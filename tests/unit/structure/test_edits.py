"""Every mutation, on boundaries of three crystals: small, pure, in its place."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloop.domain import (
    FREE,
    Bicrystal,
    Candidate,
    Grain,
    GrainBoundary,
    Proposal,
)
from autoloop.errors import SimulationError
from autoloop.geometry import periodic_pairs, wrapped
from autoloop.structure import edits
from autoloop.structure.assemble import (
    assemble,
    assemble_space,
    species_excess,
    subset,
)
from autoloop.structure.crowding import CORE
from autoloop.structure.crystals import find_crystal
from autoloop.structure.edits import repeated
from autoloop.structure.lattices import exchange_inverts
from autoloop.structure.merging import merge
from autoloop.structure.mutations import MUTATIONS, applicable, build
from autoloop.structure.template import BoundaryTemplate, build_template
from autoloop.structure.termination import terminate

SYSTEMS = {
    "cu_s5_310": ("Cu", (0, 0, 1), (3, 1, 0), (3, -1, 0)),
    "si_s9_221": ("Si", (1, 1, 0), (2, -2, 1), (-2, 2, 1)),
    "cdte_s5_310": ("CdTe", (0, 0, 1), (3, 1, 0), (3, -1, 0)),
}
EDITS = [name for name in MUTATIONS if name != "assemble"]


@cache
def make_template(name: str) -> BoundaryTemplate:
    crystal_name, zone, up, down = SYSTEMS[name]
    crystal = find_crystal(crystal_name)
    upper = Grain(crystal=crystal, zone_axis=zone, up=up)
    lower = Grain(crystal=crystal, zone_axis=zone, up=down)
    boundary = GrainBoundary(upper=upper, lower=lower)
    return build_template(boundary, boundary, cutoff=5.0)


@pytest.fixture(scope="module", params=list(SYSTEMS))
def template(request: pytest.FixtureRequest) -> BoundaryTemplate:
    return make_template(request.param)


def draw(
    template: BoundaryTemplate, name: str, rng: np.random.Generator
) -> tuple[Candidate, tuple[Bicrystal, ...]]:
    mutation, space = MUTATIONS[name], assemble_space(template)
    parents = tuple(
        assemble(template, space.sample(rng)) for _ in range(mutation.n_parents)
    )
    parameters = mutation.draw(rng)
    proposal = Proposal(
        parents=tuple("p" * (k + 1) for k in range(mutation.n_parents)),
        mutation=name,
        parameters=parameters,
    )
    candidate = Candidate(
        id="0000-00", cycle=0, index=0, proposal=proposal, parents=parents
    )
    return candidate, parents


@pytest.mark.parametrize("name", EDITS)
def test_edits_are_pure_and_keep_out_of_the_blocks(
    template: BoundaryTemplate, name: str
) -> None:
    rng = np.random.default_rng(7)
    made_any = False
    for _ in range(12):
        candidate, parents = draw(template, name, rng)
        before = [p.positions.copy() for p in parents]
        try:
            made = build(
                template, candidate, np.random.default_rng(1), stoichiometric=False
            )
        except SimulationError:
            continue
        made_any = True
        again = build(
            template, candidate, np.random.default_rng(1), stoichiometric=False
        )
        np.testing.assert_array_equal(made.positions, again.positions)
        np.testing.assert_array_equal(made.numbers, again.numbers)
        for parent, positions in zip(parents, before, strict=True):
            np.testing.assert_array_equal(parent.positions, positions)
        n_cells = round(made.area / parents[0].area)
        for region in (1, 2):
            n = int(np.sum(made.regions == region))
            assert n == n_cells * np.sum(parents[0].regions == region)
        free = made.positions[made.regions == FREE, 1]
        assert free.max() < made.positions[made.regions == 1, 1].min() + 1e-6
        assert free.min() > made.positions[made.regions == 2, 1].max() - 1e-6
    assert made_any == (name in applicable(template))


@pytest.mark.parametrize("name", EDITS)
def test_stoichiometric_searches_stay_so(name: str) -> None:
    template = make_template("cdte_s5_310")
    rng = np.random.default_rng(3)
    for _ in range(6):
        candidate, _ = draw(template, name, rng)
        try:
            made = build(
                template, candidate, np.random.default_rng(1), stoichiometric=True
            )
        except SimulationError:
            continue
        assert species_excess(made, template) == pytest.approx(0.0, abs=1e-6)


def one(template: BoundaryTemplate, name: str, **parameters: float) -> Bicrystal:
    """Apply a mutation to the boundary without shift or deletion."""
    parent = parent_of(template)
    proposal = Proposal(parents=("a",), mutation=name, parameters=parameters)
    candidate = Candidate(
        id="0000-00", cycle=0, index=0, proposal=proposal, parents=(parent,)
    )
    return build(template, candidate, np.random.default_rng(0), stoichiometric=False)


def parent_of(template: BoundaryTemplate) -> Bicrystal:
    return assemble(template, {"shift_u": 0.2, "shift_v": 0.5, "overlap": 0.7})


def test_vacate_and_insert_change_the_count_by_one(template: BoundaryTemplate) -> None:
    n = len(parent_of(template).numbers)
    assert len(one(template, "vacate", rank=0.4).numbers) == n - 1
    assert len(one(template, "vacate", rank=0.9, count=4).numbers) == n - 4
    assert len(one(template, "insert", rank=0.0, species=0).numbers) == n + 1


def test_insert_takes_the_largest_void(template: BoundaryTemplate) -> None:
    made = one(template, "insert", rank=0.0, species=0)
    pairs, distances = periodic_pairs(made.positions, made.cell, 4.0)
    new = len(made.numbers) - 1
    closest = distances[(pairs == new).any(axis=1)].min()
    assert closest >= 0.5 * template.bond_length


def test_a_shift_by_a_cell_vector_changes_nothing(template: BoundaryTemplate) -> None:
    made = one(template, "shift", shift_u=1.3, shift_v=0.6)
    same = one(template, "shift", shift_u=0.3, shift_v=0.6)
    # a displacement-shift vector restores the boundary: the same overlaps are merged
    assert len(made.numbers) == len(same.numbers)
    assert len(same.numbers) <= len(parent_of(template).numbers)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("shift", {"shift_u": 0.0, "shift_v": 0.0}),
        ("replicate", {"repeat_x": 1, "repeat_z": 1}),
    ],
)
def test_a_recipe_that_changes_nothing_is_refused(
    template: BoundaryTemplate, name: str, parameters: dict[str, float]
) -> None:
    with pytest.raises(SimulationError, match=rf"^unchanged: {name}"):
        one(template, name, **parameters)


def test_replicate_repeats_cell_and_atoms(template: BoundaryTemplate) -> None:
    parent = parent_of(template)
    made = one(template, "replicate", repeat_x=2, repeat_z=2)
    assert len(made.numbers) == 4 * len(parent.numbers)
    assert made.area == pytest.approx(4 * parent.area)
    radius = 1.2 * template.bond_length
    n_bonds = len(periodic_pairs(parent.positions, parent.cell, radius)[0])
    assert len(periodic_pairs(made.positions, made.cell, radius)[0]) >= 4 * n_bonds


def test_terminate_takes_or_adds_one_plane(template: BoundaryTemplate) -> None:
    parent = parent_of(template)
    grain = template.upper
    per_volume = len(grain.numbers) / abs(np.linalg.det(grain.lattice))
    plane = template.width * template.depth * grain.spacing / len(grain.terminations)
    expected = plane * per_volume
    removed = one(template, "terminate", grain=1, add=0)
    # merging of what then comes too close may take more
    assert len(removed.numbers) <= len(parent.numbers) - round(expected)
    added = one(template, "terminate", grain=1, add=1)
    assert len(added.numbers) <= len(parent.numbers) + round(expected)
    assert len(added.numbers) > len(removed.numbers)


def test_columns_are_added_moved_and_removed_whole(template: BoundaryTemplate) -> None:
    parent = parent_of(template)
    core = np.abs(parent.positions[:, 1] - parent.boundary_height) < CORE - 1
    x, y, _ = parent.positions[core & (parent.regions == FREE)][3]
    place = {"x": float(x), "y": float(y - parent.boundary_height)}
    removed = one(template, "remove_column", **place)
    n_column = len(parent.numbers) - len(removed.numbers)
    assert n_column >= 1
    moved = one(template, "move_column", **place, dx=0.2, dy=0.0)
    shifted = np.abs(moved.positions - parent.positions).max(axis=1) > 0.1
    assert shifted.sum() == n_column
    added = one(template, "add_column", **place, z=0.0, species=0)
    assert len(added.numbers) > len(parent.numbers)


def test_merge_of_a_boundary_with_itself_is_itself(template: BoundaryTemplate) -> None:
    parent = parent_of(template)
    proposal = Proposal(
        parents=("a", "b"), mutation="merge", parameters={"start": 0.3, "share": 0.4}
    )
    candidate = Candidate(
        id="0000-00", cycle=0, index=0, proposal=proposal, parents=(parent, parent)
    )
    with pytest.raises(SimulationError, match=r"^unchanged: merge"):
        build(template, candidate, np.random.default_rng(0), stoichiometric=False)


def test_merge_repeats_the_smaller_cell(template: BoundaryTemplate) -> None:
    small = parent_of(template)
    other = assemble(template, {"shift_u": 0.6, "shift_v": 0.1, "overlap": 0.7})
    large = repeated(other, 2, 1)
    made = merge(template, (small, large), {"start": 0.1, "share": 0.4})
    np.testing.assert_allclose(made.cell, large.cell)
    for region in (1, 2):
        n = np.sum(small.regions == region)
        assert np.sum(made.regions == region) == 2 * n
    odd = repeated(other, 3, 1)
    with pytest.raises(SimulationError, match=r"^cells: "):
        merge(template, (large, odd), {"start": 0.1, "share": 0.4})


def test_terminate_changes_a_whole_plane_of_a_repeated_cell(
    template: BoundaryTemplate,
) -> None:
    parent = parent_of(template)
    large = repeated(parent, 2, 1)
    for grain in (1, 2):
        change = {"grain": grain, "add": 0}
        lost = len(parent.numbers) - len(terminate(template, (parent,), change).numbers)
        left = terminate(template, (large,), change)
        assert len(large.numbers) - len(left.numbers) == 2 * lost


def test_a_plane_taken_and_added_again_moves_the_boundary_back(
    template: BoundaryTemplate,
) -> None:
    parent = parent_of(template)
    thinner = terminate(template, (parent,), {"grain": 2, "add": 0})
    assert thinner.boundary_height < parent.boundary_height - 0.1
    back = terminate(template, (thinner,), {"grain": 2, "add": 1})
    assert back.boundary_height == pytest.approx(parent.boundary_height)
    np.testing.assert_allclose(back.origins, parent.origins, atol=1e-9)


def test_a_grain_is_not_taken_away_down_to_its_block(
    template: BoundaryTemplate,
) -> None:
    bicrystal = parent_of(template)

    def take(bicrystal: Bicrystal, n_planes: int) -> Bicrystal:
        for _ in range(n_planes):
            bicrystal = terminate(template, (bicrystal,), {"grain": 2, "add": 0})
        return bicrystal

    taken = take(bicrystal, 2)
    assert len(taken.numbers) < len(bicrystal.numbers)
    with pytest.raises(SimulationError, match=r"^thin: "):
        take(taken, 40)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_ranks_do_not_depend_on_how_atoms_are_numbered(seed: int) -> None:
    template = make_template("cdte_s5_310")
    parent = parent_of(template)
    order = np.random.default_rng(seed).permutation(len(parent.numbers))
    shuffled = subset(parent, np.ones(len(order), bool), parent.positions)
    shuffled = replace(
        shuffled,
        numbers=parent.numbers[order],
        positions=parent.positions[order],
        grains=parent.grains[order],
        regions=parent.regions[order],
    )
    for edit in (edits.vacate, edits.swap, edits.convert, terminate):
        parameters = {"rank": (seed % 97) / 97, "grain": 1, "add": 0}
        made = [edit(template, (b,), parameters) for b in (parent, shuffled)]
        rows = [np.column_stack((b.numbers, b.positions.round(6))) for b in made]
        one, other = (row[np.lexsort(row.T)] for row in rows)
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_an_open_polarity_exchanges_the_species_on_the_same_sites() -> None:
    crystal = find_crystal("CdTe")
    upper = Grain(crystal=crystal, zone_axis=(1, 1, 0), up=(-1, 1, 2))
    lower = Grain(crystal=crystal, zone_axis=(1, 1, 0), up=(1, -1, 2))
    boundary = GrainBoundary(upper=upper, lower=lower)
    template = build_template(
        boundary, boundary, cutoff=5.0, open_polarity=(False, True)
    )
    names = [d.name for d in assemble_space(template).dimensions]
    assert "lower_polarity" in names
    assert "upper_polarity" not in names
    vector = {"shift_u": 0.1, "shift_v": 0.2, "overlap": 0.35}
    plain, reverse = (
        assemble(template, {**vector, "lower_polarity": p}) for p in (0, 1)
    )
    block = plain.regions == 2
    assert np.array_equal(block, reverse.regions == 2)
    np.testing.assert_allclose(plain.positions[block], reverse.positions[block])
    assert np.all(plain.numbers[block] != reverse.numbers[block])
    upper_block = plain.regions == 1
    assert np.array_equal(plain.numbers[upper_block], reverse.numbers[upper_block])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("CdTe", True), ("GaAs", True), ("NaCl", False), ("Si", False)],
)
def test_which_crystals_have_a_polarity_to_exchange(name: str, expected: bool) -> None:
    assert exchange_inverts(find_crystal(name)) is expected


def test_overlap_deletion_takes_the_closest_pair_at_least(
    template: BoundaryTemplate,
) -> None:
    n = len(parent_of(template).numbers)
    few = len(one(template, "delete_overlap", overlap=0.35).numbers)
    many = len(one(template, "delete_overlap", overlap=1.05).numbers)
    assert many <= few < n


@pytest.mark.parametrize("species", [0, 1])
def test_mending_the_composition_leaves_the_edit(species: int) -> None:
    template = make_template("cdte_s5_310")
    vector = {"shift_u": 0.2, "shift_v": 0.5, "overlap": 0.7}
    parent = assemble(template, vector, stoichiometric=True)
    parameters = {"x": 3.0, "y": 0.5, "z": 0.3, "species": species}
    proposal = Proposal(parents=("a",), mutation="add_column", parameters=parameters)
    candidate = Candidate(
        id="0000-00", cycle=0, index=0, proposal=proposal, parents=(parent,)
    )
    made = build(template, candidate, np.random.default_rng(0), stoichiometric=True)
    assert species_excess(made, template) == pytest.approx(0.0, abs=1e-6)
    place = [3.0, parent.boundary_height + 0.5]
    there = np.abs(made.positions[:, :2] - place).max(axis=1) < 1e-9
    number = template.stoichiometry[species][0]
    assert made.numbers[there].tolist() == [number] * int(there.sum())
    assert there.sum() == 1


def open_template() -> BoundaryTemplate:
    crystal = find_crystal("CdTe")
    upper = Grain(crystal=crystal, zone_axis=(1, 1, 0), up=(-1, 1, 2))
    lower = Grain(crystal=crystal, zone_axis=(1, 1, 0), up=(1, -1, 2))
    boundary = GrainBoundary(upper=upper, lower=lower)
    return build_template(boundary, boundary, cutoff=5.0, open_polarity=(True, True))


@pytest.mark.parametrize("grain", [1, 2])
@pytest.mark.parametrize("polarity", [0, 1])
@pytest.mark.parametrize("repeat_x", [1, 2])
def test_a_plane_taken_from_whole_grains_is_put_back_as_it_was(
    grain: int, polarity: int, repeat_x: int
) -> None:
    template = open_template()
    vector = {"shift_u": 0.2, "shift_v": 0.5, "overlap": 1e-6}
    polarities = {"upper_polarity": polarity, "lower_polarity": 1 - polarity}
    touching = assemble(template, {**vector, **polarities, "repeat_x": repeat_x})
    # so far apart that nothing merges on the way
    whole = edits.moved_upper(touching, np.array([0.0, 3.0, 0.0]))
    taken = terminate(template, (whole,), {"grain": grain, "add": 0})
    assert len(taken.numbers) < len(whole.numbers)
    back = terminate(template, (taken,), {"grain": grain, "add": 1})
    rows = [
        np.column_stack((b.numbers, wrapped(b.positions, b.cell)))
        for b in (whole, back)
    ]
    before, after = (row[np.lexsort(np.round(row.T, 4))] for row in rows)
    np.testing.assert_allclose(after, before, atol=1e-6)
