"""What a micrograph says, as an object to look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.interface.html import card, figure, grey_png
from autoloop.interface.wording import keywords

if TYPE_CHECKING:
    from autoloop.microscopy.indexing import BoundaryReading, GrainReading
    from autoloop.microscopy.reading import Micrograph
    from autoloop.preparation.inspection import BoundaryLine, Inspection


_NAMES: Final = 16
"""Width of the names in the lines of `Reading.text`."""


class Reading:
    """What one micrograph says; made by `autoloop.inspect`.

    Attributes
    ----------
    inspection : Inspection
        All of it, for what the properties do not show.
    """

    def __init__(self, inspection: Inspection) -> None:
        self.inspection = inspection

    @property
    def micrograph(self) -> Micrograph:
        """The image as read."""
        return self.inspection.micrograph

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """First row, row after the last, first column, column after the last [px]."""
        return self.inspection.crop

    @property
    def pixel_size(self) -> float:
        """As the lattices show it, else as the image says [Å]."""
        return self.inspection.pixel_size

    @property
    def pixel_size_nominal(self) -> float:
        """As the image or the caller says [Å]."""
        return self.inspection.micrograph.image.pixel_size

    @property
    def columns(self) -> Columns:
        """Columns: positions (n, 2), x and y [pixels of the whole image]."""
        return self.inspection.columns

    @property
    def motifs(self) -> tuple[str, ...]:
        """Name of the motif of each of the columns; empty if they show none."""
        motifs = self.inspection.motifs
        return () if motifs is None else tuple(motifs.names)

    @property
    def line(self) -> BoundaryLine | None:
        """The boundary: `angle_deg` from the image's right, `point_px` (x, y)."""
        return self.inspection.line

    @property
    def lattices(self) -> BoundaryReading | None:
        """Both lattices and how they lie; None if they cannot be told."""
        return self.inspection.boundary

    @property
    def grains(self) -> tuple[GrainReading, ...]:
        """The grain above the boundary, then that below; empty if not told."""
        read = self.inspection.boundary
        return () if read is None else (read.upper, read.lower)

    @property
    def confidence(self) -> float | None:
        """How clearly both lattices are seen, 0 to 1."""
        read = self.inspection.boundary
        return None if read is None else read.reading.confidence

    @property
    def misorientation_deg(self) -> float | None:
        """Smallest turn about the beam that makes one grain the other [degrees]."""
        from autoloop.preparation.inspection import tilt_deg

        grains = self.inspection.grains
        return None if grains is None else tilt_deg(*grains)

    @property
    def cannot_tell(self) -> str:
        """Why the lattices cannot be told; empty if they can."""
        return keywords(self.inspection.cannot_tell)

    @property
    def text(self) -> str:
        """All of it in lines for people, as `autoloop inspect` prints it."""
        from autoloop.report.inspection_text import as_text

        lines = [keywords(as_text(self.inspection)), self.cannot_tell]
        return "\n".join(line for line in lines if line)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values, as `autoloop inspect --json` prints it."""
        from autoloop.report.inspection_table import as_json

        return {**as_json(self.inspection), "cannot_tell": self.cannot_tell or None}

    def save_figure(self, path: str | os.PathLike[str]) -> Path:
        """Draw what was read into a PNG file, and return its path."""
        from autoloop.report.inspection_figure import inspection_figure

        inspection_figure(Path(path), self.inspection)
        return Path(path)

    def __repr__(self) -> str:
        grains = " on ".join(f"{g.crystal} {list(g.zone_axis)}" for g in self.grains)
        size = f"pixel size {self.pixel_size:.5f} Å"
        return (
            f"Reading({grains or 'no lattices'}, {len(self.columns)} columns, {size})"
        )

    def _repr_html_(self) -> str:
        image = self.micrograph.image.values
        return card(
            "What the micrograph says",
            _rows(self.text),
            figure(
                grey_png(image, line=_ends(self.line, image.shape), columns=self._dots),
                "columns and boundary line on the micrograph",
            ),
        )

    @property
    def _dots(self) -> NDArray[np.float64]:
        return np.asarray(self.columns.positions)


def _rows(text: str) -> list[tuple[str, str]]:
    """Return what the lines say by what they are about."""
    rows: list[tuple[str, str]] = []
    for line in text.splitlines():
        name, rest = line[:_NAMES].strip(), line[_NAMES:].strip()
        if line[:_NAMES].strip() and not line[_NAMES - 1 : _NAMES].isspace():
            rows.append(("", line.strip()))  # the sentence at the end
        elif name or not rows:
            rows.append((name, rest))
        else:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]}; {rest}")
    return rows


def _ends(
    line: BoundaryLine | None, shape: tuple[int, ...]
) -> NDArray[np.float64] | None:
    """Return two points (x, y) of a line beyond the image [pixels]."""
    if line is None:
        return None
    angle = np.deg2rad(line.angle_deg)
    along = np.array([np.cos(angle), -np.sin(angle)]) * float(sum(shape))
    return np.asarray(np.array([line.point_px - along, line.point_px + along]))
