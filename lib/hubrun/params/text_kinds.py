"""What text a parameter may hold, by its kind. Each text parameter and each entry of a list has one.

What is refused here never reaches a command, a file on the server or an address. Where a value is free text (a title, a
folder here), it holds no control character, so that no file gets a second line by it.
"""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator

from hubrun.control_characters import CONTROL
from hubrun_hub.backup.target import parse
from hubrun_hub.courses.due_dates import is_assignment
from hubrun_hub.courses.mounts import is_name

# A host name: RFC 1123 section 2.1, at least two labels, since no CA certifies a single one.
DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
# A folder of records has this name.
_SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
# What useradd accepts on Debian and Ubuntu: adduser.conf(5), NAME_REGEX.
LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
# For SSH: also names of ssh_config(5), which may have an underscore.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")
# Also those of a directory service (winbind(8), sssd(8)): DOMAIN\name, name@domain.
_SSH_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]{0,63}")
# POSIX.1-2017, Base Definitions 3.235.
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# ssh-keygen(1), -l: SHA-256 in base64 without padding.
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
# Debian Policy 5.6.7. None ends in -, with which apt-get(8) removes a package.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{0,126}[a-z0-9+.]")
# RFC 3986 without the characters that a shell or a quoted string takes for something else.
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!&()*+,;=%-]{1,2000}")
# Client ids, deployment ids, key ids: RFC 6749 appendix A.1 without quotes and what a shell takes for something else.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~:/@+=|-]{0,254}")
# `_` and `-` are of base64url (RFC 8555, 7.3.4).
_KEY_ID = re.compile(r"[A-Za-z0-9._~:/@+=-]{1,255}")
_EMAIL = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._%+=~'-]{0,63}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
)
# In nginx's quoted strings $, " and \ mean something (nginx.org, "Configuration File's Structure").
_SERVER_PATH = re.compile(r"/[\w .@+,:=~/-]{1,1000}")
# https://github.com/distribution/reference, reference.go: the grammar. Only a registry's name may hold upper case.
_REGISTRY = r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?=.{{1,255}}$)(?![a-f0-9]{{64}}$)(?:{_REGISTRY}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
)
_DIGEST = re.compile(r"@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
# Canvas API documentation, "Object IDs, SIS IDs, and special IDs", and "Cross-shard IDs".
_CANVAS_ID = re.compile(r"self|default|site_admin|[0-9]+(~[0-9]+)?|[a-z_]+:.{1,255}")
# As the tz database names them (its file theory.html, "Timezone identifiers").
_TIME_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]{1,30}){1,2}")
# Not among these: a name that git refuses (git-check-ref-format(1)), or takes for an option.
NO_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(^|/)\.|\.lock(/|$)|^[/-]|[/.]$|^@$")


def _kind(fits: Callable[[str], object], says: str, empty: bool = True) -> AfterValidator:
    """A kind of text. empty: "" is taken, which says that a parameter was left out."""

    def check(value: str) -> str:
        if (value or not empty) and (CONTROL.search(value) or not fits(value)):
            raise ValueError(says)
        return value

    return AfterValidator(check)


def _address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return "%" not in value or bool(_HOST.fullmatch(value.partition("%")[2]))


def _network(value: str) -> bool:
    try:
        ipaddress.IPv4Network(value)
    except ValueError:
        return False
    return True


def _url(*schemes: str) -> Callable[[str], bool]:
    def fits(value: str) -> bool:
        if not _URL.fullmatch(value):
            return False
        try:
            url = urlsplit(value)
            host, _ = url.hostname, url.port
        except ValueError:
            return False
        if url.scheme not in schemes or "@" in url.netloc:
            return False
        return url.scheme == "file" or bool(host and (_HOST.fullmatch(host) or _address(host)))

    return fits


def _proxy(value: str) -> bool:
    if not _url("http")(value):
        return False
    url = urlsplit(value)
    host = url.hostname or ""
    local = host == "localhost" or (_address(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback)
    return bool(url.port and not local and url.path in ("", "/") and not url.query and not url.fragment)


def _image(value: str) -> bool:
    name, at, digest = value.partition("@")
    first, slash, _ = name.partition("/")
    # Docker would take School/hub for a registry of the name School: reference/normalize.go, splitDockerDomain.
    registry = first == first.lower() or (slash and re.search("[.:]", first))
    return bool(registry and _IMAGE.fullmatch(name)) and (not at or bool(_DIGEST.fullmatch(at + digest)))


def _image_name(value: str) -> bool:
    # It is built on the server and pulled from nowhere. `scratch` is Docker's own word for no image.
    name = value if ":" not in value.rpartition("/")[2] else value.rpartition(":")[0]
    return bool(_IMAGE.fullmatch(value)) and name == name.lower() and name != "scratch"


def is_requirement(value: str) -> bool:
    """Whether it is a package for pip, without options."""
    try:
        url = Requirement(value).url
    except InvalidRequirement:
        return False
    if url and not _url("http", "https", "git+https")(url):
        return False
    # pip puts variables of the environment in place of ${…}, and reads on after a backslash (pip documentation,
    # "Requirements File Format").
    return len(value) <= 1000 and not re.search(r"[$\\`]", value)


def _relay(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(_HOST.fullmatch(host) and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536)


def _time_zone(value: str) -> bool:
    try:
        return bool(_TIME_ZONE.fullmatch(value)) and bool(zoneinfo.ZoneInfo(value))
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        return False


def _free(most: int) -> Callable[[str], bool]:
    return lambda value: len(value) <= most


is_https = _url("https")

SiteName = Annotated[str, _kind(_SITE.fullmatch, "at most 41 lower-case letters, digits and -", empty=False)]
Domain = Annotated[
    str,
    _kind(
        DOMAIN.fullmatch, "a host name in lower case such as hub.example.edu, without https:// or a port", empty=False
    ),
]
Host = Annotated[
    str,
    _kind(
        lambda value: _HOST.fullmatch(value) or _address(value),
        "a host name or an IP address, and nothing else: login and port have parameters of their own",
    ),
]
Login = Annotated[str, _kind(LOGIN.fullmatch, "a login name: lower-case letters, digits, - and _, at most 31")]
SshLogin = Annotated[str, _kind(_SSH_LOGIN.fullmatch, "a login name")]
Environment = Annotated[
    str, _kind(_ENVIRONMENT.fullmatch, "the name of an environment variable: letters, digits and _")
]
Fingerprint = Annotated[str, _kind(_FINGERPRINT.fullmatch, "SHA256: and 43 characters, as ssh-keygen -l shows it")]
Package = Annotated[str, _kind(_PACKAGE.fullmatch, "the name of a Debian package, such as vim; options are not taken")]
Pip = Annotated[str, _kind(is_requirement, "a pip requirement, such as pandas>=2,<3; options are not taken")]
Https = Annotated[str, _kind(_url("https"), "an https address, without a password, spaces or quotes")]
Repository = Annotated[
    str, _kind(_url("http", "https"), "an http or https address, without a password, spaces or quotes")
]
AptUrl = Annotated[
    str, _kind(_url("http", "https", "file"), "an http or https address, without a password, spaces or quotes")
]
# A password would stand in the environment of every student's container. The port: programs guess different ones.
Proxy = Annotated[
    str,
    _kind(
        _proxy,
        "http://HOST:PORT of a proxy that is not on this server's loopback, without a password: students' containers would show it",
    ),
]
# What programs agree on in no_proxy: a host, a .domain, an address or a network (curl(1), apt's methods/http.cc, Go's
# net/http/httpproxy).
_DIRECT = re.compile(r"\.?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
NoProxy = Annotated[
    str,
    _kind(
        lambda value: _DIRECT.fullmatch(value) or _network(value) or _address(value),
        "a host, a domain such as .example.edu, or a network such as 10.0.0.0/8",
        empty=False,
    ),
]
Email = Annotated[str, _kind(_EMAIL.fullmatch, "an e-mail address, such as it@example.edu")]
Relay = Annotated[str, _kind(_relay, "HOST:PORT of a mail relay, such as smtp.example.edu:587", empty=False)]
TimeZone = Annotated[str, _kind(_time_zone, "a time zone by its name, such as Europe/Zurich or UTC")]
Id = Annotated[str, _kind(_ID.fullmatch, "an id as the LMS shows it, without spaces or quotes")]
KeyId = Annotated[str, _kind(_KEY_ID.fullmatch, "a key id as the certificate authority shows it")]
CanvasId = Annotated[str, _kind(_CANVAS_ID.fullmatch, "the number in Canvas's address, or such as sis_course_id:…")]
Image = Annotated[str, _kind(_image, "an image, such as quay.io/jupyter/scipy-notebook:TAG; names are in lower case")]
ImageName = Annotated[str, _kind(_image_name, "the name of an image in lower case, such as hubrun-singleuser")]
# A host, or a folder there; http:// is for those who have no https.
GIT_HOST = re.compile(r"(https?://)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~%+-]+)*/?")
GitHost = Annotated[
    str,
    _kind(
        lambda value: len(value) <= 1000 and GIT_HOST.fullmatch(value),
        "a host such as github.com, or a folder there: github.com/school",
        empty=False,
    ),
]
# An origin, as a Content-Security-Policy names it (CSP Level 3, 2.3.1); the same in hubrun_hub/lti/framed.py.
_ORIGIN = re.compile(r"https://(\*\.)?[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?(:[0-9]{1,5})?")
Origin = Annotated[
    str,
    _kind(
        _ORIGIN.fullmatch,
        "https:// and a host name in lower case, without a path, such as https://learning.example.edu",
        empty=False,
    ),
]
Network = Annotated[str, _kind(_network, "an IPv4 network such as 10.20.30.0/24", empty=False)]
Branch = Annotated[
    str, _kind(lambda value: len(value) <= 255 and not NO_BRANCH.search(value), "the name of a branch in git")
]
# A file or folder on this machine. It is opened, and no part of a command's text.
LocalPath = Annotated[
    str, _kind(lambda value: len(value) <= 4096 and not value.startswith("-"), "a file or folder on this machine")
]
ServerPath = Annotated[
    str,
    _kind(
        lambda value: _SERVER_PATH.fullmatch(value) and ".." not in value.split("/"),
        "a whole path on the server, such as /etc/ssl/hub.pem, without quotes, $ or \\",
    ),
]
# Where a server has what is no part of its system. Ours are people's homes and the courses themselves.
_DATA_PATH = re.compile(r"/(srv(?!/(nbgrader|jupyterhub)(/|$))|mnt|media|data)(/[\w@+,=~-][\w .@+,=~-]*)+")
DataPath = Annotated[
    str,
    _kind(
        lambda value: len(value) <= 1000 and _DATA_PATH.fullmatch(value) and not value.endswith(" "),
        "a folder on the server below /srv, /mnt, /media or /data, such as /srv/data/genomes",
    ),
]
RepositoryPath = Annotated[
    str,
    _kind(
        lambda value: len(value) <= 1000 and not {".", ".."} & set(value.split("/")),
        "a path in a repository, such as week1/task.ipynb",
    ),
]
# As hubrun_student/pull/links.py takes it: hidden folders hold what programs read and run.
Folder = Annotated[
    str,
    _kind(
        lambda value: len(value) <= 100 and re.fullmatch(r"(?![-.~])[^/\\]+", value),
        "the name of a folder in the student's files, such as materials-b: without / and not hidden",
    ),
]
BackupTarget = Annotated[
    str,
    _kind(
        parse,
        "a whole path on the server, sftp:USER@HOST:FOLDER, s3:https://HOST/BUCKET or rest:https://HOST/, without a password",
    ),
]
_ROTATE = re.compile(r"lti_secret(:[a-z0-9]{1,12})?|proxy_token|cookie_secret|tool_key|backup_password|certificate")
_DAY = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
Day = Annotated[str, _kind(_DAY.fullmatch, "a day, such as 2026-11-20")]


def _moment(value: str) -> bool:
    day, _, rest = value.partition(" ")
    time, _, zone = rest.partition(" ")
    if not (_DAY.fullmatch(day) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", time) and _time_zone(zone)):
        return False
    try:
        datetime.fromisoformat(f"{day} {time}")
    except ValueError:  # the 31st of a month with 30 days
        return False
    return True


# Without the zone it would be another moment on a server in UTC.
Moment = Annotated[
    str, _kind(_moment, "a moment with its time zone, such as 2026-12-01 09:00 Europe/Zurich", empty=False)
]
Assignment = Annotated[str, _kind(is_assignment, "the name of an assignment: letters, digits, blanks, . _ and -")]
RestoreSite = Annotated[
    str, _kind(lambda value: value == "latest" or _DAY.fullmatch(value), "latest, or a day such as 2026-11-20")
]
# Which of several images counts: the described one, the one before, or one by its id (resources/image.py).
IMAGE_ID = r"^([0-9a-f]{12}|previous)?$"
CourseId = Annotated[str, _kind(is_name, "the id of a course, as its folder on the server is called")]
# A part of names of units and files, and of what `ip` and `wg` show.
NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
NodeName = Annotated[
    str,
    _kind(
        NODE_NAME.fullmatch,
        "the name of a node: at most 30 lower-case letters, digits and -; where its host makes none, give it one",
        empty=False,
    ),
]
GroupName = Annotated[
    str, _kind(is_name, "the name of a group, which is its folder's: lower-case letters, digits and -", empty=False)
]
ConsumerName = Annotated[
    str, _kind(re.compile(r"[a-z0-9]{1,12}").fullmatch, "the name of a consumer, as it was in consumers")
]
Rotate = Annotated[
    str,
    _kind(
        _ROTATE.fullmatch,
        "lti_secret, lti_secret:NAME, proxy_token, cookie_secret, tool_key, backup_password or certificate",
        empty=False,
    ),
]
# Free text that people read: whatever it says is said of itself, on one line.
Title = Annotated[str, _kind(_free(255), "text on one line, of at most 255 characters, without control characters")]
# A user of the hub. A hub that was set up by hand may have names that ours never are.
HubName = Annotated[str, _kind(_free(255), "the name of a user of the hub")]
