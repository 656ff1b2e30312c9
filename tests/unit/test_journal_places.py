"""Which file systems a journal may be written on."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from autoloop.errors import JournalError
from autoloop.journal import Journal
from autoloop.journal import places as module
from autoloop.journal.places import refuse_remote

LINE = "36 35 0:41 / {point} rw,relatime shared:1 - {kind} server:/export rw,vers=4.2"


def table(tmp_path: Path, *mounts: tuple[str, str]) -> Path:
    """Write a table of mounts as Linux does: the local root first."""
    rows = (("/", "ext4"), *mounts)
    file = tmp_path / "mountinfo"
    file.write_text("\n".join(LINE.format(point=p, kind=k) for p, k in rows) + "\n")
    return file


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"])
def test_disks_of_other_machines_are_refused(tmp_path: Path, kind: str) -> None:
    mounts = table(tmp_path, ("/home", kind))
    with pytest.raises(JournalError, match=rf"\({kind} at /home\).* --out"):
        refuse_remote(Path("/home/me/runs/new"), mounts)
    refuse_remote(Path("/homes/me/runs/new"), mounts)  # a name that begins alike


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "tmpfs", "lustre", "gpfs", "ceph", "9p"]
)
def test_local_disks_and_those_of_clusters_are_not(tmp_path: Path, kind: str) -> None:
    refuse_remote(Path("/scratch/me"), table(tmp_path, ("/scratch", kind)))


def test_the_deepest_and_latest_mount_counts(tmp_path: Path) -> None:
    mounts = table(tmp_path, ("/home", "nfs4"), ("/home/me/local", "xfs"))
    refuse_remote(Path("/home/me/local/run"), mounts)
    over = table(tmp_path, ("/home", "ext4"), ("/home", "nfs4"))
    with pytest.raises(JournalError, match="nfs4"):
        refuse_remote(Path("/home/run"), over)


def test_spaces_in_the_name_of_a_mount(tmp_path: Path) -> None:
    mounts = table(tmp_path, (r"/mnt/our\040share", "cifs"))
    with pytest.raises(JournalError, match="our share"):
        refuse_remote(Path("/mnt/our share/run"), mounts)


def test_a_link_does_not_hide_the_network(tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "remote")
    mounts = table(tmp_path, (str(tmp_path / "remote"), "nfs4"))
    with pytest.raises(JournalError, match="network file system"):
        refuse_remote(tmp_path / "link" / "run", mounts)


def test_without_a_table_nothing_is_refused(tmp_path: Path) -> None:
    refuse_remote(tmp_path, tmp_path / "missing")
    (tmp_path / "odd").write_text("no table\n1 2 3 - nfs\n - \n")
    refuse_remote(tmp_path, tmp_path / "odd")


def test_a_journal_is_neither_begun_nor_opened_there_but_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "journal.sqlite"
    path.parent.mkdir()
    Journal.create(path).close()
    before = path.read_bytes()
    mounts = table(tmp_path, (str(path.parent), "nfs4"))
    monkeypatch.setattr(module, "MOUNTS", mounts)
    for attempt in (lambda: Journal.open(path), lambda: Journal.create(path)):
        with pytest.raises(JournalError, match="network file system"):
            attempt()
    assert path.read_bytes() == before
    with Journal.read(path) as journal:
        assert journal.evaluations() == []


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Lustre mounted without `flock`: not to be taken for a second writer."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(JournalError, match="gives no locks"):
        Journal.create(tmp_path / "journal.sqlite")
