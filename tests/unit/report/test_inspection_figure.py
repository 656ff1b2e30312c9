"""The figure of what was read: drawn for every kind of image and reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Columns, Image
from autoloop.microscopy.motifs import Motif, Motifs
from autoloop.microscopy.reading import Micrograph
from autoloop.preparation.inspection import Inspection
from autoloop.report.inspection_figure import _look, inspection_figure


def inspection(n_y: int, n_x: int, *, angle_deg: float | None) -> Inspection:
    """A square lattice of columns 12 pixels apart, three motifs from top to bottom."""
    y, x = np.indices((n_y, n_x)).astype(float)
    values = np.cos(np.pi * x / 12) ** 2 * np.cos(np.pi * y / 12) ** 2
    grid = np.mgrid[0:n_x:12, 0:n_y:12].reshape(2, -1).T.astype(float)
    labels = np.digitize(grid[:, 1], [0.4 * n_y, 0.6 * n_y])
    nothing = np.zeros(0)
    motifs = tuple(
        Motif(
            name=name,
            region=region,
            site=0,
            n_columns=1,
            density=nothing,
            contrast=nothing,
            seen=nothing,
        )
        for name, region in (("grain A", 1), ("boundary", 0), ("grain B", 2))
    )
    point = None if angle_deg is None else (n_x / 2, n_y / 2)
    return Inspection(
        micrograph=Micrograph(
            image=Image(values=values, pixel_size=0.2),
            path="image.tif",
            sha256="",
            sources={"pixel_size": "given"},
            beam_energy_kev=None,
        ),
        crop=(0, n_y, 0, n_x - 10),
        columns=Columns(positions=grid, intensities=np.ones(len(grid))),
        column_width=1.0,
        motifs=Motifs(
            motifs=motifs,
            labels=labels,
            confidence=np.ones(len(grid)),
            amiss=np.zeros(len(grid)),
            angle_deg=angle_deg,
            point_px=point,
        ),
    )


@pytest.mark.parametrize(
    ("shape", "angle"), [((60, 200), 5.0), ((200, 60), 90.0), ((120, 120), None)]
)
def test_every_shape_fits_a_page(
    tmp_path: Path, shape: tuple[int, int], angle: float | None
) -> None:
    from matplotlib.image import imread

    path = tmp_path / "figure.png"
    inspection_figure(path, inspection(*shape, angle_deg=angle))
    height, width = imread(path).shape[:2]
    assert width <= 7.2 * 300 + 1
    assert height <= 9.3 * 300  # a page


def test_line_and_motifs_are_drawn(tmp_path: Path) -> None:
    """The line's yellow crosses the picture; each region has its colour."""
    from matplotlib.image import imread

    path = tmp_path / "figure.png"
    inspection_figure(path, inspection(120, 120, angle_deg=0.0))
    pixels = imread(path)[..., :3]

    def seen(colour: str) -> np.ndarray:
        wanted = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        return np.abs(pixels - wanted).max(axis=2) < 0.02

    across = seen("#F0E442").any(axis=0).mean()
    assert across > 0.5  # dashes of 5 and gaps of 3
    for colour in ("#56B4E9", "#E69F00"):
        assert seen(colour).sum() > 500


def test_columns_without_a_motif_look_unlike_every_motif() -> None:
    plain = _look(0, 0, "boundary")
    motifs = [_look(0, site, f"boundary, site {site}") for site in range(1, 7)]
    assert plain.marker not in {look.marker for look in motifs}
