"""What a verified launch says of the LMS's services. Pure.

LTI 1.3: Assignment and Grade Services 2.0, 3.1; Names and Role Provisioning Services 2.0, 3.6.1.1.
LTI 1.1: Implementation Guide 1.1.1, 6 (Basic Outcomes). There a form may hold fields of a link's own address, which any
teacher can write, and Canvas signs them. What is in the address now does not count; nor does a service at another host than
the LMS's own, which the form names by a field that no address gives (`cross_site.lms_hosts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

AGS = "https://purl.imsglobal.org/spec/lti-ags/"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/"
LINEITEM, LINEITEM_READ, RESULT_READ, SCORE = (
    f"{AGS}scope/{name}" for name in ("lineitem", "lineitem.readonly", "result.readonly", "score")
)
MEMBERSHIP = f"{NRPS}scope/contextmembership.readonly"
# What the hub asks for where a site uses grades and lists of names (registration).
SCOPES = (LINEITEM, RESULT_READ, SCORE, MEMBERSHIP)
_LONGEST = 2000


@dataclass(frozen=True)
class Services:
    """`link` and `title` are those of the link that was clicked; "" and () for what the LMS does not say.

    In LTI 1.3 `client_id` is the tool's, `lineitems` the address of the course's columns, `lineitem` that of the link's
    own, and `scopes` what the tool may ask for. In LTI 1.1 `outcome_url` and `sourcedid` are for this link and person.
    """

    link: str = ""
    title: str = ""
    client_id: str = ""
    lineitems: str = ""
    lineitem: str = ""
    scopes: tuple[str, ...] = ()
    memberships: str = ""
    outcome_url: str = field(default="", repr=False)
    sourcedid: str = field(default="", repr=False)


def of_13(claims: Mapping[str, Any], link: object, client_id: str) -> Services:
    """The services in a verified id_token. `link`: its claim resource_link."""
    link, ags = _object(link), _object(claims.get(f"{AGS}claim/endpoint"))
    names, scopes = _object(claims.get(f"{NRPS}claim/namesroleservice")), ags.get("scope")
    return Services(
        _text(link.get("id")), _text(link.get("title"))[:200], client_id, _text(ags.get("lineitems")),
        _text(ags.get("lineitem")), tuple(filter(None, map(_text, scopes))) if isinstance(scopes, list) else (),
        _text(names.get("context_memberships_url")),
    )  # fmt: skip


def of_11(vouched: Mapping[str, str], is_at_lms: Callable[[str], bool]) -> Services:
    """The service in a verified form, of which `vouched` are the fields that its link's own address does not give."""
    url, sourcedid = _text(vouched.get("lis_outcome_service_url")), _text(vouched.get("lis_result_sourcedid"))
    known = bool(url and sourcedid) and is_at_lms(url)
    return Services(
        _text(vouched.get("resource_link_id")), _text(vouched.get("resource_link_title"))[:200],
        outcome_url=url if known else "", sourcedid=sourcedid if known else "",
    )  # fmt: skip


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= _LONGEST and value.isprintable() else ""
