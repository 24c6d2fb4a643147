"""The pages of the documentation as tests read them: blocks with what is said above them, prose, links and headings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from hubrun.environment import PROJECT

DOCS = PROJECT / "docs"
_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_COMMENT = re.compile(r"^ *<!-- (.+) -->$")
_CODES = re.compile(r"ends with (\d+(?: or \d+)*)")
# What may stand in a comment beside what says how a block is run.
_OTHER = ("Made by ", "picture: ")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with what the comments right above it say (CONTRIBUTING, Change the documentation)."""

    page: str
    line: int
    language: str
    text: str
    on_server: bool = False
    codes: tuple[int, ...] = (0,)
    not_run: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """The README, then each page in the order of the site's menu."""
    entries = yaml.safe_load((PROJECT / "mkdocs.yml").read_text())["nav"]
    return [PROJECT / "README.md", *(DOCS / name for name in _names(entries))]


def _names(entries: list[dict[str, object]]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, list):
                yield from _names(value)
            else:
                yield str(value)


@cache
def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page. Raises ValueError for a comment that nobody understands."""
    found: list[Block] = []
    said: list[str] = []
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        if comment := _COMMENT.match(line):
            said.append(comment[1])
            continue
        if fence := _FENCE.match(line):
            indent, text = len(fence[1]), ""
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                text += inner[indent:] + "\n"
            found.append(_block(path, number, fence[2], text, said))
        elif strange := [each for each in said if not each.startswith(_OTHER)]:
            raise ValueError(f"{path}:{number}: {strange} stands above no block")
        said = []
    return found


def _block(path: Path, line: int, language: str, text: str, said: list[str]) -> Block:
    codes, on_server, not_run = (0,), False, ""
    for each in said:
        if each == "on the server":
            on_server = True
        elif each.startswith("not run: "):
            not_run = each.removeprefix("not run: ")
        elif ends := _CODES.fullmatch(each):
            codes = tuple(int(code) for code in ends[1].split(" or "))
        else:
            raise ValueError(f"{path}:{line}: nobody understands {each!r}")
    return Block(str(path.relative_to(PROJECT)), line, language, text, on_server, codes, not_run)


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def inline_code(path: Path) -> list[str]:
    """What stands between single backticks in a page's prose."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(path))


def links(path: Path) -> list[str]:
    """Where a page's links and pictures lead."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(path)))


def anchors(path: Path) -> set[str]:
    """The headings of a page, as both the site and GitHub name them in an address."""
    titles = re.findall(r"^#{1,6} (.+)$", prose(path), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", unicodedata.normalize("NFKD", title)).strip().lower() for title in titles]
    site = {re.sub(r"[-\s]+", "-", title.encode("ascii", "ignore").decode()) for title in plain}
    return site & {title.replace(" ", "-") for title in plain}
