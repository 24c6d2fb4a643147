"""An LMS registers the hub by itself: LTI Dynamic Registration (IMS LTI-DR 1.0). Its administrator pastes one link.

The link has a token, which 05_canvas makes on the server for one consumer. The hub knows the token's digest and until
when it is good, from files that it cannot write:

    /etc/jupyterhub/registration.d/NAME.json    sha256, expires (seconds since 1970)

1. The LMS opens the link in the administrator's browser, and adds where it says what it is (`openid_configuration`) and
   a token of its own (`registration_token`): 3.4.
2. The hub reads that. The address must be at the host of the issuer that root's file of the consumer names
   (consumers.d/NAME.json; 3.5.1), and issuer, keys and authorization must be what root's file says. The host alone would
   not do: a student may upload a file to their LMS, which says that the LMS's keys are the student's. So whoever has the
   link can register this LMS, and nothing else.
3. The hub says what it is (3.5.2), at the address that the LMS gave, and gets its client id (3.6).
4. It keeps the client id in a file of its own, lti_registered/NAME.json, which `consumers` reads. From then on the consumer
   launches, and waits for no other: the link has served.

No deployment id is kept: the client id is of this one LMS, and its administrator decides where the tool is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import outbound
from .consumers import Consumer
from .presets import configured_at
from .refusals import Reason, Refusal

# RFC 6750, 2.1; and what a client id may look like in a file and on a page.
_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")
_CLIENT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~:/@+=|-]{0,254}")
_ALGORITHM = "RS256"
PLATFORM = "https://purl.imsglobal.org/spec/lti-platform-configuration"


@dataclass(frozen=True)
class Registered:
    """What was learned of the LMS: the text of its file, and a line for the log."""

    settings: dict[str, Any]
    line: str


def consumer_of(folder: Path, token: str, consumers: list[Consumer], now: float) -> Consumer:
    """The consumer that may be registered with `token`. Raises Refusal."""
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    for path in sorted(folder.glob("*.json")):
        try:
            link = json.loads(path.read_text(encoding="utf-8"))
            known, expires = str(link["sha256"]), float(link["expires"])
        except (OSError, ValueError, TypeError, KeyError):
            continue  # nobody gets in by a file that cannot be read
        if not hmac.compare_digest(known.encode(), digest.encode()):
            continue
        if not now < expires:
            raise Refusal(Reason.REGISTRATION_LINK, "its link has expired; 05_canvas makes a new one", path.stem)
        consumer = next((each for each in consumers if each.name == path.stem), None)
        if consumer is None or consumer.awaits is None:
            raise Refusal(Reason.REGISTRATION_LINK, "its link was used already, or it may not be registered", path.stem)
        return consumer
    raise Refusal(Reason.REGISTRATION_LINK, "no such link")


async def register(
    consumer: Consumer, configuration: str, bearer: str, tool: Mapping[str, Any], inner: bool
) -> Registered:
    """Register the hub, which describes itself as `tool`, at the LMS of `consumer`, and return what is to be kept.

    `configuration` and `bearer` are what the LMS added to the link; `inner`: it may be in an inner network.
    Raises Refusal.
    """
    awaits = consumer.awaits
    if awaits is None:
        raise Refusal(Reason.REGISTRATION_LINK, "it may not be registered", consumer.name)
    try:
        if bearer and not _BEARER.fullmatch(bearer):
            raise outbound.NotAnswered("its registration_token is not a token")
        outbound.check_address(configuration, inner)
        if urlsplit(configuration).netloc not in configured_at(awaits.issuer):
            raise outbound.NotAnswered(
                f"it says what it is at {urlsplit(configuration).netloc}, which is not of {awaits.issuer}"
            )
        said = await outbound.get_json(configuration, bearer=bearer, inner=inner)
        for name, known, parameter in (
            ("issuer", awaits.issuer, "lti_issuer"),
            ("authorization_endpoint", awaits.authorize_url, "lti_authorize_url"),
            ("jwks_uri", awaits.jwks_url, "lti_jwks_url"),
        ):
            if said.get(name) != known:
                raise outbound.NotAnswered(
                    f"its {name} is {said.get(name)!r:.200}, and not {known}: set {parameter} where that is right"
                )
        algorithms = said.get("id_token_signing_alg_values_supported", [_ALGORITHM])
        if not isinstance(algorithms, list) or _ALGORITHM not in algorithms:
            raise outbound.NotAnswered(f"it does not sign with {_ALGORITHM}")
        answer = await outbound.get_json(said.get("registration_endpoint"), bearer=bearer, body=dict(tool), inner=inner)
    except outbound.NotAnswered as error:
        raise Refusal(Reason.REGISTRATION, str(error), consumer.name) from None
    client_id = answer.get("client_id")
    if not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
        raise Refusal(Reason.REGISTRATION, "it registered the hub without a client id", consumer.name)
    about = said.get(PLATFORM)
    words = [about.get(name) for name in ("product_family_code", "version")] if isinstance(about, dict) else []
    product = " ".join(word for word in words if isinstance(word, str))
    settings = {"issuer": awaits.issuer, "client_ids": [client_id], "product": product[:100]}
    return Registered(settings, f"{awaits.issuer} ({product!r:.100}) registered the hub: client id {client_id}")


def keep(folder: Path, name: str, registered: Registered) -> Path:
    """Write the file of a registration, complete at every moment. Raises OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{name}.json"
    new = folder / f".{name}.new"
    text = json.dumps({**registered.settings, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}, indent=2)
    with new.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    return path
