"""The tool's key, of which the LMS gets the public half (`public_jwk`), and for a time the one before.

The LMS verifies with it what the hub signs: that it may ask for grades and lists of names, and what a teacher chose
(`services`). A hub that uses none of that has no private half: it is thrown away the moment the pair is made, and nobody
can act in the tool's name. Where the hub begins to sign it gets a new pair, which the LMS finds at `public_jwk_url`. The
private half is on the server alone, in this file, which only the hub's account can read.

The file is the key (RFC 7517), with what is ours besides: when it was made or the one before ended, the one before, and
until when that is good too. Times are seconds since 1970.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

_PUBLIC = ("kty", "alg", "use", "kid", "n", "e")
# RFC 7518, 6.3.2.
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi")
_ROTATED, _FORMER, _UNTIL = "hubrun_rotated", "hubrun_former", "hubrun_until"


def public_jwks(path: Path) -> list[dict[str, Any]]:
    """The public keys (RFC 7517) of the file `path`, the present one first; it is made when it is not there."""
    kept = _read(path)
    former = [kept[_FORMER]] if kept.get(_UNTIL, 0) > time.time() else []
    return [{name: each[name] for name in _PUBLIC} for each in (kept, *former)]


def sign(path: Path, claims: Mapping[str, Any], former: bool = False) -> str:
    """Return `claims` as a JWT (RS256), signed with the present key; "" where it shall be the one before, and there is none.

    An LMS to which the key is copied by hand knows the one before until somebody has copied the new one.
    """
    kept = _read(path)
    if "d" not in kept:
        kept = {**_made(signs=True), _ROTATED: kept.get(_ROTATED, 0)}
        _write(path, kept)
    key = kept
    if former:
        key = kept.get(_FORMER, {}) if kept.get(_UNTIL, 0) > time.time() else {}
        if "d" not in key:
            return ""
    return str(jwt.encode(dict(claims), RSAAlgorithm.from_jwk(_key(key)), "RS256", {"kid": key["kid"]}))


def renew(path: Path, days: int) -> None:
    """Make another key; the one before is good for so many days more."""
    kept, now = _read(path), int(time.time())
    former = {_FORMER: _key(kept), _UNTIL: now + days * 86400} if days else {}
    _write(path, {**_made(signs="d" in kept), _ROTATED: now, **former})


def end(path: Path) -> None:
    """The key before is good no more."""
    _write(path, {**_key(_read(path)), _ROTATED: int(time.time())})


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


def _key(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kept[name] for name in (*_PUBLIC, *_PRIVATE) if name in kept}


def _made(signs: bool = False) -> dict[str, Any]:
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = RSAAlgorithm.to_jwk(pair if signs else pair.public_key(), as_dict=True)
    kid = hashlib.sha256(jwk["n"].encode()).hexdigest()[:16]
    return {
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": kid,
        **{n: jwk[n] for n in ("n", "e", *_PRIVATE) if n in jwk},
    }


def _write(path: Path, kept: dict[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(kept, file)
    os.replace(new, path)
