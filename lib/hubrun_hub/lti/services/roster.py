"""Who is in a course, as the LMS says: LTI Names and Role Provisioning Services 2.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..full_names import full_name
from ..roles import Part, is_test_user, part
from .calls import Calls, with_query
from .claims import MEMBERSHIP
from .tokens import Tokens, Tool

_ACCEPT = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"


@dataclass(frozen=True)
class Member:
    """Somebody in a course: the LMS's id of them (`sub` of a launch), their name, "" where it does not say it.

    `active`: not suspended, and not gone (2.3; nothing said is active).
    """

    id: str
    name: str
    part: Part
    active: bool


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
    if not isinstance(said.get("user_id"), str) or not said["user_id"] or is_test_user(roles):
        return None
    name = full_name(said.get("name"), said.get("given_name"), said.get("family_name"))
    return Member(said["user_id"], name, part(roles, lms), said.get("status", "Active") == "Active")
