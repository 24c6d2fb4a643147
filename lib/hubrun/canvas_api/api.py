"""Canvas's REST API: canvasapi, with time limits, retries, errors that say what to do, and nothing secret in sight.

canvasapi's own Requester logs forms with the shared secret in them, and the token's last characters, at level DEBUG;
it keeps the last answers with the headers of their requests; it has no time limit; and its exceptions drop the headers
that tell a wrong token from a missing right. So `Api` replaces that class's one method, and leaves it the rest: the
addresses, the forms and the pages.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterable
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from canvasapi.account import Account  # type: ignore[import-untyped]
from canvasapi.course import Course  # type: ignore[import-untyped]
from canvasapi.external_tool import ExternalTool  # type: ignore[import-untyped]
from canvasapi.module import Module, ModuleItem  # type: ignore[import-untyped]
from canvasapi.requester import Requester  # type: ignore[import-untyped]

from hubrun.canvas_api.answers import judge, said_of
from hubrun.canvas_api.forms import Context, Form, text
from hubrun.errors import BadInput, HubrunError
from hubrun.redaction.secret import Secret

# Seconds to connect, and seconds between two bytes of an answer.
TIME_LIMIT = (10, 60)
# How long to wait before each further try, in seconds. Throttled: doc/api/throttling.md says to try again "at a later
# time" and names none; in app/middleware/request_throttle.rb a bucket of 600 leaks 10 a second.
THROTTLED = (1, 2, 4, 8, 16)
FAILED = (1, 3)
# A request is counted as 50 until it has ended (request_throttle.rb, up_front_cost): with less left, wait for it.
_UP_FRONT, _LEAK = 50.0, 10.0
# What is read of each thing: lib/api/v1/external_tools.rb, lib/api/v1/context_module.rb.
_TOOL = ("id", "name", "url", "consumer_key", "privacy_level", "custom_fields", "course_navigation", "version",
         "developer_key_id")  # fmt: skip
_MODULE = ("id", "name", "published")
_ITEM = ("id", "type", "title", "external_url", "new_tab", "published")
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Api(Requester):  # type: ignore[misc]
    """One Canvas, as the person whose token this is.

    Raises CanvasRefused (nothing will change that until a parameter is changed) or CanvasFailed, and BadInput for
    an address or a token that can be none. sleep: waits so many seconds.
    """

    def __init__(self, url: str, token: Secret, ca_file: str = "", sleep: Callable[[float], None] = time.sleep) -> None:
        # It gets no token: what it does not know it cannot log.
        super().__init__(origin(url), access_token="")
        self._session = _Session(token, ca_file)
        self._sleep = sleep
        self._left = _UP_FRONT

    # -- tools ------------------------------------------------------------------------------------------------

    def tools(self, context: Context) -> list[Form]:
        """The tools installed in this context itself, all pages."""
        return [_plain(tool, _TOOL) for tool in self._context(context).get_external_tools()]

    def add_tool(self, context: Context, form: Form) -> None:
        if "client_id" in form:
            # canvasapi's Account demands a name and a secret, which Canvas ignores beside client_id.
            self.request("POST", f"{context.kind}s/{_quoted(context.id)}/external_tools", **form)
        else:
            self._context(context).create_external_tool(**form)

    def edit_tool(self, context: Context, id: int, form: Form) -> None:
        ExternalTool(self, {"id": id, f"{context.kind}_id": _quoted(context.id)}).edit(**form)

    # -- modules ----------------------------------------------------------------------------------------------

    def modules(self, course: str) -> list[Form]:
        """The modules of a course, all pages."""
        return [_plain(each, _MODULE) for each in self._course(course).get_modules()]

    def add_module(self, course: str, form: Form) -> None:
        self._course(course).create_module(form)

    def edit_module(self, course: str, id: int, form: Form) -> None:
        self._module(course, id).edit(module=form)

    def items(self, course: str, module: int) -> list[Form]:
        """The items of a module, all pages."""
        return [_plain(each, _ITEM) for each in self._module(course, module).get_module_items()]

    def add_item(self, course: str, module: int, form: Form) -> None:
        self._module(course, module).create_module_item(form)

    def edit_item(self, course: str, module: int, id: int, form: Form) -> None:
        item = ModuleItem(self, {"id": id, "module_id": module, "course_id": _quoted(course)})
        item.edit(module_item=form)

    def _context(self, context: Context) -> Any:
        return (Course if context.kind == "course" else Account)(self, {"id": _quoted(context.id)})

    def _course(self, id: str) -> Any:
        return self._context(Context.course(id))

    def _module(self, course: str, id: int) -> Any:
        return Module(self, {"id": id, "course_id": _quoted(course)})

    # -- requests ---------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        endpoint: str | None = None,
        headers: object = None,
        use_auth: bool = True,
        _url: str | None = None,
        _kwargs: Iterable[tuple[str, object]] | None = None,
        json: bool = False,
        **kwargs: object,
    ) -> requests.Response:
        """Called by canvasapi for every request: its own signature. `_kwargs` and `kwargs` are the form."""
        pairs = [(name, text(value)) for name, value in [*(_kwargs or ()), *kwargs.items()]]
        path = str(endpoint)
        tries = {"throttled": iter(THROTTLED), "failed": iter(FAILED)}
        while True:
            response, problem, again = self._once(method, path, pairs)
            wait = next(tries[again], None) if again else None
            if wait is None:
                break
            self._sleep(_asked_to_wait(response) or wait)
        # Raised out here, so that it carries no exception of requests: those hold headers and bodies.
        if problem:
            raise problem
        assert response is not None
        return response

    def _once(
        self, method: str, path: str, pairs: list[tuple[str, str]]
    ) -> tuple[requests.Response | None, HubrunError | None, str]:
        """One try: the answer, what is wrong, and why another try may help ("throttled", "failed", or "" for not)."""
        if self._left < _UP_FRONT:
            self._sleep(min((_UP_FRONT - self._left) / _LEAK, 5))
        where = f"{self.original_url}, {method} {path.partition('?')[0]}"
        try:
            response = self._session.ask(method, self.base_url + path, pairs)
        except requests.RequestException as error:
            no_answer, sent = said_of(error, where)
            # What may have reached Canvas is not sent again when that could make a second tool or item.
            return None, no_answer, "failed" if sent and method != "POST" else ""
        problem, again = judge(response, where, self.base_url)
        self._left = _UP_FRONT if again == "throttled" else _left(response)
        return response, problem, "" if again == "failed" and method == "POST" else again


class _Session(requests.Session):
    """A session that sends the token to one place only, keeps no cookies, and follows no redirects."""

    def __init__(self, token: Secret, ca_file: str) -> None:
        super().__init__()
        if not _TOKEN.fullmatch(token.reveal()):
            raise BadInput(
                "the token is empty, or holds a space, a line break or a letter that no token has",
                "canvas_token",
                "Copy it again: Canvas → Account → Settings → New Access Token",
            )
        # As `auth`, or a password for this host in ~/.netrc would take its place (requests.Session.prepare_request).
        self.auth = _Bearer(token)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._ca_file = _readable(ca_file) if ca_file else ""

    def ask(self, method: str, url: str, pairs: list[tuple[str, str]]) -> requests.Response:
        """One request with these fields, in the query of a GET, else as a form."""
        return self.request(
            method,
            url,
            params=pairs if method == "GET" else None,
            data=None if method == "GET" else pairs,
            timeout=TIME_LIMIT,
            # A redirected POST would become a GET, and the token would go where nobody said.
            allow_redirects=False,
            # Not on the session: there REQUESTS_CA_BUNDLE goes before it.
            verify=self._ca_file or True,
        )


class _Bearer(requests.auth.AuthBase):
    """The token in the Authorization header: doc/api/oauth.md."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request


def origin(url: str) -> str:
    """https://HOST[:PORT] of a Canvas, in the form that its own links have. Raises BadInput for anything else."""
    parts = urlsplit(url.strip())
    try:
        port = parts.port
    except ValueError:
        port = -1
    remedy = "Give the address alone, as in https://school.instructure.com"
    if parts.scheme == "http":
        raise BadInput("not an https address: the token would go over the network in the open", "canvas_url", remedy)
    if parts.scheme != "https" or not parts.hostname or port == -1 or "@" in parts.netloc:
        raise BadInput("not the https address of a Canvas", "canvas_url", remedy)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise BadInput(f"{parts.path!r} and what follows is too much", "canvas_url", remedy)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" + (f":{port}" if port not in (None, 443) else "")


def _readable(ca_file: str) -> str:
    problem = ""
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        problem = str(error)
    if problem:
        raise BadInput(f"no certificate can be read from {ca_file!r}", "canvas_ca_file", "It is a PEM file", problem)
    return ca_file


def _quoted(id: str) -> str:
    """An id for a path: doc/api/object_ids.md, "Encoding and Escaping"."""
    return quote(id, safe=":~")


def _plain(thing: Any, names: Iterable[str]) -> Form:
    """These fields of a canvasapi object, those that Canvas gave."""
    return {name: getattr(thing, name) for name in names if hasattr(thing, name)}


def _left(response: requests.Response) -> float:
    """What is left of the quota (X-Rate-Limit-Remaining: doc/api/throttling.md); enough where Canvas does not say."""
    try:
        return float(response.headers["X-Rate-Limit-Remaining"])
    except (KeyError, ValueError):
        return _UP_FRONT


def _asked_to_wait(response: requests.Response | None) -> float:
    """Seconds that a Retry-After asks for (RFC 9110, 10.2.3), at most 60; 0 for none, or a date."""
    said = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(said), 60) if said.isdigit() else 0
