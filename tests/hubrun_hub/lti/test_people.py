"""Who is who on a real JupyterHub: what is kept, what an operator may change, and files that cannot be used."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hubrun_hub.lti.user_names import hub_name
from lti_hub import LAUNCH_URL, Browser, Hub, form, running_hub
from lti_platform import Lms

pytestmark = pytest.mark.hub

LOGIN = "custom_canvas_user_login_id"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    settings = 'c.LaunchAuthenticator.administrators = ["Boss@Example.edu"]\n'
    with running_hub(tmp_path_factory.mktemp("hub"), settings) as hub:
        yield hub


def people(hub: Hub) -> Path:
    return hub.folder / "lti_people.sqlite"


def rows(hub: Hub, query: str, user: str, file: str = "lti_people.sqlite") -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(hub.folder / file)) as db:
        return set(db.execute(query, (user,)))


def noted(hub: Hub, user: str) -> set[tuple[str, ...]]:
    return rows(hub, "SELECT consumer, field, value FROM field JOIN person ON number = person WHERE user = ?", user)


def ids(hub: Hub, user: str) -> set[tuple[str, ...]]:
    return rows(
        hub, "SELECT consumer, version, value FROM stable_id JOIN person ON number = person WHERE user = ?", user
    )


def come(hub: Hub, username: str | None = "ada", **launch: str | None) -> str:
    browser = Browser(hub)
    answer = browser.post("/hub/lti/launch", form(username, **launch))  # type: ignore[arg-type]
    assert answer.logged_in, answer.response.text
    return browser.user


def test_ids_of_both_versions_and_each_field_are_kept_and_never_logged(hub: Hub) -> None:
    hub.consumer("bio", "key-of-bio", "secret-of-bio")
    launch = {"key": "key-of-bio", "secret": "secret-of-bio", LOGIN: "Ada.L", "user_id": "opaque"}
    assert come(hub, "Ada", **launch) == "bio__ada"
    lms = Lms()
    try:
        lms.write(hub.folder / "consumers.d", "bio", prefix="bio")
        assert lms.launch(Browser(hub), "ada", sub="subject").status == 302
    finally:
        lms.close()
        (hub.folder / "consumers.d" / "bio.json").unlink()
    assert ids(hub, "bio__ada") == {("bio", "1.1", "opaque"), ("bio", "1.3", "subject")}
    assert noted(hub, "bio__ada") == {
        ("bio", "lis_person_sourcedid", "ada"), ("bio", LOGIN, "Ada.L"),
        ("bio", "lis_person_contact_email_primary", "somebody@example.edu"),
    }  # fmt: skip
    assert people(hub).stat().st_mode & 0o777 == 0o600
    assert "Ada.L" not in hub.log and "opaque" not in hub.log and "subject" not in hub.log
    in_hub = rows(hub, "SELECT mark, kind FROM hubrun_marks WHERE user = ?", "bio__ada", "jupyterhub.sqlite")
    assert len(in_hub) >= 4 and not any("Ada" in mark or len(mark) != 64 for mark, _ in in_hub)


def test_a_launch_without_a_name_comes_in_and_keeps_its_home_when_there_is_one(hub: Hub) -> None:
    nothing = {LOGIN: None, "lis_person_contact_email_primary": None}
    home = come(hub, None, user_id="Opaque-7", **nothing)
    assert home == hub_name("Opaque-7", exact=True)
    assert come(hub, "now.public", user_id="Opaque-7") == home


def test_what_the_address_of_a_link_says_of_somebody_is_not_kept(hub: Hub) -> None:
    query = f"{LOGIN}=victim"
    launch = form("bob", url=f"{LAUNCH_URL}?{query}", **{LOGIN: "victim"})
    assert Browser(hub).post(f"/hub/lti/launch?{query}", launch).logged_in
    assert LOGIN not in {row[1] for row in noted(hub, "bob")}


def test_a_link_that_names_a_student_opens_nobody_elses_home(hub: Hub) -> None:
    """Canvas has no SIS id of some teachers, nor of Student View. Then it signs what the link's address says of them."""
    home = come(hub, "eve", user_id="eve-in-canvas")
    link = f"{LAUNCH_URL}?lis_person_sourcedid=eve"
    teacher = come(hub, None, url=link, user_id="teacher")
    assert home == "eve" and teacher.startswith("eve--"), "their own home, with a digest"
    assert come(hub, "eve", user_id="eve-in-canvas") == home and come(hub, None, url=link, user_id="teacher") == teacher
    assert f"{teacher} came with the lis_person_sourcedid of eve: the LMS's own id counts" in hub.log
    assert "eve-in-canvas" not in hub.log


def test_a_lost_file_loses_nobody_and_opens_no_home_to_another(hub: Hub) -> None:
    assert (come(hub, "gus", user_id="1001"), come(hub, "hal", user_id="1002")) == ("gus", "hal")
    people(hub).unlink()
    assert come(hub, "gus", user_id="1003").startswith("gus--"), "the SIS id was given to somebody else"
    assert (come(hub, "other", user_id="1001"), come(hub, "hal", user_id="1002")) == ("gus", "hal")


def test_an_administrator_is_who_the_lms_says_and_nobody_who_says_so_later(hub: Hub) -> None:
    boss, other = come(hub, "BOSS@example.edu", user_id="2001"), come(hub, "boss@example.edu", user_id="2002")
    admins = {user["name"]: user["admin"] for user in hub.api("GET", "/users")}
    assert (admins[boss], admins[other]) == (True, False)
    assert "boss@example.edu" not in hub.users(), "the hub makes no user of a value"


def test_what_is_kept_of_somebody_goes_with_their_user(hub: Hub) -> None:
    come(hub, "cho")
    assert noted(hub, "cho") and ids(hub, "cho")
    hub.api("DELETE", "/users/cho")
    assert not noted(hub, "cho") and not ids(hub, "cho")
    assert not rows(hub, "SELECT mark FROM hubrun_marks WHERE user = ?", "cho", "jupyterhub.sqlite")


def test_a_file_that_cannot_be_used_lets_nobody_in_with_a_page_and_a_line_in_the_log(hub: Hub) -> None:
    come(hub, "dot")
    aside = people(hub).rename(people(hub).with_suffix(".aside"))
    before, users = len(hub.log), hub.users()
    people(hub).write_bytes(b"no database" * 1000)
    try:
        answer = Browser(hub).post("/hub/lti/launch", form("dot", **{LOGIN: "secret-login"}))
        assert (answer.status, answer.reason, answer.logged_in) == (503, "no-people", False)
        newcomer = Browser(hub).post("/hub/lti/launch", form("newcomer"))
        assert newcomer.reason == "no-people" and hub.users() == users
        with closing(sqlite3.connect(aside, isolation_level=None)) as locked:
            os.replace(aside, people(hub))
            locked.execute("BEGIN IMMEDIATE")
            assert Browser(hub).post("/hub/lti/launch", form("dot")).reason == "no-people"
            locked.execute("ROLLBACK")
    finally:
        aside.exists() and os.replace(aside, people(hub))
    assert come(hub, "dot") == "dot"
    new = hub.log[before:]
    assert "refused (no-people): lti_people.sqlite cannot be used: " in new and "locked" in new
    assert "secret-login" not in new and "Traceback" not in new


def test_a_site_of_the_version_before_goes_on_with_everybody_in_their_home(tmp_path: Path) -> None:
    """One whom it noted with a digest name, one of whom it knew nothing, and somebody else with that name."""
    with running_hub(tmp_path) as hub:
        hub.api("POST", "/users", json={"usernames": ["ada-example-edu--4zqyhua5mz675byy3rhfyvbk3g", "ben"]})
        for user in ("ben",):
            with closing(sqlite3.connect(tmp_path / "jupyterhub.sqlite")) as db, db:
                db.execute("UPDATE users SET last_activity = '2026-01-01 00:00:00' WHERE name = ?", (user,))
        with closing(sqlite3.connect(people(hub))) as db, db:
            db.execute("CREATE TABLE identity (user, field, version, value, consumer, prefix, at)")
            db.execute("CREATE TABLE left_as_is (user, name)")
            user = "ada-example-edu--4zqyhua5mz675byy3rhfyvbk3g"
            for field, version, value in [("lis_person_sourcedid", "", "ada@example.edu"), ("user_id", "1.1", "77")]:
                db.execute("INSERT INTO identity VALUES (?, ?, ?, ?, 'default', '', 1)", (user, field, version, value))
        assert come(hub, "changed", user_id="77") == user
        assert come(hub, "ben", user_id="78") == "ben" and come(hub, "ben", user_id="79").startswith("ben--")
        assert "Traceback" not in hub.log


@pytest.mark.only_long
def test_200_people_of_the_version_before_land_in_their_homes_by_1_1_and_by_1_3(tmp_path: Path) -> None:
    """Half have digests in their names; of a quarter the old file knows nothing, of half one version alone."""
    everybody = [f"s{number}" if number % 2 else f"Person {number}@example.edu" for number in range(200)]
    with running_hub(tmp_path) as hub:
        lms = Lms()
        lms.write(tmp_path / "consumers.d")
        for number in range(0, 200, 20):
            hub.api("POST", "/users", json={"usernames": [hub_name(each) for each in everybody[number : number + 20]]})
        with closing(sqlite3.connect(tmp_path / "jupyterhub.sqlite")) as db, db:
            db.execute("UPDATE users SET last_activity = '2026-01-01 00:00:00'")
        with closing(sqlite3.connect(people(hub))) as db, db:
            db.execute("CREATE TABLE identity (user, field, version, value, consumer, prefix, at)")
            db.execute("CREATE TABLE left_as_is (user, name)")
            for number, sis in enumerate(everybody):
                known = [[], ["1.1"], ["1.3"], ["1.1", "1.3"]][number // 2 % 4]
                rows = [("lis_person_sourcedid", "", sis)] if known else []
                rows += [("user_id", version, f"{version}-{number}") for version in known]
                for row in rows:
                    db.execute("INSERT INTO identity VALUES (?, ?, ?, ?, 'default', '', 1)", (hub_name(sis), *row))
        users = hub.users()
        for number, sis in enumerate(everybody):
            by_11, by_13 = Browser(hub), Browser(hub)
            if number % 3:  # some come by the one first, some by the other
                by_11.post("/hub/lti/launch", form(sis, user_id=f"1.1-{number}", **{LOGIN: f"l{number}"}))
            lms.launch(by_13, sis, sub=f"1.3-{number}")
            by_11.post("/hub/lti/launch", form(sis, user_id=f"1.1-{number}", **{LOGIN: f"l{number}"}))
            assert by_11.user == by_13.user == hub_name(sis)
        assert hub.users() == users and "Traceback" not in hub.log
        lms.close()
