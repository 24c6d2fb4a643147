"""What 17_watch puts on a server: whom it tells, and that no secret of it is shown."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hubrun import params
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.files import File
from hubrun.resources.secret_file import GivenSecret
from hubrun.sections.watch import watch_setup

HOOK = "https://hooks.example.com/T0/a-secret-part"


def site(**changes: Any) -> Site:
    return params.build({"site": "x", "domain": "hub.example.edu"} | changes, "here")


def settings(of: Site) -> Any:
    (secret,) = (each for each in watch_setup.watch(of) if isinstance(each, GivenSecret))
    return json.loads(secret.content.reveal()) if secret.content else None


def test_without_anybody_to_tell_nothing_is_sent() -> None:
    assert settings(site()) is None
    assert watch_setup.alerts_arrive(site()) == []


def test_whoever_is_named_is_told_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY", "pass-word-of-the-relay")
    monkeypatch.setenv("HOOK", HOOK)
    whole = site(
        alerts_to=["it@example.edu"], alerts_smtp="smtp.example.edu:587", alerts_smtp_user="hub",
        alerts_smtp_password_env="RELAY", alerts_webhook_env="HOOK",
    )  # fmt: skip
    assert settings(whole) == {
        "domain": "hub.example.edu", "to": ["it@example.edu"], "smtp": "smtp.example.edu:587", "user": "hub",
        "password": "pass-word-of-the-relay", "webhook": HOOK,
    }  # fmt: skip
    (proof,) = watch_setup.alerts_arrive(whole)
    assert proof.label == "alarms for it@example.edu, the webhook"
    shown = [
        f"{resource!r}{resource.label}{resource.probe()}" + "".join(f"{each.title}{each.script}{each.shown}{each.diff}" for each in resource.plan(""))
        for resource in [*watch_setup.watch(whole), proof]
    ]  # fmt: skip
    assert not [text for text in shown if "pass-word" in text or "a-secret-part" in text]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"alerts_to": ["nobody"]}, "alerts_to"),
        ({"alerts_smtp": "smtp.example.edu"}, "HOST:PORT of a mail relay"),
        ({"alerts_smtp": "smtp.example.edu:0"}, "HOST:PORT of a mail relay"),
        ({"alerts_smtp": ""}, "HOST:PORT of a mail relay"),
        ({"alerts_smtp_user": "hub"}, "go together"),
        ({"alerts_smtp_password_env": "RELAY"}, "go together"),
        ({"timezone": "Europe/Zuerich"}, "a time zone by its name"),
        ({"timezone": "../etc/passwd"}, "a time zone by its name"),
        ({"timezone": "CET-1CEST"}, "a time zone by its name"),
        ({"updates_hour": 24}, "updates_hour"),
        ({"log_days": -1}, "log_days"),
    ],
)
def test_what_cannot_be_right_is_said_before_anything_is_touched(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        site(**changes)


@pytest.mark.parametrize("zone", ["", "UTC", "Europe/Zurich", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_time_zones_are_taken_by_their_names(zone: str) -> None:
    assert site(timezone=zone).timezone == zone


def test_a_webhook_that_is_none_is_refused_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", HOOK.replace("https", "http"))
    with pytest.raises(BadInput) as caught:
        watch_setup.watch(site(alerts_webhook_env="HOOK"))
    assert "alerts_webhook_env" in str(caught.value) and "a-secret-part" not in str(caught.value)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    units = [each for each in watch_setup.watch(site()) if isinstance(each, File)]
    assert len(units) == 4
    for unit in units:
        (tmp_path / unit.path.rpartition("/")[2]).write_text(unit.content.replace("/usr/bin/python3", "/bin/sh"))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "hubrun" in line]) == (0, [])
