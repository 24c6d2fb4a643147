"""What a runbook calls first: its parameters, checked, as a site."""

from __future__ import annotations

import gc
import importlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from hubrun import params
from hubrun.desired.cell_errors import show_errors_as_cards
from hubrun.desired.current_cell import current_cell
from hubrun.desired.server import Server
from hubrun.environment import ENGINE, MESSAGE, PENDING, PROJECT
from hubrun.errors import BadInput, HubrunError
from hubrun.params import Site
from hubrun.redaction.redact import HERE
from hubrun.ssh.prefetch import EXPECTED, Question
from hubrun.ssh.prefetch_store import ProbeStore

_PLAIN = (str, int, float, bool, list, dict, type(None))


def site_from(namespace: Mapping[str, Any]) -> Site:
    """The site that a notebook's variables describe: call it as `site_from(globals())`, after the parameters cell.

    Raises BadInput for an unknown name, a wrong type, or a missing value.
    """
    # Papermill starts in the project's folder, a JupyterLab of one's own in runbooks/: relative paths mean the same in both.
    os.chdir(PROJECT)
    show_errors_as_cards()
    _listen()
    given = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and name not in ("In", "Out") and isinstance(value, _PLAIN)
    }
    before = namespace.get("site")
    if isinstance(before, Site):  # the cell that calls this keeps its result there: run again, it means the same site
        given["site"] = before.site
    for name in Site.model_fields.keys() & namespace.keys() - given.keys():
        kind = type(namespace[name]).__name__
        raise BadInput(f"{name} is of type {kind}, no value of a parameter", "parameters cell", "Run it again")
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

    # The summary needs it, and it takes longest of what a runbook imports: a server's answers are waited for meanwhile.
    threading.Thread(target=importlib.import_module, args=("scrapbook",), daemon=True).start()
    shell = get_ipython()
    if shell is not None:
        gc.freeze()  # what was imported stays: the collection that IPython makes now need not look through it
        shell.reset(new_session=True)
    os.environ[PENDING] = pending
    EXPECTED.headless = True
    EXPECTED.runbooks = [[Question(*each) for each in questions] for questions in json.loads(expected)]
    EXPECTED.asked.clear()


def answer(function: str, argument: str) -> str:
    """What `log_in` or `probe` returns for its arguments, or which error of ours it raises, as JSON: for the runner."""
    calls: dict[str, Callable[..., Any]] = {"log_in": log_in, "probe": probe}
    try:
        return json.dumps({"value": calls[function](**json.loads(argument))})
    except HubrunError as error:
        return json.dumps({"error": type(error).__name__, "says": error.args})


def log_in(given: dict[str, Any], ahead: list[str], books: list[str]) -> tuple[dict[str, str], list[str]]:
    """Log in to the site's server, before any runbook, with the login that they will use: what it is.

    ahead: questions that are asked with that one; their answers come too. books: those that are to run. Their questions are
    asked from now on; not of one that leaves traces, for which there has to be a record: they are asked when it begins.
    """
    os.chdir(PROJECT)
    _listen()
    site = params.build(given, "parameters")
    EXPECTED.headless = True
    EXPECTED.runbooks = [[], [Question(script) for script in ahead]]
    server = Server.connect(site)
    expected = ProbeStore(site.site, server.fingerprint).runbooks
    questions = [expected.get(book, []) for book in books]
    EXPECTED.runbooks = [each for each in questions if not any(question.traces for question in each)]
    server.session.prefetched.start([], traces=False)
    _logged_in.append(server)
    return server.identity(), [output.stdout for output in server.session.ask(ahead)]


def probe(scripts: list[str]) -> list[str]:
    """What questions to that server are answered now."""
    return [output.stdout for output in _logged_in[-1].session.ask(scripts, fresh=True)]


# The runner's own server, which no runbook knows.
_logged_in: list[Server] = []


def _listen() -> None:
    """Know the secrets of this process's environment, and tell the engine of these and of others."""
    HERE.learn_environment(os.environ)
    if os.environ.get(ENGINE):
        HERE.told = _tell_engine


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
