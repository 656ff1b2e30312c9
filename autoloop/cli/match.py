"""`autoloop match`: which crystal, seen along which direction, an image shows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloop.cli.arguments import Arguments, add_json, add_verb, count, natural
from autoloop.cli.inspect import length, on_command_line
from autoloop.cli.library import add_place

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs
    from autoloop.domain import Image
    from autoloop.library.answers import Answer, Match
    from autoloop.library.store import Library


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "match",
        _match,
        purpose="Find which crystal an image shows, and along which direction",
        example="autoloop match image.dm3 --crop 240 470 0 470 --figure match.png\n"
        "autoloop match image.tif --pixel-size 0.172 --top 10 --json\n"
        "autoloop match scanned.png --any-size",
    )
    parser.epilog = (
        f"{parser.epilog}\nThe image should show one crystal: of a boundary give one "
        "grain with --crop. Turn, place and\nhand are found; the pixel size may be off "
        "by 6 %, by any amount with --any-size, where crystals\nthat differ in size "
        "only are one. Scores are over the 40 Å that were compared; MSE is in units\n"
        "of the image's variance. 'autoloop library build' makes the library first."
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help="the image file")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--pixel-size",
        metavar="Å",
        type=length,
        help="pixel size [Å] over that of the file",
    )
    sizes.add_argument(
        "--any-size", action="store_true", help="the pixel size is not known"
    )
    parser.add_argument(
        "--crop",
        metavar=("R0", "R1", "C0", "C1"),
        nargs=4,
        type=natural,
        help="first row, row after the last, first column, column after the last "
        "(default: all)",
    )
    parser.add_argument(
        "--index",
        metavar="N",
        type=natural,
        help="which image of a file that holds several, counted from 0",
    )
    parser.add_argument(
        "--top", metavar="K", type=count, default=5, help="matches shown (default: 5)"
    )
    parser.add_argument(
        "--figure",
        metavar="F.png",
        type=Path,
        help="draw the image, its matches and the motifs they share into a PNG",
    )
    add_place(parser)
    add_json(parser)


def _match(arguments: Arguments) -> int:
    from dataclasses import replace

    from autoloop.library.search import search
    from autoloop.library.store import load

    _refuse_figure(arguments)
    library = load(arguments.library)
    image = _read(arguments)
    size = None if arguments.any_size else image.pixel_size
    most: int = arguments.top
    if arguments.figure is not None:
        from autoloop.report.match_figure import RANKED, match_figure

        most = max(most, RANKED)
    found = search(library, image.values, size, top=most)
    answer = replace(found, matches=found.matches[: arguments.top])
    if arguments.figure is not None:
        match_figure(arguments.figure, library, found, arguments.image.name)
    if arguments.json:
        print(json.dumps(_as_json(answer, library), allow_nan=False))
    else:
        print(_as_text(answer, len(library)))
    return 0


def _read(arguments: argparse.Namespace) -> Image:
    from autoloop.domain import Image
    from autoloop.errors import AutoloopError, ConfigError
    from autoloop.microscopy.reading import read_micrograph

    # a size that is not looked at spares the file from having one
    size = 1.0 if arguments.any_size else arguments.pixel_size
    try:
        image = read_micrograph(
            arguments.image, pixel_size=size, index=arguments.index
        ).image
    except AutoloopError as error:
        raise type(error)(on_command_line(str(error))) from error
    if arguments.crop is None:
        return image
    first, stop, left, right = arguments.crop
    values = image.values[first:stop, left:right]
    if min(values.shape) == 0:
        rows, columns = image.values.shape
        raise ConfigError(
            f"--crop {' '.join(map(str, arguments.crop))} holds nothing of an image of "
            f"{rows} rows and {columns} columns; give first row, row after the last, "
            "first column, column after the last"
        )
    return Image(values=values, pixel_size=image.pixel_size)


def _refuse_figure(arguments: argparse.Namespace) -> None:
    """Refuse to draw over the image, and into folders that are not there."""
    from autoloop.errors import ConfigError

    figure: Path | None = arguments.figure
    if figure is None:
        return
    both = figure.exists() and arguments.image.exists()
    if both and figure.samefile(arguments.image):
        raise ConfigError(f"--figure {figure} is the image itself; choose another file")
    if not figure.parent.is_dir():
        raise ConfigError(
            f"--figure {figure}: no folder {figure.parent}; make it, or choose another"
        )


def _as_json(answer: Answer, library: Library) -> dict[str, Any]:
    return {
        "fits": answer.fits,
        "confidence": answer.confidence,
        "library": {"entries": len(library), "sha256": library.sha256},
        "matches": [_match_json(match) for match in answer.matches],
    }


def _match_json(match: Match) -> dict[str, Any]:
    return {
        "prototype": match.name.prototype,
        "formula": match.name.formula,
        "zone_axis": list(match.name.zone_axis),
        "score": match.score,
        "ssim": match.figures.ssim,
        "emd_angstrom_per_column": match.figures.emd_angstrom_per_column,
        "mse": match.figures.mse,
        "explained": match.pose.explained,
        "angle_deg": match.pose.angle_deg,
        "mirrored": match.pose.mirrored,
        "pixel_size": match.pixel_size,
        "blur": match.pose.blur,
        "alike": list(match.name.alike),
    }


def _as_text(answer: Answer, n_entries: int) -> str:
    share = 100 * answer.matches[0].pose.explained
    head = (
        f"the first of these explains {share:.0f} % of the image's diffraction, "
        f"confidence {answer.confidence:.2f}"
        if answer.fits
        else f"nothing among {n_entries} entries fits; the nearest explains "
        f"{share:.0f} % of the image's diffraction:"
    )
    lines = [head, f"{'score':>6}{'SSIM':>7}{'EMD/Å':>8}{'MSE':>7}  crystal"]
    for match in answer.matches:
        figures, name = match.figures, match.name
        lines.append(
            f"{match.score:6.3f}{figures.ssim:7.3f}"
            f"{figures.emd_angstrom_per_column:8.3f}{figures.mse:7.3f}  "
            f"{name.formula} {name.text}, pixel size {match.pixel_size:.4g} Å"
        )
        if name.alike:
            more = f" and {len(name.alike) - 3} more" if len(name.alike) > 3 else ""
            lines.append(f"{'':30}or {', '.join(name.alike[:3])}{more}")
    return "\n".join(lines)
