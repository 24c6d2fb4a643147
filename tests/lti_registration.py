"""An LMS that registers tools: the platform's side of LTI Dynamic Registration 1.0, written from the specification.

Each rule names its source: DR is IMS LTI Dynamic Registration 1.0, Canvas its doc/api/registration.md with
lib/schemas/lti/ims, Moodle its mod/lti (openid-registration.php, registration_helper.php).
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode, urlsplit

from lti_platform import HUB_URL, Answer, Platform, Visitor

TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
PLATFORM = "https://purl.imsglobal.org/spec/lti-platform-configuration"


class RegisteringLms(Platform):
    """An LMS on this machine. `broken` are the rules that a tool did not keep; `tools` what it was told, by client id.

    `says` and `answers` are asked for what it says of itself, and answers to a registration, before it does. `paths` are
    those at which it was asked for something.
    """

    def __init__(self) -> None:
        lms = self
        self.says: Callable[[dict[str, Any]], Any] = lambda said: said
        self.answers: Callable[[dict[str, Any]], Any] = lambda said: said
        self.status = {"config": 200, "register": 200}
        self.broken: list[str] = []
        self.tools: dict[str, dict[str, Any]] = {}
        self.paths: list[str] = []
        self._tokens: set[str] = set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lms.paths.append(urlsplit(self.path).path)
                if urlsplit(self.path).path == "/openid-configuration":
                    # Canvas: the registration token comes as a bearer token with this request, too.
                    lms.rule(
                        self.headers["Authorization"] in lms.bearers,
                        "the configuration was asked for without the token",
                    )
                    self.send(lms.status["config"], lms.says(lms.configuration()))
                elif self.path == "/jwks":
                    self.send(200, {"keys": [lms.key.jwk]})
                else:
                    self.send(404, {})

            def do_POST(self) -> None:
                lms.paths.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                # Moodle: a token registers once ("token_already_used").
                if self.path != "/register" or self.headers["Authorization"] not in lms.bearers:
                    self.send(401, {"error": "invalid_token"})
                    return
                # DR 3.5.2, RFC 7591 3.1: JSON, by POST.
                lms.rule(self.headers["Content-Type"].startswith("application/json"), "the registration is not JSON")
                status, answer = lms.register(json.loads(body))
                self.send(status, answer)

            def send(self, status: int, answer: Any) -> None:
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"{lms.url}/elsewhere")
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self._server.server_port}"
        super().__init__(url, "", url)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def bearers(self) -> set[str]:
        return {f"Bearer {token}" for token in self._tokens}

    def rule(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.broken.append(otherwise)

    def configuration(self) -> dict[str, Any]:
        """What it says of itself: DR 3.5, and OpenID Connect Discovery 1.0, 3."""
        return {
            "issuer": self.issuer, "authorization_endpoint": f"{self.url}/authorize", "jwks_uri": f"{self.url}/jwks",
            "registration_endpoint": f"{self.url}/register", "token_endpoint": f"{self.url}/token",
            "token_endpoint_auth_methods_supported": ["private_key_jwt"], "scopes_supported": ["openid"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"], "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["sub", "iss", "name"],
            PLATFORM: {
                "product_family_code": "moodle", "version": "4.5", "variables": ["User.id"],
                "messages_supported": [{"type": "LtiResourceLinkRequest"}],
            },
        }  # fmt: skip

    def register(self, tool: dict[str, Any]) -> tuple[int, Any]:
        """DR 3.5.2 and 3.6: what a tool must say, and what it is told."""
        lti = tool.get(TOOL) or {}
        hub = urlsplit(HUB_URL)

        def ours(address: object) -> bool:
            return isinstance(address, str) and address.startswith(f"https://{hub.netloc}/")

        # DR 3.5.2 ("OpenID Configuration"), each REQUIRED.
        self.rule(tool.get("application_type") == "web", "application_type is not web")
        self.rule(set(tool.get("grant_types", [])) >= {"client_credentials", "implicit"}, "grant_types")
        self.rule(tool.get("response_types") == ["id_token"], "response_types is not id_token")
        self.rule(all(map(ours, tool.get("redirect_uris") or [""])), "redirect_uris")
        self.rule(ours(tool.get("initiate_login_uri")), "initiate_login_uri")
        self.rule(ours(tool.get("jwks_uri")), "jwks_uri")
        self.rule(bool(tool.get("client_name")), "client_name")
        self.rule(tool.get("token_endpoint_auth_method") == "private_key_jwt", "token_endpoint_auth_method")
        # Canvas splits it, and fails where it is no text.
        self.rule(isinstance(tool.get("scope"), str), "scope is no text")
        # DR 3.5.2 ("LTI Configuration"); Moodle: missing required attribute domain, target_link_uri.
        self.rule(lti.get("domain") == hub.netloc, "domain")
        self.rule(ours(lti.get("target_link_uri")), "target_link_uri")
        self.rule({"iss", "sub"} <= set(lti.get("claims", [])), "claims")
        self.rule([each["type"] for each in lti.get("messages", [])] == ["LtiResourceLinkRequest"], "messages")
        # Canvas: a custom parameter is text.
        self.rule(all(isinstance(each, str) for each in lti.get("custom_parameters", {}).values()), "custom_parameters")
        if self.status["register"] != 200:
            return self.status["register"], {"error": "invalid_client_metadata"}
        self._tokens.clear()
        client_id = secrets.token_hex(8)
        self.tools[client_id] = tool
        # DR 3.6.1: what was registered, with a client id and perhaps a deployment.
        return 200, self.answers({**tool, "client_id": client_id, TOOL: {**lti, "deployment_id": "7"}})

    def begin_registration(self, browser: Visitor, link: str, **changes: str | None) -> Answer:
        """The administrator pastes the link: DR 3.4. The browser is sent there, with what the LMS adds."""
        token = secrets.token_urlsafe(32)
        self._tokens = {token}
        adds: dict[str, str | None] = {
            "openid_configuration": f"{self.url}/openid-configuration", "registration_token": token, **changes
        }  # fmt: skip
        return browser.get(f"{link}&{urlencode({name: value for name, value in adds.items() if value is not None})}")
