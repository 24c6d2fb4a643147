"""A network that reaches the outside by a proxy only: who is told of it, and that it goes again."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from hubrun import params
from hubrun.desired.cards import ProgressLine
from hubrun.desired.resource import Action, Result
from hubrun.desired.server import Server
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.files import Absent, File
from hubrun.resources.unit_environment import UnitEnvironment
from hubrun.sections.docker_spawner import docker_setup, image_versions
from hubrun.sections.https import site_certificate
from hubrun.sections.hub import config, consumer_files
from hubrun.sections.server import preflight, proxy
from hubrun.sections.verify.network_reach import Survey, groups
from hubrun.ssh.output import Output

PLAIN = Site(site="x", domain="hub.example.edu")
SITE = PLAIN.model_copy(update={"http_proxy": "http://proxy.example.edu:3128/", "no_proxy": [".example.edu", "10.0.0.0/8"]})  # fmt: skip
DIRECT = "localhost,127.0.0.1,::1,172.29.0.1,hub.example.edu,.example.edu,10.0.0.0/8"


@pytest.mark.parametrize(
    "address",
    ["http://proxy.example.edu:3128", "http://10.0.0.5:8080/", "http://[2001:db8::5]:3128", "http://proxy:3128"],
)
def test_an_address_of_a_proxy_is_taken(address: str) -> None:
    assert params.build({"site": "x", "domain": "hub.example.edu", "http_proxy": address}, "test").proxy_port[1]


@pytest.mark.parametrize(
    "address",
    ["proxy.example.edu:3128", "https://proxy.example.edu:3128", "socks5://proxy:1080", "http://proxy.example.edu", "http://me:secret@proxy:3128",
     "http://localhost:3128", "http://127.0.0.1:3128", "http://[::1]:3128", "http://proxy:3128/path", "http://proxy:3128?a", "DIRECT"],
)  # fmt: skip
def test_what_is_no_proxy_that_everybody_can_use_is_refused_and_no_password_is_shown(address: str) -> None:
    with pytest.raises(BadInput, match=r"http://HOST:PORT of a proxy") as refused:
        params.build({"site": "x", "domain": "hub.example.edu", "http_proxy": address}, "test")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "ok"),
    [("git.example.edu", True), (".example.edu", True), ("10.0.0.0/8", True), ("10.1.2.3", True), ("2001:db8::1", True), ("gitlab", True),
     ("*.example.edu", False), ("a,b", False), ("", False), ("http://a", False), ("a b", False), ("-a", False)],
)  # fmt: skip
def test_what_is_reached_without_is_a_host_a_domain_or_a_network(given: str, ok: bool) -> None:
    values = {"site": "x", "domain": "hub.example.edu", "http_proxy": "http://proxy:3128", "no_proxy": [given]}
    if ok:
        assert params.build(values, "test").proxy_environment["NO_PROXY"].endswith(f",{given}")
        return
    with pytest.raises(BadInput, match="no_proxy"):
        params.build(values, "test")


def test_hosts_without_a_proxy_are_a_mistake() -> None:
    with pytest.raises(BadInput, match="no_proxy needs http_proxy"):
        params.build({"site": "x", "domain": "hub.example.edu", "no_proxy": ["a"]}, "test")


def test_programs_are_told_in_both_ways_of_writing_and_never_for_the_server_itself() -> None:
    found = SITE.proxy_environment
    assert found["http_proxy"] == found["HTTPS_PROXY"] == "http://proxy.example.edu:3128"
    assert found["no_proxy"] == found["NO_PROXY"] == DIRECT
    assert PLAIN.proxy_environment == {}


def run_for(site: Site) -> str:
    """The script that an action of a runbook becomes."""
    server: Any = object.__new__(Server)
    server.site, server.session = site, Mock()
    server.session.execute.return_value = Output(0, "")
    say = 'echo "${http_proxy:-} ${https_proxy:-} ${HTTPS_PROXY:-} ${no_proxy:-}"'
    server._apply(Result("a resource", "not run", [Action("say it", say)]), ProgressLine())
    return str(server.session.execute.call_args.args[0])


def test_what_a_runbook_runs_goes_through_the_proxy() -> None:
    done = subprocess.run(["sh", "-c", run_for(SITE)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["http://proxy.example.edu:3128"] * 3 + [DIRECT]
    assert "export" not in run_for(PLAIN)
    (asked,) = (test for test in preflight.preflight(SITE) if test.title.startswith("apt"))
    assert asked.script.startswith("export http_proxy=http://proxy.example.edu:3128\n")


def test_apt_knows_the_proxy_by_itself_and_forgets_it_again() -> None:
    setting, units = proxy.apt(SITE)
    assert isinstance(setting, File) and 'Acquire::https::Proxy "http://proxy.example.edu:3128";' in setting.content
    assert isinstance(units, UnitEnvironment) and units.units == ("apt-daily.service", "apt-daily-upgrade.service")
    gone, none = proxy.apt(PLAIN)
    assert gone == Absent(proxy.APT_CONF) and isinstance(none, UnitEnvironment) and none.values == {}
    assert gone.plan("") == none.plan("") == []


def test_units_get_the_variables_and_lose_them_again(tmp_path: Path) -> None:
    def run(script: str, data: bytes = b"") -> str:
        script = script.replace("/etc/systemd/system", str(tmp_path)).replace(
            "systemctl daemon-reload", "echo reloaded"
        )
        return subprocess.run(["sh", "-euc", script], input=data, capture_output=True, check=True).stdout.decode()

    def found(resource: UnitEnvironment) -> str:
        return run(resource.probe()).replace(str(tmp_path), "/etc/systemd/system")

    on = UnitEnvironment("proxy", ("a.service", "b.service"), {"http_proxy": "http://p:1/%41", "no_proxy": "a,.b"})
    off = UnitEnvironment("proxy", on.units, {})
    assert off.plan(found(off)) == []
    (action,) = on.plan(found(on))
    assert run(action.script, action.data) == "reloaded\n"
    text = (tmp_path / "b.service.d/hubrun-proxy.conf").read_text()
    assert text == on.text and 'Environment="http_proxy=http://p:1/%%41"\nEnvironment="no_proxy=a,.b"\n' in text
    assert on.plan(found(on)) == []
    (tmp_path / "a.service.d/hubrun-proxy.conf").write_text("by hand")
    (tmp_path / "b.service.d/mine.conf").touch()
    (action,) = on.plan(found(on))
    assert action.title == "write /etc/systemd/system/a.service.d/hubrun-proxy.conf"
    (action,) = off.plan(found(off))
    run(action.script)
    assert [path.name for path in tmp_path.rglob("*")] == ["b.service.d", "mine.conf"]
    assert off.plan(found(off)) == []


def test_docker_is_started_with_it_once() -> None:
    directory, drop_in, settings, service = docker_setup.running(SITE)
    assert drop_in.writes == ("/etc/systemd/system/docker.service.d/hubrun-proxy.conf",)
    runs = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"
    *_, restart = service.plan(service.foresee(runs, drop_in.writes))
    assert restart.title.startswith("restart docker.service")
    # The settings restart Docker too, and come after it.
    (written,) = settings.plan("")
    assert service.plan(service.foresee(runs, [*drop_in.writes, *settings.writes, *written.writes])) == []
    assert directory.label == "directory /etc/docker"


def test_the_image_is_built_through_it_and_is_the_same_image() -> None:
    with_proxy, without = image_versions.described(SITE), image_versions.described(PLAIN)
    assert with_proxy.digest == without.digest
    (action,) = with_proxy.plan("")
    assert "--build-arg https_proxy=http://proxy.example.edu:3128" in action.script
    assert "_proxy" not in without.plan("")[0].script


@pytest.mark.parametrize("nbgitpuller", [True, False])
def test_students_containers_know_it_and_may_reach_it(nbgitpuller: bool) -> None:
    site = SITE.model_copy(update={"nbgitpuller": nbgitpuller})
    ast.parse(config.render("40-docker.py", site))
    assert json.loads(config.filter_settings(site))["environment"]["no_proxy"] == DIRECT
    rules = config.render("student-network.nft", site)
    assert rules.count("ip daddr @proxy tcp dport 3128 goto counted") == 2
    plain = PLAIN.model_copy(update={"nbgitpuller": nbgitpuller})
    assert ("def get_env" in config.render("40-docker.py", plain)) == nbgitpuller
    assert "proxy" not in config.render("student-network.nft", plain).replace("The proxy's and the hub's", "").replace("the proxy's and the hub's", "")  # fmt: skip
    nothing = Survey((), (), (), (), (), ())
    (tried,) = (group for group in groups(site, nothing, []) if "proxy" in group.what)
    assert tried.open and tried.targets == (("proxy.example.edu", 3128),)
    assert not [group for group in groups(plain, nothing, []) if "proxy" in group.what]


def test_the_hub_and_the_certificates_renewal_know_it() -> None:
    unit = config.render("jupyterhub.service", SITE)
    assert f'Environment="HUBRUN_NO_PROXY={DIRECT}"' in unit and "HUBRUN" not in config.render("jupyterhub.service", PLAIN)  # fmt: skip
    site = SITE.model_copy(update={"lti_version": "1.3", "lti_client_ids": ["1"]})
    (test,) = consumer_files.key_tests(site)
    assert "env HUBRUN_HTTP_PROXY=http://proxy.example.edu:3128 HUBRUN_NO_PROXY=" in test.script
    assert any(isinstance(each, UnitEnvironment) and each.values for each in site_certificate.renewal(SITE))
