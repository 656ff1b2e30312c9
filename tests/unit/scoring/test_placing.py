"""A displacement looked up between pixels."""

from __future__ import annotations

import numpy as np

from autoloop.scoring.placing import Bending

ORIGIN = (12.0, -4.0)


def smooth(points: np.ndarray) -> np.ndarray:
    x, y = np.moveaxis(points, -1, 0)
    return np.stack((0.02 * x - 0.01 * y, np.sin(x / 30) * np.cos(y / 40)), -1)


def table() -> Bending:
    rows, columns = np.indices((70, 50), dtype=float)
    return Bending(smooth(np.stack((columns, rows), -1) + ORIGIN), ORIGIN)


def test_between_pixels_it_is_smooth() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(ORIGIN, np.add(ORIGIN, [48.9, 68.9]), (3, 40, 2))
    found = table()(points)
    assert found.shape == (3, 40, 2)
    # a curvature of 1/30² per pixel² over a pixel: 1/8 of it
    np.testing.assert_allclose(found, smooth(points), atol=3e-4)


def test_beyond_the_edge_it_is_that_of_the_edge() -> None:
    x, y = ORIGIN
    far = np.array([[x - 500.0, y + 10.0], [x + 20.0, y + 900.0]])
    edge = np.array([[x, y + 10.0], [x + 20.0, y + 69.0]])
    np.testing.assert_allclose(table()(far), smooth(edge), atol=2e-3)
