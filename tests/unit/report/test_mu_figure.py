"""The picture of boundary energies against the chemical potential."""

from pathlib import Path

import numpy as np
import pytest

from autoloop.report.mu_figure import MuLine, mu_figure, stable_line

LINES = (
    MuLine(label="Gamma = 0", limits_j_per_m2=(0.78, 0.78)),
    MuLine(label="Gamma = -1", limits_j_per_m2=(0.63, 1.02)),
    MuLine(label="Gamma = +1", limits_j_per_m2=(1.07, 0.68)),
)


def test_the_lowest_line_changes_where_lines_cross() -> None:
    # 0.63 + 0.39 f = 0.78 at f = 0.385; 1.07 - 0.39 f = 0.78 at 0.744
    fractions = np.array([0.0, 0.37, 0.40, 0.73, 0.76, 1.0])
    assert stable_line(LINES, fractions) == [1, 1, 0, 0, 2, 2]


def test_every_boundary_is_in_the_picture(tmp_path: Path) -> None:
    from matplotlib.image import imread

    pictures = []
    for n in (1, 2, 3):
        path = tmp_path / f"{n}.png"
        mu_figure(path, LINES[:n], species=("Cd", "Te"), width_ev=1.24, title="S3")
        pictures.append(np.asarray(imread(path)))
    assert all(p.shape[:2] == (580, 920) for p in pictures)  # 4.6 x 2.9 inch, 200 dpi
    # Colours of the lines, by what they paint in red, green and blue.
    for picture, n in zip(pictures, (1, 2, 3), strict=True):
        for index, colour in enumerate(((0, 0.447, 0.698), (0.835, 0.369, 0))):
            painted = np.abs(picture[..., :3] - colour).max(axis=2) < 0.02
            assert painted.any() == (index < n)


@pytest.mark.parametrize(("lines", "width"), [((), 1.0), (LINES, 0.0)])
def test_nothing_to_draw_is_a_mistake(lines: tuple[MuLine, ...], width: float) -> None:
    with pytest.raises(ValueError, match="needs a boundary and a range"):
        mu_figure(Path("x.png"), lines, species=("Cd", "Te"), width_ev=width)
