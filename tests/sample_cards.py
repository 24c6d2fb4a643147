"""A notebook with one card of each kind, as a run leaves them: for pictures, and for tests of how cards look."""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hubrun.desired.cards import Card, Row, results_card
from hubrun.desired.cell_errors import error_card, error_line
from hubrun.desired.checks import Check, check_card
from hubrun.desired.resource import Action, Result, unified
from hubrun.errors import CommandFailed, HubrunError, Unreachable

_CONFIG = "/etc/nginx/conf.d/jupyterhub-https.conf"
_DIFF = unified(_CONFIG, "client_max_body_size 1m;\n", "client_max_body_size 100m;\nproxy_read_timeout 1d;\n")
_WRITE = Action(f"write {_CONFIG}", "mktemp …", f"editor {_CONFIG}", diff=_DIFF)
_INSTALL = Action("install nginx", "apt-get install --no-install-recommends nginx")
_LOG = "\n".join(f"Get:{n} https://deb.debian.org/debian bookworm/main amd64 package-{n}" for n in range(1, 400))


def _failed() -> tuple[Card, HubrunError]:
    error = CommandFailed(
        "install nginx: E: Failed to fetch https://deb.debian.org/debian/pool/nginx.deb  Connection timed out",
        "packages nginx",
        "A download failed: check that the server reaches the outside and run it again",
    )
    results = [
        Result("packages ca-certificates", "ok"),
        Result("packages nginx", "failed", [_INSTALL], _LOG + "\nE: Failed to fetch nginx.deb  Connection timed out\n", 31.2),
        Result(f"file {_CONFIG}", "not run", [_WRITE]),
    ]  # fmt: skip
    return results_card(results, 31.4, error=error), error


def _cards() -> dict[str, tuple[Card, HubrunError | None]]:
    failed, why = _failed()
    unreachable = Unreachable(
        "its host key is not the one that is known",
        "root@hub.example.edu:22",
        "Ask your provider whether the server was set up again; then remove the old key: ssh-keygen -R hub.example.edu",
    )
    login = error_card(unreachable, None)
    assert login
    checks = [
        Check("plain HTTP leads to HTTPS", True, "301", "301"),
        Check("the hub answers", False, "exit code 0 and output with ok", "exit code 7, Connection refused", "Look at `journalctl -u jupyterhub -n 50` on the server"),
    ]  # fmt: skip
    target = [
        Row("site", "biology: https://hub.example.edu"),
        Row("server", "root@hub.example.edu:22, host key SHA256:Uf3WTkxrAjNpOOQ5vAfO8cCgNnWfyQvD8Gm9e7xUj1k"),
        Row("system", "Debian GNU/Linux 12 (bookworm) on hub, amd64, 4 CPUs, 7950 MB"),
        Row("mode", "install: what differs will be changed"),
    ]
    shown = [Result(f"file {_CONFIG}", "would change", [_WRITE]), Result("service nginx.service", "would change", [Action("reload nginx", "systemctl reload nginx")])]  # fmt: skip
    return {
        "Target": (Card("Target", target, {}, ("about", "value", "")), None),
        "Nothing to do": (results_card([Result("packages python3, sudo, curl", "ok"), Result("host name", "ok")], 0.3), None),
        "Changed": (results_card([Result("packages nginx", "changed", [_INSTALL], _LOG, 12.8), Result(f"file {_CONFIG}", "changed", [_WRITE], "", 0.2)], 13.1), None),
        "Would change": (results_card(shown, 0.4, "Run this cell again to do this."), None),
        "Failed": (failed, why),
        "Refused": (login, unreachable),
        "Checks": (check_card([Check(f"port {port} is closed", True, "refused", "refused") for port in (8000, 8001)]), None),
        "Checks that failed": (check_card(checks), CommandFailed("the hub answers: expected ok, came exit code 7", "hub")),
        "Not checked": (Card("would be known after the changes above", [Row("not checked", "nginx answers at port 443")], {}, ("status", "check", "")), None),
        "Interrupted": (results_card([Result("image hubrun-singleuser", "interrupted", [Action("build the image", "docker build …")], _LOG, 48.0), Result("service docker", "not run", [_INSTALL])], 48.2), None),
    }  # fmt: skip


def notebook() -> NotebookNode:
    """The notebook: a heading and a code cell for each kind of card; those that failed with their error."""
    cells: list[Any] = []
    for number, (title, (card, error)) in enumerate(_cards().items(), 1):
        outputs = [new_output("display_data", card._repr_mimebundle_())]
        if error:
            outputs.append(new_output("error", ename=type(error).__name__, evalue=str(error), traceback=[error_line(error)]))  # fmt: skip
        cell = new_code_cell("server.ensure(…)", execution_count=number, outputs=outputs)
        cell.metadata["hubrun"] = {"status": "failed" if error else "ok", "reason": str(error or "")}
        cells += [new_markdown_cell(f"## {title}"), cell]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})
