"""A student who fills what there is to fill: what stops them, what the hub says of it, and who ends when memory does."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from canvas import Student, key_and_secret
from machines import Machine

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.params import Site
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

STUDENT = "fay"
FILL = """
import os
def fill(folder, megabytes):
    written = 0
    try:
        with open(folder + "/fill", "wb") as file:
            while written < megabytes:
                file.write(bytes(2**20))
                written += 1
    except OSError as error:
        print(written, os.strerror(error.errno))
    else:
        print(written, "all of it")
    finally:
        if os.path.exists(folder + "/fill"):
            os.remove(folder + "/fill")
"""


@pytest.fixture(scope="module")
def site(machine: Machine) -> Site:
    return params.load(machine.site)


@contextmanager
def launched(machine: Machine, site: Site, user: str) -> Iterator[Browser]:
    """A student whom the LMS has launched, with their server; both go, and their files."""
    with Browser(Route.to(site)) as browser:
        form = signed_form(site.launch_url, *key_and_secret(machine), user, user_id=f"opaque-{user}")
        assert browser.launch(site.launch_url, form).user == user
        browser.start(120)
        yield browser
        browser.stop()
    machine.run("docker volume rm -f $1", f"jupyterhub-user-{user}")


@pytest.fixture(scope="module")
def fay(machine: Machine, site: Site) -> Iterator[Browser]:
    with launched(machine, site, STUDENT) as browser:
        yield browser


def test_three_gigabytes_do_not_fit_into_tmp(fay: Browser, site: Site) -> None:
    written, why = fay.run_cell(FILL + 'fill("/tmp", 3000)').split(maxsplit=1)
    assert int(written) <= site.user_memory_mb // 2 and why == "No space left on device"
    for folder, megabytes in (("/var/tmp", 64), ("/dev/shm", site.user_memory_mb // 2)):
        written, why = fay.run_cell(FILL + f"fill({folder!r}, 3000)").split(maxsplit=1)
        assert int(written) <= megabytes and why == "No space left on device", folder


def test_files_without_end_do_not_fit_into_what_is_in_memory(fay: Browser, site: Site) -> None:
    cell = """
import os, shutil
os.mkdir("/var/tmp/many")
made = 0
try:
    while made < 100_000:
        open(f"/var/tmp/many/{made}", "w").close()
        made += 1
except OSError as error:
    print(made < 10_000, os.strerror(error.errno))
shutil.rmtree("/var/tmp/many")
print(os.statvfs("/tmp").f_files)
"""
    most = site.user_memory_mb // 2 * 128
    assert fay.run_cell(cell).splitlines() == ["True No space left on device", f"{most}"]


def test_nothing_but_the_home_and_what_is_in_memory_can_be_written(fay: Browser) -> None:
    # /opt/conda and /home are the student's own in the image.
    cell = """
import os
mounts = [line.split() for line in open("/proc/mounts")]
root = next(options for _, folder, _, options, *_ in mounts if folder == "/")
print("ro" in root.split(","))
kinds = {"overlay", "ext4", "xfs", "btrfs"}
print(sorted(folder for _, folder, kind, options, *_ in mounts if kind in kinds and "rw" in options.split(",")
    and os.path.isdir(folder)))
try:
    open("/opt/conda/x", "w")
except OSError as error:
    print(os.strerror(error.errno))
"""
    root, writable, why = fay.run_cell(cell).splitlines()
    assert (root, why) == ("True", "Read-only file system")
    # And the folders of the student's own courses.
    assert [folder for folder in ast.literal_eval(writable) if not folder.startswith("/srv/nbgrader/")] == [
        "/home/jovyan"
    ]


def test_pip_installs_into_the_home_and_the_server_itself_does_not_look_there(fay: Browser) -> None:
    # A wheel as PEP 427 has it. Whoever installs the wrong package must still get in: the server runs with -s.
    cell = r"""
import importlib, os, pathlib, site, subprocess, sys, zipfile
wheel = "/tmp/hubrun_probe-1-py3-none-any.whl"
with zipfile.ZipFile(wheel, "w") as file:
    file.writestr("hubrun_probe.py", "")
    file.writestr("hubrun_probe-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: hubrun-probe\nVersion: 1\n")
    file.writestr("hubrun_probe-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    file.writestr("hubrun_probe-1.dist-info/RECORD", "")
subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-index", wheel], check=True)
site.addsitedir(site.getusersitepackages())  # as a kernel that starts now has it
print(importlib.import_module("hubrun_probe").__file__.startswith(os.path.expanduser("~/.local/")))
subprocess.run([sys.executable, "-m", "pip", "uninstall", "-q", "-y", "hubrun-probe"], check=True)
commands = [path.read_bytes().split(b"\0") for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")]
print([command[1] for command in commands if len(command) > 2 and command[2].endswith(b"/jupyterhub-singleuser")])
"""
    assert fay.run_cell(cell).splitlines() == ["True", "[b'-s']"]


def test_a_student_ends_before_the_hub_when_memory_does(machine: Machine, fay: Browser) -> None:
    assert int(fay.run_cell("print(open('/proc/self/oom_score_adj').read())")) >= 500
    for unit in ("jupyterhub", "jupyterhub-proxy", "nginx", "docker"):
        assert int(machine.run(f"cat /proc/$(systemctl show {unit} -p MainPID --value)/oom_score_adj")) <= 0
    assert fay.run_cell("import resource as r; print(r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_NOFILE)[1])") == "(0, 0) 16384"  # fmt: skip


# Each child forks too, until that is refused; then it stays, and tries again.
BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.1)
"""


def test_a_fork_bomb_ends_at_its_limit_and_a_neighbour_and_a_newcomer_notice_nothing(
    machine: Machine, site: Site, fay: Browser
) -> None:
    with launched(machine, site, "gus") as gus:
        gus.run_cell("kept = 41")
        fay.run_cell(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BOMB!r}]); print('lit')")
        count = f"docker stats --no-stream --format '{{{{.PIDs}}}}' {machine.container_of(STUDENT)}"
        most = max(int(machine.run(count)) for _ in range(5))
        assert site.user_processes * 0.9 < most <= site.user_processes
        began = time.monotonic()
        assert gus.run_cell("print(kept + 1)") == "42"
        with launched(machine, site, "hal") as hal:
            assert hal.run_cell("print('here')") == "here"
        print(f"beside a fork bomb: a cell and a newcomer's first one, {time.monotonic() - began:.1f} s")
        fay.stop()
        fay.start(120)
        assert fay.run_cell("print('again')") == "again"


def test_a_memory_hog_is_ended_alone_and_a_neighbour_notices_nothing(
    machine: Machine, site: Site, fay: Browser
) -> None:
    hog = "import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'held = []\\nwhile True: held.append(bytearray(2**24))']).returncode)"
    with launched(machine, site, "gus") as gus:
        gus.run_cell("kept = 41")
        fay.run_cell("mine = 1")
        said = [fay.run_cell(hog) for _ in range(3)]
        assert all(each.endswith("-9") for each in said), said
        assert any("memory limit of your server" in each for each in said), said
        assert fay.run_cell("print(mine)") == "1"
        assert gus.run_cell("print(kept + 1)") == "42"


# -- the hub's disk is full ----------------------------------------------------------------------------------------


@contextmanager
def small_disk(machine: Machine, options: str) -> Iterator[None]:
    """The hub with its folder on a small file system of its own; what it writes there is forgotten at the end."""
    start = "systemctl start jupyterhub && timeout 240 sh -c 'until curl -fs -o /dev/null http://127.0.0.1:8000/hub/health; do sleep 0.3; done'"
    machine.run(
        f"""systemctl stop jupyterhub
        mkdir -p /run/small && mount -t tmpfs -o mode=700,uid=jupyterhub,gid=jupyterhub,{options} tmpfs /run/small
        cp -a /var/lib/jupyterhub/. /run/small/ && mount --bind /run/small /var/lib/jupyterhub
        {start}""",
        seconds=270,
    )
    try:
        yield
    finally:
        machine.run(
            f"""systemctl stop jupyterhub
            umount /var/lib/jupyterhub; umount /run/small; rmdir /run/small
            systemctl reset-failed jupyterhub; {start}""",
            seconds=270,
        )


def health(machine: Machine) -> httpx.Response:
    with Student(machine.info, "ned") as anybody:
        machine.run("sleep 5")  # an answer is kept for as long
        return anybody.client.get("/hub/health")


def test_health_tells_the_truth_and_a_launch_gets_a_page_when_the_disk_is_full(machine: Machine, fay: Browser) -> None:
    pair = key_and_secret(machine)
    with small_disk(machine, "size=700m,nr_inodes=20000"):
        assert (health(machine).status_code, health(machine).text) == (200, "")
        machine.run("fallocate -l 300M /var/lib/jupyterhub/fill")
        page = health(machine)
        assert page.status_code == 503 and "the disk is full" in page.text and "MB" in page.text
        # There is room for the hub, and none worth the name for another student's server.
        machine.run("fallocate -l 650M /var/lib/jupyterhub/fill; sleep 5")
        with Student(machine.info, "ned") as ned:
            assert ned.launch(*pair).status_code == 302 and ned.logged_in
            page = ned.client.get("/hub/spawn", follow_redirects=True)
            assert page.status_code == 503 and "disk is full" in page.text, page.text
            assert ned.client.get("/hub/home").status_code == 200
        # Nothing at all is left.
        machine.run("dd if=/dev/zero of=/var/lib/jupyterhub/rest bs=1M status=none || true")
        page = health(machine)
        assert page.status_code == 503 and "cannot be written to" in page.text
        with Student(machine.info, "ben") as ben:
            # What is small may still fit into the database; there is a page either way.
            page = ben.launch(*pair)
            if page.status_code == 302:
                page = ben.client.get("/hub/spawn", follow_redirects=True)
            assert page.status_code == 503 and "disk is full" in page.text, page.text
        # And at last nobody new fits in.
        for number in range(60):
            with Student(machine.info, f"kay{number}") as kay:
                page = kay.launch(*pair)
                if page.status_code != 302:
                    break
        assert page.status_code == 503 and 'data-reason="disk-full"' in page.text, page.text
        # Whoever works, works on.
        assert fay.run_cell("6*7") == "42"
        machine.run("rm /var/lib/jupyterhub/fill /var/lib/jupyterhub/rest; sleep 5")
        assert health(machine).status_code == 200, "and all is well again without a restart"


def test_the_hub_writes_on_when_no_file_can_be_made(machine: Machine) -> None:
    pair = key_and_secret(machine)
    with small_disk(machine, "size=700m,nr_inodes=20000"):
        with Student(machine.info, "ned") as ned:  # so that all that the hub makes once is made
            assert ned.launch(*pair).status_code == 302
        machine.run(
            "cd /var/lib/jupyterhub; mkdir fill; (seq 1 20000 | sed 's,^,fill/,' | xargs touch 2>/dev/null) || true"
        )
        page = health(machine)
        assert page.status_code == 503, page.text
        with Student(machine.info, "ned") as ned:
            answer = ned.launch(*pair)
            assert answer.status_code == 302 and ned.logged_in, answer.text
            assert ned.client.get("/hub/home").status_code == 200
        machine.run("rm -r /var/lib/jupyterhub/fill")
