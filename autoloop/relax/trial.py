"""Whether LAMMPS can read a potential of the user's, tried where a crash costs nothing.

On a table that ends early, LAMMPS ends the whole process instead of raising. The files
that it ships need no such trial.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import asdict
from typing import Final

from autoloop.errors import DataError, InstallationError, SimulationError
from autoloop.relax.potentials import Potential, shipped_folder

_LIMIT_S: Final = 120.0  # a safety net: the largest files take seconds
_REFUSED: Final = 7


def refuse_unreadable(potential: Potential) -> None:
    """Let another process start LAMMPS with a potential that LAMMPS does not ship.

    Raises
    ------
    DataError
        If LAMMPS does not take it, or dies of it.
    """
    folder = shipped_folder()
    files = [word for line in potential.coefficients for word in line.split('"')[1::2]]
    if folder is None or all(file.startswith(f"{folder}/") for file in files):
        return  # also where there are no files, or no LAMMPS: others tell that
    if complaint := _complaint(json.dumps(asdict(potential))):
        raise DataError(
            f"potential {potential.name}: LAMMPS cannot read {files[0]} ({complaint}); "
            "check that it is complete"
        )


@functools.lru_cache(maxsize=16)
def _complaint(text: str) -> str:
    """Return why a potential, as JSON, cannot be used; nothing if it can."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "autoloop.relax.trial"],
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {_LIMIT_S:g} s"
    if done.returncode == 0:
        return ""
    lines = [li for li in (done.stdout + done.stderr).splitlines() if li.strip()]
    if done.returncode == _REFUSED:
        return lines[-1][:160] if lines else "it gives no reason"
    told = [line for line in lines if line.startswith("ERROR")]
    return told[0][:160] if told else "it dies of it"


def _main() -> int:
    import numpy as np

    from autoloop.relax.session import session

    given = json.load(sys.stdin)
    lists = {key: tuple(given[key]) for key in ("elements", "lines")}
    try:
        session().start(Potential(**{**given, **lists}), 20.0 * np.eye(3))
    except SimulationError as error:
        print(" ".join(str(error).split()))
        return _REFUSED
    except InstallationError:
        return 0  # no fault of the potential
    return 0


if __name__ == "__main__":
    sys.exit(_main())
