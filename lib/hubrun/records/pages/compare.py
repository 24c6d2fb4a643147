"""What differs between two runs: parameters, versions, statuses, checks and facts, without what differs by nature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any, TypeVar

from hubrun.records.ledger.manifest import Book, Manifest, Record, Step
from hubrun.records.pages import summary
from hubrun.records.pages.normalize import WOBBLES, digestless, quiet, quiet_value

T = TypeVar("T")
Where = tuple[str, ...]
KINDS = ("Parameters", "Software", "Server", "Packages", "Status", "Resources", "Checks", "Facts")
NONE = "–"
# Glued by every runbook; says again what the server's facts and the steps' results say (Server.summary).
_REPEATED = "summary"


@dataclass(frozen=True)
class Done:
    """What was done to a resource in run "A", "B" or "A and B"."""

    run: str
    actions: tuple[str, ...]
    diff: str


@dataclass(frozen=True)
class Difference:
    """One thing that differs: what run A has, and what run B.

    where: the runbook and the step; empty outside of any. done: of a resource, by each run that changed it.
    """

    kind: str
    where: Where
    what: str
    a: str
    b: str
    done: tuple[Done, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two runs and what differs between them, in the order of `KINDS`."""

    a: Record
    b: Record
    differences: tuple[Difference, ...]

    @property
    def last_line(self) -> str:
        """The result in words."""
        count = len(self.differences)
        return f"{count} difference{'s' if count > 1 else ''}" if count else "nothing differs"

    def groups(self) -> list[tuple[str, list[Difference]]]:
        """The differences by kind; kinds without any are left out."""
        by_kind = [(kind, [each for each in self.differences if each.kind == kind]) for kind in KINDS]
        return [(kind, found) for kind, found in by_kind if found]


def compare(a: Manifest, b: Manifest) -> Comparison:
    """What differs from run `a` to run `b`. Of a runbook that was tried more than once, the last attempt counts."""
    first, second = a.predicate, b.predicate
    found = [
        *_values("Parameters", first.parameters, second.parameters),
        *_values("Software", first.software.model_dump(), second.software.model_dump()),
        *_values("Server", _lasting(first.server), _lasting(second.server)),
        *_packages(_installed(first), _installed(second)),
        *_values("Status", {"mode": first.mode, "run": first.status}, {"mode": second.mode, "run": second.status}),
        *_books(summary.latest(first), summary.latest(second)),
    ]
    return Comparison(first, second, tuple(sorted(found, key=lambda difference: KINDS.index(difference.kind))))


def shown(value: Any) -> str:
    """A parameter's or fact's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(shown(each) for each in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {shown(each)}" for name, each in value.items()) or "none"
    return str(value) if value not in ("", None) else "empty"


def _values(kind: str, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*a, *b)):
        if name not in a or name not in b or a[name] != b[name]:
            yield Difference(kind, (), name, _value(a, name), _value(b, name))


def _value(values: dict[str, Any], name: str) -> str:
    return shown(values[name]) if name in values else NONE


def _lasting(facts: dict[str, str]) -> dict[str, str]:
    return {name: fact for name, fact in facts.items() if name not in WOBBLES}


def _installed(record: Record) -> dict[str, str] | None:
    packages = record.packages
    # A check changes nothing, so what was there before is what is there after it.
    return packages.before if record.mode == "check" and packages.after is None else packages.after


def _packages(a: dict[str, str] | None, b: dict[str, str] | None) -> Iterator[Difference]:
    if a is not None and b is not None:
        yield from _values("Packages", dict(sorted(a.items())), dict(sorted(b.items())))
    elif a is not b:
        yield Difference("Packages", (), "installed packages", _how_many(a), _how_many(b))


def _how_many(packages: dict[str, str] | None) -> str:
    return "could not be read" if packages is None else f"{len(packages)} packages"


def _books(a: Sequence[Book], b: Sequence[Book]) -> Iterator[Difference]:
    for name, one, other in _pairs(a, b, lambda book: book.name):
        yield from _status((), name, one, other)
        if one and other:
            for title, first, second in _pairs(one.steps, other.steps, lambda step: step.title):
                yield from _status((name,), title, first, second)
                if first and second:
                    yield from _step((name, title), first, second)
            yield from _facts(one, other)


def _status(where: Where, what: str, a: Book | Step | None, b: Book | Step | None) -> Iterator[Difference]:
    if _outcome(a) != _outcome(b):
        yield Difference("Status", where, what, _in_words(a), _in_words(b))


def _outcome(part: Book | Step | None) -> tuple[str, ...]:
    return (part.status, part.cause, quiet(part.reason)) if part else ()


def _in_words(part: Book | Step | None) -> str:
    return ": ".join(filter(None, (part.status, part.reason))) if part else NONE


def _facts(a: Book, b: Book) -> Iterator[Difference]:
    one, other = ({n: quiet_value(fact) for n, fact in book.facts.items() if n != _REPEATED} for book in (a, b))
    for each in _values("Facts", one, other):
        yield Difference("Facts", (a.name,), each.what, _value(a.facts, each.what), _value(b.facts, each.what))


def _step(where: Where, a: Step, b: Step) -> Iterator[Difference]:
    for _, one, other in _pairs(a.results, b.results, lambda result: str(result.get("resource")), alike=_kind):
        yield from _resource(where, one or {}, other or {})
    for _, one, other in _pairs(a.checks, b.checks, lambda check: str(check.get("check")), alike=_kind):
        yield from _check(where, one or {}, other or {})


def _kind(name: str) -> str:
    return name.partition(" ")[0]


def _resource(where: Where, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    if _result(a) != _result(b):
        done = [Done(run, tuple(each["actions"]), each.get("diff", "")) for run, each in (("A", a), ("B", b)) if each.get("actions")]  # fmt: skip
        if len(done) == 2 and done[0] == replace(done[1], run="A"):
            done = [replace(done[0], run="A and B")]
        names = _names(a.get("resource"), b.get("resource"))
        yield Difference("Resources", where, names, a.get("status", NONE), b.get("status", NONE), tuple(done))


def _result(result: dict[str, Any]) -> tuple[Any, ...]:
    done = [digestless(str(each)) for each in (*result.get("actions", []), result.get("diff", ""))]
    return result.get("resource"), result.get("status"), done


def _check(where: Where, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    alike = [(check.get("check"), check.get("ok"), check.get("expected")) for check in (a, b)]
    # What came of a check that passed is a measurement, or how often it had to try.
    passed = a.get("ok") and b.get("ok")
    if alike[0] != alike[1] or not (passed or quiet(str(a.get("came"))) == quiet(str(b.get("came")))):
        yield Difference("Checks", where, _names(a.get("check"), b.get("check")), _judged(a), _judged(b))


def _judged(check: dict[str, Any]) -> str:
    if not check:
        return NONE
    word = "passed" if check.get("ok") else "failed"
    return f"{word}: {check.get('came', '')} (expected: {check.get('expected', '')})"


def _names(a: object, b: object) -> str:
    return " → ".join(dict.fromkeys(str(name) for name in (a, b) if name is not None))


def _pairs(
    a: Sequence[T], b: Sequence[T], name: Callable[[T], str], alike: Callable[[str], str] = str
) -> Iterator[tuple[str, T | None, T | None]]:
    """What belongs together by its name, with that name; else by its place, if the names are `alike`.

    So "swap /swapfile, 0 MB" and "swap /swapfile, 512 MB" are one resource whose parameter was changed.
    """
    one, other = [name(each) for each in a], [name(each) for each in b]
    for _, i, j, k, m in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if [alike(each) for each in one[i:j]] == [alike(each) for each in other[k:m]]:
            yield from zip(one[i:j], a[i:j], b[k:m], strict=True)
        else:
            yield from ((name(each), each, None) for each in a[i:j])
            yield from ((name(each), None, each) for each in b[k:m])


def text(comparison: Comparison) -> str:
    """The comparison for a terminal or a mail; the last line says in words how much differs."""
    lines = [_head("A", comparison.a), _head("B", comparison.b)]
    for kind, found in comparison.groups():
        lines += ["", kind]
        for each in found:
            lines.append("  " + " › ".join((*each.where, f"{each.what}: {each.a} → {each.b}")))
            for done in each.done:
                lines += [f"      {done.run}: {action}" for action in done.actions]
                lines += [f"         {line}" for line in done.diff.splitlines()]
    return "\n".join([*lines, "", comparison.last_line])


def _head(letter: str, record: Record) -> str:
    return f"{letter}  {record.site}/{record.run}  {summary.when(record.started)}  {record.mode}  {record.status}"
