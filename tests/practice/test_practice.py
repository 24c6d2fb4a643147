"""The parts of the practice server that need no engine."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from typing_extensions import override

from hubrun import params
from hubrun.errors import BadInput, EngineMissing, HubrunError
from hubrun.practice import acme, container, copies, docker_engine, lifecycle, machine, practice_server, server_images
from hubrun.redaction.secret import Secret
from hubrun.resources.acme_dns import challenge


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ".practice"
    monkeypatch.setattr(practice_server, "STATE", folder)
    return folder


@pytest.mark.parametrize("name", ["practice", "a", "team-2", "x" * 40])
def test_a_name_that_fits_a_domain_is_taken(name: str) -> None:
    practice_server.check_name(name)


@pytest.mark.parametrize(
    "name", ["", "Team", "2nd", "a_b", "a b", "../x", "-a", "a-", "x" * 41, "a-acme", "a-node-1", "a\n"]
)
def test_a_name_that_fits_no_domain_is_bad_input(name: str) -> None:
    with pytest.raises(BadInput) as error:
        practice_server.load(name)
    assert error.value.where == "--name" and error.value.remedy


def test_a_system_that_no_practice_server_runs_is_bad_input_before_anything_is_made(state: Path) -> None:
    with pytest.raises(BadInput, match="debian-12, debian-13"):
        lifecycle.up("practice", "windows-95", lambda _: None)
    assert not state.exists()


def test_a_server_keeps_the_system_it_was_made_with(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    practice_server.Practice("practice", "debian-13", 1, made=True).save()
    monkeypatch.setattr(docker_engine, "ensure", lambda *_: pytest.fail("the engine was asked for"))
    with pytest.raises(BadInput, match="debian-13"):
        lifecycle.up("practice", "debian-12", lambda _: None)


def test_a_server_that_was_never_brought_up_says_how_to(state: Path) -> None:
    with pytest.raises(BadInput, match="practice up --name team"):
        practice_server.load("team")
    practice_server.Practice("team", "debian-12", 3).save()  # half made
    with pytest.raises(BadInput):
        practice_server.load("team")
    practice_server.Practice("team", "debian-12", 3, made=True).save()
    assert practice_server.load("team").index == 3


def test_info_has_the_form_of_the_contract(state: Path) -> None:
    info = practice_server.Practice("practice", "debian-12", 1).info()
    assert list(info) == ["ssh", "domain", "url", "address", "https_port", "ca_bundle", "container", "site"]
    assert list(info["ssh"]) == ["host", "port", "user", "key", "known_hosts"]
    assert info["url"] == f"https://{info['domain']}:{info['https_port']}/"


def test_nodes_have_names_addresses_and_ports_of_their_own(state: Path) -> None:
    practice = practice_server.Practice("a", "debian-12", 1, servers=practice_server.MOST_SERVERS)
    machines = practice.machines()
    assert [each.container for each in machines[:2]] == ["hubrun-a", "hubrun-a-node-1"]
    ports = [port for each in machines for port in each.ports] + [practice.ports["registry"]]
    assert len(set(ports)) == len(ports) and max(ports) - min(ports) < 100
    assert len({each.address for each in machines} | {practice.services_address}) == len(machines) + 1
    practice.chain()
    practice.write_site()
    site = params.load(practice.site_file)
    assert [node.name for node in site.nodes] == [f"node-{n}" for n in range(1, practice_server.MOST_SERVERS)]
    assert site.node_files == "sshfs" and site.homes and site.manager_address == practice.address
    info = practice.info()
    assert info["nodes"]["a-node-1"]["port"] == site.nodes[0].ssh_port != info["ssh"]["port"]
    keys = lifecycle._keys(practice)
    assert len({files["/etc/ssh/ssh_host_ed25519_key"] for files in keys.values()}) == len(machines)
    known = (practice.folder / "known_hosts").read_text().splitlines()
    assert [line.split()[0] for line in known] == [f"[127.0.0.1]:{next(iter(each.ports))}" for each in machines]


def test_a_site_keeps_the_nodes_it_was_made_with(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    practice_server.Practice("practice", "debian-12", 1, made=True, servers=3).save()
    monkeypatch.setattr(docker_engine, "ensure", lambda *_: pytest.fail("the engine was asked for"))
    with pytest.raises(BadInput, match="has 2 nodes"):
        lifecycle.up("practice", None, lambda _: None, 1)


class Asked(docker_engine.Engine):
    """An engine of which everything is asked in vain but what it is told; there: what exists, as (kind, name)."""

    there: ClassVar[dict[tuple[str, str], dict[str, Any]]] = {}
    asked: ClassVar[list[str]] = []

    @override
    def run(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> str:
        self.asked.append(" ".join(args))
        if "cp" in args and ("fails", "") in self.there:
            raise HubrunError("no space left on device", "docker run")
        return {"commit": "sha256:c0de\n", "diff": "C /opt\nA /opt/hub\nA /opt/hub/bin\n"}.get(args[0], "")

    @override
    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.there.get((kind, name))


@pytest.fixture
def asked(state: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The engine below a practice server `a` that runs; its folder has what `up` writes."""
    engine = Asked("docker", 2)
    monkeypatch.setattr(Asked, "asked", [])
    monkeypatch.setattr(Asked, "there", {("container", "hubrun-a"): {"State": {"Running": True}}})
    monkeypatch.setattr(docker_engine, "ensure", lambda *_: engine)
    monkeypatch.setattr(container, "free", lambda _: True)
    made = practice_server.Practice("a", "debian-12", 1).save(made=True)
    made.chain()
    made.write_site()
    return engine


def test_a_copy_has_domain_and_certificates_of_its_original_and_ports_and_an_address_of_its_own(
    state: Path, asked: Asked
) -> None:
    copy, original = lifecycle.copy("a", "b", lambda _: None), practice_server.load("a")
    assert practice_server.read("b") == copy and not copy.made
    assert (copy.domain, copy.host("acme"), copy.chain()) == (original.domain, original.host("acme"), original.chain())
    assert not set(copy.ports.values()) & set(original.ports.values()) and copy.address != original.address
    assert not (copy.folder / "site.yaml").exists(), "`up` writes its own"
    words = [line.split()[0] for line in asked.asked]
    first, last = words.index("pause"), words.index("unpause")
    assert words[first : last + 1] == ["pause", "commit", "diff", "run", "unpause"] and words[-1] == "tag"
    (filled,) = [line for line in asked.asked if line.startswith("run ")]
    assert "--volume=hubrun-a-docker:/from/var/lib/docker:ro --volume=hubrun-b-docker:/to/var/lib/docker" in filled

    # And of the copy, which has not run yet, there can be another one.
    asked.asked.clear()
    again = lifecycle.copy("b", "c", lambda _: None)
    assert again.domain == original.domain and again.index not in (copy.index, original.index)
    assert asked.asked[-1] == "tag hubrun-practice/copy:b hubrun-practice/copy:c"
    assert not [line for line in asked.asked if line.startswith(("pause", "commit"))]
    assert (again.folder / copies.ADDED).read_text() == "/opt/hub\n"


def test_what_was_added_to_a_disk_is_named_once_and_what_is_not_on_it_is_not() -> None:
    diff = "C /srv\nA /srv/a\nA /srv/a/b\nA /srv/a/b/c\nD /srv/gone\nA /srv/ab\nA /usr/lib/x\nA /usr/local/lib/x\nA /sys/fs\nA /tmp/x\n"
    assert copies.added(diff) == ["/srv/a", "/srv/ab", "/usr/local/lib/x"]


def test_before_its_first_boot_a_copy_makes_each_added_folder_its_own(tmp_path: Path) -> None:
    folder, link, added = tmp_path / "a folder", tmp_path / "link", tmp_path / "added"
    folder.mkdir(mode=0o710)
    (folder / "file").write_text("text")
    link.symlink_to(folder)
    added.write_text(f"{folder}\n{link}\n{folder / 'file'}\n{tmp_path / 'gone'}\n")
    before, program = folder.stat(), copies.BEFORE_BOOT.replace(copies.ADDED_THERE, str(added))
    for _ in range(2):  # at the second boot there is nothing to do
        done = subprocess.run(["sh", "-c", f"{program}echo booted"], capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("booted\n", "")
        now = folder.stat()
        assert (now.st_mode, now.st_mtime_ns) == (before.st_mode, before.st_mtime_ns) and now.st_ino != before.st_ino
        assert (folder / "file").read_text() == "text" and link.is_symlink()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a folder", "link"]


def test_nothing_is_left_of_a_copy_that_fails_and_its_original_goes_on(state: Path, asked: Asked) -> None:
    asked.there["fails", ""] = {"Id": "0"}
    with pytest.raises(HubrunError, match="no space"):
        lifecycle.copy("a", "b", lambda _: None)
    assert not (state / "b").exists() and "unpause hubrun-a" in asked.asked
    assert not [line for line in asked.asked if line.startswith("tag ")]


def test_half_a_copy_is_not_started(state: Path, asked: Asked) -> None:
    half = practice_server.Practice("b", "debian-12", 2, copy_of="a").save()
    asked.there["network", half.container] = {"Id": "1"}
    asked.asked.clear()
    lifecycle._place(asked, "b", "debian-12", 1)
    assert any(line.startswith("network create") for line in asked.asked), "it begins anew"
    asked.there["image", half.image] = {"Id": "2"}
    asked.asked.clear()
    assert lifecycle._place(asked, "b", "debian-12", 1) == half and asked.asked == []


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        ("nobody", "b", "no practice server 'nobody'"),
        ("half", "b", "no practice server 'half'"),
        ("three", "b", "has nodes"),
        ("a", "a", "there is a practice server 'a' already"),
        ("a", "three", "there is a practice server 'three' already"),
        ("a", "b_", "'b_' is not a name"),
    ],
)
def test_what_cannot_be_copied_is_named_and_nothing_is_touched(
    state: Path, asked: Asked, source: str, name: str, says: str
) -> None:
    practice_server.Practice("half", "debian-12", 2).save()
    practice_server.Practice("three", "debian-12", 3, servers=3).save(made=True)
    with pytest.raises(BadInput, match=says):
        lifecycle.copy(source, name, lambda _: None)
    assert asked.asked == [] and not (state / "b").exists()


def test_two_servers_share_no_address_port_or_name() -> None:
    first, second = practice_server.Practice("a", "debian-12", 1), practice_server.Practice("b", "debian-12", 2)
    assert not set(first.ports.values()) & set(second.ports.values())
    assert not set(first.names()) & set(second.names())
    assert first.subnet != second.subnet


def test_the_last_server_stays_below_the_ports_of_clients() -> None:
    assert max(practice_server.Practice("z", "debian-12", lifecycle.MOST).ports.values()) < 32768


def test_the_site_file_is_whole_private_and_names_files_absolutely(state: Path) -> None:
    practice = practice_server.Practice("practice", "debian-12", 1)
    practice.chain()
    practice.write_site()
    site = yaml.safe_load(practice.site_file.read_text())
    assert site["site"] == "practice" and site["tls"] == "acme"
    assert site["base_image"].startswith("registry.practice.test:5000/jupyter/scipy-notebook:20")
    files = [site[key] for key in ("ssh_key_file", "ssh_known_hosts_file", "acme_ca_file", "trust_ca_file")]
    assert all(Path(path).is_absolute() for path in files + site["ca_certificates"])
    assert site["acme_ca_file"] in site["ca_certificates"]  # the server's Docker trusts the registry by it
    private = [path for path in practice.folder.rglob("*") if path.is_file()]
    assert private and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in private)


def test_what_only_a_running_server_knows_is_not_in_the_committed_parameters() -> None:
    committed = yaml.safe_load(practice_server.PARAMS.read_text())
    assert not {"domain", "ssh_host", "ssh_port", "base_image", "acme_directory"} & set(committed)


def test_the_services_certificate_holds_for_their_names_and_no_others() -> None:
    chain = acme.make_chain("test CA", ["acme.a.test", "registry.a.test"])
    store = Store([x509.load_pem_x509_certificate(chain.ca.encode())])
    leaf = x509.load_pem_x509_certificate(chain.certificate.encode())
    for name in ("acme.a.test", "registry.a.test", "localhost"):
        PolicyBuilder().store(store).build_server_verifier(x509.DNSName(name)).verify(leaf, [])
    with pytest.raises(x509.verification.VerificationError):
        PolicyBuilder().store(store).build_server_verifier(x509.DNSName("acme.b.test")).verify(leaf, [])


def test_the_services_certificate_is_made_once(state: Path) -> None:
    practice = practice_server.Practice("practice", "debian-12", 1)
    made = practice.chain()
    assert practice.chain() == made
    (practice.folder / "services.key").unlink()
    assert practice.chain().ca != made.ca


def test_the_acme_server_validates_on_the_real_ports() -> None:
    chain = acme.make_chain("test CA", ["acme.a.test"])
    files = acme.configuration(chain, "hub.a.localhost", {"hub.a.localhost": "10.213.1.3"}, "c2VjcmV0")
    pebble = json.loads(files[f"{acme.ETC}/pebble.json"][0])["pebble"]
    assert (pebble["httpPort"], pebble["tlsPort"]) == (80, 443)
    assert pebble["externalAccountBindingRequired"] is False
    assert "address=/hub.a.localhost/10.213.1.3\n" in files[f"{acme.ETC}/dnsmasq.conf"][0]
    assert {mode for path, (_, mode) in files.items() if path.endswith((".key", "pebble.json"))} == {0o600}


def test_one_record_of_the_zone_may_be_updated_by_whoever_has_the_key() -> None:
    chain = acme.make_chain("test CA", ["acme.a.test"])
    files = acme.configuration(chain, "hub.a.localhost", {"hub.a.localhost": "10.213.1.3"}, "c2VjcmV0")
    knot, mode = files[f"{acme.ETC}/knot.conf"]
    assert mode == 0o600 and "secret: c2VjcmV0\n" in knot and "domain: hub.a.localhost\n" in knot
    assert "update-type: TXT\n" in knot and "update-owner-name: _acme-challenge\n" in knot
    assert "server=/_acme-challenge.hub.a.localhost/127.0.0.1#5353\n" in files[f"{acme.ETC}/dnsmasq.conf"][0]
    assert challenge("rfc2136", Secret(acme.credentials("10.213.1.2", "c2VjcmV0"))).apis == [("10.213.1.2", 5353)]


DEB822 = """\
# URIs: http://commented.example/debian
Types: deb deb-src
URIs: http://mirror.example.edu/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example.edu/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, machine.Mirror()),
        (
            {"sources.list.d/debian.sources": DEB822},
            machine.Mirror("http://mirror.example.edu/debian", "http://mirror.example.edu/debian-security"),
        ),
        ({"sources.list.d/debian.sources": DEB822.replace("Types", "Enabled: no\nTypes")}, machine.Mirror()),
        (
            {
                "sources.list": "deb [arch=amd64] https://a.example/debian bookworm main contrib\n"
                "deb [arch=amd64] https://a.example/debian bookworm-updates main\n"
                "# deb http://b.example/debian-security bookworm-security main\n"
            },
            machine.Mirror("https://a.example/debian"),
        ),
        # Third parties name suites after releases too; they have no -updates.
        (
            {"sources.list.d/docker.list": "deb https://download.docker.example/linux/debian bookworm main\n"},
            machine.Mirror(),
        ),
        (
            {"sources.list": "deb http://archive.ubuntu.com/ubuntu noble-updates main universe\n"},
            machine.Mirror(),
        ),
    ],
)
def test_only_debians_own_mirror_is_taken_from_the_machine(
    tmp_path: Path, files: dict[str, str], expected: machine.Mirror
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert machine.mirror(tmp_path) == expected


@pytest.mark.parametrize(
    ("environ", "apt_config", "expected"),
    [
        ({}, "", {}),
        ({"http_proxy": "http://e:1"}, "", {"http": "http://e:1"}),
        ({"HTTPS_PROXY": "http://e:1"}, "", {"https": "http://e:1"}),
        ({"http_proxy": "http://e:1"}, 'Acquire::http::Proxy "http://a:2";\n', {"http": "http://a:2"}),
        ({"http_proxy": "http://e:1"}, 'Acquire::http::proxy "DIRECT";\n', {}),
        ({}, 'Acquire::http::Proxy::mirror.example "http://a:2";\n', {}),
    ],
)
def test_apts_own_proxy_comes_before_the_environments(
    environ: dict[str, str], apt_config: str, expected: dict[str, str]
) -> None:
    assert machine.proxies(environ, apt_config) == expected


def test_a_fresh_server_has_proxy_and_ca_for_apt_only_where_this_machine_needs_them() -> None:
    plain = machine.apt_files("trixie", machine.Mirror("http://m/debian"), {}, ["PEM\n"])
    assert list(plain) == ["sources.list.d/debian.sources"]
    assert "Suites: trixie trixie-updates\n" in plain["sources.list.d/debian.sources"]
    behind = machine.apt_files("trixie", machine.Mirror("https://m/debian"), {"http": "http://p:3128"}, ["PEM\n"])
    assert behind["mirror-ca.pem"] == "PEM\n"
    assert 'Acquire::http::Proxy "http://p:3128";' in behind["apt.conf.d/80provider"]
    assert "CAInfo" in behind["apt.conf.d/80provider"]


def test_the_machines_own_certificates_are_those_that_mozilla_does_not_have(tmp_path: Path) -> None:
    public, own = (acme.make_chain(name, ["a.test"]).ca for name in ("public", "own"))
    (tmp_path / "mozilla").mkdir()
    (tmp_path / "bundle.pem").write_text(f"# public\n{public}\n# own\n{own}{own}")
    bundle, mozilla = tmp_path / "bundle.pem", tmp_path / "mozilla"
    (mozilla / "public.crt").write_text(public)
    assert machine.certificates(bundle, mozilla, tmp_path / "none") == [own]
    # With nothing to compare with, the bundle says nothing: the administrator's folder does.
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "own.crt").write_text(own)
    assert machine.certificates(bundle, tmp_path / "none", tmp_path / "local") == [own]
    assert machine.certificates(bundle, tmp_path / "none", tmp_path / "none") == []


def test_debian_13_gets_its_word_on_control_groups_v1_only() -> None:
    def legacy(os_name: str, cgroup: int) -> bool:
        return any("LEGACY_FORCE" in option for option in container.server_options(os_name, cgroup))

    assert [legacy("debian-12", 1), legacy("debian-13", 1), legacy("debian-13", 2)] == [False, True, False]
    for cgroup in (1, 2):
        options = container.server_options("debian-12", cgroup)
        assert "--privileged" not in options and "--cap-drop=SYS_RESOURCE" in options
        assert container.server_command(cgroup)[2].endswith("\nexec /sbin/init")
    assert "/sys/fs/cgroup" not in container.server_command(1)[2]
    assert "remount,rw /sys/fs/cgroup" in container.server_command(2)[2]


def test_a_practice_server_cannot_set_the_clock_of_the_machine_that_it_runs_on_nor_change_its_kernel() -> None:
    options = container.server_options("debian-12", 2)
    added, dropped = options.index("--cap-add=ALL"), options.index("--cap-drop=SYS_TIME")
    assert added < dropped and {"--cap-drop=SYS_MODULE", "--cap-drop=SYS_RAWIO"} <= set(options)
    protected = container.server_command(2)[2].partition("for path in ")[2].partition("; do")[0]
    assert {"/proc/sysrq-trigger", "/proc/sys/kernel", "/proc/sys/vm", "/proc/sys/fs"} <= set(protected.split())
    assert "/proc/sys/net" not in protected, "which the Docker engine inside sets, and containers have of their own"


def test_what_a_practice_server_starts_is_a_shell_script(tmp_path: Path) -> None:
    """With programs in place of mount, mknod and init that say what they are asked for."""
    for name in ("mount", "mknod", "init"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    script = container.server_command(2)[2].replace("/sbin/init", str(tmp_path / "init"))
    done = subprocess.run(
        ["sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert "mknod -m 660 /dev/loop0 b 7 0" in lines, "for homes in a file"
    first = lines.index("mount --bind /proc/sys/kernel /proc/sys/kernel")
    assert lines[first + 1] == "mount -o remount,bind,ro /proc/sys/kernel"
    assert lines[-2:] == ["mount -o remount,rw /sys/fs/cgroup", "init"] and not done.stderr


def test_every_image_is_made_again_when_a_template_or_the_mirror_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = docker_engine.Engine("docker", 1)
    monkeypatch.setattr(machine, "mirror", machine.Mirror)

    def name() -> str:
        return server_images.Images(nobody, "debian-12", print).name("server")

    before = name()
    assert re.fullmatch(r"hubrun-practice/server:debian-12-[0-9a-f]{10}", before) and name() == before
    monkeypatch.setattr(machine, "mirror", lambda: machine.Mirror("http://other.example/debian"))
    other_mirror = name()
    (tmp_path / "server.Dockerfile").write_text("FROM scratch\n")
    monkeypatch.setattr(server_images, "TEMPLATES", tmp_path)
    assert len({before, other_mirror, name()}) == 3


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_client_without_an_engine_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"ServerVersion": "26.1", "CgroupVersion": "2"}
    good = script(tmp_path / "good", f"echo '{json.dumps(answers)}'")
    # Newer clients print an answer without a server, and exit 0.
    script(tmp_path / "docker", """echo '{"ServerVersion": "", "ServerErrors": ["no"]}'""")
    monkeypatch.setattr(docker_engine.shutil, "which", lambda *_, **__: str(tmp_path / "docker"))
    monkeypatch.setattr(docker_engine.os, "access", lambda path, _: not path.startswith("/usr/"))
    assert docker_engine.find() is None
    monkeypatch.setattr(docker_engine.shutil, "which", lambda *_, **__: good)
    assert docker_engine.find() == docker_engine.Engine(good, 2)


def test_without_rights_to_start_an_engine_one_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_engine, "find", lambda: None)
    monkeypatch.setattr(docker_engine, "_start", lambda _: pytest.fail("started"))
    monkeypatch.setattr(docker_engine, "install_packages", lambda *_, **__: pytest.fail("installed"))
    monkeypatch.setattr(docker_engine.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(docker_engine.shutil, "which", lambda name, **_: f"/usr/bin/{name}")
    with pytest.raises(EngineMissing, match="sudo ./hubrun practice"):
        docker_engine.ensure(tmp_path, lambda _: None)
    monkeypatch.setattr(docker_engine.shutil, "which", lambda *_, **__: None)
    with pytest.raises(EngineMissing, match="get.docker.com"):
        docker_engine.ensure(tmp_path, lambda _: None)


def test_an_engine_started_here_is_remembered_and_stopped_and_no_other_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = docker_engine.Engine("docker", 1)
    answers = iter([None, None, running])
    monkeypatch.setattr(docker_engine, "find", lambda: next(answers))
    monkeypatch.setattr(docker_engine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(docker_engine.shutil, "which", lambda name, **_: f"/usr/bin/{name}")
    sleep = ["sleep", "60"]
    monkeypatch.setattr(
        docker_engine, "_start", lambda state: docker_engine.start_by_hand(sleep, state / "dockerd.log")
    )
    assert docker_engine.ensure(tmp_path, lambda _: None) == running
    started = json.loads((tmp_path / "engine.json").read_text())
    docker_engine.stop_by_hand({**started, "started": "1"})  # the pid has gone to another process
    assert docker_engine._started(started["pid"]) == started["started"]
    docker_engine.stop(tmp_path, lambda _: None)
    assert docker_engine._started(started["pid"]) == ""
    assert list(tmp_path.iterdir()) == []
    docker_engine.stop(tmp_path, lambda _: pytest.fail("nothing was started, nothing is stopped"))


def test_a_failing_docker_command_says_which_and_why(tmp_path: Path) -> None:
    client = script(tmp_path / "docker", "echo working; echo 'Error: port is taken' >&2; exit 1")
    with pytest.raises(HubrunError) as error:
        docker_engine.Engine(client, 1).run("start", "hubrun-x", "--secret=1")
    assert error.value.what == "Error: port is taken" and "secret" not in str(error.value)
    with pytest.raises(HubrunError, match="did not end within 0 s"):
        docker_engine.Engine(script(tmp_path / "slow", "exec sleep 5"), 1).run("start", timeout=0.2)


@pytest.mark.parametrize(
    ("client", "pulled"),
    [
        ("echo 'bookworm: Pulling from library/debian'; echo done", True),
        ("echo 'bookworm: Pulling from library/debian'; exit 1", False),
        ("exit 1", False),
        ("exec sleep 30", False),
    ],
)
def test_a_registry_that_does_not_answer_soon_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, pulled: bool
) -> None:
    monkeypatch.setattr(server_images, "REGISTRY_ANSWERS_WITHIN", 0.5)
    start = time.monotonic()
    assert server_images.pull(docker_engine.Engine(script(tmp_path / "docker", client), 1), "debian:bookworm") is pulled
    assert time.monotonic() - start < 5


def test_a_second_practice_command_waits_for_the_first(state: Path) -> None:
    state.mkdir()
    code = (
        "import fcntl, sys, time\n"
        f"lock = open({str(state / 'lock')!r}, 'w'); fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "print('held', flush=True); time.sleep(0.5)"
    )
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline()
        with lifecycle._alone(said.append):
            assert other.wait(5) == 0
    assert said == ["waiting for another practice command to end"]


def test_a_new_server_has_a_new_host_key_and_the_old_login_key(state: Path) -> None:
    practice = practice_server.Practice("practice", "debian-12", 1)
    first = lifecycle._keys(practice)[practice.container]
    noted = (practice.folder / "known_hosts").read_text()
    host_key = first["/etc/ssh/ssh_host_ed25519_key.pub"][0].rsplit(" ", 1)[0]
    assert noted == f"[127.0.0.1]:{practice.ports['ssh']} {host_key}\n"
    second = lifecycle._keys(practice)[practice.container]
    assert second["/root/.ssh/authorized_keys"] == first["/root/.ssh/authorized_keys"]
    assert second["/etc/ssh/ssh_host_ed25519_key"] != first["/etc/ssh/ssh_host_ed25519_key"]
    assert {mode for path, (_, mode) in second.items() if not path.endswith(".pub")} == {0o600}
