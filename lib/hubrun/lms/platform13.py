"""An LMS that launches with LTI 1.3: its key, what it says of a person, and tokens, right or wrong in each way.

Tokens are put together by hand (RFC 7515, RFC 7519): PyJWT is on the server only, and rightly refuses to make some of
those that a hub must refuse.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hubrun.errors import BadInput
from hubrun.lms.lti11 import ROLES, check_username_key, course_id
from hubrun_hub.lti.presets import claim_path
from hubrun_hub.lti.registration import CALLBACK, LOGIN

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
# LTI 1.3, appendix A.2.
_MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
_PERSON = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"
# How an id begins that we give to people whom no LMS has named.
OURS = "hubrun-"
# Seconds that a token is good for, as Canvas's are (lib/lti/messages/jwt_message.rb).
_GOOD_FOR_S = 3600


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class Key:
    """A key pair of an LMS, known to the world as `kid`. It is in this process's memory only."""

    kid: str

    @cached_property
    def _private(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def jwk(self) -> dict[str, str]:
        """The public half (RFC 7517)."""
        numbers = self._private.public_key().public_numbers()
        n, e = _number(numbers.n), _number(numbers.e)
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": n, "e": e}

    def sign(self, claims: dict[str, Any], alg: str = "RS256", kid: str = "") -> str:
        """Return a token that says `claims`, under the name `kid` ("" = the key's own).

        `alg` none leaves the signature out; HS256 takes the public key for a shared secret, which it is for a verifier
        that lets the token choose (RFC 8725, 2.1).
        """
        header = {"alg": alg, "typ": "JWT", "kid": kid or self.kid}
        signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        return f"{signed}.{_b64(self._signature(signed.encode(), alg))}"

    def _signature(self, signed: bytes, alg: str) -> bytes:
        if alg == "none":
            return b""
        if alg == "HS256":
            pem = self._private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return hmac.digest(pem, signed, hashlib.sha256)
        return self._private.sign(signed, padding.PKCS1v15(), hashes.SHA256())


@dataclass(frozen=True)
class Person:
    """Somebody in a course of the LMS. `identity` is what it says in the field `username_key`; None: it says nothing.

    `id` is the LMS's own id of them (`sub`); "": one that is ours, and only theirs who has this identity.
    """

    identity: str | None
    username_key: str = "lis_person_sourcedid"
    role: str = "Learner"
    course: str = ""
    id: str = ""

    def claims(self) -> dict[str, Any]:
        """What the LMS says of the person. Raises BadInput for a field that Canvas does not send, or another role."""
        check_username_key(self.username_key)
        if self.role not in ROLES:
            raise BadInput(f"no role {self.role!r}", "LTI launch", f"Roles are {', '.join(ROLES)}.")
        person = "Instructor" if self.role == "Instructor" else "Student"
        said: dict[str, Any] = {
            f"{CLAIM}roles": [f"{_MEMBERSHIP}{self.role}", f"{_PERSON}{person}"],
            f"{CLAIM}resource_link": {"id": course_id(self.course), "title": "JupyterHub"},
            f"{CLAIM}custom": {},
            f"{CLAIM}lis": {},
        }
        if self.course:
            said[f"{CLAIM}context"] = {"id": course_id(self.course), "label": self.course, "title": self.course}
        name, *member = claim_path("canvas", self.username_key)
        if self.identity is None:
            said.pop(name, None)
        else:
            said[name] = {member[0]: self.identity} if member else self.identity
            own = f"{OURS}{self.identity}" if self.identity else ""
            said["sub"] = self.identity if name == "sub" else own
        if self.id:
            said["sub"] = self.id
        return said


@dataclass(frozen=True)
class Lms:
    """A platform of LTI 1.3, as the hub at `hub_url` (https://hub.example.edu/hub/) knows it.

    `ahead` is how far the server's clock is ahead of ours, in seconds: tokens are dated by the server's.
    """

    hub_url: str
    issuer: str
    client_id: str
    key: Key
    ahead: float = 0.0
    deployment: str = field(default="hubrun", repr=False)

    @property
    def login_url(self) -> str:
        """The hub's login initiation URL (IMS Security Framework 1.0, 5.1.1.1)."""
        return self.hub_url + LOGIN

    @property
    def callback(self) -> str:
        """The hub's redirect URI, to which tokens are sent; launches name it as their target too."""
        return self.hub_url + CALLBACK

    def opening(self, hint: str) -> dict[str, str]:
        """The click in the LMS: the form with which the hub is told, at `login_url`, that somebody comes."""
        return {
            "iss": self.issuer, "login_hint": hint, "client_id": self.client_id, "target_link_uri": self.callback,
            "lti_deployment_id": self.deployment,
        }  # fmt: skip

    def claims(self, question: dict[str, str], person: Person) -> dict[str, Any]:
        """What a token says that answers the hub's `question` (IMS Security Framework 1.0, 5.1.2)."""
        now = int(time.time() + self.ahead)
        return {
            "iss": self.issuer, "aud": self.client_id, "azp": self.client_id, "iat": now, "exp": now + _GOOD_FOR_S,
            "nonce": question.get("nonce", ""),
            f"{CLAIM}message_type": "LtiResourceLinkRequest", f"{CLAIM}version": "1.3.0",
            f"{CLAIM}deployment_id": self.deployment, f"{CLAIM}target_link_uri": self.callback,
            **person.claims(),
        }  # fmt: skip

    def answer(self, question: dict[str, str], id_token: str) -> dict[str, str]:
        """The form that goes to `callback`."""
        return {"id_token": id_token, "state": question.get("state", "")}
