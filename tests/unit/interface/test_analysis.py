from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autoloop

SIZE = 0.1734


def signal(data: Any, scale: float, units: Any, *, metadata: Any = None) -> Any:
    """Return what is used of a signal of HyperSpy 2, as that library fills it."""

    def axis(n: int, units: Any, scale: float) -> SimpleNamespace:
        return SimpleNamespace(size=n, units=units, scale=scale)

    n_y, n_x = data.shape[-2:]
    frames = tuple(axis(n, "<undefined>", 1.0) for n in data.shape[:-2][::-1])
    return SimpleNamespace(
        data=data,
        axes_manager=SimpleNamespace(
            navigation_axes=frames,
            signal_axes=(axis(n_x, units, scale), axis(n_y, units, scale)),
        ),
        metadata=SimpleNamespace(as_dictionary=lambda: metadata or {}),
        original_metadata=SimpleNamespace(as_dictionary=dict),
    )


@pytest.fixture(scope="module")
def micrograph(image: Path) -> autoloop.Micrograph:
    return autoloop.read_micrograph(image, pixel_size=SIZE)


def test_arrays_and_images_are_read_as_files_are(
    micrograph: autoloop.Micrograph,
) -> None:
    values = np.array(micrograph.image.values)
    for source in (values, micrograph.image, micrograph):
        read = autoloop.read_micrograph(source, pixel_size=SIZE)
        assert np.array_equal(read.image.values, values)
        assert read.image.pixel_size == SIZE
    values[0, 0] += 1.0  # the caller's array stays the caller's
    assert micrograph.image.values[0, 0] != values[0, 0]


@pytest.mark.parametrize(
    ("units", "scale"),
    [("nm", 0.01734), ("Å", 0.1734), ("pm", 17.34), ("µm", 1.734e-5)],
)
def test_signals_bring_their_scale(
    micrograph: autoloop.Micrograph, units: str, scale: float
) -> None:
    tem = {"Acquisition_instrument": {"TEM": {"beam_energy": 300.0}}}
    source = signal(micrograph.image.values, scale, units, metadata=tem)
    read = autoloop.read_micrograph(source)
    assert read.image.pixel_size == pytest.approx(SIZE, rel=1e-12)  # rounding
    assert np.array_equal(read.image.values, micrograph.image.values)
    assert read.beam_energy_kev == 300.0


def test_a_stack_needs_an_index(micrograph: autoloop.Micrograph) -> None:
    values = micrograph.image.values
    source = signal(np.stack([values, values[::-1]]), 0.01734, "nm")
    with pytest.raises(autoloop.DataError, match="choose one of 2 frames with index,"):
        autoloop.read_micrograph(source)
    read = autoloop.read_micrograph(source, index=1)
    assert np.array_equal(read.image.values, values[::-1])
    assert read.image.pixel_size == pytest.approx(SIZE)


@pytest.mark.parametrize("units", ["<undefined>", "", "px", None])
def test_no_pixel_size_is_said_in_keywords(
    micrograph: autoloop.Micrograph, units: Any
) -> None:
    values = micrograph.image.values
    for source in (np.array(values), signal(values, 1.0, units)):
        with pytest.raises(
            autoloop.DataError, match=r"has no pixel size; give pixel_size \[Å\]$"
        ):
            autoloop.find_columns(source)


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(
        autoloop.DataError, match=r"^nothing\.tif: no such file; check the path$"
    ):
        autoloop.read_micrograph("nothing.tif")


def test_inspect_reads_lattices_and_shows_them(image: Path) -> None:
    reading = autoloop.inspect(image, "Cu", pixel_size=SIZE)
    assert reading.misorientation_deg == pytest.approx(36.87, abs=0.5)
    assert reading.pixel_size == pytest.approx(SIZE / 1.02, rel=0.005)  # 2 % off
    assert [grain.crystal for grain in reading.grains] == ["Cu", "Cu"]
    assert len(reading.motifs) == len(reading.columns)
    assert reading.to_dict()["grains"][0]["crystal"] == "Cu"
    shown = reading._repr_html_()
    assert "misorientation" in shown
    assert "data:image/png;base64," in shown
    assert len(shown) < 200_000
    assert "http" not in shown
    assert "36.8" in reading.text


def test_inspect_without_crystals_says_what_it_needs(image: Path) -> None:
    reading = autoloop.inspect(image, pixel_size=SIZE)
    assert reading.grains == ()
    assert "give crystals=" in reading.text
    with pytest.raises(autoloop.ConfigError, match="3 are given"):
        autoloop.inspect(image, ["Cu", "Al", "Ni"], pixel_size=SIZE)


def test_a_simulated_image_is_like_itself_and_shows_its_columns() -> None:
    from ase.build import bulk

    copper = bulk("Cu", cubic=True) * (6, 6, 1)
    shown = autoloop.simulate(copper, pixel_size=0.2)
    spacing = 3.61 / 2  # square net of columns along [001]
    n_expected = round(shown.values.size * 0.2**2 / spacing**2)
    found = autoloop.find_columns(shown)
    # the columns on the border are cut: at most a ring of them is missing or doubled
    assert abs(len(found.columns) - n_expected) <= 4 * np.sqrt(n_expected)
    moved = np.roll(shown.values, 3, axis=1)
    same = autoloop.score(shown.values[:, 5:-5], moved[:, 5:-5], pixel_size=0.2)
    assert same.ssim == pytest.approx(1.0, abs=1e-3)  # subpixel shifts interpolate
    assert same.shift_px == pytest.approx((-3.0, 0.0), abs=0.05)


def test_simulate_refuses_and_warns() -> None:
    from ase.build import bulk

    copper = bulk("Cu", cubic=True)
    with pytest.raises(autoloop.ConfigError, match="outer angle must exceed"):
        autoloop.simulate(copper, detector_mrad=(100, 50))
    with pytest.raises(autoloop.ConfigError, match="'convolution' or 'abtem'"):
        autoloop.simulate(copper, engine="fft")  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="Å"):
        autoloop.simulate(copper, thickness=300.0)


def test_defaults_are_those_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from autoloop.cli import simulate as verb
    from autoloop.cli.arguments import Parser

    parser = Parser()
    verb.add_to(parser.add_subparsers())
    given = parser.parse_args(["simulate", "x.cif", "-o", "x.tif"])
    names = {
        "beam_energy_kev": "beam_energy",
        "convergence_mrad": "convergence",
        "detector_mrad": "detector",
        "spherical_aberration_mm": "c3",
        "angle_deg": "angle",
        "n_phonons": "phonons",
    }
    for name, parameter in inspect.signature(autoloop.simulate).parameters.items():
        if name == "structure":
            continue
        default = getattr(given, names.get(name, name))
        if isinstance(default, list):
            default = tuple(default)
        assert parameter.default == default, name
