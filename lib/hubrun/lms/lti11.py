"""LTI 1.1 launches in the shape that Canvas sends, still without a signature.

The secret is on the server only, so signing happens there: by the program hubrun_hub/programs/sign_launch.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import parse_qsl, urlsplit

from hubrun.errors import BadInput, CheckFailed

LAUNCH_PATH = "/hub/lti/launch"

# Fields that say who somebody is, besides the custom_… ones.
KEYS = ("lis_person_sourcedid", "lis_person_contact_email_primary", "user_id")

# Canvas's role of a course → what it says about the person as a whole (ext_roles)
ROLES = {
    "Learner": "urn:lti:instrole:ims/lis/Student,urn:lti:role:ims/lis/Learner,urn:lti:sysrole:ims/lis/User",
    "Instructor": "urn:lti:instrole:ims/lis/Instructor,urn:lti:role:ims/lis/Instructor,urn:lti:sysrole:ims/lis/User",
}


@dataclass(frozen=True)
class LaunchRequest:
    """One launch for `sign_launch` to sign.

    `env_file` is the consumer's file on the server, "" for the one that the whole job names. `key` in place of its
    key, `wrong_secret` in place of its secret, and a time stamp `age_s` seconds old (ahead, where it is negative) make
    launches that a hub must refuse.
    """

    url: str
    form: dict[str, str]
    key: str | None = None
    wrong_secret: bool = False
    age_s: int = 0
    env_file: str = ""


def canvas_launch(
    launch_url: str,
    *,
    username: str,
    user_id: str,
    username_key: str = "lis_person_sourcedid",
    course: str = "Verification of the hub",
    role: str = "Learner",
) -> dict[str, str]:
    """Return the fields of a Canvas launch with privacy level "public", unsigned, in Canvas's order.

    `username` is the value of the field `username_key`, from which the hub makes the user's name (hubrun_hub/lti/user_names.py);
    `user_id` is the opaque identifier that Canvas gives the person. `role` is Learner or Instructor. `course` is the
    course's title, and its id follows from it; "" for a launch from outside a course.

    Raises BadInput for a `username_key` that no LMS sends: the hub would refuse every launch.

    The fields are those of instructure/canvas-lms, gems/lti_outbound/lib/lti_outbound/tool_launch.rb
    (`generate`), and of its doc/lti/05_lti_1_1_launches.md; what the query of the launch URL says is copied
    into the form as lib/lti/security.rb (`generate_params_deprecated`) does.
    """
    if role not in ROLES:
        raise BadInput(f"no role {role!r}", "LTI launch", f"Roles are {', '.join(ROLES)}.")
    url = urlsplit(launch_url)
    context_id = course_id(course)
    form = {
        "lti_message_type": "basic-lti-launch-request",
        "lti_version": "LTI-1p0",
        "resource_link_id": context_id,
        "resource_link_title": "JupyterHub",
        "user_id": user_id,
        "roles": role,
        "ext_roles": ROLES[role],
        "custom_canvas_enrollment_state": "active",
        "lis_person_name_given": "Test",
        "lis_person_name_family": "Student",
        "lis_person_name_full": "Test Student",
        "lis_person_contact_email_primary": f"{username}@example.edu",
        "user_image": "https://canvas.example.edu/images/messages/avatar-50.png",
        "custom_canvas_user_id": "1001",
        "lis_person_sourcedid": username,
        "custom_canvas_user_login_id": username,
        "custom_canvas_course_id": "101",
        "custom_canvas_api_domain": "canvas.example.edu",
        **({"context_id": context_id, "context_title": course, "context_label": course} if course else {}),
        "launch_presentation_locale": "en",
        "launch_presentation_document_target": "iframe",
        "launch_presentation_return_url": "https://canvas.example.edu/courses/101/external_content/success/external_tool_redirect",
        "tool_consumer_instance_guid": "hubrun.canvas_api.example.edu",
        "tool_consumer_instance_name": "Example University",
        "tool_consumer_instance_contact_email": "notifications@example.edu",
        "tool_consumer_info_product_family_code": "canvas",
        "tool_consumer_info_version": "cloud",
    }
    if username_key not in form:
        check_username_key(username_key)
    form[username_key] = username
    for name, value in parse_qsl(url.query):
        form.setdefault(name, value)
    return form


def course_id(course: str) -> str:
    """An id for the course of this title, opaque as Canvas's own (lti_context_id), the same in both versions of LTI."""
    return hashlib.sha1(course.encode(), usedforsecurity=False).hexdigest()


def check_username_key(key: str) -> None:
    """Raise BadInput for a launch field that no LMS sends."""
    if key not in KEYS and not key.startswith(("custom_", "ext_")):
        raise BadInput(
            f"no LMS sends a field {key!r} that says who somebody is",
            "lti_username_key",
            "With privacy level public Canvas sends lis_person_sourcedid (people with an SIS id), "
            "custom_canvas_user_login_id, custom_canvas_user_id, lis_person_contact_email_primary and user_id; "
            "others are custom_… fields of the tool, and ext_… fields of other LMSs (see 02).",
        )


def signer_input(env_file: str, launches: Sequence[LaunchRequest]) -> str:
    """Return what `sign_launch` reads on its standard input; `env_file` is a path on the server, for launches without one."""
    return json.dumps({"env_file": env_file, "launches": [asdict(launch) for launch in launches]})


def signer_output(text: str) -> list[dict[str, str]]:
    """Return the signed forms that `sign_launch` printed. Raises CheckFailed when it printed something else."""
    try:
        forms: list[dict[str, str]] = json.loads(text)
    except ValueError as error:
        raise CheckFailed("the launches were not signed", "LTI launch", detail=text) from error
    return forms
