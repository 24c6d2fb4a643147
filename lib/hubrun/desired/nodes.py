"""The nodes of a site: further servers, reached all at once, each step shown as one card whose rows name the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, TypeVar

from hubrun.desired.cards import Card, ProgressLine, Row, results_card, what_next
from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource, Result
from hubrun.desired.server import Server
from hubrun.errors import BadInput, CommandFailed, HubrunError, Unreachable
from hubrun.params.nodes import Node
from hubrun.ssh.output import Output

# What is wanted of all nodes, or a function of the node where they differ.
Wanted = Resource | Callable[[Node], Sequence[Resource]]
WantedTest = Test | Callable[[Node], Sequence[Test]]
_LOOK_S = 0.25
_Found = TypeVar("_Found")


class Nodes:
    """The site's nodes, with a login on each. Made by `Nodes.connect(server)`; a site without any does nothing, and says nothing.

    What is done to them belongs to the server's results, its record and its approval: `server` is the site's own.
    """

    def __init__(self, server: Server, servers: dict[str, Server]) -> None:
        self.server = server
        self.servers = servers
        self.of = {node.name: node for node in server.site.nodes}

    @classmethod
    def connect(cls, server: Server) -> Nodes:
        """Log in to all of them at once, in the mode of the server's. Raises Unreachable that names each that cannot be, and
        BadInput where two are one machine."""
        made = cls(server, {})

        def log_in(name: str, _: _Line) -> Server:
            mode = server.approval
            found = Server.connect(server.site.of_node(made.of[name]), mode.check_mode, mode.plan_first, name)
            found.approval = mode
            return found

        made.servers, errors = _at_once(made.of, log_in, ProgressLine(), made.close)
        if errors:
            first = next(iter(errors.values()))
            both = type(first) if len({type(each) for each in errors.values()}) == 1 else Unreachable
            raise _joined(errors, both)
        try:
            _check_apart(server, made.servers)
        except BadInput:
            made.close()
            raise
        return made

    def __iter__(self) -> Iterator[Node]:
        return iter(self.of.values())

    def ensure(self, *wanted: Wanted) -> None:
        """Bring all nodes to the state that the resources name, at once, as `Server.ensure` does one.

        What one of them fails at does not stop the others. Raises CommandFailed that names each that failed.
        """
        if not self.servers:
            return
        live, started, approval = ProgressLine(), time.monotonic(), self.server.approval
        resources = {name: _of(self.of[name], wanted) for name in self.servers}
        looks: dict[str, tuple[list[Result], list[str]]] = {}
        errors: dict[str, HubrunError] = {}

        def look(name: str, line: _Line) -> tuple[list[Result], list[str]]:
            line.line("looking at " + ", ".join(resource.label for resource in resources[name]))
            return self.servers[name].look(resources[name])

        def apply(name: str, line: _Line) -> None:
            self.servers[name].apply(looks[name][0], resources[name], line)

        approval.begin(self.server.results)
        try:
            looks, errors = _at_once(self.servers, look, live, self.close)
            results = [result for found, _ in looks.values() for result in found]
            self.server.results += results
            writes = [path for _, written in looks.values() for path in written]
            where = " ".join(each.fingerprint for each in self.servers.values())
            if not errors and approval.given(where, results, writes):
                todo = [name for name, (found, _) in looks.items() if any(result.actions for result in found)]
                _, errors = _at_once(todo, apply, live, self.close)
            if errors:
                failure = _joined(errors, CommandFailed)
                failure.shown = True
                raise failure
        finally:
            if looks or errors:
                shown = {name: found for name, (found, _) in looks.items()}
                live.finish(_card(shown, time.monotonic() - started, approval.note, errors))

    def check(self, *tests: WantedTest) -> None:
        """Run tests on all nodes at once, and show them with the node's name. Raises CheckFailed when any fails."""
        if not self.servers:
            return
        named = {name: _of(self.of[name], tests) for name in self.servers}
        titles = [f"{name}: {test.title}" for name, own in named.items() for test in own]
        if self.server.pending:
            self.server.unchecked(titles)
            return
        check_mode = self.server.check_mode
        todo = {name: [test for test in own if not (check_mode and test.traces)] for name, own in named.items()}
        found = self._all(
            [name for name, own in todo.items() if own], lambda name: self.servers[name].judge(todo[name])
        )
        checks = [replace(check, name=f"{name}: {check.name}") for name, own in found.items() for check in own]
        if checks:
            self.server.require(*checks)
        left = [f"{name}: {test.title}" for name, own in named.items() for test in own if test not in todo[name]]
        if left:
            self.server.unchecked(left)

    def probe(self, snippet: str) -> dict[str, Output]:
        """What a read-only snippet prints on each node, by name. Raises CommandFailed where one cannot be asked."""
        return self._all(self.servers, lambda name: self.servers[name].probe(snippet)[0])

    def _all(self, names: Collection[str], work: Callable[[str], _Found]) -> dict[str, _Found]:
        """What the work for each of these nodes returns. Raises CommandFailed that names each that failed."""
        found, errors = _at_once(names, lambda name, _: work(name), ProgressLine(), self.close)
        if errors:
            raise _joined(errors, CommandFailed)
        return found

    def close(self) -> None:
        """End the connections: what still goes on there ends with an error."""
        for each in self.servers.values():
            each.close()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        rows = [
            Row(name, f"{each.session.where}, host key {each.fingerprint}", f"{each.facts['cpus']} CPUs, {each.facts['memory_mb']} MB")
            for name, each in self.servers.items()
        ]  # fmt: skip
        data = {"nodes": {name: each.identity() for name, each in self.servers.items()}}
        title = (
            f"{len(rows)} node{'s' if len(rows) != 1 else ''}"
            if rows
            else "No nodes: students' containers run on the server"
        )
        return Card(title, rows, data, ("node", "server", "size"))._repr_mimebundle_()


class _Line:
    """Where the thread of one node says what it does; the main thread shows it."""

    def __init__(self) -> None:
        self.text = ""

    def line(self, title: str, detail: str = "") -> None:
        """What goes on now."""
        self.text = f"{title} {detail}".strip()


def _check_apart(server: Server, servers: dict[str, Server]) -> None:
    """Raise BadInput where two names, of hosts for example, lead to one machine: what is done for the one would undo the other."""
    seen = {server.session.host_key: "the site's own server"}
    for name, each in servers.items():
        if other := seen.get(each.session.host_key):
            raise BadInput(
                f"node {name} has the SSH host key of {other}: they are one machine, or copies of one", each.session.where,
                "Take one of them out of `nodes`. Copies need keys of their own: "
                "rm /etc/ssh/ssh_host_*, ssh-keygen -A, systemctl restart ssh",
            )  # fmt: skip
        seen[each.session.host_key] = f"node {name}"


def _of(node: Node, wanted: Sequence[Any]) -> list[Any]:
    """All that is wanted of this node."""
    return [one for each in wanted for one in (each(node) if callable(each) else (each,))]


def _at_once(
    names: Collection[str], work: Callable[[str, _Line], _Found], live: ProgressLine, stop: Callable[[], None]
) -> tuple[dict[str, _Found], dict[str, HubrunError]]:
    """Do the work for each of these nodes in a thread; what it returned, and the HubrunErrors that it raised, by name.

    stop: makes all of them end soon, when a person interrupts.
    """
    if not names:
        return {}, {}
    lines = {name: _Line() for name in names}
    with ThreadPoolExecutor(len(names), thread_name_prefix="node") as pool:
        futures = {name: pool.submit(work, name, line) for name, line in lines.items()}
        try:
            while wait(futures.values(), _LOOK_S).not_done:
                going = {name: lines[name].text for name, future in futures.items() if not future.done()}
                live.lines([f"{name}: {text}" for name, text in going.items() if text])
        except BaseException:
            stop()
            raise
    errors = {name: error for name, each in futures.items() if isinstance(error := each.exception(), HubrunError)}
    return {name: each.result() for name, each in futures.items() if name not in errors}, errors


def _joined(errors: dict[str, HubrunError], kind: type[HubrunError]) -> HubrunError:
    """One error that says what happened on each."""
    what = "; ".join(f"{name}: {each.what}" for name, each in errors.items())
    where = ", ".join(each.where or name for name, each in errors.items())
    remedy = "; ".join(dict.fromkeys(each.remedy for each in errors.values() if each.remedy))
    return kind(
        what, where, remedy, "\n".join(f"{name}:\n{each.detail}" for name, each in errors.items() if each.detail)
    )


def _card(results: dict[str, list[Result]], seconds: float, note: str, errors: dict[str, HubrunError]) -> Card:
    """The card of all nodes' results; of each node that failed, why, where it failed."""
    card = results_card([each for found in results.values() for each in found], seconds, note)
    if not errors:
        return card
    bad = {
        name: next((r.label for r in results.get(name, ()) if r.status in ("failed", "interrupted")), "")
        for name in errors
    }
    why = {bad[name] or name: error for name, error in errors.items()}
    rows = [
        Row("failed", name, said=_said(errors[name]), log=errors[name].detail)
        for name, label in bad.items()
        if not label
    ]
    for row in card.rows:
        error = why.get(row.what)
        detail = error.detail if error and error.detail not in row.log else ""
        rows.append(replace(row, said=_said(error), more="\n".join(filter(None, (row.more, detail)))) if error else row)
    title = card.title if any(bad.values()) else f"failed in {seconds:.1f} s"
    return replace(card, title=title, rows=rows, note=what_next(next(iter(errors.values()))))


def _said(error: HubrunError) -> str:
    return "\n".join(filter(None, (error.what, f"To do: {error.remedy}" if error.remedy else "")))
