"""Courses and accounts of Canvas, and the fields of the forms that it is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from typing_extensions import override

from hubrun.errors import BadInput

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
        """The course that the API calls `id`: a number, or "sis_course_id:…"."""
        return cls("course", id)

    @classmethod
    def account(cls, id: str) -> Context:
        """The account that the API calls `id`: a number, "self", or "sis_account_id:…"."""
        return cls("account", id)

    @property
    def path(self) -> str:
        """Where it is below /api/v1/: doc/api/object_ids.md, "Encoding and Escaping"."""
        return f"{self.kind}s/{quote(self.id, safe=':~')}"

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


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
