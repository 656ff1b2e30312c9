"""Whether candidates can be evaluated here: LAMMPS, potential, versions of libraries.

Asked of every worker on another machine before work is sent to it. A worker with other
versions is refused: its numbers may differ in the last digits, and a run in which
chance decides who evaluates what could not be repeated.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloop import __version__
from autoloop.errors import InstallationError

if TYPE_CHECKING:
    from autoloop.relax.potentials import Potential

_LIBRARIES: Final = (
    "ase",
    "lammps",
    "numpy",
    "pot",
    "scikit-image",
    "scipy",
)
"""Distributions whose version may change a number."""


def versions() -> dict[str, str]:
    """Return the version of everything here that may change a number."""
    found = {"autoloop": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def refuse_other_versions(
    here: Mapping[str, str], there: Mapping[str, str], worker: str
) -> None:
    """Raise InstallationError if a worker would compute with other libraries."""
    different = [
        f"{name} {there.get(name, 'missing')} instead of {version}"
        for name, version in here.items()
        if there.get(name) != version
    ]
    if different:
        raise InstallationError(
            f"worker {worker} has {', '.join(different)}; start it in the same "
            "environment as the controller"
        )


def examine(context: Any) -> dict[str, Any]:
    """Try in a child what its candidates will need.

    Parameters
    ----------
    context : object
        As loaded. If it has a relaxer with a potential for LAMMPS, its files are
        compared with those of the controller, and an instance reads them.

    Returns
    -------
    dict
        JSON values: the version of LAMMPS, if it is needed.

    Raises
    ------
    InstallationError
        If the files are missing or others, or LAMMPS does not start with them.
    """
    potential = getattr(getattr(context, "relaxer", None), "potential", None)
    if potential is None:
        return {}
    import numpy as np

    from autoloop.errors import SimulationError
    from autoloop.relax.session import session

    _refuse_other_files(potential)
    lammps = session()
    try:
        lammps.start(potential, 20.0 * np.eye(3))
    except SimulationError as error:
        raise InstallationError(
            f"LAMMPS does not take the potential {potential.name} here: {error}; "
            "`autoloop doctor` shows what is missing"
        ) from error
    return {"lammps": lammps.version()}


def _refuse_other_files(potential: Potential) -> None:
    """Raise InstallationError unless the files hold what the controller has read."""
    from autoloop.relax.potentials import digest

    # In commands for LAMMPS, files and nothing else are in quotation marks.
    quoted = re.findall(r'"([^"]*)"', " ".join(potential.coefficients))
    try:
        found = digest(Path(name) for name in quoted)
    except OSError as error:
        raise InstallationError(
            f"potential {potential.name}: {error.filename} cannot be read here "
            f"({error.strerror}); put it where every machine sees it"
        ) from error
    if found != potential.sha256:
        raise InstallationError(
            f"potential {potential.name}: {potential.path} is another file here than "
            "where the run began; put the same one on every machine"
        )
