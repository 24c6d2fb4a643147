"""Runbook 14: each secret is replaced under launches at one a second, of which none is refused."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import pytest
from canvas import LTI_ENV, Student, key_and_secret
from launch_loop import launches
from machines import Ended, Machine, hubrun
from test_upgrade import logged_in

from canvas_double import CanvasDouble

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

TOKEN = "7~TestTokenTestTokenTestTokenTestTokenTestToZ"
PROXY, COOKIE = "/etc/jupyterhub/proxy.env", "/var/lib/jupyterhub/cookie_secret"
REPOSITORY = "/mnt/rotated-backup"


@pytest.fixture(autouse=True)
def as_if_never_rotated(machine: Machine) -> Iterator[None]:
    yield
    machine.run(f"rm -f /var/lib/hubrun/rotated.json /var/lib/hubrun/canvas-secret; sed -i /^LTI_FORMER_/d {LTI_ENV}")


@pytest.fixture(scope="module")
def canvas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CanvasDouble]:
    with CanvasDouble(tmp_path_factory.mktemp("canvas")) as double:
        double.add_token(TOKEN)
        double.add_course("101")
        yield double


def rotate(machine: Machine, what: str, *options: str, **env: str) -> Ended:
    return hubrun("run", "rotate", machine.site, "--set", f"rotate={what}", *options, env=env, seconds=600)


def secrets_of(machine: Machine) -> set[str]:
    """All secrets that these files hold."""
    return set(re.findall("[0-9a-f]{64}", machine.run(f"cat {LTI_ENV} {PROXY} {COOKIE}")))


def assert_nowhere(ended: Ended, secrets: set[str]) -> None:
    everything = ended.output + "".join(each.read_text() for each in ended.record.rglob("*") if each.is_file())
    assert len(secrets) >= 4 and not [each for each in secrets if each in everything]


def test_the_secret_of_canvas_is_another_and_canvas_has_it(machine: Machine, canvas: CanvasDouble) -> None:
    values = {"canvas_url": canvas.url, "canvas_ca_file": canvas.ca_file, "canvas_token_env": "CANVAS_ACCESS", "canvas_course": "101"}  # fmt: skip
    options = [f"--set={name}={value}" for name, value in values.items()]
    env = {"CANVAS_ACCESS": TOKEN, "NO_PROXY": "localhost"}
    made = hubrun("install", machine.site, "--only", "05", *options, env=env)
    assert made.code == 0, made.tail
    (tool,) = canvas.tools.values()
    old = key_and_secret(machine)
    secrets = secrets_of(machine)
    with machine.undisturbed():
        plan = rotate(machine, "lti_secret", *options, "--check", **env)
    assert plan.code == 2 and "make a new one; the one before is good for 7 more days" in plan.output, plan.tail
    assert "shared_secret" in plan.output and tool["shared_secret"] == old[1], plan.tail
    pids = machine.run("systemctl show jupyterhub jupyterhub-proxy nginx -p MainPID --value")
    with launches(
        machine, "the secret of LTI, in Canvas by its API", lambda: (tool["consumer_key"], tool["shared_secret"])
    ):
        ended = rotate(machine, "lti_secret", *options, **env)
    assert ended.code == 0, ended.tail
    new = key_and_secret(machine)
    assert new[0] == old[0] and tool["shared_secret"] == new[1] != old[1]
    assert machine.run("systemctl show jupyterhub jupyterhub-proxy nginx -p MainPID --value") == pids
    assert_nowhere(ended, secrets | secrets_of(machine))

    with launches(
        machine, "the same once more, launches with either secret", lambda: random.choice([old, new])
    ):  # pages of Canvas that were open before
        again = rotate(machine, "lti_secret", *options, **env)
    assert again.code == 0 and {status for _, status in again.results} == {"ok"}, again.tail
    assert key_and_secret(machine) == new
    book = (again.record / "14_rotate.ipynb").read_text()
    assert time.strftime("%Y-%m-%dT") in book, "it says when the one before was used last"

    with launches(machine, "the end of the secret before", lambda: new):
        ended = rotate(machine, "lti_secret", "--set", "rotate_days=0", *options, **env)
    assert ended.code == 0 and key_and_secret(machine) == new, ended.tail
    with Student(machine.info, "turn0") as student:
        assert student.launch(*old).status_code == 401 and not student.logged_in
    again = rotate(machine, "lti_secret", "--set", "rotate_days=0", *options, **env)
    assert again.code == 0 and key_and_secret(machine) == new, again.tail


@pytest.mark.only_long
def test_the_proxys_token_and_the_secret_of_logins(machine: Machine) -> None:
    pair, before = key_and_secret(machine), secrets_of(machine)
    with logged_in(machine) as browser:
        browser.start(120)
        browser.run_cell("kept = 41")
        container = machine.container_of("ada")
        with launches(machine, "the proxy's token", lambda: pair):
            ended = rotate(machine, "[proxy_token]")
        assert ended.code == 0, ended.tail
        assert browser.run_cell("kept + 1") == "42", "she is still logged in"
        with launches(machine, "the secret of logins", lambda: pair):
            ended = rotate(machine, "[proxy_token, cookie_secret]")
        assert ended.code == 0, ended.tail
        assert ("a new secret in /etc/jupyterhub/proxy.env", "ok") in ended.results, "it was done within the day"
        after = secrets_of(machine)
        assert len(before - after) == len(after - before) == 2
        assert_nowhere(ended, before | after)
        # Her login has ended; what runs goes on, and is hers again after a launch.
        assert browser.get("/hub/home").status_code in (401, 403)
        assert not browser.get(f"{browser.home_path}api/contents/").is_success
        assert machine.container_of("ada") == container
    with logged_in(machine) as browser:
        browser.start(120)
        assert machine.container_of("ada") == container
        (kernel,) = browser.get(f"{browser.home_path}api/kernels").json()
        assert kernel["execution_state"] in ("idle", "busy"), "her kernel was not restarted"
        browser.stop()
    with machine.undisturbed():
        again = rotate(machine, "[proxy_token, cookie_secret]")
    assert again.code == 0 and {status for _, status in again.results} == {"ok"}, again.tail


@pytest.mark.only_long
def test_the_tools_key_has_the_one_before_beside_it(machine: Machine) -> None:
    def published() -> list[str]:
        with Student(machine.info, "turn0") as student:
            return [each["kid"] for each in student.client.get("/hub/lti13/jwks").json()["keys"]]

    pair = key_and_secret(machine)
    (first,) = published()
    with launches(machine, "the tool's key", lambda: pair):
        ended = rotate(machine, "tool_key", "--set", "lti_version=both")
    assert ended.code == 0, ended.tail
    second, former = published()
    assert former == first != second
    again = rotate(machine, "tool_key", "--set", "lti_version=both")
    assert again.code == 0 and published() == [second, first], again.tail
    ended = rotate(machine, "tool_key", "--set", "lti_version=both", "--set", "rotate_days=0")
    assert ended.code == 0 and published() == [second], ended.tail


@pytest.mark.only_long
def test_a_certificate_of_ones_own(machine: Machine) -> None:
    domain, pair = machine.info["domain"], key_and_secret(machine)
    live, files = f"/etc/letsencrypt/live/{domain}", ("--set", "tls=files", "--set", "tls_certificate=/root/hub.pem", "--set", "tls_key=/root/hub.key")  # fmt: skip
    copy = f"install -m 0644 {live}/fullchain.pem /root/hub.pem%s; install -m 0600 {live}/privkey.pem /root/hub.key%s"
    served = f"openssl s_client -connect 127.0.0.1:443 -servername {domain} < /dev/null 2> /dev/null | openssl x509 -noout -serial"
    machine.run(copy % ("", ""))
    assert hubrun("install", machine.site, "--only", "03", *files).code == 0
    try:
        # The certificate is new, its key is not.
        machine.run("certbot renew --force-renewal --no-random-sleep-on-renew -q && " + copy % (".new", ".wrong"), seconds=120)  # fmt: skip
        before = machine.run(served)
        with machine.undisturbed():
            wrong = rotate(machine, "certificate", *files)
        assert wrong.code == 1 and "the key is the certificate's" in wrong.error, wrong.tail
        assert machine.run(served) == before
        machine.run("mv /root/hub.key.wrong /root/hub.key.new")
        with launches(machine, "a certificate of one's own", lambda: pair):
            ended = rotate(machine, "certificate", *files)
        assert ended.code == 0 and machine.run(served) != before, ended.tail
        assert machine.run("ls /root/hub.*").split() == ["/root/hub.key", "/root/hub.pem"]
        again = rotate(machine, "certificate", *files)
        assert again.code == 0 and {status for _, status in again.results} == {"ok"}, again.tail
    finally:
        assert hubrun("install", machine.site, "--only", "03").code == 0
        machine.run("rm -f /root/hub.*")


@pytest.mark.only_long
def test_the_password_of_the_backups(machine: Machine) -> None:
    to, pair = ("--set", f"backup_to={REPOSITORY}"), key_and_secret(machine)
    refused = rotate(machine, "backup_password")
    assert refused.code == 1 and "backup_to is not set" in refused.error, refused.tail
    hubrun("run", "backup", machine.site, *to, seconds=600)  # its last check fails: nobody has seen the key
    try:
        assert "password" in machine.run("hubrun-backup key")
        old = machine.secret("/etc/jupyterhub/backup.env")
        with launches(machine, "the password of the backups", lambda: pair):
            ended = rotate(machine, "backup_password", *to)
        assert ended.code == 0 and "ready" in machine.run("hubrun-backup look"), ended.tail
        new = machine.secret("/etc/jupyterhub/backup.env").splitlines()[0].partition("=")[2]
        assert new not in old
        assert_nowhere(ended, secrets_of(machine) | {new, old.partition("=")[2]})
        keys = f"RESTIC_PASSWORD={new} restic -r {REPOSITORY} key list --json"
        assert machine.run(keys).count('"id"') == 1
        again = rotate(machine, "backup_password", *to)
        assert {status for _, status in again.results} == {"ok"}, again.tail
    finally:
        machine.run(
            f"systemctl disable --now hubrun-backup.timer; rm -rf {REPOSITORY} /etc/jupyterhub/backup* /var/lib/hubrun/backup*"
            " /etc/systemd/system/hubrun-backup.* /usr/local/sbin/hubrun-backup; systemctl daemon-reload"
        )


def test_what_cannot_be_replaced_is_one_error_and_nothing_is_touched(machine: Machine) -> None:
    with machine.undisturbed():
        for what, says in (("[]", "it is not said what to replace"), ("lti_secret:bio", "of consumer bio"), ("certificate", "certbot renews")):  # fmt: skip
            ended = rotate(machine, what)
            assert ended.code == 1 and says in ended.error, ended.tail
