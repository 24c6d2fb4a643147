"""What a course is called inside containers: a name that people read, and that can be a folder's. Pure.

"BIO 101 / Frühling" becomes `BIO 101 - Frühling`. On the server a course is known by its id alone; the name is given once,
when the course is first seen, and stays when the LMS renames the course: students' files are in a folder of that name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

_LENGTH = 60
_BYTES = 180
# Folders of a home that are something else.
_TAKEN = frozenset({"courses"})


def is_folder_name(text: object) -> bool:
    """Whether `text` is a name such as `folder_name` gives: words of letters and digits, one blank or ` - ` between them."""
    return isinstance(text, str) and text != "" and text.casefold() not in _TAKEN and text == _clean(text)


def folder_name(names: Iterable[str], course: str, taken: Collection[str]) -> str:
    """Return the first of the `names` that can be a folder's and is not `taken`; else one of them with a number.

    `course` is the course's id, which is one when nothing better is left. Case does not make a difference.
    """
    used = {name.casefold() for name in taken}
    readable = [name for each in names if is_folder_name(name := _clean(each))]
    for name in readable:
        if name.casefold() not in used:
            return name
    for number in range(2, 1000) if readable else ():
        if (name := f"{readable[0]} {number}").casefold() not in used and is_folder_name(name):
            return name
    return course


def _clean(text: str) -> str:
    parts = re.split(r"[/\\|:\u2010-\u2015]|\s-\s", unicodedata.normalize("NFC", text[:500]))
    name = " - ".join(words for part in parts if (words := " ".join(_words(part))))
    while len(name) > _LENGTH or len(name.encode()) > _BYTES:
        name = name[:-1]
    return name.rstrip(" ._-")


def _words(text: str) -> list[str]:
    """What is of letters, digits and marks (in many scripts vowels are marks), with single `.`, `_`, `-` between them.

    All else is left out: globs, the `+` of nbgrader's names, ends of a URL, and characters that nobody sees.
    """
    kept = "".join(each if each in "._-" or unicodedata.category(each)[0] in "LMN" else " " for each in text)
    words = (re.sub("[._-]{2,}", "-", word) for word in kept.split())
    found = []
    for word in words:
        while word and (word[0] in "._-" or unicodedata.category(word[0])[0] == "M"):
            word = word[1:]
        found.append(word.rstrip("._-"))
    return [word for word in found if word]
