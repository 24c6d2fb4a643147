"""What a resource of Canvas is: a desired state that is looked at, planned and applied. Pure: no I/O in this module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubrun.canvas_api.api import Api, Form, text
from hubrun.desired.resource import Action, unified
from hubrun.errors import BadInput
from hubrun.redaction.secret import Secret


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
    def probe(self, api: Api) -> Mapping[str, Any]:
        """What is there now, read only: what `plan` gets."""

    @abstractmethod
    def plan(self, found: Mapping[str, Any], done: Sequence[Change] = ()) -> list[Change]:
        """The changes that lead to the desired state, in order; empty when nothing differs.

        done: those that this run has made already. Only the first need be ready to be sent: after it is made, the
        resource is looked at again and planned again, since later ones need ids that do not exist before.
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
