"""From a proposal to a boundary: by the recipe alone."""

from __future__ import annotations

import numpy as np
import pytest

from autoloop.domain import Candidate, Grain, GrainBoundary, Proposal
from autoloop.errors import SimulationError
from autoloop.structure.assemble import assemble, species_excess
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
