"""Secrets that are on the server and known here only by their digest: found as hex, or inside base64."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

_DIGITS = 64  # hex digits of such a secret: 32 random bytes
_HEX = re.compile(rf"[0-9a-fA-F]{{{_DIGITS},}}")


class Digests:
    """sha256(salt + digits) of secrets, each with a name."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._salted: list[tuple[str, Any]] = []

    @property
    def names(self) -> set[str]:
        """The names of the secrets whose digests are kept."""
        return set(self._names.values())

    def learn(self, name: str, salt: str, digest: str) -> bool:
        """Keep a digest (in hex). False when it was known."""
        if (salt, digest.lower()) in self._names:
            return False
        self._names[salt, digest.lower()] = name
        self._salted = [(salt, hashlib.sha256(salt.encode())) for salt in {salt for salt, _ in self._names}]
        return True

    def hide(self, text: str, counts: Counter[str]) -> str:
        """`text` with these secrets replaced, where they are hex."""
        return _HEX.sub(lambda run: self._hide(run[0], counts), text) if self._names else text

    def _hide(self, digits: str, counts: Counter[str]) -> str:
        for start in range(len(digits) - _DIGITS + 1):
            if name := self._name(digits[start : start + _DIGITS]):
                counts[name] += 1
                return f"{digits[:start]}<{name}>{self.hide(digits[start + _DIGITS :], counts)}"
        return digits

    def raw(self, data: bytes) -> str:
        """The name of the secret whose bytes `data` begins or ends with; or ""."""
        if not self._names or len(data) < _DIGITS // 2:
            return ""
        return self._name(data[: _DIGITS // 2].hex()) or self._name(data[-_DIGITS // 2 :].hex())

    def _name(self, digits: str) -> str:
        for written in {digits, digits.lower()}:
            for salt, salted in self._salted:
                digest = salted.copy()
                digest.update(written.encode())
                name = self._names.get((salt, digest.hexdigest()))
                if name:
                    return name
        return ""
