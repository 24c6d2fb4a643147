"""What a resource of Canvas is: a desired state that is looked at, planned and applied. Pure: no I/O in this module."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from hubrun.errors import BadInput
from hubrun.plan import Action, unified
from hubrun.secret import Secret

if TYPE_CHECKING:
    from hubrun.canvas.api import Api

Form = dict[str, Any]
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

    @classmethod
    def course(cls, id: str) -> Context:
        return cls("course", id)

    @classmethod
    def account(cls, id: str) -> Context:
        return cls("account", id)

    @property
    def path(self) -> str:
        """Where it is below /api/v1/: doc/api/object_ids.md, "Encoding and Escaping"."""
        return f"{self.kind}s/{quote(self.id, safe=':~')}"

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass(frozen=True)
class Change(Action):
    """An action that is one request to Canvas: see `change`.

    secret: fetched when the request is made, and sent as `shared_secret`. lacks: why it cannot be sent yet. The form of
    what was or will be sent is shown as the diff, never the secret.
    """

    method: str = field(kw_only=True)
    path: str = field(kw_only=True)
    form: Form = field(kw_only=True)
    secret: Callable[[], Secret] | None = None
    lacks: str = ""

    def apply(self, api: Api) -> None:
        """Send it. Raises BadInput for what it lacks, CanvasRefused, CanvasFailed."""
        if self.lacks:
            raise BadInput(self.lacks, self.title, "Let it be made first")
        secret = {"shared_secret": self.secret().reveal()} if self.secret else {}
        api.send(self.method, self.path, {**self.form, **secret})


def change(title: str, request: str, form: Form, diff: str, **more: Any) -> Change:
    """A change by `request`, "POST path" or "PUT path" below /api/v1/, with this form; it is shown as `diff`."""
    method, _, path = request.partition(" ")
    return Change(title, "", f"{method} /api/v1/{path}", diff=diff, method=method, path=path, form=form, **more)


class CanvasResource(ABC):
    """A value that names a desired state. Subclasses are frozen dataclasses: the signature is the state."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is, for people: "tool JupyterHub in course 101"."""

    @abstractmethod
    def look(self, api: Api) -> Mapping[str, Any]:
        """What is there now, read only: what `plan` gets."""

    @abstractmethod
    def plan(self, found: Mapping[str, Any], done: Sequence[Change] = ()) -> list[Change]:
        """The changes that lead to the desired state, in order; empty when nothing differs.

        done: those that this run has made already. Only the first need be ready to be sent: after it is made, the
        resource is looked at again and planned anew, since later ones need ids that do not exist before.
        """

    def notes(self, found: Mapping[str, Any]) -> list[str]:
        """What a person should know and this resource leaves alone, such as duplicates."""
        return []


def field_diff(label: str, now: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """A unified diff of `name: value` lines: what is now, and what it will be. Only fields in `wanted` count."""
    old = "".join(f"{name}: {text(now[name])}\n" for name in wanted if name in now)
    new = "".join(f"{name}: {text(value)}\n" for name, value in wanted.items())
    return unified(label, old, new)


def surplus(label: str, things: Sequence[Form]) -> list[str]:
    """A note on all but the first of the things that are one and the same, if there are more."""
    ids = ", ".join(str(thing["id"]) for thing in things[1:])
    return [f"{label} is there more than once: delete what you do not need in Canvas (ids {ids})"] if ids else []


def text(value: object) -> str:
    """A field's value as forms have it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def flat(form: Form) -> dict[str, str]:
    """Fields in fields as NAME[FIELD], the form in which Canvas's documentation has them."""
    fields: dict[str, str] = {}
    for name, value in form.items():
        if isinstance(value, dict):
            for inner, each in flat(value).items():
                first, bracket, rest = inner.partition("[")
                fields[f"{name}[{first}]{bracket}{rest}"] = each
        else:
            fields[name] = text(value)
    return fields
