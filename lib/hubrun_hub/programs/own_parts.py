"""Before the hub starts: the operator's own parts of its configuration are tried when they are new.

Where they do not load, those with which it last started go on, and the journal says what is wrong. Otherwise the hub would
end at each start, again and again, and nobody could log in. Root's (ExecStartPre=+ in jupyterhub.service): what is kept
must not be the hub's to change. Arguments: the hub's account, and the hub's Python.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from hubrun_hub.config_parts import OURS

FOLDER = Path("/etc/jupyterhub")
# Read by jupyterhub.service just before it starts the hub: systemd.exec(5), EnvironmentFile=.
ENVIRONMENT = Path("/run/jupyterhub-own-parts.env")
SECONDS = 60


def choose(folder: Path, environment: Path, wrong: Callable[[], str | None]) -> str:
    """Say in `environment` which parts count; return what is wrong with the new ones when they are passed over.

    wrong: what is wrong with the configuration that is there; "" when it loads, None when that is not known. Raises OSError.
    """
    kept = folder / "conf.d.loaded"
    environment.unlink(missing_ok=True)
    now = {part.name: part.read_bytes() for part in (folder / "conf.d").glob("*.py") if part.name not in OURS}
    before = {part.name: part.read_bytes() for part in kept.glob("*.py")} if kept.is_dir() else None
    if now == before:
        return ""
    problem = wrong()
    if problem is None:
        return ""
    if not problem:
        fresh = folder / "conf.d.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        for name, content in now.items():
            (fresh / name).write_bytes(content)
        for each, mode in [(fresh, 0o750), *((fresh / name, 0o640) for name in now)]:
            os.chown(each, -1, folder.stat().st_gid)  # the hub reads it, as it does the folder
            each.chmod(mode)
        shutil.rmtree(kept, ignore_errors=True)
        fresh.rename(kept)
        return ""
    if before is not None:
        environment.write_text(f"HUBRUN_OWN_PARTS={kept}\n")
    return problem


def _wrong(account: str, python: str) -> str | None:
    program, config = str(Path(__file__).parents[1]), FOLDER / "jupyterhub_config.py"
    check = [python, "-I", "-B", program, "check_config", str(config), *OURS, config.name]
    done = subprocess.run(
        ["/usr/sbin/runuser", "-u", account, "--", *check],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return ""
    # Another code than 1, or no word: it was not tried, and it is not the operator's part that is at fault.
    return done.stdout.strip() or None if done.returncode == 1 else None


def main() -> int:
    """Choose, and say what was chosen where that is not the new; the exit code is always 0, for the hub starts anyway."""
    account, python = sys.argv[1:3]
    try:
        problem = choose(FOLDER, ENVIRONMENT, lambda: _wrong(account, python))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"<3>your part of the configuration could not be tried: {error}", file=sys.stderr)
        return 0
    for line in problem.splitlines():
        print(f"<3>{line}", file=sys.stderr)
    if problem:
        then = "the hub goes on with those that loaded last" if ENVIRONMENT.exists() else "there are none from before"
        print(
            f"<3>your parts in conf.d do not load: {then}. Correct what is named, and restart the hub", file=sys.stderr
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
