"""A double of Canvas: the part of its REST API that hubrun uses, over HTTPS on a port of this machine.

It is not Canvas. Each rule is written from Canvas's documentation and source (instructure/canvas-lms; the file is named
beside each), and checked against no running Canvas. What it does not do: launches, log-ins, OAuth, permissions other
than "may read" and "may change" as one flag a token, tools of parent accounts in a course's list, search terms,
other placements than course_navigation, content that is not a tool, module requirements, shards, and DELETE.

    with CanvasDouble(folder) as canvas:
        token = canvas.add_token()
        canvas.add_course("101")
        ... requests to canvas.url, verified with canvas.ca_file ...
        assert canvas.tools_of("course", "101")

What is there (`tools`, `modules`, `items`: by id) can be read and changed at will, as people do by hand. `log` has
every request. `fail(...)` makes requests fail.
"""

from __future__ import annotations

import ipaddress
import json
import re
import ssl
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

JSON = "application/json; charset=utf-8"
# app/models/context_external_tool.rb (STANDARD_EXTENSION_KEYS): other fields of a placement are passed over.
PLACEMENT = ("custom_fields", "default", "enabled", "icon_url", "message_type", "text", "url", "visibility", "windowTarget")  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One request. form: the fields as they were sent, of the query for GET, else of the body."""

    method: str
    path: str
    form: tuple[tuple[str, str], ...]
    token: str
    status: int


@dataclass
class Fault:
    """What happens to the next `times` requests that fit, in place of an answer. after: only once it was done."""

    method: str
    path: str
    times: int
    status: int = 0
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0
    after: bool = False


class Refusal(Exception):
    """An answer that is an error: status, JSON, headers."""

    def __init__(self, status: int, data: Any, **headers: str) -> None:
        super().__init__(status)
        self.status, self.data, self.headers = status, data, headers


def message(code: int, text: str, **more: str) -> Refusal:
    return Refusal(code, {**more, "errors": [{"message": text}]})


def invalid(**fields: str) -> Refusal:
    """`render json: @tool.errors, status: :bad_request`; its form: spec/controllers/external_tools_controller_spec.rb
    ("tool_currently_installed") reads errors → field → list of {message}."""
    errors = {name: [{"attribute": name, "type": text, "message": text}] for name, text in fields.items()}
    return Refusal(400, {"errors": errors})


class CanvasDouble:
    """See the module. per_page, max_per_page: the sizes of pages, by default and at most.

    may_not: the status for a missing right: 403 in newer versions, 401 in older ones, the latter without the header
    WWW-Authenticate (lib/authentication_methods.rb, render_json_unauthorized; doc/api/oauth.md, "Storing Tokens").
    """

    def __init__(self, folder: Path, *, per_page: int = 10, max_per_page: int = 100, may_not: int = 403) -> None:
        self.ca_file, self._key_file = _certificate(folder)
        # doc/api/pagination.md: 10 items by default, "an unspecified limit to how big you can set per_page"; 100 in
        # lib/api.rb (MAX_PER_PAGE).
        self.per_page, self.max_per_page, self.may_not = per_page, max_per_page, may_not
        self.tokens: dict[str, bool] = {}
        self.contexts: set[tuple[str, str]] = set()
        self.parents: dict[str, str] = {}
        self.sis_ids: dict[str, str] = {}
        self.developer_keys: dict[int, dict[str, str | None]] = {}
        self.tools: dict[int, dict[str, Any]] = {}
        self.modules: dict[int, dict[str, Any]] = {}
        self.items: dict[int, dict[str, Any]] = {}
        self.log: list[Seen] = []
        # Fields that this Canvas takes and does not keep: to play a version that lacks them.
        self.forgets: set[str] = set()
        self._faults: list[Fault] = []
        self._ids = count(1)
        self._lock = threading.Lock()

    # -- what a test says -------------------------------------------------------------------------------------

    def __enter__(self) -> CanvasDouble:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, self._key_file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_address[1]}"

    def add_token(self, token: str = "7~DoubleTokenDoubleTokenDoubleTokenDoXq9Z", may_change: bool = True) -> str:
        self.tokens[token] = may_change
        return token

    def add_account(self, id: str) -> None:
        self.contexts.add(("account", id))

    def add_course(self, id: str, account: str = "1", sis_id: str = "") -> None:
        self.contexts |= {("course", id), ("account", account)}
        self.parents[id] = account
        if sis_id:
            self.sis_ids[sis_id] = id

    def add_developer_key(self, client_id: int, name: str, url: str, domain: str | None = None) -> None:
        """An LTI developer key, which is on; its tool has course navigation."""
        self.developer_keys[client_id] = {"name": name, "url": url, "domain": domain}

    def add_tool(self, kind: str, id: str, **fields: Any) -> dict[str, Any]:
        """A tool as a person made it by hand."""
        tool = {"id": next(self._ids), "context": (kind, id), "name": "", "url": None, "domain": None,
                "consumer_key": "", "shared_secret": "", "privacy_level": "anonymous", "custom_fields": None,
                "course_navigation": None, "developer_key_id": None, "version": "1.1", **fields}  # fmt: skip
        self.tools[tool["id"]] = tool
        return tool

    def add_module(self, course: str, **fields: Any) -> dict[str, Any]:
        module = {"id": next(self._ids), "course": course, "name": "", "published": False, **fields}
        self.modules[module["id"]] = module
        return module

    def add_item(self, module: int, **fields: Any) -> dict[str, Any]:
        item = {"id": next(self._ids), "module_id": module, "title": "", "type": "ExternalTool", "content_id": 0,
                "external_url": None, "new_tab": None, "published": False, **fields}  # fmt: skip
        self.items[item["id"]] = item
        return item

    def tools_of(self, kind: str, id: str) -> list[dict[str, Any]]:
        return [tool for tool in self.tools.values() if tool["context"] == (kind, id)]

    def items_of(self, module: int) -> list[dict[str, Any]]:
        return [item for item in self.items.values() if item["module_id"] == module]

    def fail(
        self,
        status: int = 0,
        body: str = "",
        *,
        method: str = "",
        path: str = "",
        times: int = 1,
        delay_s: float = 0,
        after: bool = False,
        **headers: str,
    ) -> None:
        """The next `times` requests of this method whose path has this in it get this answer. Status 0: none at all,
        the connection is closed. after: what they ask for is done all the same. headers: Retry_After="3"."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults.append(Fault(method, path, times, status, body, named, delay_s, after))

    def throttle(self, times: int = 1, status: int = 429) -> None:
        """app/middleware/request_throttle.rb (rate_limit_exceeded): 403, or 429 where it is set so, as in Instructure's
        own Canvas since October 2025; plain text, no X-Request-Cost."""
        words = {403: "403 Forbidden", 429: "429 Too Many Requests"}[status]
        self.fail(status, f"{words} (Rate Limit Exceeded)\n", times=times, X_Rate_Limit_Remaining="0.0")

    def changes(self) -> list[str]:
        """The requests that were not only reading: "POST /api/v1/…"."""
        return [f"{seen.method} {seen.path}" for seen in self.log if seen.method != "GET"]

    def forms(self, method: str, path: str) -> list[dict[str, str]]:
        """The forms of the requests of this method whose path has this in it."""
        return [dict(seen.form) for seen in self.log if seen.method == method and path in seen.path]

    # -- what Canvas does -------------------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, raw: str, token: str
    ) -> tuple[int, str, str, dict[str, str]] | Fault | None:
        """Status, type, body and headers; a fault that says so itself; None for a closed connection."""
        parts = urlsplit(target)
        with self._lock:
            fault = self._fault(method, parts.path)
            pairs = tuple(parse_qsl(parts.query if method == "GET" else raw, keep_blank_values=True))
            if fault and not fault.after:
                self.log.append(Seen(method, parts.path, pairs, token, fault.status))
                return fault
            # request_throttle.rb has 600 before it throttles
            headers = {"X-Rate-Limit-Remaining": "599.5", "X-Request-Cost": "0.01"}
            try:
                self._authorized(method, token)
                data = self._route(method, parts.path, nested(pairs), headers)
                status = 200
            except Refusal as refusal:
                status, data = refusal.status, refusal.data
                headers |= refusal.headers
            self.log.append(Seen(method, parts.path, pairs, token, status))
            return fault or (status, JSON, json.dumps(data), headers)

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self._faults:
            if fault.times and fault.method in ("", method) and fault.path in path:
                fault.times -= 1
                return fault
        return None

    def _authorized(self, method: str, token: str) -> None:
        if token not in self.tokens:
            # app/controllers/application_controller.rb (api_error_json, add_www_authenticate_header)
            said = "Invalid access token." if token else "user authorization required"
            raise Refusal(401, {"errors": [{"message": said}]}, **{"WWW-Authenticate": 'Bearer realm="canvas-lms"'})
        if method != "GET" and not self.tokens[token]:
            raise message(self.may_not, "user not authorized to perform that action", status="unauthorized")

    def _route(self, method: str, path: str, form: dict[str, Any], headers: dict[str, str]) -> Any:
        found = re.fullmatch(r"/api/v1/(course|account)s/([^/]+)/(external_tools|modules)(?:/(\d+))?(/items)?(?:/(\d+))?", path)  # fmt: skip
        if not found:
            raise _absent()
        kind, id, what, number, items, item = found.groups()
        context = self._context(kind, unquote(id))
        if what == "external_tools" and not items:
            return self._tool_route(method, context, number, form, path, headers)
        if what == "modules" and kind == "course":
            if items:
                return self._item_route(method, context[1], int(number), item, form, path, headers)
            return self._module_route(method, context[1], number, form, path, headers)
        raise _absent()

    def _context(self, kind: str, id: str) -> tuple[str, str]:
        # doc/api/object_ids.md: SIS ids and "self"
        if id.startswith("sis_course_id:"):
            id = self.sis_ids.get(id.removeprefix("sis_course_id:"), "")
        if kind == "account" and id == "self":
            id = "1"
        if (kind, id) not in self.contexts:
            raise _absent()
        return kind, id

    def _paged(self, things: list[Any], form: dict[str, Any], path: str, headers: dict[str, str]) -> list[Any]:
        """doc/api/pagination.md; lib/api.rb (per_page_for, build_links_hash): absolute links, in the header Link."""
        size = min(max(int(form.get("per_page", self.per_page)), 1), self.max_per_page)
        page, last = int(form.get("page", 1)), max((len(things) + size - 1) // size, 1)
        rels = {"current": page, "next": page + 1, "prev": page - 1, "first": 1, "last": last}
        links = []
        for rel, number in rels.items():
            if 1 <= number <= last:
                query = urlencode({**{n: v for n, v in form.items() if n not in ("page", "per_page")}, "page": number, "per_page": size})  # fmt: skip
                links.append(f'<{self.url}{path}?{query}>; rel="{rel}"')
        headers["Link"] = ",".join(links)
        return things[(page - 1) * size : page * size]

    # -- external tools ---------------------------------------------------------------------------------------

    def _tool_route(
        self,
        method: str,
        context: tuple[str, str],
        number: str | None,
        form: dict[str, Any],
        path: str,
        headers: dict[str, str],
    ) -> Any:
        if number is None and method == "GET":
            # external_tools_controller.rb (index): those of the context itself, without include_parents
            return self._paged([_tool_json(tool) for tool in self.tools_of(*context)], form, path, headers)
        if number is None and method == "POST":
            # external_tools_controller.rb (create): no look at what is there, unless external_tool[verify_uniqueness]
            tool = self._from_key(context, form) if "client_id" in form else self._from_form(context, form)
            self.tools[tool["id"]] = tool
            return _tool_json(tool)
        tool = self.tools.get(int(number or 0), {})
        if tool.get("context") != context:
            raise _absent()
        if method == "PUT":
            # update: only the fields that are given
            changed = self._set_tool({**tool}, form)
            _validate(changed)
            tool.update(changed)
        elif method != "GET":
            raise _absent()
        return _tool_json(tool)

    def _from_form(self, context: tuple[str, str], form: dict[str, Any]) -> dict[str, Any]:
        tool = {"id": next(self._ids), "context": context, "name": None, "url": None, "domain": None,
                "consumer_key": None, "shared_secret": None, "privacy_level": "anonymous", "custom_fields": None,
                "course_navigation": None, "developer_key_id": None, "version": "1.1"}  # fmt: skip
        self._set_tool(tool, form)
        _validate(tool)
        return tool

    def _from_key(self, context: tuple[str, str], form: dict[str, Any]) -> dict[str, Any]:
        """create, with a client_id: all other parameters are "unnecessary and will be ignored"; the rest is the
        developer key's (DeveloperKey.nondeleted.find, new_external_tool). The client id is the key's global id
        (doc/lti/02_tool_installation.md), developer_key_id the one within its shard."""
        key = self.developer_keys.get(int(form["client_id"]))
        if key is None:
            raise _absent()
        navigation = {"enabled": True, "text": key["name"], "windowTarget": "_blank"}
        return {"id": next(self._ids), "context": context, **key, "consumer_key": "N/A",
                "shared_secret": "N/A", "privacy_level": "public", "custom_fields": None,
                "course_navigation": navigation, "developer_key_id": int(form["client_id"]) % 10**13,
                "version": "1.3"}  # fmt: skip

    def _set_tool(self, tool: dict[str, Any], form: dict[str, Any]) -> dict[str, Any]:
        """external_tools_controller.rb (set_tool_attributes), with context_external_tool.rb's own setters; what else is
        in the form is passed over."""
        for name in {"name", "url", "domain", "consumer_key"} & form.keys() - self.forgets:
            tool[name] = form[name] or None
        if form.get("shared_secret"):  # shared_secret=
            tool["shared_secret"] = form["shared_secret"]
        if form.get("privacy_level") in ("anonymous", "name_only", "email_only", "public"):  # privacy_level=
            tool["privacy_level"] = form["privacy_level"]
        if isinstance(form.get("custom_fields"), dict):  # custom_fields=: all of them at once
            tool["custom_fields"] = form["custom_fields"]
        if "course_navigation" in form and "course_navigation" not in self.forgets:
            tool["course_navigation"] = _placement(tool["course_navigation"], form["course_navigation"])
        return tool

    # -- modules ----------------------------------------------------------------------------------------------

    def _module_route(
        self, method: str, course: str, number: str | None, form: dict[str, Any], path: str, headers: dict[str, str]
    ) -> Any:
        """app/controllers/context_modules_api_controller.rb; lib/api/v1/context_module.rb (module_json)."""
        of_course = [module for module in self.modules.values() if module["course"] == course]
        if number is None and method == "GET":
            return self._paged([self._module_json(module) for module in of_course], form, path, headers)
        given = form.get("module")
        if method in ("POST", "PUT") and not isinstance(given, dict):
            raise Refusal(400, {"message": "missing module parameter"})
        if number is None and method == "POST":
            if not given.get("name"):
                raise Refusal(400, {"message": "missing module name"})
            # create: `published` is not among what it takes; workflow_state = "unpublished"
            return self._module_json(self.add_module(course, name=given["name"]))
        module = self.modules.get(int(number or 0), {})
        if module.get("course") != course or method not in ("GET", "PUT"):
            raise _absent()
        if method == "PUT":
            if given.get("name"):
                module["name"] = given["name"]
            if "published" in given:
                module["published"] = truth(given["published"])
                if not truth(given.get("skip_content_tags")):  # update: publish_items!, unpublish_items!
                    for item in self.items_of(module["id"]):
                        item["published"] = module["published"]
        return self._module_json(module)

    def _module_json(self, module: dict[str, Any]) -> dict[str, Any]:
        return {"id": module["id"], "name": module["name"], "position": 1, "unlock_at": None,
                "require_sequential_progress": False, "prerequisite_module_ids": [], "published": module["published"],
                "items_count": len(self.items_of(module["id"]))}  # fmt: skip

    def _item_route(
        self,
        method: str,
        course: str,
        module: int,
        number: str | None,
        form: dict[str, Any],
        path: str,
        headers: dict[str, str],
    ) -> Any:
        """app/controllers/context_module_items_api_controller.rb; lib/api/v1/context_module.rb (module_item_json)."""
        if self.modules.get(module, {}).get("course") != course:
            raise _absent()
        if number is None and method == "GET":
            return self._paged([_item_json(item) for item in self.items_of(module)], form, path, headers)
        given = form.get("module_item")
        if method in ("POST", "PUT") and not isinstance(given, dict):
            raise Refusal(400, {"message": "missing module item parameter"})
        if number is None and method == "POST":
            if given.get("type") != "ExternalTool":
                raise Refusal(400, {"message": "Could not find content"})
            # create takes title, type, indent, new_tab, content_id and external_url, and no `published`;
            # context_module.rb (add_item): "unpublished", and the tool is looked for by URL, content_id being preferred
            tool = self._tool_for(course, given.get("external_url", ""), given.get("content_id"))
            item = self.add_item(
                module,
                title=given.get("title"),
                content_id=tool,
                external_url=given.get("external_url"),
                new_tab=truth(given.get("new_tab")),
            )
            return _item_json(item)
        item = self.items.get(int(number or 0), {})
        if item.get("module_id") != module or method not in ("GET", "PUT"):
            raise _absent()
        if method == "PUT":
            # update takes title, external_url, indent, new_tab, module_id, published; not content_id
            for name in {"title", "external_url"} & given.keys():
                item[name] = given[name]
            for name in {"new_tab", "published"} & given.keys():
                item[name] = truth(given[name])
        return _item_json(item)

    def _tool_for(self, course: str, url: str, content_id: Any) -> int:
        """context_external_tool.rb (find_external_tool, find_tool_match): of the course and the accounts above it, those
        at this URL (a query that the tool's own URL lacks does not count), else those of its host, LTI 1.3 first; the
        one of this id before others, but one of LTI 1.3 before it when it is of 1.1; 0 for none."""
        contexts = [("course", course), ("account", self.parents.get(course, ""))]
        tools = [tool for context in contexts for tool in self.tools_of(*context)]
        fit = [tool for tool in tools if tool["url"] and tool["url"].partition("?")[0] == url.partition("?")[0]]
        fit = fit or [tool for tool in tools if tool["domain"] and tool["domain"] == urlsplit(url).hostname]
        match = min(fit, key=lambda tool: tool["version"] != "1.3", default=None)
        for tool in tools:
            if str(tool["id"]) == str(content_id) and _host(tool) == urlsplit(url).hostname:
                newer = match and match["version"] == "1.3" and tool["version"] != "1.3"
                return int(match["id"] if match and newer else tool["id"])
        return int(match["id"]) if match else 0

    def launched(self, item: dict[str, Any]) -> int:
        """The tool that Canvas launches for an item: context_external_tool.rb (from_content_tag)."""
        content = self.tools.get(item["content_id"], {})
        if content.get("version") == "1.3":
            return int(content["id"])
        course = self.modules[item["module_id"]]["course"]
        return self._tool_for(course, item["external_url"], None) or int(content.get("id", 0))


def _host(tool: dict[str, Any]) -> str | None:
    """context_external_tool.rb (matches_domain?)."""
    return tool["domain"] or urlsplit(tool["url"] or "").hostname


def _absent() -> Refusal:
    # application_controller.rb (api_error_json, RecordNotFound)
    return message(404, "The specified resource does not exist.")


def _validate(tool: dict[str, Any]) -> None:
    """context_external_tool.rb: validates presence and length, url_or_domain_is_set."""
    blank = {name: "can't be blank" for name in ("name", "consumer_key", "shared_secret") if not tool[name]}
    if not tool["url"] and not tool["domain"]:
        said = "Either the url or domain should be set."
        blank |= {"url": said, "domain": said}
    if tool["name"] and len(tool["name"]) > 255:
        blank["name"] = "is too long (maximum is 255 characters)"
    if blank:
        raise invalid(**blank)


def _placement(now: dict[str, Any] | None, given: Any) -> dict[str, Any] | None:
    """context_external_tool.rb (set_extension_setting): merged with what is there; one that is off is kept aside, and
    shown with enabled: false."""
    if not isinstance(given, dict):
        return None
    kept = {name: value for name, value in given.items() if name in PLACEMENT}
    if kept.get("visibility") not in ("members", "admins", "public"):
        kept.pop("visibility", None)
    if kept.get("enabled"):
        kept["enabled"] = truth(kept["enabled"])
    return {**(now or {}), **kept}


def _tool_json(tool: dict[str, Any]) -> dict[str, Any]:
    """lib/api/v1/external_tools.rb (external_tool_json): never the secret; the navigation with a label and enabled."""
    shown = {name: value for name, value in tool.items() if name not in ("context", "shared_secret")}
    if navigation := tool["course_navigation"]:
        label = navigation.get("text") or tool["name"]
        shown["course_navigation"] = {"enabled": True, **navigation, "label": label, "url": tool["url"]}
    if tool["developer_key_id"] is None:
        del shown["developer_key_id"]
    return {**shown, "workflow_state": tool["privacy_level"], "not_selectable": False}


def _item_json(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "position": 1, "indent": 0}


def truth(value: Any) -> bool:
    """Canvas::Plugin.value_to_boolean."""
    return str(value).lower() in ("yes", "y", "true", "t", "on", "1")


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Form fields as Rails has them: a[b][c]=v → {"a": {"b": {"c": "v"}}} (Rack::QueryParser, parse_nested_query)."""
    form: dict[str, Any] = {}
    for name, value in pairs:
        first, *rest = [part.rstrip("]") for part in name.split("[")]
        at: dict[str, Any] = form
        for part, following in zip([first, *rest], [*rest, None], strict=True):
            if following is None:
                at[part] = value
            else:
                at = at.setdefault(part, {})
    return form


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that did not wait for its answer is not a fault of the double's."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(double: CanvasDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: or each answer waits 40 ms for an acknowledgement

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            # lib/authentication_methods.rb (access_token)
            scheme, _, token = self.headers.get("Authorization", "").partition(" ")
            answer = double.answer(self.command, self.path, raw, token if scheme == "Bearer" else "")
            if isinstance(answer, Fault):
                time.sleep(answer.delay_s)
                if not answer.status:
                    self.close_connection = True
                    self.connection.close()
                    return
                more = {"Content-Type": "text/plain; charset=utf-8", **answer.headers}
                answer = (answer.status, more.pop("Content-Type"), answer.body, more)
            assert answer is not None
            status, kind, body, headers = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body.encode())))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def _certificate(folder: Path) -> tuple[str, str]:
    """A certificate for localhost, signed by itself, and its key: two PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(names, critical=False)
    )
    certificate, private = folder / "canvas.pem", folder / "canvas.key"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    pem = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption()))
    private.chmod(0o600)
    return str(certificate), str(private)
