"""The timers that measure and tell, where they tell it, and the proof that it arrives."""

from __future__ import annotations

import json

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.resources.alerts_arrive import AlertsArrive
from hubrun.resources.files import Directory, File
from hubrun.resources.secret_file import GivenSecret
from hubrun.resources.services import Service
from hubrun.resources.unit_environment import UnitEnvironment
from hubrun.sections.hub import config
from hubrun.server_paths import ALERTS, KEPT, program
from hubrun.shell import quote

_TIMERS = ("hubrun-measure", "hubrun-watch")


def watch(site: Site) -> list[Resource]:
    """Programs, timers and, where the site names anybody, who is told. Raises BadInput where a secret cannot be read."""
    units = [
        File(f"/etc/systemd/system/{name}.{kind}", config.render(f"{name}.{kind}", site))
        for name in _TIMERS
        for kind in ("service", "timer")
    ]
    return [
        Directory(KEPT, 0o700),
        *config.hub_code(),
        GivenSecret(ALERTS, _settings(site)),
        UnitEnvironment("proxy", ("hubrun-watch.service",), site.proxy_environment),
        *units,
        *(Service(f"{name}.timer") for name in _TIMERS),
    ]


def alerts_arrive(site: Site) -> list[Resource]:
    """The proof that alarms reach those whom the site names; nothing where it names nobody."""
    whom = [*site.alerts_to, *(["the webhook"] if site.alerts_webhook() else [])]
    command = quote(f"{program('alarm')} {{}} {{}} --test", site.domain, ALERTS)
    return [AlertsArrive(tuple(whom), ALERTS, command, f"{KEPT}/alerts-arrive")] if whom else []


def tests(site: Site) -> list[Test]:
    """Tests that the server can say how it is."""
    says = quote(f"{program('status')} {{}}", site.domain)
    return [Test("the server says how it is", says, prints='"troubles": ')]


def _settings(site: Site) -> Secret | None:
    """The text of ALERTS (hubrun_hub/watching/sending.py); None where nobody is to be told."""
    password, webhook = site.alerts_smtp_password(), site.alerts_webhook()
    if not (site.alerts_to or webhook):
        return None
    says = {
        "domain": site.domain,
        "to": site.alerts_to,
        "smtp": site.alerts_smtp,
        "user": site.alerts_smtp_user,
        "password": password.reveal() if password else "",
        "webhook": webhook.reveal() if webhook else "",
    }
    return Secret(json.dumps(says) + "\n", "alerts")
