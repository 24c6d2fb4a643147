"""Why a launch did not become a login: from what the hub answered to the likely cause and its remedy."""

from __future__ import annotations

# A part of the hub's message → cause. The messages are those of jupyterhub-ltiauthenticator 1.6.3
# (lti11/validator.py) and of JupyterHub 6.1.1; the first that matches wins.
_BY_TEXT = (
    (
        "unknown oauth_consumer_key",
        "The launch has another consumer key than the hub: compare the tool's key in Canvas with LTI_CLIENT_KEY in "
        "lti.env, restart jupyterhub after a change, and see that c.LTI11Authenticator.consumers is set.",
    ),
    (
        "Timestamp given is invalid",
        "The two clocks differ by more than 30 s: `timedatectl` on the server must say that it is synchronized.",
    ),
    ("already used", "The same launch was sent twice: a reload of the page, or a retry by a proxy. Launch anew."),
    (
        "Invalid oauth_signature",
        "The hub sees another URL than was signed, so nginx must pass `Host $http_host` and "
        "`X-Forwarded-Proto $scheme` (and uri_scheme be https); or the secret in Canvas is not that in lti.env.",
    ),
    ("Required oauth arg", "The request is no signed LTI 1.1 launch; a redirect on the way may have dropped the form."),
    ("Required LTI 1.1 arg", "The LMS leaves out a field that LTI 1.1 requires."),
    ("not currently authorized", "The hub allows no such user: set c.Authenticator.allow_all = True."),
)

_BY_STATUS = {
    400: "The request is no signed LTI 1.1 launch.",
    401: "The hub refuses the launch; `journalctl -u jupyterhub` says why.",
    403: "The hub allows no such user (c.Authenticator.allow_all), or blocks this one.",
    404: "The hub has no LTI handler there: authenticator_class is not LTI11Authenticator, or the URL is wrong.",
    405: "The form came as a GET: a redirect on the way drops it. Launch the https URL itself.",
    413: "nginx refuses the size of the request (client_max_body_size).",
    500: "The hub failed on the launch; `journalctl -u jupyterhub` says why.",
    502: "nginx reaches no proxy: `systemctl status jupyterhub-proxy`, and proxy_pass must name its port.",
    503: "The proxy runs but not the hub: `systemctl status jupyterhub`, `journalctl -u jupyterhub`.",
    504: "The hub does not answer nginx in time: `journalctl -u jupyterhub`, and the load of the server.",
}


def launch_cause(status: int, cookie: bool, text: str) -> str:
    """Return why an answer of `status` whose page says `text` is no login, "" when it is one (`cookie`)."""
    if cookie:
        return ""
    for part, cause in _BY_TEXT:
        if part in text:
            return cause
    if status in (301, 302, 303, 307, 308):
        return (
            "The launch was valid but nobody is logged in: set c.Authenticator.allow_all = True, or add the user to "
            "allowed_users. If the launch URL is plain http, it was only redirected: launch the https URL."
        )
    return _BY_STATUS.get(status, f"Nothing that a hub answers to a launch: does another site answer here ({status})?")
