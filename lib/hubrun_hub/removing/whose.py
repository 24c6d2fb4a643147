"""Finds whom or what is to be removed, by what an operator typed. Reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from hubrun_hub import student_volume
from hubrun_hub.backup import tree
from hubrun_hub.courses.mounts import is_name
from hubrun_hub.docker_command import docker
from hubrun_hub.failed import Failed
from hubrun_hub.homes.move import OLD
from hubrun_hub.homes.places import Homes
from hubrun_hub.joining.homes import FULL_NAMES, Places
from hubrun_hub.lti import people, people_file
from hubrun_hub.watching import usage

PLACES = Places(tree.STATE / "lti_people.sqlite", tree.STATE / "jupyterhub.sqlite", tree.COURSES)
_CONSUMERS = Path("/etc/jupyterhub/consumers.d")


class Nobody(Failed):
    """Nobody, or nothing, of that name is on this server."""


class Wanted(NamedTuple):
    """What is to be removed.

    kind: person, course or consumer; name: the hub user, the course's id, the consumer's name. users: the hub users of whom
    everything goes; of a course, those who are in it. words: by which these are known besides. marks: of people who stay, the
    digests by which the consumer knew them.
    """

    kind: str
    name: str
    users: tuple[str, ...]
    words: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def confirm(self) -> str:
        """What is to be typed as a yes. Of more than one person it has a part that only the plan says."""
        return self.name if self.kind == "person" else f"{self.name}/{len(self.users)}"


def find(kind: str, asked: str, places: Places = PLACES) -> Wanted:
    """What `asked` means. Raises Nobody, and Failed where it means several or must stay as it is."""
    try:
        return {"person": _person, "course": _course, "consumer": _consumer}[kind](asked, places)
    except sqlite3.Error as error:
        raise Failed(f"who is who cannot be read: {error}") from error


def _known(places: Places) -> tuple[dict[str, set[str]], list[dict[str, Any]]]:
    """User → all by which they are known; and what is kept of people (`people_file.everybody`)."""
    said = people_file.everybody(places.people, places.hub) if places.hub.exists() else {"people": [], "unowned": []}
    found: dict[str, set[str]] = {user: set() for user in said["unowned"]}
    for each in said["people"]:
        found[each["user"]] = {str(row[3]) for row in each["ids"]} | {str(row[2]) for row in each["fields"]}
    names = places.people.with_name(FULL_NAMES)
    if names.exists():
        with closing(sqlite3.connect(f"{names.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            for user, name in db.execute("SELECT user, name FROM full_name"):
                found.setdefault(user, set()).add(" ".join(str(name).split()))
    for user in _with_files(places):
        found.setdefault(user, set())
    return found, said["people"]


def _with_files(places: Places) -> Iterable[str]:
    """Users who have files, whether or not the hub knows them (any more)."""
    volumes = docker("volume", "ls", "-q").split()
    names = [each.replace(OLD, student_volume.PREFIX, 1) if each.startswith(OLD) else each for each in volumes]
    homes = Homes()
    names += [student_volume.PREFIX + name for name in homes.names()] if (homes.root / "people").is_dir() else []
    yield from filter(None, map(student_volume.user_of, names))
    for folder in places.courses.glob("*/inbound/*"):
        yield folder.name


def _person(asked: str, places: Places) -> Wanted:
    known, _ = _known(places)
    user, text = asked.removeprefix("user="), asked.casefold()
    if asked != user:
        found = [user] if user in known else []
    else:
        found = [each for each, words in known.items() if each == asked or text in {word.casefold() for word in words}]
    if not found:
        raise Nobody(f"nobody on this server is {asked!r}. ./hubrun people finds somebody by a part of a name or an id")
    if len(found) > 1:
        users = " or ".join(f"user={each}" for each in sorted(found))
        raise Failed(
            f"{len(found)} people are {asked!r}. ./hubrun people says who is who. Then name one of them: {users}"
        )
    return Wanted("person", found[0], (found[0],), tuple(sorted(known[found[0]])))


def _course(asked: str, places: Places) -> Wanted:
    groups = usage.members(places.hub)
    if not is_name(asked) or not ((places.courses / asked).is_dir() or asked in groups):
        there = sorted({each.name for each in places.courses.glob("*") if is_name(each.name)} | groups.keys())
        raise Nobody(f"there is no course {asked!r}. There are: {', '.join(there[:20]) or 'none'}")
    return Wanted("course", asked, tuple(sorted(groups.get(asked, ("", set()))[1])))


def _consumer(asked: str, places: Places) -> Wanted:
    known, said = _known(places)
    theirs: dict[str, set[str]] = {}
    for each in said:
        theirs[each["user"]] = {str(row[0]) for row in (*each["ids"], *each["fields"])}
    if not any(asked in consumers for consumers in theirs.values()):
        names = ", ".join(sorted(set().union(*theirs.values()))) or "none"
        raise Nobody(f"nobody came from a consumer {asked!r}. People came from: {names}")
    if asked == "default":
        raise Failed("default is the site's own consumer: its people go one by one, or with the site (16_uninstall)")
    if any((_CONSUMERS / f"{asked}.{kind}").exists() for kind in ("env", "json")):
        raise Failed(
            f"{asked} may still launch, and its people would come back. Take it out of `consumers` in your file, and run "
            "./hubrun install --only 02 first"
        )
    users = sorted(user for user, consumers in theirs.items() if consumers == {asked})
    # Their submissions would be gone before the course is archived.
    alone = [course for course, (_, inside) in usage.members(places.hub).items() if inside and inside <= set(users)]
    if alone:
        raise Failed(
            f"courses that only its people are in come first: remove_course={alone[0]} ({', '.join(sorted(alone))})"
        )
    stay = [each for each in said if asked in theirs[each["user"]] and each["user"] not in users]
    ids = [(f"id {version} {name}", value) for each in stay for of, version, name, value in each["ids"] if of == asked]
    ids += [(f"field {row[1]}", row[3]) for each in stay for row in each["fields"] if row[0] == asked]
    marks = tuple(people.mark(asked, kind, value) for kind, value in ids)
    words = sorted(set().union(*(known[user] for user in users)))
    return Wanted("consumer", asked, tuple(users), tuple(words), marks)
