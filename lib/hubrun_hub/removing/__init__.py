"""Removes people and courses from a server, for good; run by root, and only the standard library is used here.

`whose` finds who is meant, `look` counts what there is of them, `people` and `course` remove it, `receipt` keeps what
a data protection officer wants to see.

While the hub is stopped, for seconds, everything is put out of the way by renames: homes go into the volume of TRASH,
folders of courses into TRASH beside them, where no launch finds them; then the people are forgotten in all databases, and the
hub starts again. What takes long, the removal of files, comes after that. So whoever comes next with the same name gets
nothing of it, and nobody waits.

NOTE says what was begun. A removal that was killed is carried on by the same command; the hub stays stopped until then,
where it was.

What people's containers wrote is reached by a bind mount that follows no link (`backup.tree`), and gradebooks are opened
with the rights of their owner alone (`joining.confined`).
"""

from pathlib import Path

KEPT = Path("/var/lib/hubrun")
NOTE = KEPT / "removing.json"
ARCHIVES = KEPT / "archives"
RECEIPTS = KEPT / "removed"
# A folder below that of courses, and a volume of Docker's. Neither can be a course's or a person's.
TRASH = ".removing"
TRASH_VOLUME = "hubrun-removing"
