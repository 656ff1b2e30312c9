"""Queries: the entry comes first, and what is not there is not found."""

from __future__ import annotations

import numpy as np
import pytest

from autoloop.errors import DataError
from autoloop.library.motifs import kinds, occurrences, shared_motifs
from autoloop.library.scores import prepare_query
from autoloop.library.search import search
from autoloop.library.spectra import turn_matrix
from autoloop.library.store import Library
from autoloop.library.verdict import FITS


def names(answer) -> list[str]:
    return [match.name.text for match in answer.matches]


def test_entries_find_themselves(library: Library, draw) -> None:
    rng = np.random.default_rng(5)
    for k, name in list(enumerate(library.names))[::3]:
        seen = library.view(k)
        matrix = turn_matrix(rng.uniform(0, 6.3), 1.0, bool(rng.integers(2)))
        matrix = (np.eye(2) + rng.uniform(-0.02, 0.02, (2, 2))) @ matrix
        image = draw(seen, matrix, rng.uniform(0, 1, 2) @ seen.cell, 180, 0.5)
        answer = search(library, image, 0.25)
        assert answer.fits, name.text
        # Cu and Fe, say, share square lattices: sizes within 2 % are not told apart
        best = answer.matches[0]
        assert best.index == k or best.pose.explained > 0.99, name.text
        assert k in [match.index for match in answer.matches[:2]], name.text


def test_noise_defects_and_background(library: Library, draw) -> None:
    rng = np.random.default_rng(6)
    k = [n.text for n in library.names].index("CdTe [1 1 0]")
    seen = library.view(k)
    image = draw(seen, turn_matrix(1.0, 1.0, False), np.array([0.3, 1.2]))
    image = image / image.mean() + 0.5 * np.arange(160) / 160
    noisy = rng.poisson(8.0 * np.maximum(image, 0.0)).astype(float)
    answer = search(library, noisy, 0.25)
    assert names(answer)[0] == "CdTe [1 1 0]"
    assert answer.fits


def test_what_is_left_out_is_not_found(library: Library, draw) -> None:
    k = [n.text for n in library.names].index("CdTe [1 1 0]")
    silicon = [n.text for n in library.names].index("Si [1 1 0]")
    image = draw(library.view(k), turn_matrix(0.2, 1.0, False))
    answer = search(library, image, 0.25, without=[k, silicon])
    assert not answer.fits
    assert answer.confidence < FITS
    assert k not in [match.index for match in answer.matches]


def test_noise_alone_fits_nothing(library: Library) -> None:
    noise = np.random.default_rng(7).normal(10.0, 1.0, (200, 200))
    try:
        answer = search(library, noise, 0.25)
    except DataError:
        return
    assert not answer.fits


def test_an_unknown_pixel_size_is_found(library: Library, draw) -> None:
    k = [n.text for n in library.names].index("SrTiO3 [1 0 0]")
    image = draw(library.view(k), turn_matrix(0.5, 1.0, False), n_pixels=200)
    answer = search(library, image, None)
    assert answer.matches[0].index == k
    # within what one matrix and its determinant are found to
    assert answer.matches[0].pixel_size == pytest.approx(0.25, rel=0.005)


def test_small_images_are_refused(library: Library) -> None:
    with pytest.raises(DataError, match="shorter side"):
        search(library, np.zeros((40, 400)), 0.25)


def test_shared_motifs(library: Library, draw) -> None:
    texts = [n.text for n in library.names]
    k, other = texts.index("CdTe [1 1 0]"), texts.index("SrTiO3 [1 0 0]")
    image = draw(library.view(k), turn_matrix(0.7, 1.0, False), n_pixels=160)
    answer = search(library, image, 0.25, top=len(library))
    own = next(m for m in answer.matches if m.index == k)
    query = prepare_query(image)
    shared = shared_motifs(query, library.view(k), own.pose)
    assert shared.local_share > 0.95
    assert shared.extended_share > 0.95
    assert abs(shared.turn_deg) % 180.0 < 7.0  # steps of 6 degrees
    foreign = shared_motifs(query, library.view(other), own.pose)
    assert foreign.local_share < 0.2


def test_kinds_of_column_are_found_again(library: Library, draw) -> None:
    """Both columns of a dumbbell, as they lie and turned; none in a square lattice."""
    texts = [n.text for n in library.names]
    k, other = texts.index("CdTe [1 1 0]"), texts.index("SrTiO3 [1 0 0]")
    image = draw(library.view(k), turn_matrix(0.7, 1.0, False), n_pixels=160)
    query = prepare_query(image)
    found = kinds(query)
    # half a turn exchanges the two sublattices, so that they are two kinds
    assert len(found) == 2
    shares = [np.mean(found.labels == kind) for kind in (0, 1)]
    assert min(shares) > 0.45
    answer = search(library, image, 0.25, top=len(library))
    poses = {match.index: match.pose for match in answer.matches}
    own = occurrences(query, found, library.view(k), poses[k])
    assert own.share(0) == pytest.approx(shares[0], abs=0.05)
    assert own.share(1) == pytest.approx(shares[1], abs=0.05)
    assert np.all(np.abs(own.turn_deg) <= 6.0)  # one step
    foreign = occurrences(query, found, library.view(other), poses[other])
    assert np.mean(foreign.labels >= 0) < 0.2
