"""What Canvas must be told of the hub for LTI 1.3: the developer key as JSON, to paste or to fetch. No secrets.

Canvas, "Configuring LTI Advantage Tools" (doc/api/lti_dev_key_config.md), and what its lib/schemas/lti_configuration.rb
accepts. Only the standard library: the runbooks import this too.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

LAUNCH, LOGIN, CALLBACK, CONFIG, JWKS = (
    "lti/launch",
    "lti13/oauth_login",
    "lti13/oauth_callback",
    "lti13/config",
    "lti13/jwks",
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


def developer_key(
    hub_url: str,
    username_key: str,
    *,
    title: str = "JupyterHub",
    description: str = "JupyterLab for each student",
    public_jwk: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the developer key's JSON for the hub at `hub_url` (https://hub.example.edu/hub/).

    Canvas tells as little of its people as `username_key` needs. Without `public_jwk`, Canvas is only told where
    it is. Raises ValueError for a `username_key` whose variable in Canvas is not known here.
    """
    if username_key not in NEEDED:
        raise ValueError(f"what Canvas sends as {username_key} is not known; known are {', '.join(NEEDED)}")
    privacy_level, custom_fields = NEEDED[username_key].lti13
    # Canvas takes target_link_uri for the redirect URI where nobody enters one (app/models/lti/tool_configuration.rb).
    callback = hub_url + CALLBACK
    # The hub refuses to be shown inside another site's page, for good reason; so it opens in a tab of its own.
    link = {"enabled": True, "message_type": "LtiResourceLinkRequest", "text": title, "windowTarget": "_blank"}
    return {
        "title": title,
        "description": description,
        "target_link_uri": callback,
        "redirect_uris": [callback],
        "oidc_initiation_url": hub_url + LOGIN,
        "scopes": [],
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
                        {"placement": "link_selection", **link},
                        {"placement": "assignment_selection", **link},
                    ],
                },
            }
        ],
    }
