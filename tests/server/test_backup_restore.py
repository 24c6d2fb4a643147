"""A server is backed up, lost, and made again from its backup; and a student gets a folder back while they work."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from canvas import key_and_secret
from conftest import first
from machines import Machine, hubrun

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(2400)]

REPOSITORY = "/mnt/backup"
FINGERPRINT = "SHA256:" + "A" * 43
HOMES = "/srv/jupyterhub/homes"
# The fresh server has a disk for homes, which the one that is lost had not.
ON_A_DISK = ("--set", "homes_gb=2", "--set", "user_disk_gb=1")
# What must be the same byte for byte; databases by what is in them, since the hub notes each launch.
SAME = f"""
ada={HOMES}/people/ada; [ -d $ada ] || ada=/var/lib/docker/volumes/jupyterhub-user-ada/_data
(cd $ada && find . -type f -not -path '*/.*' | sort | xargs sha256sum)
{{ find /srv/nbgrader /etc/letsencrypt/live /etc/letsencrypt/archive -follow -type f
  ls /etc/jupyterhub/*.env /etc/jupyterhub/conf.d/90-local.py /var/lib/jupyterhub/cookie_secret; }} |
    grep -v -e backup -e gradebook.db | sort | xargs sha256sum
"""
PEOPLE = """python3 -c "
import sqlite3
for file, query in (('lti_people', 'SELECT user FROM person'), ('lti_people', 'SELECT * FROM stable_id'), ('jupyterhub', 'SELECT name FROM groups')):
    print(sorted(sqlite3.connect(f'file:/var/lib/jupyterhub/{file}.sqlite?mode=ro', uri=True).execute(query)))" """


@pytest.fixture(scope="module")
def machine(operated: Machine) -> Machine:
    return operated


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Where backups go, and with which password."""
    password = tmp_path_factory.mktemp("safe") / "password"
    password.write_text("the words on paper in an envelope\n")
    return ["--set", f"backup_to={REPOSITORY}", "--set", f"backup_password_file={password}"]


def launched(machine: Machine, key: tuple[str, str], user: str = "ada") -> Browser:
    """A browser in which Canvas has launched this person into their course, with their server running."""
    site = params.load(machine.site)
    browser = Browser(Route.to(site))
    launch = browser.launch(site.launch_url, signed_form(site.launch_url, *key, user))
    assert launch.user == user, launch.came
    browser.start(180)
    return browser


def lost(machine: Machine) -> Machine:
    """The fresh server in this one's place. The authority for certificates stays, as Let's Encrypt does; `reset` makes another."""
    container = machine.info["container"]
    machine.docker("rm", "--force", container, seconds=180)
    machine.docker("volume", "rm", f"{container}-docker", f"{container}-containerd", seconds=180)
    fresh = Machine(machine.name)
    fresh.up()
    return fresh


def test_a_site_comes_back_from_its_backup_and_the_same_launch_reaches_the_same_notebook(
    machine: Machine, given: list[str], tmp_path: Path
) -> None:
    key = key_and_secret(machine)
    with launched(machine, key) as browser:
        browser.run_cell("import os; os.makedirs('week1', exist_ok=True)")
        browser.write_file("week1/essay.txt", "three pages")
        plan = hubrun("run", "backup", machine.site, "--check", *given)
        assert plan.code == 2, plan.tail
        assert machine.run("command -v restic || true") == ""
        backup = hubrun("run", "backup", machine.site, *given, seconds=600)
        assert backup.code == 0, backup.tail
        again = hubrun("run", "backup", machine.site, *given)
        assert again.code == 0 and {status for _, status in again.results} == {"ok"}, again.tail

        # One folder, by name and date, while she works.
        browser.run_cell("kept = 41; import shutil; shutil.rmtree('week1'); os.symlink('/etc', 'week1')")
        one = ["--set", "restore_person=ada", "--set", "restore_path=week1"]
        restored = hubrun("run", "restore", machine.site, *given, *one)
        assert restored.code == 0, restored.tail
        day = machine.run("hubrun-backup list").split()[0]
        assert browser.read_file(f"restored-{day}/week1/essay.txt") == "three pages"
        assert "42" in browser.run_cell("print(kept + 1)")
        browser.run_cell("os.remove('week1'); open(f'restored.txt', 'w').write('x')")
        assert hubrun("run", "restore", machine.site, *given, *one, "--check").code == 0

    refused = hubrun("run", "restore", machine.site, *given, "--set", "restore_site=latest")
    assert refused.code == 1 and "this site has people already" in refused.output, refused.tail

    machine.run("systemctl start hubrun-backup", seconds=300)
    size = machine.run(f"du -sh {REPOSITORY} | cut -f1")
    before, people = machine.run(SAME), machine.run(PEOPLE)
    kept = tmp_path / "repository.tar"
    machine.run(f"tar -C {REPOSITORY} -cf /root/repository.tar .")
    machine.docker("cp", f"{machine.info['container']}:/root/repository.tar", str(kept))
    digest = hashlib.sha256(kept.read_bytes()).hexdigest()

    fresh = lost(machine)
    ended = hubrun("practice", "--name", fresh.name, seconds=600)
    assert ended.code == 0, ended.tail
    fresh.docker("cp", str(kept), f"{fresh.info['container']}:/root/repository.tar")
    fresh.run(
        f"sha256sum /root/repository.tar | grep -q {digest} && mkdir -p {REPOSITORY} && tar -C {REPOSITORY} -xf /root/repository.tar"
    )
    ended = hubrun("install", fresh.site, "--only", "04", *ON_A_DISK, seconds=600)
    assert ended.code == 0, ended.tail
    assert fresh.run(SAME) != before
    restored = hubrun("run", "restore", fresh.site, *given, *ON_A_DISK, "--set", "restore_site=latest", seconds=600)
    assert restored.code == 0, restored.tail
    print(f"\nbackup: {backup.seconds:.0f} s, {size}; restore on a fresh server: {restored.seconds:.0f} s")
    assert fresh.run(SAME) == before
    assert fresh.run(PEOPLE) == people
    with launched(fresh, key) as browser:
        assert browser.read_file(f"restored-{day}/week1/essay.txt") == "three pages"
    assert fresh.run(f"cat {HOMES}/people/ada/restored-{day}/week1/essay.txt") == "three pages"
    assert "1.00GiB" in fresh.run(f"btrfs qgroup show -r {HOMES}")
    again = hubrun("run", "restore", fresh.site, *given, *ON_A_DISK, "--set", "restore_site=latest", "--check")
    assert again.code == 0, again.tail
    ended = hubrun("install", fresh.site, *ON_A_DISK, seconds=600)
    assert ended.code == 0, ended.tail


def refused(machine: Machine, *words: str) -> str:
    """The one line by which a run ends that is refused; nothing of the site or of its backups is touched by it."""
    about = "cat /etc/jupyterhub/backup.json; sha256sum /etc/jupyterhub/backup.env; ls -A /etc/jupyterhub"
    before = machine.run(about)
    ended = hubrun("run", words[0], machine.site, *(word for each in words[1:] for word in ("--set", each)))
    assert ended.code == 1, ended.tail
    assert machine.run(about) == before
    assert machine.run("hubrun-backup look") == "ready\n"
    assert machine.run("systemctl is-active jupyterhub jupyterhub-proxy").split() == ["active", "active"]
    return ended.error


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["backup_to=/mnt/nowhere/else", "restore_person=ada"], "there is no repository"),
        (["backup_to=rest:http://127.0.0.1:9/", "restore_person=ada"], "it is not reached"),
        (["backup_to=sftp:me@127.0.0.1:hub", f"backup_host_fingerprint={FINGERPRINT}", "restore_person=ada"], "the host key of 127.0.0.1 is none with"),
        (["restore_person=ada", "restore_path=week9"], "week9 is not in the backup"),
        (["restore_site=latest"], "this site has people already"),
    ],
)  # fmt: skip
def test_a_restore_that_cannot_be_is_one_line_and_the_backups_of_the_site_go_on(
    machine: Machine, given: list[str], changes: list[str], says: str
) -> None:
    here = Machine(machine.name)
    if "restore_site=latest" in changes:  # what was restored is no news
        here.run("rm -f /var/lib/hubrun/restored.json")
    assert says in refused(here, "restore", *given[1::2], *changes)


# Somewhere that backups cannot go, made on the server → what is said of it.
BAD_TARGETS = {
    "mkdir -p /mnt/bad; mount -t tmpfs -o size=4k tmpfs /mnt/bad": "it is full: free space there",
    "mkdir -p /mnt/bad; echo x > /mnt/bad/theirs.txt": "it is not empty, and no repository",
    f"mkdir -p /mnt/bad; cp -r {REPOSITORY}/. /mnt/bad; rm /mnt/bad/config": "it is not empty, and no repository",
    f"mkdir -p /mnt/bad; cp -r {REPOSITORY}/. /mnt/bad; truncate -s 20 /mnt/bad/config": "the repository is damaged or half written",
    "mkdir -p /mnt/bad; RESTIC_PASSWORD=another restic -q -r /mnt/bad init": "the password is not this repository's",
    "mkdir -p /mnt/bad; mount -t tmpfs -o ro tmpfs /mnt/bad": "its file system is read-only",
}


@pytest.mark.parametrize("made", first(2, BAD_TARGETS))
def test_a_place_where_backups_cannot_go_is_one_line_and_they_go_where_they_went(
    machine: Machine, given: list[str], made: str
) -> None:
    here = Machine(machine.name)
    here.run(made)
    try:
        assert BAD_TARGETS[made] in refused(here, "backup", *given[1::2], "backup_to=/mnt/bad")
    finally:
        here.run("! mountpoint -q /mnt/bad || umount /mnt/bad; rm -rf /mnt/bad")


def test_a_server_that_lost_its_password_asks_for_the_recovery_key_and_goes_on_with_it(
    machine: Machine, given: list[str]
) -> None:
    here = Machine(machine.name)
    count = here.run("hubrun-backup list | wc -l")
    here.run("rm /etc/jupyterhub/backup.*")  # as after an uninstall with both yeses
    ended = hubrun("run", "backup", here.site, *given[:2])
    assert ended.code == 1 and "there are backups already, and this server does not have their password" in ended.error
    assert "backup_password_file" in ended.error
    assert here.run("ls /etc/jupyterhub | grep backup || true") == ""
    ended = hubrun("run", "backup", here.site, *given)
    assert ended.code == 0, ended.tail
    assert here.run("hubrun-backup list | wc -l") == count


@pytest.mark.only_long
def test_install_says_that_a_restore_is_half_done_and_the_next_run_of_it_ends_well(
    machine: Machine, given: list[str]
) -> None:
    here = Machine(machine.name)
    over = [*given, *ON_A_DISK, "--set", "restore_site=latest", "--set", "restore_over_people=true"]
    here.run("systemctl start hubrun-backup", seconds=300)  # the one before is on this server already
    assert "no snapshot" not in here.run("journalctl -u hubrun-backup -o cat")
    assert here.run(f"ls -A {HOMES}/moving/.backup") == "", "what it read is gone"
    here.run("mv /mnt/backup/data /mnt/backup/away")
    try:
        failed = hubrun("run", "restore", here.site, *over)
        assert failed.code == 1 and failed.error, failed.tail
        install = hubrun("install", here.site, *ON_A_DISK, seconds=600)
        assert install.code == 1 and "no restore of the whole site is half done" in install.error, install.tail
    finally:
        here.run("mv /mnt/backup/away /mnt/backup/data")
    restored = hubrun("run", "restore", here.site, *over, seconds=600)
    assert restored.code == 0, restored.tail
    ended = hubrun("install", here.site, *ON_A_DISK, seconds=600)
    assert ended.code == 0, ended.tail
