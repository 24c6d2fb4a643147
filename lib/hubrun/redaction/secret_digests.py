"""Secrets that are on the server and known here only by their digest: found as hex, or inside base64."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from hubrun.redaction.secret_forms import decoded

_DIGITS = 64  # hex digits of such a secret: 32 random bytes
_HEX = re.compile(rf"[0-9a-fA-F]{{{_DIGITS},}}")
_HEX_BYTES = re.compile(rb"[0-9a-fA-F]{%d,}" % _DIGITS)
_RAW = 43  # characters of base64 for 32 bytes, without padding

Span = tuple[int, int, str]  # where a secret begins and ends, and its name


class Digests:
    """sha256(salt + digits) of secrets, each with a name."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._salted: list[tuple[str, Any]] = []

    @property
    def names(self) -> set[str]:
        return set(self._names.values())

    def learn(self, name: str, salt: str, digest: str) -> bool:
        """Keep a digest (in hex). False when it was known."""
        if (salt, digest.lower()) in self._names:
            return False
        self._names[salt, digest.lower()] = name
        self._salted = [(salt, hashlib.sha256(salt.encode())) for salt in {salt for salt, _ in self._names}]
        return True

    def within(self, squeezed: str) -> list[Span]:
        """The secrets in a run of base64 or hex that went through `squeeze`."""
        if not self._names:
            return []
        found = [span for run in _HEX.finditer(squeezed) for span in self._windows(run[0], run.start())]
        if squeezed.islower() or squeezed.isupper():
            return found  # random base64 of this length has both cases
        bare = squeezed.rstrip("=")
        for start in {0, len(bare) - _RAW} if len(bare) >= _RAW else ():
            name = self._name(decoded(bare[start : start + _RAW], 0).hex())
            if name:
                found.append((start, start + _RAW, name))
        for start in range(4) if len(bare) > _DIGITS * 4 // 3 else ():
            for run in _HEX_BYTES.finditer(decoded(bare, start)):
                for first, last, name in self._windows(run[0].decode(), run.start()):
                    found.append((start + first * 8 // 6, min(start - (-last * 8 // 6), len(bare)), name))
        return found

    def _windows(self, digits: str, start: int) -> Iterator[Span]:
        """The secrets in a run of hex digits that begins at `start`."""
        i = 0
        while i <= len(digits) - _DIGITS:
            name = self._name(digits[i : i + _DIGITS])
            if name:
                yield start + i, start + i + _DIGITS, name
            i += _DIGITS if name else 1

    def _name(self, digits: str) -> str:
        for written in {digits, digits.lower()}:
            for salt, salted in self._salted:
                digest = salted.copy()
                digest.update(written.encode())
                name = self._names.get((salt, digest.hexdigest()))
                if name:
                    return name
        return ""
