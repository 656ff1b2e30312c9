"""What every policy must keep, as checks that anyone can run over their own policy.

A check returns nothing and raises `AssertionError` with one line that says what was
broken. Run them all with `check_policy`, or one by one in a parametrised test::

    @pytest.mark.parametrize("check", POLICY_CHECKS)
    def test_contract(check):
        check(MyPolicy())
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autoloop.archive import Archive
from autoloop.domain import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Bicrystal,
    ColumnResiduals,
    Details,
    Evaluation,
    Proposal,
    Score,
    candidate_id,
    stream,
)
from autoloop.protocols import Policy
from autoloop.structure.mutations import MUTATIONS
from autoloop.structure.space import HEATING, Dimension, SearchSpace

BATCH = 4
BATCH_SIZES = (1, 3, 8)
_EVALUATIONS = 37


def example_space() -> SearchSpace:
    """Return a space with each kind of dimension, one of them of a single value."""
    return SearchSpace(
        dimensions=(
            Dimension(name="along", kind="periodic", low=0.0, high=1.0),
            Dimension(name="depth", kind="periodic", low=0.0, high=1.0),
            Dimension(name="termination", kind="integer", low=0, high=3),
            Dimension(name="repeat", kind="integer", low=1, high=1),
            Dimension(name="overlap", kind="real", low=0.4, high=0.9),
        ),
        measured={"along": 0.97},
        measured_sigma={"along": 0.05},
    )


def small_space() -> SearchSpace:
    """Return a space of six points and no measurement: repeats cannot be avoided."""
    return SearchSpace(
        dimensions=(
            Dimension(name="upper", kind="integer", low=0, high=2),
            Dimension(name="lower", kind="integer", low=0, high=1),
        ),
        measured={},
        measured_sigma={},
    )


def example_archives(space: SearchSpace) -> dict[str, Archive]:
    """Return archives as a run meets them, by a name for messages.

    All but the last hold no details: a policy that wants them must bear the KeyError.
    """
    rng = np.random.default_rng(20)
    failed = [_failed(space, k, rng) for k in range(_EVALUATIONS)]
    mixed = [
        _failed(space, k, rng) if k % 5 == 2 else _scored(space, k, rng)
        for k in range(_EVALUATIONS)
    ]
    one = [_scored(space, 0, rng), *(_failed(space, k, rng) for k in range(1, 20))]
    pending = [_assemble(space.sample(rng)) for _ in range(2 * BATCH)]
    first = mixed[0]
    place = len(mixed)
    mixed.append(
        Evaluation(**_place(place), proposal=first.proposal, duplicate_of=mixed[0].id)
    )
    mixed.append(
        Evaluation(
            **_place(place + 1),
            proposal=Proposal(
                parents=(first.id,), mutation="shift", parameters={"along": 0.1}
            ),
            score=Score(ssim=0.9),
            cost=0.05,
            fingerprint="edited",
        )
    )
    return {
        "empty": Archive(),
        "empty but for pending proposals": Archive(pending=pending),
        "all failed": Archive(failed, pending=pending),
        "one success": Archive(one),
        "mixed": Archive(mixed, pending=pending),
        "with details": Archive(mixed, pending=pending, load_details=_details_of),
    }


def example_details() -> Details:
    """Return a small boundary of two species, and an image that wants it changed.

    A square lattice over a sheared one, a column of each species in turn; the image
    shows one column that is not there, one in another place, and two of other species.
    """
    width, spacing = 13.0, 2.6
    rows = np.array([*range(-5, 0), *range(1, 6)])
    x = np.arange(5) * spacing
    places = np.array(
        [[(a + 0.5 * r * (r > 0)) % width, 2.3 * r, 1.0] for r in rows for a in x]
    )
    places[20, 0] += 0.7  # else the lower grain would repeat within the cell
    numbers = np.where(np.arange(len(places)) % 2, 52, 48)
    height = 20.0
    own = np.arange(len(places)) != 22
    bicrystal = Bicrystal(
        numbers=numbers[own],
        positions=places[own] + np.array([0.0, height, 0.0]),
        cell=np.diag([width, 2 * height, 4.6]),
        boundary_height=height,
        grains=np.where(places[own, 1] > 0, 1, 2),
        regions=np.select(
            [places[own, 1] > 9.0, places[own, 1] < -9.0],
            [UPPER_BLOCK, LOWER_BLOCK],
            FREE,
        ),
    )
    light = numbers.astype(float) ** 1.7
    seen = places[:, :2] + [1.3, -0.4]
    measured, simulated = light.copy(), light.copy()
    simulated[22] = np.nan
    seen[26] += [0.6, 0.5]
    measured[[23, 24]] = measured[[24, 23]] * [1.6, 0.6]
    columns = ColumnResiduals(
        positions=np.vstack([seen + np.array([k * width, 0.0]) for k in (-1, 0, 1)]),
        measured=np.tile(measured, 3),
        simulated=np.tile(simulated, 3),
    )
    return Details(
        bicrystal=bicrystal,
        excess_energies=np.zeros(int(own.sum())),
        columns=columns,
    )


def _details_of(evaluation_id: str) -> Details:
    return example_details()


def check_repeatable(policy: Policy) -> None:
    """Check that same inputs give same proposals: nothing is kept between calls."""
    for space, name, archive in _cases():
        first, second = (_ask(policy, space, archive, BATCH) for _ in range(2))
        _require(
            first == second and _reasons(first) == _reasons(second),
            f"{name} archive: two calls with the same inputs differ",
        )


def check_order(policy: Policy) -> None:
    """Check that the order in which evaluations arrived plays no part."""
    for space, name, archive in _cases():
        evaluations = list(archive)
        shuffled = [
            evaluations[k] for k in np.random.default_rng(3).permutation(len(archive))
        ]
        other = Archive(shuffled, pending=archive.pending, load_details=archive.details)
        _require(
            _ask(policy, space, archive, BATCH) == _ask(policy, space, other, BATCH),
            f"{name} archive: the order in which evaluations arrived plays a part",
        )


def check_archive_untouched(policy: Policy) -> None:
    """Check that the archive stays as it was, down to the parameters in it."""
    for space, name, archive in _cases():
        before = _snapshot(archive)
        _ask(policy, space, archive, BATCH)
        _require(_snapshot(archive) == before, f"{name} archive: it was changed")


def check_batches(policy: Policy) -> None:
    """Check for exactly `n` proposals, plain JSON, in the space, parents known."""
    for space, name, archive in _cases():
        for n in BATCH_SIZES:
            proposals = _ask(policy, space, archive, n)
            _require(
                len(proposals) == n,
                f"{name} archive: {len(proposals)} proposals instead of {n}",
            )
            for proposal in proposals:
                _check_proposal(proposal, space, archive, name)


def check_random_stream(policy: Policy) -> None:
    """Check that another random stream gives other proposals in a large space."""
    space = example_space()
    for name, archive in example_archives(space).items():
        first, second = (
            _ask(policy, space, archive, BATCH, cycle=cycle) for cycle in (5, 6)
        )
        _require(
            first != second,
            f"{name} archive: different random streams give the same proposals",
        )


POLICY_CHECKS: tuple[Callable[[Policy], None], ...] = (
    check_repeatable,
    check_order,
    check_archive_untouched,
    check_batches,
    check_random_stream,
)


def check_policy(policy: Policy) -> None:
    """Hold a policy to every contract.

    Raises
    ------
    AssertionError
        At the first that it breaks.
    """
    for check in POLICY_CHECKS:
        check(policy)


def _cases() -> list[tuple[SearchSpace, str, Archive]]:
    return [
        (space, name, archive)
        for space in (example_space(), small_space())
        for name, archive in example_archives(space).items()
    ]


def _ask(
    policy: Policy, space: SearchSpace, archive: Archive, n: int, cycle: int = 5
) -> list[Proposal]:
    return policy.propose(space, archive, n, stream(11, cycle))


def _check_proposal(
    proposal: Proposal, space: SearchSpace, archive: Archive, name: str
) -> None:
    parameters = dict(proposal.parameters)
    _require(
        _is_plain(parameters),
        f"{name} archive: parameters {parameters} are not plain JSON values",
    )
    _require(
        "\n" not in proposal.reason,
        f"{name} archive: reason {proposal.reason!r} is not one line",
    )
    _require(
        all(parent in archive for parent in proposal.parents),
        f"{name} archive: parents {proposal.parents} are not all in it",
    )
    if proposal.mutation == "assemble":
        _require(
            space.allows(parameters) and not proposal.parents,
            f"{name} archive: {parameters} is outside the space",
        )
        return
    _check_edit(proposal, parameters, archive, name)


def _check_edit(
    proposal: Proposal, parameters: dict[str, Any], archive: Archive, name: str
) -> None:
    """Check an edit of parents: a known one, with parents that have atoms."""
    mutation = MUTATIONS.get(proposal.mutation)
    if mutation is None:
        raise AssertionError(f"{name} archive: no mutation is '{proposal.mutation}'")
    _require(
        len(proposal.parents) == mutation.n_parents
        and all(archive[parent].cost is not None for parent in proposal.parents),
        f"{name} archive: {proposal.mutation} takes {mutation.n_parents} scored "
        f"parents, got {proposal.parents}",
    )
    ranges = {d.name: d for d in mutation.dimensions}
    for key, value in parameters.items():
        known = key in HEATING or (key in ranges and ranges[key].contains(value))
        _require(
            known,
            f"{name} archive: {proposal.mutation} cannot have {key} = {value!r}",
        )


def _is_plain(value: Any) -> bool:
    """Whether JSON gives the value back; numpy's floats pass for floats, so by type."""
    if type(value) is dict:
        return all(type(k) is str and _is_plain(v) for k, v in value.items())
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (str, int, bool)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _reasons(proposals: list[Proposal]) -> list[str]:
    return [proposal.reason for proposal in proposals]


def _snapshot(archive: Archive) -> list[str]:
    evaluated = [
        json.dumps([e.id, e.proposal.key(), e.cost, e.failure, e.duplicate_of])
        for e in archive
    ]
    return evaluated + [proposal.key() for proposal in archive.pending]


def _assemble(vector: dict[str, float | int]) -> Proposal:
    return Proposal(parents=(), mutation="assemble", parameters=vector)


def _place(k: int) -> dict[str, Any]:
    cycle, index = divmod(k, BATCH)
    return {"id": candidate_id(cycle, index), "cycle": cycle, "index": index}


def _failed(space: SearchSpace, k: int, rng: np.random.Generator) -> Evaluation:
    return Evaluation(
        **_place(k),
        proposal=_assemble(space.sample(rng)),
        failure="SimulationError: 3 atoms were lost",
    )


def _scored(space: SearchSpace, k: int, rng: np.random.Generator) -> Evaluation:
    vector = space.sample(rng)
    # One in nine is a monster, as boundaries that did not relax are.
    cost = float(np.sum(space.encode([vector]) ** 2)) * (1000.0 if k % 9 == 4 else 1.0)
    return Evaluation(
        **_place(k),
        proposal=_assemble(vector),
        score=Score(ssim=0.5),
        cost=cost,
        fingerprint=f"structure {k}",
    )
