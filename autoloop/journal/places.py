"""Where a journal cannot be written: on the disk of another machine.

SQLite's write-ahead log keeps its index in memory that processes of one machine share,
and its locks are those of the file system. Over a network the one does not exist and
the others are said to hold when they do not, which shows as a damaged journal, later.
Reading is another thing: a run that has ended can be read from anywhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from autoloop.errors import JournalError

MOUNTS: Final = Path("/proc/self/mountinfo")
"""Where Linux says what is mounted where; nothing is known without it."""

_REMOTE: Final = re.compile(
    r"nfs4?|cifs|smb\w*|afs|ncpfs|davfs2?|fuse\.(sshfs|davfs2?|s3fs|gcsfuse|rclone)"
)
"""File systems of other machines. Not Lustre, GPFS, BeeGFS or CephFS: they keep the
caches and locks of all machines in step, and a run has one controller, on one. Nor 9p:
virtual machines and sandboxes show their local disk so."""


def refuse_remote(path: Path, mounts: Path | None = None) -> None:
    """Refuse a journal or run folder on a file system of another machine.

    Parameters
    ----------
    path : Path
        It need not exist yet.
    mounts : Path, optional
        Table of what is mounted; that of this process by default.

    Raises
    ------
    JournalError
        With the remedy.
    """
    found = _mounted_at(path.absolute(), MOUNTS if mounts is None else mounts)
    if found is None:
        return
    point, kind = found
    if _REMOTE.fullmatch(kind):
        raise JournalError(
            f"{path}: lies on a network file system ({kind} at {point}), where a "
            "journal would not be safe; choose a local disk or scratch space with --out"
        )


def _mounted_at(path: Path, mounts: Path) -> tuple[Path, str] | None:
    """Return the mount point that a path lies under, and its file system."""
    try:
        table = mounts.read_text(errors="replace")
        path = path.resolve()
    except (OSError, RuntimeError):
        return None
    found: tuple[Path, str] | None = None
    for line in table.splitlines():
        # 36 35 98:0 /root /point options [tags] - kind source options
        place, dash, rest = line.partition(" - ")
        words = place.split()
        if not dash or len(words) < 5 or not rest:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", _unescaped, words[4]))
        # of several on one point the last hides the others
        deepest = 0 if found is None else len(found[0].parts)
        if path.is_relative_to(point) and len(point.parts) >= deepest:
            found = point, rest.split()[0]
    return found


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))
