"""A tar of files that are in memory: for a server, a container, an archive."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping


def packed(files: Mapping[str, bytes], time: int = 0, modes: Mapping[str, int] | None = None) -> bytes:
    """The tar of these files, path → content, of root, 0644 unless `modes` says otherwise; the same bytes on any machine.

    time: when they were changed, in seconds since 1970.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mtime, member.mode = len(content), time, (modes or {}).get(path, 0o644)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()
