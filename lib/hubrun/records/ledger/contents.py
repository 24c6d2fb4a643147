"""What is in a run's folder against what its manifests say: changed, missing and added files, signatures."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hubrun import atomic_write
from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import manifest, signature
from hubrun.records.ledger.history import SIGNATURE, Run
from hubrun.records.ledger.manifest import Manifest, Record
from hubrun.records.ledger.report import Report

_OWN = (manifest.FILE, SIGNATURE)


@dataclass(frozen=True)
class Attempt:
    """A manifest on disk. place: its path from the records folder. run, number: what its folder says it is.

    statement: None when it cannot be read, and `problem` says why.
    """

    place: str
    run: str
    number: int
    content: bytes = b""
    statement: Manifest | None = None
    problem: str = ""

    @property
    def sha256(self) -> str:
        """The digest of its manifest, in hex."""
        return manifest.sha256(self.content)

    @property
    def running(self) -> bool:
        """Whether its manifest says that the run goes on; that of a run that was killed says so too."""
        return self.statement is not None and self.statement.predicate.status == "running"


def attempts(run: Run) -> list[Attempt]:
    """The manifests of a run, first attempt first. Raises OSError when its folder cannot be read."""
    return [_attempt(run, folder, number) for number, folder in enumerate(run.attempts(), 1)]


def _attempt(run: Run, folder: Path, number: int) -> Attempt:
    path = folder / manifest.FILE
    place = f"{run.site}/{run.name}/{path.relative_to(run.folder)}"
    content = b""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # reading a pipe would wait for ever
            raise BadInput("is not a file, but a link or something else")
        content = path.read_bytes()
        return Attempt(place, run.name, number, content, manifest.parse(content, path))
    except FileNotFoundError:
        problem = "the manifest is missing: the run was half deleted, or was not made by hubrun"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except BadInput as error:
        problem = error.what
    return Attempt(place, run.name, number, content, problem=problem)


class Folder:
    """A run's folder while it is checked; what is wrong goes into `report`."""

    def __init__(self, run: Run, report: Report, allowed_signers: Path | None) -> None:
        self.run = run
        self.place = f"{run.site}/{run.name}"
        self.report = report
        self.allowed_signers = allowed_signers

    def check(self, found: list[Attempt], of_site: bool) -> None:
        """Check its manifests, which were `found`, and its files. of_site: the folder above is its site's. Raises OSError."""
        folders = self.run.attempts()
        for folder, attempt in zip(folders, found, strict=True):
            self._manifest(folder, attempt, of_site)
            if folder == self.run.folder:
                continue
            if folder.name != f"attempt-{attempt.number}":
                self.report.find(f"{self.place}/attempt-{attempt.number}", "this attempt is missing")
            if attempt.running:
                self.report.find(attempt.place, "says that it goes on, and another attempt followed it")
            elif attempt.statement:
                self._superseded(attempt.statement, folders[attempt.number - 1 :])
        if found[-1].statement and not found[-1].running:
            self._complete(found[-1].statement)

    def _manifest(self, folder: Path, attempt: Attempt, of_site: bool) -> None:
        if not attempt.statement:
            self.report.find(attempt.place, attempt.problem)
            return
        record = attempt.statement.predicate
        if record.run != attempt.run:
            self.report.find(attempt.place, f"is the manifest of the run {record.run}")
        elif of_site and record.site != self.run.site:
            self.report.find(attempt.place, f"is the manifest of a run for the site {record.site}")
        elif record.attempt != attempt.number:
            what = f"is the manifest of attempt {record.attempt}, and this is attempt {attempt.number}"
            self.report.find(attempt.place, what)
        if not attempt.running:
            self._signature(attempt, record, folder / SIGNATURE)

    def _signature(self, attempt: Attempt, record: Record, file: Path) -> None:
        signer, report = record.signer, self.report
        if not signer.fingerprint:
            report.unsigned += 1
            if file.exists():
                report.find(attempt.place + ".sig", "there is a signature, and the manifest says that it has none")
            return
        report.signed += 1
        if not file.is_file():
            report.find(attempt.place + ".sig", "the signature is missing")
            return
        try:
            if signature.fingerprint(signer.public_key) != signer.fingerprint:
                raise signature.BadSignature("the manifest names a key, and another key's fingerprint")
            fingerprint, principal = signature.check(attempt.content, file, self.allowed_signers, record.ended)
        except signature.BadSignature as error:
            report.find(attempt.place, f"the signature is not good: {error.what}")
        except (HubrunError, OSError) as error:
            report.find(attempt.place, f"the signature cannot be checked: {error}")
        else:
            if fingerprint == signer.fingerprint:
                report.signers[fingerprint] = principal
            else:
                what = f"is signed by {fingerprint}, and names {signer.fingerprint} as its signer"
                report.find(attempt.place, what)

    def _superseded(self, statement: Manifest, folders: list[Path]) -> None:
        """The files of an earlier attempt; those that were made again are kept in the folder of an attempt."""
        for subject in statement.subject:
            places = [folder / subject.name for folder in folders]
            path = next((path for path in places if path.is_file()), places[-1])
            self._compare(subject, path)

    def _complete(self, statement: Manifest) -> None:
        """The files of a closed run: those that its manifest names, and no others."""
        wanted = {subject.name for subject in statement.subject}
        for path in sorted(self.run.folder.rglob("*")):  # links are not followed
            name, mode = str(path.relative_to(self.run.folder)), path.lstat().st_mode
            place = f"{self.place}/{name}"
            if stat.S_ISDIR(mode):
                if not any(each.startswith(name + "/") for each in wanted):
                    self.report.find(place, "this folder was added: the manifest does not know it")
            elif not stat.S_ISREG(mode):
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "a device, socket or pipe"
                self.report.find(place, f"is {kind}, which no run makes")
            elif name in wanted or name in _OWN:
                continue
            elif name.endswith(atomic_write.BESIDE):
                self.report.find(place, "is left of a write that was cut short, or was added", "Remove it")
            else:
                self.report.find(place, "this file was added: the manifest does not name it")
        for subject in statement.subject:
            self._compare(subject, self.run.folder / subject.name)

    def _compare(self, subject: manifest.Subject, path: Path) -> None:
        self.report.files += 1
        if Path(subject.name).is_absolute() or ".." in Path(subject.name).parts:
            self.report.find(f"{self.place}/{manifest.FILE}", f"names a file outside of its folder: {subject.name}")
            return
        place = f"{self.place}/{path.relative_to(self.run.folder)}"
        if not os.path.lexists(path):
            self.report.find(place, "this file is missing: the manifest names it")
        elif not stat.S_ISREG(path.lstat().st_mode):
            self.report.find(place, "is not a file, and the manifest names a file")
        else:
            try:
                digest = manifest.sha256(path.read_bytes())
            except OSError as error:
                self.report.find(place, f"cannot be read: {error.strerror}")
                return
            if digest != subject.digest.sha256:
                self.report.find(place, "this file was changed: the manifest names another SHA-256")
