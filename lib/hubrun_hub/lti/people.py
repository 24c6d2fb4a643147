"""Who is who: a person is known by the LMS's own stable id, and their hub user is the label that their home got first.

A launch is a person's whom the file knows by, in this order:

1. the stable id of its version of LTI: 1.1's user_id (or what the LMS's preset says), 1.3's `sub`;
2. the id of LTI 1.1 that a launch of 1.3 names (claim lti1p1), or `sub` itself, which may be the same
   (IMS LTI 1.3 migration guide, "Remapping parameters": what is the same may be left out);
3. the value of lti_username_key, among people of this consumer who have no id of this version yet, where the LMS
   vouches for it (`presets.is_vouched`). So everybody is found after a change from 1.1 to 1.3.

Else it is a new person's. No setting moves anybody: neither the key, nor a prefix, a version or what the LMS tells.
An id belongs to a consumer, or to another one that has the same prefix now: these say that they know the same people.

The hub's own database keeps digests of the same (`HubUsers`), so that a lost file gives nobody another's home, and
nobody a second one. All of it is personal data. It goes when the hub's user is deleted, and never goes into the log.

Only the standard library: the programs that an operator runs on the server use this too.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from . import user_names

# The fields, by their names in LTI 1.1, that lti_username_key may sensibly name (the table in runbook 02). In this order
# they name a new person of whom the LMS does not say lti_username_key.
KEYS = (
    "lis_person_sourcedid",
    "custom_canvas_user_login_id",
    "lis_person_contact_email_primary",
    "user_id",
    "custom_canvas_user_id",
    "custom_canvas_user_sis_id",
)
# Those whose values are opaque identifiers: case matters in them.
EXACT_KEYS = ("user_id",)
UNWRITABLE = ("user_id", "sub")
LONGEST = 1000  # characters of a value that is kept; LTI 1.3, 5.3.6.1: `sub` has 255 at most


class Unusable(sqlite3.Error):
    """The file cannot be read or written: nobody comes in, as nobody may get another's home. The text is for the log."""


class HubUsers(Protocol):
    """The users of the hub, and the marks of people (`mark`) that its database keeps."""

    def names(self) -> Iterable[str]:
        """Of all users."""

    def exists(self, name: str) -> bool:
        """Whether there is such a user."""

    def came(self, name: str) -> bool:
        """Whether anybody was ever logged in as this user, and so may have left files."""

    def owners(self, marks: Collection[str]) -> dict[str, set[str]]:
        """Of these marks each that is kept → the users whose people have it."""

    def kinds(self, name: str) -> Collection[str]:
        """The kinds of marks that this user's person has."""


@dataclass(frozen=True)
class Seen:
    """What a launch says of its person.

    ids: field and value of the LMS's own stable ids; the first is the person's, the others may be one for each course. fields: whatever else may say who they are.
    key: lti_username_key. id_11: the id of LTI 1.1 that a launch of 1.3 names. lms: which LMS it is (`presets`).
    """

    consumer: str
    prefix: str
    version: str
    ids: Sequence[tuple[str, str]]
    fields: Mapping[str, str]
    key: str
    id_11: str = ""
    lms: str = "canvas"


@dataclass
class Found:
    """The hub user of a launch; whether they are of the administrators; lines for the log, without personal data."""

    user: str
    administers: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """prefixes: of the consumers that there are now. adopt: adopt_users. admins: hub names of the administrators."""

    prefixes: Mapping[str, str]
    adopt: bool = False
    admins: frozenset[str] = frozenset()


def compared(name: str, value: str) -> str:
    """The form in which two values of a field are compared."""
    return user_names.normalise(value, exact=name in EXACT_KEYS)


def can_be_kept(value: str) -> bool:
    """Whether a value is of a length, and of characters, that an id or a name may have."""
    return len(value) <= LONGEST and not any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value)


def mark(consumer: str, kind: str, value: str) -> str:
    """The digest of one thing by which a person is known again."""
    return hashlib.sha256("\0".join((consumer, kind, value)).encode("utf-8", "surrogatepass")).hexdigest()
