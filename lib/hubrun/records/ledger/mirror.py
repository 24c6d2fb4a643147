"""A copy of each closed run elsewhere: in a folder (another disk, a network share), or on another machine by SSH.

What is in the other place is what an auditor compares with: who can write here need not be able to write there.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger.history import HEAD, History
from hubrun.shell import quote

SECONDS = 300
# As scp(1) tells them apart: a colon before any slash. The user is asked for, so that C:\ or a typing error is none.
_FAR = re.compile(r"(?P<login>[A-Za-z0-9_][\w.-]*@(?:[A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:.%\w]+\])):(?P<path>.+)")
# tar comes with every system that has a shell; unlike scp and sftp this can replace a folder in one move. head.json
# comes last in the archive: without it the stream was cut short, and `set -e` ends this. A folder here is one more place
# with a shell.
_RECEIVE = """set -eu
cd -- {}
mkdir -p {}
cd {}
rm -rf .mirror.new .mirror.old
mkdir .mirror.new
tar -xf - -C .mirror.new
test -f .mirror.new/head.json
sync -f .mirror.new 2>/dev/null || true
if [ -e {} ]; then mv {} .mirror.old; fi
mv .mirror.new/{} {}
mv .mirror.new/head.json head.json
rm -rf .mirror.new .mirror.old
"""


def check_target(text: str) -> None:
    """Raises BadInput when `text` cannot be a mirror: neither a folder that can be written, nor user@host:path."""
    where = "parameter records_mirror"
    if ":" in text.partition("/")[0]:
        if not _FAR.fullmatch(text):
            raise BadInput(f"{text} is not of the form user@host:path", where, "A folder, or user@host:path")
        return
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise BadInput(f"there is no folder {text}", where, "Make it, or mount what it is on")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"the folder {text} cannot be written", where, "Let your account write there")


def mirror(history: History, folder: Path, target: str) -> None:
    """Copy the closed run in `folder` to TARGET/<site>/<run>/ and head.json beside it, over what is there.

    Raises HubrunError, or BadInput for a target that cannot be: the run itself has ended and is not touched.
    """
    check_target(target)
    far, command = _FAR.fullmatch(target), ["sh", "-c"]
    place = str(Path(target).expanduser())
    if far:
        place = far["path"].removeprefix("~/") or "."  # a login begins at home; quoted, ~ would be a name
        login = far["login"].replace("[", "").replace("]", "")
        options = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=10")
        command = ["ssh", "-T", *(f"-o{option}" for option in options), "--", login]
    run, remedy = folder.name, f"The run is kept in {folder}; copy it by hand, or repair records_mirror"
    script = quote(_RECEIVE, place, history.site, history.site, run, run, run, run).encode()
    try:
        done = subprocess.run(
            # One plain line: the login's shell there may be csh or fish. The script comes before the archive.
            [*command, f"sh -c 'eval \"$(head -c {len(script)})\"'"],
            input=script + _archive(history, folder),
            capture_output=True,
            env=os.environ | {"SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
            timeout=SECONDS,
            start_new_session=True,
        )
    except FileNotFoundError:
        what = f"there is no {command[0]} on this machine"
        raise HubrunError(what, target, "Debian: apt-get install openssh-client") from None
    except subprocess.TimeoutExpired:
        raise HubrunError(f"the record was not copied within {SECONDS} s", target, remedy) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"{command[0]} ended with {done.returncode}"
        raise HubrunError(f"the record was not copied: {reason}", target, remedy)


def _archive(history: History, folder: Path) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, folder.name)
        tar.add(history.folder / HEAD, HEAD)
    return archive.getvalue()
