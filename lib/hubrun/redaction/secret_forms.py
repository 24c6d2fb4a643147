"""The forms that a known secret takes on its way: escaped for a language, or as base64 or hex inside longer text."""

from __future__ import annotations

import base64
import functools
import re

ENCODED = 6  # bytes: the base64 or hex of less than that stands in other text by chance
_LINE = r"(?:[ \t]*\r?\n[ \t]*|(?<!\\)(?:\\++r)?\\++n)"  # how base64(1) wraps, also as JSON and repr write it
_ANY, _SOME = r"\\{0,32}", r"\\{1,32}"  # backslashes: their number doubles with each JSON text inside a JSON text
_DIGIT = "[A-Za-z0-9+/_-]"
_WRAPPED = re.compile(_LINE)
_NAMED = {'"': "quot|", "'": "apos|", "<": "lt|", ">": "gt|"}
_SHORT = {"\n": "n", "\r": "r", "\t": "t"}


class Form:
    """A secret's value, prepared for the search. name: what it is replaced by, without < >.

    written: the pattern that finds it as it is or escaped. stretch: in lower case, what is in every text that this matches
    (no escaping changes letters and digits). encoded: the pattern that finds it as hex, and in base64 at each of the three
    places that bytes can have in a group of three (RFC 4648, section 4); "" for less than 6 bytes. cores, hexed: one of
    them is in a text that this matches, once it went through `unwrap_base64` (and, for hex, is in lower case).
    """

    def __init__(self, value: str, name: str) -> None:
        self.name = name
        self.value = value
        is_hex = bool(re.fullmatch(r"(?:[0-9a-fA-F]{2}){6,}", value))
        self.stretch = max(re.findall("[A-Za-z0-9]+", value), key=len, default="").lower()
        written = "".join(_character(part) for part in re.findall(r"\\+|.", value, re.DOTALL))
        self.written = f"(?i:{written})" if is_hex else f"(?:{written})"
        data = value.encode("utf-8", "surrogatepass")
        encoded = [data, *([bytes.fromhex(value)] if is_hex else [])] if len(data) >= ENCODED else []
        self.hexed = [each.hex() for each in encoded]
        bases = [_base64(each, shift) for each in encoded for shift in range(3)]
        self.cores = [core for core, _ in bases]
        self.encoded = "|".join([*(f"(?i:{each})" for each in self.hexed), *(pattern for _, pattern in bases)])


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


def _base64(data: bytes, shift: int) -> tuple[str, str]:
    """What base64 always holds of bytes that have `shift` others before them in their group of three; and the pattern of
    that with the characters beside it, in which neighbouring bytes have a part too."""
    encoded = base64.b64encode(bytes(shift) + data).decode().rstrip("=")
    core = encoded[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
    before = f"{_DIGIT}?" if shift else ""
    after = f"{_DIGIT}?" if (shift + len(data)) % 3 else ""
    # RFC 4648, section 5 has the other alphabet
    return core, f"{before}{core.replace('+', '[+-]').replace('/', '[/_]')}{after}={{0,2}}"


def unwrap_base64(text: str) -> str:
    """Text without white space and literal line breaks, in base64's standard alphabet (RFC 4648, section 5 has the other)."""
    if "\\" in text:
        text = _WRAPPED.sub("", text)
    return "".join(text.split()).replace("-", "+").replace("_", "/")


@functools.cache
def runs(shortest: int) -> re.Pattern[str]:
    """Finds what looks like base64 or hex, also wrapped over lines; the first line has at least `shortest` characters."""
    return re.compile(rf"{_DIGIT}{{{shortest},}}(?:{_LINE}{_DIGIT}+)*={{0,2}}")


def decoded(squeezed: str, start: int) -> bytes:
    """The bytes of a squeezed run read as base64 from character `start` on; an incomplete last group is left out."""
    text = squeezed[start:].rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4) if len(text) % 4 != 1 else text[:-1])
