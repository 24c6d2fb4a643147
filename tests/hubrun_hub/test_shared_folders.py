"""A course's folders: who sees which, what the service before Docker lets through, and how they come into a home."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubrun.errors import BadInput
from hubrun.params import Site, build
from hubrun.sections.hub import config
from hubrun_hub.courses.course_folders import CourseFolders, folders_of
from hubrun_hub.courses.mounts import Membership, places
from hubrun_hub.courses.spawner import CourseMounts
from hubrun_hub.docker_filter import folders
from hubrun_hub.docker_filter.create import _check_binds
from hubrun_hub.docker_filter.folders import UnsafeFolder
from hubrun_hub.docker_filter.settings import Refused, Settings
from hubrun_student import shared_folders

ENTRY = {
    "course": "BIO-101",
    "shared": True,
    "groups": {"red": ["ada", "ben"], "blue": ["eve"]},
    "data": "/srv/data/genomes",
}
SETTINGS = Settings(("image",), "jupyterhub", 1024, 1.0, 512, "/srv/nbgrader", course_settings=(ENTRY,))
ROOT = "/srv/nbgrader"


def seen(user: str, *, teaches: bool = False, entry: dict[str, Any] = ENTRY, nbgrader: bool = False) -> set[str]:
    """What the container of `user` has mounted, as SOURCE:TARGET:MODE."""
    member = Membership("bio", teaches, "BIO 101", more=folders_of(entry, user))
    found = places(user, [member], nbgrader=nbgrader).binds
    return {
        f"{source.removeprefix(ROOT + '/')}:{to['bind'].removeprefix(ROOT + '/')}:{to['mode']}"
        for source, to in found.items()
    }


SHARED = "bio/shared:shared/BIO 101"
RED, BLUE = "bio/groups/red:groups/BIO 101/red:rw", "bio/groups/blue:groups/BIO 101/blue:rw"
ALL_GROUPS, DATA = "bio/groups:groups/BIO 101:ro", "/srv/data/genomes:/srv/data/genomes:ro"
SEEN = {
    "a student in a group": ({"user": "ada"}, {f"{SHARED}:ro", RED, DATA}),
    "a student of another group": ({"user": "eve"}, {f"{SHARED}:ro", BLUE, DATA}),
    "a student in none": ({"user": "kim"}, {f"{SHARED}:ro", DATA}),
    "staff write what is shared, and look at groups": ({"user": "tea", "teaches": True}, {f"{SHARED}:rw", ALL_GROUPS, DATA}),
    "staff in a group": ({"user": "ada", "teaches": True}, {f"{SHARED}:rw", ALL_GROUPS, RED, DATA}),
    "only data": ({"user": "ada", "entry": {"data": "/srv/data/genomes"}}, {DATA}),
    "nothing": ({"user": "ada", "entry": {}}, set()),
}  # fmt: skip


@pytest.mark.parametrize(("who", "expected"), SEEN.values(), ids=SEEN.keys())
def test_a_container_has_the_folders_of_its_person(who: dict[str, Any], expected: set[str]) -> None:
    assert seen(**who) == expected
    # nbgrader's own come besides, and without these folders they are as they were.
    assert seen(**who, nbgrader=True) - expected == seen(**{**who, "entry": {}}, nbgrader=True)


def test_courses_with_the_same_data_have_it_once_and_the_container_is_told_whose_it_is() -> None:
    data = CourseFolders(data="/srv/data")
    found = places(
        "ada", [Membership("bio", False, "BIO 101", more=data), Membership("chem", False, more=data)], nbgrader=False
    )
    assert found.binds == {"/srv/data": {"bind": "/srv/data", "mode": "ro"}}
    assert json.loads(found.environment["HUBRUN_COURSE_DATA"]) == {"BIO 101": "/srv/data", "chem": "/srv/data"}


class Docker:
    volume_binds = {"jupyterhub-user-ada": {"bind": "/home/jovyan", "mode": "rw"}}
    log = SimpleNamespace(**dict.fromkeys(("info", "warning", "error"), lambda *_: None))
    site = {"course_settings": [ENTRY]}

    def __init__(self, says: dict[str, str]) -> None:
        self.user = SimpleNamespace(name="ada", groups=[SimpleNamespace(name="course-bio", properties=says)])


class Spawner(CourseMounts, Docker):
    site = Docker.site
    nbgrader = False


@pytest.mark.parametrize(("label", "some"), [("BIO-101", True), ("BIO-102", False)])
def test_the_spawner_finds_a_courses_entry_by_what_its_launches_said(label: str, some: bool) -> None:
    spawner: Any = Spawner({"label": label, "lti_consumer": "default"})
    found = spawner.find_places()
    assert bool(found.binds) == some
    assert "JUPYTER_CONFIG_PATH" not in found.environment, "the image has no nbgrader"


# -- the service before Docker

HOME = "jupyterhub-user-ada:/home/jovyan:rw"
IN = f"{ROOT}/shared/BIO 101"


def test_what_the_hub_asks_for_is_let_through_and_made_before() -> None:
    for teaches in (False, True):
        member = Membership("bio", teaches, "BIO 101", more=folders_of(ENTRY, "ada"))
        binds = [f"{source}:{to['bind']}:{to['mode']}" for source, to in places("ada", [member]).binds.items()]
        user, courses = _check_binds([HOME, *binds], SETTINGS)
        assert (user, [each.course for each in courses]) == ("ada", ["bio"])
        assert courses[0].more == CourseFolders(shared=True, groups=("red",), grouped=True)


REFUSED = {
    "another group's folder": f"{ROOT}/bio/groups/blue:{ROOT}/groups/BIO 101/blue:rw",
    "all groups, to write to": f"{ROOT}/bio/groups:{ROOT}/groups/BIO 101:rw",
    "its own group's folder in the place of what is shared": f"{ROOT}/bio/groups/red:{IN}:rw",
    "what is shared over a path of the container": f"{ROOT}/bio/shared:/usr/lib:ro",
    "what is shared over the home's own settings": f"{ROOT}/bio/shared:/home/jovyan/.jupyter:rw",
    "below what is shared": f"{ROOT}/bio/shared/week1:{IN}:ro",
    "through what is shared": f"{ROOT}/bio/shared/../course:{IN}:ro",
    "through a group": f"{ROOT}/bio/groups/red/../../course:{ROOT}/groups/BIO 101/red:rw",
    "another person's submissions": f"{ROOT}/bio/inbound/eve:{ROOT}/exchange/BIO 101/inbound:rw",
    "the folder of all courses": f"{ROOT}:{IN}:ro",
    "data, to write to": "/srv/data/genomes:/srv/data/genomes:rw",
    "data somewhere else": "/srv/data/genomes:/home/jovyan/data:ro",
    "data above what is named": "/srv/data:/srv/data:ro",
    "data below what is named": "/srv/data/genomes/private:/srv/data/genomes:ro",
    "data that is not named": "/srv/data/exams:/srv/data/exams:ro",
}  # fmt: skip


@pytest.mark.parametrize("bind", REFUSED.values(), ids=REFUSED.keys())
def test_another_mount_is_refused(bind: str) -> None:
    with pytest.raises(Refused, match="HostConfig.Binds"):
        _check_binds([HOME, bind], SETTINGS)


@pytest.mark.parametrize("bind", [f"{ROOT}/bio/shared:{IN}:ro", "/srv/data/genomes:/srv/data/genomes:ro"])
def test_a_container_of_nobody_has_none_of_them(bind: str) -> None:
    with pytest.raises(Refused):
        _check_binds([bind], SETTINGS)


# -- the folders on the server

MEMBER = Membership("bio", False, more=CourseFolders(shared=True, groups=("red",), grouped=True))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "nbgrader").mkdir(mode=0o700)
    return tmp_path / "nbgrader"


def test_owner_and_mode_of_a_folder_are_put_right_at_each_start_and_what_is_in_it_stays(root: Path) -> None:
    folders.make(root, "ada", [MEMBER])
    (root / "bio/shared/slides.pdf").write_text("kept")
    (root / "bio/shared").chmod(0o500)
    (root / "bio/groups").chmod(0o777)
    (root / "bio/groups/red").chmod(0)
    folders.make(root, "ben", [MEMBER])
    found = {name: f"{(root / 'bio' / name).stat().st_mode & 0o7777:o}" for name in ("shared", "groups", "groups/red")}
    assert found == {"shared": "777", "groups": "755", "groups/red": "777"}
    assert (root / "bio/shared/slides.pdf").read_text() == "kept"


def test_a_course_without_them_gets_none(root: Path) -> None:
    folders.make(root, "ada", [Membership("bio", False)])
    assert sorted(path.name for path in (root / "bio").iterdir()) == ["course", "feedback", "inbound", "outbound"]


@pytest.mark.parametrize("place", ["bio/shared", "bio/groups", "bio/groups/red"])
def test_a_link_in_the_place_of_a_folder_is_refused_and_not_followed(root: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(outside)
    with pytest.raises(UnsafeFolder, match=place):
        folders.make(root, "ada", [MEMBER])
    assert not list(outside.iterdir()) and outside.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("group", ["..", "../outbound", "a/b", "", "Red", "a b"])
def test_a_group_whose_name_is_no_folders_is_not_made(root: Path, group: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        folders.make(root, "ada", [Membership("bio", False, more=CourseFolders(groups=(group,), grouped=True))])


# -- in the home


def test_folders_are_shown_below_the_courses_name_and_go_when_they_are_gone(tmp_path: Path) -> None:
    home, mounted, data = tmp_path / "home", tmp_path / "mounted", tmp_path / "genomes"
    for folder in (
        home,
        mounted / "shared/BIO 101",
        mounted / "groups/BIO 101/red",
        mounted / "exchange/BIO 101",
        data,
    ):
        folder.mkdir(parents=True)
    (mounted / "shared/BIO 101/slides.pdf").write_text("slides")
    (home / "BIO 101/ps1").mkdir(parents=True)
    for _ in range(2):
        shared_folders.show(home, shared_folders.links(mounted, {"BIO 101": str(data)}))
        assert sorted(os.listdir(home / "BIO 101")) == ["data", "groups", "ps1", "shared"]
    assert (home / "BIO 101/shared/slides.pdf").read_text() == "slides"
    assert (home / "BIO 101/data").resolve() == data and (home / "BIO 101/groups/red").is_dir()
    for path in (mounted / "shared/BIO 101/slides.pdf", mounted / "groups/BIO 101/red"):
        path.unlink() if path.is_file() else path.rmdir()
    (mounted / "shared/BIO 101").rmdir()
    (mounted / "groups/BIO 101").rmdir()
    shared_folders.show(home, shared_folders.links(mounted, {"BIO 101": str(data)}))
    assert sorted(os.listdir(home / "BIO 101")) == ["data", "ps1"]


def test_what_somebody_has_of_that_name_stays(tmp_path: Path) -> None:
    (tmp_path / "mounted/shared/bio").mkdir(parents=True)
    (tmp_path / "home/bio").mkdir(parents=True)
    (tmp_path / "home/bio/shared").write_text("mine")
    mine = {"data": "../data that comes later", "groups": str(tmp_path / "home/groups that come later")}
    for name, target in mine.items():
        (tmp_path / "home/bio" / name).symlink_to(target)
    shared_folders.show(tmp_path / "home", shared_folders.links(tmp_path / "mounted", {}))
    assert (tmp_path / "home/bio/shared").read_text() == "mine"
    assert {name: os.readlink(tmp_path / "home/bio" / name) for name in mine} == mine


# -- the parameters


def test_a_site_without_nbgrader_mounts_folders_too_once_a_course_has_some() -> None:
    bare: dict[str, Any] = {"site": "x", "domain": "hub.example.edu", "nbgrader": False}
    assert "CourseMounts" not in config.render("40-docker.py", Site(**bare)) and not config.courses(Site(**bare))
    site = Site(**bare, courses=[{"course": "BIO-101", "data": "/srv/data/genomes"}])
    assert "    nbgrader = False\n" in config.render("40-docker.py", site)
    assert json.loads(config.filter_settings(site))["courses"] == ROOT and len(config.courses(site)) == 1


@pytest.mark.parametrize(
    "data",
    ["/", "/etc", "/srv", "/srv/nbgrader", "/srv/nbgrader/bio", "/srv/jupyterhub/homes", "/srv/../etc", "/srv/data/../../etc",
     "/srv/data/", "/srv/a:/b", "/var/lib/jupyterhub", "/home/ada", "/mnt/.hidden", "srv/data", "/srv/a\nb"],
)  # fmt: skip
def test_data_that_is_the_systems_or_ours_is_refused(data: str) -> None:
    with pytest.raises(BadInput, match="courses"):
        build({"site": "x", "domain": "hub.example.edu", "courses": [{"course": "B", "data": data}]}, "here")


@pytest.mark.parametrize("group", ["Red Team", "../x", "", "a/b"])
def test_a_group_whose_name_could_be_no_folders_is_refused(group: str) -> None:
    with pytest.raises(BadInput, match="courses"):
        build(
            {"site": "x", "domain": "hub.example.edu", "courses": [{"course": "B", "groups": {group: ["ada"]}}]}, "here"
        )
