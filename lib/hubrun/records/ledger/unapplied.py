"""Parameters that a run of some of the runbooks leaves unapplied: others use them too, and applied another value last."""

from __future__ import annotations

from hubrun.errors import BadInput
from hubrun.params import fields
from hubrun.records.ledger.history import History
from hubrun.records.ledger.manifest import Record

# How the server is reached, and what is kept here: nothing of it is applied to the server.
_OURS = ("site", "ssh_", "sudo_", "record", "public_address", "http_port", "trust_ca_file")
# 06 applies nothing.
_APPLY = {"01", "02", "03", "04", "05"}


def unapplied(history: History, record: Record) -> dict[str, list[str]]:
    """Name of a parameter → the runbooks, not part of this run, that applied another value of it when they last ended well.

    A run that cannot be read is passed over: `records verify` names it.
    """
    seen = {book.name[:2] for book in record.runbooks}
    found: dict[str, list[str]] = {}
    for run in reversed(history.runs()):
        if seen >= _APPLY:
            break
        try:
            earlier = run.manifest().predicate
        except BadInput:
            continue
        if earlier.mode not in ("install", "interactive") or earlier.run == record.run:
            continue
        for book in earlier.runbooks:
            partly = any(step.status == "not run" for step in book.steps)
            if book.name[:2] not in _APPLY - seen or book.status not in ("ok", "changed") or partly:
                continue
            seen.add(book.name[:2])
            for name, field in fields(book.name[:2]):
                values = [each.parameters.get(name, field.default) for each in (record, earlier)]
                if values[0] != values[1] and not name.startswith(_OURS):
                    found.setdefault(name, []).append(book.name)
    return {name: sorted(books) for name, books in found.items()}
