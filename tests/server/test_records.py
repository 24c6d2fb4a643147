"""Records of runs on a real server: without secrets, comparable, verifiable, and never at the install's expense."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
from canvas import env_file
from conftest import Installed
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from machines import PROJECT, Ended, Machine, hubrun, start
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hubrun.params import documentation

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

# -- secrets: a runbook that shows them in every way that a careless cell could

_RUN = """
import sys
from pathlib import Path
from hubrun import params
from hubrun.cli.main import main
from hubrun.records.run import site_run
site, book, records = sys.argv[1:]
site_run.runbooks = lambda first, only: [Path(book)]
sys.argv = ["hubrun", "install", site, "--records", records, "--set", "sudo_password_env=THE_PASSWORD"]
main()
"""
_CELLS = [
    "from hubrun import Server, site_from\nsite = site_from(globals())\nserver = Server.connect(site)\nserver",
    # as it is stored, alone, in base64 with and without its line, and by an error
    "print(server.run('cat /etc/jupyterhub/*.env').stdout)",
    "print(server.run('cut -d= -f2 /etc/jupyterhub/lti.env | tail -n1').stdout)\n"
    "print(server.run('base64 /etc/jupyterhub/proxy.env').stdout)\n"
    "print(server.run('cut -d= -f2 /etc/jupyterhub/proxy.env | tr -d \"\\\\n\" | base64 -w0').stdout)",
    "import os, sys\nprint(dict(os.environ))\nprint(os.environ['COURSE_API_TOKEN'], file=sys.stderr)\nopen(os.environ['THE_KEY']).read()",
    "from IPython.display import HTML, display\ndisplay(HTML('<b>' + site.sudo_password().reveal() + '</b>'))\n"
    "display({'application/json': {site.sudo_password().reveal(): [os.environ['COURSE_API_TOKEN']]}}, raw=True)",
    "import scrapbook\nscrapbook.glue('cookie', server.run('cat /var/lib/jupyterhub/cookie_secret').stdout.strip())",
    "raise ValueError(f'cannot log in as {site.sudo_password().reveal()} with ' + server.run('cat /etc/jupyterhub/lti.env').stdout)",
]  # fmt: skip


def forms(secret: str) -> list[bytes]:
    """A secret, and what it may have been turned into."""
    texts = [secret, secret.upper(), quote(secret, safe=""), secret.encode().hex(), json.dumps(secret)[1:-1]]
    blobs = [secret.encode(), secret.encode() + b"\n"]
    if re.fullmatch("[0-9a-f]{64}", secret):
        blobs.append(bytes.fromhex(secret))
    encoded = [
        function(blob).rstrip(b"=") for blob in blobs for function in (base64.b64encode, base64.urlsafe_b64encode)
    ]
    # The last characters of base64 depend on what follows.
    return [text.encode() for text in texts] + [form[: len(form) // 4 * 4 - 4] for form in encoded]


def private_key() -> str:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()  # fmt: skip


def test_no_secret_that_a_cell_shows_reaches_the_record_or_the_output(machine: Machine, tmp_path: Path) -> None:
    key = private_key()
    (tmp_path / "key").write_text(key)
    planted = {"THE_PASSWORD": "korrekt pferd/batterie+1", "COURSE_API_TOKEN": "canvas-5ec2e7c0ffee5ec2e7c0ffee"}
    cells = [new_code_cell(documentation.cell("02"), metadata={"tags": ["parameters"]})]
    for number, source in enumerate(_CELLS):
        tags = {"tags": ["raises-exception"]} if source.startswith("raise") else {}
        cells += [new_markdown_cell(f"## Step {number}"), new_code_cell(source, metadata=tags)]
    cells += [new_markdown_cell("## Ends"), new_code_cell("raise RuntimeError(os.environ['COURSE_API_TOKEN'])")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = tmp_path / "07_careless.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), book)
    records = tmp_path / "records"
    done = subprocess.run(
        [sys.executable, "-c", _RUN, machine.site, book, records], cwd=PROJECT, text=True, capture_output=True,
        env=os.environ | planted | {"THE_KEY": str(tmp_path / "key")}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    secrets = planted | {"private key": key.splitlines()[2]}
    for path in ("/etc/jupyterhub/lti.env", "/etc/jupyterhub/proxy.env", "/etc/jupyterhub/verify.env"):
        secrets |= {name: value for name, value in env_file(machine.secret(path)).items() if "KEY" not in name}
    secrets["cookie"] = machine.secret("/var/lib/jupyterhub/cookie_secret")
    assert len(secrets) == 7
    files = {str(path): path.read_bytes() for path in records.rglob("*") if path.is_file()}
    texts = files | {"the output": (done.stdout + done.stderr).encode()}
    leaks = [f"{name} in {where}" for name, value in secrets.items() for form in forms(value) for where, text in texts.items() if form in text]  # fmt: skip
    assert not leaks, leaks
    # The cells did show them: in their places stand the names, and the manifest has counted.
    (manifest,) = records.rglob("manifest.json")
    counted = json.loads(manifest.read_text())["predicate"]["redactions"]
    wanted = {"THE_PASSWORD", "sudo_password"}, {"COURSE_API_TOKEN"}, {"private key"}, {"LTI_CLIENT_SECRET"}
    for names in (*wanted, {"CONFIGPROXY_AUTH_TOKEN"}, {"cookie_secret"}):
        assert names & counted.keys(), (names, counted)


# -- comparing, verifying, archiving


@pytest.fixture(scope="module")
def records(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three runs of 02: nothing to do, nothing to do, and one parameter changed; the server is put right afterwards."""
    folder = tmp_path_factory.mktemp("records")
    for options in ([], [], ["--set", "idle_minutes=90"]):
        ended = hubrun("install", machine.site, "--only", "02", "--records", folder, *options)
        assert ended.code == 0, ended.tail
    yield folder
    assert hubrun("install", machine.site, "--only", "02", "--records", folder).code == 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "test").iterdir() if path.is_dir())


def test_two_runs_with_nothing_to_do_differ_in_nothing(records: Path) -> None:
    first, second, _ = names(records)[:3]
    ended = hubrun("records", "diff", first, second, "--records", records)
    assert ended.code == 0 and ended.output.splitlines()[-1] == "nothing differs", ended.tail


def test_a_changed_parameter_is_shown_with_what_followed_from_it_and_nothing_else(records: Path) -> None:
    _, before, after = names(records)[:3]
    ended = hubrun("records", "diff", before, after, "--records", records)
    assert ended.code == 1
    lines = ended.output.splitlines()[3:-1]
    assert lines[:2] == ["- parameters › idle_minutes: 60", "+ parameters › idle_minutes: 90"], ended.tail
    about = ("run › status", "idle_minutes", "02_hub_lti", "conf.d/20-hub.py", "jupyterhub.service")
    assert all(any(word in line for word in about) for line in lines), ended.tail
    assert any("20-hub.py" in line for line in lines) and any("jupyterhub.service" in line for line in lines)


def test_the_history_verifies_signed_with_the_key_that_logs_in(records: Path, machine: Machine, tmp_path: Path) -> None:
    ended = hubrun("records", "verify", "--records", records)
    assert ended.code == 0 and "0 not signed" in ended.output, ended.tail
    public = Path(machine.info["ssh"]["key"] + ".pub").read_text().split()
    (tmp_path / "allowed").write_text(f'anna namespaces="record@hubrun" {public[0]} {public[1]}\n')
    ended = hubrun("records", "verify", "--records", records, "--allowed-signers", tmp_path / "allowed")
    assert ended.code == 0 and ": anna" in ended.output, ended.tail


def test_a_notebook_that_was_changed_afterwards_is_named(records: Path, tmp_path: Path) -> None:
    copy = tmp_path / "records"
    shutil.copytree(records, copy)
    notebook = copy / "test" / names(copy)[1] / "02_hub_lti.ipynb"
    notebook.write_text(notebook.read_text().replace('"ok"', '"OK"', 1))
    ended = hubrun("records", "verify", "--records", copy)
    assert ended.code == 1 and f"failed: test/{names(copy)[1]}/02_hub_lti.ipynb" in ended.output, ended.tail


def test_a_run_is_listed_shown_opened_and_archived(records: Path, tmp_path: Path) -> None:
    last = names(records)[2]
    listed = hubrun("records", "list", "--records", records)
    assert all(name in listed.output for name in names(records)), listed.tail
    shown = hubrun("records", "show", last, "--records", records)
    assert "Two services" in shown.output and "idle_minutes" in shown.output, shown.tail
    as_json = hubrun("records", "show", last, "--json", "--records", records)
    assert json.loads(as_json.output)["predicate"]["run"] == last
    opened = hubrun("records", "open", last, "--no-browser", "--records", records)
    assert "Two services" in Path(opened.output.strip().splitlines()[-1]).read_text()
    archived = hubrun("records", "export", last, "--to", tmp_path, "--records", records)
    assert archived.code == 0, archived.tail
    with tarfile.open(tmp_path / f"test-{last}.tar") as archive:
        assert any(name.endswith("02_hub_lti.ipynb") for name in archive.getnames())


def test_the_manifest_says_who_did_what_to_which_server_with_what(installed: Installed) -> None:
    record = installed.first.manifest
    assert record["operator"]["login"] and record["operator"]["host"] and record["software"]["version"]
    assert record["server"]["os"] == "debian" and record["server"]["host_key"].startswith("SHA256:")
    assert len(record["server"]["machine_id_sha256"]) == 64
    before, after = record["packages"]["before"], record["packages"]["after"]
    assert "deb nginx" not in before and after["deb nginx"] and after["hub jupyterhub"] == "6.1.1"
    assert after["npm configurable-http-proxy"] and after["image hubrun-singleuser:latest"].startswith("sha256:")
    assert all(book["facts"]["summary"] for book in record["runbooks"])


# -- records that cannot be written


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def refused(ended: Ended, machine: Machine, before: dict[str, str]) -> str:
    assert ended.code == 2, ended.tail
    assert machine.snapshot() == before
    return ended.error


def test_a_run_whose_record_cannot_be_written_does_not_begin(machine: Machine, small_disk: Path) -> None:
    before = machine.snapshot()
    (small_disk / "full").write_bytes(bytes(30 << 20))
    message = refused(hubrun("install", machine.site, "--records", small_disk), machine, before)
    assert "the record cannot be written: No space left on device" in message and "--records" in message
    (small_disk / "full").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    message = refused(hubrun("install", machine.site, "--records", small_disk), machine, before)
    assert "the record cannot be written: Read-only file system" in message


def test_a_disk_that_fills_up_loses_neither_the_install_nor_its_record(machine: Machine, small_disk: Path) -> None:
    running = start("install", machine.site, "--only", "02", "--records", small_disk)
    running.wait_for("Target", 60)
    with (small_disk / "full").open("wb") as file:
        for _ in range(50):
            try:
                file.write(bytes(1 << 20))
                file.flush()
            except OSError:
                break
    ended = running.end(120)
    assert ended.code == 1, ended.tail
    assert "could not be written" in ended.output and re.search("02_hub_lti +(ok|changed) ", ended.output), ended.tail
    record = ended.record
    try:
        assert not record.is_relative_to(small_disk)
        manifest = json.loads((record / "manifest.json").read_text())["predicate"]
        assert [book["status"] for book in manifest["runbooks"]] in (["ok"], ["changed"])
        nbformat.validate(nbformat.read(record / "02_hub_lti.ipynb", as_version=4))
    finally:
        shutil.rmtree(record)
