"""What differs between two runs, line by line: parameters, versions, statuses, checks and facts, without what differs by
nature: times, durations, digests, and measurements in free text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from itertools import chain
from typing import Any

from hubrun.records.ledger import summary
from hubrun.records.ledger.manifest import Manifest, Record
from hubrun.records.ledger.summary import shown

# Server facts and glued values that differ from one look to the next without anybody's doing.
WOBBLES = {"memory_mb", "seconds", "duration", "started", "ended", "time", "date"}
# Glued by every runbook; says again what the server's facts and the steps' results say (Server.summary).
_REPEATED = "summary"
_DIGEST = re.compile(r"\b[0-9a-f]{16,}\b")
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_UNIT = r"(?:ms|s|sec|seconds?|min|minutes?|h|hours?|days?|%|[kMGT]i?B|bytes)"
_FREE = re.compile(
    rf"""
      \d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?
    | \b{_MONTH}\s+\d{{1,2}}\s+(?:\d\d:\d\d(?::\d\d)?)?(?:\s*\d{{4}})?(?:\s+(?:GMT|UTC))?
    | \b\d\d:\d\d(?::\d\d)?(?:\.\d+)?\b
    | \b\d+(?:\.\d+)?\s?{_UNIT}(?!\w)
    | \b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{{6,}}\b  # a part of a digest: both digits and letters
    | \b(?:pid|process)\s\d+
    | /tmp/\S+
    """,
    re.VERBOSE,
)

Line = tuple[str, str]  # as it is compared, and as it is shown


def compare(a: Manifest, b: Manifest) -> list[str]:
    """What differs from run `a` to run `b`: lines "- …" that only `a` has, and "+ …" that only `b` has.

    Each says where it is: "03_https › Port 443 › service nginx: changed". Of a runbook that was tried more than once,
    the last attempt counts.
    """
    packages = _installed(a.predicate), _installed(b.predicate)
    one, other = (
        [*_of_run(record, found, None not in packages), *_of_runbooks(record)]
        for record, found in zip((a.predicate, b.predicate), packages, strict=True)
    )
    differences: list[str] = []
    matcher = SequenceMatcher(None, [line[0] for line in one], [line[0] for line in other], autojunk=False)
    for what, i, j, k, m in matcher.get_opcodes():
        if what != "equal":
            differences += [f"- {line[1]}" for line in one[i:j]] + [f"+ {line[1]}" for line in other[k:m]]
    return differences


def text(a: Manifest, b: Manifest, differences: list[str]) -> str:
    """The comparison for a terminal or a mail; the last line says in words how much differs."""
    return "\n".join([_head("A", a.predicate), _head("B", b.predicate), "", *differences, verdict(differences)])


def verdict(differences: list[str]) -> str:
    """How much differs, in words."""
    count = len(differences)
    return f"{count} line{'s differ' if count > 1 else ' differs'}" if count else "nothing differs"


def _head(letter: str, record: Record) -> str:
    return f"{letter}  {record.site}/{record.run}  {summary.when(record.started)}  {record.mode}  {record.status}"


def _of_run(record: Record, packages: dict[str, str] | None, each: bool) -> Iterator[Line]:
    """What there is once in a run. each: every package; only how many, where one of the two runs could not read them."""
    lasting = {name: fact for name, fact in record.server.items() if name not in WOBBLES}
    parts: dict[str, Mapping[str, Any]] = {
        "parameters": record.parameters,
        "software": record.software.model_dump(),
        "server": lasting,
        "run": {"mode": record.mode, "status": record.status},
        "packages": dict(sorted(packages.items())) if packages and each else {},
    }
    for part, values in parts.items():
        for name, value in values.items():
            yield _line(f"{part} › {name}", shown(value))
    if not each:
        yield _line("packages", "could not be read" if packages is None else f"{len(packages)} packages")


def _installed(record: Record) -> dict[str, str] | None:
    packages = record.packages
    # A check changes nothing, so what was there before is what is there after it.
    return packages.before if record.mode == "check" and packages.after is None else packages.after


def _of_runbooks(record: Record) -> Iterator[Line]:
    for book in summary.latest(record):
        yield _outcome(book.name, book.status, book.cause, book.reason)
        for step in book.steps:
            where = f"{book.name} › {step.title}"
            yield _outcome(where, step.status, step.cause, step.reason)
            yield from chain.from_iterable(_result(where, each) for each in step.results)
            yield from (_check(where, each) for each in step.checks)
        for name, fact in book.facts.items():
            if name != _REPEATED:
                yield _line(f"{book.name} › fact {name}", shown(fact), shown(normalized_value(fact)))


def _outcome(where: str, status: str, cause: str, reason: str) -> Line:
    return _line(where, ": ".join(filter(None, (status, reason))), f"{status} {cause} {normalized(reason)}")


def _result(where: str, result: dict[str, Any]) -> Iterator[Line]:
    where = f"{where} › {result.get('resource')}"
    yield _line(where, str(result.get("status")))
    for line in [*result.get("actions", []), *str(result.get("diff", "")).splitlines()]:
        yield _line(where, str(line), without_digests(str(line)))


def _check(where: str, check: dict[str, Any]) -> Line:
    word = "passed" if check.get("ok") else "failed"
    came, expected = str(check.get("came", "")), check.get("expected", "")
    # What came of a check that passed is a measurement, or how often it had to try.
    compared = "" if check.get("ok") else normalized(came)
    shown_ = f"{word}: {came} (expected: {expected})"
    return _line(f"{where} › check {check.get('check')}", shown_, f"{word}: {compared} (expected: {expected})")


def _line(where: str, said: str, compared: str | None = None) -> Line:
    said = said.replace("\n", " ")
    return f"{where}: {said if compared is None else compared}", f"{where}: {said}"


def normalized(text: str) -> str:
    """Free text without times, durations, amounts, digests and numbers of processes, to compare what is left."""
    return " ".join(_FREE.sub("#", text).split())


def without_digests(text: str) -> str:
    """An action or a diff without digests and random names; amounts stay, as they come from parameters."""
    return _DIGEST.sub("#", text)


def normalized_value(value: Any) -> Any:
    """Plain data without what wobbles, whatever its depth."""
    if isinstance(value, dict):
        return {name: normalized_value(each) for name, each in value.items() if name not in WOBBLES}
    if isinstance(value, list):
        return [normalized_value(each) for each in value]
    return normalized(value) if isinstance(value, str) else value
