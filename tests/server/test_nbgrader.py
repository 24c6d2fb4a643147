"""nbgrader in two courses, for people with different roles in each, as they would use it; and what must not work.

bio is taught by cho, chem by amy; amy is a student in bio, ben in both: as their launches say. Commands are those of nbgrader's manual, given in
a terminal of the person's own server (a kernel's subprocess here).
"""

from __future__ import annotations

import csv
import io
import json
import secrets
import time
from collections.abc import Iterator

import nbformat
import pytest
from machines import Machine
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hubrun import params
from hubrun.desired.server import Server
from hubrun.lms.browser import Browser
from hubrun.lms.lti11 import LaunchRequest
from hubrun.sections.verify.verification import Verification
from hubrun_hub import student_volume, test_student

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

LOCAL = "/etc/jupyterhub/conf.d/90-local.py"
# Who launches from which course as what, in this order; the last launch is not the one that teaches.
LAUNCHES = (
    ("amy", "chem", "Instructor"), ("amy", "bio", "Learner"), ("ben", "chem", "Learner"), ("ben", "bio", "Learner"),
    ("cho", "bio", "Instructor"),
)  # fmt: skip
GROUPS = {
    "course-bio": ["amy", "ben", "cho"],
    "course-bio-instructors": ["cho"],
    "course-chem": ["amy", "ben"],
    "course-chem-instructors": ["amy"],
}
TEACHER = {"bio": "cho", "chem": "amy"}
STUDENTS = {"bio": ["amy", "ben"], "chem": ["ben"]}
# Where a submission of ben's leaves what it found out while it was graded.
FOUND = "found.json"

_ADMIN = """
c = get_config()  # noqa: F821
c.JupyterHub.services = [{"name": "tests", "api_token": TOKEN}]
c.JupyterHub.load_roles = [
    {"name": "tests", "services": ["tests"], "scopes": ["admin:groups", "admin:users", "admin:servers"]}
]
"""
_API = """
set -eu
for try in $(seq 150); do
    code=$(curl -sS -o /run/answer -w '%{http_code}' -X "$1" -H "Authorization: token $3" -d "$4" \
        "http://127.0.0.1:8000/hub/api/$2") || code=0
    case $code in 2??|404|409) cat /run/answer; exit 0;; 4??) cat /run/answer; exit 1;; esac
    sleep 1
done
exit 1
"""


class Hub:
    """The hub's API, as an administrator's service."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.token = secrets.token_hex(16)

    def call(self, method: str, path: str, body: object = None) -> str:
        return self.machine.run(_API, method, path, self.token, json.dumps(body), seconds=200)

    def join(self, group: str, name: str) -> None:
        self.call("POST", f"groups/{group}/users", {"users": [name]})

    def leave(self, group: str, name: str) -> None:
        self.call("DELETE", f"groups/{group}/users", {"users": [name]})


class Person:
    """Somebody whose server runs."""

    def __init__(self, name: str, browser: Browser) -> None:
        self.name, self.browser = name, browser

    def run(self, command: str, fails: bool = False) -> str:
        """What a command prints in a terminal of theirs; it must succeed, or fail when `fails`."""
        code = f"""
import subprocess
done = subprocess.run({command!r}, shell=True, executable="/bin/bash", stdin=subprocess.DEVNULL, text=True,
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/home/jovyan")
print(done.returncode, done.stdout, sep="|")
"""
        status, _, output = self.browser.run_cell(code, 180).partition("|")
        assert (status != "0") == fails, f"{self.name}: {command} ended with {status}:\n{output}"
        return output

    def write(self, path: str, text: str) -> None:
        self.browser.run_cell(
            f"import pathlib; path = pathlib.Path({path!r}).expanduser(); "
            f"path.parent.mkdir(parents=True, exist_ok=True); path.write_text({text!r})"
        )

    def restart(self) -> None:
        self.browser.stop()
        self.browser.start(180)


@pytest.fixture(scope="module")
def hub(machine: Machine) -> Iterator[Hub]:
    """The hub. The operator's own file of settings gets the service of the tests."""
    hub = Hub(machine)
    before = machine.run("cat $1", LOCAL)
    text = _ADMIN.replace("TOKEN", repr(hub.token))
    machine.run("cat >> $1 && systemctl restart jupyterhub", LOCAL, data=text.encode())
    hub.call("GET", "")  # until it is up
    yield hub
    for name in ("amy", "ben", "cho"):
        hub.call("DELETE", f"users/{name}/server")
    for group in GROUPS:
        hub.call("DELETE", f"groups/{group}")
    machine.run("cat > $1 && systemctl restart jupyterhub", LOCAL, data=before.encode())


@pytest.fixture(scope="module")
def people(machine: Machine, hub: Hub) -> Iterator[dict[str, Person]]:
    found: dict[str, Person] = {}
    with Server.connect(params.load(machine.site)) as server:
        canvas = Verification(server)
        url = canvas.site.launch_url
        for name, course, role in LAUNCHES:
            form = canvas.form(name) | {
                "context_id": course, "context_title": course.title(), "context_label": course, "roles": role,
                "lis_person_name_full": f"{name.title()} Example", "lis_person_name_given": name.title(),
                "lis_person_name_family": "Example",
            }  # fmt: skip
            (signed,) = canvas.sign([LaunchRequest(url, form)])
            person = found.setdefault(name, Person(name, Browser(canvas.route)))
            launched = person.browser.launch(url, signed)
            assert launched.user == name, launched
        for person in found.values():
            person.browser.start(180)
    yield found
    for person in found.values():
        person.browser.close()


def test_launches_have_put_everybody_into_their_groups(hub: Hub, people: dict[str, Person]) -> None:
    groups = {group["name"]: sorted(group["users"]) for group in json.loads(hub.call("GET", "groups"))}
    assert {name: groups[name] for name in GROUPS} == GROUPS


def assignment(course: str) -> str:
    """A notebook as an instructor writes it: a solution, visible and hidden tests."""
    solution = new_code_cell(
        f"def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x  # {course}-solution\n    ### END SOLUTION"
    )
    solution.metadata.nbgrader = {
        "grade": False, "grade_id": "double", "locked": False, "schema_version": 3, "solution": True, "task": False,
    }  # fmt: skip
    test = new_code_cell(
        "assert double(2) == 4\n### BEGIN HIDDEN TESTS\nassert double('a') == 'aa'\n### END HIDDEN TESTS"
    )
    test.metadata.nbgrader = {
        "grade": True, "grade_id": "test_double", "locked": True, "points": 3, "schema_version": 3,
        "solution": False, "task": False,
    }  # fmt: skip
    book = new_notebook(cells=[new_markdown_cell(f"# {course}"), solution, test])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return str(nbformat.writes(book))


def solve(person: Person, course: str, solution: str) -> None:
    """Write `solution` into the fetched notebook."""
    person.browser.run_cell(f"""
import nbformat
path = "/home/jovyan/{course}/ps1/ps1.ipynb"
book = nbformat.read(path, 4)
book.cells[1].source = {solution!r}
nbformat.write(book, path)
""")


def good(name: str) -> str:
    return f"def double(x):\n    return x + x  # by {name}"


def scores(person: Person, course: str) -> dict[str, float]:
    person.run(f"cd ~/courses/{course} && nbgrader export --to /tmp/{course}.csv")
    rows = csv.DictReader(io.StringIO(person.run(f"cat /tmp/{course}.csv")))
    return {row["student_id"]: float(row["score"]) for row in rows}


@pytest.fixture(scope="module")
def released(people: dict[str, Person]) -> None:
    """Both courses have released a ps1."""
    for course, teacher in TEACHER.items():
        people[teacher].write(f"~/courses/{course}/source/ps1/ps1.ipynb", assignment(course))
        people[teacher].run(
            f"cd ~/courses/{course} && nbgrader generate_assignment ps1 && nbgrader release_assignment ps1"
        )


@pytest.fixture(scope="module")
def submitted(people: dict[str, Person], released: None) -> None:
    """Everybody has handed in a good ps1 in each of their courses; ben of chem a wrong one."""
    for course, students in STUDENTS.items():
        for name in students:
            person = people[name]
            assert f"{course} ps1" in person.run("nbgrader list")
            person.run(f"nbgrader fetch_assignment ps1 --course {course}")
            assert "solution" not in person.run(f"cat ~/{course}/ps1/ps1.ipynb").replace('"solution"', "")
            solve(person, course, good(name) if course == "bio" else "def double(x):\n    return 4  # by ben")
            person.run(f"nbgrader submit ps1 --course {course}")


@pytest.fixture(scope="module")
def graded(people: dict[str, Person], submitted: None) -> None:
    for course, teacher in TEACHER.items():
        people[teacher].run(
            f"cd ~/courses/{course} && nbgrader collect ps1 && nbgrader autograde ps1 "
            "&& nbgrader generate_feedback ps1 && nbgrader release_feedback ps1"
        )


# -- the round trip


@pytest.mark.parametrize(("course", "wanted"), [("bio", {"amy": 3.0, "ben": 3.0}), ("chem", {"ben": 0.0})])
def test_each_course_grades_its_own_students(
    people: dict[str, Person], graded: None, course: str, wanted: dict[str, float]
) -> None:
    found = scores(people[TEACHER[course]], course)
    assert {name: score for name, score in found.items() if name != "cho"} == wanted


@pytest.mark.parametrize(("name", "course"), [("amy", "bio"), ("ben", "bio"), ("ben", "chem")])
def test_a_student_gets_their_own_feedback(people: dict[str, Person], graded: None, name: str, course: str) -> None:
    person = people[name]
    person.run(f"nbgrader fetch_feedback ps1 --course {course}")
    pages = person.run(f"cat ~/{course}/ps1/feedback/*/*.html")
    assert f"by {name}" in pages
    assert all(f"by {other}" not in pages for other in ("amy", "ben") if other != name)


def test_the_assignment_list_has_those_of_all_courses_of_a_student(people: dict[str, Person], released: None) -> None:
    page = people["ben"].browser.get(f"{people['ben'].browser.home_path}courses").json()
    assert page == {"success": True, "value": ["bio", "chem"]}


def test_a_submission_handed_in_again_replaces_the_one_before(people: dict[str, Person], graded: None) -> None:
    amy, cho = people["amy"], people["cho"]
    solve(amy, "bio", good("amy-again"))
    amy.run("nbgrader submit ps1 --course bio")
    cho.run("cd ~/courses/bio && nbgrader collect ps1 --update")
    assert "by amy-again" in cho.run("cat ~/courses/bio/submitted/amy/ps1/ps1.ipynb")


# -- what must not work


def mounts(machine: Machine, name: str) -> dict[str, bool]:
    """The folders of courses in a container: where from → whether it may write."""
    (container,) = json.loads(machine.run("docker inspect $1", machine.container_of(name)))
    return {
        mount["Source"].removeprefix("/srv/nbgrader/"): mount["RW"]
        for mount in container["Mounts"]
        if mount["Source"].startswith("/srv/nbgrader/") and not mount["Source"].startswith("/srv/nbgrader/course-")
    }


def test_containers_have_the_folders_of_their_person_and_no_others(machine: Machine, people: dict[str, Person]) -> None:
    ours = {name: mounts(machine, name) for name in people}
    student = {"outbound": False, "inbound/{}": True, "feedback/{}": False}
    teacher = student | {"outbound": True, "course": True, "inbound": False, "feedback": True}
    expected = {
        name: {
            f"{course}/{part.format(name)}": write
            for course, role in courses.items()
            for part, write in role.items()
        }
        for name, courses in {
            "amy": {"bio": student, "chem": teacher}, "ben": {"bio": student, "chem": student}, "cho": {"bio": teacher},
        }.items()
    }  # fmt: skip
    found = {
        name: {path: write for path, write in paths.items() if path.partition("/")[0] in ("bio", "chem")}
        for name, paths in ours.items()
    }
    assert found == expected


def test_ben_sees_nothing_of_ada_and_nothing_of_the_course_folders(people: dict[str, Person], graded: None) -> None:
    ben = people["ben"]
    # Jupyter Server drops what a kernel prints beyond 1 MB a second: no list of the whole image.
    ours = ben.run(
        "{ find / -xdev -name proc -prune -o -print; find /srv /home /tmp; } 2>/dev/null | grep ^/srv/"
    ).splitlines()
    assert any("/inbound/ben+ps1" in line for line in ours)
    assert not [line for line in ours if "amy" in line or "gradebook" in line or "source" in line]
    assert "by amy" not in ben.run("grep -rh 'by [a-z]*' /srv /home/jovyan --include=*.ipynb --include=*.html -o")
    for path in ("courses/bio", "courses/chem", "inbound/bio", "inbound/bio/amy", "feedback/bio/amy"):
        assert "No such file" in ben.run(f"ls /srv/nbgrader/{path}", fails=True)


def test_ben_cannot_release_and_cannot_write_feedback(people: dict[str, Person], graded: None) -> None:
    ben = people["ben"]
    for path in ("outbound/ps1/ps1.ipynb", "outbound/ps9", "feedback/x.html"):
        assert "Read-only file system" in ben.run(f"touch /srv/nbgrader/exchange/bio/{path}", fails=True)
    assert "You are not an instructor" in ben.run("nbgrader release_assignment ps1 --course bio", fails=True)
    # As an instructor, to his own settings: there is still nothing.
    as_one = "HUBRUN_TEACHES=bio JUPYTER_CONFIG_PATH=/usr/local/share/hubrun/instructor"
    assert "not mounted" in ben.run(f"{as_one} nbgrader collect ps1 --course bio", fails=True)


def test_ben_cannot_write_where_ada_submits(machine: Machine, people: dict[str, Person], graded: None) -> None:
    before = machine.run("find /srv/nbgrader/bio/inbound/amy | sort")
    ben = people["ben"]
    ben.run("cp -r ~/bio/ps1 /srv/nbgrader/exchange/bio/inbound/../../../../bio/inbound/amy/x", fails=True)
    ben.run("ln -s /srv/nbgrader/bio/inbound/amy /srv/nbgrader/exchange/bio/inbound/up")
    ben.run("touch /srv/nbgrader/exchange/bio/inbound/up/x", fails=True)
    ben.run("JUPYTERHUB_USER=amy nbgrader submit ps1 --course bio")
    assert machine.run("find /srv/nbgrader/bio/inbound/amy | sort") == before


def test_a_forged_name_and_time_are_not_believed(machine: Machine, people: dict[str, Person], graded: None) -> None:
    ben, cho = people["ben"], people["cho"]
    amy_before = cho.run("cat ~/courses/bio/submitted/amy/ps1/ps1.ipynb")
    solve(ben, "bio", "def double(x):\n    return x * 2  # by ben-forged")
    folder = "'/srv/nbgrader/exchange/bio/inbound/amy+ps1+2001-01-01 00:00:00.0 UTC+forged'"
    ben.run(f"cp -r ~/bio/ps1 {folder} && cd {folder} && rm -rf feedback && echo '2001-01-01 00:00:00 UTC' > timestamp.txt "
        "&& echo 00 > submission_secret.txt && find . -exec touch -d 2001-01-01 {} +")  # fmt: skip
    log = cho.run("cd ~/courses/bio && nbgrader collect ps1 --update")
    assert "calls itself one of 'amy' at '2001-01-01 00:00:00.0 UTC'" in log
    assert cho.run("cat ~/courses/bio/submitted/amy/ps1/ps1.ipynb") == amy_before
    assert "by ben-forged" in cho.run("cat ~/courses/bio/submitted/ben/ps1/ps1.ipynb")
    stamp = cho.run("cat ~/courses/bio/submitted/ben/ps1/timestamp.txt")
    assert stamp[:4] == time.strftime("%Y", time.gmtime())


def test_links_in_a_submission_are_not_followed(people: dict[str, Person], graded: None) -> None:
    ben, cho = people["ben"], people["cho"]
    folder = "'/srv/nbgrader/exchange/bio/inbound/ben+ps1+2099-01-01 00:00:00.0 UTC+links'"
    ben.run(f"cp -r ~/bio/ps1 {folder} && cd {folder} && rm -rf feedback && ln -s /srv/nbgrader/courses/bio/source/ps1/ps1.ipynb stolen.ipynb "
        "&& ln -s /srv/nbgrader/courses/bio all && ln -s /proc/self/environ environ && mkfifo pipe")  # fmt: skip
    # And one that is a link as a whole.
    ben.run(
        "cd /srv/nbgrader/exchange/bio/inbound && ln -s /srv/nbgrader/courses/bio/source/ps1 'ben+ps1+2099-01-02 00:00:00.0 UTC+link'"
    )
    log = cho.run("cd ~/courses/bio && nbgrader collect ps1 --update")
    assert "Passed over: ben+ps1+2099-01-02" in log
    assert all(
        f"Left out, as hidden or no plain file: {name} of ben" in log
        for name in ("stolen.ipynb", "all", "environ", "pipe")
    )
    assert cho.run("ls ~/courses/bio/submitted/ben/ps1").split() == ["ps1.ipynb", "timestamp.txt"]
    ben.run("rm -r /srv/nbgrader/exchange/bio/inbound/*link*")


def test_what_is_graded_reaches_no_further_than_the_submission(people: dict[str, Person], graded: None) -> None:
    """Autograding runs ben's code in cho's container."""
    ben, cho = people["ben"], people["cho"]
    solve(ben, "bio", f'''
import ctypes, glob, json, os, signal, socket, subprocess
def attempt(action):
    try:
        return repr(action())[:80]
    except Exception as error:
        return type(error).__name__
base = "/srv/nbgrader/courses/bio"
found = {{
    "source": attempt(lambda: open(base + "/source/ps1/ps1.ipynb").read()),
    "amy": attempt(lambda: open(base + "/submitted/amy/ps1/ps1.ipynb").read()),
    "inbound": attempt(lambda: os.listdir("/srv/nbgrader/inbound/bio/amy")),
    "list": attempt(lambda: os.listdir(base)),
    "gradebook": attempt(lambda: open(base + "/gradebook.db", "r+b").read(10)),
    "feedback": attempt(lambda: open("/srv/nbgrader/feedback/bio/amy/x.html", "w")),
    "release": attempt(lambda: os.mkdir("/srv/nbgrader/exchange/bio/outbound/ps9")),
    "home": attempt(lambda: open("/home/jovyan/.bashrc", "a")),
    "link": attempt(lambda: os.symlink(base + "/gradebook.db", "link")),
    "parent": attempt(lambda: open(f"/proc/{{os.getppid()}}/environ").read()),
    "environ": attempt(lambda: [open(path).read() for path in glob.glob("/proc/[0-9]*/environ") if "self" not in path and path != f"/proc/{{os.getpid()}}/environ"]),
    "kill": attempt(lambda: os.kill(os.getppid(), 0)),
    "token": attempt(lambda: os.environ["JUPYTERHUB_API_TOKEN"]),
    "own": attempt(lambda: os.listdir(".")),
    "hub": attempt(lambda: socket.create_connection(("172.29.0.1", 8081), 5)),
    "loopback": attempt(lambda: socket.create_connection(("127.0.0.1", 8888), 5)),
    "udp": attempt(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)),
    "netlink": attempt(lambda: socket.socket(socket.AF_NETLINK)),
    "ring": attempt(lambda: os.strerror(ctypes.get_errno()) if ctypes.CDLL(None, use_errno=True).syscall(425, 1, bytes(120)) < 0 else "open"),
    "curl": attempt(lambda: subprocess.run(["curl", "-sS", "http://172.29.0.1:8081/hub/health"], capture_output=True).returncode),
}}
json.dump(found, open("{FOUND}", "w"))
from IPython.display import HTML, display
display(HTML("<b>shown</b><script>evil()</script>"))
def double(x):
    return 2 * x
''')  # fmt: skip
    ben.run("nbgrader submit ps1 --course bio")
    cho.run("cd ~/courses/bio && nbgrader collect ps1 --update && nbgrader autograde ps1 --student ben --force")
    found = json.loads(cho.run(f"cat ~/courses/bio/autograded/ben/ps1/{FOUND}"))
    assert "ps1.ipynb" in found.pop("own")
    assert found.pop("token") == "KeyError"
    network = {name: found.pop(name) for name in ("hub", "loopback", "udp", "netlink")}
    assert set(network.values()) == {"OSError"}, network
    assert found.pop("ring") in ("'Operation not supported'", "'Operation not permitted'")
    assert found.pop("curl") != "0"
    assert set(found.values()) == {"PermissionError"}, found
    assert scores(cho, "bio")["ben"] == 3.0
    # What was refused there is possible to cho.
    cho.run(
        "cat ~/courses/bio/source/ps1/ps1.ipynb ~/courses/bio/submitted/amy/ps1/ps1.ipynb && ls /srv/nbgrader/inbound/bio/amy"
    )
    # And in cho's browser, what ben's code displayed is text and no script.
    base = formgraders(cho)["bio"]
    (notebook,) = [
        one for one in cho.browser.get(f"{base}/api/submitted_notebooks/ps1/ps1").json() if one["student"] == "ben"
    ]
    page = cho.browser.get(f"{base}/submissions/{notebook['id']}").text
    assert "<b>shown</b>" in page
    assert "<script>evil()" not in page


def test_the_buttons_of_formgrader_do_the_same(people: dict[str, Person], graded: None) -> None:
    amy, ben = people["amy"], people["ben"]
    solve(ben, "chem", good("ben-late"))
    ben.run("nbgrader submit ps1 --course chem")
    base = formgraders(amy)["chem"]
    for button in ("assignment/ps1/collect", "submission/ps1/ben/autograde", "assignment/ps1/ben/generate_feedback",
                   "assignment/ps1/ben/release_feedback"):  # fmt: skip
        answer = amy.browser._fetch("POST", f"{base}/api/{button}", timeout_s=120).json()
        assert answer["success"], answer
    assert scores(amy, "chem") == {"ben": 3.0}
    ben.run("nbgrader fetch_feedback ps1 --course chem")
    assert "by ben-late" in ben.run("cat ~/chem/ps1/feedback/*/*.html")


def test_a_students_own_settings_gain_nothing(people: dict[str, Person], graded: None) -> None:
    ben = people["ben"]
    ben.write("~/.jupyter/nbgrader_config.py", """
c = get_config()
c.CourseDirectory.root = "/srv/nbgrader/courses/bio"
c.CourseDirectory.course_id = "bio"
""")  # fmt: skip
    ben.write(
        "~/.jupyter/jupyter_server_config.json",
        json.dumps({"ServerApp": {"jpserver_extensions": {"nbgrader.server_extensions.formgrader": True}}}),
    )
    ben.restart()
    # nbgrader's formgrader can be had so, about nothing.
    page = ben.browser.get(f"{ben.browser.home_path}formgrader/api/students").text
    assert "amy" not in page
    ben.run("ls /srv/nbgrader/courses/bio /srv/nbgrader/inbound", fails=True)
    ben.run("rm ~/.jupyter/nbgrader_config.py ~/.jupyter/jupyter_server_config.json")


# -- formgrader, and roles that change


def page_config(person: Person) -> dict[str, object]:
    page = person.browser.get(f"{person.browser.home_path}lab").text
    text = page.partition('id="jupyter-config-data"')[2].partition(">")[2].partition("</script>")[0]
    return dict(json.loads(text))


def test_students_see_no_tools_of_instructors(people: dict[str, Person]) -> None:
    hidden = {f"@jupyter/nbgrader:{name}" for name in ("formgrader", "course-list", "create-assignment")}
    assert hidden <= set(page_config(people["ben"])["disabledExtensions"])  # type: ignore[call-overload]
    assert not hidden & set(page_config(people["cho"])["disabledExtensions"])  # type: ignore[call-overload]
    assert people["ben"].browser.get("/user/ben/formgraders").status_code == 404


def formgraders(person: Person) -> dict[str, str]:
    value = person.browser.get(f"{person.browser.home_path}formgraders").json()["value"]
    return {entry["course_id"]: entry["url"] for entry in value}


def test_formgrader_is_about_the_course_of_its_address(people: dict[str, Person], graded: None) -> None:
    for course, teacher in TEACHER.items():
        links = formgraders(people[teacher])
        assert list(links) == [course]
        page = people[teacher].browser.get(links[course])
        assert page.status_code == 200 and page.url.path.endswith("/formgrader/manage_assignments")
        students = people[teacher].browser.get(f"{links[course]}/api/students").json()
        assert {one["id"] for one in students} >= set(STUDENTS[course])
        assert {one["first_name"] for one in students if one["id"] == "ben"} == {"Ben"}, "as the LMS calls him"


def test_a_new_role_counts_from_the_next_start_and_so_does_one_that_is_lost(
    hub: Hub, people: dict[str, Person], graded: None
) -> None:
    ben, cho = people["ben"], people["cho"]
    hub.join("course-chem-instructors", "cho")
    hub.leave("course-bio", "ben")
    cho.run("ls /srv/nbgrader/courses/chem", fails=True)
    cho.restart()
    ben.restart()
    links = formgraders(cho)
    assert list(links) == ["bio", "chem"]
    # Side by side, in whichever order: each has its own gradebook.
    for _ in range(2):
        assert "amy" in {one["id"] for one in cho.browser.get(f"{links['bio']}/api/students").json()}
        assert {one["id"] for one in cho.browser.get(f"{links['chem']}/api/students").json()} == {"ben"}
    assert ben.run("ls /srv/nbgrader/exchange").split() == ["chem"]
    hub.leave("course-chem-instructors", "cho")
    hub.join("course-bio", "ben")
    cho.restart()
    cho.run("ls /srv/nbgrader/courses/chem", fails=True)


# -- a course by the name that people read; Test Students

HEX = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d"


def test_a_course_has_the_name_that_people_read_and_its_id_on_the_server(machine: Machine, hub: Hub) -> None:
    with Server.connect(params.load(machine.site)) as server:
        canvas = Verification(server)
        form = canvas.form("dee") | {
            "context_id": HEX, "context_label": "BIO 101 / Frühling", "context_title": "Biology", "roles": "Instructor",
        }  # fmt: skip
        (signed,) = canvas.sign([LaunchRequest(canvas.site.launch_url, form)])
        dee = Person("dee", Browser(canvas.route))
        assert dee.browser.launch(canvas.site.launch_url, signed).user == "dee"
        dee.browser.start(180)
    try:
        assert dee.run("ls ~/courses") == "BIO 101 - Frühling"
        dee.write("~/courses/BIO 101 - Frühling/source/ps1/ps1.ipynb", assignment("bio"))
        dee.run("cd ~/courses/BIO* && nbgrader generate_assignment ps1 && nbgrader release_assignment ps1")
        dee.run('nbgrader fetch_assignment ps1 && nbgrader submit ps1 && ls "$HOME/BIO 101 - Frühling/ps1"')
        assert dee.browser.get(f"{dee.browser.home_path}courses").json()["value"] == ["BIO 101 - Frühling"]
        ((shown, url),) = formgraders(dee).items()
        assert shown == "BIO 101 / Frühling" and HEX in url
        assert "<strong>BIO 101 / Frühling</strong>" in dee.browser.get(url).text
        assert "ps1" in machine.run("ls $1", f"/srv/nbgrader/{HEX}/outbound")
    finally:
        hub.call("DELETE", "users/dee/server")
        hub.call("DELETE", f"groups/course-{HEX}")
        dee.browser.close()


def test_test_students_leave_one_home_behind(machine: Machine, hub: Hub) -> None:
    fields = {
        "lis_person_name_full": "Test Student",
        "lis_person_sourcedid": "",
        "lis_person_contact_email_primary": "",
    }
    users = []
    for number in (1, 2, 3):
        with Server.connect(params.load(machine.site)) as server:
            canvas = Verification(server)
            form = canvas.form("nobody") | fields | {
                "user_id": f"fake-{number}", "custom_canvas_user_login_id": f"{number:040x}", "context_id": "bio",
            }  # fmt: skip
            (signed,) = canvas.sign([LaunchRequest(canvas.site.launch_url, form)])
            browser = Browser(canvas.route)
            users.append(browser.launch(canvas.site.launch_url, signed).user)
            assert test_student.is_one(users[-1])
            browser.start(180)
            browser.stop()
            browser.close()
    volumes = [student_volume.volume(user) for user in users]
    waits = "for try in $(seq 60); do docker volume inspect $1 $2 >/dev/null 2>&1 || break; sleep 1; done; docker volume ls -q"
    there = machine.run(waits, *volumes[:2], seconds=90).split()
    assert [volume for volume in volumes if volume in there] == volumes[2:]
    assert machine.run("ls /srv/nbgrader/bio/inbound | grep test-student").split() == users[2:]
    hub.call("DELETE", f"users/{users[2]}")
    assert volumes[2] not in machine.run("docker volume ls -q").split()
