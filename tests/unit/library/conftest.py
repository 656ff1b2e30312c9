"""A library of a few views in memory, and targets drawn from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.library.build import library_of
from autoloop.library.rendering import drawn, reach
from autoloop.library.store import Library
from autoloop.library.views import View, columns_within, views_of
from autoloop.structure.crystals import find_crystal

Array = NDArray[np.float64]
Draw = Callable[..., Array]

CRYSTALS = ("Cu", "Fe", "Mg", "Si", "CdTe", "GaN", "SrTiO3")


@pytest.fixture(scope="session")
def views() -> list[View]:
    return [seen for name in CRYSTALS for seen in views_of(find_crystal(name))]


@pytest.fixture(scope="session")
def library(views: list[View]) -> Library:
    return library_of(views)


@pytest.fixture
def draw() -> Draw:
    """Draw a view turned, moved and strained, on pixels of 0.25 Å."""

    def drawing(
        seen: View,
        matrix: Array | None = None,
        shift: Array | None = None,
        n_pixels: int = 160,
        blur: float = 0.4,
    ) -> Array:
        matrix = np.eye(2) if matrix is None else matrix
        shift = np.zeros(2) if shift is None else shift
        columns = columns_within(seen, 2 * reach(n_pixels))
        positions = (columns.positions + shift) @ matrix.T
        inside = np.max(np.abs(positions), axis=1) < reach(n_pixels)
        return drawn(
            Columns(
                positions=positions[inside], intensities=columns.intensities[inside]
            ),
            n_pixels,
            blur,
        )

    return drawing
