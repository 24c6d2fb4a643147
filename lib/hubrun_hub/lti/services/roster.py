"""Who is in a course, as the LMS says: LTI Names and Role Provisioning Services 2.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..full_names import full_name
from ..launch import text_of
from ..people import KEYS, can_be_kept
from ..presets import claim_path
from ..roles import Part, is_test_user, part
from ..user_names import is_somebody
from .calls import Calls, with_query
from .claims import MEMBERSHIP
from .tokens import Tokens, Tool

_ACCEPT = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"


@dataclass(frozen=True)
class Member:
    """Somebody in a course: the LMS's id of them (`sub` of a launch), their name, "" where it does not say it.

    `active`: not suspended, and not gone (2.3; nothing said is active). fields: what may say who they are, id_11
    and ids, as of a launch (`people.Seen`).
    """

    id: str
    name: str
    part: Part
    active: bool
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    id_11: str = field(default="", repr=False)
    ids: tuple[tuple[str, str], ...] = field(default=(), repr=False)


async def members(url: str, lms: str, tool: Tool, tokens: Tokens, calls: Calls) -> list[Member]:
    """Return everybody in the course whose memberships are at `url`. `lms` as in `presets`. Raises ServiceError."""

    async def ask(page: str) -> Any:
        return await tokens.ask(tool, [MEMBERSHIP], "GET", page, {"Accept": _ACCEPT})

    found: dict[str, Member] = {}
    async for page in calls.pages(ask, with_query(url, limit="100")):
        listed = page.get("members") if isinstance(page, dict) else None
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict) and (member := _member(each, lms)):
                found[member.id] = member
    return list(found.values())


def _member(said: dict[str, Any], lms: str) -> Member | None:
    roles = (
        [role for role in said.get("roles", []) if isinstance(role, str)] if isinstance(said.get("roles"), list) else []
    )
    texts = {name: text for name, value in said.items() if is_kept(text := text_of(value))}
    if "user_id" not in texts or is_test_user(roles):
        return None
    name = full_name(said.get("name"), said.get("given_name"), said.get("family_name"))
    return Member(
        texts["user_id"], name, part(roles, lms), said.get("status", "Active") == "Active",
        {key: texts[where] for key in KEYS if (where := _where(lms, key)) in texts},
        # Canvas's own (app/serializers/lti/ims/names_and_roles_serializer.rb); others do not say it.
        texts.get("lti11_legacy_user_id", ""), (("sub", texts["user_id"]),),
    )  # fmt: skip


def is_kept(text: str) -> bool:
    """Whether a text may say who somebody is."""
    return is_somebody(text) and can_be_kept(text)


def _where(lms: str, key: str) -> str:
    """What a list calls that which a launch says in the field `key`: the claim's own name (2.2); "" for none of a list."""
    path = claim_path(lms, key)
    if len(path) == 1:
        return "user_id" if path == ("sub",) else path[0]
    return "lis_person_sourcedid" if path[-1] == "person_sourcedid" else ""
