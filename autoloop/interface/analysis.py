"""The analysis of single images as functions: read, find columns, inspect, score.

Each takes a file, an array, a signal of HyperSpy or an image of autoloop.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autoloop.domain import Image
from autoloop.errors import ConfigError
from autoloop.interface.reading import Reading
from autoloop.interface.sources import ImageSource, as_micrograph
from autoloop.interface.wording import in_keywords
from autoloop.microscopy.reading import Micrograph

if TYPE_CHECKING:
    from ase import Atoms

    from autoloop.imaging.multislice import Multislice
    from autoloop.imaging.specimen import Specimen
    from autoloop.microscopy.columns import ColumnFit
    from autoloop.scoring.pair import PairScore


def read_micrograph(
    source: ImageSource, *, pixel_size: float | None = None, index: int | None = None
) -> Micrograph:
    """Read an image with its pixel size.

    Parameters
    ----------
    source : path, (n_y, n_x) array, signal, Image or Micrograph
        dm3, dm4, ser, emi, emd, hspy, mrc, tif, png, npy and more as files; arrays with
        row 0 at the top; signals of HyperSpy with their scale in nm, Å, pm or µm.
    pixel_size : float, optional
        [Å]; goes before that of the source.
    index : int, optional
        Which image of a source that holds several, counted from 0.

    Returns
    -------
    Micrograph
        `image.values` (n_y, n_x) float64, `image.pixel_size` [Å], `sources` of the
        numbers, `beam_energy_kev` if the source has it.

    Raises
    ------
    DataError
        If there is no usable image, or no pixel size is known.
    """
    with in_keywords():
        return as_micrograph(source, pixel_size=pixel_size, index=index)


def find_columns(
    source: ImageSource,
    *,
    pixel_size: float | None = None,
    index: int | None = None,
    spacing: float | None = None,
    threshold: float | None = None,
) -> ColumnFit:
    """Find the atomic columns of an image.

    Parameters
    ----------
    source, pixel_size, index
        See `read_micrograph`.
    spacing : float, optional
        Shortest distance between columns to be told apart [Å]; by default the image
        decides.
    threshold : float, optional
        Least significance of a column in standard errors, 3 by default.

    Returns
    -------
    ColumnFit
        `columns.positions` (n, 2), x and y [pixels], an integer being a pixel's centre;
        `columns.intensities` (n,); `position_errors` (n, 2) [pixels];
        `significances` (n,); `quality` (n,); `width_px`, one sigma for all [pixels].

    Raises
    ------
    DataError
        If the image shows no columns.
    """
    from autoloop.microscopy.columns import THRESHOLD, fit_columns

    image = read_micrograph(source, pixel_size=pixel_size, index=index).image
    with in_keywords():
        return fit_columns(
            image,
            spacing=spacing,
            threshold=THRESHOLD if threshold is None else threshold,
        )


def inspect(
    source: ImageSource,
    crystals: str | Sequence[str] = (),
    *,
    pixel_size: float | None = None,
    index: int | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> Reading:
    """Read columns, lattices, boundary and motifs from a micrograph.

    Parameters
    ----------
    source, pixel_size, index
        See `read_micrograph`.
    crystals : str or sequence of str
        What the image shows: a built-in name such as ``Cu`` or a structure file, two if
        the grains differ. Without any there are columns and motifs only.
    crop : (int, int, int, int), optional
        First row, row after the last, first column, column after the last [pixels]; by
        default all that is a micrograph.

    Returns
    -------
    Reading
        Where the lattices cannot be told, `cannot_tell` says why.

    Raises
    ------
    ConfigError
        If a crystal is not known, or the crop does not fit.
    DataError
        If the image shows no columns.
    """
    from autoloop.preparation.inspection import inspect_micrograph
    from autoloop.structure.crystals import find_crystal

    names = list(
        dict.fromkeys([crystals] if isinstance(crystals, str) else map(str, crystals))
    )
    if len(names) > 2:
        raise ConfigError(
            f"crystals: {len(names)} are given ({', '.join(names)}); a boundary has "
            "two grains: give one or two"
        )
    micrograph = read_micrograph(source, pixel_size=pixel_size, index=index)
    if crop is not None and not (0 <= crop[0] < crop[1] and 0 <= crop[2] < crop[3]):
        raise ConfigError(
            f"crop {tuple(crop)} is empty; give first row, row after the last, first "
            "column, column after the last"
        )
    with in_keywords():
        found = inspect_micrograph(
            micrograph, tuple(find_crystal(name) for name in names), crop=crop
        )
    return Reading(found)


def simulate(
    structure: Atoms | str | os.PathLike[str],
    *,
    pixel_size: float = 0.15,
    size: tuple[int, int] | None = None,
    repeat: int = 1,
    angle_deg: float = 0.0,
    beam_energy_kev: float = 200.0,
    convergence_mrad: float = 22.0,
    detector_mrad: tuple[float, float] = (80.0, 150.0),
    defocus: float = 0.0,
    spherical_aberration_mm: float = 0.0,
    source_size: float = 0.8,
    vibration: float = 0.08,
    thickness: float | None = None,
    engine: Literal["convolution", "abtem"] = "convolution",
    n_phonons: int = 8,
    seed: int = 0,
) -> Image:
    """Simulate the HAADF-STEM image of a structure, seen along z.

    Parameters
    ----------
    structure : Atoms or path
        Atoms of ASE, or any file that ASE reads; x to the right, y up, the cell's third
        vector along z.
    pixel_size : float
        Of the image [Å].
    size : (int, int), optional
        Rows and columns about the structure's middle [pixels]; by default all of it.
    repeat : int
        Cells along x that are shown, without `size`.
    angle_deg : float
        Counterclockwise angle of x from the image's right [degrees].
    beam_energy_kev : float
        Of the electrons [keV].
    convergence_mrad : float
        Semi-angle of the aperture [mrad].
    detector_mrad : (float, float)
        Inner and outer angle [mrad].
    defocus : float
        Positive for underfocus [Å].
    spherical_aberration_mm : float
        [mm].
    source_size : float
        Full width at half maximum [Å].
    vibration : float
        Of the atoms, r.m.s. along each axis [Å].
    thickness : float, optional
        Of the specimen, in whole cells [Å]; by default one cell.
    engine : {"convolution", "abtem"}
        The second is multislice by abTEM, and takes minutes.
    n_phonons, seed : int
        Frozen-phonon configurations of abTEM, and the seed of their displacements.

    Returns
    -------
    Image
        `values` (n_y, n_x), shares of the beam; `pixel_size` [Å].

    Warns
    -----
    UserWarning
        If the specimen is too thick for the convolution.

    Raises
    ------
    DataError
        If the structure cannot be read or seen along z.
    """
    from autoloop.imaging.limits import linear_warning
    from autoloop.imaging.probe import Microscope
    from autoloop.imaging.simulation import make_view, source_blur
    from autoloop.imaging.simulation import simulate as simulated

    if engine not in ("convolution", "abtem"):
        raise ConfigError(f"engine {engine!r}: give 'convolution' or 'abtem'")
    if not 0 <= detector_mrad[0] < detector_mrad[1]:
        raise ConfigError(
            f"detector_mrad {tuple(detector_mrad)}: the outer angle must exceed the "
            "inner one; give (inner, outer) [mrad]"
        )
    specimen = _specimen(structure)
    layers = specimen.n_layers(thickness or specimen.depth)
    microscope = Microscope(
        beam_energy_kev=beam_energy_kev,
        convergence_mrad=convergence_mrad,
        detector_mrad=detector_mrad,
        defocus=defocus,
        spherical_aberration_mm=spherical_aberration_mm,
        thickness=layers * specimen.depth,
    )
    multislice = _multislice(engine, n_phonons, vibration, seed)
    warning = linear_warning(microscope) if multislice is None else None
    if warning is not None:
        warnings.warn(warning, UserWarning, stacklevel=2)
    view = make_view(
        specimen, pixel_size, size=size, repeat=repeat, angle_deg=angle_deg
    )
    blur = source_blur(source_size, vibration, multislice=multislice is not None)
    return simulated(specimen, view, microscope, blur, multislice)


def _specimen(structure: Atoms | str | os.PathLike[str]) -> Specimen:
    from autoloop.imaging.specimen import from_atoms, read_specimen

    if isinstance(structure, str | os.PathLike):
        return read_specimen(Path(structure))
    return from_atoms(structure, "structure")


def _multislice(
    engine: str, n_phonons: int, vibration: float, seed: int
) -> Multislice | None:
    if engine == "convolution":
        return None
    from autoloop.imaging.multislice import Multislice

    return Multislice(n_phonons=n_phonons, vibration=vibration, seed=seed)


def score(
    first: ImageSource,
    second: ImageSource,
    *,
    pixel_size: float | None = None,
    window: float | None = None,
) -> PairScore:
    """Say how alike two images are: the second is shifted onto the first.

    Parameters
    ----------
    first, second : path, (n_y, n_x) array, signal, Image or Micrograph
        The second is brought to the pixel size and the intensities of the first.
    pixel_size : float, optional
        Of both, over what they say [Å].
    window : float, optional
        Edge of the SSIM window [Å]; by default the usual distance of a column of the
        first image from its nearest neighbour.

    Returns
    -------
    PairScore
        ssim, ssim_7, ssim_35, emd_angstrom_per_column [Å], mse, shift_px (x, y),
        confidence of the shift, gain and offset of the intensities.

    Raises
    ------
    DataError
        If the images cannot be registered.
    """
    from autoloop.microscopy.columns import find_columns as columns_of
    from autoloop.scoring.pair import score_pair

    a, b = (read_micrograph(s, pixel_size=pixel_size).image for s in (first, second))
    with in_keywords():
        return score_pair(a, b, columns_of, window=window)
