"""What a launch says once it is verified, whichever version of LTI brought it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, urlsplit

from . import launch_targets, user_names
from .consumers import Consumer
from .people import EXACT_KEYS as EXACT_KEYS
from .people import KEYS
from .refusals import Reason, Refusal

# How far apart the clocks of the LMS and of the hub may be, and how old a launch of LTI 1.1 may be, in seconds.
CLOCK_S = 30


@dataclass(frozen=True)
class Course:
    """The LTI context: `id` is stable and opaque, unique for one consumer; the rest is for people to read."""

    id: str
    label: str = ""
    title: str = ""


@dataclass(frozen=True)
class Launch:
    """Somebody whom a consumer vouches for. `user` is their name on the hub, `roles` are the LMS's own words.

    `target` is the path on this hub to go to, "" for wherever the hub sends people. `identities` are the fields that may
    say who somebody is, with what this launch in `version` of LTI says in them; they do not show in the log. `person` is
    the LMS's own id of them where whoever edits a link there could have written the name, "" where nobody could.
    `lms_hosts` are the hosts that it names as the LMS's own (see `cross_site`), `document_target` is where the LMS says
    that it shows the page: window, frame or iframe (see `framed`).
    """

    consumer: Consumer
    user: str
    roles: tuple[str, ...]
    course: Course | None
    target: str
    version: str = ""
    identities: Mapping[str, str] = field(default_factory=dict, repr=False)
    person: str = field(default="", repr=False)
    lms_hosts: frozenset[str] = frozenset()
    document_target: str = ""


def user_of(value: object, key: str, consumer: Consumer) -> str:
    """Return the hub user for what a launch says in the field `key`. Raises Refusal when that is nobody."""
    try:
        return user_names.hub_name(text_of(value), consumer.prefix, exact=key in EXACT_KEYS)
    except user_names.NoIdentity as error:
        raise Refusal(Reason.NO_NAME, f"field {key}: {error}", consumer.name) from None


def identities_of(read: Callable[[str], object], username_key: str) -> dict[str, str]:
    """Return what a launch says in each field that may say who somebody is. `read`: the value of a field, or None."""
    return {key: text for key in dict.fromkeys([*KEYS, username_key]) if (text := text_of(read(key)))}


def text_of(value: object) -> str:
    """Ids are texts; some LMSs write them as numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def target_of(wanted: Sequence[object], hub: SplitResult, consumer: Consumer) -> str:
    """Return the first of the `wanted` addresses that is not empty, as a path on the hub. Raises Refusal off-site."""
    for address in wanted:
        if isinstance(address, str) and address.strip():
            try:
                return launch_targets.path_on(hub, address.strip())
            except launch_targets.ForeignTarget as error:
                raise Refusal(Reason.BAD_LINK, str(error), consumer.name) from None
    return ""


def check_age(signed: float, now: float, consumer: Consumer, oldest_s: int = CLOCK_S) -> None:
    """Raise Refusal for a launch signed (seconds since 1970) more than `oldest_s` before `now`, or CLOCK_S after."""
    age = now - signed
    if age > oldest_s:
        raise Refusal(Reason.EXPIRED, f"signed {age:.0f} s ago, {oldest_s} are allowed", consumer.name)
    if age < -CLOCK_S:
        raise Refusal(Reason.CLOCK, f"signed {-age:.0f} s in the future, {CLOCK_S} are allowed", consumer.name)


def deep_link(url: str) -> str:
    """The custom_next in the query of a launch URL, "" without one, or without a URL."""
    try:
        return dict(parse_qsl(urlsplit(url).query)).get("custom_next", "")
    except ValueError:
        return ""
