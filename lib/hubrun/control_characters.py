"""Characters that do something where text is shown or read, in place of standing for themselves."""

from __future__ import annotations

import re

# C0 and C1 (ECMA-48: a terminal takes orders by them), Unicode's line separators (a second line, to some), what turns the
# direction of a text around (Unicode UAX #9, 2: it reads as something else than it is), and halves of characters.
_ORDERS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
CONTROL = re.compile(f"[{_ORDERS}\t\n]")
_HARMFUL = re.compile(f"[{_ORDERS}]")
# Colours and the like (ECMA-48, SGR), which builders and npm print: they say nothing where they are not shown.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str) -> str:
    """`text` as it can be shown on a terminal, without colours: newlines and tabs stay, other control characters stand as
    \\x1b."""
    return _HARMFUL.sub(_name, COLOUR.sub("", text))


def in_one_line(text: str) -> str:
    """`text` as it can be shown within one line of a terminal: newlines and tabs stand as \\n and \\t too."""
    return CONTROL.sub(_name, text)


def _name(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
