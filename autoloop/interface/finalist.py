"""One of the best structures of a run, in the objects that other programs take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Evaluation, Image, Score, flag_names
from autoloop.interface.html import card, figure, grey_png, limits
from autoloop.interface.tables import pandas
from autoloop.report.best import Finalist as Found
from autoloop.report.figures import ColumnTable

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms


class Finalist:
    """A structure that a run found.

    Attributes
    ----------
    found : autoloop.report.best.Finalist
        All of it, for what the properties do not show.
    """

    def __init__(self, found: Found) -> None:
        self.found = found

    @property
    def rank(self) -> int:
        """1 for the best; the number of its folder in ``best/``."""
        return self.found.rank

    @property
    def evaluation(self) -> Evaluation:
        """What became of the candidate: id, proposal, score, cost, flags."""
        return self.found.evaluation

    @property
    def id(self) -> str:
        """Of the evaluation: cycle and index."""
        return self.found.evaluation.id

    @property
    def cost(self) -> float:
        """Lower is better."""
        cost = self.found.evaluation.cost
        return float("nan") if cost is None else cost

    @property
    def score(self) -> Score:
        """Raw measurements in their own units; None is what was not measured."""
        return self.found.evaluation.score or Score()

    @property
    def weight(self) -> float | None:
        """Share of what image and energy leave possible; None while a run goes on."""
        return self.found.weight

    @property
    def atoms(self) -> Atoms:
        """Relaxed atoms, a copy: x along the boundary, y its normal, z the beam [Å].

        Periodic in x and z. `atoms.arrays["grain"]` is 1 above the boundary and 2
        below, `atoms.arrays["excess_energy"]` [eV] that of each atom over bulk.
        """
        from autoloop.report.export import describe, to_atoms

        atoms = to_atoms(self.found.details.bicrystal)
        atoms.set_array("excess_energy", np.array(self.found.details.excess_energies))
        atoms.info.update(describe(self.evaluation))
        return atoms

    @property
    def image(self) -> Image | None:
        """Simulated, pixel by pixel over `measured`: values (n_y, n_x), pixel_size."""
        return None if self.found.view is None else self.found.view.simulated

    @property
    def measured(self) -> Image | None:
        """The micrograph's part that is compared; None without a micrograph."""
        return None if self.found.view is None else self.found.view.measured

    @property
    def compared(self) -> NDArray[np.bool_] | None:
        """Pixels (n_y, n_x) that count."""
        return None if self.found.view is None else self.found.view.mask

    @property
    def residual(self) -> NDArray[np.float64] | None:
        """Measured minus simulated (n_y, n_x), NaN where nothing was compared."""
        view = self.found.view
        if view is None:
            return None
        difference = view.measured.values - view.simulated.values
        return np.where(view.mask, difference, np.nan)

    @property
    def columns(self) -> ColumnTable | None:
        """Its columns: positions_px (n, 2) [pixels of the whole image], elements."""
        return None if self.found.view is None else self.found.view.columns

    @property
    def column_table(self) -> pd.DataFrame | None:
        """The columns as a table of x_px, y_px, element and mass."""
        table = self.columns
        if table is None:
            return None
        x, y = np.asarray(table.positions_px).T
        values = {"x_px": x, "y_px": y, "element": table.elements, "mass": table.masses}
        return pandas().DataFrame(values)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value}" for name, value in self._figures() if value)
        return f"Finalist(best/{self.rank}: {shown})"

    def _repr_html_(self) -> str:
        rows = [
            *self._figures(),
            ("atoms", f"{len(self.atoms)} ({self.atoms.get_chemical_formula()})"),
            ("found by", self.evaluation.proposal.mutation),
            ("why", self.evaluation.proposal.reason),
        ]
        return card(f"best/{self.rank}", rows, self.pictures())

    def _figures(self) -> list[tuple[str, str]]:
        score, weight = self.score, self.weight
        figures = (
            ("cost", self.cost, ".4f", ""),
            ("weight", None if weight is None else 100 * weight, ".0f", " %"),
            ("SSIM", score.ssim, ".3f", ""),
            ("EMD", score.emd_angstrom_per_column, ".3f", " Å per column"),
            ("energy", score.energy_j_per_m2, ".3f", " J/m²"),
            ("excess", score.gamma_excess_per_nm2, "+.2f", " nm⁻²"),
        )
        rows = [
            (name, f"{value:{form}}{unit}")
            for name, value, form, unit in figures
            if value is not None
        ]
        flags = ", ".join(flag_names(self.evaluation.flags))
        return [("id", self.id), *rows, *([("flagged", flags)] if flags else [])]

    def pictures(self) -> str:
        """Return measured and simulated image as HTML; empty without a micrograph."""
        view = self.found.view
        if view is None:
            return ""
        shown = limits(view.measured.values[view.mask])
        measured = grey_png(view.measured.values, shown)
        simulated = grey_png(view.simulated.values, shown, mask=view.mask)
        return figure(measured, "measured") + figure(simulated, "simulated")
