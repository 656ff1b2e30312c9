"""Files that a child writes and its supervisor reads after its end.

They have no name: nothing is left behind, even by kill -9.
"""

from __future__ import annotations

import os
import tempfile
from typing import Final

_TAIL: Final = 20_000  # bytes; what LAMMPS says of one command is shorter
_LINES: Final = 6


class ChildOutput:
    """Standard error, LAMMPS log and LAMMPS command of one child."""

    def __init__(self) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._command = tempfile.TemporaryFile()  # noqa: SIM115

    @property
    def descriptors(self) -> tuple[int, int, int]:
        """File descriptors of standard error, of LAMMPS's log and of its command."""
        return self._stderr.fileno(), self._log.fileno(), self._command.fileno()

    def clear(self) -> None:
        """Forget what earlier candidates wrote."""
        for descriptor in self.descriptors:
            os.ftruncate(descriptor, 0)

    def close(self) -> None:
        """Give the files up."""
        self._stderr.close()
        self._log.close()
        self._command.close()

    def last_command(self) -> str:
        """Return the LAMMPS command that the child did not come back from, or nothing.

        Only that: how far it came differs from run to run, a reason must not.
        """
        return " ".join(_tail(self._command.fileno()))[:160]

    def last_words(self) -> str:
        """Return the last lines of both files, for the log."""
        parts = {
            "standard error": _tail(self._stderr.fileno()),
            "LAMMPS log": _tail(self._log.fileno()),
        }
        return "\n".join(
            f"{name} ends:\n  " + "\n  ".join(lines[-_LINES:])
            for name, lines in parts.items()
            if lines
        )


def _tail(descriptor: int) -> list[str]:
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    # A file that was truncated under its writer begins with zeros.
    text = data.replace(b"\0", b"").decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()]
