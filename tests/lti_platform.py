"""LMSs of the tests' own, which launch with LTI 1.1 and 1.3 as Canvas does, without a line of hubrun.

Tokens are put together by hand, so that they can be wrong in every way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from oauthlib.oauth1 import SIGNATURE_TYPE_BODY
from oauthlib.oauth1 import Client as OAuth1
from typing_extensions import override

HUB_URL = "https://hub.example.edu:8443/"
CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
CALLBACK = f"{HUB_URL}hub/lti13/oauth_callback"
MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership"


@dataclass
class Answer:
    """What came back: the page's reason when it is a refusal; whether it set the hub's login cookie."""

    response: httpx.Response
    logged_in: bool

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def reason(self) -> str:
        found = re.search(r'data-reason="([^"]*)"', self.response.text)
        return found.group(1) if found else ""

    @property
    def location(self) -> str:
        return str(self.response.headers.get("location", ""))


class Visitor(Protocol):
    """A browser that goes between LMS and hub; `url` is a path on the hub, or a whole URL of it."""

    def get(self, url: str) -> Answer: ...

    def post(self, url: str, form: dict[str, str]) -> Answer: ...


def stable_id(username: str | None) -> str:
    """The LMS's own id of somebody: who is called the same is one person, in capitals and in small letters."""
    name = (username or "").strip().lower()
    return (
        name
        if re.fullmatch("[a-z0-9]{1,40}", name)
        else hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    )


def signed_form(
    url: str, key: str, secret: str, username: str | None = "ada", *, age_s: int = 0, role: str = "Learner",
    course: str = "BIO 101", **fields: str | None,
) -> dict[str, str]:  # fmt: skip
    """A launch of LTI 1.1 as Canvas sends it with the privacy level "public", `age_s` seconds old.

    `username` is the SIS id; `fields` are set, or left out when None. What the query of `url` says is in the form, as
    Canvas copies it there, and signed once.
    """
    says: dict[str, str | None] = {
        "lti_message_type": "basic-lti-launch-request", "lti_version": "LTI-1p0",
        "resource_link_id": "88391e1919bb3456", "resource_link_title": "JupyterHub",
        "user_id": f"opaque-{stable_id(username)}", "roles": role, "ext_roles": f"urn:lti:role:ims/lis/{role}",
        "lis_person_name_full": "Ada Lovelace", "lis_person_sourcedid": username,
        "lis_person_contact_email_primary": "somebody@example.edu", "custom_canvas_user_login_id": username,
        "custom_canvas_enrollment_state": "active", "context_id": course, "context_label": course,
        "context_title": "Biology: motion & light", "launch_presentation_document_target": "window",
        "tool_consumer_info_product_family_code": "canvas", "tool_consumer_instance_guid": "tests.canvas.example.edu",
        **fields,
    }  # fmt: skip
    address, _, query = url.partition("?")
    form = {name: value for name, value in says.items() if value is not None}
    form = {**dict(parse_qsl(query)), **form}
    signer = OAuth1(
        key, client_secret=secret, signature_type=SIGNATURE_TYPE_BODY, callback_uri="about:blank",
        timestamp=str(int(time.time()) - age_s),
    )  # fmt: skip
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    _, _, body = signer.sign(address, "POST", body=urlencode(form), headers=headers)
    return dict(parse_qsl(body, keep_blank_values=True))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Key:
    def __init__(self, kid: str, bits: int = 2048) -> None:
        self.kid = kid
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)

    @property
    def jwk(self) -> dict[str, str]:
        numbers = self.private.public_key().public_numbers()
        return {
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": _number(numbers.n), "e": _number(numbers.e),
        }  # fmt: skip

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(
        self, claims: dict[str, Any], alg: str = "RS256", kid: str | None = None, secret: bytes | None = None
    ) -> str:
        """A token; `secret` for HS256, alg "none" without a signature; `kid` "" leaves its name out."""
        header = {"alg": alg, "typ": "JWT", "kid": self.kid if kid is None else kid}
        if kid == "":
            del header["kid"]
        signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        if alg == "none":
            return f"{signed}."
        if secret is not None:
            return f"{signed}.{_b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
        return f"{signed}.{_b64(self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class Platform:
    """The LMS `issuer`, at which the tool has `client_id`; `url` is where its pages are, `hub` the tool's address."""

    def __init__(self, issuer: str, client_id: str, url: str, hub: str = HUB_URL) -> None:
        self.issuer, self.client_id, self.url = issuer, client_id, url
        self.launch_url = f"{hub}hub/lti/launch"
        self.key = Key("key-1")

    def settings(self, **changes: Any) -> str:
        """What the hub must know of it: the text of consumers.d/NAME.json (hubrun_hub/lti/consumers.py)."""
        return json.dumps({
            "issuer": self.issuer, "client_ids": [self.client_id], "authorize_url": f"{self.url}/authorize",
            "jwks_url": f"{self.url}/jwks", **changes,
        })  # fmt: skip

    def begin(self, browser: Visitor, **changes: str | None) -> dict[str, str]:
        """The click in the LMS: the hub is told that somebody comes, and asks its question, which is returned."""
        says: dict[str, str | None] = {
            "iss": self.issuer, "login_hint": "hint", "target_link_uri": self.launch_url, "client_id": self.client_id,
            "lti_message_hint": "message hint", **changes,
        }  # fmt: skip
        answer = browser.get(f"/hub/lti13/oauth_login?{urlencode({k: v for k, v in says.items() if v is not None})}")
        assert answer.status == 302, answer.response.text
        assert answer.location.startswith(f"{self.url}/authorize?")
        return dict(parse_qsl(urlsplit(answer.location).query))

    def claims(self, question: dict[str, str], username: str | None = "ada", **changes: Any) -> dict[str, Any]:
        """What Canvas says of somebody; `changes` are claims, those of LTI by their last word; None leaves one out."""
        now = int(time.time())
        lis = {} if username is None else {"person_sourcedid": username}
        claims: dict[str, Any] = {
            "iss": self.issuer, "aud": self.client_id, "azp": self.client_id, "iat": now, "exp": now + 3600,
            "nonce": question["nonce"], "sub": stable_id(username),
            f"{CLAIM}message_type": "LtiResourceLinkRequest", f"{CLAIM}version": "1.3.0",
            f"{CLAIM}deployment_id": "1:8865aa05b4b79b64a91a86042e43af5ea8ae79eb", f"{CLAIM}target_link_uri": self.launch_url,
            f"{CLAIM}roles": [f"{MEMBERSHIP}#Learner", "http://purl.imsglobal.org/vocab/lis/v2/system/person#User"],
            f"{CLAIM}resource_link": {"id": "link-1"}, f"{CLAIM}lis": lis, f"{CLAIM}custom": {},
            f"{CLAIM}context": {"id": "bio-101", "label": "BIO 101", "title": "Biology"},
        }  # fmt: skip
        for name, value in changes.items():
            name = name if name in ("iss", "aud", "azp", "iat", "exp", "nbf", "nonce", "sub", "email") else CLAIM + name
            claims[name] = value
        return {name: value for name, value in claims.items() if value is not None}

    def launch(self, browser: Visitor, username: str | None = "ada", **changes: Any) -> Answer:
        """A whole launch, as it should be but for `changes` of its claims."""
        question = self.begin(browser)
        return self.answer(browser, question, self.key.sign(self.claims(question, username, **changes)))

    def answer(self, browser: Visitor, question: dict[str, str], id_token: str) -> Answer:
        return browser.post(question["redirect_uri"], {"id_token": id_token, "state": question["state"]})


class Lms(Platform):
    """An LMS with a server on this machine. `published` are its keys, `fetched` how often they were asked for."""

    def __init__(self, issuer: str = "https://canvas.instructure.com", client_id: str = "10000000000001") -> None:
        lms = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lms.fetched += 1
                self.send_response(500 if lms.broken else 200)
                self.end_headers()
                self.wfile.write(b"oops" if lms.broken else json.dumps({"keys": lms.published}).encode())

            @override
            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        super().__init__(issuer, client_id, f"http://127.0.0.1:{self._server.server_port}")
        self.published = [self.key.jwk]
        self.fetched = 0
        self.broken = False
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def write(self, folder: Path, name: str = "default", **changes: Any) -> Path:
        """Tell the hub of this LMS."""
        path = folder / f"{name}.json"
        path.write_text(self.settings(**changes))
        return path
