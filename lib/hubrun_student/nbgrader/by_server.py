"""Collects and autogrades what the server took when it was due (hubrun_hub/autograding), in a container of its own.

It does what formgrader does, by the same calls, for one student after another: each in a process of their own, with an end
to its time, so that no submission holds up others. What a student wrote runs where it always does (`sandbox`), and nothing
of it reaches what this program says.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.api import NbGraderAPI
from nbgrader.apps.baseapp import NbGrader
from nbgrader.utils import temp_attrs

from . import exchange, sandbox, turns
from .grading import SandboxedExecute

# In a course's folder: FAULTS/USER/ASSIGNMENT.txt says why somebody's work could not be autograded.
FAULTS = "not_autograded"
# While others compute this container has a quarter of the processors that one student has (hubrun_hub/autograding).
SLOWER = 4
STUDENT_S = 600.0
# After so long no other student is begun: other courses wait.
RUN_S = 3600.0
# Between two students, for staff who want their turn.
_PAUSE_S = 0.3
_LOCKED_S = 60
_WORDS = 4000

Say = Callable[[Mapping[str, str]], None]


class NotGraded(Exception):
    """Somebody's work could not be autograded; the text says why."""


def api() -> Any:
    """nbgrader for the course in whose folder we are, with more patience: the server is not in a hurry."""
    turns.by_server()
    app = NbGrader()
    app.initialize([])
    if (seconds := SandboxedExecute(parent=app).timeout) and seconds > 0:
        app.config.Execute.timeout = SLOWER * seconds
    course = app.coursedir
    if course.db_url.startswith("sqlite:") and "?" not in course.db_url:
        course.db_url += f"?timeout={_LOCKED_S}"
    return NbGraderAPI(course, parent=app)


def grade(found: Any, assignment: str, users: list[str], feedback: bool, say: Say) -> None:
    """Autograde this assignment of these users. found: nbgrader (`api`).

    feedback: whether it is sent back where nothing of the assignment is graded by hand. What comes of it is said: {"begun":
    user}, and then {"done": user, "words": …} or {"failed": user, "words": …}; {"trouble": words} where nobody's can be.
    """
    folder = Path(found.coursedir.root)
    if trouble := _trouble(found, assignment):
        _note(folder / FAULTS / f"{assignment}.txt", trouble)
        say({"trouble": _short(trouble)})
        return
    _forget(folder / FAULTS / f"{assignment}.txt")
    feedback = feedback and not _by_hand(found, assignment)
    until = time.monotonic() + RUN_S
    for user in users:
        if time.monotonic() > until:
            return
        say({"begun": user})
        note = folder / FAULTS / user / f"{assignment}.txt"
        try:
            words = _apart(lambda user=user: one(found, assignment, user, feedback))
        except turns.Busy as busy:
            say({"trouble": str(busy)})  # who comes after this one would wait as long
            return
        except NotGraded as error:
            _note(note, str(error))
            say({"failed": user, "words": _short(str(error))})
        else:
            _forget(note)
            say({"done": user, "words": words})
        time.sleep(_PAUSE_S)


def one(found: Any, assignment: str, user: str, feedback: bool) -> str:
    """Collect and autograde the work of one student; words that say what came of it. Raises NotGraded, Busy."""
    course = found.coursedir
    submitted, graded = (
        Path(course.format_path(each, user, assignment))
        for each in (course.submitted_directory, course.autograded_directory)
    )
    try:
        with turns.turn(Path(course.root)):
            with temp_attrs(course, student_id=user):
                collected = found.collect(assignment, update=True)
            _well(collected, errors=(exchange.NOT_COLLECTED,))
            if not submitted.is_dir():
                _well(collected, errors=("[ERROR]",))
                return "nothing was handed in"
            _well(found.autograde(assignment, user, force=_is_half_done(graded)))
            if not feedback or _waits_for_a_person(found, assignment, user):
                return "graded"
            _well(found.generate_feedback(assignment, user, force=True))
            _well(found.release_feedback(assignment, user), errors=("[ERROR]",))
            return "graded, and feedback released"
    except OSError as error:
        raise NotGraded(str(error)) from error


def _well(result: Mapping[str, Any], errors: tuple[str, ...] = ()) -> None:
    """Raise NotGraded where nbgrader failed, or its log has one of these `errors`, after which it went on."""
    log = str(result.get("log", ""))
    if not result["success"] or any(each in log for each in errors):
        raise NotGraded(log[-_WORDS:] or str(result.get("error", ""))[-_WORDS:] or "nbgrader says nothing")


def _short(log: str) -> str:
    """The line of a log that says most: the last one of a traceback, where there is one; else the last one."""
    lines = [line.strip() for line in log.splitlines() if line.strip()] or [""]
    return next((line for line in reversed(lines) if not line.startswith("[")), lines[-1])[:300]


def _is_half_done(graded: Path) -> bool:
    """Whether autograding was ended within this submission: nbgrader would take it for done. It forbids writing at the end
    (converters/base.py, set_permissions)."""
    books = list(graded.glob("*.ipynb"))
    return graded.is_dir() and (not books or any(book.stat().st_mode & 0o200 for book in books))


def _trouble(found: Any, assignment: str) -> str:
    """Why nobody's work of this assignment can be autograded; "" where it can."""
    try:
        with Gradebook(found.coursedir.db_url, found.coursedir.course_id) as gradebook:
            if gradebook.find_assignment(assignment).notebooks:
                return ""
    except MissingEntry:
        pass
    except Exception as error:  # SQLAlchemy's: locked, damaged, of another version of nbgrader
        return f"The gradebook cannot be used: {error}"
    return f"The gradebook has no assignment {assignment}: generate it in formgrader."


def _by_hand(found: Any, assignment: str) -> bool:
    """Whether a person grades something of it: a task, or an answer that has points (nbgrader, "Manually graded cells")."""
    with Gradebook(found.coursedir.db_url, found.coursedir.course_id) as gradebook:
        return any(
            book.task_cells or {cell.name for cell in book.grade_cells} & {cell.name for cell in book.solution_cells}
            for book in gradebook.find_assignment(assignment).notebooks
        )


def _waits_for_a_person(found: Any, assignment: str, user: str) -> bool:
    with Gradebook(found.coursedir.db_url, found.coursedir.course_id) as gradebook:
        return bool(gradebook.find_submission(assignment, user).needs_manual_grade)


def _note(path: Path, words: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n{words.rstrip()}\n", encoding="utf-8")


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
    for folder in (path.parent, path.parent.parent):
        if FAULTS in folder.parts and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _apart(work: Callable[[], str]) -> str:
    """What `work` returns, done in a process of its own. Raises NotGraded, also where that does not come to an end in time, and
    Busy.

    Its output goes nowhere: kernels inherit it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_apart(work, writing)
    os.close(writing)
    said, until = b"", time.monotonic() + STUDENT_S
    try:
        while select.select([reading], [], [], max(0.0, until - time.monotonic()))[0]:
            if not (part := os.read(reading, 1 << 16)):
                break
            said += part
        else:
            os.kill(child, signal.SIGTERM)
            raise NotGraded(f"It was not done within {STUDENT_S / 60:.0f} minutes.")
    finally:
        os.close(reading)
        os.waitpid(child, 0)
    how, _, words = said.decode(errors="replace").partition("\n")
    if how == "busy":
        raise turns.Busy(words)
    if how != "well":
        raise NotGraded(words or "It was ended from outside: it may have needed more memory than there is.")
    return words


def _be_apart(work: Callable[[], str], writing: int) -> None:
    """In the child: the supervisor of `sandbox` stays, and ends whatever is left; its own child works."""
    try:
        sandbox.supervise()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for each in (0, 1, 2):
            os.dup2(nowhere, each)
        try:
            said = f"well\n{work()}"
        except turns.Busy as busy:
            said = f"busy\n{busy}"
        except NotGraded as error:
            said = f"not\n{error}"
        except BaseException as error:
            said = f"not\n{error!r}"
        with open(writing, "w", encoding="utf-8") as file:
            file.write(said)
    finally:
        os._exit(0)
