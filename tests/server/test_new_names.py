"""Another lti_username_key on a server with students: nobody loses files, and the operator decides before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from machines import Ended, Machine, hubrun

from hubrun import params
from hubrun.desired.server import Server
from hubrun.lms import lti11
from hubrun.lms.browser import Browser
from hubrun.sections.verify.test_users import volume
from hubrun.sections.verify.verification import Verification
from hubrun_hub.lti.user_names import hub_name

pytestmark = [pytest.mark.server, pytest.mark.timeout(420)]

SIS, LOGIN = "lis_person_sourcedid", "custom_canvas_user_login_id"
# What Canvas calls two students: their SIS id and their login.
LOGINS = {"rita": "rita.lang@example.edu", "rolf": "r0lf"}
NEW = {user: hub_name(login) for user, login in LOGINS.items()}
# A user of a hub that was set up by the guide, where the name was whatever Canvas said.
GUIDE = "ada@example.edu"
ADA = hub_name(GUIDE)

_HUB = "/var/lib/jupyterhub/jupyterhub.sqlite"
_PEOPLE = "/var/lib/jupyterhub/lti_people.sqlite"
_QUERY = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db:
    db.execute("PRAGMA foreign_keys = ON")
    for row in db.execute(*sys.argv[2:3], sys.argv[3:]):
        print(*row)
"""
_GROUPS = """
SELECT users.name, count(*) FROM user_group_map JOIN users ON users.id = user_id WHERE users.name IN (?, ?)
GROUP BY users.name ORDER BY users.name
"""


def install(machine: Machine, key: str, new_names: str = "stop", command: str = "install") -> Ended:
    choice = ("--set", f"lti_username_key={key}", "--set", f"new_names={new_names}")
    return hubrun(command, machine.site, "--only", "02", *choice)


def sql(machine: Machine, query: str, *values: str, file: str = _HUB) -> list[str]:
    return machine.run('exec python3 -c "$@"', _QUERY, file, query, *values).splitlines()


def volumes(machine: Machine) -> set[str]:
    return set(machine.run("docker volume ls -q").split())


@pytest.fixture(scope="module")
def guide(machine: Machine) -> Iterator[Machine]:
    """The server with a user whom the guide's hub has made."""
    sql(machine, "INSERT INTO users (name, cookie_id) VALUES (?, 'of-the-guide')", GUIDE)
    mount = 'docker run --rm -v "$1":/home/jovyan hubrun-singleuser sh -c "echo hers > /home/jovyan/hers.txt"'
    machine.run(mount, volume(GUIDE))
    yield machine
    names = [GUIDE, ADA, *LOGINS, *NEW.values()]
    for name in names:
        machine.run('docker rm -f $(docker ps -aq --filter "volume=$1") >/dev/null 2>&1; true', volume(name))
    machine.run('systemctl stop jupyterhub; docker volume rm -f "$@"', *map(volume, names))
    for name in names:
        sql(machine, "DELETE FROM users WHERE name = ?", name)
        sql(machine, "DELETE FROM identity WHERE user = ?", name, file=_PEOPLE)
    put_back = install(machine, SIS, "leave")
    assert put_back.code == 0, put_back.tail


@pytest.fixture(scope="module")
def students(guide: Machine) -> Iterator[dict[str, Browser]]:
    """Two students with a file each; their servers run."""
    with ExitStack() as stack:
        server = stack.enter_context(Server.connect(params.load(guide.site)))
        found = {}
        for user in LOGINS:
            found[user] = stack.enter_context(launch(server, user, user))
            found[user].start(180)
            found[user].write_file("mine.txt", f"of {user}")
        yield found


def launch(server: Server, user: str, name: str) -> Browser:
    """A browser in which Canvas has launched this student, who must come in by this name."""
    form = lti11.canvas_launch(server.site.launch_url, username=user, user_id=f"opaque-{user}")
    verification = Verification(server)
    request = lti11.LaunchRequest(server.site.launch_url, form | {LOGIN: LOGINS[user]})
    browser = Browser(verification.route)
    (signed,) = verification.sign([request])
    assert browser.launch(server.site.launch_url, signed).user == name
    return browser


def test_a_user_of_the_guides_hub_is_found_and_renamed_with_their_files(guide: Machine) -> None:
    with guide.undisturbed():
        stopped = install(guide, SIS)
    assert stopped.code == 1 and f"{GUIDE} → {ADA}" in stopped.error, stopped.tail
    renamed = install(guide, SIS, "rename")
    assert renamed.code == 0, renamed.tail
    assert sql(guide, "SELECT name FROM users WHERE name IN (?, ?)", GUIDE, ADA) == [ADA]
    assert volume(GUIDE) not in volumes(guide)
    assert guide.run('cat "$(docker volume inspect --format "{{.Mountpoint}}" "$1")/hers.txt"', volume(ADA)) == "hers\n"


def test_another_key_changes_nothing_before_the_operator_has_decided(
    students: dict[str, Browser], guide: Machine
) -> None:
    with guide.undisturbed():
        stopped = install(guide, LOGIN)
        assert stopped.code == 1, stopped.tail
        assert all(f"{user} → {name}" in stopped.error for user, name in NEW.items())
        assert ADA in stopped.error  # of whom only the SIS id is known
        assert "new_names=rename" in stopped.error and "new_names=leave" in stopped.error
        plan = install(guide, LOGIN, command="plan")
    assert plan.code == 2 and "decide about 3 people" in str(plan.manifest), plan.tail
    assert all(browser.read_file("mine.txt") == f"of {user}" for user, browser in students.items())


def test_who_is_renamed_finds_their_files_and_groups(students: dict[str, Browser], guide: Machine) -> None:
    groups = sql(guide, _GROUPS, *LOGINS)
    assert groups == ["rita 1", "rolf 1"]
    renamed = install(guide, LOGIN, "rename")
    assert renamed.code == 0, renamed.tail
    for user, name in NEW.items():
        assert f"rename {user} to {name} (files: " in str(renamed.manifest)
    with Server.connect(params.load(guide.site)) as server:
        for user, name in NEW.items():
            with launch(server, user, name) as browser:
                browser.start(180)
                assert browser.read_file("mine.txt") == f"of {user}"
    assert sorted(sql(guide, _GROUPS, *NEW.values())) == sorted(f"{name} 1" for name in NEW.values())
    assert sql(guide, "SELECT name FROM users WHERE name IN (?, ?)", *LOGINS) == []
    assert not volumes(guide) & {volume(user) for user in LOGINS}
    assert {volume(name) for name in (*NEW.values(), ADA)} <= volumes(guide)
    assert "hubrun-renaming" not in volumes(guide)


def test_the_next_run_has_nothing_to_do(guide: Machine) -> None:
    again = install(guide, LOGIN)
    assert again.code == 0 and again.manifest["status"] == "ok", again.tail
