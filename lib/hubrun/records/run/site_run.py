"""One run: the runbooks in order through papermill, and the record that is kept of it."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hubrun import atomic_write
from hubrun.environment import PROJECT
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.records.ledger import close, drift, inventory, manifest, provenance, signature
from hubrun.records.ledger.clock import CLOCK
from hubrun.records.ledger.history import ASKED, History
from hubrun.records.ledger.history import Run as Kept
from hubrun.records.ledger.manifest import Cause, Link, Manifest, Mode, Packages, Record, RunbookRecord, Signer, Status
from hubrun.records.ledger.steps import Listener, derive, now, seconds_between
from hubrun.records.run import resume, twins
from hubrun.records.run.signals import REASONS, Stopped, at_once, on_signal
from hubrun.redaction.redact import HERE
from hubrun.ssh.prefetch_store import ProbeStore, RunbookProbes, left_over

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from hubrun.records.run.kernels import SharedKernel
    from hubrun.records.run.notebook_saver import NotebookSaver

# A record has some hundred kB. With less than this free, in bytes, none is begun.
ROOM = 20 << 20
UNSIGNED = Signer(unsigned="no key was given")
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class KeptNotebook(Protocol):
    """An executed notebook as it was saved last: without secrets, how often each was taken out, and what is not on disk."""

    kept: NotebookNode | None
    counts: Counter[str]
    error: OSError | None
    unsaved: str


@dataclass
class Run:
    """A run that goes on. `recovered`: runs that had been killed and were closed before this one began.

    closed: the record is complete. Else `rescued` is where it is in its place; without that, some of it is lost.
    """

    site: Site
    history: History
    folder: Path
    statement: Manifest
    books: list[Path]
    key: signature.Key | None = None
    recovered: list[Kept] = field(default_factory=list)
    closed: Link | None = None
    rescued: Path | None = None
    _unsaved: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """What the manifest says of this run so far."""
        return self.statement.predicate

    # -- while it goes on

    def inspect_server(self, server: inventory.Asked) -> None:
        """Take down what the server is and what is installed there."""
        self.record.server = server.identity()
        self.record.packages = Packages(before=inventory.packages(server))
        self._write()

    def execute(self, listen: Callable[[RunbookRecord], Listener], kernel: SharedKernel) -> None:
        """Run the runbooks until one does not end well. `listen` makes the listener for each. Raises Stopped.

        A plan goes on behind one that failed by an error of its own: what differs in the others is to be known too.
        """
        entries = {book.name: book for book in self.record.runbooks}
        memory = ProbeStore(self.site.site, self.record.server.get("host_key", ""))
        expected = dict(memory.runbooks)
        asked_here: list[str] = []
        try:
            for path in self.books:
                entry = entries[HERE.text(path.stem)]
                following = self.books[self.books.index(path) :]
                asked = RunbookProbes(expected=[memory.runbooks.get(book.stem, []) for book in following])
                try:
                    self._execute_one(path, entry, listen(entry), kernel, asked)
                finally:
                    asked_here += [each.script for each in asked.asked]
                if entry.status in ("failed", "interrupted"):
                    if self.record.mode == "check" and entry.cause == "error":
                        continue
                    return
                memory.learn(path.stem, asked.asked, everything=self.record.mode == "install")
        finally:
            books = [path.stem for path in self.books]
            self.record.asked_ahead = left_over(expected, books, asked_here, self.record.mode == "install")
            with contextlib.suppress(OSError):  # the next run asks one after another then
                memory.save()

    def _execute_one(
        self, path: Path, entry: RunbookRecord, listener: Listener, kernel: SharedKernel, asked: RunbookProbes
    ) -> None:
        import papermill  # slow to import: `hubrun --help` must not wait for it

        logging.getLogger("papermill").setLevel(logging.ERROR)
        before = [
            book.name for book in self.record.runbooks if any(step.status == "would change" for step in book.steps)
        ]
        asked.pending = ", ".join(before)
        entry.status, entry.started, entry.file = "running", now(), f"{entry.name}.ipynb"
        self._write()
        savers: list[NotebookSaver] = []
        failure: BaseException | None = None
        try:
            papermill.execute_notebook(
                str(path),
                str(self.folder / entry.file),
                parameters=self.site.given() | ({"check": True} if self.record.mode == "check" else {}),
                engine_name="hubrun",
                progress_bar=False,
                cwd=str(PROJECT),
                listener=listener,
                savers=savers,
                kernel=kernel,
                asked=asked,
            )  # fmt: skip
        except KeyboardInterrupt as stopped:
            failure = stopped
            raise
        except Exception as error:  # of the cell, the kernel, nbclient or papermill: what is kept says which
            failure = error
        finally:
            self._conclude(entry, savers[0] if savers else None, failure)
            # Else the manifest is written when the next one begins, or the run ends: of a kill in between, the notebook says
            # all. What ended a run stands in no cell, and looking at the server once more takes a while.
            if entry.status in ("failed", "interrupted"):
                self._write()

    def _conclude(self, entry: RunbookRecord, saver: NotebookSaver | None, failure: BaseException | None) -> None:
        """The entry of a runbook that has ended, from the notebook that was kept of it."""
        kept = saver.kept if saver else None
        self.take_in(entry, saver)
        entry.ended = now()
        entry.seconds = seconds_between(entry.started, entry.ended)
        # A signal that comes while a cell begins: the notebook says that it was interrupted, and not by what.
        unexplained = isinstance(failure, KeyboardInterrupt) and not entry.cause
        if failure is None or (entry.status in ("failed", "interrupted") and not unexplained):
            return
        if isinstance(failure, KeyboardInterrupt):
            cause = _cause(failure)
            entry.status, entry.cause, entry.reason = "interrupted", cause, REASONS[cause]
        elif not (isinstance(failure, OSError) and failure.errno in _DISK and kept):
            reason = HERE.text(f"{type(failure).__name__}: {failure}")
            entry.status, entry.cause, entry.reason = "failed", "error", reason

    def take_in(self, entry: RunbookRecord, notebook: KeptNotebook | None) -> None:
        """Let a runbook's entry say what was kept of it; entry.file: where it should be."""
        executed = self.folder / entry.file
        if notebook and notebook.kept:
            self._counts[entry.file] = notebook.counts
            close.summarize(entry, notebook.kept)
        if notebook and notebook.error:
            self._unsaved[entry.file] = notebook.unsaved
            entry.sha256 = manifest.sha256(notebook.unsaved.encode())
        elif executed.exists():
            entry.sha256 = manifest.sha256(executed.read_bytes())
        else:
            entry.file = ""

    def _write(self) -> None:
        """manifest.json as it stands. What cannot be written now may be later; `finish` says when it could not."""
        with contextlib.suppress(OSError):
            atomic_write.write(self.folder / manifest.FILE, manifest.encode(self.data()))

    def data(self) -> dict[str, Any]:
        """The manifest without secrets; how often each was taken out is counted in it."""
        counts: Counter[str] = Counter()
        for each in self._counts.values():
            counts.update(each)
        # Packages apart, and not by their names: one is called passwd, and its version is not a password.
        packages = self.record.packages.model_dump()
        clean: dict[str, Any] = HERE.data(
            self.statement.model_dump(by_alias=True, exclude={"predicate": {"packages"}}), counts
        )
        clean["predicate"]["packages"] = {
            when: found and {name: HERE.text(version, counts) for name, version in found.items()}
            for when, found in packages.items()
        }
        record = clean["predicate"]
        record["redactions"] = dict(sorted(counts.items()))
        # of what the manifest shows, so that anyone can compute it
        parameters = json.dumps(record["parameters"], sort_keys=True, separators=(",", ":"))
        record["parameters_sha256"] = manifest.sha256(parameters.encode())
        return clean

    # -- its end

    def finish(self, server: inventory.Asked | None, ended_by: BaseException | None = None) -> None:
        """Close the record. `ended_by`: what ended the run beside its runbooks, if something did.

        server: to look once more at what is installed; None where a person had the only connection.
        """
        if server:
            self.record.packages.after = inventory.packages_again(server, self.site)
        ended = now()
        self.record.clock = CLOCK.steps
        close.set_outcome(self.statement, ended, *self._outcome(ended_by))
        if self.record.mode == "check":
            drift.trace(self.history, self.record)
        clean = Manifest.model_validate(self.data())
        try:
            for name, text in self._unsaved.items():
                atomic_write.write(self.folder / name, text.encode())
            self.closed = close.close(self.history, self.folder, clean, self.key)
        except OSError as error:
            self._rescue(clean, error)
        self.statement = clean

    def _outcome(self, ended_by: BaseException | None) -> tuple[Status, Cause, str]:
        bad = [book for book in self.record.runbooks if book.status in ("failed", "interrupted")]
        if bad:
            last = bad[-1]  # where an interrupt is, nothing comes behind it
            said = []
            for book in bad:
                step = next((step.title for step in book.steps if step.status == book.status), "")
                said.append(", ".join(filter(None, [book.name, step])) + f": {book.reason}")
            return last.status, last.cause, "; ".join(said)
        if isinstance(ended_by, KeyboardInterrupt):
            cause = _cause(ended_by)
            return "interrupted", cause, REASONS[cause]
        if ended_by:
            return "failed", "error", str(ended_by)
        statuses = {book.status for book in self.record.runbooks}
        order: tuple[Status, ...] = ("changed", "would change")
        left: Status = "not run" if statuses == {"not run"} else "ok"
        return next((status for status in order if status in statuses), left), "", ""

    def _rescue(self, clean: Manifest, error: OSError) -> None:
        """What could not be written to the record's folder, in a folder for temporary files; the install is done."""
        clean.predicate.signer = Signer(unsigned=f"{self.folder} could not be written: {error.strerror}")
        with contextlib.suppress(OSError):  # that place may be full as well
            folder = Path(tempfile.mkdtemp(prefix=f"hubrun-record-{self.site.site}-"))
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
            for name, text in self._unsaved.items():
                atomic_write.write(folder / name, text.encode())
            atomic_write.write(folder / manifest.FILE, clean.encoded())
            self.rescued = folder


def _cause(stopped: KeyboardInterrupt) -> Cause:
    return stopped.cause if isinstance(stopped, Stopped) else "Ctrl-C"


def runbooks(first: str = "", only: str = "") -> list[Path]:
    """The runbooks of an install in order: from the one whose name begins with `first`, or the one that begins with `only`.

    A number may leave out its zero. Raises BadInput when no runbook begins so, or when one of them differs from its twin.
    """
    every = _kept("0[0-9]_*.ipynb")
    names = ", ".join(path.stem for path in every)
    found: list[list[int]] = []
    for wanted, option in ((first, "--from"), (only, "--only")):
        begins = wanted.zfill(2) if wanted.isdigit() else wanted
        found.append([number for number, path in enumerate(every) if path.stem.startswith(begins)])
        if not found[-1]:
            if any(path.stem.startswith(wanted) for path in _kept(_OPERATION)):
                raise BadInput(f"{wanted} is not part of an install", option, f"Use ./hubrun run {wanted}")
            raise BadInput(f"there is no runbook {wanted}", option, f"There are {names}")
    chosen = [every[number] for number in found[1]] if only else every[found[0][0] :]
    twins.check(chosen)
    return chosen


def operation(name: str) -> list[Path]:
    """The one runbook of operation that `name` means: its number ("10"), its name ("backup"), or both ("10_backup").

    Raises BadInput when there is none, or when it differs from its twin.
    """
    every = _kept(_OPERATION)
    found = [path for path in every if name in (path.stem, *path.stem.split("_", 1))]
    if not found:
        install = any(name in (path.stem, *path.stem.split("_", 1)) for path in _kept("0[0-9]_*.ipynb"))
        raise BadInput(
            f"there is no runbook of operation {name}",
            "./hubrun run",
            f"It is part of an install: ./hubrun install --only {name[:2]}"
            if install
            else f"There are {', '.join(path.stem for path in every)}",
        )
    twins.check(found)
    return found


_OPERATION = "[1-9][0-9]_*.ipynb"


def _kept(pattern: str) -> list[Path]:
    return sorted((PROJECT / "runbooks").glob(pattern))


@contextlib.contextmanager
def opened(
    site: Site, mode: Mode, records: Path, books: Sequence[Path],
    key: signature.Key | None = None, signer: Signer = UNSIGNED, again: bool = False,
) -> Iterator[Run]:  # fmt: skip
    """A run with its folder made; `again`: it goes on with the last one. The block is the only run of its site.

    key: what signs the record; signer: the same for the manifest, or why there is none.

    Signals that end a process raise Stopped in the block. Raises BadInput when nothing can be written there, when
    another run goes on, or when there is nothing to go on with: before the server is touched.
    """
    HERE.learn_environment(os.environ)
    history = History(records, site.site)
    with contextlib.ExitStack() as stack:
        try:
            history.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(history.alone())
            with contextlib.suppress(FileNotFoundError):
                os.unlink(history.folder / ASKED)
            if shutil.disk_usage(history.folder).free < ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            recovered = close.recover(history, key)
            resumes, left = resume.failed_run(history, books) if again else (None, list(books))
            record = provenance.new_record(
                history, mode, signer, resumes=resumes,
                parameters=site.given(), runbooks=[_entry(path) for path in left],
            )  # fmt: skip
            run = Run(site, history, history.folder / record.run, Manifest(predicate=record), left, key, recovered)
            run.folder.mkdir()
            atomic_write.write(run.folder / manifest.FILE, manifest.encode(run.data()))
        except OSError as error:
            raise BadInput(
                f"the record cannot be written: {error.strerror}", str(history.folder), "Give another place with --records"
            ) from None  # fmt: skip
        stack.enter_context(on_signal(at_once))
        yield run


def _entry(path: Path) -> RunbookRecord:
    """A runbook that is still to be run, with its steps."""
    import nbformat

    content = path.read_bytes()
    steps = derive(nbformat.reads(content.decode(), as_version=4))
    return RunbookRecord(name=HERE.text(path.stem), source_sha256=manifest.sha256(content), steps=steps)
