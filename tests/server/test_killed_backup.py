"""Backups and restores whose runs are killed at random moments: the next run ends well, and nothing is lost.

`./hubrun test --long` kills ten of each, otherwise three. HUBRUN_SEED repeats the moments of an earlier run of this test.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from canvas import key_and_secret
from conftest import set_up
from machines import Machine, hubrun, start

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

LONG = bool(os.environ.get("HUBRUN_LONG"))
pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(3600 if LONG else 1500)]

KILLS = 10 if LONG else 3
SEED = int(os.environ.get("HUBRUN_SEED", str(random.randrange(10**6))))
REPOSITORY = "/mnt/backup"
HOME = "/var/lib/docker/volumes/jupyterhub-user-ada/_data"
# As on the day before the first backup.
NO_BACKUPS = f"""
systemctl stop hubrun-backup.service hubrun-backup.timer 2> /dev/null
rm -rf {REPOSITORY}/* /etc/jupyterhub/backup* /var/lib/hubrun/backup* /usr/local/sbin/hubrun-backup
"""
# Of all that must come back: homes, keys, secrets. Databases, which note each launch, by who is in them.
SAME = f"""
cd / && {{ find {HOME} -type f -not -name '*.sqlite*'; ls /etc/jupyterhub/*.env /var/lib/jupyterhub/cookie_secret; }} |
    grep -v backup | sort | xargs -d '\\n' sha256sum
python3 -c "
import sqlite3
print(sorted(sqlite3.connect('file:/var/lib/jupyterhub/lti_people.sqlite?mode=ro', uri=True).execute('SELECT user FROM person')))"
"""
UP = "systemctl is-active jupyterhub jupyterhub-proxy nginx docker && systemctl is-enabled jupyterhub jupyterhub-proxy"


@dataclass
class Site:
    """A site with a student; given: the parameters of its backups; key: what the LMS signs with."""

    machine: Machine
    given: list[str]
    key: tuple[str, str]

    def launched(self) -> Browser:
        site = params.load(self.machine.site)
        browser = Browser(Route.to(site))
        assert browser.launch(site.launch_url, signed_form(site.launch_url, *self.key, "ada")).user == "ada"
        browser.start(180)
        return browser

    def run(self, *words: str) -> float:
        """Run a runbook to its end, which must be a good one. How many seconds that took."""
        ended = hubrun("run", *words[:1], self.machine.site, *self.given, *words[1:], seconds=600)
        assert ended.code == 0, f"seed {SEED}\n" + ended.tail
        return ended.seconds

    def kill(self, seconds: float, *words: str) -> None:
        """The same run, killed with all that it started here; what it had begun on the server ends or not."""
        running = start("run", *words[:1], self.machine.site, *self.given, *words[1:])
        running.wait(seconds)
        running.kill()
        print(f"{words[0]}: killed after {seconds:.1f} s", flush=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    password = tmp_path_factory.mktemp("safe") / "password"
    password.write_text("the words on paper in an envelope\n")
    for machine in set_up("backup"):
        given = ["--set", f"backup_to={REPOSITORY}", "--set", f"backup_password_file={password}"]
        made = Site(machine, given, key_and_secret(machine))
        machine.run(NO_BACKUPS + f"mkdir -p {REPOSITORY}")
        with made.launched() as browser:
            browser.write_file("essay.txt", "three pages")
            browser.run_cell("import os\nfor n in range(400): open(f'{n}.bin', 'wb').write(os.urandom(100_000))")
            browser.stop()
        yield made


def test_a_backup_that_is_killed_is_made_by_the_next_run(site: Site) -> None:
    machine, moments = site.machine, random.Random(SEED)
    whole = site.run("backup")
    before = machine.run(SAME)
    for _ in range(KILLS):
        machine.run(NO_BACKUPS)
        site.kill(moments.uniform(1, whole), "backup")
        site.run("backup")
        assert machine.run(UP).split() == ["active"] * 4 + ["enabled"] * 2
        machine.run("rm -rf /root/look && hubrun-backup list | grep -q ^20")
        password = Path(site.given[-1].partition("=")[2]).read_text().strip()
        machine.run(
            f"RESTIC_PASSWORD=$1 restic -q -r {REPOSITORY} restore latest --target /root/look --include /homes/ada",
            password,
        )
        assert (
            machine.run(
                f"diff -r --no-dereference -x .local {HOME} /root/look/homes/ada && rm -rf /root/look && echo same"
            )
            == "same\n"
        )
    assert machine.run(SAME) == before


def test_a_restore_of_the_site_that_is_killed_is_carried_on_by_the_next_run(site: Site) -> None:
    machine, moments = site.machine, random.Random(SEED)
    site.run("backup")
    machine.run("systemctl start hubrun-backup", seconds=300)
    before = machine.run(SAME)
    words = ("restore", "--set", "restore_site=latest", "--set", "restore_over_people=true")
    harm = f"""
    rm -f /var/lib/hubrun/restored.json {HOME}/essay.txt {HOME}/1*.bin && echo wrong > {HOME}/200.bin
    sed -i 's/=.*/=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/' /etc/jupyterhub/proxy.env
    systemctl restart jupyterhub-proxy jupyterhub"""
    machine.run(harm)
    whole = site.run(*words)
    assert machine.run(SAME) == before
    refused = 0
    for _ in range(KILLS):
        machine.run(harm)
        # Half of the time is the login and the look at what is there.
        site.kill(moments.uniform(1, whole), *words)
        if "begun" in machine.run("cat /var/lib/hubrun/restored.json 2> /dev/null || true"):
            time.sleep(1)
            ended = hubrun("install", machine.site, "--only", "02")
            if ended.code:
                assert "no restore of the whole site is half done" in ended.error, ended.tail
                refused += 1
        site.run(*words)
        assert machine.run(UP).split() == ["active"] * 4 + ["enabled"] * 2
        assert machine.run(SAME) == before
        with site.launched() as browser:
            assert browser.read_file("essay.txt") == "three pages"
            browser.stop()
    ended = hubrun("install", machine.site, seconds=600)
    assert ended.code == 0, ended.tail
    print(f"seed {SEED}: {KILLS} killed, {refused} installs refused meanwhile")
