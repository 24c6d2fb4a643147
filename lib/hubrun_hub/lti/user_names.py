"""From who somebody is in the LMS to the name of their user on the hub. It is for life: their files hang on it.

`hub_name(identity, prefix)` in short, the same for every launch, LTI version, server and year:

1. `normalise` decides what counts as the same person: lower case, Unicode NFC, no blanks at the ends. So `Ada` and
   `ADA` are one person, and so are the two ways to write `é`. Not more: full-width `ａｄａ` and `ada`, or `weiß` and `weiss`,
   are two logins to an LMS, and where people choose their login, NFKC or case folding would let the one into the files
   of the other. Opaque identifiers of the LMS (`exact`: LTI 1.1 user_id, LTI 1.3 sub) keep their case too: OpenID
   Connect Core, section 2, calls them case-sensitive, so `aB` and `ab` may be two people.
2. A *plain* identity stays as it is: a-z and 0-9, with single `.`, `_` or `-` between them, short enough: `ada`,
   `o.brien-2`.
3. Everything else gets a *made* name: what can be read of it in a-z and 0-9, `--`, and 26 characters (130 bits) of the
   SHA-256 of the normalised identity in base32. That `ada@example.edu` is `ada-example-edu--4z…` can be recomputed with
   `printf %s ada@example.edu | sha256sum | xxd -r -p | base32 | cut -c1-26`, in lower case.
4. A consumer with a prefix puts it in front with `__`: `bio__ada`.
5. A name that another person has already (`people`) is made too, with the digest of the LMS's own id (`apart`).

What follows, and is tested with made-up identities by the thousand:

- Total: every identity has a name, except an empty one (`NoIdentity`) and a variable that the LMS did not fill in
  (`$Person.sourcedId`, the same text for everybody who has none: `UnfilledVariable`).
- Two people never share a name. Plain and made names and those with a prefix cannot be mistaken for one another, as no
  plain identity, prefix or readable part contains two of `.`, `_`, `-` in a row; an identity that does (`bio__ada`, or
  somebody else's made name) is not plain and so gets a digest of its own. Two people of one prefix could share a made
  name only if they shared 130 bits of SHA-256.
- Idempotent: normalising twice is normalising once; a plain name maps to itself; JupyterHub's own normalisation
  (lower case) leaves every name alone. A made name, given as an identity, does not map to itself: if it did, whoever
  can choose their login in the LMS could choose somebody else's name here.
- Safe: a-z, 0-9, `.`, `_`, `-`, beginning and ending with a letter or digit. DockerSpawner turns each of `._-` into
  three characters; with that, `jupyter-NAME` has 63 at most, so that it is a host name too (RFC 1035).

The users of 06_verify (`hubruntest1` …) are ordinary plain names. Unicode assigns new characters each year; only a name
with one that this Python does not know yet could be lowered otherwise by a later one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from base64 import b32encode
from collections.abc import Iterable
from contextlib import suppress

from hubrun_hub.student_volume import escaped

# DockerSpawner calls a container `jupyter-` and the escaped name where nobody tells it otherwise (older sites); a label
# of a host name has 63 characters at most (RFC 1035, 2.3.4).
ESCAPED_LIMIT = 63 - len("jupyter-")
DIGEST_LENGTH = 26
PREFIX = re.compile(r"[a-z0-9]{1,12}")

_PLAIN = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
# LTI 1.1.1, appendix C, and LTI 1.3, 6.1: a variable is `$` and a name with dots. Unknown ones arrive as they are.
_VARIABLE = re.compile(r"\$[A-Za-z][A-Za-z0-9_.]*")
_WHOLE_SLUG = 64


class NoIdentity(ValueError):
    """The LMS says nothing of who this is: the field is missing, empty or blank."""


class UnfilledVariable(NoIdentity):
    """The field holds the name of a variable (`$Person.sourcedId`), as the LMS has no value for this person."""


def normalise(identity: str, *, exact: bool = False) -> str:
    """Return the form in which two identities are compared; see 1. above. May be empty."""
    if exact:
        return identity.strip()
    while (folded := unicodedata.normalize("NFC", unicodedata.normalize("NFC", identity).lower()).strip()) != identity:
        identity = folded
    return identity


def hub_name(identity: str, prefix: str = "", *, exact: bool = False) -> str:
    """Return the hub user of the person whom the LMS calls `identity`.

    `prefix` is the consumer's ("" or 1 to 12 of a-z and 0-9); `exact` says that case matters.
    Raises NoIdentity, and ValueError for a prefix that is none.
    """
    if prefix and not PREFIX.fullmatch(prefix):
        raise ValueError(f"no prefix: {prefix!r}. It is 1 to 12 of a-z and 0-9.")
    known = normalise(identity, exact=exact)
    if not _is_written(known):
        raise NoIdentity("no identity")
    if _VARIABLE.fullmatch(known):
        raise UnfilledVariable(f"the LMS did not fill in {known}")
    front = f"{prefix}__" if prefix else ""
    room = ESCAPED_LIMIT - len(escaped(front))
    return front + (known if is_plain(known, room) else made(known, room))


def is_somebody(identity: str) -> bool:
    """Whether the LMS says something with this: it is not blank, and not a variable that it did not fill in."""
    return _is_written(identity) and not _VARIABLE.fullmatch(identity.strip())


def _is_written(text: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in text)


def admin_names(wanted: Iterable[str]) -> frozenset[str]:
    """Return the hub's names of those whom an operator lists: as hub users, or as the LMS names them.

    Of a consumer with a prefix: `bio__Ada@Example.edu`.
    """
    names = set(wanted)
    for each in list(names):
        prefix, _, identity = each.partition("__")
        for front, value in [("", each), (prefix, identity)]:
            with suppress(ValueError):
                names.add(hub_name(value, front))
                names.add(hub_name(value, front, exact=True))
    return frozenset(names)


def is_plain(text: str, room: int) -> bool:
    """Whether `text` is a plain name of at most `room` characters after DockerSpawner's escaping."""
    return _PLAIN.fullmatch(text) is not None and len(escaped(text)) <= room


def made(text: str, room: int) -> str:
    """Return the made name of `text`, see 3. above, of at most `room` characters after DockerSpawner's escaping."""
    digest = b32encode(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()).decode()[:DIGEST_LENGTH].lower()
    mark = "--"
    return _readable(text, room - len(escaped(mark)) - DIGEST_LENGTH) + mark + digest


def apart(identity: str, prefix: str, which: str) -> str:
    """Return a made name for a person whose own is another's: readable as `identity`, with the digest of `which`."""
    front = f"{prefix}__" if prefix else ""
    digest = made(which, ESCAPED_LIMIT)[-DIGEST_LENGTH:]
    room = ESCAPED_LIMIT - len(escaped(front)) - len(escaped("--")) - DIGEST_LENGTH
    return f"{front}{_readable(identity, room)}--{digest}"


def _readable(text: str, room: int) -> str:
    """The ASCII letters and digits of `text`, words joined by `-`, cut to `room`; "user" when there are none."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_text))[:_WHOLE_SLUG]
    while len(escaped(slug)) > room:
        slug = slug[:-1]
    return slug.strip("-") or "user"
