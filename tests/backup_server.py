"""A server for the tests of backups: this machine's own files, with what the tests write in a mount namespace of its own.

/etc and /var are overlays, /srv and /run are in memory: hubrun-backup runs as on a server, with its real paths and the real
restic. Docker and systemd are played: volumes are folders, and a container is a process with the student's number. Only
root can do this.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hubrun.environment import PROJECT

PASSWORD = "correct-horse-battery"
STUDENT = 1000
VOLUMES = "/srv/docker/volumes"
_SETUP = """
set -e
mount -t tmpfs tmpfs /srv
mount -t tmpfs tmpfs /run
for name in etc var; do
    mkdir -p /srv/over/$name/upper /srv/over/$name/work
    mount -t overlay overlay -o lowerdir=/$name,upperdir=/srv/over/$name/upper,workdir=/srv/over/$name/work /$name
done
mkdir -p /etc/jupyterhub/conf.d /var/lib/jupyterhub /srv/nbgrader /srv/docker/volumes /srv/jupyterhub/image
echo hub:x:HUB:HUB::/:/bin/false >> /etc/passwd
chown -R HUB:HUB /var/lib/jupyterhub
chmod 700 /var/lib/jupyterhub /srv/nbgrader
echo ready
exec sleep 1000000
"""
_DOCKER = """#!/bin/sh
case "$1 $2" in
    info*) echo /srv/docker;;
    "image ls") ;;
    "volume ls") ls /srv/docker/volumes;;
    "volume create") install -d -o 1000 -g 100 "/srv/docker/volumes/$3/_data";;
    "volume rm") rm -rf "/srv/docker/volumes/$3";;
    "volume inspect")
        if [ "$3" != --format ]; then
            shift 2; echo '['; comma=
            for name; do echo "$comma{\\"Name\\": \\"$name\\", \\"Options\\": null, \\"Mountpoint\\": \\"/srv/docker/volumes/$name/_data\\"}"; comma=,; done
            echo ']'; exit
        fi
        format=$4; shift 4
        for name; do echo "$format" | sed "s#{{.Name}}#$name#; s#{{len .Options}}#0#; s#{{.Mountpoint}}#/srv/docker/volumes/$name/_data#"; done;;
    ps*|stop*) ;;
    run*)
        for word; do case $word in --volume=*) source=${word#--volume=}; source=${source%:/home/jovyan};; esac; done
        while [ "$1" != -c ]; do shift; done
        case $source in /*) ;; *) docker volume create "$source"; source=/srv/docker/volumes/$source/_data;; esac
        cd "$source" && exec setpriv --reuid=1000 --regid=100 --clear-groups /bin/sh "$@";;
    *) echo "docker $*: not played" >&2; exit 1;;
esac
"""
_SYSTEMCTL = '#!/bin/sh\n[ "$1" = cat ] || echo "$*" >> /srv/systemctl\n'
_CURL = "#!/bin/sh\n"


class BackupServer:
    """One server; `hub` is the number of the hub's account there. `repository` is where its backups go."""

    def __init__(self, folder: Path, repository: str, hub: int = 998) -> None:
        self.repository, self.hub = repository, hub
        self._bin = folder / "bin"
        self._bin.mkdir(exist_ok=True)
        for name, text in (("docker", _DOCKER), ("systemctl", _SYSTEMCTL), ("curl", _CURL)):
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _SETUP.replace("HUB", str(hub))], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout and self._holder.stdout.readline() == "ready\n"
        self.settings()
        self.write("/etc/jupyterhub/backup.env", f"RESTIC_PASSWORD={PASSWORD}\n")

    def tool(self, name: str, script: str, after: str = "") -> None:
        """Play a program by this shell; after: "docker", to go on with the one that is played."""
        rest = _DOCKER.partition("\n")[2] if after else ""
        (self._bin / name).write_text(f"#!/bin/sh\n{script}\n{rest}")
        (self._bin / name).chmod(0o755)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()

    def settings(self, **changes: object) -> None:
        """Write the settings again, as runbook 10 does."""
        keep = {"daily": 7, "weekly": 5, "monthly": 12}
        known = {
            "site": "bio",
            "repository": self.repository,
            "image": "students",
            "hub_user": "hub",
            "keep": keep,
            **changes,
        }
        self.write("/etc/jupyterhub/backup.json", json.dumps(known))

    def command(self, *words: str) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--wd=/", *words]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}"}

    def shell(self, script: str, data: str = "") -> str:
        """What a shell prints there; it must end well."""
        done = subprocess.run(
            self.command("bash", "-c", f"set -euo pipefail; {script}"), input=data, capture_output=True, text=True,
            env=self.environment, errors="surrogateescape",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def backup_command(self, *words: str) -> list[str]:
        return self.command(
            "/usr/bin/python3",
            "-I",
            "-B",
            str(PROJECT / "lib/hubrun_hub"),
            "backup",
            *words,
        )

    def backup(self, *words: str, fails: bool = False) -> str:
        """What hubrun-backup says; with `fails` the one line of its error."""
        done = subprocess.run(
            self.backup_command(*words), capture_output=True, text=True, env=self.environment, timeout=120
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        if fails:
            (line,) = done.stderr.strip().splitlines()
            return line
        return done.stdout

    def write(self, path: str, text: str, owner: int = 0, mode: int = 0o600) -> None:
        self.shell(
            f"mkdir -p '{Path(path).parent}'; cat > '{path}'; chown {owner} '{path}'; chmod {mode:o} '{path}'", text
        )

    def home(self, user: str) -> str:
        """A home of this user; its folder."""
        self.shell(f"install -d -o {STUDENT} -g 100 {VOLUMES}/jupyterhub-user-{user}/_data")
        return f"{VOLUMES}/jupyterhub-user-{user}/_data"

    @property
    def state(self) -> dict[str, object]:
        return dict(json.loads(self.shell("cat /var/lib/hubrun/backup.json")))

    def digests(self, *folders: str) -> dict[str, str]:
        """Every file, folder and link below these, with mode, owner and content; the hub's account is called so."""
        script = 'find "$@" -printf \'%p=%y %m %U:%G %l\\n\' | sort; find "$@" -type f -print0 | sort -z | xargs -0r sha256sum'
        done = subprocess.run(self.command("bash", "-c", script, "-", *folders), capture_output=True, check=True)
        text = re.sub(
            rf"(?<= ){self.hub}(?=:\d+ )|(?<=:){self.hub}(?= )", "hub", done.stdout.decode(errors="surrogateescape")
        )
        lines = text.splitlines()
        return {hashlib.sha256(line.encode(errors="surrogateescape")).hexdigest()[:8]: line for line in lines}

    def database(self, path: str, owner: int, script: str) -> None:
        """An SQLite database there, in which this SQL was run."""
        self.shell(
            f"mkdir -p '{Path(path).parent}'; python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.stdin.read())' '{path}'; chown {owner} '{path}'",
            script,
        )

    def rows(self, path: str, query: str) -> list[object]:
        with closing(sqlite3.connect(":memory:")) as db:
            db.deserialize(subprocess.run(self.command("cat", path), capture_output=True, check=True).stdout)
            return list(db.execute(query))


@contextmanager
def backup_server(
    folder: Path, repository: str, hub: int = 998, made: type[BackupServer] = BackupServer
) -> Iterator[BackupServer]:
    """A server for as long as it is used."""
    server = made(folder, repository, hub)
    try:
        yield server
    finally:
        server.close()


def a_site(server: BackupServer) -> None:
    """A site with two people, a course with grades, keys, and the operator's own settings."""
    for user, text in (("ada", "print(1)"), ("bob-2eb", "print(2)")):
        home = server.home(user)
        server.write(f"{home}/week1/task.ipynb", text, STUDENT, 0o644)
        server.write(f"{home}/.config/x", "x", STUDENT)
    server.database(
        "/var/lib/jupyterhub/jupyterhub.sqlite",
        server.hub,
        "CREATE TABLE users (name); INSERT INTO users VALUES ('ada')",
    )
    server.database(
        "/var/lib/jupyterhub/lti_people.sqlite", server.hub,
        "CREATE TABLE person (user); INSERT INTO person VALUES ('ada'), ('bob.b')",
    )  # fmt: skip
    server.write("/var/lib/jupyterhub/cookie_secret", "c" * 64, server.hub)
    server.database(
        "/srv/nbgrader/course-1/course/gradebook.db",
        STUDENT,
        "CREATE TABLE grade (score); INSERT INTO grade VALUES (9.5)",
    )
    server.write("/srv/nbgrader/course-1/inbound/ada/task.ipynb", "handed in", STUDENT, 0o644)
    server.shell("chmod 777 /srv/nbgrader/course-1/course")
    server.write("/etc/jupyterhub/lti.env", "LTI_CLIENT_SECRET=abc\n", server.hub)
    server.write("/etc/jupyterhub/conf.d/20-hub.py", f"# of the server {server.hub}\n")
    server.write("/etc/jupyterhub/conf.d/90-local.py", "# the operator's\n")
    server.write("/etc/letsencrypt/archive/hub/privkey1.pem", "key\n")
    server.shell(
        "mkdir -p /etc/letsencrypt/live/hub; ln -sfn ../../archive/hub/privkey1.pem /etc/letsencrypt/live/hub/privkey.pem"
    )
