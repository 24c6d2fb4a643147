"""What a launch says once it is verified, whichever version of LTI brought it."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from .. import test_student
from . import launch_targets, user_names
from .consumers import Consumer
from .people import KEYS, can_be_kept
from .refusals import Reason, Refusal
from .services.claims import Services
from .services.lms_dates import LmsDate

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
# LTI 1.3, 5.3.1; Deep Linking 2.0, 3.4; LTI Submission Review 1.0.
RESOURCE_LINK, DEEP_LINKING, REVIEW = "LtiResourceLinkRequest", "LtiDeepLinkingRequest", "LtiSubmissionReviewRequest"
# How old a launch of LTI 1.1 may be when it arrives, and how far apart the clocks of the LMS and of the hub may be, in
# seconds, where nothing else is said (`lti_launch_minutes`). Canvas signs when it shows the page with the button, and
# keeps that button for 150 s (instructure/canvas-lms, tool_inline.js, `launchToolManually`): people read that page first.
WINDOW_S = 600


@dataclass(frozen=True)
class Course:
    """The LTI context: `id` is stable and opaque, unique for one consumer; label and title are for people to read.

    `sis` is what the institution's register calls it, as far as the LMS says so: no teacher can write it.
    """

    id: str
    label: str = ""
    title: str = ""
    sis: str = ""


@dataclass(frozen=True)
class Launch:
    """Somebody whom a consumer vouches for. `roles` are the LMS's own words.

    `user` is their name on the hub, "" until LaunchAuthenticator.resolve finds it; `administers` is said there, too.
    `target` is the path on this hub to go to, "" for wherever the hub sends people. `identities` are the fields that may
    say who somebody is, with what this launch in `version` of LTI says in them, and `ids` the LMS's own stable ids of
    them, field and value; `id_11` is that of LTI 1.1 which a launch of 1.3 names. They do not show in the log.
    `lms_hosts` are the hosts that it names as the LMS's own (see `cross_site`), `document_target` is where the LMS says
    that it shows the page: window, frame or iframe (see `framed`). `test_student` says that nobody is behind it but a
    teacher who looks at the course as a student; `full_name` is what the LMS calls the person, "" where it does not say
    so. `used` is the digest by which `nonces` knows this launch, `course_url` the page of the LMS to which people go back,
    "" where it names none. `services` are those that the LMS offers for it, `date` is when it says that the link's work is
    due, None for a link of no assignment. `message` is what the LMS asks for, in LTI's own
    words, `asks` the claims that go with another message than a link's.
    """

    consumer: Consumer
    user: str
    roles: tuple[str, ...]
    course: Course | None
    target: str
    version: str = ""
    identities: Mapping[str, str] = field(default_factory=dict, repr=False)
    ids: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    lms_hosts: frozenset[str] = frozenset()
    id_11: str = field(default="", repr=False)
    administers: bool = False
    test_student: bool = False
    full_name: str = field(default="", repr=False)
    used: bytes = field(default=b"", repr=False)
    course_url: str = ""
    document_target: str = ""
    services: Services = field(default=Services(), repr=False)
    date: LmsDate | None = None
    message: str = RESOURCE_LINK
    asks: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


def test_student_of(stable_id: object, consumer: Consumer) -> str:
    """Return the hub user of a Test Student. Raises Refusal where the LMS does not say which one it is."""
    if not (text := text_of(stable_id)):
        raise Refusal(Reason.NO_NAME, "a Test Student without an id", consumer.name)
    return test_student.name(text, consumer.prefix)


def identities_of(read: Callable[[str], object], username_key: str) -> dict[str, str]:
    """Return what a launch says in each field that may say who somebody is. `read`: the value of a field, or None."""
    said = {key: text_of(read(key)) for key in dict.fromkeys([*KEYS, username_key])}
    return {key: text for key, text in said.items() if user_names.is_somebody(text)}


def ids_of(read: Callable[[str], object], fields: Sequence[str], consumer: Consumer) -> tuple[tuple[str, str], ...]:
    """Return the LMS's own stable ids of somebody, from the `fields` that have one. Raises Refusal when none has.

    Nobody is let in by a name alone: whoever makes a link may have written it (launch11).
    """
    said = [(name, text_of(read(name))) for name in dict.fromkeys(fields)]
    ids = tuple((name, text) for name, text in said if user_names.is_somebody(text))
    if not ids or not all(can_be_kept(text) for _, text in ids):
        raise Refusal(Reason.NO_NAME, f"no {' and no '.join(name for name, _ in said)}", consumer.name)
    return ids


def id_11_of(claims: dict[str, Any], consumer: Consumer, client_id: str) -> str:
    """What LTI 1.1 called the person (IMS LTI 1.3 migration guide, "LTI 1.1 Migration Claim"); "" for no word of it.

    Where it is signed with the key of this consumer, the signature must be right. The claim is the LMS's own, as `sub` is.
    """
    said = claims.get(f"{CLAIM}lti1p1")
    said = said if isinstance(said, dict) else {}
    signature = said.get("oauth_consumer_key_sign")
    if signature and consumer.secret and said.get("oauth_consumer_key") == consumer.key:
        parts = (
            consumer.key,
            claims.get(f"{CLAIM}deployment_id"),
            claims["iss"],
            client_id,
            claims["exp"],
            claims["nonce"],
        )
        text = "&".join(map(str, parts)).encode("utf-8", "surrogatepass")
        signed = (hmac.digest(each.secret.encode(), text, "sha256") for each in consumer.with_each_secret)
        given = str(signature).encode("utf-8", "surrogatepass")
        if not any(hmac.compare_digest(base64.b64encode(each), given) for each in signed):
            return ""
    # Canvas says the same where a tool has no key of LTI 1.1 (lib/lti/messages/jwt_message.rb, add_lti11_legacy_user_id!).
    found = text_of(said.get("user_id")) or text_of(claims.get(f"{CLAIM}lti11_legacy_user_id"))
    return found if user_names.is_somebody(found) and can_be_kept(found) else ""


def text_of(value: object) -> str:
    """Ids are texts; some LMSs write them as numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def target_of(wanted: Sequence[object], hub: SplitResult, consumer: Consumer, entrances: Sequence[str]) -> str:
    """Return the first of the `wanted` addresses that is not empty, as a path on the hub. Raises Refusal off-site.

    One of the `entrances`, the hub's own addresses for launches as paths, means no page in particular; what it says as
    custom_next counts.
    """
    for address in wanted:
        if isinstance(address, str) and address.strip():
            try:
                path = launch_targets.path_on(hub, address.strip())
                if launch_targets.is_one_of(path, entrances):
                    inner = deep_link(path)
                    path = launch_targets.path_on(hub, inner) if inner else ""
            except launch_targets.ForeignTarget as error:
                raise Refusal(Reason.BAD_LINK, str(error), consumer.name) from None
            if path and not launch_targets.is_one_of(path, entrances):
                return path
    return ""


def check_age(signed: float, now: float, consumer: Consumer, *, oldest_s: float, ahead_s: float) -> None:
    """Raise Refusal for a launch signed (seconds since 1970) more than `oldest_s` before `now`, or `ahead_s` after."""
    age = now - signed
    if age > oldest_s:
        raise Refusal(Reason.EXPIRED, f"signed {age:.0f} s ago, {oldest_s:.0f} are allowed", consumer.name)
    if age < -ahead_s:
        raise Refusal(Reason.CLOCK, f"signed {-age:.0f} s in the future, {ahead_s:.0f} are allowed", consumer.name)


def deep_link(url: str) -> str:
    """The custom_next in the query of a launch URL, "" without one, or without a URL."""
    try:
        return dict(parse_qsl(urlsplit(url).query)).get("custom_next", "")
    except ValueError:
        return ""
