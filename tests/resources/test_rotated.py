"""What is replaced as a table of what was found → what is done; and a certificate exchanged, with nginx played."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hubrun.redaction.secret import Secret
from hubrun.resources.backups import BackupPassword
from hubrun.resources.exchanged_certificate import ExchangedCertificate
from hubrun.resources.rotated import Rotated, RotatedSecret, due, good_until
from own_certificate import write_certificate

NOW = 1_800_000_000
HOUR, DAY = 3600, 86400


def found(rotated: int = 0, until: int = 0) -> str:
    return f"rotated={rotated}\nuntil={until}\nnow={NOW}"


@pytest.mark.parametrize(
    ("state", "days", "wanted"),
    [
        (found(), 7, "renew"),
        (found(), 0, "renew"),
        ("", 7, "renew"),
        (found(NOW - HOUR, NOW + 6 * DAY), 7, ""),
        (found(NOW - 3 * DAY, NOW + 4 * DAY), 7, ""),
        (found(NOW - 3 * DAY, NOW + 4 * DAY), 0, "end"),
        (found(NOW - HOUR), 0, ""),
        (found(NOW - HOUR), 7, ""),
        (found(NOW - 8 * DAY, NOW - DAY), 7, "renew"),
        (found(NOW - HOUR, NOW - 60), 7, ""),
        # The file was changed since by somebody else, and yet the one before is still good.
        (found(0, NOW + DAY), 7, ""),
    ],
)
def test_what_was_replaced_within_a_day_or_has_one_before_it_is_not_replaced_again(
    state: str, days: int, wanted: str
) -> None:
    assert due(state, days) == wanted
    assert bool(good_until(state)) == (due(state, 0) == "end")


LTI = Rotated("the secret", "rotate lti", "/etc/bio.env", 7)
LTI_NOW = Rotated("the secret", "rotate lti", "/etc/bio.env", 0)
COOKIE = RotatedSecret("/var/lib/jupyterhub/cookie_secret", "", "all log in again")
TOKEN = RotatedSecret("/etc/jupyterhub/proxy.env", "TOKEN", "some seconds")
MADE, GIVEN = BackupPassword(None), BackupPassword(Secret("words of mine", "backup_password"), salt="s")


def digest(text: str) -> str:
    return f"digest={hashlib.sha256(text.encode()).hexdigest()}\nnow={NOW}"


@pytest.mark.parametrize(
    ("resource", "state", "title", "script"),
    [
        (LTI, found(), "make a new one; the one before is good for 7 more days", "rotate lti renew /etc/bio.env 7"),
        (LTI_NOW, found(), "make a new one; the one before is good no more", "rotate lti renew /etc/bio.env 0"),
        (LTI_NOW, found(NOW - DAY, NOW + DAY), "end the one before, which was to be good until 2027-01-16", "rotate lti end /etc/bio.env"),
        (LTI, found(NOW, NOW + DAY), "", ""),
        (COOKIE, found(), "make a new secret in /var/lib/jupyterhub/cookie_secret: all log in again", "rotate file renew /var/lib/jupyterhub/cookie_secret"),
        (TOKEN, found(), "make a new secret in /etc/jupyterhub/proxy.env: some seconds", "rotate file renew /etc/jupyterhub/proxy.env TOKEN"),
        (TOKEN, found(NOW - HOUR), "", ""),
        (MADE, digest("?"), "give the repository a new password, and remove the one before", "hubrun-backup password"),
        (MADE, f"rotated={NOW - HOUR}\n" + digest("?"), "", ""),
        (MADE, f"half=1\nrotated={NOW - HOUR}\n" + digest("?"), "give the repository a new password, and remove the one before (begun before)", "hubrun-backup password"),
        (GIVEN, digest("sanother"), "give the repository the password of yours, and remove the one before", "hubrun-backup password given"),
        (GIVEN, digest("swords of mine"), "", ""),
        (GIVEN, "half=1\n" + digest("swords of mine"), "give the repository the password of yours, and remove the one before (begun before)", "hubrun-backup password given"),
    ],
)  # fmt: skip
def test_what_is_done(resource: Any, state: str, title: str, script: str) -> None:
    actions = resource.plan(state)
    assert [each.title for each in actions] == ([title] if title else [])
    for each in actions:
        assert each.script.strip().endswith(script)
        assert "words of mine" not in f"{each.title}{each.script}{each.shown}{each.diff}"
        assert each.data == (b"words of mine\n" if resource is GIVEN else b"")
    assert "words of mine" not in resource.probe() + resource.label + repr(resource)


def test_who_reads_it_at_the_start_is_restarted() -> None:
    assert COOKIE.writes == ("/var/lib/jupyterhub/cookie_secret",) and LTI.writes == ()


# -- certificates --------------------------------------------------------------------------------------------------


class Tls:
    """Two files of a server, and nginx, which takes them or does not."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.certificate, self.key = folder / "hub.pem", folder / "hub.key"
        self.resource = ExchangedCertificate(str(self.certificate), str(self.key))
        (folder / "bin").mkdir()
        self.nginx_takes_it(True)
        (folder / "bin/systemctl").write_text(f'#!/bin/sh\necho "$*" >> {self.log}\n')
        (folder / "bin/systemctl").chmod(0o755)
        self.log.touch()
        self.put("old")

    def nginx_takes_it(self, well: bool) -> None:
        (self.folder / "bin/nginx").write_text(f"#!/bin/sh\necho nginx says so\nexit {0 if well else 1}\n")
        (self.folder / "bin/nginx").chmod(0o755)

    def put(self, name: str, suffix: str = "", parts: str = "certificate key") -> None:
        """Lay a pair there; `name` tells it from others."""
        made = self.folder / f"{name}.example.pem"
        if not made.exists():
            write_certificate(self.folder, f"{name}.example")
        for part, path in (("certificate", self.certificate), ("key", self.key)):
            if part in parts:
                shutil.copy(made, f"{path}{suffix}")

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return subprocess.run(["sh", "-c", f"set -eu\n{script}"], capture_output=True, text=True, env={"PATH": path})

    def ensure(self) -> bool:
        """Do what is to be done; whether it ended well."""
        return all(self.sh(each.script).returncode == 0 for each in self.resource.plan(self.sh(self.resource.probe()).stdout))  # fmt: skip

    def there(self) -> dict[str, str]:
        """Which pair each file is of."""
        files = [each for each in self.folder.iterdir() if each.name.startswith("hub.")]
        pairs = {each.read_text(): each.name.partition(".")[0] for each in self.folder.glob("*.example.pem")}
        return {each.name: pairs[each.read_text()] for each in files}


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)


def test_the_new_pair_is_served_and_a_second_time_nothing_is_done(tls: Tls) -> None:
    tls.put("new", ".new")
    assert tls.ensure()
    assert tls.there() == {"hub.pem": "new", "hub.key": "new"}
    assert tls.log.read_text() == "reload nginx\n"
    assert tls.ensure() and tls.log.read_text() == "reload nginx\n"


def test_what_nginx_does_not_take_goes_back(tls: Tls) -> None:
    tls.put("new", ".new")
    tls.nginx_takes_it(False)
    assert not tls.ensure()
    assert tls.there() == {"hub.pem": "old", "hub.key": "old", "hub.pem.new": "new", "hub.key.new": "new"}
    assert tls.log.read_text() == ""
    tls.nginx_takes_it(True)
    assert tls.ensure() and tls.there() == {"hub.pem": "new", "hub.key": "new"}


@pytest.mark.parametrize("well", [True, False])
def test_killed_when_only_the_key_was_moved_it_goes_on_or_all_the_way_back(tls: Tls, well: bool) -> None:
    tls.put("old", ".before", "key")
    tls.put("new", "", "key")
    tls.put("new", ".new", "certificate")
    tls.nginx_takes_it(well)
    assert tls.ensure() is well
    new = {"hub.pem": "new", "hub.key": "new"}
    assert tls.there() == (new if well else {"hub.pem": "old", "hub.key": "old", "hub.pem.new": "new", "hub.key.new": "new"})  # fmt: skip


def test_copies_that_an_earlier_run_left_do_not_come_back(tls: Tls) -> None:
    tls.put("older", ".before")
    tls.put("new", ".new")
    tls.nginx_takes_it(False)
    assert not tls.ensure()
    assert tls.there()["hub.pem"] == tls.there()["hub.key"] == "old"
