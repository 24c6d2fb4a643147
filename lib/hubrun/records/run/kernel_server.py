"""The server as a run's kernel reaches it: by the login that its runbooks use as well, so that a run needs no other."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from jupyter_core.utils import run_sync

from hubrun import errors
from hubrun.environment import MESSAGE
from hubrun.errors import CommandFailed
from hubrun.params import Site
from hubrun.records.ledger import inventory
from hubrun.records.run.kernels import SharedKernel
from hubrun.redaction.redact import HERE
from hubrun.ssh.output import Output

Say = Callable[[str], None]


class KernelServer:
    """A server that the kernel is logged in to. Made by `KernelServer.connect`."""

    def __init__(self, kernel: SharedKernel, say: Say) -> None:
        self._kernel, self._say = kernel, say
        self._identity: dict[str, str] = {}
        self._known: dict[str, str] = {}

    @classmethod
    def connect(cls, site: Site, kernel: SharedKernel, books: Sequence[str], say: Say) -> KernelServer:
        """Let the kernel log in, as `Server.connect` does, whose errors are raised here. books: the runbooks of this run. say:
        gets lines of progress."""
        server = cls(kernel, say)
        script = inventory.script()
        server._identity, (packages,) = server._call("log_in", given=site.given(), ahead=[script], books=list(books))
        server._known = {script: packages}
        return server

    def identity(self) -> dict[str, str]:
        """As `Server.identity`."""
        return self._identity

    def probe(self, *snippets: str) -> list[Output]:
        """As `Server.probe`. What was asked with the login is known once. Raises CommandFailed where no kernel answers."""
        if all(script in self._known for script in snippets):
            return [Output(0, self._known.pop(script)) for script in snippets]
        return [Output(0, text) for text in self._call("probe", scripts=list(snippets))]

    def _call(self, function: str, **arguments: Any) -> Any:
        """What a function of hubrun/runbook.py returns in the kernel, and what it raises."""
        if not self._kernel.free:
            raise CommandFailed("the kernel is not free", function)
        asked = f"__import__('hubrun.runbook').runbook.answer({function!r}, {json.dumps(arguments)!r})"
        try:
            answer = run_sync(self._ask)(self._kernel.client(), asked)
        except RuntimeError as error:  # it never came up
            answer = {"evalue": str(error)}
        if answer.get("status") != "ok":
            raise CommandFailed(f"the kernel gave no answer: {answer.get('evalue', 'it died')}", function)
        reply = json.loads(ast.literal_eval(answer["data"]["text/plain"]))
        if "error" in reply:
            raise getattr(errors, reply["error"])(*reply["says"])
        return reply["value"]

    async def _ask(self, client: Any, expression: str) -> dict[str, Any]:
        """The reply to a user expression (Jupyter's messaging); {} from a kernel that died."""
        asking = asyncio.ensure_future(
            client.execute_interactive(
                "", silent=True, store_history=False, user_expressions={"it": expression}, allow_stdin=False,
                output_hook=self._hear,
            )
        )  # fmt: skip
        while not asking.done():
            await asyncio.wait({asking}, timeout=1)
            if not await client.is_alive():
                asking.cancel()
                return {}
        return dict(asking.result()["content"].get("user_expressions", {}).get("it", {}))

    def _hear(self, message: dict[str, Any]) -> None:
        if message["msg_type"] == MESSAGE:
            HERE.take_in(message["content"]["kind"], message["content"]["what"])
        elif message["msg_type"] in ("display_data", "update_display_data"):
            self._say(message["content"]["data"].get("text/plain", ""))
