"""The links with which LMSs register the hub (LTI Dynamic Registration): made on the server, and read there.

Whoever has such a link can make the LMS that the parameters name known to the hub, once. It is a secret until then, and
as other secrets it is shown in no record: 05 says how it is read on the server.
"""

from __future__ import annotations

import json
import re
import time

from IPython.display import Markdown

from hubrun import server_paths
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.params import Site
from hubrun.params.consumers import ConsumerParams
from hubrun.resources.files import Directory, OnlyFiles
from hubrun.resources.registration_link import RegistrationLink
from hubrun.sections.canvas.tables import table
from hubrun.shell import quote
from hubrun_hub.lti import registration

# Read with the hub's rights: it wrote the one, and could have put a link to anything in its place.
_STATE = """
runuser -u {} -- cat {} 2>/dev/null | tr -d '\\n'; echo
sed -n 's/.*"expires": \\([0-9]*\\).*/\\1/p' {} 2>/dev/null || true
"""


def links(site: Site) -> list[Resource]:
    """A link for each consumer whose LMS registers the hub and did not yet; no other links."""
    waiting = [each for each in site.all_consumers if each.awaits_registration]
    folder = server_paths.REGISTRATION
    names = tuple(f"{each.name}.{kind}" for each in waiting for kind in ("json", "link"))
    made: list[Resource] = [_link(site, each) for each in waiting]
    if made:
        made.insert(0, Directory(folder, 0o750, f"root:{site.hub_user}"))
    return [*made, OnlyFiles(folder, names)]


def show(server: Server) -> Markdown:
    """Who may register the hub and how the link is read, or who did."""
    site = server.site
    waiting = [each for each in site.all_consumers if each.awaits_registration]
    if not waiting:
        return Markdown(
            "*Nothing to do here: no LMS of this site registers the hub by itself (`lti_registration`, or `registration` of "
            "a consumer).*"
        )
    heads = ("consumer", "LMS", "state", "the link, on the server")
    return Markdown(table(heads, [_row(server, each) for each in waiting]))


def _link(site: Site, consumer: ConsumerParams) -> RegistrationLink:
    return RegistrationLink(
        consumer.name,
        server_paths.REGISTRATION,
        f"{server_paths.REGISTERED}/{consumer.name}.json",
        f"{site.url}/hub/{registration.REGISTER}",
        site.hub_user,
    )


def _row(server: Server, consumer: ConsumerParams) -> tuple[str, ...]:
    link = _link(server.site, consumer)
    known = f"{server_paths.REGISTRATION}/{consumer.name}.json"
    kept, ends, *_ = [
        *server.probe(quote(_STATE, server.site.hub_user, link.registered, known))[0].stdout.split("\n"),
        "",
    ]
    found = _object(kept)
    lms = f"{consumer.preset.title}, {consumer.urls().issuer}"
    if found:
        # The hub's own words: into the record goes of them what looks like a client id and a day.
        ids = ", ".join(
            f"`{each}`" for each in re.findall(r'"([\w.~:/@+=|-]{1,255})"', json.dumps(found.get("client_ids")))
        )
        day = re.match(r"\d{4}-\d\d-\d\d", str(found.get("at", "")))
        return f"`{consumer.name}`", lms, f"registered on {day[0] if day else '?'}, client id {ids}", "–"
    if not ends.isdigit():
        return f"`{consumer.name}`", lms, "waits", "made when this runs"
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(int(ends)))
    return f"`{consumer.name}`", lms, f"waits; the link is good until {until}", f"`sudo cat {link.link}`"


def _object(text: str) -> dict[str, list[object]]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
