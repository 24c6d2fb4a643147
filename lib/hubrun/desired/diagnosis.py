"""From a symptom to its likely cause and remedy.

The symptoms: what a command printed, how certbot ended, why TLS refused a certificate, what the hub answered to a launch.
"""

from __future__ import annotations

import re

from hubrun.control_characters import COLOUR
from hubrun_hub.lti.refusals import Reason

_LOG = "`journalctl -u jupyterhub` names the consumer and the reason."

# The page's reason → cause. Each page that refuses a launch says its reason (hubrun_hub/lti/pages.py, data-reason).
_BY_REASON = {
    Reason.UNTRUSTED: "The LMS and the hub do not agree. LTI 1.1: the key or secret in the LMS is not the one in lti.env, "
    "or the LMS launches an address that does not match domain and https_port. LTI 1.3: the client id, issuer or keys "
    "differ from those in consumers.d: compare them, and run 02 again. " + _LOG,
    Reason.EXPIRED: "The launch was too old when it arrived: the clock of the LMS or of the hub is wrong (`timedatectl` "
    "must say that it is synchronized), something on the way delayed it, or people read the page with its button for longer "
    "than lti_launch_minutes.",
    Reason.CLOCK: "The hub's clock is slow, or the LMS's is fast, by more than lti_launch_minutes: `timedatectl` on the "
    "server must say that it is synchronized.",
    Reason.REPLAYED: "The same launch was sent twice, and the second time by a browser that is not logged in as that person: "
    "the page was reloaded after a logout, or a proxy sent it again. Launch again.",
    Reason.SIGNATURE_METHOD: "The LMS signs with another method than HMAC-SHA1: choose HMAC-SHA1 for the tool there, or use "
    "LTI 1.3.",
    Reason.LTI_VERSION: "The LMS launches with LTI 2.0, which was withdrawn: add the tool there as one of LTI 1.1 or 1.3.",
    Reason.NO_NAME: "The launch has no stable id of the person (LTI 1.1: user_id, or what `lms` of the consumer says; LTI "
    "1.3: sub): nobody is logged in to the LMS, as in a public course.",
    Reason.NO_PEOPLE: "The file of who is who (/var/lib/jupyterhub/lti_people.sqlite) cannot be used: the hub's log says "
    "why. Repair it, or put back yesterday's; without a file people are known by the hub's database.",
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
    Reason.NOT_IN_COURSE: "The LMS says that this person is neither student nor staff of the course, and outside_course is "
    "page: give them a role in the course there, or set outside_course: server.",
    Reason.NOT_ADMITTED: "The hub does not let this user in: set c.Authenticator.allow_all = True, and look at blocked_users "
    "in 90-local.py.",
    Reason.GET: "The form came as a GET: a redirect on the way lost it. Launch the https URL itself.",
    Reason.NO_KEYS: "The hub cannot fetch the LMS's keys: is lti_platform (lti_jwks_url) right, and may the server "
    "connect to it? An address inside the institution needs lti_inner_addresses: true. " + _LOG,
    Reason.DISK_FULL: "The hub cannot write, because the disk is full: `df -h; df -i`, `docker system df`, and then "
    "`docker system df -v` for the largest homes.",
    Reason.FRAMED: "The button of a launch into a frame did not open a tab: the LMS's page, or its app, does not let a "
    "frame open one. Let the link itself open in a new tab or window.",
    Reason.NOT_STAFF: "Somebody who is not staff of the course, as the LMS says, chose content there, or asked for another's "
    "submission. If they teach it, look at their roles in the hub's log.",
    Reason.LATE_CLICK: "The button of a launch into a frame was clicked after its minute, a second time, or the hub was "
    "restarted in between: reload the page of the course.",
    Reason.REGISTRATION_LINK: "The link of 05 was used, has expired, or was not pasted whole: run 05 again, which makes a "
    "new one where the LMS is not registered yet.",
    Reason.REGISTRATION: "The LMS and the hub did not come to terms: is lti_platform the LMS's own address, and may the "
    "server connect to it? " + _LOG,
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

# What a command printed → remedy: failures that everybody meets.
_BY_OUTPUT = [
    (r"No space left on device|ENOSPC|disk is full|enough free space|Disk quota exceeded",
     "The disk is full: free space (df -h; docker system df) and run it again"),
    (r"Could not get lock|Unable to acquire the dpkg|Could not open lock file",
     "Another apt or dpkg is at work; wait for it (unattended-upgrades takes minutes) and run it again"),
    (r"Temporary failure (in name )?resol|Could not resolve|Name or service not known|no such host",
     "The server cannot resolve host names: check /etc/resolv.conf and its network"),
    (r"certificate verify failed|self[- ]signed certificate|unknown authority|CERTIFICATE_VERIFY_FAILED|UnknownIssuer",
     "Something on the way re-signs HTTPS: add its CA to ca_certificates"),
    (r"Hash Sum mismatch|File has unexpected size|THESE PACKAGES DO NOT MATCH THE HASHES",
     "The mirror sent something other than it had announced: wait some minutes and run it again"),
    (r"NO_PUBKEY|is not signed|BADSIG|EXPKEYSIG",
     "The repository's signature does not match its key: check the repository's address"),
    (r"address already in use|port is already allocated",
     "Another program has the port: find it with ss -ltnp and stop it"),
    (r"Connection (timed out|refused)|Network is unreachable|Failed to (connect|fetch)|Read timed out",
     "A download failed: check that the server reaches the outside and run it again"),
    (r"Pool overlaps with other one",
     "docker_subnet is taken by another Docker network: 01_server (./hubrun plan --only 01) names one that is free"),
    (r"specified both as a flag and in the configuration file",
     "Docker's own unit gives that option too: see systemctl cat docker, and take it away there (systemctl edit docker)"),
    (r"Too Many Requests|toomanyrequests|rateLimited", "The other side limits requests: wait and run it again"),
    (r"out of memory|Cannot allocate memory|oom-kill", "Memory ran out: set swap_mb or use a larger server"),
    (r"pull access denied|repository does not exist|manifest unknown|manifest for .* not found",
     "base_image is neither on the server nor at its registry: correct its name and tag, or build it on the server again"),
    (r"No matching distribution found|No solution found when resolving|[Nn]o version of .* (and|which)",
     "Correct what extra_pip_packages asks for: names, versions, and whether they go together"),
    (r"Spawn failed: |a server starts, but ",
     "Is base_image made for JupyterHub, and is extra_pip_packages right? The image of before still counts; the log says more"),
    (r"Read-only file system", "The file system is read-only: look at dmesg, then repair and remount it"),
]  # fmt: skip
# How a run of certbot ended → what went wrong, remedy; the exit codes are ours (resources/certificate.py).
BY_CERTBOTS_EXIT = {
    31: ("certbot is at work already", "certbot.timer may be renewing; run it again in a minute"),
    32: ("the certificate authority's rate limit is reached", "Wait as long as it says; try with its staging directory (acme_directory) meanwhile"),
    33: ("the certificate authority refused the external account binding", "Set acme_eab_kid and acme_eab_hmac_env or acme_eab_hmac_file to what it gave you"),
    34: ("the ACME server's own HTTPS certificate is not trusted", "Set acme_ca_file to the CA that signed it"),
    35: ("the certificate authority finds no DNS record of the domain", "Set the domain's A record to this server's public address; new records take minutes"),
    36: ("the certificate authority could not fetch the challenge from this server", "Its port 80 must be reachable from the internet: check the provider's firewall, and that A and AAAA records are this server's"),
    37: ("the ACME server no longer knows this server's account", "Remove its folder below /etc/letsencrypt/accounts and run it again"),
    38: ("the DNS service refused the credentials", "Check what acme_dns_file or acme_dns_env holds: it must be valid, and may change the records of the domain's zone. The certificate stays as it was"),
    39: ("the DNS service does not answer as it should", "May the server reach it? See /var/log/letsencrypt. The certificate stays as it was"),
    40: ("the DNS service keeps no zone that the domain belongs to", "Is acme_dns the service where the domain's records are kept, and are the credentials for that account?"),
    43: ("the certificate authority did not see the record in DNS", "Raise acme_dns_seconds, and look whether the domain's name servers are those of acme_dns"),
}  # fmt: skip
# What an operator can run into on the way to a valid chain; the key is part of OpenSSL's reason.
BY_TLS_REASON = {
    "certificate has expired": "The certificate was not renewed: `systemctl list-timers`, `certbot renew --dry-run`.",
    "Hostname mismatch": "The certificate is for another name; nginx may use the one of another server block.",
    "IP address mismatch": "The certificate is for a name and the URL has an address: use the domain.",
    "self-signed certificate in certificate chain": "The authority is not in trust_ca_file or the system's store.",
    "self-signed certificate": "nginx presents a self-signed certificate: was the issued one put in place?",
    "unable to get local issuer certificate": "The authority is not in trust_ca_file or the system's store, or the "
    "intermediate certificate is missing: nginx needs the full chain (fullchain.pem).",
    "certificate is not yet valid": "One of the two clocks is wrong: `timedatectl` on the server and here.",
}


# What stands in front of a line of BuildKit's, "#12 3.456 ", and lines that end a log and give no reason: of Docker's
# builders, apt, npm and pip.
_PREFIX = re.compile(r"^(#\d+ )?(\d+\.\d+ +)?[\s│╰─▶]*")
_NO_REASON = re.compile(
    r"returned a non-zero code|did not complete successfully|failed to solve|^-+$|^> |^\d+ \|( >>>)? |^Dockerfile:\d+|^>>>|"
    r"^---> |^Removing intermediate|^DEPRECATED|BuildKit|docker\.com|^View build details|^CACHED|^DONE|"
    r"^E: Sub-process .* returned an error code|A complete log of this run|^npm (ERR!|error) *$|^\[?notice|^hint: See|^$"
)
_REASON = re.compile(
    r"(\[?error\b|E: |W: |fatal\b|×|[\w.]*(Error|Exception)\b|[^ ]+: error\b|npm (ERR!|error))", re.IGNORECASE
)
# What a tool says of what is in order. Standard output is often written when a program ends, behind its errors.
_FINE = re.compile(r"\b(ok|okay|done|success(ful(ly)?)?|succeeded)[.! ]*$", re.IGNORECASE)
_NOT = re.compile(r"\b(not|no|never|cannot|un(able|success)\w*|error|fail\w*)\b|n't", re.IGNORECASE)


def last_line(text: str) -> str:
    """The last line with something on it, "" for none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def reason(text: str) -> str:
    """Why a command that printed `text` ended with an error, in its own words; "" when it printed nothing.

    Its last lines that matter: from the last that begins as an error does, or the last one alone.
    """
    lines = [_PREFIX.sub("", line).strip() for line in COLOUR.sub("", text).splitlines()]
    lines = [line for line in lines if not _NO_REASON.search(line)]
    lines = ([line for line in lines if _NOT.search(line) or not _FINE.search(line)] or lines)[-12:]
    begins = max((number for number, line in enumerate(lines) if _REASON.match(line)), default=len(lines) - 1)
    return " ".join(lines[max(begins, 0) :][:5])


def remedy_for(text: str) -> str:
    """What to do about a failed command that printed `text`; a general advice when it is not known."""
    for pattern, remedy in _BY_OUTPUT:
        if re.search(pattern, text, re.IGNORECASE):
            return remedy
    return "See its log; repair the cause and run it again: it carries on from what is there"


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
