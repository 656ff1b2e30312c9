"""Writing images to files that microscopists' programs open with their scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoloop.domain import Image


def write_image_tif(path: Path, image: Image) -> None:
    """Write an image as a float32 TIFF with its pixel size.

    Parameters
    ----------
    path : Path
        Where to write; an existing file is replaced.
    image : Image
        Its pixel size is written in nm, in the tags that both ImageJ and
        DigitalMicrograph use.
    """
    from rsciio.tiff import file_writer

    axes = [
        {
            "name": name,
            "size": size,
            "scale": image.pixel_size / 10.0,
            "offset": 0.0,
            "units": "nm",
            "navigate": False,
        }
        for name, size in zip(("y", "x"), image.values.shape, strict=True)
    ]
    data = np.asarray(image.values, dtype=np.float32)
    file_writer(str(path), {"data": data, "axes": axes, "metadata": {}})
