"""A value that never prints itself."""

from __future__ import annotations

from typing_extensions import override

from hubrun.redaction.redact import HERE


class Secret:
    """Holds a secret string. Only `reveal()` gives it out; text, repr, pickle and format do not.

    `name` says which secret it is, for people: it stands in for the value wherever that would be shown.
    """

    __slots__ = ("_value", "name")

    def __init__(self, value: str, name: str = "secret") -> None:
        self._value = value
        self.name = name
        HERE.learn(value, name)

    def reveal(self) -> str:
        """The value itself: for what sends it to a server, and never for anything that is shown or kept."""
        return self._value

    @override
    def __repr__(self) -> str:
        return f"<{self.name}>"

    __str__ = __repr__

    @override
    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    @override
    def __hash__(self) -> int:
        return hash(self._value)

    @override
    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(f"{self!r} is not to be pickled")

    @staticmethod
    def redact(text: str) -> str:
        """Return `text` without what this process knows, or takes by its looks, to be secret (`hubrun.redaction.redact`)."""
        return HERE.text(text)
