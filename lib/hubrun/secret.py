"""A value that never prints itself."""

from __future__ import annotations

import base64
import shlex
from urllib.parse import quote


class Secret:
    """Holds a secret string. Only `reveal()` gives it out; text, repr, pickle and format do not.

    `name` says which secret it is, for people: it stands in for the value wherever that would be shown.
    """

    __slots__ = ("_value", "name")
    _known: dict[str, str] = {}

    def __init__(self, value: str, name: str = "secret") -> None:
        self._value = value
        self.name = name
        if value:
            for form in (
                value,
                base64.b64encode(value.encode()).decode(),
                quote(value, safe=""),
                shlex.quote(value),
            ):
                Secret._known[form] = name

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"<{self.name}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(f"{self!r} is not to be pickled")

    @classmethod
    def redact(cls, text: str) -> str:
        """Return `text` with every secret that this process has seen replaced by its name."""
        for form in sorted(cls._known, key=len, reverse=True):
            if form in text:
                text = text.replace(form, f"<{cls._known[form]}>")
        return text
