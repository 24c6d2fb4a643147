"""An LMS asks to look at what somebody handed in: LtiSubmissionReviewRequest (LTI Submission Review Service 1.0). Pure.

Who teaches the course gets to that person's page in their own formgrader; a person who asks for themself to their server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from . import groups
from .launch import Launch
from .refusals import Reason, Refusal
from .roles import Part


def reviewed(launch: Launch, course: str, users: Mapping[str, str], chosen: Mapping[str, str]) -> Launch:
    """Return the launch with the page to go to. Raises Refusal for who asks for somebody else, and does not teach.

    users: hub user → the LMS's id, of the students of the course; chosen: assignment → link whose column it has.
    """
    said = launch.asks.get("for_user")
    asked = said.get("user_id") if isinstance(said, dict) else None
    if groups.part_in(launch) is not Part.STAFF:
        if asked != launch.ids[0][1]:
            raise Refusal(Reason.NOT_STAFF, "somebody else's submission, by who is not staff", launch.consumer.name)
        return launch
    parts = [user for user, lti in users.items() if lti == asked][:1]
    if parts:
        parts += [name for name, link in chosen.items() if link and link == launch.services.link][:1]
    below = "".join(f"/{quote(part, safe='')}" for part in parts)
    return replace(launch, target=f"/hub/user-redirect/formgraders/{course}/formgrader/manage_students{below}")
