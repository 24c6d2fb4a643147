"""One Canvas, brought to a desired state: `Canvas.ensure` is to it what `Server.ensure` is to the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from typing_extensions import override

from hubrun.canvas_api.answers import CanvasFailed
from hubrun.canvas_api.api import Api
from hubrun.canvas_api.canvas_resource import CanvasResource, Change
from hubrun.desired.cards import ProgressLine, Row, results_card
from hubrun.desired.resource import Result, Status
from hubrun.errors import HubrunError
from hubrun.redaction.secret import Secret


class Canvas:
    """A Canvas, as the person whose token this is; `check_mode` looks and plans, and changes nothing.

    url: https://HOST. ca_file: PEM file with the CA of a Canvas that browsers do not trust by themselves.
    sleep: waits so many seconds. Raises BadInput for an address, a token or a file that can be none.

    results: what became of each resource. pending: in check mode, the labels of those that would change. A runbook
    gives its server's lists, so that what it did is counted and shown in one place.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        check_mode: bool = False,
        ca_file: str = "",
        sleep: Callable[[float], None] = time.sleep,
        results: list[Result] | None = None,
        pending: list[str] | None = None,
    ) -> None:
        self.api = Api(url, token, ca_file, sleep)
        self.check_mode = check_mode
        self.results: list[Result] = [] if results is None else results
        self.pending: list[str] = [] if pending is None else pending

    def ensure(self, *resources: CanvasResource) -> None:
        """Bring Canvas to the state that the resources name, in their order, and show what was done.

        Looks at all of them, plans, makes one change after another, and looks again after each. Raises CanvasRefused
        or CanvasFailed; what was changed before it stays, and the next run goes on from there.
        """
        live, started = ProgressLine(), time.monotonic()
        live.line("looking in Canvas at " + ", ".join(resource.label for resource in resources))
        looks = [resource.probe(self.api) for resource in resources]
        results: list[Result] = []
        notes: list[str] = []
        # A module that two items want is made once.
        planned: set[tuple[str, str]] = set()
        for resource, found in zip(resources, looks, strict=True):
            actions = [each for each in resource.plan(found) if (each.title, each.shown) not in planned]
            planned |= {(each.title, each.shown) for each in actions}
            todo: Status = "would change" if self.check_mode else "not run"
            results.append(Result(resource.label, todo if actions else "ok", list(actions)))
            notes += resource.notes(found) if self.check_mode else []
        self.results += results
        try:
            if self.check_mode:
                self.pending += [result.label for result in results if result.actions]
                return
            for result, resource, found in zip(results, resources, looks, strict=True):
                if any(earlier.status == "changed" for earlier in results):
                    found = resource.probe(self.api)
                notes += self._apply(result, resource, found, live)
        finally:
            card = results_card(results, time.monotonic() - started)
            rows = [*card.rows, *(Row("note", note) for note in dict.fromkeys(notes))]
            live.finish(replace(card, rows=rows))

    def _apply(
        self, result: Result, resource: CanvasResource, found: Mapping[str, Any], live: ProgressLine
    ) -> list[str]:
        """Change what differs from what was found; what a person should know besides."""
        started = time.monotonic()
        done: list[Change] = []
        try:
            changes = resource.plan(found)
            while changes:
                done.append(changes[0])
                result.actions = [*done, *changes[1:]]
                live.line(changes[0].title)
                changes[0].apply(self.api)
                found = resource.probe(self.api)
                left = resource.plan(found, done)
                if len(left) >= len(changes):
                    raise CanvasFailed(
                        f"still differs after it was changed: {left[0].title}",
                        result.label,
                        "Canvas does not keep the value, or somebody else changes it back",
                        left[0].diff,
                    )
                changes = left
        except KeyboardInterrupt:
            result.status = "interrupted"
            raise
        except HubrunError:
            result.status = "failed"
            raise
        finally:
            result.seconds = time.monotonic() - started if done else 0.0
        result.actions = list(done)
        result.status = "changed" if done else "ok"
        return resource.notes(found)

    @override
    def __repr__(self) -> str:
        return f"<Canvas {self.api.url}>"
