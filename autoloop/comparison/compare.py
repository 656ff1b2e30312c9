"""Registering and scoring one candidate after another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison.scene import BAND, Scene
from autoloop.comparison.target import Target
from autoloop.domain import Bicrystal, ColumnResiduals, Columns, Score
from autoloop.errors import SimulationError
from autoloop.geometry import project_columns
from autoloop.scoring.emd import EmdResult
from autoloop.scoring.placing import BLEND
from autoloop.scoring.registration import (
    Correlator,
    Registration,
    Shift,
    register,
    subpixel_shift,
)
from autoloop.scoring.residuals import Residuals, column_residuals, residual_map
from autoloop.scoring.similarity import Similarity, intensity_range, mse
from autoloop.structure.template import BoundaryTemplate

Array = NDArray[np.float64]

LEAST_SHARE: Final = 0.35
"""Share of the correlation that the imaging fit reached in bulk below which a candidate
is refused, over the region and over the lower grain's bulk alone. Candidates whose
upper grain lies wrong keep 0.55 of it and more, unrelated lattices 0.1."""
LARGEST_SHIFT: Final = 0.5
"""Shift of the lower grain's bulk, where its lattice should have put it, above which a
candidate is refused [Å]: a column is then nearer to its neighbour's tail than to its
own place."""
SHIFT_STEP: Final = 0.6
"""Gauss-Newton step after which the shift of a candidate is known well enough [pixels]:
it is a check, and what a step of half a pixel leaves is some hundredths of one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """A candidate in the image.

    Attributes
    ----------
    simulated : (n_y, n_x) float array
        On the intensity scale of the micrograph, over the crop.
    columns : Columns
        Its columns over the region compared, tiled [pixels of the whole image];
        intensities are sums of Z**exponent.
    labels : (n,) int array
        For each of `columns`, the column of one period it is an image of.
    atom_labels : (n_atoms,) int array
        Column of one period to which each atom belongs.
    """

    simulated: Array
    columns: Columns
    labels: NDArray[np.int64]
    atom_labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registered:
    """A candidate with the hypothesis that fits best.

    Attributes
    ----------
    period : Columns
        Columns of one period [Å, model].
    atom_labels : (n_atoms,) int array
        Column of each atom.
    translation : (1, 2) float array
        Of the lower grain's lattice [Å, model].
    found : Registration
        How sure.
    shift : Shift
        What is left.
    simulated : (n_y, n_x) float array
        Over the view.
    """

    period: Columns
    atom_labels: NDArray[np.int64]
    translation: Array
    found: Registration
    shift: Shift
    simulated: Array


class Comparison:
    """Compares bicrystals of one template with one target.

    Parameters
    ----------
    template : BoundaryTemplate
        What all candidates share.
    target : Target
        The micrograph.

    Attributes
    ----------
    scene : Scene
        Both together.
    data_range : float
        Range of the measured intensities over the region compared.
    """

    def __init__(self, template: BoundaryTemplate, target: Target) -> None:
        self.scene = scene = Scene(template, target)
        region = scene.region[scene.view]
        self._region = region
        self._lower_bulk = region & (scene.heights[scene.view] < -BLEND)
        self._correlator = Correlator(scene.measured, region)
        self._least_correlation = LEAST_SHARE * _fitted_correlation(
            scene.measured[region], (target.bulk or target.imaging).rms
        )
        self._covariances = scene.covariance_map()
        self.data_range = intensity_range(scene.measured, region)
        self._similarity = Similarity(scene.measured, scene.windows(), self.data_range)
        self._seen = scene.seen(BAND)

    @property
    def region(self) -> NDArray[np.bool_]:
        """Pixels (n_y, n_x) of the crop that are compared."""
        return self.scene.region

    @property
    def band(self) -> NDArray[np.bool_]:
        """Pixels (n_y, n_x) of the crop near the boundary."""
        return self.scene.band

    def compare(self, bicrystal: Bicrystal) -> tuple[Score, ColumnResiduals]:
        """Register a bicrystal and score it.

        Returns
        -------
        score : Score
            Without energies.
        residuals : ColumnResiduals
            Columns of the band, in the boundary frame of the reading [Å].

        Raises
        ------
        SimulationError
            If it cannot be registered; the message begins with ``not_registered``.
        """
        candidate = self.register(bicrystal)
        plain, with_intensity, own = self.distances(bicrystal, candidate)
        own_window, narrow, wide = self.similarities(candidate.simulated)
        score = Score(
            ssim=own_window,
            ssim_7=narrow,
            ssim_35=wide,
            emd_angstrom_per_column=plain.value,
            emd_intensity=with_intensity.value,
            mse=mse(self.scene.measured, candidate.simulated, self._region),
            shift_px=(candidate.shift.x, candidate.shift.y),
            confidence=candidate.found.confidence,
        )
        return score, column_residuals(self._seen, own, plain.pairs)

    def register(self, bicrystal: Bicrystal) -> Registered:
        """Find the best lattice translation, its image, and what shift is left.

        Raises
        ------
        SimulationError
            If there is none; the message begins with ``not_registered``.
        """
        period, labels = project_columns(bicrystal, self.scene.weights(bicrystal))
        shifts = self.scene.placing.hypotheses(bicrystal)
        if not len(shifts):
            raise SimulationError(
                "not_registered: no lattice point of the lower grain brings the "
                "candidate's boundary near the line in the image"
            )
        placed = self.scene.placing.straight(bicrystal, period.positions, shifts)
        found, simulated = register(
            self._correlator,
            self._covariances.sums(placed, period.intensities),
            lambda i: self.scene.simulate(bicrystal, shifts[i : i + 1]),
        )
        left = subpixel_shift(
            self.scene.measured, simulated, self._lower_bulk, SHIFT_STEP
        )
        self._refuse(found, left)
        return Registered(
            period=period,
            atom_labels=labels,
            translation=shifts[found.index : found.index + 1],
            found=found,
            shift=left,
            simulated=simulated,
        )

    def similarities(self, simulated: Array) -> list[float | None]:
        """Return ssim, ssim_7 and ssim_35 of what `simulate` returned."""
        return self._similarity(simulated)

    def distances(
        self, bicrystal: Bicrystal, candidate: Registered
    ) -> tuple[EmdResult, EmdResult, Columns]:
        """Return both distances between columns, and the candidate's columns [Å]."""
        own = self.scene.resolved(
            bicrystal, candidate.period, candidate.translation, BAND
        )
        plain = self.scene.emd(self._seen, own, BAND)
        return plain, self.scene.emd(self._seen, own, BAND, intensity=True), own

    def place(self, bicrystal: Bicrystal) -> Placement:
        """Return a bicrystal as it lies in the image, over the whole crop.

        Raises
        ------
        SimulationError
            If it cannot be registered.
        """
        candidate = self.register(bicrystal)
        translation, extent = candidate.translation, self.scene.target.extent
        columns, labels = self.scene.tiled(
            bicrystal, candidate.period, translation, extent
        )
        return Placement(
            simulated=self.scene.simulate_crop(bicrystal, translation),
            columns=columns,
            labels=labels,
            atom_labels=candidate.atom_labels,
        )

    def residuals(self, bicrystal: Bicrystal) -> Residuals:
        """Return where a bicrystal disagrees, over the band and over the whole region.

        Raises
        ------
        SimulationError
            If it cannot be registered.
        """
        candidate = self.register(bicrystal)
        scene, view = self.scene, self.scene.view
        tables = []
        for half_height in (BAND, scene.target.extent):
            seen = scene.seen(half_height)
            own = scene.resolved(
                bicrystal, candidate.period, candidate.translation, half_height
            )
            pairs = scene.emd(seen, own, half_height).pairs
            tables.append(column_residuals(seen, own, pairs))
        simulated, measured = candidate.simulated, scene.measured
        difference = np.full(scene.region.shape, np.nan)
        difference[view] = residual_map(measured, simulated, self._region)
        return Residuals(
            difference=difference,
            mse=mse(measured, simulated, self._region),
            mse_band=mse(measured, simulated, scene.band[view]),
            columns=tables[1],
            columns_band=tables[0],
        )

    def _refuse(self, found: Registration, left: Shift) -> None:
        """Refuse what does not lie where its lower grain should have put it."""
        reached = min(found.correlation, left.correlation)
        if reached < self._least_correlation:
            raise SimulationError(
                f"not_registered: the candidate's image correlates by {reached:.2f} "
                f"with the micrograph, {self._least_correlation:.2f} is needed"
            )
        distance = math.hypot(left.x, left.y) * self.scene.frame.pixel_size
        if distance > LARGEST_SHIFT:
            raise SimulationError(
                f"not_registered: the candidate's lower grain lies {distance:.2f} Å "
                f"from the lattice in the micrograph, at most {LARGEST_SHIFT} Å is "
                "allowed"
            )


def _fitted_correlation(measured: Array, rms: float) -> float:
    """Return the correlation of a fit that leaves `rms` of measured intensities."""
    variance = float(np.var(measured)) if len(measured) else 0.0
    return math.sqrt(max(0.0, 1 - rms**2 / variance)) if variance > 0 else 0.0
