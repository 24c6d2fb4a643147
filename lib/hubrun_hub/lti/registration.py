"""What an LMS must be told of the hub for LTI 1.3. No secrets.

For Canvas the developer key as JSON, to paste or to fetch: "Configuring LTI Advantage Tools"
(doc/api/lti_dev_key_config.md), and what its lib/schemas/lti_configuration.rb accepts. For an LMS that registers the hub by
itself the same as LTI Dynamic Registration 1.0 (3.5.2) has it. Only the standard library: the runbooks import this too.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .presets import PRESETS
from .services.claims import SCOPES

LAUNCH, LOGIN, CALLBACK, CONFIG, JWKS, REGISTER = (
    "lti/launch",
    "lti13/oauth_login",
    "lti13/oauth_callback",
    "lti13/config",
    "lti13/jwks",
    "lti13/register",
)

PUBLIC = "public"


class LaunchPrivacy(NamedTuple):
    """The least with which Canvas sends a field of a launch: privacy_level, and custom fields, in LTI 1.3 and in 1.1."""

    lti13: tuple[str, dict[str, str]]
    lti11: tuple[str, dict[str, str]]


# lti_username_key → what Canvas must be told; in LTI 1.1 it sends all but one of the variables by itself, with "public".
# instructure/canvas-lms, doc/api/tools_variable_substitutions.md, doc/lti/05_lti_1_1_launches.md, and gems/lti_outbound
# (tool_launch.rb).
_SIS_ID = ("anonymous", {"canvas_user_sis_id": "$Canvas.user.sisSourceId"})
NEEDED: dict[str, LaunchPrivacy] = {
    "lis_person_sourcedid": LaunchPrivacy(("name_only", {}), (PUBLIC, {})),
    "lis_person_contact_email_primary": LaunchPrivacy(("email_only", {}), ("email_only", {})),
    "user_id": LaunchPrivacy(("anonymous", {}), ("anonymous", {})),
    "custom_canvas_user_id": LaunchPrivacy(("anonymous", {"canvas_user_id": "$Canvas.user.id"}), (PUBLIC, {})),
    "custom_canvas_user_login_id": LaunchPrivacy(
        ("anonymous", {"canvas_user_login_id": "$Canvas.user.loginId"}), (PUBLIC, {})
    ),
    "custom_canvas_user_sis_id": LaunchPrivacy(_SIS_ID, _SIS_ID),
}


def own_field(username_key: str) -> str:
    """The custom field of the tool, made by people in the LMS, that a launch sends as `username_key`; "" for another one."""
    return (
        "" if username_key in NEEDED or not username_key.startswith("custom_") else username_key.removeprefix("custom_")
    )


def developer_key(
    hub_url: str,
    username_key: str,
    *,
    title: str = "JupyterHub",
    description: str = "JupyterLab for each student",
    public_jwk: dict[str, Any] | None = None,
    services: bool = False,
) -> dict[str, Any]:
    """Return the developer key's JSON for the hub at `hub_url` (https://hub.example.edu/hub/).

    Canvas tells as little of its people as `username_key` needs. A custom field of the institution's own is added there,
    and may say anything. Without `public_jwk`, Canvas is only told where it is. `services`: for grades, lists of
    names, and the choice of what a link opens. Raises ValueError for a `username_key` that
    Canvas does not send.
    """
    if username_key not in NEEDED and not own_field(username_key):
        raise ValueError(
            f"Canvas sends no {username_key}; it sends {', '.join(NEEDED)}, and custom_… fields of the tool"
        )
    privacy_level, custom_fields = NEEDED[username_key].lti13 if username_key in NEEDED else (PUBLIC, {})
    # Canvas takes target_link_uri for the redirect URI where nobody enters one (app/models/lti/tool_configuration.rb).
    callback = hub_url + CALLBACK
    # The hub refuses to be shown inside another site's page, for good reason; so it opens in a tab of its own.
    link = {"enabled": True, "message_type": "LtiResourceLinkRequest", "text": title, "windowTarget": "_blank"}
    # doc/api/content_item.md: the page on which something is chosen is in a frame of Canvas's own.
    chosen = {"enabled": True, "message_type": "LtiDeepLinkingRequest", "text": title} if services else link
    return {
        "title": title,
        "description": description,
        "target_link_uri": callback,
        "redirect_uris": [callback],
        "oidc_initiation_url": hub_url + LOGIN,
        "scopes": list(SCOPES) if services else [],
        "custom_fields": custom_fields,
        "public_jwk_url": hub_url + JWKS,
        **({"public_jwk": public_jwk} if public_jwk else {}),
        "extensions": [
            {
                "platform": "canvas.instructure.com",
                "domain": urlsplit(hub_url).hostname,
                "tool_id": "hubrun",
                "privacy_level": privacy_level,
                "settings": {
                    "text": title,
                    "placements": [
                        {"placement": "course_navigation", "default": "enabled", **link},
                        {"placement": "link_selection", **chosen},
                        {"placement": "assignment_selection", **chosen},
                    ],
                },
            }
        ],
    }


TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
_CANVAS = "https://canvas.instructure.com/lti"


def tool_registration(
    hub_url: str,
    username_key: str,
    lms: str,
    *,
    title: str = "JupyterHub",
    description: str = "JupyterLab for each student",
    services: bool = False,
) -> dict[str, Any]:
    """Return what the hub at `hub_url` (https://hub.example.edu/hub/) registers at `lms` with: LTI-DR 1.0, 3.5.2.

    It asks for what its people are named by; with `services` also for grades, lists of names, and to be asked what a link
    opens.
    """
    preset, launch = PRESETS[lms], hub_url + LAUNCH
    message: dict[str, Any] = {"type": "LtiResourceLinkRequest", "target_link_uri": launch, "label": title}
    asked = {"claims": ["iss", "sub", *preset.claims], "custom_parameters": {}}
    if lms == "canvas":
        # doc/api/registration.md, and lib/schemas/lti/ims/lti_tool_configuration.rb.
        needed = NEEDED.get(username_key)
        level, custom_fields = needed.lti13 if needed else (PUBLIC, {})
        message |= {
            "placements": ["course_navigation", "link_selection", "assignment_selection"],
            # In a tab of its own: the hub refuses to be shown inside Canvas's page.
            f"{_CANVAS}/display_type": "new_window",
            f"{_CANVAS}/visibility": "members",
        }
        asked |= {"custom_parameters": custom_fields, f"{_CANVAS}/privacy_level": level, f"{_CANVAS}/tool_id": "hubrun"}
    elif username_key == "lis_person_contact_email_primary":
        asked["claims"] = [*asked["claims"], "email"]
    messages = [message]
    if services:
        choice: dict[str, Any] = {"type": "LtiDeepLinkingRequest", "target_link_uri": launch, "label": title}
        if lms == "canvas":
            message["placements"] = ["course_navigation"]
            choice["placements"] = ["link_selection", "assignment_selection"]
        messages.append(choice)
    return {
        "application_type": "web",
        "response_types": ["id_token"],
        "grant_types": ["implicit", "client_credentials"],
        "initiate_login_uri": hub_url + LOGIN,
        "redirect_uris": [hub_url + CALLBACK],
        "client_name": title,
        "jwks_uri": hub_url + JWKS,
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": " ".join(SCOPES) if services else "",
        TOOL: {
            "domain": urlsplit(hub_url).netloc,
            "description": description,
            "target_link_uri": launch,
            "messages": messages,
            **asked,
        },
    }
