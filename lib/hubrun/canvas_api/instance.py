"""One Canvas, brought to a desired state: `Canvas.ensure` is to it what `Server.ensure` is to the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from typing_extensions import override

from hubrun.canvas_api.answers import CanvasFailed
from hubrun.canvas_api.api import Api
from hubrun.canvas_api.canvas_resource import CanvasResource, Change
from hubrun.desired.approval import Approval
from hubrun.desired.cards import ProgressLine, Row, results_card
from hubrun.desired.resource import Result
from hubrun.errors import HubrunError
from hubrun.redaction.secret import Secret


class Canvas:
    """A Canvas, as the person whose token this is; `approval` says whether what is planned is done.

    url: https://HOST. ca_file: PEM file with the CA of a Canvas that browsers do not trust by themselves.
    sleep: waits so many seconds. Raises BadInput for an address, a token or a file that can be none.

    results: what became of each resource. A runbook gives its server's list and approval, so that what it did is counted
    and shown in one place.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        approval: Approval | None = None,
        ca_file: str = "",
        sleep: Callable[[float], None] = time.sleep,
        results: list[Result] | None = None,
    ) -> None:
        self.api = Api(url, token, ca_file, sleep)
        self.approval = approval or Approval()
        self.results: list[Result] = [] if results is None else results

    def ensure(self, *resources: CanvasResource) -> None:
        """Bring Canvas to the state that the resources name, in their order, and show what was done.

        Looks at all of them, plans, makes one change after another, and looks again after each. Raises CanvasRefused
        or CanvasFailed; what was changed before it stays, and the next run goes on from there.
        """
        live, started = ProgressLine(), time.monotonic()
        results: list[Result] | None = None
        notes: list[str] = []
        error: HubrunError | None = None
        self.approval.begin(self.results)
        try:
            live.line("looking in Canvas at " + ", ".join(resource.label for resource in resources))
            looks = [resource.probe(self.api) for resource in resources]
            results = self._plan(resources, looks)
            self.results += results
            if not self.approval.given(self.api.url, results):
                notes = [note for each, found in zip(resources, looks, strict=True) for note in each.notes(found)]
                return
            for result, resource, found in zip(results, resources, looks, strict=True):
                if any(earlier.status == "changed" for earlier in results):
                    found = resource.probe(self.api)
                notes += self._apply(result, resource, found, live)
        except HubrunError as failure:
            error, failure.shown = failure, True
            raise
        finally:
            if results is not None or error:
                card = results_card(results or [], time.monotonic() - started, self.approval.note, error)
                rows = [*card.rows, *(Row("note", note) for note in dict.fromkeys(notes))]
                live.finish(replace(card, rows=rows))

    def _plan(self, resources: Sequence[CanvasResource], looks: Sequence[Mapping[str, Any]]) -> list[Result]:
        """What is to be done to each of the resources."""
        results: list[Result] = []
        # A module that two items want is made once.
        planned: set[tuple[str, str]] = set()
        for resource, found in zip(resources, looks, strict=True):
            actions = [each for each in resource.plan(found) if (each.title, each.shown) not in planned]
            planned |= {(each.title, each.shown) for each in actions}
            results.append(Result(resource.label, "not run" if actions else "ok", list(actions)))
        return results

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
