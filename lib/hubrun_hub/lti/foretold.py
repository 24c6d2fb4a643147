"""The hub user whom somebody's first launch will give them, where the LMS lists people who never came (`services.roster`).

It is what the launch itself would find (`resolution`), tried and taken back; and where that depends on what the list does not
say, or on who comes first, it is nobody: a name in a teacher's list must not be another person's.
"""

from __future__ import annotations

from . import user_names
from .people import EXACT_KEYS, Unusable, compared
from .presets import is_vouched
from .resolution import Resolution

# Of Canvas's people this is one for life, as the ids of a launch are; a list by hand has no other.
_CANVAS_ID = "custom_canvas_user_id"


def foretold(resolution: Resolution) -> str:
    """The hub user; "" where it is not certain. `resolution` may write: whoever calls this takes that back."""
    seen, db = resolution.seen, resolution.db
    if not seen.ids:
        return _listed(resolution)
    ((last,),) = db.execute("SELECT ifnull(max(number), 0) FROM person").fetchall()
    try:
        user = resolution.found()[0].user
    except Unusable:
        return ""
    ((number,),) = db.execute("SELECT number FROM person WHERE user = ?", (user,)).fetchall()
    if number <= last or (resolution.hub.exists(user) and user == _plain(resolution)):
        return user
    # Whom a launch may know by an id of LTI 1.1 that the list does not say.
    by_11 = "SELECT 1 FROM stable_id WHERE version = '1.1' AND consumer = ? LIMIT 1"
    if not seen.id_11 and any(db.execute(by_11, (each,)).fetchone() for each in resolution.consumers):
        return ""
    return user if user == _plain(resolution) else ""


def _plain(resolution: Resolution) -> str:
    """The name that the value of lti_username_key gives where nobody else has it; "" where the list does not say that value."""
    seen = resolution.seen
    try:
        return user_names.hub_name(resolution.value, seen.prefix, exact=seen.key in EXACT_KEYS)
    except user_names.NoIdentity:
        return ""


def _listed(resolution: Resolution) -> str:
    """By a list without the ids that a launch has: who came is known by Canvas's id of them, or by the field that names people."""
    seen, db = resolution.seen, resolution.db
    number = compared(_CANVAS_ID, seen.fields.get(_CANVAS_ID, ""))
    people = {*resolution.with_value(_CANVAS_ID, number, True)} if number else set()
    by_key = {*resolution.with_value(seen.key, resolution.value)} if resolution.value else set()
    if people | by_key:
        certain = len(people | by_key) == 1 and (people or is_vouched(seen.lms, seen.key, seen.version))
        (person, *_) = people | by_key
        if not certain or not resolution.agrees(person):
            return ""
        ((user,),) = db.execute("SELECT user FROM person WHERE number = ?", (person,)).fetchall()
        return str(user)
    user = _plain(resolution)
    taken = resolution.hub.exists(user) or db.execute("SELECT 1 FROM person WHERE user = ?", (user,)).fetchone()
    return "" if taken else user
