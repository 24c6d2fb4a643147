"""The machine being set up, reached over one SSH connection."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import override

from hubrun import server_paths
from hubrun.desired.approval import Approval
from hubrun.desired.cards import Card, Live, ProgressLine, Row, results_card
from hubrun.desired.checks import Check, Test, check_card
from hubrun.desired.diagnosis import reason, remedy_for
from hubrun.desired.resource import Action, Resource, Result, facts
from hubrun.environment import PENDING
from hubrun.errors import CheckFailed, CommandFailed, ConnectionLost, HubrunError
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.redaction.server_secrets import ServerSecrets
from hubrun.shell import exports, quote
from hubrun.ssh.output import Output
from hubrun.ssh.session import IS_BUSY, PROBE_SECONDS, Session

_FACTS = """
. /etc/os-release
echo "os=$ID"; echo "version=$VERSION_ID"; echo "codename=${VERSION_CODENAME:-}"; echo "name=$PRETTY_NAME"
echo "hostname=$(hostname)"; echo "kernel=$(uname -r)"; echo "arch=$(dpkg --print-architecture 2>/dev/null || uname -m)"
echo "uid=$(id -u)"; echo "cpus=$(nproc)"
awk '/^MemTotal/ {printf "memory_mb=%d\\n", $2 / 1024}' /proc/meminfo
# machine-id(5): the id itself is to be kept confidential, a hash of it with something of one's own is not
echo "machine_id_sha256=$({ cat /etc/machine-id; echo hubrun; } | sha256sum | cut -d' ' -f1)"
"""


# Of each build in the background that came to nothing, the end of what it said (resources/begun_build.py).
_FAILED_BUILDS = f"""
for each in {server_paths.BUILDS}/*/failed; do [ ! -e "$each" ] || {{ echo "it was ended"; tail -n 60 "${{each%/failed}}/log"; }}; done
"""


class Server:
    """One server. Made by `Server.connect(site)`; `check_mode` probes and plans, and touches nothing.

    approval: whether what is planned is done. node: which of the site's nodes it is, and what results are named with; "": the
    site's own server.
    """

    def __init__(self, session: Session, check_mode: bool = False, plan_first: bool = False) -> None:
        self.session = session
        self.site = session.site
        self.node = session.node
        self.earlier = os.environ.get(PENDING, "") if check_mode else ""
        self.approval = Approval(check_mode, plan_first, [self.earlier] if self.earlier else [])
        self.results: list[Result] = []
        self.facts: dict[str, str] = {}
        self._news: list[str] = []
        self._told: list[str] = []
        self._secrets = ServerSecrets()

    @classmethod
    def connect(cls, site: Site, check_mode: bool = False, plan_first: bool = False, node: str = "") -> Server:
        """Log in, become root, and read what the server is.

        check_mode: nothing is changed. plan_first: each step shows its plan, and does it when its cell is run again. node: as
        in Session.open.

        Raises Unreachable (wrong host, key, host key, sudo password) or BadInput (a parameter points nowhere).
        """
        session = Session.open(site, node)
        server = cls(session, check_mode, plan_first)
        first = [IS_BUSY + _FACTS + _ran_here(site), server._secrets.probe(), _FAILED_BUILDS]
        try:
            session.prefetched.start(first, traces=not check_mode)
            found, digests, failed = session.ask(first)
            if "busy" in facts(found.stdout) and not check_mode:
                live = ProgressLine()
                session.wait_for_earlier_run(live.line)
                session.prefetched.forget()
                found, digests, failed = session.ask(first)
            server.facts = facts(found.stdout)
            if found.exit_code != 0:
                raise server._failure("look at what it is", found.exit_code, found.stdout, PROBE_SECONDS)
            server._secrets.learn(digests.stdout)
            server._hear(failed.stdout)
        except HubrunError:
            server.close()
            raise
        return server

    def close(self) -> None:
        """End the SSH connection, also for the other runbooks of the same run."""
        self.session.close()

    @property
    def check_mode(self) -> bool:
        """Whether nothing is to be changed at all."""
        return self.approval.check_mode

    @property
    def pending(self) -> list[str]:
        """What would change and was not done: with it, what follows cannot be checked yet."""
        return self.approval.pending

    @property
    def fingerprint(self) -> str:
        """The host key's."""
        return self.session.fingerprint

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- running commands -------------------------------------------------------------------------------------

    def run(self, template: str, *args: object, data: bytes = b"", seconds: float = 60, check: bool = True) -> Output:
        """Run a shell script as root; {} in it are replaced by the quoted arguments. What only looks is a `probe`.

        data: bytes for its standard input. seconds: time limit. check: raise when it ends with an error.
        Raises CommandFailed, ConnectionLost.
        """
        try:
            output = self.session.execute(quote(template, *args), data, seconds)
        finally:
            self.session.forget()
        if check and output.exit_code != 0:
            raise self._failure(
                template.strip().splitlines()[0], output.exit_code, output.stdout + output.stderr, seconds
            )
        return output

    def probe(self, *snippets: str) -> list[Output]:
        """Run read-only snippets in one round trip; the output and exit code of each. The same one is run once."""
        return self._ask(snippets)

    def _ask(self, scripts: Sequence[str], fresh: bool = False, traces: Sequence[bool] = ()) -> list[Output]:
        outputs = self.session.ask(scripts, fresh=fresh)
        for script, leaves in zip(scripts, traces or [False] * len(scripts), strict=True):
            self.session.prefetched.remember(script, leaves)
        return outputs

    # -- desired state ----------------------------------------------------------------------------------------

    def ensure(self, *resources: Resource) -> None:
        """Bring the server to the state that the resources name, and show what was done.

        Probes all of them at once, plans, applies one after another, and probes again what it changed. Whether it applies
        is for `approval` to say.
        Raises CommandFailed when an action fails (what was there before it stays), or when a resource still
        differs after its actions.
        """
        live, started = ProgressLine(), time.monotonic()
        self._news = []
        results: list[Result] | None = None
        error: HubrunError | None = None
        self.approval.begin(self.results)
        try:
            live.line("looking at " + ", ".join(resource.label for resource in resources))
            results, writes = self.look(resources)
            self.results += results
            if not self.approval.given(self.fingerprint, results, writes):
                return
            self.apply(results, resources, live)
        except HubrunError as failure:
            error, failure.shown = failure, True
            raise
        finally:
            if results is not None or error:
                live.finish(
                    results_card(results or [], time.monotonic() - started, self.approval.note, error, self._news)
                )

    def look(self, resources: Sequence[Resource]) -> tuple[list[Result], list[str]]:
        """What is to be done to each of the resources, and what that will write (see `Resource.writes`)."""
        scripts = [resource.probe() for resource in resources]
        found = self._ask(scripts)
        results = self._plan(resources, found)
        if any(output.early for output in found) and any(result.actions for result in results):
            results = self._plan(resources, self._ask(scripts, fresh=True))
        writes = _written(results, resources)
        if self.check_mode:
            self.session.foreseen += writes
        return results, [self._named(path) for path in writes]

    def apply(self, results: Sequence[Result], resources: Sequence[Resource], live: Live) -> None:
        """Do what `look` came to, and look again at what was changed. Raises as `ensure` does."""
        for result in results:
            self._apply(result, live)
        self._confirm([(r, s) for r, s in zip(results, resources, strict=True) if r.actions])

    def _named(self, what: str) -> str:
        return f"{self.node}: {what}" if self.node else what

    def _plan(self, resources: Sequence[Resource], found: Sequence[Output]) -> list[Result]:
        # Of what earlier steps and runbooks only showed, nothing is there when the next one looks.
        results: list[Result] = []
        before, ours = [*self.session.foreseen], self._named("")
        before += [path.removeprefix(ours) for path in self.approval.foreseen if path.startswith(ours)]
        for resource, output in zip(resources, found, strict=True):
            written = [*before, *_written(results, resources)]
            actions = resource.plan(resource.foresee(output.stdout, written))
            result = Result(self._named(resource.label), "not run" if actions else "ok", actions)
            done = _done(result) in before and _stays_done(result, resource, output.stdout, written)
            results.append(Result(result.label, "ok") if done else result)
        return results

    def _hear(self, failed: str) -> None:
        """Take to the next card, once in a runbook, that a build in the background failed. failed: what _FAILED_BUILDS prints."""
        if not failed.strip():
            return
        text = (
            f"An image could not be built in the background: {Secret.redact(reason(failed))[:300]}. Nothing else waits for it, and "
            f"04_docker_spawner builds it again. To do: {remedy_for(failed)}"
        )
        self._news = [text] if text not in self._told else []
        self._told += self._news

    def _apply(self, result: Result, live: Live) -> None:
        started = time.monotonic()
        for action in result.actions:
            log: list[str] = []
            self.session.forget()
            try:
                # What actions download, they download through the site's proxy.
                script = "exec 2>&1\nset -eu\n" + exports(self.site.proxy_environment) + action.script
                output = self.session.execute(script, action.data, action.seconds, _follow(action, live, log))
            except (ConnectionLost, KeyboardInterrupt):
                result.status = "interrupted"
                raise
            except Exception:
                result.status = "failed"
                raise
            finally:
                self.session.forget()
                result.log = Secret.redact(result.log + "".join(log))
                result.seconds = time.monotonic() - started
            if output.exit_code != 0:
                result.status = "failed"
                if output.exit_code in action.exit_codes:
                    what, remedy = action.exit_codes[output.exit_code]
                    raise CommandFailed(what, result.label, remedy, Secret.redact(output.stdout))
                raise self._failure(action.title, output.exit_code, output.stdout, action.seconds, result.label)
        result.status = "changed" if result.actions else "ok"

    def _confirm(self, changed: Sequence[tuple[Result, Resource]]) -> None:
        if not changed:
            return
        # With the same look: what the server keeps secret now may have been made just now.
        scripts = [resource.probe() for _, resource in changed]
        *found, digests, failed = self.session.ask([*scripts, self._secrets.probe(), _FAILED_BUILDS], fresh=True)
        self._secrets.learn(digests.stdout)
        self._hear(failed.stdout)
        for (result, resource), output in zip(changed, found, strict=True):
            left = resource.plan(output.stdout)
            if left:
                result.status = "failed"
                raise CommandFailed(
                    f"still differs after it was changed: {left[0].title}",
                    result.label,
                    "Something else on the server changes it back, or refuses it",
                    left[0].diff,
                )

    def _failure(self, title: str, code: int, text: str, seconds: float, where: str = "") -> CommandFailed:
        text = Secret.redact(text)
        if code in (124, 137):
            return CommandFailed(
                f"{title}: timed out after {seconds:.0f} s", where or self.site.host, "Run it again", text
            )
        why = reason(text) or f"exit code {code}"
        return CommandFailed(f"{title}: {why[:300]}", where or self.site.host, remedy_for(text), text)

    # -- checks -----------------------------------------------------------------------------------------------

    def check(self, *tests: Test) -> None:
        """Run tests on the server, all in one round trip, and show them. Raises CheckFailed when any fails.

        When something is still to be changed that was only shown, they are named and not run. In check mode those that
        leave traces are not run in any case.
        """
        if self.pending:
            self.unchecked([test.title for test in tests])
            return
        todo = [test for test in tests if not (self.check_mode and test.traces)]
        checks = self.judge(todo)
        if todo:
            self.require(*checks)
        if len(todo) < len(tests):
            self.unchecked([test.title for test in tests if test not in todo])

    def judge(self, tests: Sequence[Test]) -> list[Check]:
        """What the tests come to, in one round trip; nothing is shown."""
        scripts, traces = [f"exec 2>&1\n{test.script}" for test in tests], [test.traces for test in tests]
        for fresh in (False, True):
            outputs = self._ask(scripts, fresh, traces)
            checks = [test.judge(out.exit_code, out.stdout, out.at) for test, out in zip(tests, outputs, strict=True)]
            if all(check.ok or not output.early for check, output in zip(checks, outputs, strict=True)):
                break
        return checks

    def require(self, *checks: Check) -> None:
        """Show the checks. Raises CheckFailed that names each that failed, its cause and remedy.

        In check mode nothing is raised: the plan goes on, so that it names all that differs, and the step counts as
        failed. No checks at all is what a step answers that was left out in check mode; it is shown as not checked.
        """
        if not checks:
            self.unchecked(["what this step tests"])
            return
        ProgressLine().finish(check_card(checks))
        failed = [check for check in checks if not check.ok]
        if failed and not self.check_mode:
            failure = CheckFailed(
                "; ".join(f"{check.name}: expected {check.expected}, came {check.came}" for check in failed),
                self.site.host,
                "; ".join(dict.fromkeys(check.cause for check in failed if check.cause)),
            )
            failure.shown = True
            raise failure

    def unchecked(self, titles: list[str]) -> None:
        """Show the titles of tests that cannot be made now. Raises CheckFailed where nothing explains that."""
        if not (self.check_mode or self.pending):
            raise CheckFailed("a step was left out", self.site.host, "This is a fault of hubrun: report it")
        if not self.pending:
            why = "not done in check mode: it would leave traces"
        elif self.pending == [self.earlier]:
            why = f"would be known after {self.earlier}"
        else:
            why = "would be known after the changes above"
        rows = [Row("not checked", title) for title in titles]
        ProgressLine().finish(Card(why, rows, {"unchecked": titles}, ("status", "check", "")))

    def summary(self) -> dict[str, Any]:
        """What this runbook did, as plain data for the record: counts by status, and what was changed."""
        changed = [result.summary() for result in self.results if result.actions]
        return {
            "site": self.site.site,
            "server": self.identity(),
            "counts": {
                status: sum(r.status == status for r in self.results) for status in ("ok", "changed", "would change")
            },
            "changes": changed,
        }

    def identity(self) -> dict[str, str]:
        """What the server is: system, kernel, hardware, a hash of its machine-id, its host key's fingerprint."""
        return {name: value for name, value in self.facts.items() if name not in ("uid", "ran")} | {
            "host_key": self.fingerprint
        }

    @override
    def __repr__(self) -> str:
        return f"<Server {self.session.where}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        site, known = self.site, self.facts
        hardware = f"{known['arch']}, {known['cpus']} CPUs, {known['memory_mb']} MB"
        rows = [
            Row("site", f"{site.site}: {site.url}"),
            Row("server", f"{self.session.where}, host key {self.fingerprint}"),
            Row("system", f"{known['name']} on {known['hostname']}, {hardware}"),
            Row("before", _before(known.get("ran", "").split())),
            Row("mode", self.approval.mode),
            *(Row("note", text) for text in self._news),
        ]
        data = {"server": self.identity()} | ({"notes": self._news} if self._news else {})
        return Card("Target", rows, data, ("about", "value", ""))._repr_mimebundle_()


def _ran_here(site: Site) -> str:
    """Shell that says which runbooks left on the server what later ones need."""
    tests = [
        quote(
            'found=1; for path in {}; do [ -e "$path" ] || found=; done\n[ -z "$found" ] || ran="${ran:-} "{}\n',
            paths,
            name,
        )
        for name, paths in server_paths.LEFT.items()
    ]
    account = quote("! getent passwd {} > /dev/null || ran=01_server\n", site.hub_user)
    return "".join([account, *tests, 'echo "ran=${ran:-}"\n'])


def _before(ran: Sequence[str]) -> str:
    """What was run on a server before, and what not yet, in words."""
    left = [name for name in ("01_server", *server_paths.LEFT) if name not in ran]
    if not ran:
        return "no runbook was run on this server yet: begin with 01_server"
    done = f"run on this server: {', '.join(ran)}"
    return f"{done}. Not yet: {', '.join(left)}; each needs those before it" if left else done


def _written(results: Sequence[Result], resources: Sequence[Resource]) -> list[str]:
    """What the actions of the first so many resources write, in their order."""
    written: list[str] = []
    for result, resource in zip(results, resources, strict=False):
        written += (*resource.writes, _done(result)) if result.actions else ()
        written += (path for action in result.actions for path in action.writes)
    return written


def _done(result: Result) -> str:
    """What stands for its actions among what will have been written: who plans the very same later finds it done."""
    return f"done:{hash((result.label, *((each.title, each.script, each.data) for each in result.actions)))}"


def _stays_done(result: Result, resource: Resource, found: str, written: Sequence[str]) -> bool:
    """Whether nothing that is written behind its very actions, which are planned already, makes them due once more."""
    behind = len(written) - [*reversed(written)].index(_done(result))
    return resource.foresee(found, written[behind:]) == found


def _follow(action: Action, live: Live, log: list[str]) -> Callable[[str], None]:
    """A listener that keeps the log and shows its last line with the time that has gone by."""
    started = time.monotonic()
    last = [""]

    def listen(text: str) -> None:
        log.append(text)
        lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
        last[0] = lines[-1].strip() if lines else last[0]
        live.line(action.title, f"({time.monotonic() - started:.0f} s): {last[0]}")

    live.line(action.title)
    return listen
