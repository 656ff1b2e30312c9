"""One finalist of a run, or all of the run, as a file; the file is whole or not."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from autoloop.archive import Archive
from autoloop.domain import Details, Evaluation
from autoloop.errors import ConfigError
from autoloop.journal import Journal
from autoloop.report.export.images import IMAGE_WRITERS, simulated_view, write_columns
from autoloop.report.export.structures import SUFFIXES, describe, write_structure
from autoloop.report.status import journal_path

RUN_SUFFIXES: Final = {"optuna": ".db", "chemiscope": ".json.gz"}
"""File name suffix of each format that takes all of a run."""
_IMAGE_SUFFIXES: Final = {"tiff": ".tif", "hspy": ".hspy", "emd": ".emd"}
_TABLE_SUFFIXES: Final = {"csv": ".csv"}
FORMATS: Final = {**SUFFIXES, **_IMAGE_SUFFIXES, **_TABLE_SUFFIXES, **RUN_SUFFIXES}
"""File name suffix of everything that can be exported."""


def export(
    folder: Path, *, format: str, rank: int | None = None, output: Path | None = None
) -> Path:
    """Write one of the best structures of a run, its image, or the run itself.

    Parameters
    ----------
    folder : Path
        Run folder; it is only read.
    format : str
        A key of `FORMATS`: a structure (see `write_structure`); the simulated image of
        one, with its scale (``tiff``, ``hspy``, ``emd``), or its columns (``csv``); the
        run as a study of optuna or a map for chemiscope.
    rank : int, optional
        1 for the lowest cost, as if left out; equal structures count once. Not with a
        format that takes all of the run.
    output : Path, optional
        File to write; by default ``NAME_rankK``, or ``NAME``, with the suffix of the
        format, in the current folder.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ConfigError
        If the format or the rank does not exist, or the file does already.
    DataError
        If the run has no image and one is asked for.
    InstallationError
        If the library of the format is not installed.
    JournalError
        If the folder holds no run.
    """
    if format not in FORMATS:
        raise ConfigError(
            f"--format {format}: unknown format; known are {', '.join(FORMATS)}"
        )
    if format in RUN_SUFFIXES:
        if rank is not None:
            raise ConfigError(
                f"--rank {rank}: has no effect with --format {format}, which takes all "
                "of the run; leave it out"
            )
        return _export_run(folder, format, output)
    return export_structure(folder, rank=rank or 1, format=format, output=output)


def export_structure(
    folder: Path, *, rank: int, format: str, output: Path | None = None
) -> Path:
    """Write one of the best structures of a run, or its image, to a file of its own.

    See `export`, of which this is the part that has a rank.
    """
    known = {name: end for name, end in FORMATS.items() if name not in RUN_SUFFIXES}
    if format not in known:
        raise ConfigError(
            f"--format {format}: unknown format; known are {', '.join(known)}"
        )
    evaluation, details, name = _ranked(folder, rank)
    path = output or Path(f"{name}_rank{rank}{known[format]}")

    def write(partial: Path) -> None:
        if format in SUFFIXES:
            write_structure(partial, details.bicrystal, format, describe(evaluation))
            return
        view = simulated_view(folder, details)
        if format == "csv":
            write_columns(partial, view.columns)
        else:
            IMAGE_WRITERS[format](partial, view, evaluation)

    return _written(path, format, write)


def _export_run(folder: Path, format: str, output: Path | None) -> Path:
    with Journal.read(journal_path(folder)) as journal:
        name = _part_of_a_path(journal.meta["name"])
    path = output or Path(f"{name}{RUN_SUFFIXES[format]}")
    if format == "optuna":
        from autoloop.report.export.optuna_study import write_study

        return _written(path, format, lambda partial: write_study(partial, folder))
    from autoloop.report.export.chemiscope_map import write_map

    return _written(path, format, lambda partial: write_map(partial, folder))


def _written(path: Path, format: str, write: Callable[[Path], None]) -> Path:
    """Write a file beside its place and put it there when it is whole."""
    _refuse_unusable(path)
    # In a folder of its own: some writers go by the suffix, which may be any in the
    # name that was asked for, and some leave files beside.
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        scratch.mkdir()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror}; name another file with -o"
        ) from error
    try:
        partial = scratch / f"export{FORMATS[format]}"
        write(partial)
        partial.replace(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return path


def _ranked(folder: Path, rank: int) -> tuple[Evaluation, Details, str]:
    with Journal.read(journal_path(folder)) as journal:
        archive = Archive(journal.evaluations(), load_details=journal.details)
        best = archive.best(len(archive.scored))
        if not 1 <= rank <= len(best):
            raise ConfigError(
                f"--rank {rank}: {folder} has {len(best)} distinct scored structures; "
                + (f"give 1 to {len(best)}" if best else "there is none to export")
            )
        evaluation = best[rank - 1]
        name = _part_of_a_path(journal.meta["name"])
        return evaluation, archive.details(evaluation.id), name


def _part_of_a_path(name: str) -> str:
    """Return a run's name such that no file outside the current folder has it.

    Run files name no paths, but a journal may come from anywhere.
    """
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")[:100] or "run"


def _refuse_unusable(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise ConfigError(
            f"{path}: exists already and is not overwritten; "
            "remove it or name another file with -o"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist; make it")
