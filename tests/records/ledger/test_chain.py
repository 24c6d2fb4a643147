"""Records that cannot be changed unseen: signatures, the chain of a site's runs, pruning, archives and mirrors."""

from __future__ import annotations

import datetime
import fcntl
import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from histories import edit, make_history, make_run, new_key, resume_run, sign
from hubrun.cli.records import records
from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import close, manifest, signature
from hubrun.records.ledger import prune as pruning
from hubrun.records.ledger.export import export, unpack
from hubrun.records.ledger.history import HEAD, LOCK, History, Run
from hubrun.records.ledger.manifest import Link, Signer
from hubrun.records.ledger.mirror import check_target, mirror
from hubrun.records.ledger.prune import parse_retention, prune
from hubrun.records.ledger.report import Report
from hubrun.records.ledger.verify_history import verify, verify_run
from sshd import make_key, serve


@dataclass
class Site:
    """A site's history that a test may damage. Its sixth run was resumed, after the seventh."""

    records: Path
    history: History
    key: signature.Key
    other: signature.Key
    allowed: Path

    def run(self, day: int) -> Path:
        return self.history.runs()[day - 1].folder


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("honest")
    key, other = new_key(folder / "key"), new_key(folder / "other")
    history = make_history(folder / "records", 5, key)
    resumed = make_run(folder / "records", day=6, status="failed", key=key)
    make_run(folder / "records", day=7, key=key)
    resume_run(resumed, key)
    allowed = folder / "allowed_signers"
    allowed.write_text(signature.allowed_line(key.signer, "ada", "desk") + "\n")
    return Site(folder / "records", history, key, other, allowed)


@pytest.fixture
def site(honest: Site, tmp_path: Path) -> Site:
    records = tmp_path / "records"
    shutil.copytree(honest.records, records, symlinks=True)
    return Site(records, History(records, "practice"), honest.key, honest.other, honest.allowed)


def places(report: Report) -> list[str]:
    """Where something was found, with the days in place of the runs' names."""
    return [re.sub(r"202601(\d\d)T120000Z-\w{6}", r"day\1", finding.place) for finding in report.findings]


# -- an honest history -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [True, False])
def test_an_honest_history_of_five_runs_verifies(tmp_path: Path, signed: bool) -> None:
    key = new_key(tmp_path / "key") if signed else None
    report = verify(make_history(tmp_path / "records", 5, key))
    assert report.ok and report.runs == 5 and report.files == 10
    assert (report.signed, report.unsigned) == ((5, 0) if signed else (0, 5))
    assert bool(report.notes) is not signed  # unsigned is said


def test_runs_that_were_resumed_after_another_run_verify_with_the_names_of_who_signed(site: Site) -> None:
    report = verify(site.history, site.allowed)
    assert report.ok and not report.notes
    assert (report.runs, report.signed) == (7, 8)
    assert report.signers == {site.key.signer.fingerprint: "ada@desk"}
    assert report.head == site.history.head() and report.head and report.head.attempt == 2


def test_verifying_writes_nothing(site: Site) -> None:
    def state() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in site.records.rglob("*"))

    before = state()
    verify(site.history, site.allowed)
    assert state() == before


def test_an_unsigned_run_after_signed_ones_is_said_and_is_no_fault(site: Site) -> None:
    make_run(site.records, day=8)
    report = verify(site.history)
    assert report.ok and report.unsigned == 1
    assert [note.what for note in report.notes] == ["is not signed: a test signs nothing here"]


# -- a history that was changed --------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(site: Site) -> None:
    one, two = site.run(2), site.run(3)
    two_name = two.with_name("aside")
    two.rename(two_name)
    one_name = one.rename(two)
    two_name.rename(one)
    assert one_name == two


def swap_and_rename(site: Site) -> None:
    """Swap two runs, and let the manifests say their new names."""
    swap(site)
    for day in (2, 3):
        edit(site.run(day), lambda data, day=day: data["predicate"].update(run=site.run(day).name))


def resign(site: Site, day: int, key: signature.Key, says: signature.Key) -> None:
    edit(site.run(day), lambda data: data["predicate"].update(signer=says.signer.model_dump()))
    sign(key, site.run(day) / "manifest.json")


def forge_run(site: Site, name: str, previous: Link | None) -> None:
    """Add an unsigned run that claims to follow `previous`."""
    folder = shutil.copytree(site.run(4), site.history.folder / name)
    (folder / "manifest.json.sig").unlink()

    def change(data: dict[str, Any]) -> None:
        link = previous.model_dump() if previous else None
        data["predicate"].update(run=name, previous=link, signer=Signer(unsigned="no key").model_dump())

    edit(folder, change)


def newer(data: dict[str, Any]) -> None:
    data["predicate"]["version"] = 99


def link_to(path: Path) -> None:
    """Put a symbolic link to the same content in the place of a file."""
    moved = path.rename(path.parents[3] / path.name)
    path.symlink_to(moved)


def running(data: dict[str, Any]) -> None:
    data["predicate"]["status"] = "running"


UNKNOWN = Link(run="", sha256="")
OLDER = "20260103T130000Z-abcdef"
ADDED = "20260104T130000Z-abcdef"
CHANGES: dict[str, tuple[Callable[[Site], object], list[str]]] = {
    "a byte changed in a notebook": (
        lambda site: flip(site.run(2) / "01_server.ipynb"), ["practice/day02/01_server.ipynb"]),
    "a byte changed in a manifest": (
        lambda site: flip(site.run(2) / "manifest.json"), ["practice/day02/manifest.json"]),
    "a word changed in a manifest": (
        lambda site: edit(site.run(2), lambda data: data["predicate"].update(status="ok")),
        ["practice/day02/manifest.json"]),
    "a byte changed in a signature": (
        lambda site: flip(site.run(2) / "manifest.json.sig"), ["practice/day02/manifest.json"]),
    "a byte changed in a notebook of an earlier attempt": (
        lambda site: flip(site.run(6) / "attempt-1/02_hub_lti.ipynb"), ["practice/day06/attempt-1/02_hub_lti.ipynb"]),
    "a byte changed in the manifest of an earlier attempt": (
        lambda site: flip(site.run(6) / "attempt-1/manifest.json"), ["practice/day06/attempt-1/manifest.json"]),
    "a notebook is missing": (
        lambda site: (site.run(7) / "02_hub_lti.ipynb").unlink(), ["practice/day07/02_hub_lti.ipynb"]),
    "a signature is missing": (
        lambda site: (site.run(2) / "manifest.json.sig").unlink(), ["practice/day02/manifest.json.sig"]),
    "a manifest is missing": (
        lambda site: (site.run(2) / "manifest.json").unlink(), ["practice/day02/manifest.json"]),
    "a manifest is of a newer hubrun": (
        lambda site: edit(site.run(2), newer), ["practice/day02/manifest.json"]),
    "a manifest is not JSON": (
        lambda site: (site.run(2) / "manifest.json").write_bytes(b"\xff{"), ["practice/day02/manifest.json"]),
    "the first run was removed": (
        lambda site: shutil.rmtree(site.run(1)), ["practice/day01"]),
    "a run was removed from the middle": (
        lambda site: shutil.rmtree(site.run(3)), ["practice/day03"]),
    "two runs were removed from the middle": (
        lambda site: [shutil.rmtree(path) for path in (site.run(4), site.run(3))], ["practice/day04"]),
    "the last run was removed": (
        lambda site: shutil.rmtree(site.run(6)), ["practice/day06"]),
    "an earlier attempt was removed": (
        lambda site: shutil.rmtree(site.run(6) / "attempt-1"), [
            "practice/day06/attempt-1/02_hub_lti.ipynb", "practice/day06/attempt-1/manifest.json",
            "practice/day06/attempt-1/manifest.json.sig",
            "practice/day06/manifest.json"]),
    "two runs were swapped": (
        swap, ["practice/day02/manifest.json", "practice/day03/manifest.json"]),
    "two runs were swapped and say so": (
        swap_and_rename, ["practice/day02/manifest.json", "practice/day03/manifest.json"]),
    "a run was copied under another name": (
        lambda site: shutil.copytree(site.run(4), site.history.folder / ADDED), [f"practice/{ADDED}/manifest.json"]),
    "a run was added beside another": (
        lambda site: forge_run(site, ADDED, site.history.runs()[2].manifest().predicate.previous),
        [f"practice/{ADDED}/manifest.json"]),
    "a run was added at the end": (
        lambda site: forge_run(site, ADDED, site.history.head()), [f"practice/{ADDED}/manifest.json"]),
    "a run was added, older than the one beside it": (
        lambda site: forge_run(site, OLDER, site.history.runs()[3].manifest().predicate.previous),
        [f"practice/{OLDER}/manifest.json"]),
    "a run was added beside one whose follower was removed": (
        lambda site: [
            forge_run(site, OLDER, site.history.runs()[2].manifest().predicate.previous), shutil.rmtree(site.run(5))],
        [f"practice/{OLDER}/manifest.json", "practice/day04"]),
    "a run was copied under an older name": (
        lambda site: shutil.copytree(site.run(4), site.history.folder / OLDER), [f"practice/{OLDER}/manifest.json"]),
    "the run between two attempts at another was removed": (
        lambda site: shutil.rmtree(site.run(7)), ["practice/day07"]),
    "a run's folder is a link to what it was": (
        lambda site: site.run(2).symlink_to(site.run(2).rename(site.records.parent / "moved")), ["practice/day02"]),
    "a chain of its own was added": (
        lambda site: forge_run(site, ADDED, None), [f"practice/{ADDED}/manifest.json"]),
    "a file was added to a run": (
        lambda site: (site.run(2) / "07_more.ipynb").touch(), ["practice/day02/07_more.ipynb"]),
    "a file was added to an earlier attempt": (
        lambda site: (site.run(6) / "attempt-1/01_server.ipynb").touch(), ["practice/day06/attempt-1/01_server.ipynb"]),
    "a folder was added to a run": (
        lambda site: (site.run(2) / "more").mkdir(), ["practice/day02/more"]),
    "a file was added to a site": (
        lambda site: (site.history.folder / "notes.txt").touch(), ["practice/notes.txt"]),
    "a folder was added to a site": (
        lambda site: (site.history.folder / "20260101").mkdir(), ["practice/20260101"]),
    "a write was cut short": (
        lambda site: (site.run(2) / "manifest.json.new").touch(), ["practice/day02/manifest.json.new"]),
    "a notebook is a link to what it was": (
        lambda site: link_to(site.run(2) / "01_server.ipynb"), ["practice/day02/01_server.ipynb"]),
    "a manifest is a link to what it was": (
        lambda site: link_to(site.run(2) / "manifest.json"), ["practice/day02/manifest.json"]),
    "a signature is a link to what it was": (
        lambda site: link_to(site.run(2) / "manifest.json.sig"), ["practice/day02/manifest.json.sig"]),
    "a pipe stands where a notebook was": (
        lambda site: [(site.run(2) / "01_server.ipynb").unlink(), os.mkfifo(site.run(2) / "01_server.ipynb")],
        ["practice/day02/01_server.ipynb"]),
    "a pipe stands where a manifest was": (
        lambda site: [(site.run(2) / "manifest.json").unlink(), os.mkfifo(site.run(2) / "manifest.json")],
        ["practice/day02/manifest.json"]),
    "a pipe stands where the head was": (
        lambda site: [(site.history.folder / HEAD).unlink(), os.mkfifo(site.history.folder / HEAD)],
        ["practice/head.json"]),
    "a signature was added to a manifest that says it has none": (
        lambda site: sign(site.key, make_run(site.records, day=8).folder / "manifest.json"),
        ["practice/day08/manifest.json.sig"]),
    "the newest manifest was made again without a signature": (
        lambda site: [
            edit(site.run(6), lambda data: data["predicate"].update(signer=Signer(unsigned="none").model_dump())),
            (site.run(6) / "manifest.json.sig").unlink()],
        ["practice/day06/manifest.json"]),
    "a run was signed again by another key": (
        lambda site: sign(site.other, site.run(2) / "manifest.json"), ["practice/day02/manifest.json"]),
    "a run was made again by another key": (
        lambda site: resign(site, 2, site.other, site.other), ["practice/day02/manifest.json"]),
    "a manifest names another key than the one that signed": (
        lambda site: resign(site, 2, site.key, site.other), ["practice/day02/manifest.json"]),
    "a run was killed": (
        lambda site: [
            edit(make_run(site.records, day=8).folder, running),
            site.history.set_head(site.history.runs()[-1].manifest().predicate.previous or UNKNOWN)],
        ["practice/day08/manifest.json"]),
    "the head is missing": (
        lambda site: (site.history.folder / HEAD).unlink(), ["practice/head.json"]),
    "the head is damaged": (
        lambda site: (site.history.folder / HEAD).write_text("{"), ["practice/head.json"]),
    "the head was set back": (
        lambda site: site.history.set_head(site.history.runs()[1].manifest().predicate.previous or UNKNOWN),
        ["practice/day06/manifest.json"]),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_verify_names_the_place_where(site: Site, what: str) -> None:
    change, expected = CHANGES[what]
    change(site)
    report = verify(site.history)
    assert not report.ok
    assert places(report) == expected


@pytest.mark.parametrize("what", [
    "a byte changed in a notebook", "a word changed in a manifest", "a run was removed from the middle",
    "two runs were swapped", "a file was added to a run", "the newest manifest was made again without a signature",
])  # fmt: skip
def test_what_is_not_signed_is_found_by_the_chain(tmp_path: Path, site: Site, what: str) -> None:
    history = make_history(tmp_path / "unsigned", 5)
    unsigned = Site(tmp_path / "unsigned", history, site.key, site.other, site.allowed)
    if what == "the newest manifest was made again without a signature":
        edit(unsigned.run(5), lambda data: data["predicate"].update(status="ok"))
        assert places(verify(history)) == ["practice/day05/manifest.json"]
        return
    change, expected = CHANGES[what]
    change(unsigned)
    assert places(verify(history)) == expected


def remake(site: Site, day: int) -> None:
    """Make the newest manifest again, unsigned, so that it fits the files, and move the head to it."""
    folder = site.run(day)

    def fit(data: dict[str, Any]) -> None:
        for subject in data["subject"]:
            subject["digest"]["sha256"] = manifest.sha256((folder / subject["name"]).read_bytes())
        data["predicate"].update(signer=Signer(unsigned="none").model_dump())

    edit(folder, fit)
    (folder / "manifest.json.sig").unlink()
    head = site.history.head() or UNKNOWN
    sha256 = manifest.sha256((folder / "manifest.json").read_bytes())
    site.history.set_head(head.model_copy(update={"sha256": sha256}))


def test_the_files_of_an_earlier_attempt_are_held_by_its_own_manifest(site: Site) -> None:
    remake(site, 6)
    report = verify(site.history)  # unsigned is allowed, and only a copy elsewhere tells what it was
    assert report.ok and [note.what for note in report.notes] == ["is not signed: none"]
    for name in ("01_server.ipynb", "attempt-1/02_hub_lti.ipynb"):
        flip(site.run(6) / name)
    (site.run(6) / "manifest.json.sig").touch()
    remake(site, 6)
    expected = ["practice/day06/01_server.ipynb", "practice/day06/attempt-1/02_hub_lti.ipynb"]
    assert places(verify(site.history)) == expected


@pytest.mark.parametrize("name", ["../../../key", "/etc/passwd"])
def test_a_manifest_that_names_a_file_outside_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "records")
    edit(run.folder, lambda data: data["subject"][0].update(name=name))
    assert f"outside of its folder: {name}" in str(verify_run(run).findings[-1])


def test_a_manifest_that_shows_another_key_than_its_own_is_refused(tmp_path: Path) -> None:
    key, other = new_key(tmp_path / "key"), new_key(tmp_path / "other")
    run = make_run(tmp_path / "records", key=key)
    shown = Signer(fingerprint=key.signer.fingerprint, public_key=other.signer.public_key)
    edit(run.folder, lambda data: data["predicate"].update(signer=shown.model_dump()))
    sign(key, run.folder / "manifest.json")
    assert "another key's fingerprint" in verify_run(run).findings[0].what


def test_findings_come_oldest_first_and_one_does_not_hide_another(site: Site) -> None:
    flip(site.run(5) / "01_server.ipynb")
    (site.run(3) / "manifest.json").write_text("{}")
    shutil.rmtree(site.run(1))
    (site.history.folder / "notes.txt").touch()
    expected = ["day01", "day03/manifest.json", "day05/01_server.ipynb", "notes.txt"]
    assert places(verify(site.history)) == [f"practice/{place}" for place in expected]


def test_the_history_of_another_site_is_not_this_sites(site: Site) -> None:
    site.history.folder.rename(site.records / "biology")
    report = verify(History(site.records, "biology"))
    assert len(report.findings) == 8
    assert all("site practice" in finding.what for finding in report.findings)


def test_a_key_that_is_not_allowed_is_named(site: Site, tmp_path: Path) -> None:
    make_run(site.records, day=8, key=site.other)
    report = verify(site.history, site.allowed)
    assert places(report) == ["practice/day08/manifest.json"]
    assert site.other.signer.fingerprint in report.findings[0].what
    both = tmp_path / "both"
    both.write_text(site.allowed.read_text() + signature.allowed_line(site.other.signer, "bob as root", "desk"))
    assert verify(site.history, both).signers[site.other.signer.fingerprint] == "bob_as_root@desk"


def test_a_key_that_was_valid_when_the_run_ended_is_good_and_one_that_had_expired_is_not(
    site: Site, tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed"
    line = site.allowed.read_text()
    allowed.write_text(line.replace("namespaces=", 'valid-before="20260105",namespaces='))
    report = verify(site.history, allowed)
    assert places(report) == [f"practice/day{day:02}{part}/manifest.json" for day, part in
                              ((5, ""), (6, "/attempt-1"), (6, ""), (7, ""))]  # fmt: skip
    assert "expired" in report.findings[0].what


def test_a_key_may_be_allowed_for_something_else_in_another_line(site: Site, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    for_git = site.allowed.read_text().replace("record@hubrun", "git").replace("ada@desk", "ada@git")
    allowed.write_text(for_git + site.allowed.read_text())
    assert verify(site.history, allowed).ok
    allowed.write_text(for_git)
    assert "not permitted" in verify(site.history, allowed).findings[0].what


def test_a_file_of_allowed_signers_that_is_not_there_is_bad_input(site: Site, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing-here"):
        verify(site.history, tmp_path / "nothing-here")


def test_a_run_that_goes_on_is_said_and_no_fault(site: Site) -> None:
    run = make_run(site.records, day=8)
    site.history.set_head(site.history.runs()[-1].manifest().predicate.previous or UNKNOWN)
    edit(run.folder, running)
    with (site.history.folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = verify(site.history)
    assert report.ok and "goes on now" in report.notes[0].what
    assert not verify(site.history).ok


def test_one_run_verifies_alone_wherever_its_folder_is(site: Site, tmp_path: Path) -> None:
    folder = shutil.copytree(site.run(6), tmp_path / "elsewhere" / site.run(6).name)
    assert verify_run(Run(folder), site.allowed).ok
    flip(folder / "attempt-1/02_hub_lti.ipynb")
    assert [finding.place.split("/", 2)[2] for finding in verify_run(Run(folder)).findings] == [
        "attempt-1/02_hub_lti.ipynb"
    ]


# -- the key that signs ----------------------------------------------------------------------------------------


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """An SSH agent; call it with a key file to load it (with the passphrase "hush", if it asks)."""
    said = subprocess.run(["ssh-agent", "-s", "-a", tmp_path / "agent"], capture_output=True, text=True, check=True)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    asked = tmp_path / "askpass"
    asked.write_text("#!/bin/sh\necho hush\n")
    asked.chmod(0o700)
    environment = dict(os.environ, SSH_ASKPASS=str(asked), SSH_ASKPASS_REQUIRE="force")
    yield lambda *key: subprocess.run(["ssh-add", "-q", *key], env=environment, check=True) and None
    os.kill(int(re.findall(r"PID=(\d+)", said.stdout)[0]), signal.SIGTERM)


@pytest.fixture
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def signs(key: signature.Key | None, folder: Path) -> bool:
    assert key
    (folder / "file").write_bytes(b"content")
    sign(key, folder / "file")
    return signature.check(b"content", folder / "file.sig")[0] == key.signer.fingerprint


@pytest.mark.usefixtures("no_agent")
def test_the_key_that_logs_in_signs_when_no_other_is_named(tmp_path: Path) -> None:
    login, named = make_key(tmp_path / "login"), make_key(tmp_path / "named")
    key, signer = signature.find_signer("", str(login))
    assert signs(key, tmp_path) and re.fullmatch(r"ssh-ed25519 AAAA\S+", signer.public_key)
    assert signature.find_signer(str(named), str(login))[1].fingerprint != signer.fingerprint
    assert signature.find_signer("none", str(login)) == (None, Signer(unsigned="record_signing_key says none"))


def test_the_agents_first_key_signs_when_there_is_no_key_file(agent: Callable[..., None], tmp_path: Path) -> None:
    assert "holds no key" in signature.find_signer("", "")[1].unsigned
    agent(make_key(tmp_path / "key"))
    assert signs(signature.find_signer("", "")[0], tmp_path)


def test_a_key_that_the_agent_refuses_to_use_leaves_the_run_unsigned(
    agent: Callable[..., None], tmp_path: Path
) -> None:
    agent("-c", make_key(tmp_path / "key"))  # asks before each use, and here is nobody to ask
    key, signer = signature.find_signer("", "")
    assert key is None and "does not sign" in signer.unsigned


def test_a_key_with_a_passphrase_signs_through_the_agent_only(agent: Callable[..., None], tmp_path: Path) -> None:
    locked = make_key(tmp_path / "locked", b"hush")
    key, signer = signature.find_signer("", str(locked))
    assert key is None and "passphrase" in signer.unsigned
    with pytest.raises(BadInput, match="passphrase"):
        signature.find_signer(str(locked), "")
    agent(locked)
    key, signer = signature.find_signer(str(locked), "")
    assert signs(key, tmp_path)
    public = tmp_path / "of-agent.pub"
    public.write_text(signer.public_key + " ada@desk\n")
    assert signature.find_signer(str(public), "")[1] == signer


@pytest.mark.usefixtures("no_agent")
@pytest.mark.parametrize(("content", "mode", "reason"), [
    (None, 0o600, "No such file"), ("no key", 0o600, "no private key"), ("PRIVATE", 0o644, "others may read it"),
    ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB51GnzkxXOSNBAg7EFNeknJLnxEWpQiruZmiCytmgwi", 0o600, "no SSH agent"),
])  # fmt: skip
def test_a_named_key_that_cannot_sign_is_bad_input_and_an_unnamed_one_leaves_the_run_unsigned(
    tmp_path: Path, content: str | None, mode: int, reason: str
) -> None:
    path = tmp_path / "key"
    if content == "PRIVATE":
        make_key(path)
    elif content:
        path.write_text(content)
    if content:
        path.chmod(mode)
    with pytest.raises(BadInput, match=reason):
        signature.find_signer(str(path), "")
    key, signer = signature.find_signer("", str(path))
    assert key is None and reason in signer.unsigned


@pytest.mark.usefixtures("no_agent")
def test_without_ssh_keygen_a_run_is_unsigned_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_key(tmp_path / "key")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no ssh-keygen" in signature.find_signer("", str(path))[1].unsigned
    assert "there is no SSH agent" in signature.find_signer("", "")[1].unsigned


def test_an_agent_that_does_not_answer_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "SECONDS", 0.3)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "agent"))
        deaf.listen()
        assert "did not answer" in signature.find_signer("", "")[1].unsigned
        # a key file needs no agent
        assert signs(signature.find_signer("", str(make_key(tmp_path / "key")))[0], tmp_path)


# -- pruning ---------------------------------------------------------------------------------------------------


def modes(site: Site) -> list[str]:
    """What is left: the day of each run, or "prune"."""
    records = [run.manifest().predicate for run in site.history.runs()]
    return ["prune" if record.mode == "prune" else record.run[6:8] for record in records]


def test_a_pruned_history_verifies_and_lists_what_was_removed(site: Site) -> None:
    removed = prune(site.history, 2, site.key, site.key.signer)
    assert [run.name[6:8] for run in removed] == ["01", "02", "03", "04", "05"]
    assert modes(site) == ["06", "07", "prune"]
    report = verify(site.history, site.allowed)
    assert report.ok and not report.notes
    assert [each.run[6:8] for each in site.history.runs()[-1].manifest().predicate.pruned] == [
        "01",
        "02",
        "03",
        "04",
        "05",
    ]
    assert prune(site.history, 2, site.key, site.key.signer) == []
    assert modes(site) == ["06", "07", "prune"]


def test_pruning_again_and_again_keeps_the_chain_and_the_last_install_that_ended_well(site: Site) -> None:
    prune(site.history, 5, site.key, site.key.signer)
    for day in (8, 9):
        make_run(site.records, day=day, mode="check", status="ok", key=site.key)
    prune(site.history, 1, site.key, site.key.signer)
    assert modes(site) == ["07", "09", "prune", "prune"]
    head = site.history.head() or UNKNOWN
    last = Run(site.history.folder / head.run).manifest().predicate
    assert [(each.run[6:8], each.attempt) for each in last.pruned] == [
        ("03", 1), ("04", 1), ("05", 1), ("06", 1), ("06", 2), ("08", 1)]  # fmt: skip
    assert verify(site.history).ok
    shutil.rmtree(site.history.runs()[0].folder)
    assert not verify(site.history).ok


def test_a_pruned_run_that_is_put_in_the_place_of_one_that_was_kept_is_found(site: Site) -> None:
    prune(site.history, 2, site.key, site.key.signer)
    edit(site.run(2), lambda data: data["predicate"].update(status="ok"))
    assert places(verify(site.history)) == ["practice/day07/manifest.json"]


def test_runs_are_kept_by_days(site: Site) -> None:
    assert (
        len(pruning.too_old(site.history, datetime.timedelta(days=1))) == 6
    )  # all are old; the last that ended well stays
    assert pruning.too_old(site.history, datetime.timedelta(days=36500)) == []


@pytest.mark.parametrize("text", ["", "0", "-3", "3w", "d", "0d", "1.5", "9999999"])
def test_what_is_kept_must_be_a_number_of_runs_or_days(text: str) -> None:
    assert parse_retention("20") == 20 and parse_retention("90d") == datetime.timedelta(days=90)
    with pytest.raises(BadInput, match="--keep"):
        parse_retention(text)


def test_pruning_that_was_killed_is_said_and_done_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = shutil.rmtree

    def killed(folder: Path, **options: Any) -> None:
        if folder != site.run(1):  # a folder for temporary files
            return removed(folder, **options)
        (folder / "01_server.ipynb").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pruning.shutil, "rmtree", killed)
        prune(site.history, 5, site.key, site.key.signer)
    report = verify(site.history)
    assert places(report) == ["practice/day01", "practice/day02"]
    assert "is still there" in report.findings[0].what and "prune" in report.findings[0].remedy
    assert len(prune(site.history, 5, site.key, site.key.signer)) == 2
    assert verify(site.history).ok and modes(site) == ["03", "04", "05", "06", "07", "prune"]


def test_a_prune_run_that_could_not_be_closed_removes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Link:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(HubrunError, match="No space left"):
        patch.setattr(pruning, "close", full)
        prune(site.history, 2, site.key, site.key.signer)
    close.recover(site.history)
    report = verify(site.history)
    assert report.ok and report.runs == 8


def test_nothing_is_pruned_while_a_run_goes_on_or_something_is_wrong(site: Site) -> None:
    with site.history.alone(), pytest.raises(BadInput, match="goes on"):
        prune(site.history, 2, site.key, site.key.signer)
    flip(site.run(4) / "01_server.ipynb")
    with pytest.raises(BadInput, match=r"01_server.ipynb.*Nothing was pruned"):
        prune(site.history, 2, site.key, site.key.signer)
    assert len(site.history.runs()) == 7


def test_nothing_is_pruned_before_a_killed_run_is_closed(site: Site) -> None:
    edit(make_run(site.records, day=8).folder, running)
    site.history.set_head(site.history.runs()[-1].manifest().predicate.previous or UNKNOWN)
    with pytest.raises(BadInput, match="killed"):
        prune(site.history, 2, site.key, site.key.signer)


# -- archives --------------------------------------------------------------------------------------------------


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    return folder / archive.name.removesuffix(".tar")


def follow(folder: Path) -> tuple[int, str]:
    """Run the commands of the README in an empty environment."""
    commands = [line[4:] for line in (folder / "README.txt").read_text().splitlines() if line.startswith("  $ ")]
    assert len(commands) > 6
    done = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-euc", "\n".join(commands)],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_an_archive_has_the_same_bytes_whoever_makes_it_and_when(site: Site, tmp_path: Path) -> None:
    first = export(Run(site.run(6)), tmp_path)
    assert first.name == f"practice-{site.run(6).name}.tar"
    copy = tmp_path / "copy" / "practice" / site.run(6).name
    shutil.copytree(site.run(6), copy, copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o640)
        os.utime(path, (1, 1))
    umask = os.umask(0o077)
    try:
        second = export(Run(copy), tmp_path / "second.tar")
    finally:
        os.umask(umask)
    assert second.read_bytes() == first.read_bytes()
    assert export(Run(copy), tmp_path) == first  # the same once more is no conflict
    started = datetime.datetime.fromisoformat(Run(copy).manifest().predicate.started).timestamp()
    with tarfile.open(first) as tar:
        assert {(each.mtime, each.uid, each.gid, each.mode) for each in tar} == {(started, 0, 0, 0o644)}


@pytest.mark.parametrize("day", [2, 6])
def test_the_archives_own_commands_verify_it_and_fail_after_one_byte_is_changed(
    site: Site, tmp_path: Path, day: int
) -> None:
    archive = export(Run(site.run(day)), tmp_path)
    folder = unpacked(archive, tmp_path / "honest")
    code, output = follow(folder)
    assert code == 0, output
    assert output.count('Good "record@hubrun" signature for ada@desk') == (2 if day == 6 else 1)
    assert verify_run(Run(folder / site.run(day).name), folder / "allowed_signers.example").ok
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    for number, name in enumerate(files):
        if name.name == "README.txt":
            continue
        changed = unpacked(archive, tmp_path / f"changed-{number}")
        flip(changed / name)
        assert follow(changed)[0] != 0, name


@pytest.mark.parametrize("name", ["01_server.ipynb", "manifest.json", "more.ipynb"])
def test_the_archives_own_commands_find_what_was_changed_with_new_checksums(
    site: Site, tmp_path: Path, name: str
) -> None:
    folder = unpacked(export(Run(site.run(2)), tmp_path), tmp_path)
    run = folder / site.run(2).name
    if name == "more.ipynb":
        (run / name).touch()
    else:
        flip(run / name)
    listed = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    sums = "".join(f"{manifest.sha256((folder / path).read_bytes())}  {path}\n" for path in listed)
    (folder / "SHA256SUMS").write_text(sums)
    assert follow(folder)[0] != 0


def test_the_archive_of_an_unsigned_run_says_that_it_proves_less(tmp_path: Path) -> None:
    folder = unpacked(export(make_run(tmp_path / "records"), tmp_path), tmp_path)
    assert "a test signs nothing here" in (folder / "README.txt").read_text()
    assert not (folder / "allowed_signers.example").exists()
    assert follow(folder)[0] == 0


def test_the_archive_of_a_run_that_made_no_notebook_verifies(site: Site, tmp_path: Path) -> None:
    prune(site.history, 2, site.key, site.key.signer)
    assert follow(unpacked(export(site.history.runs()[-1], tmp_path), tmp_path))[0] == 0


@pytest.mark.parametrize("name", ["archive.tar", "archive.tar.gz"])
def test_an_archive_is_verified_as_it_is_also_one_of_an_earlier_version(site: Site, tmp_path: Path, name: str) -> None:
    plain = export(Run(site.run(6)), tmp_path).read_bytes()
    archive = tmp_path / name
    archive.write_bytes(gzip.compress(plain) if name.endswith("gz") else plain)
    report = verify_run(unpack(archive, tmp_path / "good"))
    assert report.ok and (report.runs, report.signed) == (1, 2)
    said = CliRunner().invoke(records, ["verify", str(archive)])
    assert said.exit_code == 0 and said.output.splitlines()[-1].startswith(f"{site.run(6).name}: verified: 1 run")
    # a byte of what a notebook printed; the tar itself has sums of its headers only
    archive.write_bytes(plain.replace(b"print(6)", b"print(7)"))
    said = CliRunner().invoke(records, ["verify", str(archive)])
    assert "this file was changed" in said.output
    assert records.main(["verify", str(archive)], standalone_mode=False) == 1


def test_what_is_no_archive_or_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.tar").write_text("nothing")
    with pytest.raises(BadInput, match="is not an archive of a run"):
        unpack(tmp_path / "none.tar", tmp_path / "a")
    for number, name in enumerate(("../out", "/tmp/out-of-it", "a/b")):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        with pytest.raises(BadInput, match="outside" if number < 2 else "no run, or several"):
            unpack(tmp_path / f"{number}.tar", tmp_path / "deep" / "er")
    assert not (tmp_path / "deep" / "out").exists()


def test_what_cannot_be_archived_is_refused_and_no_file_is_touched(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "run.tar"
    target.write_text("mine")
    with pytest.raises(BadInput, match="another file"):
        export(Run(site.run(2)), target)
    assert target.read_text() == "mine"
    with pytest.raises(HubrunError, match="No such file"):
        export(Run(site.run(2)), tmp_path / "nowhere" / "run.tar")
    flip(site.run(3) / "01_server.ipynb")
    with pytest.raises(BadInput, match="does not verify"):
        export(Run(site.run(3)), tmp_path / "three.tar")
    edit(site.run(2), running)
    with pytest.raises(BadInput, match="goes on"):
        export(Run(site.run(2)), tmp_path / "two.tar")
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == ["run.tar"]


# -- mirrors ---------------------------------------------------------------------------------------------------


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """user@host:path of a folder that is reached by SSH."""
    there = tmp_path / "far there"
    there.mkdir()
    (tmp_path / "sshd").mkdir()
    with serve(tmp_path / "sshd") as server:
        config = tmp_path / "ssh_config"
        config.write_text(
            f"Host archive\n HostName 127.0.0.1\n Port {server.port}\n IdentityFile {server.login}\n"
            f" IdentitiesOnly yes\n UserKnownHostsFile {server.known_hosts}\nHost nobody\n HostName 127.0.0.1\n Port 1\n"
        )
        tools = tmp_path / "bin"
        tools.mkdir()
        (tools / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{config}" "$@"\n')
        (tools / "ssh").chmod(0o700)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        yield f"ada@archive:{there}"


@pytest.fixture(params=["folder", "ssh"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "ssh":
        return str(request.getfixturevalue("far"))
    (tmp_path / "near there").mkdir()
    return str(tmp_path / "near there")


def test_a_mirror_of_each_closed_run_verifies_there(target: str, tmp_path: Path) -> None:
    there = Path(target.partition(":")[2] or target)
    key, records = new_key(tmp_path / "key"), tmp_path / "records"
    history = History(records, "practice")
    for day in (1, 2, 3):
        mirror(history, make_run(records, day=day, status="failed", key=key).folder, target)
    run = history.runs()[-1]
    resume_run(run, key)
    mirror(history, run.folder, target)  # replaces what was there of it
    report = verify(History(there, "practice"))
    assert report.ok and (report.runs, report.signed) == (3, 4)
    assert sorted(path.name for path in (there / "practice").iterdir()) == [*(r.name for r in history.runs()), HEAD]


def test_what_a_copy_that_was_cut_short_left_is_cleared_away(site: Site, target: str) -> None:
    there = Path(target.partition(":")[2] or target) / "practice"
    (there / ".mirror.new" / "half").mkdir(parents=True)
    mirror(site.history, site.run(2), target)
    assert sorted(path.name for path in there.iterdir()) == [site.run(2).name, HEAD]


def test_a_mirror_that_cannot_be_reached_is_one_clear_line(site: Site, far: str, tmp_path: Path) -> None:
    for target, reason in {
        "ada@nobody:/srv": "Connection refused", f"{far}/missing": r"cd|such file", "ada@no.invalid:x": "resolve|known",
    }.items():  # fmt: skip
        with pytest.raises(HubrunError, match=reason) as error:
            mirror(site.history, site.run(2), target)
        assert "\n" not in str(error.value) and str(site.run(2)) in str(error.value)
    with pytest.raises(HubrunError, match="there is no folder"):
        mirror(site.history, site.run(2), str(tmp_path / "missing"))


@pytest.mark.parametrize("seen", ["a part of a file", "all files but the last"])
def test_a_copy_that_breaks_off_leaves_what_was_there(
    site: Site, far: str, monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    mirror(site.history, site.run(6), far)
    there = Path(far.partition(":")[2]) / "practice"
    before = (there / HEAD).read_bytes()
    whole_run = subprocess.run

    def cut(command: Any, input: bytes, **options: Any) -> Any:
        end = input.index(b"head.json\0") if seen == "all files but the last" else len(input) // 3
        return whole_run(command, input=input[:end], **options)

    with monkeypatch.context() as patch, pytest.raises(HubrunError, match="was not copied"):
        patch.setattr(subprocess, "run", cut)
        mirror(site.history, site.run(6), far)
    assert (there / HEAD).read_bytes() == before
    assert not (there / ".mirror.old").exists()
    assert verify_run(Run(there / site.run(6).name)).ok


@pytest.mark.parametrize(
    "text", ["host:path", "ada@host:", "-oProxyCommand=x@host:p", "ada@-v:p", "a b@host:/x", "C:\\x"]
)
def test_a_mirror_by_ssh_is_user_host_and_path(text: str) -> None:
    check_target("ada@archive.example.edu:records")
    check_target("ada@[2001:db8::1]:/srv/records")
    with pytest.raises(BadInput, match="user@host:path"):
        check_target(text)


def test_a_mirror_in_a_folder_must_be_there_and_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_target(str(tmp_path))
    with pytest.raises(BadInput, match="there is no folder"):
        check_target(str(tmp_path / "missing"))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(BadInput, match="cannot be written"):
        check_target(str(tmp_path))
