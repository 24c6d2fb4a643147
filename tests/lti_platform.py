"""An LMS that launches with LTI 1.3: it asks and answers as Canvas does, and publishes its keys over HTTP.

Tokens are put together by hand, so that they can be wrong in every way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lti_hub import LAUNCH_URL, PUBLIC_URL, Answer, Browser

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
CALLBACK = f"{PUBLIC_URL}hub/lti13/oauth_callback"
MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership"


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
        """A token; `secret` for HS256, alg "none" without a signature."""
        header = {"alg": alg, "typ": "JWT", "kid": kid or self.kid}
        signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        if alg == "none":
            return f"{signed}."
        if secret is not None:
            return f"{signed}.{_b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
        return f"{signed}.{_b64(self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class Lms:
    """The LMS `issuer` with its server on this machine. `published` are its keys, `fetched` how often they were asked for."""

    def __init__(self, issuer: str = "https://canvas.instructure.com", client_id: str = "10000000000001") -> None:
        self.issuer, self.client_id = issuer, client_id
        self.key = Key("key-1")
        self.published = [self.key.jwk]
        self.fetched = 0
        self.broken = False
        self.questions: list[dict[str, str]] = []
        lms = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lms.fetched += 1
                self.send_response(500 if lms.broken else 200)
                self.end_headers()
                self.wfile.write(b"oops" if lms.broken else json.dumps({"keys": lms.published}).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def write(self, folder: Path, name: str = "default", **changes: Any) -> Path:
        """Tell the hub of this LMS."""
        path = folder / f"{name}.json"
        settings = {
            "issuer": self.issuer, "client_ids": [self.client_id], "authorize_url": f"{self.url}/authorize",
            "jwks_url": f"{self.url}/jwks", **changes,
        }  # fmt: skip
        path.write_text(json.dumps(settings))
        return path

    def begin(self, browser: Browser, **changes: str | None) -> dict[str, str]:
        """The click in the LMS: the hub is told that somebody comes, and asks its question, which is returned."""
        says: dict[str, str | None] = {
            "iss": self.issuer, "login_hint": "hint", "target_link_uri": LAUNCH_URL, "client_id": self.client_id,
            "lti_message_hint": "message hint", **changes,
        }  # fmt: skip
        answer = browser.get(f"/hub/lti13/oauth_login?{urlencode({k: v for k, v in says.items() if v is not None})}")
        assert answer.status == 302, answer.response.text
        assert answer.location.startswith(f"{self.url}/authorize?")
        question = dict(parse_qsl(urlsplit(answer.location).query))
        self.questions.append(question)
        return question

    def claims(self, question: dict[str, str], username: str | None = "ada", **changes: Any) -> dict[str, Any]:
        """What Canvas says of somebody; `changes` are claims, those of LTI by their last word; None leaves one out."""
        now = int(time.time())
        lis = {} if username is None else {"person_sourcedid": username}
        claims: dict[str, Any] = {
            "iss": self.issuer, "aud": self.client_id, "azp": self.client_id, "iat": now, "exp": now + 3600,
            "nonce": question["nonce"], "sub": "a5f4cb2e-1d0e-4b55-9f2c-0c8ddd1f7ab3",
            f"{CLAIM}message_type": "LtiResourceLinkRequest", f"{CLAIM}version": "1.3.0",
            f"{CLAIM}deployment_id": "1:8865aa05b4b79b64a91a86042e43af5ea8ae79eb", f"{CLAIM}target_link_uri": LAUNCH_URL,
            f"{CLAIM}roles": [f"{MEMBERSHIP}#Learner", "http://purl.imsglobal.org/vocab/lis/v2/system/person#User"],
            f"{CLAIM}resource_link": {"id": "link-1"}, f"{CLAIM}lis": lis, f"{CLAIM}custom": {},
            f"{CLAIM}context": {"id": "bio-101", "label": "BIO 101", "title": "Biology"},
        }  # fmt: skip
        for name, value in changes.items():
            name = name if name in ("iss", "aud", "azp", "iat", "exp", "nbf", "nonce", "sub", "email") else CLAIM + name
            claims[name] = value
        return {name: value for name, value in claims.items() if value is not None}

    def launch(self, browser: Browser, username: str | None = "ada", **changes: Any) -> Answer:
        """A whole launch, as it should be but for `changes` of its claims."""
        question = self.begin(browser)
        return self.answer(browser, question, self.key.sign(self.claims(question, username, **changes)))

    def answer(self, browser: Browser, question: dict[str, str], id_token: str) -> Answer:
        return browser.post(question["redirect_uri"], {"id_token": id_token, "state": question["state"]})
