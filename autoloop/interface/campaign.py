"""A campaign: what is searched, from a run file, an image or a dictionary."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from autoloop.assembly import default_folder
from autoloop.config import (
    LoadedCampaign,
    campaign_warnings,
    check_campaign,
    dump_campaign,
    load_campaign,
    movable,
)
from autoloop.errors import ConfigError, DataError
from autoloop.interface.analysis import inspect
from autoloop.interface.callbacks import Callback
from autoloop.interface.files import (
    IMAGE_NAME,
    UNNAMED,
    as_yaml,
    run_folder,
    with_image,
)
from autoloop.interface.html import card
from autoloop.interface.running import Run
from autoloop.interface.sources import ImageSource, is_file
from autoloop.interface.summary import picture, summary
from autoloop.interface.wording import in_calls

if TYPE_CHECKING:
    from autoloop.config import Campaign as Settings
    from autoloop.interface.reading import Reading
    from autoloop.interface.session import Session
    from autoloop.microscopy.reading import Micrograph


class Campaign:
    """One search: the validated content of a run file.

    Made by `from_yaml`, `from_image` or `from_dict`; it never changes, `replace` gives
    another.

    Attributes
    ----------
    reading : Reading, optional
        What the image said, of a campaign that was made from one.
    """

    def __init__(
        self,
        loaded: LoadedCampaign,
        *,
        image: Micrograph | None = None,
        reading: Reading | None = None,
    ) -> None:
        self._loaded = loaded
        self._image = image
        self.reading = reading

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Self:
        """Read a run file.

        Raises
        ------
        ConfigError
            With file, line, column, key and remedy of each mistake.
        """
        return cls(load_campaign(Path(path)))

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, base: str | os.PathLike[str] = "."
    ) -> Self:
        """Make a campaign from the sections of a run file as a dictionary.

        Parameters
        ----------
        values : mapping
            Keys and values of a run file.
        base : path
            Folder that relative paths start from.

        Raises
        ------
        ConfigError
            With the key and the remedy of each mistake.
        """
        path = Path(base) / UNNAMED
        with in_calls(str(path)):
            return cls(load_campaign(path, text=as_yaml(values)))

    @classmethod
    def from_image(
        cls,
        micrograph: ImageSource,
        crystals: str | Sequence[str],
        *,
        pixel_size: float | None = None,
        index: int | None = None,
        name: str | None = None,
    ) -> Self:
        """Draft a campaign from what a micrograph shows, as `autoloop init` does.

        Parameters
        ----------
        micrograph : path, (n_y, n_x) array, signal, Image or Micrograph
            See `autoloop.read_micrograph`.
        crystals : str or sequence of str
            What it shows: a built-in name such as ``Cu`` or a structure file, two if
            the grains differ.
        pixel_size, index
            See `autoloop.read_micrograph`.
        name : str, optional
            Of the campaign; by default that of the file.

        Returns
        -------
        Campaign
            Look at what `yaml` marks with (check): the angles of the microscope are in
            no image. `replace` changes them.

        Raises
        ------
        DataError
            If the lattices cannot be told.
        """
        from autoloop.preparation.draft import Source, draft_run_file

        reading = inspect(micrograph, crystals, pixel_size=pixel_size, index=index)
        found = reading.inspection
        if found.boundary is None:
            raise DataError(
                f"{found.micrograph.path}: the lattices cannot be told: "
                f"{reading.cannot_tell or 'give crystals='}"
            )
        image = None
        if not is_file(micrograph):
            image = found.micrograph
            pixel_size, index = image.image.pixel_size, None
            found = replace(found, micrograph=replace(image, path=IMAGE_NAME))
        stem = name or (Path(found.micrograph.path).stem if image is None else "image")
        path = Path(f"{stem}.yaml")
        source = Source(pixel_size=pixel_size, index=index)
        text = draft_run_file(found, source, path)
        return cls(load_campaign(path, text=text), image=image, reading=reading)

    def replace(self, **sections: Any) -> Self:
        """Return the campaign with some of its sections changed.

        Parameters
        ----------
        **sections
            A mapping changes the keys it has, None removes a section, anything else
            takes its place: ``replace(seed=2, budget={"evaluations": 20})``.

        Raises
        ------
        ConfigError
            With the key and the remedy of each mistake.
        """
        values: dict[str, Any] = json.loads(json.dumps(self._loaded.marked.values))
        for key, section in sections.items():
            old = values.get(key)
            if isinstance(section, Mapping) and isinstance(old, dict):
                values[key] = {**old, **section}
            elif section is None:
                values.pop(key, None)
            else:
                values[key] = section
        path = self._loaded.path.parent / UNNAMED
        with in_calls(str(path)):
            loaded = load_campaign(path, text=as_yaml(values))
        return type(self)(loaded, image=self._image, reading=self.reading)

    # --- what it says --------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name."""
        return self.settings.name

    @property
    def settings(self) -> Settings:
        """All sections with their defaults, as the model of the run file."""
        return self._loaded.campaign

    @property
    def yaml(self) -> str:
        """Text of the run file."""
        return self._loaded.text

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but hardly meant."""
        return campaign_warnings(self.settings)

    def check(self) -> None:
        """Check crystals, potential, image and policy, as `autoloop validate` does.

        Raises
        ------
        ConfigError
            With one line for each mistake.
        """
        with tempfile.TemporaryDirectory() as folder, self._errors():
            check_campaign(with_image(self._loaded, self._image, Path(folder)))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run file, for `autoloop run`; an image from memory goes beside it.

        Raises
        ------
        ConfigError
            If the file is there already.
        """
        path = Path(path)
        if path.exists():
            raise ConfigError(f"{path}: exists already; choose another name")
        loaded = with_image(self._loaded, self._image, path.parent, f"{path.stem}.npy")
        same = self._image is None and path.resolve().parent == loaded.base
        path.write_text(loaded.text if same else dump_campaign(movable(loaded)))
        return path

    # --- what it does --------------------------------------------------------------

    def run(
        self,
        *,
        out: str | os.PathLike[str] | None = None,
        evaluations: int | None = None,
        workers: int | None = None,
        seed: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        report: bool = True,
    ) -> Run:
        """Run the search, and wait for its end.

        Parameters
        ----------
        out : path, optional
            Run folder, which must hold no run; ``runs/NAME`` by default.
        evaluations, workers, seed : int, optional
            Instead of those of the campaign.
        callbacks : sequence of callable
            ``callback(run, evaluation)`` is called after each evaluation, which is in
            the journal by then. `Run.stop` ends the run; so does an exception, which is
            raised again here once the results so far are written. In both cases nothing
            that was reported is lost, and `Run.resume` goes on.
        progress : bool
            Whether to show how it goes: a bar in a notebook, lines elsewhere.
        report : bool
            Whether to write the page and its figures at the end; `Run.report` does it
            at any time.

        Returns
        -------
        Run
            Also if it was interrupted by Ctrl-C or the notebook's stop button: `state`
            says so, `resume` goes on.

        Raises
        ------
        AutoloopError
            If the run cannot start; then nothing was written.
        """
        changes = {
            "budget.evaluations": evaluations,
            "execution.workers": workers,
            "seed": seed,
        }
        with self.placed(out, changes) as (loaded, folder):
            return Run(folder).begin(
                loaded, callbacks, progress=progress, report=report
            )

    def ask_tell(
        self, *, out: str | os.PathLike[str] | None = None, seed: int | None = None
    ) -> Session:
        """Drive the search yourself: ask for candidates, tell what became of them.

        Parameters
        ----------
        out : path, optional
            Run folder that keeps the record; without it there is none afterwards.
        seed : int, optional
            Instead of that of the campaign.
        """
        from autoloop.interface.session import Session

        return Session.begin(self, out=out, seed=seed)

    @contextmanager
    def placed(
        self, out: str | os.PathLike[str] | None, changes: Mapping[str, Any]
    ) -> Iterator[tuple[LoadedCampaign, Path]]:
        """Yield the campaign as it can be run, checked, and a folder for the run.

        Whatever fails before there is a journal leaves no trace.
        """
        with self._errors():
            loaded = load_campaign(
                self._loaded.path,
                {key: value for key, value in changes.items() if value is not None},
                text=self._loaded.text,
            )
            folder = default_folder(loaded) if out is None else Path(out)
            with run_folder(loaded, self._image, folder) as loaded:
                check_campaign(loaded)
                yield loaded, folder

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Let errors speak of calls; of lines only where there is a file."""
        path = self._loaded.path
        with in_calls("" if path.is_file() else str(path)):
            yield

    def __repr__(self) -> str:
        rows = summary(self.settings, self._image)
        what = "; ".join(f"{name} {value}" for name, value in rows if value)
        return f"Campaign({self.name}: {what})"

    def _repr_html_(self) -> str:
        rows = summary(self.settings, self._image)
        warnings = [("warning", warning) for warning in self.warnings]
        shown = picture(self._loaded, self._image)
        return card(f"Campaign {self.name}", [*rows, *warnings], shown)
