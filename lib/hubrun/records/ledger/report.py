"""What verifying the records found."""

from __future__ import annotations

from dataclasses import dataclass, field

from typing_extensions import override

from hubrun.records.ledger.manifest import Link


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was recorded. place: a path from the records folder. what: one sentence.

    leftover: a run that was pruned and whose folder is still there; pruning again removes it.
    """

    place: str
    what: str
    remedy: str = ""
    leftover: bool = False

    @override
    def __str__(self) -> str:
        return f"{self.place}: {self.what}" + (f". {self.remedy}" if self.remedy else "")


@dataclass
class Report:
    """What verifying found. notes: what is not a fault and should be known. files: how many digests were compared.

    signers: fingerprint → name in allowed_signers (empty where no such file was given). head: the newest closed
    manifest; whoever keeps it elsewhere can tell later that the end of an unsigned history was not made again.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    runs: int = 0
    files: int = 0
    signed: int = 0
    unsigned: int = 0
    signers: dict[str, str] = field(default_factory=dict)
    head: Link | None = None

    @property
    def ok(self) -> bool:
        """Whether there are no findings; notes do not count."""
        return not self.findings

    @property
    def text(self) -> str:
        """In words: what was looked at."""
        runs = f"{self.runs} run{'s' if self.runs != 1 else ''}, {self.files} files"
        return f"{runs}; {self.signed} signed, {self.unsigned} not signed"

    def find(self, place: str, what: str, remedy: str = "", leftover: bool = False) -> None:
        """Keep a finding, one for a place: the others follow from the first."""
        if all(finding.place != place for finding in self.findings):
            self.findings.append(Finding(place, what, remedy, leftover))

    def note(self, place: str, what: str) -> None:
        """Add something that the reader should know and that is not a fault. place: the file or run that it is about."""
        self.notes.append(Finding(place, what))
