"""Who gets another name at their next launch, and what is in the way of taking their files along. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from hubrun_hub.lti import user_names as names
from hubrun_hub.lti.people import EXACT_KEYS

# 06_verify's people: they come and go with it, under any key.
_TEST_USER = re.compile(r"([a-z0-9]{1,12}__)?hubruntest[0-9]+")
# What `names` makes: plain or made, with or without a prefix.
_PLAIN = r"[a-z0-9]+([._-][a-z0-9]+)*"
_FROM_THE_DOOR = re.compile(rf"([a-z0-9]{{1,12}}__)?({_PLAIN}|{_PLAIN}--[a-z2-7]{{{names.DIGEST_LENGTH}}})")


class Noted(NamedTuple):
    """What a launch once said in one field of somebody; `version` is "" where all versions of LTI say the same."""

    value: str
    consumer: str
    prefix: str
    version: str
    at: float


class Wanted(NamedTuple):
    """What will be configured. consumers: name → prefix, and the versions of LTI that it may use.

    changed: lti_username_key is another than now. front_door: the hub has hubrun's front door already; before it,
    ltiauthenticator took what the LMS said, in lower case, for the name.
    """

    key: str
    consumers: Mapping[str, tuple[str, Collection[str]]]
    changed: bool
    front_door: bool


class Differing(NamedTuple):
    """names: user → their next name, where it is another. unknown: users whose next name cannot be known.

    known: next names that come from what was noted of the user, whether they differ or not.
    """

    names: dict[str, str]
    unknown: list[str]
    known: dict[str, str]


Notes = Mapping[str, Mapping[str, Sequence[Noted]]]  # user → field → what was noted


def differing(users: Collection[str], notes: Notes, wanted: Wanted) -> Differing:
    """Compare each user's name with that of their next launch."""
    found: dict[str, str] = {}
    unknown: list[str] = []
    known: dict[str, str] = {}
    for user in sorted(users):
        if _TEST_USER.fullmatch(user):
            continue
        fields = notes.get(user, {})
        name = _noted_name(fields.get(wanted.key, ()), wanted) if fields else _guessed_name(user, wanted)
        if name is None:
            # Under the key that is in force already nothing will be otherwise than it is.
            if wanted.changed:
                unknown.append(user)
            continue
        if fields:
            known[user] = name
        if name != user:
            found[user] = name
    return Differing(found, unknown, known)


def _noted_name(noted: Sequence[Noted], wanted: Wanted) -> str | None:
    """The name that follows from the values of the wanted field; None when it cannot be told."""
    possible = []
    for one in noted:
        # A consumer that is gone launches nobody, so its people keep what they have, for whoever has its prefix too.
        prefix, versions = wanted.consumers.get(one.consumer, (one.prefix, ()))
        if one.version and versions and one.version not in versions:
            continue
        possible.append((one.at, one.value, prefix))
    if not possible:
        return None
    _, value, prefix = max(possible)
    return _name(value, prefix, wanted)


def _guessed_name(user: str, wanted: Wanted) -> str | None:
    """The name of somebody who is not noted: made by hand, or in a time before notes were kept."""
    if wanted.changed:
        return None
    if wanted.front_door and _FROM_THE_DOOR.fullmatch(user):
        return user
    return _name(user, wanted.consumers.get("default", ("", ()))[0], wanted)


def _name(value: str, prefix: str, wanted: Wanted) -> str | None:
    try:
        return names.hub_name(value, prefix, exact=wanted.key in EXACT_KEYS)
    except ValueError:
        return None


def obstacles(found: Differing, users: Collection[str], with_files: Collection[str]) -> dict[str, str]:
    """User → why they cannot be renamed. with_files: names, of users or not, for which there are files.

    Without obstacles, the users of the hub have as many names after the renaming as before, less those without files
    that are the same person's (`merged`).
    """
    sources: dict[str, list[str]] = {}
    for user, name in found.names.items():
        sources.setdefault(name, []).append(user)
    problems: dict[str, str] = {}
    for user, name in found.names.items():
        others = [other for other in sources[name] if other != user]
        if others:
            problems[user] = f"{', '.join(others)} would be {name} too"
        elif name in found.names:
            continue  # gets another name too, and takes its files along
        elif name in users and found.known.get(name) != name:
            problems[user] = f"{name} is somebody else's name, or it is not known whose"
        elif name in with_files:
            problems[user] = f"{name} has files already" if name in users else f"there are files of a former {name}"
    return problems


def merged(found: Differing, users: Collection[str]) -> dict[str, str]:
    """User → the user without files who has their next name already, and is known to be the same person."""
    return {user: name for user, name in found.names.items() if name in users and name not in found.names}
