"""`autoloop score`: how alike two images are."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_json, add_verb
from autoloop.cli.inspect import length, on_command_line

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs
    from autoloop.domain import Image
    from autoloop.scoring.pair import PairScore


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "score",
        _score,
        purpose="Compare two images: structural similarity, distance between columns",
        example="autoloop score measured.dm3 simulated.tif\n"
        "autoloop score measured.tif simulated.tif --pixel-size 0.17 --json",
    )
    parser.epilog = (
        f"{parser.epilog}\nThe second image is brought to the pixel size of the first, "
        "shifted onto it by a fraction of a\npixel, and matched to its intensities by "
        "one gain and one offset (least squares); it is not\nturned or stretched. "
        "Columns are looked for in both. Where no shift can be trusted nothing is\n"
        "scored, and the exit status is 4."
    )
    for name, which in (("image_a", "first"), ("image_b", "second")):
        parser.add_argument(
            name, metavar=name.upper(), type=Path, help=f"the {which} image file"
        )
    parser.add_argument(
        "--pixel-size",
        metavar="Å",
        type=length,
        help="pixel size of both images [Å] over that of the files",
    )
    parser.add_argument(
        "--window",
        metavar="Å",
        type=length,
        help="edge of the SSIM window [Å] (default: the usual distance of a column of "
        "IMAGE_A from its nearest neighbour)",
    )
    add_json(parser)


def _score(arguments: Arguments) -> int:
    from autoloop.errors import DataError
    from autoloop.microscopy.columns import find_columns
    from autoloop.scoring.pair import score_pair

    first = _read(arguments, arguments.image_a)
    second = _read(arguments, arguments.image_b)
    try:
        found = score_pair(first, second, find_columns, window=arguments.window)
    except DataError as error:
        names = f"{arguments.image_a}, {arguments.image_b}"
        raise DataError(f"{names}: {error}") from error
    if arguments.json:
        print(json.dumps(asdict(found), allow_nan=False))
    else:
        print(_as_text(found))
    return 0


def _read(arguments: argparse.Namespace, path: Path) -> Image:
    from autoloop.errors import AutoloopError
    from autoloop.microscopy.reading import read_micrograph

    try:
        return read_micrograph(path, pixel_size=arguments.pixel_size).image
    except AutoloopError as error:
        raise type(error)(on_command_line(str(error))) from error


def _as_text(found: PairScore) -> str:
    def figure(value: float | None) -> str:
        return "overlap too small" if value is None else f"{value:.4f}"

    x, y = found.shift_px
    edge = found.window * found.pixel_size
    return "\n".join(
        f"{name:12}{value}"
        for name, value in (
            ("SSIM", f"{figure(found.ssim)}, window {found.window} px, {edge:.2f} Å"),
            ("SSIM 7", figure(found.ssim_7)),
            ("SSIM 35", figure(found.ssim_35)),
            ("EMD", f"{found.emd_angstrom_per_column:.4f} Å per column"),
            ("MSE", f"{found.mse:.5g} intensity² of the first image"),
            ("shift", f"{x:+.3f}, {y:+.3f} px, confidence {found.confidence:.2f}"),
            ("intensity", f"second image x {found.gain:.5g} {found.offset:+.5g}"),
        )
    )
