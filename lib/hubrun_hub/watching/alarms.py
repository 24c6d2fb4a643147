"""Who is told what, and when: a trouble when it stays, once a day at most, and that it is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hubrun_hub.watching.judge import Trouble

# The same is not said twice within this long: what is broken is said again each day, a warning each week.
AGAIN_S = {"broken": 86400.0, "warning": 7 * 86400.0}
_DAY_S = 86400.0


class Look(NamedTuple):
    """What one look comes to. say: new troubles, or such as are due once more; over: those that are gone, key → text.

    state: what to remember where nothing could be sent; `told` where it was.
    """

    say: list[Trouble]
    over: dict[str, str]
    state: dict[str, Any]


def look(state: Mapping[str, Any], troubles: Sequence[Trouble], now: float, whole: bool) -> Look:
    """What to say at `now`, by what was remembered (`state`) and what is trouble.

    A trouble counts from the second look on: a hub that restarts is none. whole: everything could be looked at; else
    nothing is believed to be over.
    """
    say: list[Trouble] = []
    kept: dict[str, Any] = {}
    loud = {trouble.key: trouble for trouble in troubles if not trouble.quiet}
    for key, trouble in loud.items():
        before = state.get(key, {})
        opened = before.get("open", False)
        entry = {
            "open": True,
            "level": trouble.level,
            "text": trouble.text,
            "said": before.get("said", {}),
            "told": opened and before.get("told", False),
        }
        said = entry["said"].get(trouble.level)
        if opened and (said is None or now - said >= (AGAIN_S[trouble.level] if entry["told"] else _DAY_S)):
            say.append(trouble)
        kept[key] = entry
    over: dict[str, str] = {}
    for key, before in state.items():
        if key in loud:
            continue
        if before["open"] and (before["told"] or not whole):
            kept[key] = before
            if whole:
                over[key] = before["text"]
        elif any(now - said < _DAY_S for said in before["said"].values()):
            kept[key] = {**before, "open": False, "told": False}
    return Look(say, over, kept)


def told(found: Look, now: float) -> dict[str, Any]:
    """What to remember once it was sent."""
    kept = {key: dict(entry) for key, entry in found.state.items()}
    for trouble in found.say:
        kept[trouble.key] |= {"told": True, "said": {**kept[trouble.key]["said"], trouble.level: now}}
    for key in found.over:
        kept[key] |= {"open": False, "told": False}
    return kept


def message(domain: str, found: Look) -> tuple[str, str]:
    """Subject and text of what is sent."""
    counts = [f"{len(found.say)} to look at"] * bool(found.say) + [f"{len(found.over)} over"] * bool(found.over)
    lines = [f"{trouble.level.upper()}: {trouble.text}\n    {trouble.do}" for trouble in found.say]
    lines += [f"OVER: {text}" for text in found.over.values()]
    return f"{domain}: {', '.join(counts)}", "\n".join([*lines, "", f"./hubrun status shows all of {domain}."])
