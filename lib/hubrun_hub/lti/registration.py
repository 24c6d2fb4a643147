"""What Canvas must be told of the hub for LTI 1.3: the developer key as JSON, to paste or to fetch. No secrets.

Canvas, "Configuring LTI Advantage Tools" (doc/api/lti_dev_key_config.md), and what its lib/schemas/lti_configuration.rb
accepts. Only the standard library: the runbooks import this too.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

LAUNCH, LOGIN, CALLBACK, CONFIG, JWKS = (
    "lti/launch",
    "lti13/oauth_login",
    "lti13/oauth_callback",
    "lti13/config",
    "lti13/jwks",
)

# lti_username_key → the least that Canvas must tell (privacy_level), and the custom field that carries it.
# Canvas, doc/api/tools_variable_substitutions.md.
_KEYS: dict[str, tuple[str, dict[str, str]]] = {
    "lis_person_sourcedid": ("name_only", {}),
    "lis_person_contact_email_primary": ("email_only", {}),
    "user_id": ("anonymous", {}),
    "custom_canvas_user_id": ("anonymous", {"canvas_user_id": "$Canvas.user.id"}),
    "custom_canvas_user_login_id": ("anonymous", {"canvas_user_login_id": "$Canvas.user.loginId"}),
    "custom_canvas_user_sis_id": ("anonymous", {"canvas_user_sis_id": "$Canvas.user.sisSourceId"}),
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
    if username_key not in _KEYS:
        raise ValueError(f"what Canvas sends as {username_key} is not known; known are {', '.join(_KEYS)}")
    privacy_level, custom_fields = _KEYS[username_key]
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
