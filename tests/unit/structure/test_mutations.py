"""From a proposal to a boundary: by the recipe alone."""

from __future__ import annotations

import numpy as np
import pytest

from autoloop.domain import Candidate, Grain, GrainBoundary, Proposal
from autoloop.errors import SimulationError
from autoloop.structure.assemble import assemble, assemble_space, species_excess
from autoloop.structure.crowding import core_by_crowding
from autoloop.structure.crystals import find_crystal
from autoloop.structure.mutations import MUTATIONS, build
from autoloop.structure.template import BoundaryTemplate, build_template

PARAMETERS = {"shift_u": 0.3, "shift_v": 0.7, "overlap": 0.8}


@pytest.fixture(scope="module")
def template() -> BoundaryTemplate:
    crystal = find_crystal("CdTe")
    upper, lower = (
        Grain(crystal=crystal, zone_axis=(0, 0, 1), up=up)
        for up in ((3, 1, 0), (3, -1, 0))
    )
    boundary = GrainBoundary(upper=upper, lower=lower)
    return build_template(boundary, boundary, cutoff=5.5)


def candidate(mutation: str = "assemble") -> Candidate:
    proposal = Proposal(parents=(), mutation=mutation, parameters=PARAMETERS)
    return Candidate(id="0000-00", cycle=0, index=0, proposal=proposal)


def test_assemble_is_built_from_its_parameters(template: BoundaryTemplate) -> None:
    assert "assemble" in MUTATIONS
    expected = assemble(template, PARAMETERS)
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        made = build(template, candidate(), rng, stoichiometric=False)
        np.testing.assert_array_equal(made.positions, expected.positions)
        np.testing.assert_array_equal(made.numbers, expected.numbers)


def test_stoichiometry_is_asked_for(template: BoundaryTemplate) -> None:
    rng = np.random.default_rng(0)
    made = build(template, candidate(), rng, stoichiometric=True)
    assert species_excess(made, template) == pytest.approx(0.0, abs=1e-9)


def test_an_unknown_mutation_fails_that_candidate(template: BoundaryTemplate) -> None:
    with pytest.raises(SimulationError, match=r"'teleport' is not one of .*assemble"):
        build(
            template,
            candidate("teleport"),
            np.random.default_rng(0),
            stoichiometric=False,
        )


@pytest.mark.parametrize("name", [n for n in MUTATIONS if n != "assemble"])
def test_parameters_are_drawn_from_their_ranges(name: str) -> None:
    mutation, rng = MUTATIONS[name], np.random.default_rng(5)
    for _ in range(200):
        drawn = mutation.draw(rng)
        assert set(drawn) == {d.name for d in mutation.dimensions}
        assert all(d.contains(drawn[d.name]) for d in mutation.dimensions)
        assert not mutation.neutral or drawn != mutation.neutral


def test_turning_polarity_exchanges_species_and_moves_nothing(
    template: BoundaryTemplate,
) -> None:
    turn = Candidate(
        id="0001-00",
        cycle=1,
        index=0,
        proposal=Proposal(parents=("a",), mutation="turn_polarity", parameters={}),
        parents=(assemble(template, PARAMETERS),),
    )
    rng = np.random.default_rng(0)
    with pytest.raises(SimulationError, match="polarity is not open"):
        build(template, turn, rng, stoichiometric=False)
    boundary = GrainBoundary(
        **{
            name: Grain(crystal=find_crystal("CdTe"), zone_axis=(0, 0, 1), up=up)
            for name, up in (("upper", (3, 1, 0)), ("lower", (3, -1, 0)))
        }
    )
    both = build_template(boundary, boundary, cutoff=5.5, open_polarity=(True, True))
    turned = build(both, turn, rng, stoichiometric=False)
    before = turn.parents[0]
    np.testing.assert_array_equal(turned.positions, before.positions)
    np.testing.assert_array_equal(turned.numbers == 48, before.numbers == 52)
    # As if the other polarity of both grains had been assembled.
    reverse = {**PARAMETERS, "upper_polarity": 1, "lower_polarity": 1}
    expected = assemble(both, reverse)
    blocks = expected.regions != 0
    np.testing.assert_array_equal(
        turned.numbers[turned.regions != 0], expected.numbers[blocks]
    )


def test_lengths_of_annealing_are_drawn_by_their_logarithm() -> None:
    rng = np.random.default_rng(5)
    steps = [MUTATIONS["anneal"].draw(rng)["steps"] for _ in range(2000)]
    # half of them below the geometric mean of 200 and 20000; 3 standard errors: 0.034
    assert np.mean(np.array(steps) < 2000) == pytest.approx(0.5, abs=0.034)


def test_assemble_repeats_the_cell_and_thins_the_plane(
    template: BoundaryTemplate,
) -> None:
    plain = assemble(template, PARAMETERS)
    large = assemble(template, {**PARAMETERS, "repeat_x": 2, "repeat_z": 3})
    assert large.area == pytest.approx(6 * plain.area)
    assert len(large.numbers) == 6 * len(plain.numbers)
    changed = {"repeat_z": 2, "missing_0": 2, "missing_1": 1}
    thin = assemble(template, {**PARAMETERS, **changed})
    for species, missing in zip(template.stoichiometry, (2, 1), strict=True):
        z = species[0]
        assert np.sum(thin.numbers == z) == 2 * np.sum(plain.numbers == z) - missing
    for region in (1, 2):
        n = np.sum(plain.regions == region)
        assert np.sum(thin.regions == region) == 2 * n


def test_missing_atoms_are_taken_apart_and_where_the_rank_says(
    template: BoundaryTemplate,
) -> None:
    vector = {**PARAMETERS, "repeat_z": 2}
    whole = assemble(template, vector)

    def gone(rank: float) -> list[int]:
        thin = assemble(template, {**vector, "missing_0": 2, "vacate_rank": rank})
        left = {tuple(p) for p in thin.positions.round(6)}
        return [
            k for k, p in enumerate(whole.positions.round(6)) if tuple(p) not in left
        ]

    species = template.stoichiometry[0][0]
    order = core_by_crowding(whole)
    order = order[whole.numbers[order] == species]
    places = [sorted(np.flatnonzero(np.isin(order, gone(r)))) for r in (0.0, 0.35)]
    assert places[0][0] == 0
    assert places[0][1] > len(order) / 3
    assert places[1][0] == pytest.approx(0.35 * len(order), abs=1.01)
    assert places[0] != places[1]


def test_repetition_and_density_are_dimensions_on_request(
    template: BoundaryTemplate,
) -> None:
    plain = {d.name for d in assemble_space(template).dimensions}
    wide = assemble_space(template, max_repeat=(1, 2), max_missing=3)
    assert {d.name for d in wide.dimensions} - plain == {
        "repeat_z",
        "missing_0",
        "missing_1",
        "vacate_rank",
    }
    vector = wide.sample(np.random.default_rng(0))
    assert wide.contains(vector)
    assemble(template, vector)
