"""The runs of a site on disk: `records/<site>/<run>/`, their order, and who may write."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hubrun import atomic_write
from hubrun.errors import BadInput
from hubrun.records.ledger import manifest
from hubrun.records.ledger.manifest import Link, Manifest

# UTC time and a random part: its name puts a run in order.
RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
# Superseded by a resumed run: its manifest and the notebooks that were run again.
ATTEMPT = re.compile(r"attempt-(\d+)")
SIGNATURE = manifest.FILE + ".sig"
# The newest manifest of the chain; without it nobody would miss a run that was taken from the end.
HEAD = "head.json"
LOCK = ".lock"
# Earlier versions kept questions there, which were run on the server. It is never read; a run removes it.
ASKED = ".asked.json"


@dataclass(frozen=True)
class Run:
    """A run's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """Its name, of the form `RUN`."""
        return self.folder.name

    @property
    def site(self) -> str:
        """The name of its site."""
        return self.folder.parent.name

    def manifest(self) -> Manifest:
        """The manifest of its last attempt. Raises BadInput when it cannot be used."""
        return manifest.read(self.folder)

    def attempts(self) -> list[Path]:
        """The folders that hold a manifest of this run, first attempt first; the last is the run's own folder."""
        earlier = [path for path in self.folder.iterdir() if path.is_dir() and ATTEMPT.fullmatch(path.name)]
        return [*sorted(earlier, key=lambda path: int(path.name.partition("-")[2])), self.folder]


class History:
    """What is kept of one site."""

    def __init__(self, records: Path, site: str) -> None:
        self.folder = records / site
        self.site = site

    def runs(self) -> list[Run]:
        """Its runs, oldest first; folders with another kind of name are none."""
        if not self.folder.is_dir():
            return []
        return [Run(path) for path in sorted(self.folder.iterdir()) if path.is_dir() and RUN.fullmatch(path.name)]

    def new_name(self) -> str:
        """A name for a run that begins now, of the form `RUN`; it comes after all others, whatever the clock says."""
        stamp, now = "%Y%m%dT%H%M%SZ", datetime.datetime.now(datetime.UTC)
        runs = self.runs()
        if runs:
            with contextlib.suppress(ValueError, OverflowError):  # a name that is not a time
                last = datetime.datetime.strptime(runs[-1].name.partition("-")[0], stamp).replace(tzinfo=datetime.UTC)
                now = max(now, last + datetime.timedelta(seconds=1))
        return f"{now:{stamp}}-{secrets.token_hex(3)}"

    def head(self) -> Link | None:
        """The newest closed manifest; None before the first. Raises BadInput when the file is damaged."""
        path = self.folder / HEAD
        try:
            return Link.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise BadInput(f"cannot be read: {type(error).__name__}", str(path), "records verify says more") from None

    def set_head(self, link: Link) -> None:
        """Write down that this manifest is the newest closed one. Raises OSError."""
        atomic_write.write(self.folder / HEAD, link.model_dump_json(indent=1).encode() + b"\n")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """For as long as the block runs nobody else runs something for this site, or changes its records.

        Raises BadInput when somebody does, OSError when nothing can be written. The kernel frees the lock of a
        process that was killed: flock(2).
        """
        with (self.folder / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(
                    f"another run for site {self.site} goes on", str(self.folder), "Wait for its end, or stop it"
                ) from None
            yield


def sites(records: Path) -> list[History]:
    """The sites that have records here, by name. Raises BadInput when `records` is not a folder that can be read."""
    try:
        folders = sorted(path for path in records.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        raise BadInput(
            "there are no records", str(records), "`./hubrun install` makes them; or give --records"
        ) from None
    except OSError as error:
        raise BadInput(f"the records cannot be read: {error.strerror}", str(records), "Give --records") from None
    every = [History(records, path.name) for path in folders]
    # A site whose runs were all removed has its head still: that is for `verify` to say.
    return [history for history in every if history.runs() or (history.folder / HEAD).exists()]


def find(records: Path, wanted: str) -> Run:
    """The run that `wanted` names: a run's folder, SITE/RUN, a run's name or a part of it, or a site for its last run.

    Empty: the last run of all. Raises BadInput when there is none, or more than one.
    """
    if (Path(wanted) / manifest.FILE).is_file() and wanted:
        return Run(Path(wanted).absolute())
    every = [run for history in sites(records) for run in history.runs()]
    if not every:
        raise BadInput("there are no runs", str(records), "`./hubrun install` makes them; or give --records")
    if not wanted:
        return max(every, key=lambda run: run.name)
    of_site = [run for run in every if run.site == wanted]
    if of_site:
        return of_site[-1]
    found = [run for run in every if wanted in f"{run.site}/{run.name}"]
    if not found:
        raise BadInput(f"there is no run {wanted}", str(records), "`./hubrun records list` shows them")
    if len(found) > 1:
        names = ", ".join(f"{run.site}/{run.name}" for run in found[:5])
        raise BadInput(f"{wanted} may be any of {len(found)} runs: {names}", str(records), "Give more of its name")
    return found[0]
