"""HAADF images by PRISM or multislice with frozen phonons, through abTEM.

The reference that the column convolution is held against, and the engine for a specimen
too thick for it. Minutes a structure, so no part of the loop. This is the only place
that knows abTEM's conventions: its arrays run (x, y), its electrons along +z.

abTEM puts atoms on its grid by linear interpolation. On the grid of this module, whose
highest frequency is the detector's outer edge, atoms between grid points scatter 0.79
of what one on a grid point does (Cu, 70 to 150 mrad), one by one 0.72 to 0.89.
Vibrations are wider than a step of the grid, so that columns average over this and
keep their contrast, but absolute intensities are a fifth too low.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import DataError
from autoloop.geometry import Frame
from autoloop.imaging.probe import Microscope
from autoloop.imaging.specimen import Specimen
from autoloop.units import MRAD

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

MIN_EXTENT: Final = 10.0
"""Narrowest window that a probe is given to spread in [Å]. A beam of 25 mrad is 5 Å
wide at the end of 100 Å, and the tails of a probe reach further."""

PADDING: Final = 2.0
"""Vacuum above and below the atoms, between periodic images along y [Å], each."""

SCAN_SAMPLING: Final = 0.95
"""Step between probe positions, in steps that the probe's cut-off needs (Nyquist)."""

_FINE: Final = 0.04
"""Step of the table from which pixels are interpolated [Å]: a sixth of the step that a
30 mrad probe at 300 kV needs, where a cubic spline leaves about 1e-4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Multislice:
    """How to compute.

    Attributes
    ----------
    algorithm : "prism" or "multislice"
        PRISM shares the propagation between probe positions; multislice is what it
        approximates.
    n_phonons : int
        Frozen-phonon configurations over which intensities are averaged.
    vibration : float or mapping
        Root mean square displacement along each axis [Å], of all atoms or by chemical
        symbol.
    slice_thickness : float
        [Å].
    seed : int
        Of the displacements.
    """

    algorithm: Literal["prism", "multislice"] = "prism"
    n_phonons: int = 4
    vibration: float | Mapping[str, float] = 0.08
    slice_thickness: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.slice_thickness > 0:
            raise ValueError(f"slice_thickness must be > 0, got {self.slice_thickness}")
        if self.n_phonons < 1:
            raise ValueError(f"n_phonons must be at least 1, got {self.n_phonons}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellImage:
    """The image of one cell, periodic along both axes.

    Attributes
    ----------
    values : (n_y, n_x) float array
        Share of the beam that reaches the detector; row 0 is the lowest y.
    extent : (float, float)
        Of the cell along x and y [Å].
    origin : (float, float)
        x and y of the first value [Å].
    periodic : (bool, bool)
        Whether the specimen repeats along x and y; else vacuum is beyond.
    thickness : float
        Of the specimen [Å].
    """

    values: Array
    extent: tuple[float, float]
    origin: tuple[float, float]
    periodic: tuple[bool, bool]
    thickness: float


def cell_image(
    specimen: Specimen, microscope: Microscope, settings: Multislice
) -> CellImage:
    """Simulate one cell of a specimen.

    Parameters
    ----------
    specimen : Specimen
        In an orthogonal cell. The beam enters on the viewer's side and runs towards -z.
    microscope : Microscope
        Probe, detector and thickness, which is rounded to whole cells.
    settings : Multislice
        How to compute.

    Returns
    -------
    CellImage
        Without source size, at the step that the probe's cut-off needs.

    Raises
    ------
    DataError
        If the cell is not orthogonal.
    """
    atoms, origin = _atoms(specimen, microscope.thickness)
    width, height = float(atoms.cell[0, 0]), float(atoms.cell[1, 1])
    step = SCAN_SAMPLING / (2 * microscope.cutoff)
    gpts = (math.ceil(width / step), math.ceil(height / step))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # abTEM and dask warn of each other
        array = _scan(atoms, (width, height), gpts, microscope, settings)
    # abTEM's (x, y) to rows along y and columns along x
    return CellImage(
        values=np.ascontiguousarray(array.T),
        extent=(width, height),
        origin=origin,
        periodic=specimen.periodic,
        thickness=float(atoms.cell[2, 2]),
    )


def blurred(image: CellImage, blur_sigma: float) -> CellImage:
    """Return the image with the blur of a source, a Gaussian with this sigma [Å]."""
    width, height = image.extent
    n_y, n_x = image.values.shape
    f_y = np.fft.fftfreq(n_y, height / n_y)[:, None]
    f_x = np.fft.rfftfreq(n_x, width / n_x)[None, :]
    factor = np.exp(-2 * (np.pi * blur_sigma) ** 2 * (f_x**2 + f_y**2))
    values = np.fft.irfft2(np.fft.rfft2(image.values) * factor, s=(n_y, n_x))
    return replace(image, values=values)


def at_points(image: CellImage, points: Array) -> Array:
    """Return intensities (...) at points (..., 2) of the specimen's frame [Å].

    Band-limited interpolation: the image holds no more than its own frequencies.
    0 beyond a specimen that does not repeat.
    """
    from scipy.ndimage import map_coordinates

    n_y, n_x = image.values.shape
    width, height = image.extent
    shape = (math.ceil(height / _FINE), math.ceil(width / _FINE))
    spectrum = np.fft.fftshift(np.fft.fft2(image.values))
    padded = np.zeros(shape, complex)
    rows, columns = (m // 2 - n // 2 for m, n in zip(shape, (n_y, n_x), strict=True))
    padded[rows : rows + n_y, columns : columns + n_x] = spectrum
    fine = np.fft.ifft2(np.fft.ifftshift(padded)).real * (
        shape[0] * shape[1] / (n_y * n_x)
    )
    shares = (points - np.asarray(image.origin)) / np.array([width, height])
    place = [shares[..., 1] * shape[0], shares[..., 0] * shape[1]]
    found = map_coordinates(fine, place, order=3, mode="grid-wrap")
    inside = np.all(((shares >= 0) & (shares <= 1)) | np.array(image.periodic), axis=-1)
    return np.where(inside, found, 0.0)


class MultisliceImager:
    """Simulates the image of specimens on a fixed grid of pixels.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the grid.
    frame : Frame
        How x and y lie in the image.
    microscope : Microscope
        Probe and detector.
    blur_sigma : float
        Standard deviation of the Gaussian that stands for the source [Å].
    settings : Multislice
        How to compute.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        frame: Frame,
        microscope: Microscope,
        blur_sigma: float,
        settings: Multislice,
    ) -> None:
        rows, columns = np.indices(shape, dtype=float)
        pixels = np.stack((columns, rows), axis=-1)
        self._points = frame.to_boundary(pixels.reshape(-1, 2)).reshape(pixels.shape)
        self._microscope = microscope
        self._blur_sigma = blur_sigma
        self._settings = settings

    def image(self, specimen: Specimen) -> Array:
        """Return the (n_y, n_x) image, as shares of the beam."""
        image = cell_image(specimen, self._microscope, self._settings)
        return at_points(blurred(image, self._blur_sigma), self._points)


def _atoms(specimen: Specimen, thickness: float) -> tuple[Atoms, tuple[float, float]]:
    """Return the atoms as abTEM wants them, and the (x, y) that is (0, 0) there [Å].

    Repeated along the beam; beam along +z, so z is turned round. The map stays (x, y):
    physics does not tell a structure from its mirror image.
    """
    from ase import Atoms

    if not specimen.orthogonal:
        raise DataError(
            "the abTEM engine needs a cell with its vectors along x, y and z, got "
            f"{np.round(specimen.cell, 3).tolist()} Å; use the convolution engine"
        )
    lengths = np.diag(specimen.cell).copy()
    origin = np.zeros(3)
    for axis in (0, 1):
        if not specimen.periodic[axis]:
            along = specimen.positions[:, axis]
            origin[axis] = along.min() - PADDING
            lengths[axis] = np.ptp(along) + 2 * PADDING
    positions = (specimen.positions - origin) * np.array([1.0, 1.0, -1.0])
    atoms = Atoms(specimen.numbers, positions, cell=lengths, pbc=True)
    atoms.wrap(eps=1e-6)
    layers = atoms.repeat((1, 1, specimen.n_layers(thickness)))
    return layers, (float(origin[0]), float(origin[1]))


def _scan(
    atoms: Atoms,
    extent: tuple[float, float],
    gpts: tuple[int, int],
    microscope: Microscope,
    settings: Multislice,
) -> Array:
    """Return abTEM's (x, y) array over the cell."""
    import abtem

    repeat = tuple(math.ceil(MIN_EXTENT / length) for length in extent)
    phonons = abtem.FrozenPhonons(
        atoms.repeat((*repeat, 1)),
        num_configs=settings.n_phonons,
        sigmas=settings.vibration
        if isinstance(settings.vibration, int | float)
        else dict(settings.vibration),
        seed=settings.seed,
    )
    inner, outer = microscope.detector_mrad
    scan = abtem.GridScan(start=(0, 0), end=extent, gpts=gpts, endpoint=False)
    detector = abtem.AnnularDetector(inner=inner, outer=outer)
    interpolation = tuple(
        max(1, int(n * length / MIN_EXTENT))
        for n, length in zip(repeat, extent, strict=True)
    )
    potential = abtem.Potential(
        phonons,
        gpts=_potential_gpts(atoms, repeat, interpolation, microscope),
        slice_thickness=settings.slice_thickness,
        projection="infinite",
        parametrization="lobato",
    )
    optics: dict[str, Any] = {
        "energy": 1e3 * microscope.beam_energy_kev,
        "semiangle_cutoff": microscope.convergence_mrad,
    }
    aberrations = {
        "defocus": microscope.defocus,
        "Cs": 1e7 * microscope.spherical_aberration_mm,
    }
    with abtem.config.set({"diagnostics.progress_bar": False, "fftw.threads": 1}):
        if settings.algorithm == "multislice":
            probe = abtem.Probe(**optics, **aberrations)
            probe.grid.match(potential)
            measured = probe.scan(potential, scan=scan, detectors=detector, lazy=False)
        else:
            matrix = abtem.SMatrix(
                potential=potential, interpolation=interpolation, **optics
            )
            ctf = abtem.CTF(**optics, **aberrations)
            measured = matrix.scan(scan=scan, detectors=detector, ctf=ctf, lazy=False)
    array = np.asarray(measured.array, float)
    return array.mean(axis=0) if array.ndim == 3 else array


def _potential_gpts(
    atoms: Atoms,
    repeat: tuple[int, ...],
    interpolation: tuple[int, ...],
    microscope: Microscope,
) -> tuple[int, ...]:
    """Return the grid that carries waves to the detector's outer edge.

    abTEM keeps two thirds of the grid's highest frequency.
    """
    from scipy.fft import next_fast_len

    highest = 1.02 * microscope.detector_mrad[1] * MRAD / microscope.wavelength
    sampling = 2 / 3 / (2 * highest)
    lengths = (n * float(atoms.cell[i, i]) for i, n in enumerate(repeat))
    return tuple(
        f * int(next_fast_len(math.ceil(length / sampling / f)))
        for f, length in zip(interpolation, lengths, strict=True)
    )
