"""Files of a campaign that came from memory: its run file, image and run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autoloop.assembly import refuse_occupied
from autoloop.config import LoadedCampaign
from autoloop.errors import ConfigError
from autoloop.report.status import JOURNAL_NAME

if TYPE_CHECKING:
    from autoloop.microscopy.reading import Micrograph

UNNAMED: Final = "campaign"
"""Name of a run file that does not exist, in the folder that its paths start from."""
IMAGE_NAME: Final = "micrograph.npy"
"""File in the run folder of an image that came from memory: exact, unlike a TIFF."""


def as_yaml(values: Mapping[str, Any]) -> str:
    """Return values as the text of a run file; NumPy's become plain."""
    import yaml

    def plain(value: Any) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, Mapping):
            return dict(value)
        if hasattr(value, "tolist"):
            return value.tolist()
        raise ConfigError(f"{value!r} has no place in a run file; give plain values")

    tree = json.loads(json.dumps(dict(values), default=plain))
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def with_image(
    loaded: LoadedCampaign,
    image: Micrograph | None,
    folder: Path,
    name: str = IMAGE_NAME,
) -> LoadedCampaign:
    """Write an image that came from memory into a folder, and point to it.

    Parameters
    ----------
    loaded : LoadedCampaign
        The campaign.
    image : Micrograph or None
        None if the image is a file; the campaign stays as it is then.
    folder : Path
        Where the image is written.
    name : str
        Of its file.
    """
    section = loaded.campaign.micrograph
    if image is None or section is None:
        return loaded
    path = (folder / name).resolve()
    np.save(path, image.image.values)
    section = section.model_copy(update={"path": str(path)})
    campaign = loaded.campaign.model_copy(update={"micrograph": section})
    return replace(loaded, campaign=campaign)


@contextmanager
def run_folder(
    loaded: LoadedCampaign, image: Micrograph | None, folder: Path
) -> Iterator[LoadedCampaign]:
    """Yield the campaign with its image in the run folder, if that is free.

    What fails within the block before there is a journal leaves no trace.
    """
    refuse_occupied(folder)
    new = not folder.exists()
    try:
        if image is not None:
            folder.mkdir(parents=True, exist_ok=True)
        yield with_image(loaded, image, folder)
    except BaseException:
        if not (folder / JOURNAL_NAME).exists():
            (folder / IMAGE_NAME).unlink(missing_ok=True)
            if new:
                with suppress(OSError):  # something else is in it
                    folder.rmdir()
        raise
