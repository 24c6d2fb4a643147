"""The forms that a known secret takes on its way: escaped for a language, or as base64 or hex inside longer text."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

ENCODED = 6  # bytes: the base64 or hex of less than that stands in other text by chance
_LINE = r"(?:[ \t]*\r?\n[ \t]*|(?<!\\)(?:\\++r)?\\++n)"  # how base64(1) wraps, also as JSON and repr write it
_ANY, _SOME = r"\\{0,32}", r"\\{1,32}"  # backslashes: their number doubles with each JSON text inside a JSON text
_WRAPPED = re.compile(_LINE)
_NAMED = {'"': "quot|", "'": "apos|", "<": "lt|", ">": "gt|"}
_SHORT = {"\n": "n", "\r": "r", "\t": "t"}


@dataclass(frozen=True)
class Core:
    """What base64 or hex always holds of a value. before, after: characters beside it that hold a part of it too."""

    text: str
    name: str
    before: int = 0
    after: int = 0


class Form:
    """A secret's value, prepared for the search. name: what it is replaced by, without < >.

    pattern: finds it as it is or escaped. stretch: in lower case, what is in every text that the pattern matches (no
    escaping changes letters and digits). cores: what base64 holds of it; hexed: what hex in lower case holds of it.
    """

    def __init__(self, value: str, name: str) -> None:
        self.name = name
        self.value = value
        is_hex = bool(re.fullmatch(r"(?:[0-9a-fA-F]{2}){6,}", value))
        self.stretch = max(re.findall("[A-Za-z0-9]+", value), key=len, default="").lower()
        written = "".join(_character(part) for part in re.findall(r"\\+|.", value, re.DOTALL))
        self.pattern = f"(?i:{written})" if is_hex else f"(?:{written})"
        data = value.encode("utf-8", "surrogatepass")
        self.cores = [*_cores(data, name), *(_cores(bytes.fromhex(value), name) if is_hex else ())]
        hexed = [data.hex(), *([value.lower()] if is_hex else [])]  # the value itself may be wrapped over lines
        self.hexed = [Core(digits, name) for digits in hexed if len(data) >= ENCODED]


def _character(part: str) -> str:
    """One character (or a run of backslashes) as a pattern: as it is, or escaped for JSON, Python, a shell or HTML,
    also several times over."""
    if part[0] == "\\":
        return rf"\\{{{len(part)},}}"
    if part.isascii() and part.isalnum():
        return part
    if part == " ":
        return rf"(?:{_ANY}\x20|\+)"  # the plus is urllib.parse.quote_plus's
    code = ord(part)
    ways = [rf"{_ANY}{re.escape(part)}", rf"{_SOME}x{_any_case(f'{code:02x}')}", rf"{_SOME}u{_any_case(f'{code:04x}')}"]
    if part in _SHORT:
        ways = [rf"\r?{part}[ \t]*" if part == "\n" else re.escape(part), rf"{_SOME}{_SHORT[part]}", *ways[1:]]
    if part == "'":
        ways = [rf"'{_ANY}\"'{_ANY}\"'", rf"'{_SOME}''", *ways]  # shlex.quote and sh -x
    if code > 0x7F:
        pair = part.encode("utf-16-be", "surrogatepass").hex()
        ways.append("".join(rf"{_SOME}u{_any_case(pair[i : i + 4])}" for i in range(0, len(pair), 4)))
        ways.append("".join(rf"{_SOME}x{_any_case(f'{byte:02x}')}" for byte in part.encode("utf-8", "surrogatepass")))
        ways.append(rf"{_SOME}U{_any_case(f'{code:08x}')}")
    if part == "&":
        ways.insert(0, "&(?:amp;)+")
    ways.append(rf"&(?:amp;)*(?:{_NAMED.get(part, '')}\#0*{code}|\#[xX]0*{_any_case(f'{code:x}')});")
    return f"(?:{'|'.join(ways)})"


def _any_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _cores(data: bytes, name: str) -> Iterator[Core]:
    """The base64 of bytes at each of the three places that they can have in a group of three, without the characters
    that neighbouring bytes have a part in (RFC 4648, section 4)."""
    if len(data) < ENCODED:
        return
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + data).decode().rstrip("=")
        first = -(-shift * 8 // 6)
        last = (shift + len(data)) * 8 // 6
        yield Core(encoded[first:last], name, int(shift > 0), int((shift + len(data)) % 3 > 0))


def squeeze(text: str) -> str:
    """Text without white space and literal line breaks, in base64's standard alphabet (RFC 4648, section 5 has the other)."""
    if "\\" in text:
        text = _WRAPPED.sub("", text)
    return "".join(text.split()).replace("-", "+").replace("_", "/")


@functools.cache
def runs(shortest: int) -> re.Pattern[str]:
    """Finds what looks like base64 or hex, also wrapped over lines; the first line has at least `shortest` characters."""
    return re.compile(rf"[A-Za-z0-9+/_-]{{{shortest},}}(?:{_LINE}[A-Za-z0-9+/_-]+)*={{0,2}}")


def positions(run: str) -> list[int]:
    """For each character of `squeeze(run)`, its place in the run; at the end the run's length."""
    breaks = {i for found in _WRAPPED.finditer(run) for i in range(*found.span())}
    return [i for i in range(len(run)) if i not in breaks] + [len(run)]


def decoded(squeezed: str, start: int) -> bytes:
    """The bytes of a squeezed run read as base64 from character `start` on; an incomplete last group is left out."""
    text = squeezed[start:].rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4) if len(text) % 4 != 1 else text[:-1])
