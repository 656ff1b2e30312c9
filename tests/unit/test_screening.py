"""What a brief look may give up, learnt from what was relaxed to the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal, Score
from autoloop.screening import AUDITED, FEWEST, MARGIN, ScreeningRule, early_look


def archive(
    energies: Sequence[float],
    drops: Sequence[float],
    images: Sequence[float] | float = 0.0,
    share: float = 1.0,
) -> Archive:
    """Relaxed candidates with final energies, drops before, and parts of the image."""
    found = []
    for k, (energy, drop, image) in enumerate(
        zip(energies, drops, np.broadcast_to(images, len(energies)), strict=True)
    ):
        found.append(
            Evaluation(
                id=f"{k:04d}-00",
                cycle=k,
                index=0,
                proposal=Proposal(parents=(), mutation="assemble", parameters={}),
                score=Score(
                    energy_j_per_m2=energy, early_energy_j_per_m2=energy + drop
                ),
                cost=share * energy + float(image),
            )
        )
    return Archive(found)


def test_nothing_is_given_up_before_enough_is_known() -> None:
    rule = ScreeningRule(energy_share=1.0)
    n = FEWEST - 1
    assert rule.bound(archive([1.0] * n, [0.1] * n)) is None
    assert rule.bound(archive([1.0] * (n + 1), [0.1] * (n + 1))) is not None


def test_with_energy_alone_the_bound_is_best_margin_and_drop() -> None:
    n = FEWEST
    bound = ScreeningRule(energy_share=1.0).bound(
        archive(np.linspace(0.5, 2.0, n).tolist(), [0.2] * n)
    )
    assert bound is not None
    # a quarter more than the largest drop seen
    assert bound == pytest.approx(0.5 + MARGIN + 1.25 * 0.2)


def test_a_better_image_makes_up_for_energy() -> None:
    """A candidate with the best image seen must still be out of reach."""
    share, n = 1 / 6, FEWEST
    # the best by cost has image 0.1; another has the better image 0.0
    energies, images = [0.5] * n, [0.1] + [0.4] * (n - 2) + [0.0]
    energies[-1] = 1.5
    bound = ScreeningRule(energy_share=share).bound(
        archive(energies, [0.0] * n, images, share)
    )
    assert bound is not None
    best = share * 0.5 + 0.1
    assert bound == pytest.approx((best + MARGIN) / share)
    # at the bound, with the best image, the cost is that of the best and the margin
    assert share * bound + 0.0 == pytest.approx(best + MARGIN)


def test_nothing_as_good_as_what_was_seen_is_given_up() -> None:
    rng = np.random.default_rng(1)
    energies, drops = rng.uniform(0.5, 2.0, 60), rng.uniform(0.0, 0.3, 60)
    bound = ScreeningRule(energy_share=1.0).bound(
        archive(energies.tolist(), drops.tolist())
    )
    assert bound is not None
    good = energies <= energies.min() + MARGIN
    assert np.all((energies + drops)[good] <= bound)
    assert np.any(energies + drops > bound)


def test_wrecks_do_not_raise_the_bound() -> None:
    n = FEWEST
    energies, drops = [0.5] * (n - 2) + [3.0, 3.0], [0.1] * (n - 2) + [4.0, 4.0]
    bound = ScreeningRule(energy_share=1.0).bound(archive(energies, drops))
    assert bound is not None
    assert bound == pytest.approx(0.5 + MARGIN + 1.25 * 0.1)


def test_one_in_a_fixed_number_is_audited() -> None:
    n = FEWEST
    known = archive([1.0] * n, [0.1] * n)
    bound = ScreeningRule(energy_share=1.0).bound(known)
    assert early_look(None, AUDITED - 1) is None
    looks = [early_look(bound, position) for position in range(4 * AUDITED)]
    assert {look and look.highest_j_per_m2 for look in looks} == {bound}
    assert sum(look is not None and look.audited for look in looks) == 4
