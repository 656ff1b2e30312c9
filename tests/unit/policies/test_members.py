"""What the members of a portfolio propose, beyond the contract they all keep."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from autoloop.policies.anneal import Anneal
from autoloop.policies.genetic import Genetic
from autoloop.policies.image_guided import ImageGuided
from autoloop.policies.portfolio import Portfolio

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal, Score, candidate_id, stream
from autoloop.structure.space import OTHERS, Dimension, SearchSpace
from autoloop.testing.policies import example_details

PLAIN = SearchSpace(
    dimensions=(
        Dimension(name="shift_u", kind="periodic", low=0.0, high=1.0),
        Dimension(name="overlap", kind="real", low=0.35, high=0.95),
    ),
    measured={},
    measured_sigma={},
)
LARGE = SearchSpace(
    dimensions=(
        *PLAIN.dimensions,
        Dimension(name="repeat_z", kind="integer", low=1, high=2),
        Dimension(name="missing_0", kind="integer", low=0, high=2),
    ),
    measured={},
    measured_sigma={},
)


def evaluation(place: int, energy: float, parameters: dict, **figures) -> Evaluation:
    cycle, index = divmod(place, 8)
    return Evaluation(
        id=candidate_id(cycle, index),
        cycle=cycle,
        index=index,
        proposal=Proposal(parents=(), mutation="assemble", parameters=parameters),
        score=Score(energy_j_per_m2=energy, **figures),
        cost=energy,
        work=1000,
    )


def story(space: SearchSpace, n: int = 12, **figures) -> list[Evaluation]:
    rng = np.random.default_rng(1)
    return [
        evaluation(k, 1.0 + 0.1 * k, space.sample(rng), **figures) for k in range(n)
    ]


def test_genetic_edits_the_best_distinct() -> None:
    archive = Archive([*story(PLAIN), evaluation(13, 1.0001, {"shift_u": 0.5})])
    proposals = Genetic(n_parents=3).propose(PLAIN, archive, 60, stream(1, 0))
    parents = {parent for p in proposals for parent in p.parents}
    assert parents == {"0000-00", "0000-01", "0000-02"}  # not the one like the first
    assert len({p.key() for p in proposals}) == 60
    mutations = {p.mutation for p in proposals}
    assert "replicate" not in mutations  # the space has one size of cell
    assert not mutations & {"swap", "convert"}  # one species
    assert {"shift", "merge", "rattle", "vacate"} <= mutations
    assert all(len(set(p.parents)) == 2 for p in proposals if p.mutation == "merge")


def test_genetic_knows_a_compound_and_a_larger_cell() -> None:
    known = [
        evaluation(
            k,
            1.0 + 0.1 * k,
            {**e.proposal.parameters, "repeat_z": 1},
            gamma_excess_per_nm2=0.0,
        )
        for k, e in enumerate(story(LARGE))
    ]
    archive = Archive(known)
    proposals = Genetic().propose(LARGE, archive, 120, stream(1, 0))
    mutations = Counter(p.mutation for p in proposals)
    assert mutations["swap"] + mutations["convert"] > 0
    assert mutations["replicate"] > 0
    for p in proposals:
        if p.mutation == "replicate":
            assert archive[p.parents[0]].proposal.parameters["repeat_z"] == 1
            assert dict(p.parameters) == {"repeat_x": 1, "repeat_z": 2}


def test_genetic_learns_which_operator_helps() -> None:
    """Sixteen rattles that each gave something better, sixteen shifts that did not."""
    known = [evaluation(0, 2.0, {"shift_u": 0.1, "overlap": 0.5})]
    for k in range(1, 33):
        mutation = ("rattle", "shift")[k % 2]
        better = mutation == "rattle"
        known.append(
            Evaluation(
                id=candidate_id(*divmod(k, 8)),
                cycle=k // 8,
                index=k % 8,
                proposal=Proposal(
                    parents=("0000-00",), mutation=mutation, parameters={"n": k}
                ),
                score=Score(energy_j_per_m2=2.0 - 0.05 * k if better else 2.0),
                cost=2.0 - 0.05 * k if better else 2.0,
                work=1000,
            )
        )
    proposals = Genetic().propose(PLAIN, Archive(known), 100, stream(1, 0))
    used = Counter(p.mutation for p in proposals)
    # By weight alone shift comes four times for three rattles.
    assert used["rattle"] > 3 * used["shift"]


@pytest.mark.parametrize(
    ("operators", "words"),
    [
        ({"shfit": 1.0}, "unknown operators"),
        (
            dict.fromkeys(
                (
                    *("shift", "vacate", "merge", "rattle", "insert", "terminate"),
                    *("replicate", "swap", "convert", "delete_overlap"),
                ),
                0.0,
            ),
            "leave at least one",
        ),
    ],
)
def test_genetic_refuses(operators: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Genetic(operators=operators)


def test_genetic_uses_only_what_it_is_given() -> None:
    only = dict.fromkeys(
        (
            *("shift", "vacate", "merge", "insert", "terminate", "replicate"),
            *("swap", "convert", "delete_overlap"),
        ),
        0.0,
    )
    proposals = Genetic(operators=only).propose(
        PLAIN, Archive(story(PLAIN)), 10, stream(1, 0)
    )
    assert {p.mutation for p in proposals} == {"rattle"}


def test_anneal_heats_within_its_bounds_evenly_in_the_logarithm() -> None:
    policy = Anneal(steps_min=100, steps_max=10000)
    proposals = policy.propose(PLAIN, Archive(story(PLAIN)), 300, stream(1, 0))
    assert {p.mutation for p in proposals} == {"anneal"}
    steps = np.array([p.parameters["steps"] for p in proposals])
    kelvin = np.array([p.parameters["temperature_k"] for p in proposals])
    assert (steps.min() >= 100, steps.max() <= 10000) == (True, True)
    assert (kelvin.min() >= 300, kelvin.max() <= 1500) == (True, True)
    # Half lie below the geometric mean; three sigma of 300 draws are 9 %.
    assert np.mean(steps < 1000) == pytest.approx(0.5, abs=0.09)
    assert np.mean(kelvin < np.sqrt(300 * 1500)) == pytest.approx(0.5, abs=0.09)
    ranks = Counter(p.parents for p in proposals)
    assert ranks[("0000-00",)] > ranks[("0000-01",)] > ranks[("0000-04",)]


def test_anneal_first_changes_cells_where_the_space_allows_it() -> None:
    archive = Archive(story(LARGE))
    proposals = Anneal().propose(LARGE, archive, 100, stream(1, 0))
    assert {p.mutation for p in proposals} == {"anneal", "replicate", "vacate"}
    assert all("temperature_k" in p.parameters for p in proposals)
    for p in proposals:
        if p.mutation == "replicate":
            assert archive[p.parents[0]].proposal.parameters["repeat_z"] == 1


def test_anneal_refuses_bounds_upside_down() -> None:
    with pytest.raises(ValueError, match="temperature: the least"):
        Anneal(temperature_min_k=900.0, temperature_max_k=800.0)


def test_image_guided_proposes_what_the_residuals_ask_for() -> None:
    known = story(PLAIN, ssim=0.9, emd_angstrom_per_column=0.2)
    archive = Archive(known, load_details=lambda _: example_details())
    proposals = ImageGuided().propose(PLAIN, archive, 40, stream(1, 0))
    assert {"add_column", "move_column", "convert"} <= {p.mutation for p in proposals}
    assert len({p.key() for p in proposals}) == 40
    added = [p.parameters for p in proposals if p.mutation == "add_column"]
    # Where example_details leaves a column out, within five sigma of the jitter.
    for parameters in added:
        assert parameters["x"] == pytest.approx(5.2, abs=0.75)
        assert parameters["y"] == pytest.approx(-2.3, abs=0.75)


def test_image_guided_without_an_image_still_answers() -> None:
    proposals = ImageGuided().propose(PLAIN, Archive(story(PLAIN)), 20, stream(1, 0))
    assert len({p.key() for p in proposals}) == 20
    assert any(p.parents for p in proposals)
    assert any(not p.parents for p in proposals)


def test_good_boundaries_are_turned_once_where_both_polarities_are_open() -> None:
    polarities = [
        Dimension(name=f"{grain}_polarity", kind="integer", low=0, high=1)
        for grain in ("upper", "lower")
    ]
    for n_open, n_turned in ((0, 0), (1, 0), (2, 4)):
        space = replace(PLAIN, dimensions=(*PLAIN.dimensions, *polarities[:n_open]))
        known = story(space, ssim=0.9, emd_angstrom_per_column=0.2)
        archive = Archive(known, load_details=lambda _: example_details())
        proposals = ImageGuided().propose(space, archive, 60, stream(1, 0))
        turned = [p for p in proposals if p.mutation == "turn_polarity"]
        assert len(turned) == n_turned
        assert len({p.parents for p in turned}) == n_turned
        assert len({p.key() for p in proposals}) == 60


def test_looks_leave_the_choice_among_rivals_open() -> None:
    portfolio = Portfolio(members=(Genetic(),), n_tried=5)
    proposals = portfolio.propose(LARGE, Archive(), 12, stream(1, 0))
    assert [len(p.parameters.get(OTHERS, ())) for p in proposals] == 12 * [4]
    assert all(LARGE.allows(p.parameters) for p in proposals)
    # no model that can be stopped early
    closed = replace(LARGE, heatable=False)
    for proposal in portfolio.propose(closed, Archive(), 12, stream(1, 0)):
        assert OTHERS not in proposal.parameters


def test_with_an_image_the_first_two_looks_have_rivals() -> None:
    """What begins lowest may not be what the image shows: later ones are alone."""
    shown = replace(LARGE, measured={"shift_u": 0.3}, measured_sigma={"shift_u": 0.01})
    portfolio = Portfolio(members=(Genetic(),), n_tried=5, heated_share=1.0)
    proposals = portfolio.propose(shown, Archive(), 12, stream(1, 0))
    counts = [len(p.parameters.get(OTHERS, ())) for p in proposals]
    assert counts == [9, 9] + 10 * [0]
    for proposal in proposals[:2]:
        drawn = [proposal.parameters, *proposal.parameters[OTHERS]]
        assert all(abs(v["shift_u"] - 0.3) < 0.06 for v in drawn)
    heated = ["temperature_k" in p.parameters for p in proposals]
    assert heated == 4 * [False] + 8 * [True]
    known = story(shown, n=2)
    later = portfolio.propose(shown, Archive(known), 4, stream(1, 1))
    assert not any(OTHERS in p.parameters for p in later)
    half = replace(portfolio, tried_share=0.5)
    tried = [
        OTHERS in p.parameters for p in half.propose(shown, Archive(), 12, stream(1, 0))
    ]
    assert tried == [True, True, *5 * [False, True]]


def test_nothing_is_heated_where_energies_know_no_dynamics() -> None:
    cold = replace(LARGE, heatable=False)
    archive = Archive(story(cold, n=12))
    portfolio = Portfolio(members=(Anneal(), Genetic()), heated_share=1.0)
    for policy in (Anneal(), portfolio):
        for known in (Archive(), archive):
            proposals = policy.propose(cold, known, 24, stream(1, 0))
            assert not any("temperature_k" in p.parameters for p in proposals)
            assert all(
                cold.allows(p.parameters) for p in proposals if p.mutation == "assemble"
            )
    warm = portfolio.propose(LARGE, Archive(), 24, stream(1, 0))
    heated = [p.parameters for p in warm if "temperature_k" in p.parameters]
    assert len(heated) == 20  # all but the first four
    assert not any(cold.allows(parameters) for parameters in heated)
