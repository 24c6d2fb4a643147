"""The LMSs and courses that may launch, from files that root writes. They are read at each launch.

    /etc/jupyterhub/lti.env                   the consumer `default`: LTI 1.1
    /etc/jupyterhub/consumers.d/NAME.env      one more: LTI_CLIENT_KEY, LTI_CLIENT_SECRET, perhaps LTI_PREFIX
    /etc/jupyterhub/consumers.d/NAME.json     the same consumer with LTI 1.3: issuer, client_ids, authorize_url, and
                                              jwks_url, or in its place jwks, the public keys themselves (RFC 7517);
                                              perhaps token_url, where it gives out tokens for its services, where the
                                              LMS's preset does not say so; perhaps deployment_ids, and expires, from when on (seconds since 1970) it
                                              is shut out. In both versions: perhaps lms (`presets`), username_key, and
                                              prefix

Where a secret was replaced, LTI_FORMER_SECRET is the one before, which is good as well until LTI_FORMER_UNTIL (seconds since
1970): so the LMS gets the new one while people launch (runbook 14_rotate).

With `registration` in its file a consumer has no client ids there: they are what the LMS gave when an administrator of it
registered the hub (`dynamic_registration`). Those the hub wrote itself, into a folder of its own. All else is root's to
say, and where the LMS's keys are above all; without root's file the hub's own counts for nothing.

So a consumer comes with a file and goes with it, at once and without a restart, and the others' files stay as they are.

The `prefix` stands before the names of a consumer's people (see `names`) and their courses. It is a consumer's own for
life: without a word in its file it is the consumer's name, and "" for `default`, whose people therefore keep their
names when a second consumer is added. Two consumers with the same prefix say that they know the same people and the
same courses, such as several keys in one Canvas. They trust each other wholly: who has the secret of the one can come
in as anybody of the other.

A file that cannot be read or is not right shuts out its consumer, in both versions, with a line in the log; the others
are not touched.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .presets import PRESETS, Urls
from .user_names import PREFIX

DEFAULT = "default"
CLIENT_KEY, CLIENT_SECRET, PREFIX_KEY = "LTI_CLIENT_KEY", "LTI_CLIENT_SECRET", "LTI_PREFIX"
# Not called LTI_CLIENT_…: who looks for what goes into the LMS finds the new ones alone.
FORMER_SECRET, FORMER_UNTIL = "LTI_FORMER_SECRET", "LTI_FORMER_UNTIL"
# What the hub's log says of a launch that was signed with it; 14_rotate looks for that.
BY_FORMER = "LTI launch by consumer %s: signed with the former secret"
USERNAME_KEY = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True)
class Platform:
    """An LMS as LTI 1.3 knows it. Without `deployment_ids`, every deployment of the client ids may launch.

    Its keys are at `jwks_url`; where that is "", they are `jwks`. `token_url` is where it gives out tokens for its services,
    "" where that is not known.
    """

    issuer: str
    client_ids: tuple[str, ...]
    authorize_url: str
    jwks_url: str
    deployment_ids: tuple[str, ...] = ()
    jwks: dict[str, Any] = field(default_factory=dict, hash=False)
    token_url: str = ""


@dataclass(frozen=True)
class Consumer:
    """One LMS or course with its key. `key` is "" where it has no LTI 1.1, `platform` None where it has no LTI 1.3.

    `lms` says which LMS it is (`presets`), `username_key` the field by which its people are named, "" for the hub's own.
    `awaits` is the LMS that may still register the hub; None when none may, or it did. `former_secret` is the one before
    `secret`, while it is good as well; else "".
    """

    name: str
    prefix: str
    key: str = ""
    secret: str = field(default="", repr=False)
    platform: Platform | None = None
    lms: str = "canvas"
    username_key: str = ""
    awaits: Urls | None = None
    former_secret: str = field(default="", repr=False, compare=False)

    @property
    def with_each_secret(self) -> tuple[Consumer, ...]:
        """It with the present secret, and, while that is good as well, with the one before in its place."""
        return (self, replace(self, secret=self.former_secret)) if self.former_secret else (self,)


def read(folder: Path, default_file: Path | None, registered: Path | None = None) -> tuple[list[Consumer], list[str]]:
    """Return the consumers, and a line for each that is shut out because of its files.

    `registered` is the folder with what LMSs said when they registered the hub.
    """
    files: dict[str, list[Path]] = {DEFAULT: [default_file]} if default_file and default_file.exists() else {}
    for path in sorted([*folder.glob("*.env"), *folder.glob("*.json")]):
        files.setdefault(path.stem, []).append(path)
    consumers: list[Consumer] = []
    problems: list[str] = []
    for name, paths in files.items():
        try:
            consumer = _consumer(name, paths, registered)
            _check_unlike(consumer, consumers)
        except (OSError, ValueError) as error:
            problems.append(f"LTI consumer {name} is shut out: {error}")
        else:
            consumers.append(consumer)
    return consumers, problems


def _consumer(name: str, paths: list[Path], registered: Path | None) -> Consumer:
    """The consumer of one or two files. Raises OSError and ValueError, whose text holds no secret."""
    key = secret = former = username_key = ""
    lms = "canvas"
    platform = awaits = None
    prefixes: set[str] = set()
    for path in paths:
        if path.suffix == ".env":
            from dotenv import dotenv_values  # the hub has it; whoever only wants to know what a consumer is need not

            # dotenv_values(path) takes a file that is not there for an empty one
            with path.open(encoding="utf-8") as lines:
                values = dotenv_values(stream=lines, interpolate=False)
            if key:
                raise ValueError(f"{path} and {paths[0]} are both for LTI 1.1")
            key, secret = values.get(CLIENT_KEY) or "", values.get(CLIENT_SECRET) or ""
            if not key or not secret:
                raise ValueError(f"{path}: {CLIENT_SECRET if key else CLIENT_KEY} is missing or empty")
            former = _former(path, values)
            if PREFIX_KEY in values:
                prefixes.add(values[PREFIX_KEY] or "")
        else:
            settings = _json(path)
            _check_not_expired(path, settings)
            lms, username_key = _ways(path, settings)
            if settings.get("registration") is True:
                platform = _registered(registered, name, path, settings)
                # What it says besides the client ids is whole, too.
                known = platform or _platform(path, {**settings, "client_ids": ["none yet"]})
                awaits = None if platform else Urls(known.issuer, known.authorize_url, known.jwks_url)
            elif settings.keys() & {"issuer", "client_ids", "authorize_url", "jwks_url", "jwks"}:
                platform = _platform(path, settings)
            if "prefix" in settings:
                prefixes.add(str(settings["prefix"]))
    if len(prefixes) > 1:
        raise ValueError(f"{' and '.join(map(str, paths))} give it different prefixes")
    prefix = prefixes.pop() if prefixes else "" if name == DEFAULT else name
    if prefix and not PREFIX.fullmatch(prefix):
        raise ValueError(
            f"{prefix!r} is not a prefix, which is 1 to 12 of a-z and 0-9: set {PREFIX_KEY}, or prefix in JSON"
        )
    return Consumer(name, prefix, key, secret, platform, lms, username_key, awaits, former)


def _former(path: Path, values: Mapping[str, str | None]) -> str:
    """The secret before the present one, as long as it is good."""
    until = values.get(FORMER_UNTIL) or "0"
    if not until.isdecimal():
        raise ValueError(f"{path}: {FORMER_UNTIL} is not a whole number of seconds since 1970")
    return (values.get(FORMER_SECRET) or "") if time.time() < int(until) else ""


def _ways(path: Path, settings: dict[str, object]) -> tuple[str, str]:
    """Which LMS it is, and by which field its people are named."""
    lms, username_key = settings.get("lms", "canvas"), settings.get("username_key", "")
    if not isinstance(lms, str) or lms not in PRESETS:
        raise ValueError(f"{path}: lms is not one of {', '.join(PRESETS)}")
    if not isinstance(username_key, str) or (username_key and not USERNAME_KEY.fullmatch(username_key)):
        raise ValueError(f"{path}: username_key is not the name of a field")
    return lms, username_key


def _registered(folder: Path | None, name: str, root: Path, settings: dict[str, object]) -> Platform | None:
    """The platform of root's `settings` with the client ids that it gave when it registered the hub; None when it did not."""
    path = folder / f"{name}.json" if folder else None
    if path is None or not path.exists():
        return None
    kept = _json(path)
    if kept.get("issuer") != settings.get("issuer"):
        raise ValueError(f"{path} is of another issuer than the one that may register: remove it, and register again")
    if not _texts(path, kept, "client_ids"):
        raise ValueError(f"{path}: client_ids is missing or empty")
    return _platform(root, {**settings, "client_ids": kept["client_ids"]})


def _json(path: Path) -> dict[str, object]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} is not a JSON object")
    return settings


def _check_not_expired(path: Path, settings: dict[str, object]) -> None:
    expires = settings.get("expires")
    # No fractions: JSON as Python reads it has NaN, before which no time is over.
    if "expires" in settings and (isinstance(expires, bool) or not isinstance(expires, int)):
        raise ValueError(f"{path}: expires is not a whole number of seconds since 1970")
    if isinstance(expires, int) and time.time() >= expires:
        raise ValueError(f"{path} expired")


def _platform(path: Path, settings: dict[str, object]) -> Platform:
    inline = "jwks" in settings
    if inline and "jwks_url" in settings:
        raise ValueError(f"{path} has jwks and jwks_url: which of them counts?")
    urls = ("authorize_url",) if inline else ("authorize_url", "jwks_url")
    texts = {name: _text(path, settings, name) for name in ("issuer", *urls)}
    client_ids, deployment_ids = _texts(path, settings, "client_ids"), _texts(path, settings, "deployment_ids")
    if not client_ids:
        raise ValueError(f"{path}: client_ids is missing or empty")
    for name in urls:
        url = urlsplit(texts[name])
        # Keys that came without TLS would prove nothing; only a test's LMS on this machine may do without.
        if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost"):
            raise ValueError(f"{path}: {name} is not an https address")
    return Platform(
        issuer=texts["issuer"],
        client_ids=tuple(client_ids),
        authorize_url=texts["authorize_url"],
        jwks_url=texts.get("jwks_url", ""),
        deployment_ids=tuple(deployment_ids),
        jwks=_public_keys(path, settings["jwks"]) if inline else {},
        token_url=_text(path, settings, "token_url")
        if "token_url" in settings
        else PRESETS[str(settings.get("lms", "canvas"))].token_url(texts["authorize_url"]),
    )


def _public_keys(path: Path, jwks: object) -> dict[str, Any]:
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) and key.get("kid") for key in keys):
        raise ValueError(f"{path}: jwks is not a set of keys with a kid each (RFC 7517)")
    # What signs does not belong here, where the hub can read it; and an "oct" key is nothing but a shared secret.
    if any(key.get("kty") != "RSA" or "d" in key for key in keys):
        raise ValueError(f"{path}: jwks holds something else than public RSA keys")
    return {"keys": keys}


def _text(path: Path, settings: dict[str, object], name: str) -> str:
    text = settings.get(name)
    if not isinstance(text, str) or not text:
        raise ValueError(f"{path}: {name} is missing or no text")
    return text


def _texts(path: Path, settings: dict[str, object], name: str) -> list[str]:
    items = settings.get(name, [])
    if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
        raise ValueError(f"{path}: {name} is not a list of texts")
    return items


def _check_unlike(consumer: Consumer, others: list[Consumer]) -> None:
    """Raise ValueError when another consumer has the same key or client id: it would be left to chance whose it is."""
    for other in others:
        if consumer.key and consumer.key == other.key:
            raise ValueError(f"consumer {other.name} has the same {CLIENT_KEY}")
        mine, theirs = consumer.platform, other.platform
        if mine and theirs and mine.issuer == theirs.issuer and set(mine.client_ids) & set(theirs.client_ids):
            raise ValueError(f"consumer {other.name} has the same issuer and client id")
