"""A run as one archive that can be verified with `ssh-keygen` and `sha256sum` alone."""

from __future__ import annotations

import shlex
import tarfile
from collections.abc import Sequence
from pathlib import Path

from hubrun import atomic_write
from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import manifest, signature
from hubrun.records.ledger.contents import Attempt, attempts
from hubrun.records.ledger.history import Run
from hubrun.records.ledger.manifest import Record
from hubrun.records.ledger.verify_history import verify_run
from hubrun.tarball import packed

README = "README.txt"
SUMS = "SHA256SUMS"
ALLOWED = "allowed_signers.example"


def export(run: Run, target: Path | None = None) -> Path:
    """Write the run into one `.tar`, the same bytes for the same run on any machine; the file that was written.

    target: a folder (None: the current one), or the file itself. The archive holds one folder: the run's own, a
    README.txt, SHA256SUMS, and the signers' keys. Raises BadInput for a run that goes on or does not verify, and for
    a target that is another file; HubrunError when it cannot be written.
    """
    found = run.manifest().predicate
    if found.status == "running":
        raise BadInput(
            "the run goes on, or was killed and not closed", str(run.folder), "`./hubrun records list` tells"
        )
    report = verify_run(run)
    if not report.ok:
        raise BadInput(f"the run does not verify: {report.findings[0]}", str(run.folder), "An archive would not either")
    name = f"{found.site}-{found.run}"
    target = target or Path()
    path = target / f"{name}.tar" if target.is_dir() else target
    files = {f"{name}/{place}": content for place, content in sorted(_files(run).items())}
    content = packed(files, int(manifest.moment(found.started).timestamp()))
    try:
        if not path.exists():
            atomic_write.write(path, content)
        elif path.read_bytes() != content:
            raise BadInput("there is another file of this name", str(path), "Move it away, or give another name")
    except OSError as error:
        raise HubrunError(f"the archive cannot be written: {error.strerror}", str(path)) from None
    return path


def _files(run: Run) -> dict[str, bytes]:
    """What the archive holds, by path from its folder; nothing in it depends on where or when it is made."""
    own = {path for path in run.folder.rglob("*") if path.is_file()}
    files = {f"{run.name}/{path.relative_to(run.folder)}": path.read_bytes() for path in own}
    every = attempts(run)
    records = [attempt.statement.predicate for attempt in every if attempt.statement]
    if lines := sorted({_allowed_line(record) + "\n" for record in records if record.signer.fingerprint}):
        files[ALLOWED] = "".join(lines).encode()
    files[README] = _readme(every, records).encode()
    sums = "".join(f"{manifest.sha256(files[name])}  {name}\n" for name in sorted(files))
    return files | {SUMS: sums.encode()}


def _allowed_line(record: Record) -> str:
    return signature.allowed_line(record.signer, record.operator.login, record.operator.host)


def _readme(every: Sequence[Attempt], records: Sequence[Record]) -> str:
    """How to verify the run with `ssh-keygen` and `sha256sum` alone, from its manifests, first attempt first."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # no other command of the terminal needs it

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    shown = [
        (record, attempt.place.partition("/")[2], shlex.quote(_allowed_line(record).partition(" ")[0]))
        for record, attempt in zip(records, every, strict=True)
    ]
    return templates.get_template("export_readme.txt.j2").render(
        attempts=shown, last=records[-1], sha256=every[-1].sha256, namespace=signature.NAMESPACE
    )


def unpack(archive: Path, folder: Path) -> Run:
    """The run in an archive, unpacked into `folder`; those of earlier versions (.tar.gz) too.

    Raises BadInput for what is not such an archive, or would leave the folder.
    """
    try:
        with tarfile.open(archive) as tar:
            members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            for name, content in members.items():
                path = (folder / name).resolve()
                if not path.is_relative_to(folder.resolve()) or content is None:
                    raise BadInput(f"holds {name!r}, which is outside of it", str(archive))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    except (OSError, tarfile.TarError) as error:
        raise BadInput(f"is not an archive of a run: {error}", str(archive)) from None
    found = sorted(folder.glob(f"*/*/{manifest.FILE}"))
    if len(found) != 1:
        raise BadInput("holds no run, or several", str(archive), "`./hubrun records export` makes such archives")
    return Run(found[0].parent)
