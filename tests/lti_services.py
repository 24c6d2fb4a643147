"""The services of an LMS: the platform's side of what a tool asks after a launch, written from the specifications.

Each rule names its source: SEC is IMS Security Framework 1.0, AGS Assignment and Grade Services 2.0, NRPS Names and Role
Provisioning Services 2.0, LTI11 the LTI Implementation Guide 1.1.1, BH OAuth Request Body Hash 1.0, RFC as numbered.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit
from xml.etree import ElementTree

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from oauthlib.oauth1.rfc5849 import signature as oauth

from lti_platform import MEMBERSHIP, Platform

AGS, NRPS = "https://purl.imsglobal.org/spec/lti-ags/", "https://purl.imsglobal.org/spec/lti-nrps/"
LINEITEM, LINEITEM_READ, RESULT_READ, SCORE = (
    f"{AGS}scope/{name}" for name in ("lineitem", "lineitem.readonly", "result.readonly", "score")
)
MEMBERS = f"{NRPS}scope/contextmembership.readonly"
OMS = "http://www.imsglobal.org/services/ltiv1p1/xsd/imsoms_v1p0"
# AGS 3.4.5 and 3.4.6.
ACTIVITY = {"Initialized", "Started", "InProgress", "Submitted", "Completed"}
GRADING = {"FullyGraded", "Pending", "PendingManual", "Failed", "NotReady"}
# What the LMS's page says: a person writes it by hand.
SOURCEDID = "{course}::{link}::{user}::é<&>"


@dataclass
class Order:
    """The next requests whose path has `path` in it are answered `status`, `times` times; "done": after they were carried out."""

    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    done: bool = False
    method: str = ""


class ServicesLms(Platform):
    """An LMS on this machine with one course. `broken` are the rules that a tool did not keep.

    `tool_keys` are the public keys that it knows of the tool; `students` its people: id → (name, roles, status), and
    `said` what else it says of them.
    `columns` and `scores` are its gradebook, by the last part of a column's address and the person's id. `page` is how
    many entries a page has. `asked` are method and path of each request that came.
    `due` is when the link's work is due, of a person, and with "" of all; `variables` are those that it knows.
    """

    def __init__(self, key: str = "the-key", secret: str = "the-secret") -> None:
        lms = self
        self.consumer = (key, secret)
        self.broken: list[str] = []
        self.asked: list[str] = []
        self.orders: list[Order] = []
        self.tool_keys: list[dict[str, str]] = []
        self.students: dict[str, tuple[str, str, str]] = {}
        self.said: dict[str, dict[str, Any]] = {}
        self.columns: dict[str, dict[str, Any]] = {}
        self.scores: dict[tuple[str, str], dict[str, Any]] = {}
        self.posted: list[dict[str, Any]] = []
        self.outcomes: dict[str, str] = {}
        self.page, self.expires_in = 2, 3600
        self.scopes = {LINEITEM, RESULT_READ, SCORE, MEMBERS}
        self.due: dict[str, str] = {}
        self.variables = {"ResourceLink.submission.endDateTime"}
        self.filters = True
        self._tokens: dict[str, tuple[float, set[str]]] = {}
        self._used: set[str] = set()
        self._nonces: set[str] = set()

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urlsplit(self.path).path
                lms.asked.append(f"{self.command} {path}")
                order = next((o for o in lms.orders if o.path in path and o.method in ("", self.command)), None)
                if order:
                    order.times -= 1
                    lms.orders = [each for each in lms.orders if each.times > 0]
                result = lms.serve(self.command, self.path, self.headers, body) if not order or order.done else None
                if order:
                    self.send(order.status, order.headers, b"ordered")
                elif result:
                    self.send(*result)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                if status == 0:  # the line goes dead
                    self.connection.close()
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A line that went dead."""

        self._server = Server(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self._server.server_port}"
        super().__init__("https://canvas.instructure.com", "10000000000001", url)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def rule(self, kept: bool, otherwise: str) -> bool:
        if not kept:
            self.broken.append(otherwise)
        return kept

    # -- what a launch says

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    @property
    def lineitems(self) -> str:
        return f"{self.url}/course/lineitems?of=7"

    @property
    def memberships(self) -> str:
        return f"{self.url}/course/members"

    @property
    def outcome_url(self) -> str:
        return f"{self.url}/outcomes"

    def services(self, column: str = "") -> dict[str, Any]:
        """The claims of AGS 3.1 and NRPS 3.6.1.1; `column` is that of the link."""
        own = {"lineitem": self.column_url(column)} if column else {}
        return {
            f"{AGS}claim/endpoint": {"scope": sorted(self.scopes - {MEMBERS}), "lineitems": self.lineitems, **own},
            f"{NRPS}claim/namesroleservice": {"context_memberships_url": self.memberships, "service_versions": ["2.0"]},
        }

    def column_url(self, column: str) -> str:
        return f"{self.url}/course/lineitems/{column}/lineitem?of=7"

    # -- requests

    def serve(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(target)
        query = parse_qs(url.query)
        if url.path == "/token" and method == "POST":
            return self._token(headers, body)
        if url.path == "/jwks":
            return _json(200, {"keys": [self.key.jwk]})
        if url.path == "/outcomes" and method == "POST":
            return self._outcome(headers, body)
        if url.path == "/course/members":
            return self._allowed(headers, {MEMBERS}) or self._members(headers, url.query)
        if url.path == "/course/lineitems":
            self.rule(query.get("of") == ["7"], "the query of the address of line items was lost")
            if method == "POST":
                return self._allowed(headers, {LINEITEM}) or self._make(headers, body)
            return self._allowed(headers, {LINEITEM, LINEITEM_READ}) or self._list(headers, url.query)
        if found := re.fullmatch(r"/course/lineitems/(\w+)/lineitem/(scores|results)", url.path):
            column, what = found.groups()
            # AGS 3.3.1, 3.4.1: "scores" is put at the end of the path, and the query is kept.
            self.rule(query.get("of") == ["7"], "the query of a line item was lost")
            if column not in self.columns:
                return _json(404, {})
            if what == "scores" and method == "POST":
                return self._allowed(headers, {SCORE}) or self._score(column, headers, body)
            return self._allowed(headers, {RESULT_READ}) or self._results(column, headers, url.query)
        return _json(404, {})

    def _token(self, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        form = dict(parse_qsl(body.decode()))
        # SEC 4.1.1: a form by POST with these four.
        self.rule(headers["Content-Type"] == "application/x-www-form-urlencoded", "the token's request is not a form")
        self.rule(form.get("grant_type") == "client_credentials", "grant_type")
        self.rule(form.get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "type")
        claims = self.verified(form.get("client_assertion", ""))
        if claims is None:
            return _json(400, {"error": "invalid_client"})
        # SEC 4.1.1: iss and sub are the client id, aud the token's address; RFC 7523 3: exp, and a jti that is used once.
        now = time.time()
        fine = self.rule(claims.get("iss") == claims.get("sub") == self.client_id, "iss or sub is not the client id")
        fine &= self.rule(claims.get("aud") == self.token_url, "aud is not the token's address")
        fine &= self.rule(claims.get("iat", 0) <= now + 5 and now < claims.get("exp", 0) <= now + 3600, "iat or exp")
        fine &= self.rule(bool(claims.get("jti")) and claims.get("jti") not in self._used, "a jti was used twice")
        self._used.add(str(claims.get("jti")))
        asked = set(form.get("scope", "").split())
        if not fine or not asked:
            return _json(400, {"error": "invalid_scope" if fine else "invalid_client"})
        token = secrets.token_urlsafe(16)
        self._tokens[token] = (now + self.expires_in, asked & self.scopes)
        granted = " ".join(sorted(asked & self.scopes))
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in, "scope": granted}
        return _json(200, answer)

    def verified(self, token: str) -> dict[str, Any] | None:
        """The claims of a JWT that one of the tool's keys signed with RS256 (SEC 4.1, 5.1.1); None for any other."""
        try:
            head, claims, signature = token.split(".")
            said = json.loads(_unb64(head))
            key = next(each for each in self.tool_keys if each["kid"] == said["kid"])
            assert said["alg"] == "RS256"
            public = rsa.RSAPublicNumbers(*(int.from_bytes(_unb64(key[name]), "big") for name in "en")).public_key()
            public.verify(_unb64(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
            found: dict[str, Any] = json.loads(_unb64(claims))
        except (ValueError, KeyError, StopIteration, InvalidSignature, AssertionError):
            return None
        return found

    def custom(self, link: dict[str, str], user: str, staff: bool = False) -> dict[str, str]:
        """The custom claim of a launch of a link: LTI 1.3, 6.1 and B.4. A variable that it does not know stays as it is.

        One that knows no date for a person of their own says what counts for them as that of the link, and to staff the
        latest of all; where there is none, the variable stays (Canvas, doc/api/tools_variable_substitutions.md).
        """
        of_all, own = self.due.get("", ""), self.due.get(user, "")
        known = {"ResourceLink.submission.endDateTime": of_all, "ResourceLink.submission.user.endDateTime": own}
        if "ResourceLink.submission.user.endDateTime" not in self.variables:
            effective = max(self.due.values(), default="") if staff else own or of_all
            known = {"ResourceLink.submission.endDateTime": effective or "$ResourceLink.submission.endDateTime"}
        return {
            name: known[value[1:]] if value[:1] == "$" and value[1:] in self.variables else value
            for name, value in link.items()
        }

    def revoke(self) -> None:
        """All tokens end."""
        self._tokens.clear()

    def _allowed(self, headers: Any, scopes: set[str]) -> tuple[int, dict[str, str], bytes] | None:
        """SEC 4.1.2, RFC 6750 3.1: 401 for no good token, 403 for one without one of the scopes."""
        until, granted = self._tokens.get((headers["Authorization"] or "").removeprefix("Bearer "), (0.0, set[str]()))
        if time.time() >= until:
            return _json(401, {})
        return None if granted & scopes else _json(403, {})

    def _list(self, headers: Any, query: str) -> tuple[int, dict[str, str], bytes]:
        # AGS 3.2.3: the media type of the container.
        self.rule(headers["Accept"] == "application/vnd.ims.lis.v2.lineitemcontainer+json", "Accept of line items")
        wanted = parse_qs(query).get("resource_id", [None])[0]
        # AGS 3.2.9: the filters are optional for a platform that says so; some do not look at them.
        found = [
            {"id": self.column_url(name), **column}
            for name, column in self.columns.items()
            if not self.filters or wanted in (None, column.get("resourceId"))
        ]
        return self._paged("/course/lineitems", query, found)

    def _make(self, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.rule(headers["Content-Type"] == "application/vnd.ims.lis.v2.lineitem+json", "type of a line item")
        said = json.loads(body)
        # AGS 3.2.4: label and a scoreMaximum above 0 are required.
        if not said.get("label") or not said.get("scoreMaximum", 0) > 0:
            return _json(400, {})
        name = f"c{len(self.columns) + 1}"
        self.columns[name] = said
        return _json(201, {"id": self.column_url(name), **said})

    def _score(self, column: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.rule(headers["Content-Type"] == "application/vnd.ims.lis.v1.score+json", "type of a score")
        said = json.loads(body)
        at = datetime.fromisoformat(said["timestamp"])
        # AGS 3.4.6: with a zone and fractions of a second.
        self.rule(at.tzinfo is not None and "." in said["timestamp"], "timestamp without zone or fractions")
        self.rule(said.get("activityProgress") in ACTIVITY, "activityProgress")
        self.rule(said.get("gradingProgress") in GRADING, "gradingProgress")
        given = said.get("scoreGiven")
        # AGS 3.4.4: at least 0, and with a maximum above 0.
        if given is not None and (given < 0 or not said.get("scoreMaximum", 0) > 0 or not math.isfinite(given)):
            return _json(400, {})
        if said.get("userId") not in self.students:
            return _json(404, {})
        known = self.scores.get((column, said["userId"]))
        # AGS 3.4.2: what is older than what is there is not taken. (409; Canvas says 400.)
        if known and datetime.fromisoformat(known["timestamp"]) > at:
            return _json(409, {})
        self.posted.append({"column": column, **said})
        self.scores[column, said["userId"]] = said
        return 204, {}, b""

    def _results(self, column: str, headers: Any, query: str) -> tuple[int, dict[str, str], bytes]:
        self.rule(headers["Accept"] == "application/vnd.ims.lis.v2.resultcontainer+json", "Accept of results")
        maximum = self.columns[column]["scoreMaximum"]
        found = []
        for (name, user), said in self.scores.items():
            # AGS 3.4.5: only what is FullyGraded counts; 3.4.4: the platform brings it to its own maximum.
            graded = said["gradingProgress"] in ("FullyGraded", "PendingManual") and said.get("scoreGiven") is not None
            if name == column and (graded or "byHand" in said):
                points = said.get("byHand", said.get("scoreGiven", 0) / (said.get("scoreMaximum") or 1) * maximum)
                result = {"id": f"{self.url}/r/{user}", "userId": user, "resultScore": points, "resultMaximum": maximum}
                found.append({**result, "scoreOf": self.column_url(column)})
        return self._paged(f"/course/lineitems/{column}/lineitem/results", query, found)

    def by_hand(self, column: str, user: str, points: float) -> None:
        """A teacher writes a grade into the LMS's gradebook."""
        empty = {"gradingProgress": "NotReady", "timestamp": "2020-01-01T00:00:00.0+00:00"}
        self.scores[column, user] = {**self.scores.get((column, user), empty), "byHand": points}

    def _members(self, headers: Any, query: str) -> tuple[int, dict[str, str], bytes]:
        # NRPS 2.2.
        kind = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
        self.rule(headers["Accept"] == kind, "Accept of members")
        people = [
            {"user_id": user, "name": name, "status": status, "roles": [f"{MEMBERSHIP}#{role}"]}
            | self.said.get(user, {})
            for user, (name, role, status) in self.students.items()
        ]
        return self._paged(
            "/course/members", query, people, lambda page: {"id": "x", "context": {"id": "c"}, "members": page}
        )

    def _paged(
        self, path: str, query: str, entries: list[Any], shape: Callable[[list[Any]], Any] = lambda page: page
    ) -> tuple[int, dict[str, str], bytes]:
        """AGS 3.2.8, NRPS 2.3: a page, and where the next one is, by a header Link (RFC 8288) with rel="next"."""
        asked = dict(parse_qsl(query))
        start = int(asked.pop("start", 0))
        self.rule("limit" in asked, "a list was asked for without a limit")
        size = min(self.page, int(asked.get("limit", self.page)))
        headers = {"Content-Type": "application/json"}
        if start + size < len(entries):
            rest = "&".join(f"{name}={value}" for name, value in {**asked, "start": str(start + size)}.items())
            first, following = f"{self.url}{path}", f"{self.url}{path}?{rest}"
            headers["Link"] = f'<{first}>; rel="first", <{following}>; rel="next"; title="a, b"'
        return 200, headers, json.dumps(shape(entries[start : start + size])).encode()

    # -- LTI 1.1

    def sourcedid(self, user: str, link: str = "link-1") -> str:
        return SOURCEDID.format(course="bio", link=link, user=user)

    def _outcome(self, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        key, secret = self.consumer
        # LTI11 6.1.1, 4.3; BH 3: OAuth in the header, with the digest of the body.
        said = {
            name: value
            for name, value in oauth.collect_parameters(headers={"Authorization": headers["Authorization"] or ""})
        }
        digest = base64.b64encode(hashlib.sha1(body).digest()).decode()
        base = oauth.signature_base_string(
            "POST", oauth.base_string_uri(self.outcome_url), oauth.normalize_parameters(sorted(said.items()))
        )
        signed = _oauth_signature(headers["Authorization"] or "")
        expected = base64.b64encode(hmac.digest(f"{quote(secret, safe='')}&".encode(), base.encode(), "sha1")).decode()
        nonce = f"{said.get('oauth_timestamp')} {said.get('oauth_nonce')}"
        fine = said.get("oauth_consumer_key") == key and signed == expected
        fine &= self.rule(said.get("oauth_body_hash") == digest, "the digest of the body")
        fine &= self.rule(nonce not in self._nonces, "a nonce was used twice")
        fine &= abs(time.time() - int(said.get("oauth_timestamp", 0))) < 300
        self._nonces.add(nonce)
        self.rule(headers["Content-Type"] == "application/xml", "a message is application/xml")
        if not fine:
            return 401, {}, b""
        message = ElementTree.fromstring(body)
        request = message.find(f"{{{OMS}}}imsx_POXBody")
        assert request is not None
        kind = request[0].tag.removeprefix(f"{{{OMS}}}").removesuffix("Request")
        sourcedid = message.findtext(f".//{{{OMS}}}sourcedId") or ""
        identifier = message.findtext(f".//{{{OMS}}}imsx_messageIdentifier") or ""
        if sourcedid not in {self.sourcedid(user) for user in self.students}:
            return _pox("failure", "no such <result>", kind, identifier, "")
        if kind == "replaceResult":
            grade = message.findtext(f".//{{{OMS}}}textString") or ""
            # LTI11 6.1.1: a decimal from 0.0 to 1.0, in English.
            if not re.fullmatch(r"[01](\.\d+)?|\d(\.\d+)?e-\d+", grade) or not 0 <= float(grade) <= 1:
                return _pox("failure", "not a grade", kind, identifier, "")
            self.outcomes[sourcedid] = grade
            return _pox("success", "set", kind, identifier, "<replaceResultResponse/>")
        if kind == "readResult":
            grade = self.outcomes.get(sourcedid, "")
            score = f"<language>en</language><textString>{grade}</textString>"
            result = f"<readResultResponse><result><resultScore>{score}</resultScore></result></readResultResponse>"
            return _pox("success", "read", kind, identifier, result)
        if kind == "deleteResult":
            self.outcomes.pop(sourcedid, None)
            return _pox("success", "gone", kind, identifier, "<deleteResultResponse/>")
        return _pox("unsupported", kind, kind, identifier, "")


def _pox(code: str, text: str, kind: str, about: str, body: str) -> tuple[int, dict[str, str], bytes]:
    """LTI11 6.1.4: what came of a message."""
    text = text.replace("<", "&lt;")
    status = (
        f"<imsx_statusInfo><imsx_codeMajor>{code}</imsx_codeMajor><imsx_severity>status</imsx_severity>"
        f"<imsx_description>{text}</imsx_description><imsx_messageRefIdentifier>{about}</imsx_messageRefIdentifier>"
        f"<imsx_operationRefIdentifier>{kind}</imsx_operationRefIdentifier></imsx_statusInfo>"
    )
    header = "<imsx_POXResponseHeaderInfo><imsx_version>V1.0</imsx_version><imsx_messageIdentifier>1</imsx_messageIdentifier>"
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><imsx_POXEnvelopeResponse xmlns="{OMS}"><imsx_POXHeader>{header}{status}'
        f"</imsx_POXResponseHeaderInfo></imsx_POXHeader><imsx_POXBody>{body}</imsx_POXBody></imsx_POXEnvelopeResponse>"
    )
    return 200, {"Content-Type": "application/xml"}, text.encode()


def _oauth_signature(header: str) -> str:
    found = re.search(r'oauth_signature="([^"]*)"', header)
    return dict(parse_qsl(f"s={found.group(1)}"))["s"] if found else ""


def _json(status: int, said: Any) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(said).encode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
