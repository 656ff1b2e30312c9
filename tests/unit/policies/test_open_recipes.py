"""A proposal that leaves its vector open: the one that begins best is relaxed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.config import load_campaign
from autoloop.domain import Candidate, Proposal
from autoloop.evaluation import Evaluator, evaluate
from autoloop.preparation import prepare
from autoloop.structure.space import OTHERS, recipes

RUN_FILE = Path(__file__).parents[3] / "experiments/energy_cu_s5_310.yaml"


@pytest.fixture(scope="module")
def prepared():
    return prepare(load_campaign(RUN_FILE))


def candidate(parameters):
    proposal = Proposal(parents=(), mutation="assemble", parameters=parameters)
    return Candidate(id="0002-01", cycle=2, index=1, proposal=proposal)


def test_the_best_beginner_is_relaxed_and_recorded(prepared) -> None:
    rng = np.random.default_rng(3)
    first, *others = (prepared.space.sample(rng) for _ in range(6))
    asked = candidate({**first, OTHERS: others})
    evaluator = Evaluator(prepared.context)
    outcome = evaluate(evaluator, asked)
    taken = outcome.evaluation.proposal
    assert taken.parameters in [first, *others]
    assert "of 6 began best" in taken.reason
    # What is recorded is what that vector gives alone, but for the work of the trials.
    alone = evaluate(evaluator, candidate(taken.parameters)).evaluation
    assert outcome.evaluation.score == alone.score
    n_atoms = len(outcome.details.bicrystal.numbers)
    trials = (outcome.evaluation.work - alone.work) / n_atoms
    # five iterations of one to three force evaluations, six times
    assert 6 * 5 < trials < 6 * 20
    assert evaluate(evaluator, asked).evaluation == outcome.evaluation


def test_a_worse_beginner_loses(prepared) -> None:
    evaluator = Evaluator(prepared.context)
    rng = np.random.default_rng(5)
    vectors = [prepared.space.sample(rng) for _ in range(8)]
    ends = [evaluate(evaluator, candidate(v)).evaluation.cost for v in vectors]
    chosen = evaluate(evaluator, candidate({**vectors[0], OTHERS: vectors[1:]}))
    assert chosen.evaluation.cost < np.median(ends)


def test_without_a_model_that_can_be_stopped_the_first_is_taken(prepared) -> None:
    rng = np.random.default_rng(7)
    first, second = (prepared.space.sample(rng) for _ in range(2))
    evaluator = Evaluator(prepared.context)
    evaluator.relaxer = _Whole(evaluator.relaxer)
    done = evaluate(evaluator, candidate({**first, OTHERS: [second]})).evaluation
    assert done.proposal.parameters == first


class _Whole:
    """A relaxer of another kind."""

    def __init__(self, relaxer):
        self.relax = relaxer.relax


def test_open_proposals_are_of_the_space(prepared) -> None:
    space, rng = prepared.space, np.random.default_rng(9)
    vector, other = space.sample(rng), space.sample(rng)
    heat = {"temperature_k": 600.0, "steps": 300}
    assert space.allows({**vector, **heat, OTHERS: [other]})
    assert not space.allows({**vector, OTHERS: [{**other, "overlap": 7.0}]})
    assert not space.allows({**vector, OTHERS: [{**other, **heat}]})
    assert not space.allows({**vector, OTHERS: "all"})
    unheated = replace(space, heatable=False)
    assert not unheated.allows({**vector, **heat, OTHERS: [other]})
    assert recipes({**vector, **heat, OTHERS: [other]}) == [
        {**vector, **heat},
        {**other, **heat},
    ]
