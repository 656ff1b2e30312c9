"""Image files read back, and every way in which one may be wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image as Picture
from tifffile import imwrite

from autoloop.domain import Image
from autoloop.errors import DataError
from autoloop.microscopy import formats
from autoloop.microscopy.reading import read_micrograph
from autoloop.microscopy.writing import write_image_tif

DATA = Path(__file__).parents[4] / "shared/data"
VALUES = np.random.default_rng(5).uniform(100.0, 900.0, (24, 37))


def hspy(
    path: Path,
    data: np.ndarray,
    scales: tuple[float, float] = (0.017, 0.017),
    unit: str = "nm",
    title: str = "",
) -> Path:
    """Write a HyperSpy file with a calibration of its last two axes."""
    return several_hspy(path, [(title, data, scales, unit)])


def several_hspy(
    path: Path, parts: list[tuple[str, np.ndarray, tuple[float, float], str]]
) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["file_format"] = "HyperSpy"
        file.attrs["file_format_version"] = "3.3"
        experiments = file.create_group("Experiments")
        for number, (title, data, scales, unit) in enumerate(parts):
            group = experiments.create_group(f"part {number}")
            group["data"] = data
            all_scales = [1.0] * (data.ndim - 2) + list(scales)
            for k, (size, scale) in enumerate(zip(data.shape, all_scales, strict=True)):
                axis = group.create_group(f"axis-{k}")
                axis.attrs.update(
                    _type="UniformDataAxis",
                    name=f"axis {k}",
                    scale=scale,
                    offset=0.0,
                    size=size,
                    units=unit,
                    navigate=False,
                )
            general = group.create_group("metadata/General")
            general.attrs["title"] = title
            group.create_group("metadata/Signal").attrs["signal_type"] = ""
            group.create_group("original_metadata")
    return path


def failure(path: Path, pixel_size: float | None = None) -> str:
    """Return the message of the refusal, which must be one line naming the file."""
    with pytest.raises(DataError) as caught:
        read_micrograph(path, pixel_size=pixel_size)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_written_image_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    write_image_tif(path, Image(values=VALUES, pixel_size=0.16388))
    read = read_micrograph(path)
    # float32 keeps 24 bits
    np.testing.assert_allclose(read.image.values, VALUES, rtol=2**-23)
    assert read.image.pixel_size == pytest.approx(0.16388, rel=1e-12)
    assert read.sources == {"pixel_size": "file metadata"}
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.path == str(path)
    assert read.beam_energy_kev is None


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    image = Image(values=VALUES, pixel_size=0.2)
    for name in ("a.tif", "b.tif"):
        write_image_tif(tmp_path / name, image)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_npy(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, VALUES)
    read = read_micrograph(path, pixel_size=0.15)
    np.testing.assert_array_equal(read.image.values, VALUES)
    assert read.image.pixel_size == 0.15
    assert read.sources == {"pixel_size": "given"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "image.PNG"
    values = (VALUES / 4).astype(dtype)
    Picture.fromarray(values).save(path)
    read = read_micrograph(path, pixel_size=0.15)
    np.testing.assert_array_equal(read.image.values, values.astype(float))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_colours_become_grey(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    colours = np.random.default_rng(1).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    if suffix == ".npy":
        np.save(path, colours)
    elif suffix == ".png":
        Picture.fromarray(colours).save(path)
    else:
        imwrite(path, colours, photometric="rgb")
    read = read_micrograph(path, pixel_size=0.15)
    np.testing.assert_allclose(read.image.values, colours.mean(axis=2))


def test_transparency_takes_no_part(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    grey = (VALUES / 4).astype(np.uint8)
    alpha = np.full_like(grey, 255)
    Picture.fromarray(np.dstack((grey, grey, grey, alpha))).save(path)
    read = read_micrograph(path, pixel_size=0.15)
    np.testing.assert_array_equal(read.image.values, grey.astype(float))


@pytest.mark.parametrize(
    ("scale", "unit"),
    [(0.17, "Å"), (0.17, "A"), (0.017, "nm"), (17.0, "pm"), (1.7e-5, "µm")],
)
def test_units_of_length(tmp_path: Path, scale: float, unit: str) -> None:
    path = hspy(tmp_path / "image.hspy", VALUES, (scale, scale), unit)
    assert read_micrograph(path).image.pixel_size == pytest.approx(0.17, rel=1e-12)


def test_imagej_file_in_nanometres(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    imwrite(
        path,
        VALUES.astype(np.float32),
        imagej=True,
        resolution=(1 / 0.017, 1 / 0.017),
        metadata={"unit": "nm"},
    )
    # The resolution is a ratio of 32-bit integers.
    assert read_micrograph(path).image.pixel_size == pytest.approx(0.17, rel=1e-6)


def test_print_resolution_is_no_pixel_size(tmp_path: Path) -> None:
    path = hspy(tmp_path / "image.hspy", VALUES, (0.035, 0.035), "cm")
    assert "has no pixel size; give micrograph.pixel_size [Å]" in failure(path)


def test_user_goes_before_the_file(tmp_path: Path) -> None:
    path = hspy(tmp_path / "image.hspy", VALUES)
    read = read_micrograph(path, pixel_size=0.18)
    assert read.image.pixel_size == 0.18
    assert read.sources["pixel_size"] == "given (file metadata: 0.17 Å)"


def test_image_is_found_beside_other_data(tmp_path: Path) -> None:
    size = (0.017, 0.017)
    stack = np.zeros((3, 24, 37))
    path = several_hspy(
        tmp_path / "image.hspy",
        [("EDS", stack, size, "nm"), ("BF", VALUES, size, "nm")],
    )
    np.testing.assert_array_equal(read_micrograph(path).image.values, VALUES)
    path = several_hspy(
        tmp_path / "two.hspy",
        [("BF", VALUES + 1, size, "nm"), ("HAADF", VALUES, size, "nm")],
    )
    np.testing.assert_array_equal(read_micrograph(path).image.values, VALUES)


def test_several_images_are_ambiguous(tmp_path: Path) -> None:
    part = (VALUES, (0.017, 0.017), "nm")
    path = several_hspy(tmp_path / "i.hspy", [("frame 1", *part), ("frame 2", *part)])
    message = failure(path)
    assert "holds 2 images" in message
    assert "choose one with micrograph.index" in message
    assert "frame 1 (24, 37)" in message


def test_stack_is_refused(tmp_path: Path) -> None:
    path = hspy(tmp_path / "image.hspy", np.zeros((5, 24, 37)))
    message = failure(path)
    assert "(5, 24, 37)" in message
    assert "save one two-dimensional image" in message
    assert "choose one of 5 frames with micrograph.index" in message


def test_one_of_several_by_index(tmp_path: Path) -> None:
    size = (0.017, 0.017)
    path = several_hspy(
        tmp_path / "i.hspy",
        [("a", VALUES, size, "nm"), ("b", VALUES + 1, (0.02, 0.02), "nm")],
    )
    second = read_micrograph(path, index=1)
    np.testing.assert_array_equal(second.image.values, VALUES + 1)
    assert second.image.pixel_size == pytest.approx(0.2)
    with pytest.raises(DataError, match=r"micrograph.index 2 is beyond its 2 image"):
        read_micrograph(path, index=2)


def test_frame_of_a_stack_by_index(tmp_path: Path) -> None:
    path = tmp_path / "stack.npy"
    np.save(path, np.stack([VALUES, VALUES + 1, VALUES + 2]))
    frame = read_micrograph(path, pixel_size=0.17, index=2)
    np.testing.assert_array_equal(frame.image.values, VALUES + 2)


def test_no_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    imwrite(path, VALUES.astype(np.float32))
    assert failure(path) == (
        f"image {path} has no pixel size; give micrograph.pixel_size [Å]"
    )


@pytest.mark.parametrize("given", [0.0, -0.1, 17.0, float("nan")])
def test_impossible_pixel_size_given(tmp_path: Path, given: float) -> None:
    path = hspy(tmp_path / "image.hspy", VALUES)
    assert f"pixel size {given:g} Å as given" in failure(path, given)


def test_impossible_pixel_size_in_the_file(tmp_path: Path) -> None:
    path = hspy(tmp_path / "image.hspy", VALUES, (1.7, 1.7))
    assert "pixel size 17 Å of the file metadata" in failure(path)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = hspy(tmp_path / "image.hspy", VALUES, (0.017, 0.018))
    assert "0.18 x 0.17 Å" in failure(path)
    assert read_micrograph(path, pixel_size=0.17).image.pixel_size == 0.17


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite(tmp_path: Path, bad: float) -> None:
    values = VALUES.copy()
    values[3, 4] = bad
    path = tmp_path / "image.npy"
    np.save(path, values)
    assert "1 of 888 values are NaN or infinite" in failure(path, 0.15)


def test_constant_and_complex_images(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, np.full((20, 20), 4.0))
    assert "all values are 4" in failure(path, 0.15)
    np.save(path, VALUES * 1j)
    assert "values of type complex128" in failure(path, 0.15)


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png", ".hspy"])
def test_too_large(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"image{suffix}"
    if suffix == ".npy":
        np.save(path, VALUES)
    elif suffix == ".tif":
        imwrite(path, VALUES)
    elif suffix == ".png":
        Picture.fromarray(VALUES.astype(np.uint8)).save(path)
    else:
        hspy(path, VALUES)
    monkeypatch.setattr(formats, "LARGEST", 500)
    assert "cut out the boundary" in failure(path, 0.15)


def test_header_that_promises_too_much_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file,
            {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)},
        )
    failure(path, 0.15)  # 8 TB: a reader that allocates first dies here


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "no such file" in failure(tmp_path / "absent.dm3")
    assert "not a file" in failure(tmp_path)


def test_unknown_suffix_lists_the_known(tmp_path: Path) -> None:
    path = tmp_path / "image.xyz"
    path.write_text("1")
    message = failure(path)
    assert "'.xyz'" in message
    assert ".dm3 .dm4" in message


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "image.dm3"
    path.touch()
    assert "empty" in failure(path)


@pytest.mark.parametrize(
    "suffix", sorted((*formats.PLUGINS, *formats.PICTURES, ".npy"))
)
def test_garbage_is_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(np.random.default_rng(2).bytes(5000))
    assert "not readable as" in failure(path, 0.15)


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png", ".hspy"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_file_is_one_line(tmp_path: Path, suffix: str, part: float) -> None:
    whole = tmp_path / f"whole{suffix}"
    values = np.random.default_rng(3).integers(0, 255, (64, 64)).astype(np.uint8)
    if suffix == ".npy":
        np.save(whole, values)
    elif suffix == ".tif":
        write_image_tif(whole, Image(values=values, pixel_size=0.2))
    elif suffix == ".png":
        Picture.fromarray(values).save(whole)
    else:
        hspy(whole, values)
    path = tmp_path / f"image{suffix}"
    content = whole.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    failure(path, 0.15)


def test_pickled_array_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, np.array([{"a": 1}] * 400, dtype=object).reshape(20, 20))
    assert "not readable as" in failure(path, 0.15)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["cdte_tilt/HAADF149.dm3", "si_tilt/HAADF85.dm3"])
def test_measured_micrographs(name: str, tmp_path: Path) -> None:
    path = DATA / "real" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    read = read_micrograph(path)
    assert read.image.values.shape == (512, 512)
    assert read.image.pixel_size == pytest.approx(0.16388, abs=5e-6)
    assert read.beam_energy_kev == 200.0
    assert read.sources["beam_energy_kev"] == "file metadata"
    cut = tmp_path / "cut.dm3"
    cut.write_bytes(path.read_bytes()[:400_000])
    failure(cut)


@pytest.mark.realdata
def test_simulated_micrograph_needs_a_pixel_size() -> None:
    path = DATA / "synthetic/cu_s5_310/image.tif"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    assert "give micrograph.pixel_size [Å]" in failure(path)
    assert read_micrograph(path, pixel_size=0.1734).image.values.shape == (126, 323)
