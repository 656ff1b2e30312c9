import json
import logging
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Crystal, Grain, GrainBoundary, Image
from autoloop.errors import DataError
from autoloop.geometry import Frame, orientation
from autoloop.microscopy.lattice import read_frame, read_lattices
from autoloop.microscopy.reflections import (
    lattice_origin,
    nearest_lattice_point,
    projected_cell,
    zone_reflections,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"
FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def crystal(name, a, basis):
    positions = [np.mod(np.array(p) + t, 1) for _, p in basis for t in FCC]
    return Crystal(
        name=name,
        cell=a * np.eye(3),
        numbers=np.repeat([z for z, _ in basis], 4),
        scaled_positions=np.array(positions),
        translations=FCC,
        rotations=np.eye(3)[None],
    )


CU = crystal("Cu", 3.615, [(29, [0, 0, 0])])
SI = crystal("Si", 5.431, [(14, [0, 0, 0]), (14, [0.25] * 3)])
CDTE = crystal("CdTe", 6.482, [(48, [0, 0, 0]), (52, [0.25] * 3)])


def grains(material, zone, upper, lower, turn=0.0):
    return GrainBoundary(
        upper=Grain(crystal=material, zone_axis=zone, up=upper, rotation_deg=turn),
        lower=Grain(crystal=material, zone_axis=zone, up=lower),
    )


CU_S5 = grains(CU, (0, 0, 1), (3, -1, 0), (3, 1, 0))
CDTE_S5 = grains(CDTE, (0, 0, 1), (3, -1, 0), (3, 1, 0))
SI_S9 = grains(SI, (1, 1, 0), (2, -2, 1), (2, -2, -1))
CDTE_TILT = grains(CDTE, (1, 1, 0), (-1, 1, 0), (0, 0, 1), 8.25)


def columns(grain, origin, reach=120.0):
    """Columns of a grain about its origin [Å], with their weights, by brute force."""
    cell, turn = projected_cell(grain), orientation(grain)
    atoms = (grain.crystal.scaled_positions @ grain.crystal.cell @ turn.T)[:, :2]
    fractional = np.mod(atoms @ np.linalg.inv(cell) + 1e-6, 1)
    _, kept = np.unique(fractional.round(4), axis=0, return_index=True)
    steps = np.arange(-80, 81)
    lattice = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) @ cell
    lattice = lattice[np.linalg.norm(lattice, axis=1) < reach]
    points = (atoms[kept][:, None] + lattice).reshape(-1, 2) + origin
    return points, np.repeat(grain.crystal.numbers[kept] ** 1.7, len(lattice))


def draw(boundary, frame, shape, origins, seed=0, noise=0.1, upper_pixels=None):
    """Draw both grains as Gaussian columns of 0.9 Å width on a sloping background.

    `upper_pixels` may bend the upper grain's pixels, as drift does.
    """
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    values = 0.5 + 0.002 * cols + noise * rng.normal(size=shape)
    sigma = 0.38 / frame.pixel_size
    reach = int(4 * sigma) + 1
    for grain, origin, side in zip(
        (boundary.upper, boundary.lower), origins, (1, -1), strict=True
    ):
        points, weights = columns(grain, origin)
        inside = side * points[:, 1] > 0.3
        pixels = frame.to_pixels(points[inside])
        if upper_pixels is not None and side > 0:
            pixels = upper_pixels(pixels)
        strengths = weights[inside] / weights.max()
        for (x, y), strength in zip(pixels, strengths, strict=True):
            if not (-reach < x < shape[1] + reach and -reach < y < shape[0] + reach):
                continue
            part = np.s_[
                max(0, int(y) - reach) : max(0, int(y) + reach),
                max(0, int(x) - reach) : max(0, int(x) + reach),
            ]
            square = (cols[part] - x) ** 2 + (rows[part] - y) ** 2
            values[part] += strength * np.exp(-square / (2 * sigma**2))
    return values


def lattice_error(grain, frame, found_px, origin):
    """Distance of a found origin from the nearest true lattice point [Å]."""
    found = frame.to_boundary(np.array([found_px]))[0]
    nearest = nearest_lattice_point(projected_cell(grain), np.array(origin), found)
    return np.linalg.norm(nearest - found)


CASES = [
    # boundary, true pixel size, nominal error, angle, shear, shape, origin
    (CU_S5, 0.17, 1.02, 6.0, 0.01, (126, 323), (150.0, 60.0)),
    (SI_S9, 0.14, 0.97, -33.0, -0.012, (300, 240), (130.0, 140.0)),
    (CDTE_TILT, 0.09, 1.03, 71.0, 0.02, (400, 520), (230.0, 210.0)),
    (CDTE_TILT, 0.33, 0.96, -1.0, -0.02, (150, 190), (90.0, 61.0)),
]


@pytest.mark.parametrize("case", CASES, ids=["Cu", "Si", "CdTe fine", "CdTe coarse"])
def test_frame_line_and_phases_of_a_drawn_boundary(case):
    boundary, pixel_size, error, angle, shear, shape, origin = case
    frame = Frame(origin_px=origin, pixel_size=pixel_size, angle_deg=angle, shear=shear)
    origins = [(0.7, 1.3), (-0.4, -0.9)]
    values = draw(boundary, frame, shape, origins)
    # Surroundings that must not be looked at, and that shift every coordinate.
    whole = np.full((shape[0] + 50, shape[1] + 90), 9.0)
    whole[30 : 30 + shape[0], 70 : 70 + shape[1]] = values
    reading = read_frame(
        Image(values=whole, pixel_size=pixel_size * error),
        boundary,
        crop=(30, 30 + shape[0], 70, 70 + shape[1]),
    )
    moved = Frame(
        origin_px=(origin[0] + 70, origin[1] + 30),
        pixel_size=pixel_size,
        angle_deg=angle,
        shear=shear,
    )
    # The targets of the whole chain: over 30 Å they add up to less than 0.15 Å.
    assert reading.pixel_size == pytest.approx(pixel_size, rel=2e-3)
    assert reading.angle_deg == pytest.approx(angle, abs=0.1)
    assert reading.shear == pytest.approx(shear, abs=2e-3)
    assert reading.confidence > 0.8
    # The line is known to about half the distance between lattice planes.
    assert abs(moved.to_boundary(np.array([reading.origin_px]))[0, 1]) < 0.7
    middle = np.array([70 + (shape[1] - 1) / 2, 30 + (shape[0] - 1) / 2])
    assert np.linalg.norm(np.array(reading.origin_px) - middle) < 0.25 * max(shape)
    for grain, found, true in zip(
        (boundary.upper, boundary.lower),
        (reading.upper_origin_px, reading.lower_origin_px),
        origins,
        strict=True,
    ):
        # A tenth of the noise-free column width; phases average over many columns.
        assert lattice_error(grain, moved, found, true) < 0.08
        distance = np.linalg.norm(np.array(found) - np.array(reading.origin_px))
        assert (
            distance * pixel_size < np.linalg.norm(projected_cell(grain), axis=1).max()
        )


def test_given_angle_and_point_are_used():
    frame = Frame(origin_px=(150.0, 70.0), pixel_size=0.17, angle_deg=6.0)
    values = draw(CU_S5, frame, (150, 300), [(0.0, 0.0), (0.3, 0.0)])
    image = Image(values=values, pixel_size=0.17)
    point = (40.0, 70.0 + 110 * np.tan(np.deg2rad(6.0)) + 15)
    reading = read_frame(
        image, CU_S5, crop=(0, 150, 0, 300), angle_deg=8.5, point_px=point
    )
    assert reading.angle_deg == pytest.approx(6.0, abs=0.1)
    found = Frame(origin_px=reading.origin_px, pixel_size=0.17, angle_deg=6.0)
    # Through the point, though the lattices change 15 pixels above it.
    assert abs(found.to_boundary(np.array([point]))[0, 1]) < 0.1
    assert abs(reading.origin_px[0] - 150) < 10


def test_wrong_rotation_is_reported_and_drift_is_not_taken_for_it(caplog):
    frame = Frame(origin_px=(150.0, 150.0), pixel_size=0.16, angle_deg=-1.0)

    def drift(pixels):
        x, y = pixels.T - np.array([[150.0], [150.0]])
        return np.column_stack((x + 0.004 * y, 1.01 * y)) + 150.0

    values = draw(
        CDTE_TILT, frame, (300, 300), [(0, 0.5), (0.6, -1)], upper_pixels=drift
    )
    image = Image(values=values, pixel_size=0.163)
    claimed = grains(CDTE, (1, 1, 0), (-1, 1, 0), (0, 0, 1), 7.25)
    with caplog.at_level(logging.WARNING):
        lattices = read_lattices(image, claimed, crop=(0, 300, 0, 300))
    # Ten times the scatter of fits with other noise.
    assert lattices.upper_turn_deg == pytest.approx(1.0, abs=0.1)
    assert "8.2" in caplog.text
    right = read_lattices(image, CDTE_TILT, crop=(0, 300, 0, 300))
    assert lattices.reading.confidence < right.reading.confidence
    bent = np.array([[1, 0.004], [0, 1.01]]) @ frame.matrix
    # 0.3 % over the 24 Å of this grain are less than a tenth of an ångström.
    assert right.upper_matrix == pytest.approx(bent, abs=3e-3 * 6.25)
    assert right.lower_matrix == pytest.approx(frame.matrix, abs=3e-3 * 6.25)
    # The lattice is where it is, whatever the run file says of its rotation.
    assert lattices.reading.upper_origin_px == pytest.approx(
        right.reading.upper_origin_px, abs=0.3
    )


@pytest.mark.parametrize("blur", [0.0, 1.5])
def test_noise_shows_no_lattice(blur):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(4).normal(size=(200, 300))
    image = Image(values=gaussian_filter(noise, blur), pixel_size=0.17)
    for boundary in (CU_S5, SI_S9):
        with pytest.raises(DataError, match="cannot see the lattice"):
            read_frame(image, boundary, crop=(0, 200, 0, 300))


def test_exchanged_grains_and_another_crystal_are_refused():
    frame = Frame(origin_px=(150.0, 70.0), pixel_size=0.17, angle_deg=6.0)
    values = draw(CU_S5, frame, (150, 300), [(0.0, 0.0), (0.3, 0.0)])
    image = Image(values=values, pixel_size=0.17)
    exchanged = GrainBoundary(upper=CU_S5.lower, lower=CU_S5.upper)
    for boundary in (exchanged, SI_S9):
        with pytest.raises(DataError, match="cannot see the lattice"):
            read_frame(image, boundary, crop=(0, 150, 0, 300))


def test_blank_and_small_crops_are_refused():
    image = Image(values=np.full((100, 100), 5.0), pixel_size=0.2)
    with pytest.raises(DataError, match="blank"):
        read_frame(image, CU_S5, crop=(0, 100, 0, 100))
    holed = np.random.default_rng(0).normal(size=(100, 100))
    holed[50, 50] = np.nan
    with pytest.raises(DataError, match="not finite"):
        read_frame(Image(values=holed, pixel_size=0.2), CU_S5, crop=(0, 100, 0, 100))
    with pytest.raises(DataError, match="too small"):
        read_frame(image, CU_S5, crop=(0, 100, 0, 20))


def test_reflections_of_diamond_along_110():
    grain = Grain(crystal=SI, zone_axis=(1, 1, 0), up=(0, 0, 1))
    spacings = np.sort(1 / np.linalg.norm(zone_reflections(grain, 1.0).g, axis=1))
    expected = 5.431 / np.sqrt([3, 3, 8, 11, 11, 16, 19, 19, 24, 24, 27, 27])
    # One of each pair, and neither 002 nor 222, which diamond forbids.
    assert spacings == pytest.approx(np.sort(expected))


def test_projected_cell_is_primitive():
    fcc_110 = projected_cell(Grain(crystal=CU, zone_axis=(1, 1, 0), up=(0, 0, 1)))
    area = abs(np.linalg.det(fcc_110))
    # Volume of the primitive cell over the repeat along the beam.
    assert area == pytest.approx(3.615**3 / 4 / (3.615 / np.sqrt(2)))
    high = projected_cell(Grain(crystal=CU, zone_axis=(1, 2, 3), up=(1, 1, -1)))
    # Half of [1, 2, 3] is a lattice vector.
    assert abs(np.linalg.det(high)) == pytest.approx(3.615**2 / 2 / np.sqrt(14))


@pytest.mark.parametrize("material", [CU, SI, CDTE])
def test_origin_follows_from_the_phases(material):
    grain = Grain(crystal=material, zone_axis=(1, 1, 0), up=(1, -1, 2))
    reflections = zone_reflections(grain, 1.0)
    true = np.array([1.234, -0.567])
    measured = reflections.amplitudes * np.exp(-2j * np.pi * (reflections.g @ true))
    found = lattice_origin(reflections, measured)
    nearest = nearest_lattice_point(reflections.cell, found, true)
    assert nearest == pytest.approx(true, abs=1e-3)  # the finest step is 0.0008


def test_nearest_lattice_point_by_brute_force():
    rng = np.random.default_rng(1)
    cell = projected_cell(Grain(crystal=SI, zone_axis=(1, 1, 0), up=(0, 0, 1)))
    steps = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 2), axis=-1).reshape(-1, 2)
    for point, target in rng.uniform(-5, 5, size=(20, 2, 2)):
        distances = np.linalg.norm(point + steps @ cell - target, axis=1)
        found = nearest_lattice_point(cell, point, target)
        assert np.linalg.norm(found - target) == pytest.approx(distances.min())


SYNTHETIC = {
    "cu_s5_310": CU_S5,
    "cdte_s5_310": CDTE_S5,
    "si_s9_221": SI_S9,
    "si_s9_221_metastable_b": SI_S9,
    "si_s9_221_noisy": SI_S9,
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", SYNTHETIC)
def test_simulated_micrographs_with_known_truth(name):
    folder = SHARED / "synthetic" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    import tifffile

    boundary = SYNTHETIC[name]
    nominal = json.loads((folder / "image.json").read_text())["pixel_size_A"]
    truth = json.loads((folder / "truth" / "truth.json").read_text())
    table = np.genfromtxt(
        folder / "truth" / "columns.csv", delimiter=",", skip_header=1, dtype=None,
        encoding="utf-8",
    )  # fmt: skip
    pixels = np.column_stack((table["f0"], table["f1"]))
    image = Image(
        values=tifffile.imread(folder / "image.tif").astype(float), pixel_size=nominal
    )
    n_y, n_x = image.values.shape
    lattices = read_lattices(image, boundary, crop=(0, n_y, 0, n_x))
    reading = lattices.reading
    assert reading.pixel_size == pytest.approx(truth["pixel_size_A"], rel=3e-3)
    assert reading.angle_deg == pytest.approx(truth["rotation_deg"], abs=0.3)
    assert reading.shear == pytest.approx(truth["shear"], abs=3e-3)
    assert abs(lattices.upper_turn_deg) < 0.3
    assert reading.confidence > 0.8
    plane = np.column_stack((pixels, np.ones(len(pixels))))
    height = np.linalg.lstsq(plane, table["f4"], rcond=None)[0]
    assert abs(height @ [*reading.origin_px, 1.0]) < 1.0
    frame = Frame(
        origin_px=reading.origin_px,
        pixel_size=reading.pixel_size,
        angle_deg=reading.angle_deg,
        shear=reading.shear,
    )
    offsets = []
    for grain, origin_px, side in (
        (boundary.upper, reading.upper_origin_px, -1),
        (boundary.lower, reading.lower_origin_px, 1),
    ):
        origin = frame.to_boundary(np.array([origin_px]))[0]
        lattice, _ = columns(grain, origin)
        bulk = frame.to_boundary(pixels[side * table["f4"] > 6])
        gaps = bulk[:, None] - lattice
        nearest = np.linalg.norm(gaps, axis=2).argmin(axis=1)
        offset = gaps[np.arange(len(bulk)), nearest]
        # Positions of columns over the whole grain, not only the mean.
        assert np.sqrt(np.mean(np.sum(offset**2, axis=1))) < 0.15
        offsets.append(offset.mean(axis=0))
    assert np.linalg.norm(offsets[0] - offsets[1]) < 0.15


@pytest.mark.realdata
def test_measured_cdte_boundary():
    path = SHARED / "real" / "cdte_tilt" / "HAADF149.dm3"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    from rsciio.digitalmicrograph import file_reader

    values = file_reader(str(path))[0]["data"].astype(float)
    image = Image(values=values, pixel_size=0.16388)
    lattices = read_lattices(image, CDTE_TILT, crop=(0, 470, 0, 470))
    reading = lattices.reading
    assert reading.confidence > 0.6
    assert abs(lattices.upper_turn_deg) < 0.2
    # Row where both lattices are equally weak in the amplitudes along the normal, and
    # the scale of the spectra's spots.
    assert reading.origin_px == pytest.approx((234.5, 236), abs=6)
    assert reading.pixel_size / 0.16388 == pytest.approx(0.977, abs=0.005)
    for grain, origin_px, matrix, side in (
        (CDTE_TILT.upper, reading.upper_origin_px, lattices.upper_matrix, 1),
        (CDTE_TILT.lower, reading.lower_origin_px, lattices.lower_matrix, -1),
    ):
        points, _ = columns(grain, (0.0, 0.0), reach=60.0)
        pixels = points @ matrix.T + np.array(origin_px)
        far = side * (reading.origin_px[1] - pixels[:, 1]) > 40
        inside = np.all((pixels > 10) & (pixels < 460), axis=1)
        x, y = pixels[far & inside].round().astype(int).T
        between = (pixels + matrix @ (projected_cell(grain).sum(axis=0) / 2))[
            far & inside
        ]
        u, v = between.round().astype(int).T
        v = np.clip(v, 0, 469)
        # Columns are bright all over the grain, the gaps between them dark.
        assert np.mean(values[y, x] > np.median(values[v, u])) > 0.95
