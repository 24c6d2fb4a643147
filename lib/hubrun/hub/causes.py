"""Why a launch did not become a login: from what the hub answered to the likely cause and its remedy."""

from __future__ import annotations

from hubrun.hub.front.refusals import Reason

_LOG = "`journalctl -u jupyterhub` names the consumer and the reason."

# The page's reason → cause. Each page that refuses a launch says its reason (front/pages.py, data-reason).
_BY_REASON = {
    Reason.UNTRUSTED: "The LMS and the hub do not agree. LTI 1.1: the key or secret in Canvas is not the one in lti.env, "
    "or Canvas launches an address that does not match domain and https_port. LTI 1.3: the client id, issuer or keys "
    "differ from those in consumers.d: compare them, and run 02 again. " + _LOG,
    Reason.EXPIRED: "The launch was too old when it arrived: the clock of the LMS or of the hub is wrong (`timedatectl` "
    "must say that it is synchronized), or something on the way delayed it.",
    Reason.CLOCK: "The hub's clock is slow, or the LMS's is fast, by more than 30 s: `timedatectl` on the server must say "
    "that it is synchronized.",
    Reason.REPLAYED: "The same launch was sent twice: the page was reloaded, or a proxy sent it again. Launch again.",
    Reason.NO_NAME: "The launch does not have the field that lti_username_key names, or it is empty: the tool's privacy in Canvas "
    "must be public (LTI 1.3: the developer key of 05), and the person must have that field; or choose another key.",
    Reason.OTHER_PERSON: "The name was last used by another person of the same LMS: somebody who may edit a link in the "
    "course may have written it (custom fields, the launch URL). If the LMS merged two accounts of one person, make the "
    "hub forget the old one: README, Who comes in.",
    Reason.BAD_LINK: "The link leads to another site, or its address says who the person is: make it again, with a path of "
    "this hub after custom_next=, percent-encoded (05 shows how).",
    Reason.MALFORMED: "What arrived is not a signed launch; a redirect on the way may have lost the form. " + _LOG,
    Reason.WRONG_MESSAGE: "The LMS asks for something other than opening a link, such as choosing content: use the "
    "placements that 05 shows.",
    Reason.NO_COOKIE: "The cookie of the login did not come back: a proxy on the way removes cookies, or the launch came "
    "to an address other than the one at which it began.",
    Reason.NO_SESSION: "The request came to the login page, not to the launch URL: the session has ended, or a redirect "
    "on the way lost the launch.",
    Reason.LMS_ERROR: "The LMS refused to say who the person is; often the redirect URI of its developer key differs from "
    "the one that 05 shows. " + _LOG,
    Reason.NOT_ADMITTED: "The hub does not let this user in: set c.Authenticator.allow_all = True, and look at blocked_users "
    "in 90-local.py.",
    Reason.GET: "The form came as a GET: a redirect on the way lost it. Launch the https URL itself.",
    Reason.NO_KEYS: "The hub cannot fetch the LMS's keys: is lti_platform (lti_jwks_url) right, and may the server "
    "connect to it? " + _LOG,
    Reason.DISK_FULL: "The hub cannot write, because the disk is full: `df -h; df -i`, `docker system df`, and then "
    "`docker system df -v` for the largest homes.",
}

# For pages of others: nginx, the proxy, another authenticator.
_BY_STATUS = {
    401: "The hub refuses the launch; `journalctl -u jupyterhub` says why.",
    403: "The hub does not allow this user (c.Authenticator.allow_all), or blocks them.",
    404: "The hub has no LTI handler there: authenticator_class is not LaunchAuthenticator (25-lti.py, 90-local.py), or "
    "the URL is wrong.",
    405: _BY_REASON[Reason.GET],
    413: "nginx refuses the size of the request (client_max_body_size).",
    500: "The hub failed on the launch; `journalctl -u jupyterhub` says why.",
    502: "nginx cannot reach the proxy: `systemctl status jupyterhub-proxy`, and proxy_pass must name its port.",
    503: "The proxy runs but the hub does not: `systemctl status jupyterhub`, `journalctl -u jupyterhub`.",
    504: "The hub does not answer nginx in time: `journalctl -u jupyterhub`, and the load of the server.",
}


def launch_cause(status: int, cookie: bool, reason: str = "") -> str:
    """Return why an answer of `status` whose page gives `reason` is not a login, "" when it is one (`cookie`)."""
    if cookie:
        return ""
    known = next((each for each in Reason if each.value == reason), None)
    if known:
        return _BY_REASON[known]
    if status in (301, 302, 303, 307, 308):
        return (
            "The launch was only redirected, and nobody is logged in: is the launch URL plain http, or an address other "
            "than the hub's own? Launch the https URL itself."
        )
    return _BY_STATUS.get(status, f"A hub never answers a launch like this: does another site answer here ({status})?")
