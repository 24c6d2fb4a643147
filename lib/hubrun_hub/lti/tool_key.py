"""The tool's public key, which Canvas wants in a developer key (`public_jwk`), and for a time the one before.

It would verify what the hub signs when it asks Canvas for grades or lists of names. This hub asks for nothing, so the
private half is thrown away the moment the pair is made: it cannot be stolen, and nobody can act in the tool's name.
Should the hub one day use such services, it gets a new pair, and Canvas finds the new key at `public_jwk_url`.

The file is the key (RFC 7517), with what is ours besides: when it was made or the one before ended, the one before, and
until when that is published too. Times are seconds since 1970.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

_PUBLIC = ("kty", "alg", "use", "kid", "n", "e")
_ROTATED, _FORMER, _UNTIL = "hubrun_rotated", "hubrun_former", "hubrun_until"


def public_jwks(path: Path) -> list[dict[str, Any]]:
    """The public keys (RFC 7517) of the file `path`, the present one first; it is made when it is not there."""
    kept = _read(path)
    former = [kept[_FORMER]] if kept.get(_UNTIL, 0) > time.time() else []
    return [{name: each[name] for name in _PUBLIC} for each in (kept, *former)]


def renew(path: Path, days: int) -> None:
    """Make another key; the one before is published for so many days more."""
    kept, now = _read(path), int(time.time())
    former = {_FORMER: {name: kept[name] for name in _PUBLIC}, _UNTIL: now + days * 86400} if days else {}
    _write(path, {**_made(), _ROTATED: now, **former})


def end(path: Path) -> None:
    """Publish the key before no more."""
    kept = _read(path)
    _write(path, {**{name: kept[name] for name in _PUBLIC}, _ROTATED: int(time.time())})


def times(path: Path) -> dict[str, int]:
    """rotated: when it was last made, or ended; until: how long the one before is published. 0 for never."""
    kept = _read(path) if path.exists() else {}
    return {"rotated": kept.get(_ROTATED, 0), "until": kept.get(_UNTIL, 0)}


def _read(path: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        kept = _made()
        _write(path, kept)
    return kept


def _made() -> dict[str, Any]:
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = RSAAlgorithm.to_jwk(pair.public_key(), as_dict=True)
    kid = hashlib.sha256(jwk["n"].encode()).hexdigest()[:16]
    return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": jwk["n"], "e": jwk["e"]}


def _write(path: Path, kept: dict[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(kept), encoding="utf-8")
    os.replace(new, path)
