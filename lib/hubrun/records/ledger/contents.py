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
from hubrun.records.ledger.manifest import Manifest
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
    problem: BadInput | None = None

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
        problem = BadInput("the manifest is missing: the run was half deleted, or is none of hubrun")
    except OSError as error:
        problem = BadInput(f"cannot be read: {error.strerror}")
    except BadInput as error:
        problem = error
    return Attempt(place, run.name, number, content, problem=problem)


class Folder:
    """A run's folder while it is checked; what is wrong goes into `report`."""

    def __init__(self, run: Run, report: Report, allowed_signers: Path | None) -> None:
        self.run = run
        self.place = f"{run.site}/{run.name}"
        self.report = report
        self.allowed_signers = allowed_signers
        self._digests: dict[Path, str] = {}

    def check(self, of_site: bool) -> list[Attempt]:
        """Its manifests, first attempt first, after all was checked. of_site: the folder above is its site's."""
        self.report.runs += 1
        try:
            return self._check(of_site)
        except OSError as error:
            self.report.find(self.place, f"cannot be read: {error.strerror}")
            return []

    def _check(self, of_site: bool) -> list[Attempt]:
        folders, found = self.run.attempts(), attempts(self.run)
        for folder, attempt in zip(folders, found, strict=True):
            self._one(folder, attempt, of_site)
            earlier = folder != self.run.folder
            if earlier and folder.name != f"attempt-{attempt.number}":
                self.report.find(f"{self.place}/attempt-{attempt.number}", "this attempt is missing")
            if earlier and attempt.running:
                self.report.find(attempt.place, "says that it goes on, and another attempt followed it")
            elif earlier and attempt.statement:
                self._superseded(attempt.statement, folders[attempt.number - 1 :])
        if found[-1].statement and not found[-1].running:
            self._complete(found[-1].statement)
        return found

    def _one(self, folder: Path, attempt: Attempt, of_site: bool) -> None:
        if attempt.problem:
            self.report.find(attempt.place, attempt.problem.what)
        if attempt.statement:
            self._identity(attempt, attempt.statement, of_site)
            if not attempt.running:
                self._signature(attempt, attempt.statement, folder / SIGNATURE)

    def _identity(self, attempt: Attempt, statement: Manifest, of_site: bool) -> None:
        record = statement.predicate
        if record.run != attempt.run:
            self.report.find(attempt.place, f"is the manifest of the run {record.run}")
        elif of_site and record.site != self.run.site:
            self.report.find(attempt.place, f"is the manifest of a run for the site {record.site}")
        elif record.attempt != attempt.number:
            self.report.find(
                attempt.place, f"is the manifest of attempt {record.attempt}, and this is attempt {attempt.number}"
            )

    def _signature(self, attempt: Attempt, statement: Manifest, file: Path) -> None:
        signer, report = statement.predicate.signer, self.report
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
            by = signature.check(attempt.content, file, self.allowed_signers, statement.predicate.ended)
        except signature.BadSignature as error:
            report.find(attempt.place, f"the signature is not good: {error.what}")
            return
        except (HubrunError, OSError) as error:
            report.find(attempt.place, f"the signature cannot be checked: {error}")
            return
        if by.fingerprint != signer.fingerprint:
            report.find(attempt.place, f"is signed by {by.fingerprint}, and names {signer.fingerprint} as its signer")
            return
        report.signers[by.fingerprint] = by.principal

    def _superseded(self, statement: Manifest, folders: list[Path]) -> None:
        """The files of an earlier attempt; those that were made again are kept in the folder of an attempt."""
        for subject in statement.subject:
            places = [folder / subject.name for folder in folders]
            path = next((path for path in places if path.is_file()), places[-1])
            self._compare(subject, path)

    def _complete(self, statement: Manifest) -> None:
        """The files of a closed run: those that its manifest names, and no others."""
        wanted = {subject.name: subject for subject in statement.subject}
        found = _entries(self.run.folder)
        for name, kind in found.items():
            place = f"{self.place}/{name}"
            if kind == "folder":
                if not any(each.startswith(name + "/") for each in wanted):
                    self.report.find(place, "this folder was added: the manifest does not know it")
            elif kind != "file":
                self.report.find(place, f"is {kind}, which no run makes")
            elif name in _OWN:
                continue
            elif name.endswith(atomic_write.BESIDE) and name not in wanted:
                self.report.find(place, "is left of a write that was cut short, or was added", "Remove it")
            elif name not in wanted:
                self.report.find(place, "this file was added: the manifest does not name it")
        for name, subject in wanted.items():
            self._compare(subject, self.run.folder / name)

    def _compare(self, subject: manifest.Subject, path: Path) -> None:
        inside = not Path(subject.name).is_absolute() and ".." not in Path(subject.name).parts
        place = f"{self.place}/{path.relative_to(self.run.folder) if inside else manifest.FILE}"
        self.report.files += 1
        if not inside:
            self.report.find(place, f"names a file outside of its folder: {subject.name}")
        elif not os.path.lexists(path):
            self.report.find(place, "this file is missing: the manifest names it")
        elif not stat.S_ISREG(path.lstat().st_mode):
            self.report.find(place, "is not a file, and the manifest names a file")
        else:
            try:
                digest = self._digests.get(path) or manifest.sha256(path.read_bytes())
            except OSError as error:
                self.report.find(place, f"cannot be read: {error.strerror}")
                return
            self._digests[path] = digest
            if digest != subject.digest.sha256:
                self.report.find(place, "this file was changed: the manifest names another SHA-256")


def _entries(folder: Path) -> dict[str, str]:
    """What is below a folder, by path from there: "file", "folder", or what it is else. Links are not followed."""
    found: dict[str, str] = {}
    for top, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(top, name)
            mode = path.lstat().st_mode
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "a device, socket or pipe"
            kind = "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else kind
            found[str(path.relative_to(folder))] = kind
    return dict(sorted(found.items()))
