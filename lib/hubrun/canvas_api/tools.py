"""External tools in a course or an account: LTI 1.1 by key and secret, LTI 1.3 by the client id of a developer key."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from typing_extensions import override

from hubrun.canvas_api.api import Api, Form, flat, text
from hubrun.canvas_api.canvas_resource import CanvasResource, Change, change, field_diff, surplus
from hubrun.errors import BadInput
from hubrun.redaction.secret import Secret

# ten trillion ids a shard: instructure/switchman, lib/switchman/shard.rb (IDS_PER_SHARD)
_PER_SHARD = 10**13
_HIDDEN = "(fetched from where it is and sent; not shown)"


# A number, also of another shard ("2~34"), or the name of a SIS field with a value, or a special name:
# instructure/canvas-lms, doc/api/object_ids.md and lib/api.rb (ID).
_ID = re.compile(r"(?:\d+~)?\d+|(?:sis|lti)_[a-z_]+:[^\s\x00-\x1f]+|self|default|site_admin")


@dataclass(frozen=True)
class Context:
    """A course or an account of Canvas, where a tool is installed.

    id: the number in the page's address (…/courses/101), or a form of doc/api/object_ids.md, such as
    "sis_course_id:BIO101", or "self" for the root account. Raises BadInput for anything else.
    """

    kind: Literal["course", "account"]
    id: str

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise BadInput(
                f"{self.id!r} names no {self.kind}",
                f"canvas_{self.kind}",
                f"Give the number in the {self.kind}'s address, as in …/{self.kind}s/101, or sis_{self.kind}_id:…",
            )

    @property
    def path(self) -> str:
        """Where it is below /api/v1/: doc/api/object_ids.md, "Encoding and Escaping"."""
        return f"{self.kind}s/{quote(self.id, safe=':~')}"

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass(frozen=True)
class Navigation:
    """The tool's entry in the courses' navigation; it always opens in a tab of its own.

    visibility: who sees it (public: also who is not a member). default: whether a course shows it before a teacher
    says so; "disabled" is for a tool of an account, which would else stand in all its courses at once.
    """

    enabled: bool = True
    text: str = ""
    visibility: Literal["public", "members", "admins"] = "members"
    default: Literal["enabled", "disabled"] = "enabled"

    def fields(self, name: str) -> Form:
        """The fields of the placement course_navigation; `name` is the text where none is given."""
        if not self.enabled:
            return {"enabled": False}
        return {
            "enabled": True,
            "text": self.text or name,
            "visibility": self.visibility,
            "default": self.default,
            # The hub refuses to be shown inside Canvas's page (frame-ancestors 'none').
            "windowTarget": "_blank",
        }


@dataclass(frozen=True)
class Tool(CanvasResource):
    """A tool that is installed in a course or an account."""

    context: Context

    @property
    def path(self) -> str:
        """Where the tools of its course or account are below /api/v1/."""
        return f"{self.context.path}/external_tools"

    @abstractmethod
    def matches(self, found: Mapping[str, Any]) -> list[Form]:
        """The tools that are this one, the best first."""

    @override
    def probe(self, api: Api) -> Mapping[str, Any]:
        return {"tools": api.all(self.path)}

    @override
    def notes(self, found: Mapping[str, Any]) -> list[str]:
        return surplus(self.label, self.matches(found))


@dataclass(frozen=True)
class ExternalTool(Tool):
    """A tool for LTI 1.1. Fields: instructure/canvas-lms, app/controllers/external_tools_controller.rb (create).

    The tool that is there already is the one that agrees in two of name, key and URL, in this context itself: so
    each of the three can be put right when somebody changed it, and nothing is made twice. Where several agree, the
    one that agrees most and is oldest is taken, since module items refer to it, and the others are named.

    secret: called when the secret is to be sent, which is when the tool is made, when its key differs, and with
    `send_secret`; Canvas never gives it back, so nobody can see whether it is still right. custom_fields: these are
    made so, others are left alone. navigation: None leaves it as it is.
    """

    name: str
    url: str
    consumer_key: str
    secret: Callable[[], Secret] = field(repr=False, compare=False)
    privacy_level: str = "public"
    custom_fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    navigation: Navigation | None = None
    send_secret: bool = False

    @property
    @override
    def label(self) -> str:
        return f"tool {self.name} in {self.context}"

    @override
    def matches(self, found: Mapping[str, Any]) -> list[Form]:
        return sorted(
            (tool for tool in found["tools"] if _is_1_1(tool) and sum(self._agrees(tool)) >= 2),
            key=lambda tool: (-sum(self._agrees(tool)), [not each for each in self._agrees(tool)], int(tool["id"])),
        )

    def _agrees(self, tool: Form) -> tuple[bool, bool, bool]:
        key, url, name = (tool.get(field) for field in ("consumer_key", "url", "name"))
        return key == self.consumer_key, url == self.url, name == self.name

    @override
    def plan(self, found: Mapping[str, Any], done: Sequence[Change] = ()) -> list[Change]:
        there = self.matches(found)
        if not there:
            wanted = self._wanted({})
            diff = field_diff(self.label, {}, {**flat(wanted), "shared_secret": _HIDDEN})
            return [change(f"add the tool {self.name}", f"POST {self.path}", wanted, diff, secret=self.secret)]
        now, wanted = there[0], self._wanted(there[0])
        form = {name: value for name, value in wanted.items() if _differs(now.get(name), value)}
        sent = any(each.secret for each in done)
        secret = self.secret if "consumer_key" in form or (self.send_secret and not sent) else None
        if not form and not secret:
            return []
        shown = {name: value for name, value in flat(form).items() if flat(now).get(name) != value}
        if secret:
            shown["shared_secret"] = _HIDDEN
        title, diff = f"change the tool {self.name}: {', '.join(shown)}", field_diff(self.label, flat(now), shown)
        return [change(title, f"PUT {self.path}/{now['id']}", form, diff, secret=secret)]

    def _wanted(self, now: Form) -> Form:
        wanted: Form = {
            "name": self.name,
            "url": self.url,
            "consumer_key": self.consumer_key,
            "privacy_level": self.privacy_level,
        }
        if self.custom_fields:
            # Canvas replaces them all at once (custom_fields=).
            wanted["custom_fields"] = {**(now.get("custom_fields") or {}), **self.custom_fields}
        if self.navigation and (now or self.navigation.enabled):
            wanted["course_navigation"] = self.navigation.fields(self.name)
        return wanted


@dataclass(frozen=True)
class ToolDeployment(Tool):
    """A tool for LTI 1.3, installed by the client id of its developer key: doc/lti/02_tool_installation.md.

    All else comes from the developer key, which overrides what is changed in the tool (external_tools_controller.rb,
    update, NOTE): so there is nothing here to put right but its absence.
    """

    client_id: str

    def __post_init__(self) -> None:
        if not self.client_id.replace("~", "", 1).isdigit():
            raise BadInput(
                f"{self.client_id!r} is not a client id",
                "tool in Canvas",
                "It is the long number in the column Details of Admin → Developer Keys",
            )

    @property
    @override
    def label(self) -> str:
        return f"tool with client id {self.client_id} in {self.context}"

    @override
    def matches(self, found: Mapping[str, Any]) -> list[Form]:
        ours = [tool for tool in found["tools"] if _same_key(tool.get("developer_key_id"), self.client_id)]
        return sorted(ours, key=lambda tool: int(tool["id"]))

    @override
    def plan(self, found: Mapping[str, Any], done: Sequence[Change] = ()) -> list[Change]:
        if self.matches(found):
            return []
        form = {"client_id": self.client_id}
        title = f"install the tool with client id {self.client_id}"
        return [change(title, f"POST {self.path}", form, field_diff(self.label, {}, form))]


def _is_1_1(tool: Form) -> bool:
    # lib/api/v1/external_tools.rb: "version", and developer_key_id where there is one; older versions say neither.
    return str(tool.get("version", "1.1")) != "1.3" and not tool.get("developer_key_id")


def _same_key(found: object, client_id: str) -> bool:
    """Whether a developer_key_id is this client id: one of them may be given within its shard, the other globally."""
    if not found:
        return False
    one, other = (_global(str(each)) for each in (found, client_id))
    return one == other or (min(one, other) < _PER_SHARD and one % _PER_SHARD == other % _PER_SHARD)


def _global(id: str) -> int:
    shard, _, local = id.rpartition("~")
    return int(shard or 0) * _PER_SHARD + int(local)


def _differs(now: Any, wanted: Any) -> bool:
    """Whether a field must be sent. Of a placement only the fields that are wanted count; one that is off may be gone."""
    if isinstance(wanted, dict):
        if wanted.get("enabled") is False:
            return bool(now) and text(now.get("enabled", True)) != "false"
        return any(text((now or {}).get(name)) != text(value) for name, value in wanted.items())
    return text(now) != text(wanted)
