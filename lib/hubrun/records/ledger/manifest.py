"""The manifest of a run: an in-toto Statement whose subjects are the files of the run's folder.

The outer form is the in-toto attestation framework's Statement v1 (`_type`, `subject` with digests,
`predicateType`, `predicate`); the predicate is ours, and `manifest.schema.json` beside this module describes it.
Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hubrun.errors import BadInput

FILE = "manifest.json"
SCHEMA = Path(__file__).with_name("manifest.schema.json")
VERSION = 1
STATEMENT = "https://in-toto.io/Statement/v1"
# A type URI is there to tell predicates apart and need not be an address (in-toto, field types: TypeURI).
PREDICATE = "urn:hubrun:record:v1"

Mode = Literal["install", "check", "prune", "interactive"]
# Of runs and runbooks. A step that checks nothing in check mode is "not checked" besides; one that is a list for a person,
# and has no cell to run, is "ticked".
Status = Literal["not run", "running", "ok", "changed", "would change", "failed", "interrupted"]
StepStatus = Status | Literal["not checked", "ticked"]
# Why something failed or was interrupted, for machines; `reason` says it for people.
# "stopped": by a person, in JupyterLab.
Cause = Literal[
    "", "error", "time-out", "kernel died", "connection lost", "Ctrl-C", "SIGTERM", "SIGHUP", "killed", "stopped"
]  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Digest(_Part):
    """SHA-256 of a file, in hex."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Subject(_Part):
    """A file of the run's folder. name: its path from there."""

    name: str
    digest: Digest


class Operator(_Part):
    """Who ran it: login and host name of the operator's machine. via: where its SSH session came from, if any."""

    login: str = ""
    host: str = ""
    via: str = ""


class Software(_Part):
    """The hubrun that ran. commit: of its checkout, empty where that is none. dirty: it held changes beyond it."""

    version: str
    commit: str = ""
    dirty: bool = False


class Packages(_Part):
    """Versions of what is installed on the server, as "deb nginx", "hub jupyterhub". None: could not be read."""

    before: dict[str, str] | None = None
    after: dict[str, str] | None = None


class Tick(_Part):
    """An item of a checklist that a person ticked. by: their login. at: when it was first seen ticked; UTC, ISO 8601."""

    item: str
    by: str
    at: str


class CellRun(_Part):
    """A cell of a step was run by a person in JupyterLab. cell: which of the step's code cells, from 1."""

    cell: int
    status: StepStatus
    cause: Cause = ""
    reason: str = ""
    started: str = ""
    ended: str = ""


class Step(_Part):
    """One heading of a runbook. started, ended: UTC, ISO 8601; empty while unknown. seconds: between them.

    results: what each resource came to, with actions and diff. checks: what was expected and what came.
    unchecked: checks that check mode left out. notes: what became known meanwhile of something else. ticked: what a
    person ticked in its text. runs: mode interactive only, each time that one of its cells was run, in order; the status
    is that of the last times, and the results are those of all.
    """

    title: str
    status: StepStatus = "not run"
    cause: Cause = ""
    reason: str = ""
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    results: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    unchecked: list[str] = []
    notes: list[str] = []
    ticked: list[Tick] = []
    runs: list[CellRun] = []


class RunbookRecord(_Part):
    """One attempt at one runbook. file: the executed notebook, from the run's folder; empty while there is none.

    source_sha256: of the notebook that was run; sha256: of the executed one. facts: what it glued (scrapbook).
    """

    name: str
    attempt: int = 1
    file: str = ""
    status: Status = "not run"
    cause: Cause = ""
    reason: str = ""
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    source_sha256: str = ""
    sha256: str = ""
    steps: list[Step] = []
    facts: dict[str, Any] = {}


class Link(_Part):
    """A closed manifest: its run, the attempt, and the SHA-256 of the file."""

    run: str
    attempt: int = 1
    sha256: str


class Pruned(Link):
    """A manifest that `records prune` removed. previous: SHA-256 of the manifest before it; empty for the first."""

    previous: str = ""


class Signer(_Part):
    """The key that signs (`manifest.json.sig`). unsigned: why there is no signature; empty when there is one."""

    fingerprint: str = ""
    public_key: str = ""
    unsigned: str = ""


class Record(_Part):
    """The predicate: what was done, by whom, with what, to which server, and what came of it.

    attempt: 1; earlier versions kept a resumed run in its own folder, and counted here. resumes: the failed run that this
    one goes on with. previous: the manifest that was closed before this one for the same site; null for the first.
    redactions: how often each secret was taken out, by name. pruned: mode prune only, the manifests that were removed, in
    the chain's order. asked_ahead: scripts that were run on the server because an earlier run had asked so, and that no
    step of this one is known to have asked.
    """

    version: int = VERSION
    run: str
    site: str
    mode: Mode
    attempt: int = 1
    status: Status = "running"
    cause: Cause = ""
    reason: str = ""
    started: str
    ended: str = ""
    seconds: float = 0.0
    operator: Operator = Operator()
    software: Software
    parameters: dict[str, Any] = {}
    parameters_sha256: str = ""
    server: dict[str, str] = {}
    packages: Packages = Packages()
    runbooks: list[RunbookRecord] = []
    asked_ahead: list[str] = []
    clock: list[str] = []
    resumes: Link | None = None
    redactions: dict[str, int] = {}
    previous: Link | None = None
    signer: Signer = Signer()
    pruned: list[Pruned] = []


class Manifest(_Part):
    """An in-toto Statement v1."""

    type_: Annotated[str, Field(alias="_type")] = STATEMENT
    subject: list[Subject] = []
    predicateType: str = PREDICATE
    predicate: Record

    def encoded(self) -> bytes:
        """The file's bytes."""
        return encode(self.model_dump(by_alias=True))


def encode(data: dict[str, Any]) -> bytes:
    """A manifest's data as the file holds it."""
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def read(folder: Path) -> Manifest:
    """The manifest of the run in `folder`.

    Raises BadInput for one that is not there, broken, not ours, or of a newer hubrun.
    """
    path = folder / FILE
    try:
        return parse(path.read_bytes(), path)
    except FileNotFoundError:
        raise BadInput("the run has no manifest", str(path), "It was half deleted, or is not a run of hubrun") from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", str(path)) from None


def parse(content: bytes, path: Path) -> Manifest:
    """The manifest in `content`, which was read from `path`. Raises BadInput as `read` does."""
    try:
        data = json.loads(content)
        version = data["predicate"].get("version")
        if isinstance(version, int) and version > VERSION:
            raise BadInput(
                f"the manifest has version {version}, and this hubrun knows {VERSION}",
                str(path),
                "Read it with a newer hubrun",
            )
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"is not a manifest of hubrun: {place}: {first['msg']}", str(path), _BROKEN) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput("is not a manifest of hubrun: not an in-toto statement", str(path), _BROKEN) from None


_BROKEN = "It was damaged, or not made by hubrun; `./hubrun records verify` names what else is wrong"


def moment(text: str) -> datetime.datetime:
    """A time of a manifest: ISO 8601, UTC where no zone is given. Raises ValueError."""
    when = datetime.datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=datetime.UTC)


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()
