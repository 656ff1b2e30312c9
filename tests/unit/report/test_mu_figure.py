"""The picture of boundary energies against the chemical potential."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.report.mu_figure import MuDiagram, MuLine, lowest_lines, mu_figure

LINES = (
    MuLine(label="no excess", limits_j_per_m2=(0.78, 0.78)),
    MuLine(label="Cd excess", limits_j_per_m2=(0.63, 1.02)),
    MuLine(label="Te excess", limits_j_per_m2=(1.07, 0.68)),
)
DIAGRAM = MuDiagram(
    lines=LINES, species=("Cd", "Te"), width_ev=1.24, mu_fraction=0.5, title="S3"
)


def test_the_lowest_lines_in_order_of_the_chemical_potential() -> None:
    limits = [line.limits_j_per_m2 for line in LINES]
    assert lowest_lines(limits) == [1, 0, 2]
    # 0.63 + 0.39 f and 1.07 - 0.39 f meet at 0.85: what is above is never the lowest.
    assert lowest_lines([(0.86, 0.86), *limits[1:]]) == [1, 2]
    assert lowest_lines([(0.84, 0.84), *limits[1:]]) == [1, 0, 2]
    assert lowest_lines([(0.5, 0.7), (0.5, 0.7)]) == [0]


def test_every_boundary_is_in_the_picture(tmp_path: Path) -> None:
    from matplotlib.image import imread

    pictures = []
    for n in (1, 2, 3):
        path = tmp_path / f"{n}.png"
        mu_figure(path, replace(DIAGRAM, lines=LINES[:n]))
        pictures.append(np.asarray(imread(path)))
    # 5.8 x 2.9 inch, 200 dpi
    assert all(p.shape[:2] == (580, 1160) for p in pictures)
    # Colours of the lines, by what they paint in red, green and blue.
    for picture, n in zip(pictures, (1, 2, 3), strict=True):
        for index, colour in enumerate(((0, 0.447, 0.698), (0.835, 0.369, 0))):
            painted = np.abs(picture[..., :3] - colour).max(axis=2) < 0.02
            assert painted.any() == (index < n)


@pytest.mark.parametrize("fraction", [None, 0.0, 0.5, 1.0])
def test_a_vector_picture_is_the_same_each_time(
    tmp_path: Path, fraction: float | None
) -> None:
    for name in ("a.svg", "b.svg"):
        mu_figure(tmp_path / name, replace(DIAGRAM, mu_fraction=fraction))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(("lines", "width"), [((), 1.0), (LINES, 0.0)])
def test_nothing_to_draw_is_a_mistake(lines: tuple[MuLine, ...], width: float) -> None:
    with pytest.raises(ValueError, match="needs a boundary and a range"):
        MuDiagram(lines=lines, species=("Cd", "Te"), width_ev=width)
