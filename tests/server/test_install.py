"""`./hubrun practice` on a fresh server: what a person, a student and an auditor find afterwards."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import httpx
import nbformat
import pytest
import yaml
from canvas import Student, env_file
from conftest import Installed, Processes
from machines import UNITS, Machine, differences, hubrun

from hubrun import params
from hubrun.desired.server import Server
from hubrun.lms.browser import Browser
from hubrun.sections.verify.verification import Verification

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

RUNBOOKS = ["01_server", "02_hub_lti", "03_https", "04_docker_spawner", "05_canvas", "06_verify"]
LTI_ENV, PROXY_ENV, VERIFY_ENV = (f"/etc/jupyterhub/{name}.env" for name in ("lti", "proxy", "verify"))


def retry(action: Callable[[], None], seconds: float) -> None:
    """Repeat `action` until it neither fails nor loses its connection; its own error after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        try:
            return action()
        except (AssertionError, httpx.HTTPError):
            if time.monotonic() > end:
                raise
            time.sleep(1)


@pytest.fixture
def student(machine: Machine) -> Iterator[Student]:
    with Student(machine.info, "ada") as ada:
        yield ada


@pytest.fixture
def key_and_secret(machine: Machine) -> tuple[str, str]:
    values = env_file(machine.secret(LTI_ENV))
    return values["LTI_CLIENT_KEY"], values["LTI_CLIENT_SECRET"]


@pytest.fixture(scope="module")
def ada(machine: Machine) -> Iterator[Browser]:
    """The browser of a student whose server runs."""
    with Server.connect(params.load(machine.site)) as server:
        browser, launched = Verification(server).login("ada")
    assert launched.ok, launched
    browser.start(120)
    yield browser
    browser.close()


# -- the record


def test_a_run_leaves_six_executed_notebooks_without_an_error(installed: Installed) -> None:
    folder = installed.first.record
    assert sorted(path.stem for path in folder.glob("*.ipynb")) == RUNBOOKS
    for path in sorted(folder.glob("*.ipynb")):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells if cell.source), path
        errors = [output for cell in cells for output in cell.outputs if output.output_type == "error"]
        assert not errors, path


def test_the_manifest_names_each_notebook_with_its_digest(installed: Installed) -> None:
    manifest, folder = installed.first.manifest, installed.first.record
    assert manifest["status"] == "changed"
    assert [part["name"] for part in manifest["runbooks"]] == RUNBOOKS
    for part in manifest["runbooks"]:
        assert part["sha256"] == hashlib.sha256((folder / f"{part['name']}.ipynb").read_bytes()).hexdigest()


def test_the_printed_url_shows_a_chain_to_the_practice_ca(installed: Installed) -> None:
    info = installed.machine.info
    assert info["url"] in installed.first.output.splitlines()
    context = ssl.create_default_context(cafile=info["ca_bundle"])
    address = ("127.0.0.1", info["https_port"])
    with (
        socket.create_connection(address, 10) as sock,
        context.wrap_socket(sock, server_hostname=info["domain"]) as tls,
    ):
        assert ("DNS", info["domain"]) in tls.getpeercert()["subjectAltName"]
    # Without the practice CA it is refused: the certificate is not one that anybody trusts anyway.
    with socket.create_connection(address, 10) as sock, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(sock, server_hostname=info["domain"])


# -- secrets


def secrets_of(machine: Machine) -> dict[str, str]:
    """The secrets as the server stores them: name → text."""
    found = {"cookie secret": machine.secret("/var/lib/jupyterhub/cookie_secret")}
    for path in (LTI_ENV, PROXY_ENV, VERIFY_ENV):
        found |= {name: value for name, value in env_file(machine.secret(path)).items() if "KEY" not in name}
    return found


def forms(secret: str) -> list[bytes]:
    """A secret as it is stored, and for one in hex also its bytes, raw and in base64."""
    try:
        raw = bytes.fromhex(secret)
    except ValueError:
        return [secret.encode()]
    return [secret.lower().encode(), raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"=")]


def leaks(secrets: dict[str, str], folder: Path, output: str, processes: Iterable[str]) -> list[str]:
    """Which secret occurs where: in a file below `folder`, in the output, among the processes' arguments."""
    texts = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts |= {"output": output.encode(), "processes": "\n".join(processes).encode()}
    return [
        f"{name} in {where}"
        for where, text in texts.items()
        for name, secret in secrets.items()
        if any(form in text for form in forms(secret))
    ]


def test_no_secret_is_in_the_record_the_output_or_the_processes(installed: Installed) -> None:
    secrets = secrets_of(installed.machine)
    assert len(secrets) == 4 and all(len(secret) >= 32 for secret in secrets.values())
    # The sampler looked all the time, and saw what ran inside the server.
    assert installed.processes.looks > installed.first.seconds
    assert any("apt-get" in line and "install" in line for line in installed.processes.seen)
    assert any("docker build" in line for line in installed.processes.seen)
    assert not leaks(secrets, installed.first.record, installed.first.output, installed.processes.seen)


def test_a_secret_in_any_of_these_places_would_have_been_found(tmp_path: Path) -> None:
    planted = "5ec4e7" * 10 + "beef"
    encoded = base64.b64encode(bytes.fromhex(planted)).decode()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "01_server.ipynb").write_text(json.dumps({"outputs": [f"token={encoded}"]}))
    with Processes() as processes, subprocess.Popen(["sh", "-c", "sleep 30; :", planted]) as process:
        time.sleep(1)
        process.kill()
    found = leaks({"it": planted}, tmp_path, f"a line\n{planted}\n", processes.seen)
    assert found == [f"it in {tmp_path}/sub/01_server.ipynb", "it in output", "it in processes"]
    assert not leaks({"it": "0" * 64}, tmp_path, "a line", processes.seen)


def test_no_log_on_the_server_holds_a_secret(machine: Machine) -> None:
    # The patterns go in by standard input: as arguments they would be in the log of the next test.
    patterns = "\n".join(secrets_of(machine).values()).encode()
    script = "cat > /run/patterns; {}; rm /run/patterns"
    look = "journalctl -o cat --no-pager | grep -cF -f /run/patterns; grep -rlF -f /run/patterns /var/log /tmp /srv"
    assert machine.run(script.format(look), data=patterns).split() == ["0"]
    # Where they must be, they are found.
    assert LTI_ENV in machine.run(script.format("grep -rlF -f /run/patterns /etc"), data=patterns)


# -- students


def test_a_launch_signed_by_another_client_reaches_the_students_lab(
    student: Student, key_and_secret: tuple[str, str]
) -> None:
    answer = student.launch(*key_and_secret)
    assert answer.status_code == 302 and student.logged_in, answer.text
    page = student.open_lab()
    assert (page.status_code, page.url.path) == (200, "/user/ada/lab"), page.text[-2000:]
    assert "JupyterLab" in page.text


def test_a_launch_signed_with_a_wrong_secret_gets_401_and_no_cookie(
    student: Student, key_and_secret: tuple[str, str]
) -> None:
    key, secret = key_and_secret
    answer = student.launch(key, secret[::-1])
    assert answer.status_code == 401
    assert not student.logged_in and not any(c.name == "jupyterhub-session-id" for c in student.client.cookies.jar)


def test_a_students_container_has_limits_and_no_privileges(machine: Machine, ada: Browser) -> None:
    site = yaml.safe_load(machine.site.read_text())
    (container,) = json.loads(machine.run("docker inspect $1", machine.container_of("ada")))
    host = container["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == site["user_memory_mb"] << 20
    assert host["CpuQuota"] / host["CpuPeriod"] == site["user_cpus"]
    assert host["PidsLimit"] == site["user_processes"]
    assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == "jupyterhub" and not host["PortBindings"]
    volumes = [mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume"]
    others = [mount["Source"] for mount in container["Mounts"] if mount["Type"] != "volume"]
    assert volumes == ["jupyterhub-user-ada"]
    # of the course that she was launched from (test_nbgrader says which exactly)
    assert others and all(source.startswith("/srv/nbgrader/bio-101--") for source in others)
    # And as the kernel of the notebook sees it.
    status = ada.run_cell("print(open('/proc/self/status').read())")
    assert "NoNewPrivs:\t1" in status and "CapBnd:\t0000000000000000" in status
    assert ada.run_cell("import os; print(os.getuid())") != "0"


def test_a_kernel_keeps_its_variables_while_the_hub_restarts(machine: Machine, ada: Browser) -> None:
    ada.run_cell("answer = 41")
    before = machine.snapshot()
    machine.run("systemctl restart jupyterhub")
    changed = differences(before, machine.snapshot())
    assert any("unit jupyterhub MainPID" in line for line in changed)
    assert not any("unit jupyterhub-proxy" in line for line in changed)

    def still_there() -> None:
        assert ada.run_cell("answer + 1") == "42"

    still_there()  # at once: the notebook's way does not lead through the hub
    retry(lambda: httpx_ok(ada), 60)
    still_there()


def httpx_ok(browser: Browser) -> None:
    assert browser.get("/hub/api/user").status_code == 200


def test_the_culler_stops_an_idle_server_and_keeps_its_files(machine: Machine, ada: Browser) -> None:
    ada.write_file("kept.txt", "kept")
    command = machine.run("pgrep -af jupyterhub_idle_culler || ps -eo args | grep '[j]upyterhub_idle_culler'")
    assert "--timeout=3600" in command
    # The same culler with the same rights, that the hub gave it, and less patience.
    script = """
    for folder in /proc/[0-9]*; do
        tr '\\0' ' ' < "$folder/cmdline" 2>/dev/null | grep -q '^[^ ]*python[^ ]* -m jupyterhub_idle_culler' || continue
        while IFS= read -r line; do
            case $line in JUPYTERHUB_*) export "$line";; esac
        done <<EOF
$(tr '\\0' '\\n' < "$folder/environ")
EOF
        exec timeout 45 /opt/jupyterhub/bin/python -m jupyterhub_idle_culler --timeout=1 --cull-every=2 2>&1
    done
    """
    log = machine.run(f"({script}) > /run/culler.log & end=$(( $(date +%s) + 40 ))\n"
        "while docker ps -a --filter volume=jupyterhub-user-ada | grep -q jupyter- && [ $(date +%s) -lt $end ]; do sleep 1; done\n"
        "kill $! 2>/dev/null; cat /run/culler.log; docker ps -a --filter volume=jupyterhub-user-ada --format 'container {{.Names}}'", seconds=90)  # fmt: skip
    assert "Culling server ada" in log and "container jupyter-" not in log, log
    assert "jupyterhub-user-ada" in machine.run("docker volume ls -q").split()
    ada.kernel_id = ""
    ada.start(120)
    assert ada.read_file("kept.txt") == "kept"


# -- again


def test_a_second_run_changes_nothing(installed: Installed) -> None:
    machine = installed.machine
    before = machine.snapshot()
    assert {f"unit {unit} MainPID" for unit in UNITS} <= before.keys() and "cookie_secret" in before
    assert any(name.startswith("image hubrun-singleuser") for name in before)
    second = hubrun("practice", "--name", "test", seconds=300)
    assert second.code == 0, second.tail
    assert second.manifest["status"] == "ok", second.tail
    assert len(second.results) > 50
    assert [(name, status) for name, status in second.results if status != "ok"] == []
    assert differences(before, machine.snapshot()) == []


def test_after_a_reboot_launches_work_with_nobodys_help(machine: Machine, key_and_secret: tuple[str, str]) -> None:
    container = machine.info["container"]
    machine.docker("stop", container)
    machine.docker("start", container)

    def launch() -> None:
        with Student(machine.info, "ada") as student:
            answer = student.launch(*key_and_secret)
            assert student.logged_in, f"{answer.status_code} {answer.text[-500:]}"
            page = student.open_lab(60)
            assert (page.status_code, page.url.path) == (200, "/user/ada/lab")

    retry(launch, 90)
    assert machine.run("docker exec $1 cat kept.txt", machine.container_of("ada")) == "kept"
    failed = machine.run("systemctl --failed --no-legend --plain")
    assert not failed, failed
