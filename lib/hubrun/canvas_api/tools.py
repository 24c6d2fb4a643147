"""External tools in a course or an account: LTI 1.1 by key and secret, LTI 1.3 by the client id of a developer key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from typing_extensions import override

from hubrun.canvas_api.canvas_resource import CanvasResource, Change, change, field_diff, surplus
from hubrun.canvas_api.forms import Context, Form, flat, text
from hubrun.errors import BadInput
from hubrun.redaction.secret import Secret

if TYPE_CHECKING:
    from hubrun.canvas_api.api import Api

# app/models/context_external_tool.rb: other values are dropped without a word (privacy_level=, STANDARD_EXTENSION_KEYS).
_PRIVACY = ("anonymous", "name_only", "email_only", "public")
_VISIBILITY = ("public", "members", "admins")
# ten trillion ids a shard: instructure/switchman, lib/switchman/shard.rb (IDS_PER_SHARD)
_PER_SHARD = 10**13
_HIDDEN = "(fetched from where it is and sent; not shown)"


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
class ExternalTool(CanvasResource):
    """A tool for LTI 1.1. Fields: instructure/canvas-lms, app/controllers/external_tools_controller.rb (create).

    The tool that is there already is the one that agrees in two of name, key and URL, in this context itself: so
    each of the three can be put right when somebody changed it, and nothing is made twice. Where several agree, the
    one that agrees most and is oldest is taken, since module items refer to it, and the others are named.

    secret: called when the secret is to be sent, which is when the tool is made, when its key differs, and with
    `send_secret`; Canvas never gives it back, so nobody can see whether it is still right. custom_fields: these are
    made so, others are left alone. navigation: None leaves it as it is.
    """

    context: Context
    name: str
    url: str
    consumer_key: str
    secret: Callable[[], Secret] = field(repr=False, compare=False)
    privacy_level: str = "public"
    custom_fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    navigation: Navigation | None = None
    send_secret: bool = False

    def __post_init__(self) -> None:
        where = "tool in Canvas"
        if not 0 < len(self.name.strip()) <= 255:
            raise BadInput("its name must have 1 to 255 characters", where)
        if not self.consumer_key:
            raise BadInput("it needs a consumer key", where, "Run 02_hub_lti")
        if urlsplit(self.url).scheme != "https":
            raise BadInput(f"{self.url!r} is not an https address", where)
        if self.privacy_level not in _PRIVACY:
            raise BadInput(f"privacy level {self.privacy_level!r} is none of {', '.join(_PRIVACY)}", where)
        if self.navigation and self.navigation.visibility not in _VISIBILITY:
            raise BadInput(f"visibility {self.navigation.visibility!r} is none of {', '.join(_VISIBILITY)}", where)

    @property
    @override
    def label(self) -> str:
        return f"tool {self.name} in {self.context}"

    @override
    def probe(self, api: Api) -> Mapping[str, Any]:
        return {"tools": api.all(f"{self.context.path}/external_tools")}

    def matches(self, found: Mapping[str, Any]) -> list[Form]:
        """The tools that are this one, the best first."""
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
        path = f"{self.context.path}/external_tools"
        if not there:
            wanted = self._wanted({})
            diff = field_diff(self.label, {}, {**flat(wanted), "shared_secret": _HIDDEN})
            return [change(f"add the tool {self.name}", f"POST {path}", wanted, diff, secret=self.secret)]
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
        return [change(title, f"PUT {path}/{now['id']}", form, diff, secret=secret)]

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

    @override
    def notes(self, found: Mapping[str, Any]) -> list[str]:
        return surplus(self.label, self.matches(found))


@dataclass(frozen=True)
class ToolDeployment(CanvasResource):
    """A tool for LTI 1.3, installed by the client id of its developer key: doc/lti/02_tool_installation.md.

    All else comes from the developer key, which overrides what is changed in the tool (external_tools_controller.rb,
    update, NOTE): so there is nothing here to put right but its absence.
    """

    context: Context
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
    def probe(self, api: Api) -> Mapping[str, Any]:
        return {"tools": api.all(f"{self.context.path}/external_tools")}

    def matches(self, found: Mapping[str, Any]) -> list[Form]:
        """The tools of this developer key, the oldest first."""
        ours = [tool for tool in found["tools"] if _same_key(tool.get("developer_key_id"), self.client_id)]
        return sorted(ours, key=lambda tool: int(tool["id"]))

    @override
    def plan(self, found: Mapping[str, Any], done: Sequence[Change] = ()) -> list[Change]:
        if self.matches(found):
            return []
        form = {"client_id": self.client_id}
        title = f"install the tool with client id {self.client_id}"
        return [change(title, f"POST {self.context.path}/external_tools", form, field_diff(self.label, {}, form))]

    @override
    def notes(self, found: Mapping[str, Any]) -> list[str]:
        return surplus(self.label, self.matches(found))


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
