"""What can be wrong with a server or a run: each is one clear error, and the server stays as it was."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from machines import UNITS, Machine, hubrun, start

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

LOCAL = "/etc/jupyterhub/conf.d/90-local.py"
# Holds dpkg's lock as dpkg does, with fcntl, until it is killed or its argument, in seconds, is over.
HOLD_LOCK = """
import fcntl, os, pathlib, sys, time
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
pathlib.Path("/run/lock-held").write_text(str(os.getpid()))
time.sleep(float(sys.argv[1]))
"""


def serves(machine: Machine) -> None:
    """The hub answers over verified HTTPS, and no service is down."""
    context = ssl.create_default_context(cafile=machine.info["ca_bundle"])
    url = f"{machine.info['url']}hub/health"
    assert httpx.get(url, verify=context, trust_env=False, timeout=20).status_code == 200
    assert machine.run(f"systemctl is-active {' '.join(UNITS)}").split() == ["active"] * len(UNITS)


@pytest.fixture
def working(machine: Machine) -> Iterator[Machine]:
    """The server that is set up; it must still serve after the test."""
    yield machine
    serves(machine)


def pids(machine: Machine, pattern: str) -> list[str]:
    """Processes on the server whose command line matches; a pattern as for grep."""
    script = """
    for folder in /proc/[0-9]*; do
        [ "$folder" != "/proc/$$" ] || continue
        tr '\\0' ' ' < "$folder/cmdline" 2>/dev/null | grep -q -e "$1" && echo "${folder#/proc/}"
    done
    :
    """
    return machine.run(script, pattern).split()


def wait_for_process(machine: Machine, pattern: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not pids(machine, pattern):
        assert time.monotonic() < end, f"no process {pattern!r} on the server after {seconds} s"
        time.sleep(0.1)


@contextmanager
def file_on(machine: Machine, path: str, text: str) -> Iterator[None]:
    """A file on the server with this text; what was there before comes back with its time."""
    machine.run('[ ! -e "$1" ] || cp -p "$1" /run/kept; cat > "$1"', path, data=text.encode())
    try:
        yield
    finally:
        machine.run('if [ -e /run/kept ]; then cp -p /run/kept "$1"; rm /run/kept; else rm "$1"; fi', path)


@contextmanager
def lock_held(machine: Machine, seconds: float) -> Iterator[None]:
    """Another program has apt's lock for so many seconds, at most until the block ends."""
    machine.background("python3", "-c", HOLD_LOCK, str(seconds))
    machine.run("until [ -s /run/lock-held ]; do sleep 0.05; done", seconds=10)
    try:
        yield
    finally:
        machine.run("kill $(cat /run/lock-held) 2>/dev/null; rm /run/lock-held")


# -- who we are and who the server is


def test_a_changed_host_key_is_refused(working: Machine, tmp_path: Path) -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{working.info['ssh']['port']} {other}\n")
    with working.undisturbed():
        ended = hubrun("install", working.site, "--set", f"ssh_known_hosts_file={known_hosts}", seconds=60)
    assert ended.code == 2, ended.tail
    assert "host key has changed" in ended.error and "ssh-keygen -R" in ended.error


@pytest.fixture(scope="module")
def password(machine: Machine) -> Iterator[str]:
    """Of carol, who may use sudo with it. The admin user `teacher` may without; the practice key lets both in."""
    password = secrets.token_urlsafe(16)
    script = """
    useradd --create-home --shell /bin/bash --groups sudo carol
    chpasswd
    for user in carol teacher; do
        install -d -m 700 -o $user -g $user /home/$user/.ssh
        install -m 600 -o $user -g $user /root/.ssh/authorized_keys /home/$user/.ssh/
        # bash reads it for commands over SSH too; what it prints is no answer, and ends without a newline
        printf 'printf "Welcome to the lab"; printf quota >&2\\n' | cat - /home/$user/.bashrc > /run/bashrc
        cat /run/bashrc > /home/$user/.bashrc
    done
    """
    machine.run(f"set -e\n{script}", data=f"carol:{password}\n".encode())
    yield password
    machine.run("userdel -r carol 2>/dev/null; rm -r /home/teacher/.ssh")


def test_a_wrong_sudo_password_is_refused(working: Machine, password: str) -> None:
    options = ("--set", "ssh_user=carol", "--set", "sudo_password_env=HUBRUN_TEST_SUDO")
    with working.undisturbed():
        ended = hubrun("install", working.site, *options, env={"HUBRUN_TEST_SUDO": password[::-1]}, seconds=60)
    assert ended.code == 2, ended.tail
    assert "sudo refused the password" in ended.error
    assert password[::-1] not in ended.output


def test_a_sudo_password_that_nobody_gave_is_asked_for_by_name(working: Machine, password: str) -> None:
    ended = hubrun("install", working.site, "--set", "ssh_user=carol", seconds=60)
    assert ended.code == 2, ended.tail
    assert "sudo_password_env" in ended.error


def test_a_user_with_a_sudo_password_can_plan_everything(working: Machine, password: str) -> None:
    options = ("--set", "ssh_user=carol", "--set", "sudo_password_env=HUBRUN_TEST_SUDO")
    with working.undisturbed():
        ended = hubrun("plan", working.site, *options, env={"HUBRUN_TEST_SUDO": password}, seconds=180)
    assert ended.code == 0, ended.tail
    assert len(ended.manifest["runbooks"]) == 6
    assert not [path for path in ended.record.iterdir() if password in path.read_text()]
    assert password not in ended.output
    journal = working.run("cat > /run/pattern; journalctl -o cat | grep -cF -f /run/pattern", data=b"carol")
    assert int(journal) > 0  # sudo's log of what carol did is there


def test_a_user_whose_sudo_asks_for_nothing_can_install(working: Machine, password: str) -> None:
    with working.undisturbed():
        ended = hubrun("install", working.site, "--only", "01", "--set", "ssh_user=teacher", seconds=120)
    assert ended.code == 0, ended.tail
    assert {status for _, status in ended.results} == {"ok"}


def test_a_practice_server_leaves_the_clock_and_the_kernel_of_this_machine_alone(machine: Machine) -> None:
    """capabilities(7): CAP_SYS_TIME is the 25th. Nothing is tried: where it could, this machine would be changed."""
    held = int(machine.run("awk '/^CapBnd/ {print $2}' /proc/1/status"), 16)
    assert not held >> 25 & 1
    settings = "kernel/pid_max vm/swappiness fs/file-max net/ipv4/ip_forward"
    writable = machine.run(f"cd /proc/sys; for name in {settings}; do [ ! -w $name ] || echo $name; done")
    assert writable.split() == ["net/ipv4/ip_forward"]


# -- the operator's own mistakes on the server


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c = get_config()\nc.Spawner.mem_limit = (\n", (f"{LOCAL}, line 2", "SyntaxError")),
        ("c = get_config()\n\nimport no_such_module\n", (f"{LOCAL}, line 3", "no_such_module")),
        ("c = get_config()\nc.LTIAuthenticator.consumers = {}\n", (LOCAL, "line 2", "LaunchAuthenticator")),
        ("c = get_config()\nc.Spawner.memlimit = '1G'\n", (LOCAL, "line 2", "c.Spawner.memlimit", "mem_limit")),
    ],
    ids=["syntax", "import", "class of another name", "setting of another name"],
)
def test_a_mistake_in_the_operators_settings_is_named_with_its_line(
    working: Machine, text: str, said: tuple[str, ...]
) -> None:
    with file_on(working, LOCAL, text), working.undisturbed():
        ended = hubrun("install", working.site, "--from", "02", "--set", "idle_minutes=45", seconds=120)
        serves(working)
    assert ended.code == 1, ended.tail
    assert [word for word in said if word not in ended.error] == [], ended.error
    begun = [part["name"] for part in ended.manifest["runbooks"] if part["status"] != "not run"]
    assert begun == ["02_hub_lti"]


def test_a_hub_that_is_restarted_with_a_mistake_goes_on_with_what_it_had_and_a_plan_names_all(working: Machine) -> None:
    restart = "systemctl restart jupyterhub; curl -sS --retry 60 --retry-delay 1 --retry-connrefused -o /dev/null http://127.0.0.1:8000/hub/lti/launch"
    with file_on(working, LOCAL, "c = get_config()\nc.Spawner.mem_limit = nowhere\n"):
        working.run(restart, seconds=90)
        said = working.run(
            "curl -sS -w ' %{http_code}' http://127.0.0.1:8081/hub/health; journalctl -u jupyterhub --since -4min -o cat | grep -e Error -e 'goes on'"
        )
        working.run("chmod 0644 /etc/jupyterhub/lti.env")
        planned = hubrun("plan", working.site)
    working.run(f"chmod 0600 /etc/jupyterhub/lti.env; {restart}", seconds=90)
    assert f"{LOCAL}, line 2: NameError" in said and "goes on with those that loaded last" in said, said
    assert planned.code == 1 and f"{LOCAL}, line 2: NameError" in planned.error, planned.tail
    assert "secrets /etc/jupyterhub/lti.env" in planned.output, "what differs behind it is named too"
    assert "not run" not in [book["status"] for book in planned.manifest["runbooks"]]


def test_a_network_that_was_pruned_is_back_by_itself(working: Machine) -> None:
    working.run(
        "docker ps -aq --filter network=jupyterhub | xargs -r docker rm -f >/dev/null; docker network prune -f >/dev/null"
    )
    working.run("until docker network inspect jupyterhub >/dev/null 2>&1; do sleep 0.2; done", seconds=15)
    working.run(
        "curl -fsS --retry 20 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1:8000/hub/health",
        seconds=40,
    )


def test_a_build_that_fails_says_why_and_leaves_nothing_behind(working: Machine) -> None:
    look = "docker ps -aq | wc -l; docker images -q -f dangling=true | wc -l; docker image inspect -f '{{.Id}}' hubrun-singleuser"
    before = working.run(look)
    ended = hubrun(
        "install", working.site, "--only", "04", "--set", "extra_pip_packages=[hubrun-no-such-package==99]", seconds=250
    )
    assert ended.code == 1, ended.tail
    assert "hubrun-no-such-package" in ended.error and "non-zero code" not in ended.error, ended.error
    assert "extra_pip_packages" in ended.error
    assert working.run(look) == before


def test_an_nginx_include_that_is_broken_stops_the_change_and_not_nginx(working: Machine) -> None:
    broken = "/etc/nginx/conf.d/zz-broken.conf"
    with (
        file_on(working, broken, "server { listen 80; server_name broken.invalid; no_such_directive on; }\n"),
        working.undisturbed(),
    ):
        ended = hubrun("install", working.site, "--only", "03", "--set", "upload_limit_mb=77", seconds=120)
        serves(working)
    assert ended.code == 1, ended.tail
    assert broken in ended.error and "no_such_directive" in ended.error
    assert "77m" not in working.run("cat /etc/nginx/conf.d/jupyterhub-https.conf")


@pytest.mark.only_long
def test_a_site_of_another_stays_the_default_of_nginx_beside_the_hubs(working: Machine) -> None:
    """And one that would be taken off line is named first."""
    other = "/etc/nginx/sites-enabled/dept"
    ask = "curl -sS --resolve www.dept.invalid:80:$(hostname -I | cut -d' ' -f1) http://www.dept.invalid/"
    reload = "nginx -t -q && systemctl reload nginx && sleep 1"
    try:
        with file_on(working, other, "server { listen 80; return 200 dept; }\n"), working.undisturbed():
            named = hubrun("install", working.site, "--only", "03", seconds=120)
        assert named.code == 1 and other in named.error and "default_server" in named.error, named.tail
        working.run(f"echo 'server {{ listen 80 default_server; return 200 dept; }}' > {other}")
        beside = hubrun("install", working.site, "--only", "03", seconds=120)
        assert beside.code == 0, beside.tail
        assert working.run(ask) == "dept"
        serves(working)
        assert hubrun("plan", working.site, "--only", "03").code == 0
    finally:
        working.run(f"rm {other}")
        assert hubrun("install", working.site, "--only", "03", seconds=120).code == 0
        working.run(f"{reload}; ! {ask} 2> /dev/null")


def test_settings_with_which_docker_does_not_start_are_put_back(working: Machine) -> None:
    """Docker's own unit names a setting as well, which Docker does not take twice."""
    drop_in, settings = "/etc/systemd/system/docker.service.d/flag.conf", "/etc/docker/daemon.json"
    working.run(f"cp -p {settings} /run/daemon.json; mkdir -p {drop_in.rpartition('/')[0]}")
    command = working.run("systemctl cat docker | sed -n 's/^ExecStart=//p' | tail -n 1").strip()
    try:
        working.run(
            f"printf '[Service]\\nExecStart=\\nExecStart={command} --log-driver=local\\n' > {drop_in}; systemctl daemon-reload"
        )
        # Without the setting that the unit has; with it, 04 writes what Docker does not start with.
        working.run(f"echo '{{\"live-restore\": true}}' > {settings}; systemctl restart docker", seconds=120)
        ended = hubrun("install", working.site, "--only", "04", seconds=180)
        assert ended.code == 1 and "specified both as a flag" in ended.error, ended.tail
        assert "systemctl cat docker" in ended.error
        assert working.run(f"cat {settings}").strip() == '{"live-restore": true}'
        assert working.run("systemctl is-active docker").strip() == "active"
    finally:
        working.run(
            f"rm {drop_in}; cp -p /run/daemon.json {settings}; systemctl daemon-reload; systemctl restart docker",
            seconds=120,
        )


# -- other programs, and the connection


@pytest.mark.only_long
def test_a_held_apt_lock_is_waited_for(working: Machine) -> None:
    working.run("apt-get -qq remove hello >/dev/null", seconds=120)
    with lock_held(working, 60):
        ended = hubrun("install", working.site, "--only", "01", "--set", "extra_packages=[hello]", seconds=180)
    assert ended.code == 0, ended.tail
    assert ended.seconds > 50
    # What it waits for is said while it waits.
    assert "lock" in ended.output and "python3" in ended.output, ended.tail
    assert working.run("hello --greeting=installed").strip() == "installed"


def test_after_a_lost_connection_the_next_run_carries_on(working: Machine) -> None:
    working.run("apt-get -qq remove hello >/dev/null", seconds=120)
    options = ("install", working.site, "--only", "01", "--set", "extra_packages=[hello]")
    with lock_held(working, 120):
        run = start(*options)
        wait_for_process(working, "^apt-get .* install ", 60)
        sessions = pids(working, "^sshd.*: root@notty")
        assert sessions
        for pid in sessions:
            working.run('kill "$1"', pid)
        ended = run.end(90)
    assert ended.code == 1, ended.tail
    assert "ConnectionLost" in ended.error and "Run it again" in ended.error
    again = hubrun(*options, seconds=180)
    assert again.code == 0, again.tail
    assert working.run("hello --greeting=installed").strip() == "installed"


# -- a fresh server: nothing of ours is there, and after a refusal still nothing is


@pytest.fixture(scope="module")
def fresh(bare: Machine) -> Machine:
    bare.reset()
    return bare


def test_a_taken_port_80_is_found_before_anything_is_installed(fresh: Machine) -> None:
    # Perl is on every Debian; Python is not yet.
    program = "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); bind(S, pack_sockaddr_in(80, INADDR_ANY)); listen(S, 5)"
    fresh.background("perl", "-e", f"{program}; sleep 300")
    wait_for_process(fresh, "^perl ", 10)
    (pid,) = pids(fresh, "^perl ")
    with fresh.undisturbed():
        ended = hubrun("install", fresh.site, seconds=60)
    assert ended.code == 1, ended.tail
    assert f"held by perl (process {pid})" in ended.error and "port 80" in ended.error
    fresh.run('kill "$1"', pid)


@pytest.mark.parametrize("number", ["02", "04", "06"])
def test_a_runbook_before_its_turn_says_who_comes_first(fresh: Machine, number: str) -> None:
    with fresh.undisturbed():
        ended = hubrun("install", fresh.site, "--only", number, seconds=60)
    assert ended.code == 1 and "Run 01_server first" in ended.error, ended.tail


def test_a_network_an_account_and_a_site_of_the_servers_own_are_named_before_anything_is_changed(
    fresh: Machine,
) -> None:
    fresh.run(
        "useradd -m -s /bin/bash jupyterhub; ip link add other type veth peer name other2; ip link set other2 up; ip addr add 172.29.3.1/24 dev other; ip link set other up"
    )
    try:
        with fresh.undisturbed():
            ended = hubrun("install", fresh.site, seconds=60)
    finally:
        fresh.run("userdel -r jupyterhub 2> /dev/null; ip link del other")
    assert ended.code == 1, ended.tail
    assert "172.29.3.0/24" in ended.error and "Set docker_subnet: " in ended.error
    assert "jupyterhub is a person's login" in ended.error or "has the number 1000" in ended.error


def test_a_small_disk_is_found_before_anything_is_installed(fresh: Machine) -> None:
    fresh.run("mount -t tmpfs -o size=64m tmpfs /opt")
    with fresh.undisturbed():
        ended = hubrun("install", fresh.site, seconds=60)
    fresh.run("umount /opt")
    assert ended.code == 1, ended.tail
    assert "/opt has 64 MB left" in ended.error and "disk space" in ended.error


def test_a_disk_that_fills_up_half_way_is_named_and_the_next_run_carries_on(fresh: Machine) -> None:
    fresh.run("mount -t tmpfs -o size=1m tmpfs /var/cache/apt/archives")
    ended = hubrun("install", fresh.site, "--only", "01", seconds=120)
    fresh.run("umount /var/cache/apt/archives")
    assert ended.code == 1, ended.tail
    assert "The disk is full" in ended.error
    assert not fresh.run("dpkg --audit")


@pytest.mark.only_long
def test_a_run_that_was_killed_in_the_middle_of_dpkg_is_carried_on(fresh: Machine) -> None:
    run = start("install", fresh.site, "--only", "01")
    wait_for_process(fresh, "^/usr/bin/dpkg .*--\\(unpack\\|configure\\)", 90)
    run.kill()
    again = hubrun("install", fresh.site, "--only", "01", seconds=180)
    assert again.code == 0, again.tail
    assert not fresh.run("dpkg --audit")


@pytest.mark.only_long
def test_a_run_that_was_killed_while_the_hub_was_installed_is_carried_on(fresh: Machine) -> None:
    run = start("install", fresh.site, "--only", "02")
    wait_for_process(fresh, "uv.* install ", 90)
    run.kill()
    again = hubrun("install", fresh.site, "--only", "02", seconds=180)
    assert again.code == 0, again.tail
    assert fresh.run("curl -fsS http://127.0.0.1:8000/hub/health -o /dev/null -w '%{http_code}'") == "200"
