"""hubrun-backup on a server: what comes back, what students put in its way, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from backup_server import PASSWORD, STUDENT, BackupServer, a_site, backup_server
from hubrun.resources.ssh_identity import SshIdentity
from hubrun_hub.backup.target import Target, parse

KEPT = ("/etc/letsencrypt", "/srv/nbgrader/course-1/inbound", "/srv/docker/volumes", "/var/lib/jupyterhub/cookie_secret", "/etc/jupyterhub/lti.env", "/etc/jupyterhub/conf.d/90-local.py")  # fmt: skip
TODAY = f"{datetime.now(timezone.utc):%Y-%m-%d}"  # noqa: UP017

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts are root's")
real = [pytest.mark.slow, needs_root]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/mnt/backup", Target("folder")),
        ("sftp:me@nas.example.edu:hub/bio", Target("sftp", "nas.example.edu", 22, "me")),
        ("sftp://me@nas.example.edu:2222//srv/hub", Target("sftp", "nas.example.edu", 2222, "me")),
        ("s3:https://s3.example.edu/bucket/hub", Target("s3", "s3.example.edu", 443)),
        ("rest:http://10.0.0.5:8000/", Target("rest", "10.0.0.5", 8000)),
        ("mnt/backup", None), ("/mnt/../etc", None), ("/", None), ("/mnt/a b", None), ("sftp:nas:/x", None),
        ("sftp:-oProxyCommand=x@nas:/x", None), ("sftp:me@-x:/x", None), ("rest:https://me:secret@host/", None),
        ("s3:https://s3.example.edu/", None), ("b2:bucket", None), ("/mnt/x\n", None),
    ],
)  # fmt: skip
def test_where_backups_go_is_one_of_four_and_nothing_that_a_shell_or_ssh_takes_for_something_else(
    text: str, wanted: Target | None
) -> None:
    assert parse(text) == wanted


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackupServer]:
    with backup_server(tmp_path, str(tmp_path / "repository")) as made:
        yield made


@pytest.fixture
def backed_up(server: BackupServer) -> BackupServer:
    """A site of which there is a backup."""
    a_site(server)
    server.backup("make")
    server.backup("run")
    return server


class TestSite:
    pytestmark = real

    def test_all_of_it_comes_back_the_same_on_a_fresh_server_and_a_second_time_nothing_is_to_be_done(
        self, backed_up: BackupServer, tmp_path: Path
    ) -> None:
        before = backed_up.digests(*KEPT)
        assert backed_up.backup("find", "site", "latest", "over").splitlines()[-2] == "there=no"
        with backup_server(tmp_path, backed_up.repository, hub=997) as fresh:
            fresh.write("/etc/jupyterhub/conf.d/20-hub.py", "# the fresh server's\n")
            fresh.backup("restore", "site", "latest")
            assert set(fresh.digests(*KEPT).values()) == set(before.values())
            assert fresh.rows("/var/lib/jupyterhub/jupyterhub.sqlite", "SELECT name FROM users") == [("ada",)]
            assert fresh.rows("/srv/nbgrader/course-1/course/gradebook.db", "SELECT score FROM grade") == [(9.5,)]
            assert fresh.shell("stat -c %u /var/lib/jupyterhub/*.sqlite") == "997\n997\n"
            assert "fresh" in fresh.shell("cat /etc/jupyterhub/conf.d/20-hub.py")
            assert "copy" not in fresh.shell("ls -A /var/lib/jupyterhub /srv/nbgrader/course-1/course")
            assert fresh.shell("cat /srv/systemctl").split("\n")[:-1] == [
                "disable --now jupyterhub jupyterhub-proxy", "enable --now jupyterhub-proxy", "enable --now jupyterhub", "reload nginx",
            ]  # fmt: skip
            assert "there=yes" in fresh.backup("find", "site", "latest")

    def test_a_site_with_people_is_left_alone_unless_that_is_said(self, backed_up: BackupServer) -> None:
        before = backed_up.digests("/srv", "/var/lib/jupyterhub")
        for command in ("find", "restore"):
            assert "this site has people already (3)" in backed_up.backup(command, "site", "latest", fails=True)
        assert backed_up.digests("/srv", "/var/lib/jupyterhub") == before

    def test_over_people_no_link_that_a_student_put_there_leads_out(self, backed_up: BackupServer) -> None:
        home = backed_up.home("ada")
        backed_up.shell(
            f"mkdir /srv/secret; echo root > /srv/secret/task.ipynb; rm -r {home}/week1; ln -s /srv/secret {home}/week1"
        )
        backed_up.shell(
            f"rm {home}/.config/x; ln -s /srv/secret/task.ipynb {home}/.config/x; mkfifo {backed_up.home('bob-2eb')}/wait"
        )
        before = backed_up.digests("/srv/secret")
        said = backed_up.backup("restore", "site", "latest", "over")
        assert backed_up.digests("/srv/secret") == before
        assert "could not be written: '/homes/ada/" in said

    def test_killed_on_the_way_it_carries_on_with_the_same_backup(
        self, backed_up: BackupServer, tmp_path: Path
    ) -> None:
        with backup_server(tmp_path, backed_up.repository) as fresh:
            for seconds in (0.8, 1.6, 2.4):
                begun = subprocess.Popen(
                    fresh.backup_command("restore", "site", "latest"), env=fresh.environment, start_new_session=True
                )
                time.sleep(seconds)
                os.killpg(begun.pid, signal.SIGKILL)
                begun.wait()
            fresh.backup("restore", "site", "latest")
            assert set(fresh.digests(*KEPT).values()) == set(backed_up.digests(*KEPT).values())

    def test_when_all_is_written_and_the_hub_does_not_start_the_next_run_starts_it_and_writes_nothing(
        self, backed_up: BackupServer, tmp_path: Path
    ) -> None:
        with backup_server(tmp_path, backed_up.repository) as fresh:
            fresh.tool(
                "systemctl", '[ "$*" != "enable --now jupyterhub" ] || { echo "its own part is wrong" >&2; exit 1; }'
            )
            assert "its own part is wrong" in fresh.backup("restore", "site", "latest", fails=True)
            assert '"written"' in fresh.shell("cat /var/lib/hubrun/restored.json")
            fresh.write("/etc/jupyterhub/conf.d/90-local.py", "# corrected\n")
            fresh.tool("systemctl", 'echo "$*" >> /srv/systemctl')
            assert "there=no" in fresh.backup("find", "site", "latest")
            fresh.backup("restore", "site", "latest")
            assert fresh.shell("cat /etc/jupyterhub/conf.d/90-local.py") == "# corrected\n"
            assert "disable" not in fresh.shell("cat /srv/systemctl")
            assert "there=yes" in fresh.backup("find", "site", "latest")

    def test_a_later_backup_is_another_one_than_was_restored(self, backed_up: BackupServer, tmp_path: Path) -> None:
        with backup_server(tmp_path, backed_up.repository) as fresh:
            fresh.backup("restore", "site", "latest")
            fresh.write(f"{fresh.home('ada')}/later", "later", STUDENT)
            fresh.backup("run")
            assert "this site has people already" in fresh.backup("find", "site", "latest", fails=True)
            assert "there=no" in fresh.backup("find", "site", "latest", "over")

    def test_a_disk_that_is_too_small_is_said_and_it_is_not_done(self, backed_up: BackupServer, tmp_path: Path) -> None:
        backed_up.write(f"{backed_up.home('ada')}/big", os.urandom(5 << 20).hex(), STUDENT)
        backed_up.backup("run")
        with backup_server(tmp_path, backed_up.repository) as fresh:
            fresh.shell("mkdir -p /srv/docker/volumes; mount -t tmpfs -o size=3m tmpfs /srv/docker/volumes")
            assert "big' is full: make room" in fresh.backup("restore", "site", "latest", fails=True)
            assert "enable" not in fresh.shell("cat /srv/systemctl")
            assert "a restore of the whole site is half done" in fresh.backup("run", fails=True)
            fresh.shell("mount -o remount,size=30m /srv/docker/volumes")
            fresh.backup("restore", "site", "latest")
            assert "there=yes" in fresh.backup("find", "site", "latest")

    def test_the_latest_is_never_that_of_an_empty_server(self, backed_up: BackupServer, tmp_path: Path) -> None:
        with backup_server(tmp_path, backed_up.repository) as fresh:
            fresh.backup("run")
            assert "without a home" in fresh.backup("list").splitlines()[-1]
            fresh.backup("restore", "site", "latest")
            assert "task.ipynb" in fresh.shell("ls /srv/docker/volumes/jupyterhub-user-ada/_data/week1")


class TestHostileHomes:
    pytestmark = real

    def test_what_a_student_does_in_their_home_ends_nobodys_backup(self, backed_up: BackupServer) -> None:
        home = backed_up.home("eve")
        backed_up.shell(
            f"""cd {home}; mkfifo wait; ln -s /etc/shadow link; ln -s / root; echo x > $'new\\nline'; echo y > $'\\xff'
            python3 -c "
import os
for _ in range(1000):
    os.mkdir('d' * 60); os.chdir('d' * 60)
open('deep', 'w').write('deep')
"
            python3 -c "
import os
for _ in range(1500):
    os.mkdir('d'); os.chdir('d')
open('deep', 'w').write('deep')
" """
        )
        hollow = backed_up.home("mallory")
        backed_up.shell(f"truncate -s 8T {hollow}/huge; install -d {backed_up.home('test-student---aaaaaaaaaaaa')}")
        linked = backed_up.home("trent")
        backed_up.shell(f"cd {linked}; head -c 300M /dev/zero > a; for i in $(seq 300); do ln a a$i; done")
        backed_up.backup("run")
        state = backed_up.state
        assert state["last_error"] == "" and state["homes"] == 3
        assert set(state["left_out"]) == {"mallory", "trent"}  # type: ignore[call-overload]
        assert state["unread"]
        assert state["test_restore"]["ok"]  # type: ignore[index]

    def test_a_folder_that_is_swapped_for_a_link_brings_nothing_of_roots_into_the_backup(
        self, backed_up: BackupServer
    ) -> None:
        home = backed_up.home("eve")
        backed_up.shell(
            f"mkdir /srv/secret; echo ROOTS-SECRET > /srv/secret/f; mkdir {home}/a; for i in $(seq 400); do mkdir -p {home}/a/$i/b; echo mine > {home}/a/$i/b/f; ln -s /srv/secret {home}/a/$i/c; done"
        )
        swap = "import ctypes, os, itertools\nl = ctypes.CDLL(None)\nfor i in itertools.cycle(range(1, 401)):\n    l.renameat2(-100, b'%d/b' % i, -100, b'%d/c' % i, 2)"
        swapping = subprocess.Popen(backed_up.command("sh", "-c", f'cd {home}/a && exec python3 -c "$1"', "-", swap))
        try:
            for _ in range(3):
                backed_up.backup("run")
        finally:
            swapping.kill()
            swapping.wait()
        everything = subprocess.run(
            ["restic", "--no-cache", "-r", backed_up.repository, "dump", "latest", "/homes/eve"], capture_output=True, check=True,
            env=os.environ | {"RESTIC_PASSWORD": PASSWORD},
        ).stdout  # fmt: skip
        assert b"mine" in everything
        assert b"ROOTS-SECRET" not in everything

    def test_a_gradebook_is_whole_though_it_is_written_all_the_time(self, backed_up: BackupServer) -> None:
        book = "/srv/nbgrader/course-1/course/gradebook.db"
        writing = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], timeout=60)\nwhile True:\n    db.executescript('BEGIN; INSERT INTO grade VALUES (1); INSERT INTO grade VALUES (-1); COMMIT')"
        backed_up.shell("chmod 711 /srv/nbgrader")  # in a container, nothing is above the course
        writer = subprocess.Popen(
            backed_up.command(
                "setpriv", f"--reuid={STUDENT}", "--clear-groups", "/usr/bin/python3", "-c", writing, book
            )
        )
        try:
            backed_up.shell(f"until [ $(stat -c %s {book}) -gt 8192 ]; do sleep 0.1; done")
            backed_up.backup("run")
        finally:
            writer.kill()
            writer.wait()
        assert backed_up.state["gradebooks"] == {}
        backed_up.backup("restore", "course", "course-1", "latest")
        copy = f"/srv/nbgrader/course-1/course/restored-{TODAY}/course/.gradebook.db.hubrun-copy"
        ((count, total),) = backed_up.rows(copy, "SELECT count(*), sum(score) FROM grade")  # type: ignore[misc]
        assert total == 9.5 and count > 1


class TestPerson:
    pytestmark = real

    def test_a_folder_a_file_and_the_whole_home_come_back_beside_those_of_today(self, backed_up: BackupServer) -> None:
        home = backed_up.home("ada")
        backed_up.shell(f"echo changed > {home}/week1/task.ipynb")
        for path in ("week1", "week1/task.ipynb"):
            assert f"into=restored-{TODAY}/{path}" in backed_up.backup("find", "person", "ada", "latest", path)
            backed_up.backup("restore", "person", "ada", TODAY, path)
            assert backed_up.shell(f"cat {home}/restored-{TODAY}/week1/task.ipynb") == "print(1)"
            assert "there=yes" in backed_up.backup("find", "person", "ada", "latest", path)
            if path == "week1":
                assert backed_up.shell(f"stat -c %u:%a {home}/restored-*/week1/task.ipynb") == "1000:644\n"
                backed_up.shell(f"rm -r {home}/restored-*/week1/task.ipynb")
        backed_up.shell(f"rm -r {home}/restored-*")
        backed_up.backup("restore", "person", "ada", "latest")
        assert backed_up.shell(f"cd {home}; cat restored-*/.config/x week1/task.ipynb") == "xchanged\n"
        assert backed_up.shell(f"ls {home}") == f"restored-{TODAY}\nweek1\n"

    def test_what_was_half_written_is_written_again(self, backed_up: BackupServer) -> None:
        home = backed_up.home("ada")
        backed_up.shell(
            f"cd {home}; install -d -o {STUDENT} restored-{TODAY}.part restored-{TODAY}.part/data restored-{TODAY}.part/data/x"
        )
        backed_up.backup("restore", "person", "ada", "latest", "week1")
        assert backed_up.shell(f"ls {home}") == f"restored-{TODAY}\nweek1\n"

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("person", "ada", "latest", "week9"), "week9 is not in the backup of 20"),
            (("person", "nobody", "latest"), "homes/nobody is not in the backup of 20"),
            (("person", "ada", "2020-01-01"), f"there is no backup 2020-01-01 of bio; there are those of {TODAY}"),
            (("person", "ada", "latest", "../bob-2eb"), "must be a path from the top of their files"),
            (("person", "ada/../bob", "latest"), "homes/ada-2f-2e-2e-2fbob is not in the backup"),
            (("course", "../etc", "latest"), "there is no course '../etc'"),
            (("course", "course-9", "latest"), "there is no course 'course-9'"),
        ],
    )
    def test_what_is_not_there_is_one_line_and_nothing_is_touched(
        self, backed_up: BackupServer, words: tuple[str, ...], says: str
    ) -> None:
        before = backed_up.digests("/srv")
        for command in ("find", "restore"):
            assert says in backed_up.backup(command, *words, fails=True)
        assert backed_up.digests("/srv") == before


class TestRepository:
    pytestmark = real

    def test_where_nothing_was_backed_up_yet_it_says_how(self, server: BackupServer) -> None:
        server.backup("make")
        said = server.backup("find", "person", "ada", "latest", fails=True)
        assert said.endswith("there are none yet: systemctl start hubrun-backup makes one")

    def test_the_key_opens_it_and_is_in_no_backup(self, backed_up: BackupServer) -> None:
        assert PASSWORD in backed_up.backup("key")
        listed = backed_up.shell(
            f"RESTIC_PASSWORD={PASSWORD} restic --no-cache -r {backed_up.repository} ls latest /server/etc/jupyterhub"
        )
        assert "lti.env" in listed and "backup.env" not in listed

    def test_a_wrong_password_nothing_there_and_a_damaged_one_are_one_line_each(self, backed_up: BackupServer) -> None:
        repository = Path(backed_up.repository)
        backed_up.write("/etc/jupyterhub/backup.env", "RESTIC_PASSWORD=wrong\n")
        assert "the password is not this repository's" in backed_up.backup("run", fails=True)
        assert "the password is not this repository's" in str(backed_up.state["last_error"])
        backed_up.write("/etc/jupyterhub/backup.env", f"RESTIC_PASSWORD={PASSWORD}\n")
        config = repository / "config"
        kept = config.read_bytes()
        config.chmod(0o600)
        config.write_bytes(kept[:20])
        assert "damaged or half written" in backed_up.backup("look", fails=True)
        config.unlink()
        assert "there is no repository" in backed_up.backup("look", fails=True)
        assert backed_up.backup("look", "new") == "nothing is there yet\n"
        assert "it is not empty, and no repository" in backed_up.backup("make", fails=True)
        config.write_bytes(kept)
        shutil.move(repository, f"{repository}.away")
        assert "is what it is on mounted?" in backed_up.backup("run", fails=True)
        repository.mkdir()
        (repository / "theirs.txt").write_text("x")
        assert "it is not empty, and no repository" in backed_up.backup("make", fails=True)
        assert [each.name for each in repository.iterdir()] == ["theirs.txt"]

    def test_another_way_to_backups_is_kept_whole_or_not_at_all(self, backed_up: BackupServer, tmp_path: Path) -> None:
        def accept(*words: str, fails: bool = False, **given: str) -> str:
            data = json.dumps({name.replace("_", "."): text for name, text in given.items()})
            done = subprocess.run(
                backed_up.backup_command("accept", *words),
                input=data,
                capture_output=True,
                text=True,
                env=backed_up.environment,
            )
            assert (done.returncode != 0) == fails, done.stderr
            return done.stderr

        def settings(repository: str) -> str:
            known = json.loads(backed_up.shell("cat /etc/jupyterhub/backup.json"))
            return json.dumps({**known, "repository": repository})

        before = backed_up.digests("/etc/jupyterhub")
        empty = str(tmp_path / "empty")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RESTIC_PASSWORD", "of another")
            subprocess.run(["restic", "-q", "-r", str(tmp_path / "other"), "init"], check=True)
        assert "not this repository's" in accept(backup_env="RESTIC_PASSWORD=wrong\n", fails=True)
        assert "not this repository's" in accept(backup_json=settings(str(tmp_path / "other")), fails=True)
        assert "there is no repository" in accept(backup_json=settings(empty), fails=True)
        assert "is not reached" in accept("new", backup_json=settings("rest:http://127.0.0.1:9/"), fails=True)
        assert backed_up.digests("/etc/jupyterhub") == before
        # Repository and password at once: neither would do alone.
        accept(backup_json=settings(str(tmp_path / "other")), backup_env="RESTIC_PASSWORD=of another\n")
        assert backed_up.backup("look") == "ready\n"
        accept("new", backup_json=settings(empty))
        assert backed_up.backup("look") == "ready\n"
        assert "of another" in backed_up.backup("key")
        before = backed_up.digests("/etc/jupyterhub")
        backed_up.shell("mkdir -p /srv/full; mount -t tmpfs -o size=4k tmpfs /srv/full")
        assert "it is full" in accept("new", backup_json=settings("/srv/full/repository"), fails=True)
        assert backed_up.digests("/etc/jupyterhub") == before

    def test_a_server_without_a_password_makes_one_only_for_a_new_repository(self, backed_up: BackupServer) -> None:
        backed_up.shell("rm /etc/jupyterhub/backup.env")
        words = backed_up.command("sh", "-c", 'echo {} | "$@"', "-", *backed_up.backup_command("accept", "new")[3:])
        done = subprocess.run(words, capture_output=True, text=True, env=backed_up.environment)
        assert (
            done.returncode and "there are backups already, and this server does not have their password" in done.stderr
        )
        assert "backup.env" not in backed_up.shell("ls /etc/jupyterhub")
        shutil.rmtree(backed_up.repository)
        assert not subprocess.run(words, capture_output=True, env=backed_up.environment).returncode
        assert (
            backed_up.shell("stat -c %a /etc/jupyterhub/backup.env; ls /etc/jupyterhub | grep -c tried || true")
            == "600\n0\n"
        )

    def test_a_killed_init_is_made_again(self, server: BackupServer) -> None:
        server.backup("make")
        (Path(server.repository) / "config").unlink()
        assert server.backup("make") == "made\n"

    def test_a_full_disk_and_one_that_cannot_be_reached_are_one_line_each(self, server: BackupServer) -> None:
        a_site(server)
        server.shell("mkdir /srv/small; mount -t tmpfs -o size=3m tmpfs /srv/small")
        server.settings(repository="/srv/small/repository")
        server.backup("make")
        server.write(f"{server.home('ada')}/big", os.urandom(5 << 20).hex(), STUDENT)
        assert "it is full" in server.backup("run", fails=True)
        for repository in ("rest:http://127.0.0.1:9/", "s3:http://127.0.0.1:9/bucket"):
            server.settings(repository=repository)
            server.write(
                "/etc/jupyterhub/backup-credentials.env",
                "RESTIC_REST_USERNAME=u\nRESTIC_REST_PASSWORD=hunter22\nAWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=hunter22\n",
            )
            said = server.backup("look", fails=True)
            assert "it is not reached" in said and "hunter22" not in said

    def test_by_sftp_the_other_server_must_be_the_one_and_let_this_one_in(self, server: BackupServer) -> None:
        a_site(server)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server.shell(
            f"""mkdir -p /srv/nas /run/sshd; ssh-keygen -q -t ed25519 -N '' -f /srv/nas/host
            printf '%s\n' 'Port {port}' 'ListenAddress 127.0.0.1' 'HostKey /srv/nas/host' 'AuthorizedKeysFile /srv/nas/known' \
                'Subsystem sftp internal-sftp' 'UsePAM no' 'StrictModes no' 'PidFile none' > /srv/nas/config"""
        )
        with subprocess.Popen(server.command("/usr/sbin/sshd", "-D", "-f", "/srv/nas/config")) as sshd:
            try:
                self._by_sftp(server, port)
            finally:
                sshd.kill()

    def _by_sftp(self, server: BackupServer, port: int) -> None:
        def identity(fingerprint: str) -> SshIdentity:
            return SshIdentity("/etc/jupyterhub/backup-ssh", "127.0.0.1", port, fingerprint, "hubrun-backup@bio")

        def ensure(resource: SshIdentity) -> list[str]:
            actions = resource.plan(server.shell(f"set +e; {resource.probe()} true"))
            for action in actions:
                server.shell(action.script)
            return [action.title for action in actions]

        time.sleep(0.5)
        with pytest.raises(AssertionError, match="is none with SHA256:AAA"):
            ensure(identity("SHA256:" + "A" * 43))
        right = identity(server.shell("ssh-keygen -lf /srv/nas/host").split()[1])
        assert server.shell("ls -A /etc/jupyterhub | grep ssh || true") == ""
        assert ensure(right) == ["take down the host key of 127.0.0.1", "make /etc/jupyterhub/backup-ssh/id"]
        assert ensure(right) == []
        server.settings(repository=f"sftp://root@127.0.0.1:{port}//srv/nas/repository")
        said = server.backup("look", "new", fails=True)
        assert "it does not let this server in: add this line" in said
        server.write("/srv/nas/known", said[said.index("ssh-ed25519") :] + "\n")
        server.backup("make")
        server.backup("run")
        assert server.state["last_error"] == ""
        server.shell("ssh-keygen -q -t ed25519 -N '' -f /srv/nas/other")
        server.shell(
            "sed -i 's|AAAA[^ ]*|'$(cut -d' ' -f2 /srv/nas/other.pub)'|' /etc/jupyterhub/backup-ssh/known_hosts"
        )
        assert "its host key is not the one" in server.backup("look", fails=True)

    def test_a_run_that_was_killed_leaves_nothing_in_the_next_ones_way(self, backed_up: BackupServer) -> None:
        backed_up.write(f"{backed_up.home('ada')}/big", os.urandom(20 << 20).hex(), STUDENT)
        for seconds in (0.5, 1.5, 2.5):
            begun = subprocess.Popen(backed_up.backup_command("run"), env=backed_up.environment, start_new_session=True)
            time.sleep(seconds)
            os.killpg(begun.pid, signal.SIGKILL)
            begun.wait()
        backed_up.backup("run")
        assert backed_up.state["last_error"] == ""

    def test_two_at_a_time_are_one(self, backed_up: BackupServer) -> None:
        with subprocess.Popen(backed_up.command("flock", "/var/lib/hubrun/backup.lock", "sleep", "60")) as other:
            time.sleep(0.5)
            assert "another backup or restore goes on" in backed_up.backup("run", fails=True)
            other.kill()

    def test_what_is_kept_and_no_more_readable_is_noticed_within_a_week(self, backed_up: BackupServer) -> None:
        for pack in Path(backed_up.repository, "data").glob("*/*"):
            pack.chmod(0o600)
            pack.write_bytes(os.urandom(pack.stat().st_size))
        backed_up.shell("""sed -i 's/"at": "20../"at": "2000/' /var/lib/hubrun/backup.json""")
        assert "damaged" in backed_up.backup("run", fails=True)
        assert not backed_up.state["check"]["ok"]  # type: ignore[index]
