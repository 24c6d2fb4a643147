"""See it before it happens: the plan on a fresh server, and the drift of one that somebody has changed by hand."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Installed, first
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from machines import Ended, Machine, hubrun

from hubrun import params

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


def items(ended: Ended, status: str) -> list[tuple[str, str, str]]:
    """(runbook, step, resource) of each result with this status."""
    return [
        (book["name"], step["title"], result["resource"])
        for book in ended.manifest["runbooks"]
        for step in book["steps"]
        for result in step["results"]
        if result["status"] == status
    ]


# -- a fresh server


def test_a_plan_of_a_fresh_server_says_that_there_is_something_to_do(installed: Installed) -> None:
    assert installed.plan.code == 2, installed.plan.tail
    assert installed.plan.manifest["status"] == "would change"
    assert {book["status"] for book in installed.plan.manifest["runbooks"]} == {"would change", "ok"}


def test_a_plan_touches_nothing_not_even_for_a_moment(installed: Installed) -> None:
    assert installed.touched == []


def test_the_install_does_what_the_plan_had_listed_item_by_item(installed: Installed) -> None:
    assert items(installed.plan, "would change") == items(installed.first, "changed")


def test_what_depends_on_a_later_step_is_said_to_be_known_after_it(installed: Installed) -> None:
    steps = {step["title"]: step for book in installed.plan.manifest["runbooks"] for step in book["steps"]}
    assert steps["Two services"]["status"] == "would change"
    assert steps["A student works"]["unchecked"]


# -- drift

_UNIT = "/etc/systemd/system/jupyterhub.service"
_HTTPS = "/etc/nginx/conf.d/jupyterhub-https.conf"
_SERVED = "nginx serves /etc/letsencrypt/live/hub.test.localhost/fullchain.pem"


@dataclass(frozen=True)
class Change:
    """Something that was done by hand. only: the runbook that puts it right. names: the resources a plan must name."""

    script: str
    only: str
    names: Sequence[str]
    data: bytes = b""


def expired(domain: str) -> bytes:
    """A key, and its certificate for `domain` that ended yesterday; PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domain)])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(90)).not_valid_after(now - datetime.timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(encoding, form, serialization.NoEncryption())
    return private + made.sign(key, hashes.SHA256()).public_bytes(encoding)


CHANGES = {
    # None of it is the operator's to repair. The hub, which runs, still has its database open.
    "the hub's configuration broken, its secrets and its database gone": Change(
        "echo 'nothing_like_this()' >> /etc/jupyterhub/conf.d/20-hub.py; rm /etc/jupyterhub/proxy.env /var/lib/jupyterhub/cookie_secret /var/lib/jupyterhub/jupyterhub.sqlite",
        "02",
        [
            "file /etc/jupyterhub/conf.d/20-hub.py", "secrets /etc/jupyterhub/proxy.env", "secret /var/lib/jupyterhub/cookie_secret", "the hub's database",
            "service jupyterhub-proxy.service", "service jupyterhub.service",
        ],
    ),
    "the secret made readable": Change("chmod 0644 /etc/jupyterhub/lti.env", "02", ["secrets /etc/jupyterhub/lti.env"]),
    "nginx stopped": Change("systemctl stop nginx", "03", ["service nginx"]),
    "a package removed": Change(
        "apt-get remove -y -qq curl >/dev/null 2>&1",
        "01",
        ["packages python3, python3-venv, sudo, curl, gpg, openssl, iproute2, logrotate, unattended-upgrades, nginx, docker.io, iptables, nftables, certbot"],
    ),
    "the unit changed": Change(f"sed -i 's/^Restart=.*/Restart=no/' {_UNIT}; grep -qx Restart=no {_UNIT}", "02", [f"file {_UNIT}", "service jupyterhub.service"]),
    "somebody added to the group docker": Change("useradd eve; gpasswd -a eve docker >/dev/null", "04", ["members of the group docker"]),
    "the containers' network made by hand": Change(
        """docker ps -aq --filter network=jupyterhub | xargs -r docker rm -f >/dev/null
        same=$(docker network inspect jupyterhub -f '{{range .IPAM.Config}}--subnet {{.Subnet}} --gateway {{.Gateway}}{{end}}')
        docker network rm jupyterhub >/dev/null; docker network create $same jupyterhub >/dev/null""",
        "02",
        ["Docker network jupyterhub"],
    ),
    "nginx's site changed": Change(f"sed -i 's/client_max_body_size .*/client_max_body_size 1m;/' {_HTTPS}", "03", [f"file {_HTTPS}", "service nginx"]),
    "an expired certificate in place of the right one": Change(
        """cat > /run/both; cd /etc/letsencrypt/live/*/
        sed -n '/BEGIN PRIVATE/,/END PRIVATE/p' /run/both > privkey.pem
        sed -n '/BEGIN CERT/,/END CERT/p' /run/both > fullchain.pem
        rm /run/both; grep -q BEGIN fullchain.pem""",
        "03",
        ["certificate for hub.test.localhost"],
        expired("hub.test.localhost"),
    ),
    "the certificate's file emptied": Change(": > /etc/letsencrypt/live/hub.test.localhost/fullchain.pem", "03", ["certificate for hub.test.localhost", _SERVED]),
    "the certificate's file emptied and nginx stopped, which cannot start with it": Change(
        "systemctl stop nginx; : > /etc/letsencrypt/live/hub.test.localhost/fullchain.pem; ! nginx -t",
        "03",
        [f"no {_HTTPS} that keeps nginx from starting", "certificate for hub.test.localhost", f"file {_HTTPS}", "service nginx"],
    ),
    "the image's tag on another image": Change("echo 'FROM hubrun-singleuser:latest\nLABEL by=hand' | docker build -q -t hubrun-singleuser:latest - >/dev/null", "04", ["servers start with hubrun-singleuser:…"]),
}  # fmt: skip


# What does not touch the same resources is changed together: each round takes two plans and its runbooks.
ROUNDS = (
    ("the hub's configuration broken, its secrets and its database gone", "a package removed", "nginx's site changed", "the image's tag on another image"),
    ("the secret made readable", "nginx stopped", "somebody added to the group docker"),
    ("the unit changed", "the containers' network made by hand", "an expired certificate in place of the right one"),
    ("the certificate's file emptied",),
    ("the certificate's file emptied and nginx stopped, which cannot start with it",),
)  # fmt: skip


def named(ended: Ended, status: str) -> list[str]:
    """The resources that have this status, without the ids of images."""
    return [re.sub(r":[0-9a-f]{12}$", ":…", name) for _, _, name in items(ended, status)]


def test_a_server_that_was_just_set_up_has_no_drift(machine: Machine) -> None:
    ended = hubrun("plan", machine.site)
    assert ended.code == 0 and "nothing to do" in ended.output, ended.tail


def test_each_change_by_hand_is_tried() -> None:
    assert sorted(name for together in ROUNDS for name in together) == sorted(CHANGES)


@pytest.mark.parametrize("together", first(2, ROUNDS), ids="; ".join)
def test_what_was_changed_by_hand_is_named_and_repaired_and_nothing_else(
    machine: Machine, together: Sequence[str]
) -> None:
    changes = [CHANGES[name] for name in together]
    for change in changes:
        machine.run(change.script, data=change.data)
    planned = hubrun("plan", machine.site)
    # before anything is asserted: the next round needs the server as it was
    repaired = [hubrun("install", machine.site, "--only", only) for only in sorted({change.only for change in changes})]
    again = hubrun("plan", machine.site)
    names = sorted(name for change in changes for name in change.names)
    assert planned.code == 2, planned.tail
    assert sorted(set(named(planned, "would change"))) == names, planned.tail
    assert re.search(r"it (had been set by|was right in) run \d{8}T", planned.output), planned.tail
    # one by one, also where a resource is changed in two steps
    done = sorted(name for ended in repaired for name in named(ended, "changed"))
    assert [ended.code for ended in repaired] == [0] * len(repaired), [ended.tail for ended in repaired]
    assert done == sorted(named(planned, "would change")) and set(done) == set(names)
    assert again.code == 0, again.tail


def test_the_drift_is_there_for_a_monitor_with_the_run_that_had_set_it(machine: Machine, installed: Installed) -> None:
    machine.run("chmod 0644 /etc/jupyterhub/lti.env")
    ended = hubrun("plan", machine.site, "--only", "02", "--json")
    text = ended.output
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    results = [
        result for book in found["predicate"]["runbooks"] for step in book["steps"] for result in step["results"]
    ]
    (drifted,) = [result for result in results if result["status"] == "would change"]
    assert drifted["resource"] == "secrets /etc/jupyterhub/lti.env" and drifted["set_by"]
    assert hubrun("install", machine.site, "--only", "02").code == 0


# -- several


def test_of_several_sites_one_with_bad_input_fails_and_the_other_is_planned(machine: Machine, tmp_path: Path) -> None:
    values = params.load(machine.site).given()
    bad = tmp_path / "bad.yaml"
    bad.write_text(json.dumps(values | {"site": "bad", "ssh_port": 1}))
    ended = hubrun("plan", bad, machine.site, "--only", "01")
    assert ended.code == 1, ended.tail
    assert "cannot connect" in ended.output and "bad" in ended.output
    assert any(line.split()[:2] == ["test", "ok"] for line in ended.output.splitlines()), ended.tail
