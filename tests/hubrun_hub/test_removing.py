"""People and courses go from a server for good: on real files, databases and mounts, with Docker and systemd played."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from backup_server import STUDENT, VOLUMES, BackupServer, backup_server
from hubrun.environment import PROJECT
from hubrun_hub.lti.services import service_file
from hubrun_hub.removing import receipt
from hubrun_hub.removing.whose import Wanted

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts are root's")

_HUB = """
PRAGMA foreign_keys = ON;
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT, properties TEXT);
CREATE TABLE user_group_map (user_id INTEGER REFERENCES users ON DELETE CASCADE, group_id INTEGER REFERENCES groups ON DELETE CASCADE);
CREATE TABLE servers (id INTEGER PRIMARY KEY, base_url TEXT);
CREATE TABLE spawners (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users ON DELETE CASCADE, server_id INTEGER, oauth_client_id TEXT);
CREATE TABLE oauth_clients (id INTEGER PRIMARY KEY, identifier TEXT, description TEXT);
CREATE TABLE api_tokens (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users ON DELETE CASCADE, note TEXT);
CREATE TABLE hubrun_marks (mark TEXT, user TEXT, kind TEXT);
INSERT INTO users VALUES (1, 'ada'), (2, 'bob'), (4, 'teacher');
INSERT INTO groups VALUES (1, 'course-bio', '{"title": "Biology"}'), (2, 'course-bio-instructors', '{}');
INSERT INTO user_group_map VALUES (1, 1), (2, 1), (4, 1), (4, 2);
INSERT INTO servers VALUES (1, '/user/ada/');
INSERT INTO spawners VALUES (1, 1, 1, 'jupyterhub-user-ada');
INSERT INTO oauth_clients VALUES (1, 'jupyterhub-user-ada', 'Server at /user/ada/');
INSERT INTO api_tokens VALUES (1, 1, 'Server at /user/ada/');
INSERT INTO hubrun_marks VALUES ('m1', 'ada', 'id'), ('m2', 'bob', 'id');
"""
_PEOPLE = """
CREATE TABLE schema_version (version INTEGER);
INSERT INTO schema_version VALUES (2);
CREATE TABLE consumer (name TEXT PRIMARY KEY, prefix TEXT NOT NULL);
CREATE TABLE person (number INTEGER PRIMARY KEY, user TEXT NOT NULL UNIQUE, since REAL NOT NULL);
CREATE TABLE stable_id (consumer TEXT, version TEXT, field TEXT, value TEXT, person INTEGER NOT NULL REFERENCES person ON DELETE CASCADE);
CREATE TABLE field (person INTEGER REFERENCES person ON DELETE CASCADE, consumer TEXT, field TEXT, value TEXT, compared TEXT, vouched INTEGER, since REAL, seen REAL);
CREATE TABLE unclaimed (user TEXT PRIMARY KEY);
INSERT INTO person VALUES (1, 'ada', 1), (2, 'bob', 1), (4, 'teacher', 1), (5, 'chem__eve', 1);
INSERT INTO stable_id VALUES ('default', '1.1', 'user_id', 'LMS-ID-OF-ADA', 1), ('default', '1.1', 'user_id', 'LMS-ID-OF-BOB', 2),
    ('chem', '1.1', 'user_id', 'CHEM-OF-BOB', 2), ('chem', '1.1', 'user_id', 'CHEM-OF-EVE', 5);
INSERT INTO field VALUES (1, 'default', 'login', 'Ada.Lovelace@example.edu', 'ada.lovelace@example.edu', 1, 1, 1);
"""
_BOOK = """
CREATE TABLE student (id TEXT PRIMARY KEY, first_name TEXT, last_name TEXT);
CREATE TABLE assignment (id TEXT PRIMARY KEY, name TEXT);
CREATE TABLE notebook (id TEXT PRIMARY KEY, assignment_id TEXT REFERENCES assignment (id));
CREATE TABLE base_cell (id TEXT PRIMARY KEY, notebook_id TEXT REFERENCES notebook (id));
CREATE TABLE grade_cells (id TEXT PRIMARY KEY REFERENCES base_cell (id), max_score REAL);
CREATE TABLE task_cells (id TEXT PRIMARY KEY REFERENCES base_cell (id), max_score REAL);
CREATE TABLE submitted_assignment (id TEXT PRIMARY KEY, assignment_id TEXT REFERENCES assignment (id), student_id TEXT REFERENCES student (id), timestamp TEXT);
CREATE TABLE submitted_notebook (id TEXT PRIMARY KEY, assignment_id TEXT REFERENCES submitted_assignment (id), notebook_id TEXT REFERENCES notebook (id), late_submission_penalty REAL);
CREATE TABLE grade (id TEXT PRIMARY KEY, notebook_id TEXT REFERENCES submitted_notebook (id), auto_score REAL, manual_score REAL, extra_credit REAL);
CREATE TABLE comment (id TEXT PRIMARY KEY, notebook_id TEXT REFERENCES submitted_notebook (id), manual_comment TEXT);
INSERT INTO student VALUES ('ada', 'Ada', 'Lovelace'), ('bob', '=1+1', 'Bee');
INSERT INTO assignment VALUES ('a1', 'ps1');
INSERT INTO notebook VALUES ('n1', 'a1');
INSERT INTO base_cell VALUES ('c1', 'n1');
INSERT INTO grade_cells VALUES ('c1', 10);
INSERT INTO submitted_assignment VALUES ('s1', 'a1', 'ada', '2026-11-20 10:00'), ('s2', 'a1', 'bob', '2026-11-20 11:00');
INSERT INTO submitted_notebook VALUES ('sn1', 's1', 'n1', 0), ('sn2', 's2', 'n1', 1);
INSERT INTO grade VALUES ('g1', 'sn1', 3, 8.5, 1), ('g2', 'sn2', 4, NULL, NULL);
INSERT INTO comment VALUES ('k1', 'sn1', 'Well done, Lovelace'), ('k2', 'sn2', 'Good');
"""
_STATE, _COURSE = "/var/lib/jupyterhub", "/srv/nbgrader/bio"


class Site(BackupServer):
    """A server with two people, a teacher, and a course."""

    def command_line(self, *words: str) -> list[str]:
        return self.command("/usr/bin/python3", "-I", "-B", str(PROJECT / "lib/hubrun_hub"), "remove", *words)

    def _ran(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = self.command_line(*words)
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=120)

    def remove(self, *words: str) -> dict[str, Any]:
        done = self._ran(*words)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def refused(self, *words: str) -> str:
        done = self._ran(*words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
        return done.stderr

    def names(self, *words: str) -> str:
        """The files of the server with one of these words in them or in their names."""
        folders = "/etc/jupyterhub /var/lib/jupyterhub /var/lib/hubrun /srv"
        words_of = " ".join(f"-e '{word}'" for word in words)
        found = self.shell(
            f"grep -rlawi {words_of} {folders} || true; find {folders} -name '{words[0]}' -o -name 'jupyterhub-user-{words[0]}'"
        )
        return "\n".join(line for line in found.splitlines() if "/over/" not in line)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with backup_server(tmp_path, str(tmp_path / "repository"), made=Site) as server:
        assert isinstance(server, Site)
        for user in ("ada", "bob", "teacher"):
            server.write(f"{server.home(user)}/work.txt", f"work of {user}", STUDENT)
        server.database(f"{_STATE}/jupyterhub.sqlite", server.hub, _HUB)
        server.database(f"{_STATE}/lti_people.sqlite", server.hub, _PEOPLE)
        server.database(
            f"{_STATE}/lti_full_names.sqlite",
            server.hub,
            "CREATE TABLE full_name (user TEXT PRIMARY KEY, name TEXT); INSERT INTO full_name VALUES ('ada', 'Ada\tLovelace')",
        )
        # The LMS listed ada in a course that she never came to; and she has more time in an exam.
        server.database(
            f"{_STATE}/lti_services.sqlite",
            server.hub,
            f"{service_file._SCHEMA} INSERT INTO roster VALUES ('chem', 'opaque', 'Ada Lovelace', 1, 1, 'ada');",
        )
        extra = {"key": {"bio": {"extra_minutes": {"ada": 30, "bob": 5}}}}
        server.write(f"{_STATE}/exams.json", json.dumps(extra), server.hub)
        server.database(f"{_COURSE}/course/gradebook.db", STUDENT, _BOOK)
        server.shell(
            f"mkdir -p {_COURSE}/outbound {_COURSE}/inbound {_COURSE}/feedback; chown -R {STUDENT} {_COURSE}/course; chmod 777 {_COURSE}/course"
        )
        for user in ("ada", "bob"):
            server.write(f"{_COURSE}/inbound/{user}/ps1+2026/ps1.ipynb", f"by {user}", STUDENT)
            server.write(f"{_COURSE}/course/submitted/{user}/ps1/ps1.ipynb", f"by {user}", STUDENT)
        server.write(f"{_COURSE}/course/restored-2026-11-20/inbound/ada/ps0/ps0.ipynb", "by ada", STUDENT)
        # What root notes of them there, and what its autograding says of them (courses/due_records.py, autograding).
        for path in ("due/ada", "graded/ada", "course/not_autograded/ada/ps1.txt"):
            server.write(f"{_COURSE}/{path}", '{"ps1/2026-12-08T12:00:00+00:00": "taken as ada+ps1+2026"}')
        server.write("/var/lib/hubrun/usage.json", json.dumps({"at": 1, "homes": {"ada": 3, "bob": 4}, "courses": {}}))
        yield server


class TestPerson:
    pytestmark = [pytest.mark.slow, needs_root]

    def test_nothing_names_them_afterwards_and_others_keep_all_they_have(self, site: Site) -> None:
        before = site.digests(
            f"{VOLUMES}/jupyterhub-user-bob", f"{_COURSE}/inbound/bob", f"{_COURSE}/course/submitted/bob"
        )
        seen = site.remove("look", "person", "LMS-ID-OF-ADA")
        assert (seen["state"], seen["confirm"], seen["name"]) == ("there", "ada", "ada")
        numbers = {part["what"]: part["number"] for part in seen["parts"]}
        assert numbers == {
            "files of homes": 1,
            "files handed in, collected and sent back": 6,
            "submissions with grades": 1,
            "users": 1,
            "ids of the LMS": 1,
        }
        assert site.names("ada", "lovelace", "LMS-ID-OF-ADA")
        done = site.remove("do", "person", "LMS-ID-OF-ADA", "ada", "op")
        assert site.names("ada", "lovelace", "LMS-ID-OF-ADA") == ""
        assert '{"bob": 5}' in site.shell(f"cat {_STATE}/exams.json")
        assert (
            site.digests(f"{VOLUMES}/jupyterhub-user-bob", f"{_COURSE}/inbound/bob", f"{_COURSE}/course/submitted/bob")
            == before
        )
        assert site.rows(f"{_STATE}/jupyterhub.sqlite", "SELECT name FROM users ORDER BY 1") == [("bob",), ("teacher",)]
        assert site.rows(f"{_STATE}/jupyterhub.sqlite", "SELECT * FROM oauth_clients, api_tokens, servers") == []
        assert site.rows(f"{_COURSE}/course/gradebook.db", "SELECT id FROM grade UNION SELECT id FROM comment") == [
            ("g2",),
            ("k2",),
        ]
        assert (done["by"], done["named_in"], done["backups"]) == ("op", 0, "there are none")
        assert "ada" not in json.dumps(done).lower()
        assert site.shell("cat /srv/systemctl").split("\n")[-3:-1] == [
            "disable --now jupyterhub.service",
            "enable --now jupyterhub.service",
        ]

    def test_a_second_time_nothing_is_done_and_whoever_comes_next_with_the_name_can_be_removed_too(
        self, site: Site
    ) -> None:
        site.remove("do", "person", "ada.lovelace@EXAMPLE.edu", "ada", "op")
        ran = site.shell("cat /srv/systemctl")
        assert site.remove("look", "person", "Ada.Lovelace@example.edu")["state"] == "done"
        assert site.remove("do", "person", "ada.lovelace@example.edu", "ada", "op")["kind"] == "person"
        assert site.shell("cat /srv/systemctl") == ran
        site.home("ada")
        assert site.remove("look", "person", "user=ada")["state"] == "there"

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("look", "person", "nobody"), "nobody on this server is 'nobody'"),
            (("look", "person", "ada"), "2 people are 'ada'. ./hubrun people says who is who. Then name one of them: user=ada or user=ada--x7x7"),
            (("do", "person", "user=ada", "bob", "op"), "the yes that is typed is 'bob', and 'ada' is wanted"),
            (("look", "course", "chem"), "there is no course 'chem'. There are: bio"),
            (("look", "course", "../bio"), "there is no course"),
            (("look", "consumer", "default"), "default is the site's own consumer"),
            (("look", "consumer", "phys"), "nobody came from a consumer 'phys'. People came from: chem, default"),
        ],
    )  # fmt: skip
    def test_what_is_not_clear_is_one_line_and_nothing_is_touched(
        self, site: Site, words: tuple[str, ...], says: str
    ) -> None:
        site.database(
            f"{_STATE}/lti_people.sqlite",
            site.hub,
            "INSERT INTO person VALUES (9, 'ada--x7x7', 1); INSERT INTO field VALUES (9, 'default', 'login', 'Ada', 'ada', 1, 1, 1)",
        )
        everything = site.digests("/srv/nbgrader", VOLUMES, _STATE, "/var/lib/hubrun")
        assert says in site.refused(*words)
        after = site.digests("/srv/nbgrader", VOLUMES, _STATE, "/var/lib/hubrun")
        assert {line for line in after.values() if "backup.lock" not in line and "/hubrun=d" not in line} == {
            line for line in everything.values() if "/hubrun=d" not in line
        }

    def test_a_hub_that_is_down_is_named_before_anything_is_touched(self, site: Site) -> None:
        site.tool("curl", "exit 22")
        assert "the hub does not answer" in site.refused("do", "person", "user=ada", "ada", "op")
        assert site.names("lovelace") and not site.shell("ls /srv/systemctl 2> /dev/null || true")

    def test_killed_at_each_of_its_calls_of_docker_and_systemd_the_same_command_ends_it_and_the_hub_is_up(
        self, site: Site
    ) -> None:
        count = (
            'n=$(($(cat /srv/calls) + 1)); echo $n > /srv/calls; [ $n != "$(cat /srv/kill-at)" ] || kill -KILL $PPID'
        )
        site.tool("docker", count, "docker")
        site.tool("systemctl", f'{count}; [ "$1" = cat ] || echo "$*" >> /srv/systemctl')
        ends = []
        for number in range(1, 60):
            site.shell(f"echo 0 > /srv/calls; echo {number} > /srv/kill-at")
            process = subprocess.run(
                site.command_line("do", "person", "user=ada", "ada", "op"),
                env=site.environment,
                capture_output=True,
                check=False,
            )
            ends.append(process.returncode)
            if process.returncode == 0:
                break
        site.shell("echo 0 > /srv/kill-at")
        assert ends == [-signal.SIGKILL] * (len(ends) - 1) + [0] and len(ends) > 10
        assert site.names("ada", "lovelace", "LMS-ID-OF-ADA") == ""
        assert site.shell("ls -A /srv/nbgrader").split() == ["bio"]
        assert site.shell("tail -n 1 /srv/systemctl") == "enable --now jupyterhub.service\n"
        assert "hubrun-removing" not in site.shell(f"ls {VOLUMES}")
        assert site.remove("look", "person", "user=ada")["state"] == "done"

    def test_one_that_is_half_done_comes_before_another(self, site: Site) -> None:
        site.tool("docker", 'case "$*" in "volume rm "*) echo "volume is in use" >&2; exit 1;; esac', "docker")
        assert "volume is in use" in site.refused("do", "person", "user=ada", "ada", "op")
        assert "the removal of the person ada is half done" in site.refused("look", "person", "bob")
        assert site.shell("tail -n 1 /srv/systemctl") == "enable --now jupyterhub.service\n"

    def test_what_students_put_in_the_way_leads_nowhere(self, site: Site) -> None:
        site.write("/srv/outside/ada/keep.txt", "somebody else's")
        for folder in ("course/autograded", "course/feedback"):
            site.shell(f"rm -rf {_COURSE}/{folder}; ln -s /srv/outside {_COURSE}/{folder}")
        site.shell(
            f"""cd {_COURSE}/inbound/ada; mkfifo pipe; ln -s /srv/outside link; ln /srv/outside/ada/keep.txt hard; printf x > "$(printf 'a\\nb')"
            truncate -s 7E huge; python3 -c "
import os
for _ in range(1500):
    os.mkdir('d' * 50); os.chdir('d' * 50)
open('deep', 'w').write('by ada')" """
        )
        site.remove("do", "person", "user=ada", "ada", "op")
        assert site.shell("cat /srv/outside/ada/keep.txt") == "somebody else's"
        assert site.shell(f"ls {_COURSE}/inbound") == "bob\n"

    def test_what_others_hand_in_does_not_keep_it_from_being_looked_who_names_them(self, site: Site) -> None:
        site.write(f"{_COURSE}/inbound/bob/z.txt", "with ada", STUDENT)
        site.shell(f"truncate -s 8T {_COURSE}/inbound/bob/a")
        # As on a server that has no more; what grep keeps of a line is its memory.
        site.tool("grep", 'ulimit -v 400000; exec /usr/bin/grep "$@"')
        assert site.remove("do", "person", "user=ada", "ada", "op")["named_in"] == 1

    def test_whatever_takes_too_long_to_look_through_the_removal_ends(self, site: Site) -> None:
        site.tool("timeout", 'exec /usr/bin/timeout 1 sh -c "sleep 9"')
        assert site.remove("do", "person", "user=ada", "ada", "op")["named_in"] is None
        assert site.remove("look", "person", "user=bob")["state"] == "there"

    def test_a_gradebook_that_would_run_programs_is_refused_and_the_person_is_still_known(self, site: Site) -> None:
        site.database(
            f"{_COURSE}/course/gradebook.db",
            STUDENT,
            "CREATE TRIGGER t AFTER DELETE ON student BEGIN DELETE FROM assignment; END",
        )
        assert "has the trigger" in site.refused("do", "person", "user=ada", "ada", "op")
        assert site.rows(f"{_STATE}/jupyterhub.sqlite", "SELECT name FROM users WHERE name = 'ada'") == [("ada",)]
        site.database(f"{_COURSE}/course/gradebook.db", STUDENT, "DROP TRIGGER t")
        assert site.remove("do", "person", "user=ada", "ada", "op")["kind"] == "person"


class TestConsumer:
    pytestmark = [pytest.mark.slow, needs_root]

    def test_its_own_people_go_and_those_of_others_lose_its_ids_alone(self, site: Site) -> None:
        site.home("chem--5f--5feve")
        assert site.remove("look", "consumer", "chem")["confirm"] == "chem/1"
        assert "wanted" in site.refused("do", "consumer", "chem", "chem", "op")
        done = site.remove("do", "consumer", "chem", "chem/1", "op")
        assert (done["name"], done["people"]) == ("chem", 1)
        assert site.names("chem__eve", "CHEM-OF-EVE", "CHEM-OF-BOB") == ""
        assert site.rows(f"{_STATE}/lti_people.sqlite", "SELECT value FROM stable_id WHERE person = 2") == [
            ("LMS-ID-OF-BOB",)
        ]

    def test_one_that_may_still_launch_or_has_a_course_is_left_alone(self, site: Site) -> None:
        site.write("/etc/jupyterhub/consumers.d/chem.env", "x")
        assert "chem may still launch" in site.refused("look", "consumer", "chem")
        site.shell("rm -r /etc/jupyterhub/consumers.d")
        site.database(
            f"{_STATE}/jupyterhub.sqlite",
            site.hub,
            "INSERT INTO users VALUES (9, 'chem__eve'); INSERT INTO groups VALUES (9, 'course-chem__lab', '{}'); INSERT INTO user_group_map VALUES (9, 9)",
        )
        assert "remove_course=chem__lab" in site.refused("look", "consumer", "chem")


class TestCourse:
    pytestmark = [pytest.mark.slow, needs_root]

    def opened(self, site: Site, file: str) -> str:
        site.shell(f"rm -rf /srv/opened; mkdir /srv/opened; tar -C /srv/opened -xf {file}")
        return "/srv/opened/bio"

    def test_its_archive_opens_with_tar_and_a_spreadsheet_and_the_course_goes_on(self, site: Site) -> None:
        before = site.digests(_COURSE)
        made = site.remove("archive", "bio")
        assert site.digests(_COURSE) == before
        top = self.opened(site, made["file"])
        assert site.shell(f"diff -r {_COURSE} {top}/files") == ""
        assert site.shell(f"cat {top}/grades.csv").splitlines() == [
            "student,first_name,last_name,assignment,handed_in_utc,raw_score,late_penalty,max_score",
            "ada,Ada,Lovelace,ps1,2026-11-20 10:00,9.5,0.0,10.0",
            "bob,'=1+1,Bee,ps1,2026-11-20 11:00,4.0,1.0,10.0",
        ]
        assert site.shell(f"cat {top}/people.csv").splitlines() == [
            "user,role,name",
            "ada,student,Ada Lovelace",
            "bob,student,",
            "teacher,instructor,",
        ]
        assert "Biology" in site.shell(f"cat {top}/README.txt")
        assert site.shell(f"stat -c %a {made['file']} /var/lib/hubrun/archives") == "600\n700\n"
        assert site.shell(f"sha256sum {made['file']}").split()[0] == made["sha256"]
        assert site.remove("look", "course", "bio")["archive"] == made
        site.write(f"{_COURSE}/inbound/bob/ps2/new.ipynb", "new", STUDENT)
        assert site.remove("look", "course", "bio")["archive"] == {}

    def test_it_goes_once_its_archive_holds_all_of_it_and_its_people_keep_their_homes(self, site: Site) -> None:
        early = site.remove("archive", "bio")
        site.write(f"{_COURSE}/inbound/bob/ps2/late.ipynb", "handed in at the last moment", STUDENT)
        seen = site.remove("look", "course", "bio")
        assert seen["confirm"] == "bio/3"
        time.sleep(1)  # the name of an archive has its second
        done = site.remove("do", "course", "bio", "bio/3", "op")
        assert done["archive"]["file"] != early["file"]
        top = self.opened(site, done["archive"]["file"])
        assert site.shell(f"cat {top}/files/inbound/bob/ps2/late.ipynb") == "handed in at the last moment"
        assert site.shell("ls -A /srv/nbgrader") == ""
        assert site.rows(f"{_STATE}/jupyterhub.sqlite", "SELECT * FROM groups, user_group_map") == []
        assert "ada" in site.shell(f"ls {VOLUMES}")
        assert site.remove("look", "course", "bio")["state"] == "done"

    def test_no_room_for_the_archive_keeps_the_course_and_the_next_try_has_all_of_it(self, site: Site) -> None:
        site.tool("tar", "echo 'tar: No space left on device' >&2; exit 2")
        assert "No space left on device" in site.refused("do", "course", "bio", "bio/3", "op")
        assert "by ada" in site.shell("cat /srv/nbgrader/.removing/bio/inbound/ada/ps1+2026/ps1.ipynb")
        assert site.shell("ls /var/lib/hubrun/archives") == ""
        site.tool("tar", 'exec /usr/bin/tar "$@"')
        done = site.remove("do", "course", "bio", "bio/3", "op")
        assert "by ada" in site.shell(
            f"cat {self.opened(site, done['archive']['file'])}/files/inbound/ada/ps1+2026/ps1.ipynb"
        )

    def test_an_archive_that_lacks_a_file_is_none(self, site: Site) -> None:
        site.tool("tar", 'exec /usr/bin/tar --exclude=ps1.ipynb "$@"')
        assert "the archive lacks" in site.refused("archive", "bio")
        assert site.shell("ls /var/lib/hubrun/archives") == ""

    @pytest.mark.parametrize(
        "sql", ["UPDATE student SET first_name = x'00'", "DROP TABLE grade; CREATE TABLE grade (x)", ""]
    )
    def test_whatever_instructors_made_of_the_gradebook_the_course_can_be_archived(self, site: Site, sql: str) -> None:
        book = f"{_COURSE}/course/gradebook.db"
        if sql:
            site.database(book, STUDENT, sql)
        else:
            site.write(book, "this is none", STUDENT)
        top = self.opened(site, site.remove("archive", "bio")["file"])
        assert "There is no grades.csv, because gradebook.db" in site.shell(f"cat {top}/README.txt")
        assert site.shell(f"cmp {book} {top}/files/course/gradebook.db; ls {top}") == "README.txt\nfiles\npeople.csv\n"

    def test_what_students_put_there_is_in_it_as_it_is_and_keeps_nobody_waiting(self, site: Site) -> None:
        site.write("/srv/outside/secret.txt", "root's")
        site.shell(
            f"""cd {_COURSE}/inbound/ada; mkfifo pipe; ln -s /srv/outside link; printf x > "$(printf 'a\\nb')"; ln -s . "$(printf 'l\\ni')"
            truncate -s 7E huge; ln ps1+2026/ps1.ipynb again; python3 -c "
import os
for _ in range(1200):
    os.mkdir('d' * 20); os.chdir('d' * 20)
open('deep', 'w').write('by ada')" """
        )
        made = site.remove("archive", "bio")
        listed = site.shell(f"tar -tvf {made['file']}")
        assert (
            "root's" not in site.shell(f"tar -xOf {made['file']} --wildcards '*.txt'")
            and "/inbound/ada/link -> /srv/outside" in listed
        )
        assert listed.count("d" * 20 + "/") >= 1200 and "/deep\n" in listed
        assert made["size"] < 1e6


@pytest.mark.parametrize(
    ("last", "keep", "gone"),
    [
        (date(2026, 11, 26), {"daily": 7, "weekly": 5, "monthly": 12}, date(2027, 11, 9)),
        (date(2026, 11, 26), {"daily": 7, "weekly": 5, "monthly": 0}, date(2027, 1, 15)),
        (date(2026, 11, 26), {"daily": 30, "weekly": 0, "monthly": 0}, date(2027, 1, 3)),
        (date(2026, 12, 31), {"daily": 1, "weekly": 0, "monthly": 1}, date(2027, 1, 9)),
    ],
)  # fmt: skip
def test_the_receipt_says_until_when_backups_have_it(last: date, keep: dict[str, int], gone: date) -> None:
    assert receipt.until(last, keep) == gone


def test_the_yes_to_more_than_one_person_cannot_be_known_without_the_plan() -> None:
    assert Wanted("person", "ada", ("ada",)).confirm == "ada"
    assert Wanted("course", "bio", ("ada", "bob")).confirm == "bio/2"


def test_logs_are_named_with_their_end_where_they_have_one(tmp_path: Path) -> None:
    journal = tmp_path / "hubrun.conf"
    journal.write_text("[Journal]\nMaxRetentionSec=30day\n")
    assert receipt.logs(date(2026, 11, 26), journal) == "until 2026-12-27"
    assert "1 GB" in receipt.logs(date(2026, 11, 26), tmp_path / "none")
