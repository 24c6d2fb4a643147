"""What a runbook calls first: its parameters, checked, as a site."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from hubrun import params
from hubrun.desired.cell_errors import show_errors_as_cards
from hubrun.desired.current_cell import current_cell
from hubrun.environment import ENGINE, MESSAGE, PENDING, PROJECT
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.redaction.redact import HERE
from hubrun.ssh.prefetch import EXPECTED, Question

_PLAIN = (str, int, float, bool, list, dict, type(None))


def site_from(namespace: Mapping[str, Any]) -> Site:
    """The site that a notebook's variables describe: call it as `site_from(globals())`, after the parameters cell.

    Raises BadInput for an unknown name, a wrong type, or a missing value.
    """
    # Papermill starts in the project's folder, a JupyterLab of one's own in runbooks/: relative paths mean the same in both.
    os.chdir(PROJECT)
    show_errors_as_cards()
    HERE.learn_environment(os.environ)
    if os.environ.get(ENGINE):
        HERE.told = _tell_engine
    given = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and name not in ("In", "Out") and isinstance(value, _PLAIN)
    }
    for name in ("check", "plan_first"):  # of the run, not of the site
        value = given.pop(name, False)
        if not isinstance(value, bool):
            raise BadInput(f"{name} is {value!r}: must be true or false", "parameters cell")
        if value and name == "plan_first" and not current_cell().id:
            raise BadInput("plan_first is for a person who runs each cell again", "parameters cell", _NOBODY)
    return params.build(
        {name: value for name, value in given.items() if value != "" or name not in _REQUIRED}, "parameters"
    )


def begin(pending: str, expected: str) -> None:
    """The runner calls it in its kernel before each runbook: no name of the one before stays.

    pending: see PENDING. expected: the questions of this runbook and of those after it, as JSON.
    """
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.reset(new_session=True)
    os.environ[PENDING] = pending
    EXPECTED.headless = True
    EXPECTED.runbooks = [[Question(*each) for each in questions] for questions in json.loads(expected)]
    EXPECTED.asked.clear()


def asked() -> str:
    """What this runbook asked of the server until now, as JSON."""
    return json.dumps(list(EXPECTED.asked.values()))


_NOBODY = "Leave it out where a program runs the notebook; check: true shows what would change"
_REQUIRED = tuple(name for name, field in Site.model_fields.items() if field.is_required())


def _tell_engine(kind: str, what: tuple[str, ...]) -> None:
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        shell.kernel.send_response(shell.kernel.iopub_socket, MESSAGE, {"kind": kind, "what": list(what)})
