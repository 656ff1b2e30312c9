import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Columns, Grain, GrainBoundary, Image
from autoloop.errors import DataError
from autoloop.geometry import Frame, orientation
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.probe import Microscope
from autoloop.microscopy.indexing import read_boundary
from autoloop.microscopy.known import Known, KnownGrain
from autoloop.microscopy.orientations import (
    canonical,
    half_turned,
    lattice_rotations,
    low_index_zones,
    polarity_variants,
    same_orientation,
)
from autoloop.microscopy.reflections import nearest_lattice_point, projected_cell
from autoloop.microscopy.translation import (
    displacement_of,
    nearly_exact,
)
from autoloop.structure.crystals import find_crystal
from autoloop.structure.lattices import bulk_atoms

SHARED = Path(__file__).parents[4] / "shared" / "data"
MICROSCOPE = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(80.0, 150.0)
)
SHAPE = (240, 320)
FRAME = Frame(origin_px=(160.0, 120.0), pixel_size=0.15, angle_deg=12.0, shear=0.01)


@cache
def crystal(name):
    return find_crystal(name)


def grain(name, zone, up, turn=0.0):
    return Grain(crystal=crystal(name), zone_axis=zone, up=up, rotation_deg=turn)


def draw(upper, lower, frame=FRAME, shape=SHAPE, shift=(0.0, 0.0), noise=0.1, gap=0.4):
    """Simulate two perfect grains, the upper one shifted [Å]."""
    edges = np.array([[0, 0], [shape[1], 0], [0, shape[0]], shape[::-1]], float)
    corners = frame.to_boundary(edges)
    low, high = corners.min(axis=0) - 4, corners.max(axis=0) + 4
    positions, weights = [], []
    for lattice, side, moved in ((upper, 1, shift), (lower, -1, (0.0, 0.0))):
        points, numbers, _ = bulk_atoms(lattice, low - moved, high - moved)
        points = points + moved
        own = side * points[:, 1] > gap
        positions.append(frame.to_pixels(points[own]))
        weights.append(numbers[own] ** 1.7)
    columns = Columns(
        positions=np.vstack(positions), intensities=np.concatenate(weights)
    )
    imager = ColumnImager(shape, frame.matrix, (0.0, 0.0), MICROSCOPE, 0.35)
    values = imager.image(columns)
    values /= values.std()
    rng = np.random.default_rng(1)
    return values + noise * rng.normal(size=shape) + 0.002 * np.arange(shape[1])


def read(values, pixel_size, *names, known=None):
    n_y, n_x = values.shape
    return read_boundary(
        Image(values=values, pixel_size=pixel_size),
        tuple(crystal(n) for n in names),
        crop=(0, n_y, 0, n_x),
        known=known,
    )


TILT = (grain("CdTe", (1, 1, 0), (-1, 1, 0), 8.0), grain("CdTe", (1, 1, 0), (0, 0, 1)))


@cache
def tilt_image():
    return draw(*TILT)


def agree(reading, upper, lower, within_deg=2.0):
    # Two standard deviations of the line's angle, which turns both grains alike.
    assert same_orientation(reading.boundary.upper, upper, within_deg)
    assert same_orientation(reading.boundary.lower, lower, within_deg)


def test_a_tilt_boundary_from_its_image_alone():
    found = read(tilt_image(), 0.155, "CdTe")
    agree(found, *TILT)
    assert (found.upper.zone_axis, found.lower.zone_axis) == ((1, 1, 0), (1, 1, 0))
    assert found.reading.pixel_size == pytest.approx(0.15, rel=1e-3)
    assert found.reading.shear == pytest.approx(0.01, abs=1e-3)
    assert found.reading.angle_deg == pytest.approx(12.0, abs=3 * found.angle_sigma_deg)
    # Half the distance between lattice planes.
    assert abs(FRAME.to_boundary(np.array([found.reading.origin_px]))[0, 1]) < 0.7
    # The angle between the grains does not hang on the line.
    between = found.upper.rotation_deg - found.lower.rotation_deg
    assert min(abs(between % 360 - a) for a in (8.0, 188.0)) < 0.2
    assert found.upper.confidence > 0.8
    assert found.lower.confidence > 0.8


@pytest.mark.parametrize("turn", [0.0, 180.0])
def test_polarity_is_seen_and_its_opposite_told_apart(turn):
    grains = (half_turned(TILT[0], turn), TILT[1])
    found = read(draw(*grains), 0.15, "CdTe")
    assert found.upper.polarity == found.lower.polarity == "seen"
    # By half a turn wrong, these would not agree.
    agree(found, *grains)


def test_diamond_has_no_polarity():
    silicon = grain("Si", (1, 1, 0), (0, 0, 1), 30.0)
    found = read(draw(silicon, grain("Si", (1, 1, 0), (0, 0, 1))), 0.15, "Si")
    assert found.upper.polarity == "none"


@pytest.mark.parametrize("order", [("CdTe", "Cu"), ("Cu", "CdTe")])
def test_two_crystals_whichever_comes_first(order):
    upper = grain("CdTe", (1, 1, 0), (0, 0, 1), 10.0)
    lower = grain("Cu", (0, 0, 1), (1, 0, 0), -5.0)
    found = read(draw(upper, lower), 0.153, *order)
    assert (found.upper.crystal, found.lower.crystal) == ("CdTe", "Cu")
    agree(found, upper, lower)


def test_different_zones_and_an_upright_boundary():
    frame = Frame(origin_px=(150.0, 140.0), pixel_size=0.16, angle_deg=-88.0)
    upper = grain("Si", (2, 1, 1), (0, -1, 1), 33.0)
    lower = grain("Si", (1, 0, 0), (0, 1, 0), 20.0)
    found = read(draw(upper, lower, frame, (280, 300)), 0.155, "Si")
    if found.reading.angle_deg > 0:  # half a turn exchanges the grains
        upper, lower = half_turned(lower), half_turned(upper)
    agree(found, upper, lower)
    assert sorted((found.upper.zone_axis, found.lower.zone_axis)) == [
        (1, 0, 0),
        (2, 1, 1),
    ]


def test_what_is_given_holds():
    known = Known(
        upper=KnownGrain(zone_axis=(1, 1, 0), up=(-1, 1, 0), rotation_deg=8.0),
        point_px=(150.0, 118.0),
    )
    found = read(tilt_image(), 0.15, "CdTe", known=known)
    assert (found.upper.up, found.upper.polarity) == ((-1, 1, 0), "given")
    # One more fit after the angle was taken over moves it by its own noise.
    assert found.upper.rotation_deg == pytest.approx(8.0, abs=1e-6)
    assert found.reading.angle_deg == pytest.approx(12.0, abs=0.1)
    line = Frame(
        origin_px=found.reading.origin_px,
        pixel_size=0.15,
        angle_deg=found.reading.angle_deg,
        shear=0.01,
    )
    assert abs(line.to_boundary(np.array([known.point_px]))[0, 1]) < 0.1
    angled = read(tilt_image(), 0.15, "CdTe", known=Known(angle_deg=12.0))
    # A given angle is kept up to the last fit of the frame.
    assert angled.reading.angle_deg == pytest.approx(12.0, abs=0.1)
    half = Known(lower=KnownGrain(up=(0, 0, 1)))
    with pytest.raises(DataError, match="lower grain has up but not"):
        read(tilt_image(), 0.15, "CdTe", known=half)


def test_a_wrong_zone_given_is_refused():
    known = Known(upper=KnownGrain(zone_axis=(1, 1, 1)))
    with pytest.raises(DataError, match="upper grain"):
        read(tilt_image(), 0.15, "CdTe", known=known)


def test_every_other_reflection_is_not_enough():
    # Tungsten along <110> has the even half of the reflections of CdTe along <110>.
    with pytest.raises(DataError, match=r"spacing of 3.* that this crystal does not"):
        read(tilt_image(), 0.15, "W")


def test_one_grain_is_no_boundary():
    one = grain("CdTe", (1, 1, 0), (0, 0, 1), 10.0)
    with pytest.raises(DataError, match="no boundary found"):
        read(draw(one, one, gap=-0.1), 0.15, "CdTe")


@pytest.mark.parametrize(("seed", "blur"), [(0, 0.0), (1, 0.0), (0, 2.0), (1, 2.0)])
def test_noise_is_refused(seed, blur):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=SHAPE)
    with pytest.raises(DataError, match="cannot"):
        read(gaussian_filter(noise, blur), 0.15, "CdTe")


@pytest.mark.parametrize("name", ["Cu", "Si", "NaCl"])
def test_another_crystal_is_refused_and_the_grain_named(name):
    with pytest.raises(DataError, match=r"grain.*give"):
        read(tilt_image(), 0.15, name)


def test_a_side_without_columns_is_refused():
    values = tilt_image().copy()
    pixels = np.stack(np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0])), axis=-1)
    empty = FRAME.to_boundary(pixels.astype(float))[..., 1] > 0
    values[empty] = np.random.default_rng(0).normal(size=SHAPE)[empty]
    with pytest.raises(DataError, match=r"cannot index the upper|no boundary"):
        read(values, 0.15, "CdTe")


def test_displacement_of_a_coincidence_boundary():
    upper, lower = (grain("Cu", (0, 0, 1), (3, k, 0)) for k in (-1, 1))
    shift = np.array([0.3, 0.2])
    found = read(draw(upper, lower, shift=shift, noise=0.2), 0.147, "Cu")
    assert {abs(i) for i in found.nearly_exact.upper_plane} == {0, 1, 3}
    period = 3.615 * np.sqrt(10) / 2
    assert found.nearly_exact.period_angstrom == pytest.approx(period, rel=0.01)
    seen = np.array([found.translation_angstrom, found.expansion_angstrom])
    near = nearest_lattice_point(found.displacement_modulo, seen, shift)
    # Phases average over hundreds of columns.
    assert near == pytest.approx(shift, abs=0.1)
    # The lattice of displacements: a fifth of the cell of the projected lattice.
    area = abs(np.linalg.det(found.displacement_modulo))
    assert area == pytest.approx(3.615**2 / 4 / 5, rel=0.01)


def test_general_boundaries_have_no_displacement_lattice():
    general = GrainBoundary(upper=TILT[0], lower=TILT[1])
    near = nearly_exact(general, 0.3)
    assert near.period_angstrom is None
    zero = np.zeros(2)
    moved = np.array([0.4, 0.1])
    found = displacement_of(general, near, (moved, zero), (zero, zero))
    assert found.modulo is None
    assert (found.translation, found.expansion) == (0.4, 0.1)


def test_canonical_form_and_sameness():
    tilted = grain("CdTe", (1, 1, 0), (-1, 1, 0), 8.25)
    found = canonical(tilted)
    assert (found.zone_axis, found.up) == ((1, 1, 0), (-1, 1, 0))
    assert found.rotation_deg == pytest.approx(8.25)
    other = grain("CdTe", (-1, 0, 1), (0, 1, 0), 77.0)
    turned = canonical(other)
    difference = orientation(other).T @ orientation(turned)
    turns = crystal("CdTe").rotations
    assert np.abs(turns - difference).max(axis=(1, 2)).min() < 1e-9
    assert turned.zone_axis == (1, 1, 0)
    assert abs(turned.rotation_deg) <= 45.0
    # A polar view changes by half a turn, that of diamond does not.
    assert not same_orientation(tilted, half_turned(tilted), 1.0)
    silicon = grain("Si", (1, 1, 0), (-1, 1, 0), 8.25)
    assert same_orientation(silicon, half_turned(silicon), 1.0)
    # Nor that of a zone without an axis, whose projection has a centre.
    oblique = grain("Si", (3, 2, 1), (0, -1, 2))
    assert same_orientation(oblique, half_turned(oblique), 1.0)
    # Along a cube axis the two polarities look the same.
    cube = grain("CdTe", (1, 0, 0), (0, 0, 1))
    assert same_orientation(cube, half_turned(cube, 90.0), 1.0)
    assert not same_orientation(tilted, half_turned(tilted, 1.5), 1.0)
    assert not same_orientation(tilted, silicon, 180.0)


def test_symmetry_of_lattices_and_zones():
    assert len(lattice_rotations(crystal("CdTe"))) == 24
    assert len(lattice_rotations(crystal("Mg"))) == 12
    assert len(polarity_variants(TILT[0])) == 2
    assert len(polarity_variants(grain("Si", (1, 1, 0), (0, 0, 1)))) == 1
    zones = low_index_zones(crystal("Si"))
    # Thirteen kinds up to 3; <321> comes in two hands.
    assert len(zones) == 14
    assert {(3, 2, 1), (3, 1, 2)} <= set(zones)


SYNTHETIC = {
    "cu_s5_310": ("Cu", (0, 0, 1), (3, -1, 0), (3, 1, 0)),
    "cdte_s5_310": ("CdTe", (0, 0, 1), (3, -1, 0), (3, 1, 0)),
    "si_s9_221": ("Si", (1, 1, 0), (2, -2, 1), (2, -2, -1)),
    "si_s9_221_metastable_b": ("Si", (1, 1, 0), (2, -2, 1), (2, -2, -1)),
    "si_s9_221_noisy": ("Si", (1, 1, 0), (2, -2, 1), (2, -2, -1)),
}


def offsets(found, pixels, heights):
    """Mean displacement of true columns from each lattice as read [Å]."""
    reading = found.reading
    frame = Frame(
        origin_px=reading.origin_px,
        pixel_size=reading.pixel_size,
        angle_deg=reading.angle_deg,
        shear=reading.shear,
    )
    for one, origin_px, side in (
        (found.boundary.upper, reading.upper_origin_px, -1),
        (found.boundary.lower, reading.lower_origin_px, 1),
    ):
        origin = frame.to_boundary(np.array([origin_px]))[0]
        bulk = frame.to_boundary(pixels[side * heights > 6])
        box = np.array([80.0, 80.0])
        lattice = bulk_atoms(one, -box - origin, box - origin)[0] + origin
        gaps = bulk[:, None] - lattice
        nearest = np.linalg.norm(gaps, axis=2).argmin(axis=1)
        yield gaps[np.arange(len(bulk)), nearest].mean(axis=0)


@pytest.mark.realdata
@pytest.mark.parametrize("name", SYNTHETIC)
def test_simulated_micrographs_with_known_truth(name):
    folder = SHARED / "synthetic" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    import tifffile

    material, zone, up, down = SYNTHETIC[name]
    nominal = json.loads((folder / "image.json").read_text())["pixel_size_A"]
    truth = json.loads((folder / "truth" / "truth.json").read_text())
    table = np.genfromtxt(
        folder / "truth" / "columns.csv", delimiter=",", skip_header=1, dtype=None,
        encoding="utf-8",
    )  # fmt: skip
    values = tifffile.imread(folder / "image.tif").astype(float)
    found = read(values, nominal, material)
    reading = found.reading
    # The targets of the program; twice as much for the noisy image.
    slack = 2.0 if "noisy" in name else 1.0
    assert reading.pixel_size == pytest.approx(truth["pixel_size_A"], rel=3e-3 * slack)
    assert reading.angle_deg == pytest.approx(truth["rotation_deg"], abs=0.3 * slack)
    assert reading.shear == pytest.approx(truth["shear"], abs=3e-3 * slack)
    true = [grain(material, zone, u) for u in (up, down)]
    agree(found, *true, within_deg=0.3 * slack)
    pixels = np.column_stack((table["f0"], table["f1"]))
    plane = np.column_stack((pixels, np.ones(len(pixels))))
    height = np.linalg.lstsq(plane, table["f4"], rcond=None)[0]
    assert abs(height @ [*reading.origin_px, 1.0]) < 1.0 * slack
    off = list(offsets(found, pixels, table["f4"]))
    assert np.abs(off[0] - off[1]).max() < 0.15 * slack
    assert found.displacement_modulo is not None
    assert min(found.upper.confidence, found.lower.confidence) > 0.8


def measured(folder, name):
    path = SHARED / "real" / folder / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    from rsciio.digitalmicrograph import file_reader

    return file_reader(str(path))[0]["data"].astype(float)


@pytest.mark.realdata
def test_measured_cdte_boundary():
    values = measured("cdte_tilt", "HAADF149.dm3")[:470, :470]
    found = read(values, 0.16388, "CdTe")
    assert (found.upper.zone_axis, found.lower.zone_axis) == ((1, 1, 0), (1, 1, 0))
    between = found.upper.rotation_deg - found.lower.rotation_deg
    if found.upper.up[2] == 0:
        between += 90.0
    if found.lower.up[2] == 0:
        between -= 90.0
    # Less the slant of the scan, 1.2 degrees, the 83 degrees between the {220} spots.
    assert min(between % 180, -between % 180) == pytest.approx(81.8, abs=0.5)
    # Own scales of the grains differ by 1 %; columns on the way of the scan drift.
    assert reading_d111(found) == pytest.approx(3.742, rel=0.01)
    reading = found.reading
    slope = np.tan(np.deg2rad(reading.angle_deg))
    row = reading.origin_px[1] - slope * (235 - reading.origin_px[0])
    assert row == pytest.approx(250, abs=10)
    assert min(found.upper.confidence, found.lower.confidence) > 0.6


def reading_d111(found):
    """Mean {111} spacing in the image at the pixel size read [Å]."""
    spacings = []
    for one, matrix in (
        (found.boundary.upper, found.reading.upper_matrix),
        (found.boundary.lower, found.reading.lower_matrix),
    ):
        hkl = np.array([[1, -1, 1], [1, -1, -1]])
        g = hkl @ np.linalg.inv(one.crystal.cell).T @ orientation(one).T
        f = g[:, :2] @ np.linalg.inv(np.array(matrix))
        spacings += list(found.reading.pixel_size / np.linalg.norm(f, axis=1))
    return np.mean(spacings)


@pytest.mark.realdata
def test_measured_noisy_silicon_is_refused():
    values = measured("si_tilt", "HAADF85.dm3")
    with pytest.raises(DataError, match="cannot index the upper grain"):
        read(values, 0.16388, "Si")


def test_projected_cells_reduce_to_the_same_lattice():
    assert abs(np.linalg.det(projected_cell(TILT[0]))) == pytest.approx(
        6.482**2 / np.sqrt(2) / 2, rel=0.01
    )
