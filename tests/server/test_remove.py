"""A person and a course go from a server for good: nothing names them afterwards, the archive opens, and others work on."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from canvas import key_and_secret
from machines import Machine, hubrun

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form, stable_id

pytestmark = [pytest.mark.server, pytest.mark.timeout(2400)]

# All files, in the free pages of databases too, and all names of files; but for logs. `merged`: layers of images, once more.
NAMED = """
grep -rlawE -D skip -e "$1" / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev --exclude-dir=log --exclude-dir=merged 2> /dev/null
find / -xdev -path /proc -prune -o \\( -name "$2" -o -name "*-user-$2" \\) -print 2> /dev/null
true
"""
# Logs that name hub users, and end by themselves: the receipt says when.
LOGS = r"/var/log/(journal/\w+/system(@.*)?\.journal|nginx/(access|error)\.log(\.\d+)?)"
COURSE = "bio-101"


@pytest.fixture(scope="module")
def machine(operated: Machine) -> Machine:
    return operated


def launched(machine: Machine, user: str, role: str = "Learner") -> Browser:
    """A browser in which Canvas has launched this person into the course, with their server running."""
    site = params.load(machine.site)
    browser = Browser(Route.to(site))
    form = signed_form(
        site.launch_url, *key_and_secret(machine), user, role=role, course=COURSE,
        lis_person_name_full=f"{user.title()} Familyname", lis_person_contact_email_primary=f"{user}@example.edu",
    )  # fmt: skip
    launch = browser.launch(site.launch_url, form)
    assert launch.user == user, launch.came
    browser.start(180)
    return browser


def handed_in(browser: Browser, text: str) -> None:
    browser.run_cell(
        f"import glob, os; there = glob.glob('/srv/nbgrader/exchange/*/inbound')[0] + '/ps1+2026-11-26'; "
        f"os.makedirs(there, exist_ok=True); open(there + '/ps1.ipynb', 'w').write({text!r})"
    )


def test_a_person_is_gone_and_nothing_on_the_server_names_them(machine: Machine) -> None:
    user = "quintessa"
    with launched(machine, user) as hers, launched(machine, "bob") as his, launched(machine, "teach", "Instructor"):
        hers.write_file("essay.txt", f"by {user}")
        handed_in(hers, f"of {user}")
        handed_in(his, "of bob")
        his.run_cell("kept = 41")
        words = f"{user}|opaque-{stable_id(user)}|{user.title()} Familyname|{user}@example.edu"
        assert user in machine.run(NAMED, words, user, seconds=300)

        asked = ["--set", f"remove_person={user}@example.edu"]
        plan = hubrun("run", "remove", machine.site, *asked, "--check")
        assert plan.code == 2 and "servers that run, and are stopped" in plan.output, plan.tail
        no = hubrun("run", "remove", machine.site, *asked)
        assert no.code == 1 and f"remove_confirm={user}" in no.error, no.tail
        assert machine.container_of(user)
        done = hubrun("run", "remove", machine.site, *asked, "--set", f"remove_confirm={user}", seconds=300)
        assert done.code == 0, done.tail

        assert machine.run(NAMED, words, user, seconds=300) == ""
        assert "42" in his.run_cell("print(kept + 1)")
        receipts = machine.run("cat /var/lib/hubrun/removed/*.json")
        assert user not in receipts and "files of homes" in receipts
        logs = machine.run('grep -rlawE -e "$1" /var/log || true', words).split()
        assert logs and [each for each in logs if not re.fullmatch(LOGS, each)] == []
        assert '"logs": "nginx\'s for 14 days; the journal until 1 GB' in receipts
        again = hubrun("run", "remove", machine.site, *asked, "--set", f"remove_confirm={user}")
        assert again.code == 0 and {status for _, status in again.results} <= {"ok"}, again.tail
    with launched(machine, user) as new:
        assert "False" in new.run_cell("import os; print(os.path.exists('essay.txt'))")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("remove_person=nobody-of-this-name", "nobody on this server is"),
        ("remove_course=chem", "there is no course 'chem'"),
        ("remove_consumer=default", "the site's own consumer"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_touched(machine: Machine, asked: str, says: str) -> None:
    with machine.undisturbed():
        ended = hubrun("run", "remove", machine.site, "--set", asked)
    assert ended.code == 1 and says in ended.error, ended.tail


def test_a_course_is_one_file_that_opens_without_this_project_before_it_goes(machine: Machine) -> None:
    asked = ["--set", f"remove_course={COURSE}"]
    first = hubrun("run", "remove", machine.site, *asked)
    assert first.code == 0, first.tail
    assert machine.run(f"cat /srv/nbgrader/{COURSE}/inbound/bob/*/ps1.ipynb") == "of bob"
    look = machine.run(f"python3 -I -B /usr/local/lib/hubrun/hubrun_hub remove look course {COURSE}")
    yes = json.loads(look)["confirm"]
    wrong = hubrun("run", "remove", machine.site, *asked, "--set", f"remove_confirm={COURSE}")
    assert wrong.code == 1 and "not to what would go" in wrong.error, wrong.tail
    done = hubrun("run", "remove", machine.site, *asked, "--set", f"remove_confirm={yes}", seconds=300)
    assert done.code == 0, done.tail
    assert machine.run("ls -A /srv/nbgrader") == ""
    (archive,) = machine.run("ls /var/lib/hubrun/archives/*.tar.gz").split()
    assert machine.run(f"tar -xzOf {archive} --wildcards '*/inbound/bob/*/ps1.ipynb'") == "of bob"
    people = list(csv.reader(io.StringIO(machine.run(f"tar -xzOf {archive} {COURSE}/people.csv"))))
    assert ["bob", "student", "Bob Familyname"] in people and ["teach", "instructor", "Teach Familyname"] in people
    with launched(machine, "bob") as his:
        assert "True" in his.run_cell("print(True)")
