"""Folders of a course, in people's own servers: who writes, who reads, and what a hostile student tries.

tea teaches bio; ada and ben are its students, both of the group red; eve is its student and in no group; kim is in chem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from canvas import key_and_secret
from machines import Machine, hubrun

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

COURSE = {
    "course": "BIO-F",
    "shared": True,
    "groups": {"red": ["ada", "ben"], "blue": ["zoe"]},
    "data": "/srv/data/genomes",
}
PEOPLE = {
    "tea": ("bio-f", "Instructor"), "ada": ("bio-f", "Learner"), "ben": ("bio-f", "Learner"), "eve": ("bio-f", "Learner"),
    "kim": ("chem-f", "Learner"),
}  # fmt: skip


@pytest.fixture(scope="module")
def began(machine: Machine) -> str:
    """When this module began, in the server's seconds since 1970."""
    return machine.run("date +%s").strip()


@pytest.fixture(scope="module")
def people(machine: Machine, began: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Browser]]:
    text = yaml.safe_load(machine.site.read_text()) | {"courses": [COURSE]}
    file = tmp_path_factory.mktemp("course-folders") / "site.yaml"
    file.write_text(yaml.safe_dump(text))
    missing = hubrun("install", file, "--only", "04")
    assert missing.code == 1 and "/srv/data/genomes is there" in missing.output, missing.tail
    machine.run("mkdir -p /srv/data/genomes && echo ACGT > /srv/data/genomes/one.txt")
    hub = machine.run("systemctl show jupyterhub -p MainPID --value")
    ended = hubrun("install", file, "--only", "04")
    assert ended.code == 0, ended.tail
    assert machine.run("systemctl show jupyterhub -p MainPID --value") == hub, "a course's settings restart nothing"
    site = params.load(machine.site)
    found = {}
    for name, (course, role) in PEOPLE.items():
        found[name] = Browser(Route.to(site))
        form = signed_form(
            site.launch_url, *key_and_secret(machine), name, user_id=f"opaque-{name}", context_id=course,
            context_label=course.upper(), context_title=course, role=role,
        )  # fmt: skip
        assert found[name].launch(site.launch_url, form).user == name
        found[name].stop()  # one of an earlier test, which has other folders
        found[name].start(120)
    yield found
    for name, browser in found.items():
        browser.stop()
        machine.run("docker volume rm -f $1", f"jupyterhub-user-{name}")
    machine.run("rm -rf /srv/data /srv/nbgrader/bio-f /srv/nbgrader/chem-f")
    assert hubrun("install", machine.site, "--only", "04").code == 0


def shell(browser: Browser, command: str) -> str:
    """What a command prints in a terminal of theirs, and at last the word "ended" and its exit code."""
    return browser.run_cell(
        "import subprocess\n"
        f"done = subprocess.run(['bash', '-c', {command!r}], cwd='/home/jovyan', text=True, stdin=subprocess.DEVNULL,\n"
        "    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)\nprint(done.stdout + f'ended {done.returncode}')"
    )


def test_staff_write_and_students_read_whoever_joined_when(people: dict[str, Browser]) -> None:
    assert shell(people["tea"], "echo slides > BIO-F/shared/slides.txt; mkdir BIO-F/shared/week1").endswith("ended 0")
    for name in ("ada", "ben", "eve"):
        assert shell(people[name], "cat BIO-F/shared/slides.txt BIO-F/data/one.txt") == "slides\nACGT\nended 0"
    assert shell(people["kim"], "ls -d CHEM-F/shared /srv/nbgrader/shared /srv/data").endswith("ended 2")
    # What JupyterLab shows is the same.
    assert people["ada"].read_file("BIO-F/shared/slides.txt") == "slides\n"


def test_a_group_works_together_and_others_do_not_see_it(people: dict[str, Browser]) -> None:
    assert shell(people["ada"], "echo a > BIO-F/groups/red/plan.txt").endswith("ended 0")
    assert shell(people["ben"], "echo b >> BIO-F/groups/red/plan.txt; cat BIO-F/groups/red/plan.txt") == "a\nb\nended 0"
    assert shell(people["tea"], "cat BIO-F/groups/red/plan.txt; touch BIO-F/groups/red/x").endswith("ended 1")
    assert shell(people["eve"], "ls BIO-F/groups").endswith("ended 2")


# What a student tries with what is shared → what comes of it. Each is a shell command in ada's home.
READ_ONLY = "Read-only file system"
HOSTILE = {
    "a new file": ("touch $S/new", READ_ONLY),
    "to write into one": ("echo x >> $S/slides.txt", READ_ONLY),
    "to remove one": ("rm -f $S/slides.txt", READ_ONLY),
    "a mode": ("chmod 600 $S/slides.txt", READ_ONLY),
    "the folder's mode": ("chmod 700 $S/", "not permitted|Read-only"),
    "an owner": ("chown 1000 $S/slides.txt", READ_ONLY),
    "a time": ("touch -d 2001-01-01 $S/slides.txt", READ_ONLY),
    "an attribute": ("python3 -c \"import os; os.setxattr('$S/slides.txt', 'user.a', b'b')\"", READ_ONLY),
    "a rename": ("mv $S/slides.txt $S/other.txt", READ_ONLY),
    "a rename of the folder": ("mv $S $S-old", "Read-only|busy|Permission"),
    "a rename into it": ("touch mine; mv mine $S/", READ_ONLY),
    "a symbolic link in it": ("ln -s /etc/passwd $S/link", READ_ONLY),
    "a hard link in it": ("touch mine; ln mine $S/link", "Read-only|cross-device"),
    "a hard link to it": ("ln $S/slides.txt mine-too", "cross-device|Read-only"),
    "a hard link to it from the group, which is on the same disk": ("ln $S/slides.txt $G/link", "cross-device|Read-only"),
    "to mount it again": ("mount -o remount,rw $S", "permission|only root|superuser|not permitted"),
    "a namespace of their own": ("unshare -rm mount -o remount,rw $S", "not permitted|failed|denied"),
    "the folder around it": ("ls /srv/nbgrader/shared/..; ls /srv/nbgrader/shared/BIO-F/../../course", "No such file"),
    "through a link in the group's folder": ("ln -sfn /srv/nbgrader/bio-f/course $G/out; ls $G/out/", "No such file"),
    "the group's folder itself": ("chmod 700 $G; rmdir $G; mv $G $G-old", "not permitted|busy|Read-only"),
    "data": ("echo x >> /srv/data/genomes/one.txt; rm -f /srv/data/genomes/one.txt", READ_ONLY),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_student_tries_fails_for_this_reason(people: dict[str, Browser], name: str) -> None:
    command, reason = HOSTILE[name]
    before = shell(people["tea"], "stat -Lc '%n %a %u %Y' BIO-F/shared BIO-F/shared/*; cat BIO-F/shared/slides.txt")
    said = shell(people["ada"], f"S=/srv/nbgrader/shared/BIO-F; G=/srv/nbgrader/groups/BIO-F/red; {command}")
    assert re.search(reason, said), said
    assert not said.endswith("ended 0"), said
    assert (
        shell(people["tea"], "stat -Lc '%n %a %u %Y' BIO-F/shared BIO-F/shared/*; cat BIO-F/shared/slides.txt")
        == before
    )


def test_a_link_in_the_groups_folder_leads_into_the_readers_own_container(people: dict[str, Browser]) -> None:
    shell(
        people["tea"],
        "mkdir -p /srv/nbgrader/courses/BIO-F/source; echo key > /srv/nbgrader/courses/BIO-F/source/solution",
    )
    shell(people["ada"], "ln -sfn /srv/nbgrader/courses/BIO-F/source/solution BIO-F/groups/red/solution")
    assert "No such file" in shell(people["ada"], "cat BIO-F/groups/red/solution")


def test_owner_and_mode_are_right_after_a_restart_whatever_people_did(
    machine: Machine, people: dict[str, Browser]
) -> None:
    shell(people["tea"], "umask 077; echo secret > BIO-F/shared/closed.txt; chmod 000 BIO-F/shared/week1")
    assert shell(people["ada"], "cat BIO-F/shared/closed.txt") == "secret\nended 0", "in containers all are uid 1000"
    machine.run("chmod 700 /srv/nbgrader/bio-f/shared; chmod 777 /srv/nbgrader/bio-f/groups")
    people["ada"].stop()
    people["ada"].start(120)
    modes = machine.run(
        "stat -c '%a %U' /srv/nbgrader/bio-f/shared /srv/nbgrader/bio-f/groups /srv/nbgrader/bio-f/groups/red"
    )
    assert modes.splitlines() == ["777 root", "755 root", "777 root"]


def test_nothing_is_asked_of_the_service_that_it_refuses(
    machine: Machine, began: str, people: dict[str, Browser]
) -> None:
    # Runbooks 04 and 06 have it refuse something of theirs.
    script = 'journalctl -u hubrun-docker-filter --since "@$1" --no-pager | grep refused: | grep -v jupyter-hubruntest'
    assert machine.run(f"{script} || true", began) == ""
