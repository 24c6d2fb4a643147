"""`./hubrun new`: a params file that the schema takes, with what could be found out, and nothing believed unseen."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from paramiko import Ed25519Key

from command_line import Hubrun, command_line
from hubrun import params
from hubrun.cli import discovery, new, params_files
from hubrun.cli.discovery import Answer, Findings
from hubrun.cli.draft import Draft, draft
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.ssh.connection import ShownKey
from hubrun.ssh.openssh_config import Target
from sshd import Sshd, make_key, serve

KEY = "SHA256:" + "k" * 43
DOMAIN = "hub.example.edu"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(params_files, "FOLDER", tmp_path / "params")
    (tmp_path / "params").mkdir()
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "params"


@pytest.fixture
def hubrun(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hubrun:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a network, on which nothing is asked."""
    monkeypatch.setattr(discovery, "discover", lambda *_: Findings())


# -- what is wanted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "site", "domain"),
    [
        (("bio", "", ""), "bio", None),
        (("bio", "hub.example.edu", ""), "bio", "hub.example.edu"),
        (("hub.example.edu", "", ""), "hub-example-edu", "hub.example.edu"),
        (("hub.example.edu", "other.example.edu", ""), "hub-example-edu", "other.example.edu"),
        (("Hub.Example.EDU.", "", ""), "hub-example-edu", "hub.example.edu"),
        (("bio", "HUB.example.edu.", "203.0.113.7"), "bio", "hub.example.edu"),
        (("bio", "Bücher.example", "2001:db8::7"), "bio", "xn--bcher-kva.example"),
        (("bücher.example", "", ""), "xn--bcher-kva-example", "xn--bcher-kva.example"),
        (("a" * 60 + ".example.edu", "", ""), "a" * 41, "a" * 60 + ".example.edu"),
        (("a" * 40 + ".example.edu", "", ""), "a" * 40, "a" * 40 + ".example.edu"),
    ],
)
def test_a_name_or_a_host_name_is_enough(arguments: tuple[str, str, str], site: str, domain: str | None) -> None:
    planned, has_domain = new.planned(*arguments)
    assert (planned.site, planned.domain if has_domain else None, planned.ssh_host) == (site, domain, arguments[2])


WRONG = [
    (("../x", "", ""), "SITE: '../x' is a path, and the file is params/SITE.yaml. Give the name alone: x"),
    (("params/bio.yaml", "", ""), "is a path, and the file is params/SITE.yaml. Give the name alone: bio"),
    (("bio.yaml", "", ""), "Give the name alone: bio"),
    (("a/b", "", ""), "'a/b' is a path"),
    (("a\\b", "", ""), "is a path"),
    (("/", "", ""), "Give a name alone, such as bio"),
    (("..", "", ""), "SITE: domain is '.': must be a host name"),
    (("Bio", "", ""), "SITE: site is 'Bio': must be at most 41 lower-case letters, digits and -"),
    (("-bio", "", ""), "site is '-bio'"),
    (("", "", ""), "site is ''"),
    (("bio\n", "", ""), "site is 'bio\\n'"),
    (("b" * 42, "", ""), "must be at most 41"),
    (("büro", "", ""), "site is 'büro'"),
    (("https://hub.example.edu:8443/hub", "", ""), "is the address of a page. Give the host name alone: hub.example.edu"),
    (("https://[", "", ""), "is the address of a page. Give the host name alone"),
    (("203.0.113.7", "", ""), "SITE: 203.0.113.7 is an address, for which the hub gets no certificate"),
    (("hub.example.edu:8443", "", ""), "SITE: domain is 'hub.example.edu:8443': must be a host name in lower case"),
    (("ada@example.edu", "", ""), "SITE: domain is 'ada@example.edu'"),
    (("bio", "https://hub.example.edu/", ""), "--domain: 'https://hub.example.edu/' is the address of a page"),
    (("bio", "hub.example.edu/hub", ""), "Give the host name alone: hub.example.edu"),
    (("bio", "10.0.0.1", ""), "--domain: 10.0.0.1 is an address"),
    (("bio", "2001:db8::1", ""), "Give the host name, and the address as --host"),
    (("bio", "hub", ""), "--domain: domain is 'hub'"),
    (("bio", "hub..example.edu", ""), "--domain: domain is 'hub..example.edu'"),
    (("bio", "hub.example.edu\n", ""), "--domain: domain is 'hub.example.edu\\n'"),
    (("bio", "ü" * 80 + ".example", ""), "cannot be a host name"),
    (("bio", "\u2028.example", ""), "cannot be a host name"),
    (("bio", "", "root@203.0.113.7"), "--host: ssh_host is 'root@203.0.113.7'"),
    (("bio", "", "-oProxyCommand=x"), "--host: ssh_host is '-oProxyCommand=x'"),
    (("bio", "", "203.0.113.7:22"), "--host: ssh_host is"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "says"), WRONG)
def test_what_cannot_be_meant_is_one_line_and_no_file(
    arguments: tuple[str, str, str], says: str, hubrun: Hubrun, folder: Path
) -> None:
    name, domain, host = arguments
    code, out, err = hubrun("new", "--domain", domain, "--host", host, "--", name)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith("hubrun: ") and says in err[0]
    assert list(folder.parent.rglob("*")) == [folder]


# -- the file ------------------------------------------------------------------------------------------------------


def loaded(made: Draft, path: Path) -> Site:
    path.write_text(made.text(["a site"]))
    return params.load(path)


def test_with_a_domain_the_file_holds_as_it_is(hubrun: Hubrun, offline: None, folder: Path) -> None:
    code, out, err = hubrun("new", "bio", "--domain", "hub.example.edu", "--host", "203.0.113.7")
    assert (code, err) == (0, ["looking at DNS and the server (at most 8 s)"])
    assert (
        out == "params/bio.yaml is written.\n\nBefore the first install, look through:\n"
        "  subdomains: an address for each person; to change it later moves people's addresses\n"
        "  lti_lms, lti_version: which LMS launches, and how\n"
        "  admin_users: who administers the hub; acme_email: who is told when the certificate runs out\n"
        "\nThen see what would be done; it changes nothing:\n  ./hubrun plan params/bio.yaml\n"
    )
    assert params.load(folder / "bio.yaml") == Site(site="bio", domain="hub.example.edu", ssh_host="203.0.113.7")


def test_without_a_domain_that_is_all_that_is_left(hubrun: Hubrun, folder: Path) -> None:
    code, out, err = hubrun("new", "bio")
    assert (code, err) == (0, [])
    assert "  domain: the host name of the hub" in out
    with pytest.raises(BadInput, match=r"bio\.yaml: domain \(line \d+\) has no value: give it one"):
        params.load(folder / "bio.yaml")
    text = (folder / "bio.yaml").read_text()
    (folder / "bio.yaml").write_text(text.replace("\ndomain:\n", "\ndomain: hub.example.edu\n"))
    assert params.load(folder / "bio.yaml") == Site(site="bio", domain="hub.example.edu")


def test_the_file_explains_every_parameter_as_the_example_does(hubrun: Hubrun, offline: None, folder: Path) -> None:
    hubrun("new", "example", "--domain", "hub.example.edu")
    without_head = [
        path.read_text().partition("\n\n")[2]
        for path in (folder / "example.yaml", Path(params.__file__).parents[3] / "params/example.yaml")
    ]
    assert without_head[0] == without_head[1]


@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_is_there_stays_as_it_is(link: bool, hubrun: Hubrun, folder: Path) -> None:
    if link:
        (folder / "bio.yaml").symlink_to(folder.parent / "nowhere")
    else:
        (folder / "bio.yaml").write_text("mine")
    code, out, err = hubrun("new", "bio", "--domain", "hub.example.edu")
    assert (code, out) == (2, "")
    assert err == ["hubrun: params/bio.yaml: is there already, and stays as it is. Edit it, or choose another name"]
    assert [path.name for path in folder.iterdir()] == ["bio.yaml"]
    assert link or (folder / "bio.yaml").read_text() == "mine"


def test_a_file_that_was_made_meanwhile_stays_as_it_is(
    hubrun: Hubrun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "discover", lambda *_: (folder / "bio.yaml").write_text("mine") and Findings())
    assert hubrun("new", "bio").code == 2
    assert (folder / "bio.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_written_to_is_said_at_once(
    hubrun: Hubrun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    code, _, err = hubrun("new", "bio", "--domain", "hub.example.edu")
    assert (code, err) == (2, ["hubrun: params: this account cannot write there. See who owns it: ls -ld"])


def test_a_full_disk_leaves_no_half_of_a_file(hubrun: Hubrun, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> TextIO:
        path.touch()
        return open("/dev/full", "w")

    monkeypatch.setattr(Path, "open", full)
    code, _, err = hubrun("new", "bio")
    assert code == 2
    assert err == ["hubrun: params/bio.yaml: cannot be written: No space left on device. Make room, or repair it"]
    assert list(folder.iterdir()) == []


# -- what follows from what was found ------------------------------------------------------------------------------


def made(domain: bool = True, host: str = "", **found: Any) -> Draft:
    return draft(Site(site="bio", domain=DOMAIN, ssh_host=host), domain, Findings(**found))


@pytest.mark.parametrize(
    ("host", "addresses", "note", "left"),
    [
        ("", ["203.0.113.7"], "DNS says 203.0.113.7 (private)", "a certificate: set acme_dns"),  # RFC 5737: not global
        ("", ["8.8.8.8", "2606:4700::1"], "DNS says 8.8.8.8, 2606:4700::1", ""),
        ("", ["10.0.0.7"], "DNS says 10.0.0.7 (private)", "a certificate: set acme_dns, or tls: files"),
        ("", ["10.0.0.7", "8.8.8.8"], "DNS says 10.0.0.7 (private), 8.8.8.8", ""),
        ("", ["fe80::1%eth0"], "DNS says fe80::1%eth0 (private)", "a certificate"),
        (
            "",
            [],
            "DNS has no address for it yet",
            "a record for hub.example.edu with the server's address; until it is",
        ),
        ("8.8.8.8", [], "DNS has no address for it yet", "a record for hub.example.edu with the server's address"),
        ("", None, "DNS could not be asked: Temporary failure", ""),
    ],
)
def test_the_domains_addresses(host: str, addresses: list[str] | None, note: str, left: str) -> None:
    drafted = made(host=host, addresses=Answer(addresses, "" if addresses is not None else "Temporary failure"))
    assert drafted.notes["domain"][0].startswith(note)
    assert left in "\n".join(drafted.left) if left else drafted.left == []
    assert ("ssh_host to the server" in "\n".join(drafted.left)) == (addresses == [] and not host)


def test_ports_that_answer_that_are_closed_and_that_do_not_answer() -> None:
    notes = made(ports={80: Answer("open"), 443: Answer("closed")}).notes
    assert notes["http_port"] == ["port 80 answers: something is there already"]
    assert notes["https_port"][0].startswith("port 443 is closed")
    assert made(ports={80: Answer(why="timed out")}).notes["http_port"] == [
        "port 80 cannot be reached from here: timed out"
    ]


def test_a_host_key_that_nobody_compared_stands_there_and_is_not_believed(tmp_path: Path) -> None:
    drafted = made(host_key=Answer(ShownKey("ssh-ed25519", KEY, "is not known")), server=Answer(why="not known"))
    assert loaded(drafted, tmp_path / "bio.yaml").ssh_host_fingerprint == ""
    assert f"\n#ssh_host_fingerprint: {KEY}\n" in drafted.text([])
    assert drafted.left == [
        f"ssh_host_fingerprint: compare {KEY} (ssh-ed25519) with what your provider shows; then take away the #"
    ]
    assert "ssh_user" not in drafted.notes, "a login cannot work before the key is known"


def test_a_host_key_that_has_changed_is_not_proposed() -> None:
    drafted = made(host_key=Answer(ShownKey("ssh-ed25519", KEY, "the host key has changed", another=True)))
    assert drafted.proposed == {}
    assert drafted.left == ["SSH: the host key has changed: find out why before you go on"]


def test_a_host_key_that_is_known_leaves_nothing_to_do() -> None:
    size = {"name": "Debian 12", "cpus": "2", "memory_mb": "3900", "disk_gb": "35"}
    drafted = made(host_key=Answer(ShownKey("ssh-ed25519", KEY)), server=Answer(size), login=Answer("root@hub:22"))
    assert (drafted.left, drafted.proposed) == ([], {})
    assert drafted.notes["ssh_user"] == ["the login works: Debian 12, 2 CPUs, 3900 MB of memory, 35 GB free"]


def test_a_login_that_does_not_work_yet_is_left_to_do() -> None:
    drafted = made(host_key=Answer(ShownKey("ssh-ed25519", KEY)), server=Answer(why="the server refused the login"))
    assert drafted.notes["ssh_user"] == ["no login yet: the server refused the login"]
    assert drafted.left == ["SSH: make the login work; ./hubrun plan says what keeps it out"]


def test_a_server_that_does_not_answer_is_left_to_do_once() -> None:
    silent = Answer(why="cannot connect")
    assert len(made(host_key=silent, addresses=Answer([])).left) == 1  # DNS is what is missing
    assert len(made(host_key=silent, addresses=Answer(["8.8.8.8"])).left) == 1


@pytest.mark.parametrize(
    ("environment", "proposed"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy.example.edu:3128"}, "http://proxy.example.edu:3128"),
        ({"HTTP_PROXY": "proxy.example.edu:3128"}, "http://proxy.example.edu:3128"),
        ({"HTTP_PROXY": "http://proxy.example.edu"}, "http://proxy.example.edu:80"),
        ({"https_proxy": "http://ada:pa55word@proxy.example.edu:3128"}, "http://proxy.example.edu:3128"),
        ({"https_proxy": "socks5://proxy.example.edu:1080"}, None),
        ({"https_proxy": "http://127.0.0.1:3128"}, None),  # this machine's own is not the server's
        ({"https_proxy": "http://[:1"}, None),
        ({"https_proxy": "http://proxy:port"}, None),
    ],
)
def test_a_proxy_is_proposed_without_its_password(
    environment: dict[str, str], proposed: str | None, tmp_path: Path
) -> None:
    drafted = made(proxy=discovery.proxy(environment))
    assert drafted.proposed.get("http_proxy") == proposed
    assert "pa55word" not in drafted.text([])
    assert loaded(drafted, tmp_path / "bio.yaml").http_proxy == ""


@pytest.mark.parametrize(
    "text", ["Debian\nhub_user: root", "x\x1b]0;\x07", "a" * 500, "#\u2028admin_user: eve", "\r\nsite: b"]
)
def test_what_a_server_says_of_itself_stays_a_comment(text: str, tmp_path: Path) -> None:
    size = {"name": text, "cpus": text, "memory_mb": text, "disk_gb": text}
    found = {"server": Answer(size), "host_key": Answer(ShownKey(text, KEY)), "login": Answer(text)}
    drafted = made(**found, ports={80: Answer(why=text)}, addresses=Answer(why=text))
    assert loaded(drafted, tmp_path / "bio.yaml") == Site(site="bio", domain=DOMAIN)
    assert drafted.text([]).isprintable() or not set("\x1b\x07\r\u2028") & set(drafted.text([]))


LABEL = st.text("abcüß-.AZ09/@:_ \n%#'\"\\é漢", max_size=12)


@given(
    name=LABEL,
    domain=st.one_of(st.just(""), LABEL, LABEL.map(lambda text: f"{text}.edu")),
    host=st.one_of(st.just(""), LABEL),
)
def test_whatever_is_given_there_is_one_clear_error_or_a_file_that_holds(name: str, domain: str, host: str) -> None:
    try:
        site, has_domain = new.planned(name, domain, host)
    except BadInput as error:
        assert error.where in ("SITE", "--domain", "--host") and "\n" not in str(error)
        return
    assert (params_files.FOLDER / f"{site.site}.yaml").resolve().parent == params_files.FOLDER
    values = yaml.safe_load(draft(site, has_domain, Findings()).text(["a site"]))
    assert values.pop("domain") == (site.domain if has_domain else None)
    assert params.build(values | {"domain": site.domain}, "") == site


# -- finding out ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def leads_to(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ssh goes to the stand-in for a server, with the login that it takes, and knows nothing of it yet."""

    def target(site: Site) -> Target:
        return Target(
            host="127.0.0.1", port=sshd.port, user="root", names=[f"[127.0.0.1]:{sshd.port}"], principal="127.0.0.1",
            known_hosts=[tmp_path / "known_hosts"], revoked="", identities=[sshd.login], certificates=[], agent="",
            only_identities=True, proxy="",
        )  # fmt: skip

    monkeypatch.setattr("hubrun.ssh.openssh_config.target", target)
    monkeypatch.setattr(discovery, "addresses", lambda _: ["8.8.8.8"])
    monkeypatch.setattr(discovery, "port", lambda *_: "closed")


@pytest.mark.usefixtures("leads_to")
def test_a_server_that_is_not_known_is_not_logged_in_to(hubrun: Hubrun, folder: Path, sshd: Sshd) -> None:
    offered = len(sshd.offered)
    code, out, _ = hubrun("new", "bio", "--domain", "hub.example.edu")
    assert code == 0 and len(sshd.offered) == offered
    assert f"compare {sshd.host_key.fingerprint} (ssh-ed25519) with what your provider shows" in out
    assert f"\n#ssh_host_fingerprint: {sshd.host_key.fingerprint}\n" in (folder / "bio.yaml").read_text()


@pytest.mark.usefixtures("leads_to")
def test_of_a_server_that_is_known_its_size_is_read(hubrun: Hubrun, folder: Path, sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text(sshd.known(sshd.host_key))
    inputs = len(sshd.inputs)
    code, out, _ = hubrun("new", "bio", "--domain", "hub.example.edu")
    assert code == 0 and "Left for you" not in out
    assert "  ssh_user: the login works: " in out and " MB of memory, " in out
    assert all(b"exec 2>/dev/null\n" in each for each in sshd.inputs[inputs:]), "nothing but questions"
    assert params.load(folder / "bio.yaml") == Site(site="bio", domain="hub.example.edu")


@pytest.mark.usefixtures("leads_to")
def test_a_host_key_that_has_changed_is_said(hubrun: Hubrun, sshd: Sshd, tmp_path: Path) -> None:
    other = Ed25519Key.from_private_key_file(str(make_key(tmp_path / "other")))
    (tmp_path / "known_hosts").write_text(sshd.known(other))
    code, out, _ = hubrun("new", "bio", "--domain", "hub.example.edu")
    assert code == 0 and "host key has changed" in out and "find out why before you go on" in out


def test_what_goes_wrong_is_why_there_is_no_answer() -> None:
    def fail() -> None:
        raise ValueError("one\ntwo")

    def refuse() -> None:
        raise OSError(101, "Network is unreachable")

    found = discovery.answers({"a": fail, "b": refuse, "c": lambda: 1}, 5)
    assert found == {"a": Answer(why="one\\ntwo"), "b": Answer(why="Network is unreachable"), "c": Answer(1)}


def test_nobody_is_waited_for_longer_than_was_said() -> None:
    began = time.monotonic()
    found = discovery.answers({"slow": lambda: time.sleep(5), "late": lambda: time.sleep(5), "c": lambda: 1}, 0.2)
    assert time.monotonic() - began < 2
    assert found["c"] == Answer(1)
    assert found["slow"] == found["late"] == Answer(why="no answer within 0 seconds")


def test_ports_are_asked_at_the_first_host_that_dns_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.getsockname()[1]
        assert discovery.port(["127.0.0.1"], number) == "open"
        assert discovery.port(["hub.invalid", "127.0.0.1"], number) == "open"
    assert discovery.port(["127.0.0.1", "hub.invalid"], number) == "closed"
    with pytest.raises(OSError):
        discovery.port(["hub.invalid"], number)


def test_dns_is_asked_for_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, *_: object, **__: object) -> list[Any]:
        if host != DOMAIN:
            raise socket.gaierror(
                {"gone.edu": socket.EAI_NONAME, "no.edu": socket.EAI_AGAIN}[host], "says the resolver"
            )
        return [(0, 0, 0, "", (address, 0)) for address in ("2001:db8::1", "8.8.8.8", "8.8.4.4", "8.8.8.8")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert discovery.addresses(DOMAIN) == ["8.8.4.4", "8.8.8.8", "2001:db8::1"]
    assert discovery.addresses("gone.edu") == []
    with pytest.raises(OSError, match="says the resolver"):
        discovery.addresses("no.edu")
