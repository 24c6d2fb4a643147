"""A copy of each closed run elsewhere: in a folder (another disk, a network share), or on another machine by SSH.

What is in the other place is what an auditor compares with: who can write here need not be able to write there.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import atomic_write
from hubrun.records.ledger.history import HEAD, History
from hubrun.shell import quote

SECONDS = 300
# As scp(1) tells them apart: a colon before any slash. The user is asked for, so that C:\ or a typing error is none.
_FAR = re.compile(r"(?P<login>[A-Za-z0-9_][\w.-]*@(?:[A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:.%\w]+\])):(?P<path>.+)")
# The copy under way, and what it replaces: not at once under the final name.
_NEW, _OLD = ".mirror.new", ".mirror.old"
# tar comes with every system that has a shell; unlike scp and sftp this can replace a folder in one move. head.json
# comes last in the archive: without it the stream was cut short, and `set -e` ends this.
_RECEIVE = """set -eu
cd -- {}
mkdir -p {}
cd {}
rm -rf .mirror.new .mirror.old
mkdir .mirror.new
tar -xf - -C .mirror.new
test -f .mirror.new/head.json
if [ -e {} ]; then mv {} .mirror.old; fi
mv .mirror.new/{} {}
mv .mirror.new/head.json head.json
rm -rf .mirror.new .mirror.old
"""


def check_target(text: str) -> None:
    """Raises BadInput when `text` can be no mirror: neither a folder that can be written, nor user@host:path."""
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
    try:
        if far := _FAR.fullmatch(target):
            _far(history, folder, far["login"].replace("[", "").replace("]", ""), far["path"])
        else:
            _near(history, folder, Path(target).expanduser() / history.site)
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HubrunError(f"the record was not copied: {reason}", target, _remedy(folder)) from None


def _near(history: History, folder: Path, site: Path) -> None:
    new, old = site / _NEW, site / _OLD
    site.mkdir(exist_ok=True)
    for left in (new, old):
        if left.exists():
            shutil.rmtree(left)
    shutil.copytree(folder, new, symlinks=True)
    for path in new.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if (site / folder.name).exists():
        os.replace(site / folder.name, old)
    os.replace(new, site / folder.name)
    atomic_write.write(site / HEAD, (history.folder / HEAD).read_bytes())
    if old.exists():
        shutil.rmtree(old)


def _far(history: History, folder: Path, login: str, path: str) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, folder.name)
        tar.add(history.folder / HEAD, HEAD)
    run = folder.name
    start = path.removeprefix("~/") or "."  # a login begins at home; quoted, ~ would be a name
    script = quote(_RECEIVE, start, history.site, history.site, run, run, run, run)
    command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10"]
    try:
        done = subprocess.run(
            [*command, "--", login, script],
            input=archive.getvalue(),
            capture_output=True,
            env=os.environ | {"SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
            timeout=SECONDS,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise HubrunError("there is no ssh on this machine", login, "Debian: apt-get install openssh-client") from None
    except subprocess.TimeoutExpired:
        raise HubrunError(f"the record was not copied within {SECONDS} s", login, _remedy(folder)) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"ssh ended with {done.returncode}"
        raise HubrunError(f"the record was not copied: {reason}", f"{login}:{path}", _remedy(folder))


def _remedy(folder: Path) -> str:
    return f"The run is kept in {folder}; copy it by hand, or mend records_mirror"
