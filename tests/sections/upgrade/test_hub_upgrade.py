"""13_upgrade: the hub of before is kept until the new one was tested."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from hubrun.params import Site
from hubrun.sections.docker_spawner import image_versions
from hubrun.sections.https import nginx
from hubrun.sections.upgrade import hub_upgrade

SITE = Site(site="x", domain="hub.example.edu")


@pytest.mark.parametrize(
    ("check_mode", "pending", "removed"),
    [(False, [], True), (True, [], False), (False, ["service jupyterhub.service"], False)],
    ids=["it was tested", "check mode", "plan first: a part of it was only shown"],
)
def test_the_copy_goes_only_when_the_new_hub_was_tested(
    monkeypatch: pytest.MonkeyPatch, check_mode: bool, pending: list[str], removed: bool
) -> None:
    server = Mock(site=SITE, check_mode=check_mode, pending=pending)
    server.probe.return_value = [Mock(stdout="404\n")]
    steps: list[Any] = []
    monkeypatch.setattr(image_versions, "look", lambda _: [image_versions.Versions()])
    monkeypatch.setattr(hub_upgrade, "_unfinished", lambda _: True)
    monkeypatch.setattr(hub_upgrade, "_verify", steps.append)
    hub_upgrade.upgrade(server)
    assert steps == [server]
    scripts = [call.args[0] for call in server.run.call_args_list]
    assert scripts == ([hub_upgrade.copy(SITE).forget()] if removed else [])


@pytest.mark.parametrize("gate", ["401", "404", "000"])
def test_nginx_has_its_page_for_launches_that_wait_before_the_hub_restarts(
    monkeypatch: pytest.MonkeyPatch, gate: str
) -> None:
    """It asks the hub who may pass: one that does not know the question, or is down, keeps the nginx that it has."""
    page = Mock(label="nginx's page")
    monkeypatch.setattr(nginx, "port_443", lambda _: [page])
    server = Mock(site=SITE)
    server.probe.return_value = [Mock(stdout=f"{gate}\n")]
    labels = [resource.label for resource in hub_upgrade.software(server)]
    assert (page.label in labels) == (gate == "401")
    if gate == "401":
        assert labels.index(page.label) < labels.index("service jupyterhub.service")
