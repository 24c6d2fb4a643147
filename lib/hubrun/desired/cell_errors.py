"""How an error in a cell looks: one card that says what to do, and one line for the programs that run notebooks."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from hubrun.control_characters import in_one_line
from hubrun.desired.cards import Card, ProgressLine, Row, error_row, what_next
from hubrun.errors import HubrunError
from hubrun.redaction.secret import Secret

_OURS = Path(__file__).parents[1]


def show_errors_as_cards() -> None:
    """From now on, errors in this notebook's cells are shown as cards. Outside of IPython nothing happens.

    The cell has failed all the same: programs get its error with name and text, and what stands behind it does not run.
    """
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((Exception, KeyboardInterrupt), _show)


def error_line(error: BaseException) -> str:
    """What is shown in place of a traceback: the error's name, where, and what."""
    said = str(error)
    if isinstance(error, HubrunError):
        said = f"{error.where}: {error.what}" if error.where else error.what
    return in_one_line(Secret.redact(": ".join(filter(None, (type(error).__name__, said)))))


def error_card(error: Exception, trace: TracebackType | None) -> Card | None:
    """The card of an error, with what to do; None where a card has said it already, or Python's own words will do.

    trace: where it was raised, from the cell on.
    """
    if isinstance(error, HubrunError):
        return None if error.shown else _card(error_row(error), what_next(error))
    if any(Path(frame.filename).is_relative_to(_OURS) for frame in traceback.extract_tb(trace)):
        said = "This is a fault of hubrun, and not of your server: report it, with the traceback below."
        log = "".join(traceback.format_exception(type(error), error, trace))
        return _card(Row("failed", error_line(error), said=said, log=log))
    if isinstance(error, NameError):
        said = "An earlier cell makes it: run the cells above, from Parameters on."
        return _card(Row("failed", error_line(error), said=said))
    return None


def _card(row: Row, note: str = "") -> Card:
    return Card("Failed", [row], {}, ("status", "what", ""), note)


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: Any = None
) -> list[str]:
    """A handler for IPython's set_custom_exc: shows the error, and returns the lines that stand for its traceback."""
    if isinstance(error, Exception):
        card = error_card(error, trace.tb_next)  # without IPython's own frame
        if card:
            ProgressLine().finish(card)
        elif not isinstance(error, HubrunError):
            shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
            return list(getattr(shell, "_last_traceback", None) or [error_line(error)])
    shell._showtraceback(kind, error, [error_line(error)])
    return [error_line(error)]
