"""Structures as files to save, as a drawing, and as what the 3-D view is fed with."""

from __future__ import annotations

import io
import math
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from autoloop.domain import Bicrystal
from autoloop.report.export import SUFFIXES, describe, write_structure
from autoloop.report.page.contents import Structure
from autoloop.report.page.markup import download

_COLOURS: Final = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00")
_KINDS: Final = {
    "cif": ("CIF", "chemical/x-cif"),
    "poscar": ("POSCAR", "text/plain"),
    "extxyz": ("extended XYZ", "text/plain"),
}
"""What is offered: label and media type."""
_DRAWN_HEIGHT: Final = 13.0
"""Of each grain in the drawing [Å]."""
_DRAWN_WIDTH: Final = 34.0
"""Of the drawing, at least [Å]."""
_MOST_DRAWN: Final = 1500


def element_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each element, and for columns that hold several.

    Parameters
    ----------
    names : iterable of str
        Elements, or several in one word, as in ``CdTe``.

    Examples
    --------
    >>> list(element_colours(["CdTe", "Te", "Cd"]))
    ['Cd', 'Te', 'CdTe']
    """
    from ase.data import atomic_numbers

    given = set(names)
    parts = {part for name in given for part in re.findall("[A-Z][a-z]?", name)}
    pure = sorted(parts, key=lambda name: int(atomic_numbers[name]))
    order = [*pure, *sorted(given - parts)]
    colours = {name: _COLOURS[k % len(_COLOURS)] for k, name in enumerate(order)}
    return {name: colour for name, colour in colours.items() if name in given}


def downloads(structure: Structure, run: str) -> str:
    """Return links that save the structure.

    Parameters
    ----------
    structure : Structure
        What is saved.
    run : str
        Name of the run, for the names of the files.
    """
    stem = re.sub(r"[^\w.-]+", "_", f"{run}_{structure.name}")
    links = []
    with tempfile.TemporaryDirectory(prefix="autoloop-") as folder:
        for format, (label, kind) in _KINDS.items():
            path = Path(folder) / f"structure{SUFFIXES[format]}"
            bicrystal = structure.finalist.details.bicrystal
            write_structure(path, bicrystal, format, describe(structure.evaluation))
            name = f"{stem}{SUFFIXES[format]}"
            links.append(download(name, path.read_bytes(), label, kind))
    return f'<p class="files">Save the structure: {" ".join(links)}</p>'


def model_data(structure: Structure) -> dict[str, Any]:
    """Return the atoms as JSON values, for the 3-D view.

    Returns
    -------
    dict
        symbols, xyz (flat) [Å], excess (energy of each atom above bulk [eV], or null),
        grain, cell (3 rows) [Å], height of the boundary [Å], colours by symbol.
    """
    details = structure.finalist.details
    bicrystal = details.bicrystal
    symbols = symbols_of(bicrystal)
    return {
        "symbols": symbols,
        "xyz": [round(float(v), 3) for v in bicrystal.positions.ravel()],
        "excess": [
            round(float(v), 4) if math.isfinite(v) else None
            for v in details.excess_energies
        ],
        "grain": [int(g) for g in bicrystal.grains],
        "cell": [[round(float(v), 4) for v in row] for row in bicrystal.cell],
        "height": round(float(bicrystal.boundary_height), 3),
        "colours": element_colours(symbols),
    }


def symbols_of(bicrystal: Bicrystal) -> list[str]:
    """Return the chemical symbol of every atom."""
    from ase.data import chemical_symbols

    return [str(chemical_symbols[z]) for z in bicrystal.numbers]


def drawing(structure: Structure) -> str:
    """Draw the boundary along the beam; what paper and old browsers show.

    Atoms further from the viewer are paler.
    """
    bicrystal = structure.finalist.details.bicrystal
    near = np.abs(bicrystal.positions[:, 1] - bicrystal.boundary_height)
    chosen = np.flatnonzero(near < _DRAWN_HEIGHT)
    period = float(bicrystal.cell[0, 0])
    n_copies = max(1, math.ceil(_DRAWN_WIDTH / period))
    n_copies = min(n_copies, max(1, _MOST_DRAWN // max(len(chosen), 1)))
    symbols = np.array(symbols_of(bicrystal))
    colours = element_colours(symbols)
    depth = float(bicrystal.cell[2, 2]) or 1.0
    file = io.StringIO()
    for k in chosen[np.argsort(bicrystal.positions[chosen, 2])]:
        x, y, z = bicrystal.positions[k]
        pale = 0.45 + 0.55 * ((z / depth) % 1.0)
        for copy in range(n_copies):
            file.write(
                f'<circle cx="{x % period + copy * period:.2f}" '
                f'cy="{bicrystal.boundary_height - y:.2f}" r=".62" '
                f'fill="{colours[symbols[k]]}" opacity="{pale:.2f}"/>'
            )
    width = n_copies * period
    return (
        f'<svg class="drawing" viewBox="-1 {-_DRAWN_HEIGHT - 1:g} {width + 2:.2f} '
        f'{2 * _DRAWN_HEIGHT + 2:g}" role="img" aria-label="structure along the beam">'
        f'<line x1="-1" x2="{width + 1:.2f}" y1="0" y2="0"/>'
        f'<g stroke="#333" stroke-width=".08">{file.getvalue()}</g></svg>'
    )
