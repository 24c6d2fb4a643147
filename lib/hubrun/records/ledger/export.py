"""A run as one archive that can be verified with `ssh-keygen` and `sha256sum` alone."""

from __future__ import annotations

import datetime
import io
import struct
import tarfile
import zlib
from pathlib import Path

from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import atomic_write, manifest
from hubrun.records.ledger.contents import attempts
from hubrun.records.ledger.export_readme import ALLOWED, README, SUMS, allowed_line, readme
from hubrun.records.ledger.history import Run
from hubrun.records.ledger.verify_history import verify_run


def export(run: Run, target: Path | None = None) -> Path:
    """Write the run into one `.tar.gz`, the same bytes for the same run on any machine; the file that was written.

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
    path = target / f"{name}.tar.gz" if target.is_dir() else target
    content = _zipped(_archive(name, _files(run), found.started))
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
    if lines := sorted({allowed_line(record) + "\n" for record in records if record.signer.fingerprint}):
        files[ALLOWED] = "".join(lines).encode()
    files[README] = readme(every, records).encode()
    sums = "".join(f"{manifest.sha256(files[name])}  {name}\n" for name in sorted(files))
    return files | {SUMS: sums.encode()}


def _archive(name: str, files: dict[str, bytes], started: str) -> bytes:
    when = datetime.datetime.fromisoformat(started)
    when = when if when.tzinfo else when.replace(tzinfo=datetime.UTC)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(files):
            member = tarfile.TarInfo(f"{name}/{path}")  # of root, 0644, whatever they are here
            member.size, member.mtime = len(files[path]), int(when.timestamp())
            tar.addfile(member, io.BytesIO(files[path]))
    return archive.getvalue()


def _zipped(content: bytes) -> bytes:
    """`content` in gzip's form, stored: RFC 1952, and RFC 1951 section 3.2.4.

    Deflate's output differs between zlib's versions and kin (zlib-ng), and the bytes are to be the same everywhere.
    """
    blocks = [content[i : i + 65535] for i in range(0, len(content), 65535)]
    body = b"".join(
        struct.pack("<BHH", block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block for block in blocks
    )
    # Magic, deflate, no flags, no time, no extra flags, operating system unknown.
    head = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, 0, 0, 0, 255)
    return head + body + struct.pack("<II", zlib.crc32(content), len(content) % 2**32)
