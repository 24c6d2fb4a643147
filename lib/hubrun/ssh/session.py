"""A login on a server: scripts run there as root, and questions asked in one round trip."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from hubrun.control_characters import plain
from hubrun.environment import ENGINE
from hubrun.errors import CommandFailed, Unreachable
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.server_paths import LOCK
from hubrun.shell import quote
from hubrun.ssh import channel, connection
from hubrun.ssh.connection import Login
from hubrun.ssh.output import Output
from hubrun.ssh.prefetch import EXPECTED, PrefetchedAnswers

_PREAMBLE = "export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\numask 022\n"
# The first script of a login: whichever way to root's rights needs no password runs what follows on standard input.
_ENTER = """
if [ "$(id -u)" = 0 ]; then echo root; exec COMMAND
elif why=$(LC_ALL=C sudo -n true 2>&1); then echo sudo; exec sudo -n -- COMMAND
else echo no; echo "$why"; exec cat >/dev/null
fi"""
_SUDO = "sudo -n -- "
# -k: always ask, so that the first line of standard input is always the password and never a command's.
_SUDO_ASKS = "env LC_ALL=C sudo -k -S -p '' -- "
# Why sudo refuses, by its own words (sudo, plugins/sudoers) → what to say and to do; {line}: its own line.
_REFUSALS = [
    (r"syntax error|parse error|no valid sudoers|sudoers.*(owned by|world writable|bad permissions)|error initializing",
     "the server's sudoers have a mistake, and sudo passes them over: {line}",
     "Correct it as root (visudo -c names the line), such as in your provider's console"),
    (r"must have a tty", "sudo on the server wants a terminal (requiretty in its sudoers)",
     "Write `Defaults:{user} !requiretty` there, with visudo"),
    (r"not in the sudoers|may not run sudo|not allowed to (execute|run)", "{user} may not become root by sudo: {line}",
     "Give it the right there, or set ssh_user to one that has it"),
    (r"sudo: (command )?not found|sudo: No such file", "{user} is not root, and there is no sudo on the server",
     "Install sudo there, or log in as root"),
    (r"incorrect password|Sorry, try again|no password was provided|[Aa]uthentication failed|incorrect authentication",
     "sudo refused the password", "Check sudo_password_env / sudo_password_file"),
    (r"password is required|interactive authentication is required", "{user} is not root and sudo asks for a password",
     "Say where it is: sudo_password_env or sudo_password_file"),
    ("", "sudo refuses: {line}", "Log in once with ssh and try `sudo true`"),
]  # fmt: skip
PROBE_SECONDS = 120
# flock(1). Shared: scripts do not wait for each other. -o: what a script starts, and leaves running, does not hold it.
_HOLD = f"flock -s -o {LOCK} "
IS_BUSY = f"[ ! -e {LOCK} ] || flock -n {LOCK} true || echo busy=yes\n"
# A build of the students' image takes minutes.
PATIENCE_S = 1800


class Session:
    """One SSH connection, with root's rights. Made by `Session.open(site)`.

    node: which of the site's nodes it leads to; "": to its own server. fingerprint: of the server's host key; host_key: that
    key, as a line of known_hosts has it behind the name. prefetched: the answers that are known already. foreseen: what would be
    written by now, in check mode (see `Resource.writes`).
    """

    def __init__(self, site: Site, node: str = "") -> None:
        self.site = site
        self.node = node
        self.fingerprint = self.host_key = ""
        self.foreseen: list[str] = []
        self.prefetched = PrefetchedAnswers(lambda scripts: self._ask(scripts, PROBE_SECONDS), node)
        self.where = site.host
        self._connection: Any
        self._sudo: str | None = None  # unknown before the first command of a login that is not root's
        self._password: Secret | None = None
        self._finding = threading.Lock()  # whoever finds the way to root's rights holds it
        self._refused: Unreachable | None = None

    @classmethod
    def open(cls, site: Site, node: str = "") -> Session:
        """Log in. The runbooks of one kernel share a login. site: of a node, as `Site.of_node` has it. Raises Unreachable,
        BadInput."""
        if (shared := _shared.get(node)) and shared.reaches(site):
            # In JupyterLab, a runbook's parameters may differ from those of the one before it in the same kernel.
            shared.site = site
            if not EXPECTED.headless:
                shared.foreseen.clear()
            return shared
        session = cls(site, node)
        session._use(connection.open(site))
        if os.environ.get(ENGINE):
            _shared[node] = session
        return session

    def _use(self, login: Login) -> None:
        self._connection, self.fingerprint, self.host_key = login.connection, login.fingerprint, login.host_key
        self.where = str(login.target)
        self._user = login.target.user
        self._sudo = "" if self._user == "root" else None

    def reaches(self, site: Site) -> bool:
        """Whether it leads where the site says, in the way it says, and is alive."""
        mine, other = (
            {name: value for name, value in each if name.startswith(("ssh_", "sudo_", "domain"))}
            for each in (self.site, site)
        )
        return mine == other and bool(self._connection.transport and self._connection.transport.is_active())

    def close(self) -> None:
        """End the connection; the next `Session.open` of this site makes another."""
        if _shared.get(self.node) is self:
            del _shared[self.node]
        self._connection.close()

    def forget(self) -> None:
        """Something may have been changed: what is known of this server, and of those that belong to it, counts no more."""
        for session in {self, *list(_shared.values())}:
            session.prefetched.forget()

    # -- scripts

    def execute(
        self, script: str, data: bytes, seconds: float, on_output: Callable[[str], None] | None = None
    ) -> Output:
        """Run a shell script that changes something, as root. data: its standard input. seconds: time limit.

        Raises ConnectionLost, CommandFailed when the time is over, Unreachable when sudo refuses.
        """
        if self._sudo is None:
            self.ask(["true"])
        return self._as_root(_HOLD, script, data, seconds, on_output)

    def _as_root(
        self, hold: str, script: str, data: bytes, seconds: float, on_output: Callable[[str], None] | None = None
    ) -> Output:
        output = self._run(self._sudo or "", _PREAMBLE + script, data, seconds, on_output, hold)
        if not output.begun:
            raise self._unusable(output)
        return output

    def wait_for_earlier_run(self, say: Callable[[str], None]) -> None:
        """Wait until nothing goes on that an earlier run had begun on the server: a script outlives a runner that was killed.

        say: gets a line about it, again and again. Raises CommandFailed after PATIENCE_S.
        """
        since = time.monotonic()
        while self._ask([IS_BUSY], PROBE_SECONDS)[0].stdout.strip():
            waited = time.monotonic() - since
            if waited > PATIENCE_S:
                raise CommandFailed(
                    "what an earlier run had begun still goes on",
                    self.where,
                    "See what it is: ps -C flock -o pid,etime,args on the server. Wait for it, or end it",
                )
            say(f"waiting for what an earlier run had begun on the server, {waited:.0f} s")
            time.sleep(1)

    def _run(
        self, before: str, script: str, data: bytes, seconds: float, on_output: Callable[[str], None] | None = None,
        hold: str = "",
    ) -> Output:  # fmt: skip
        # The login's shell may be any: it gets one plain line, and sh gets the script, from standard input. What the login's
        # own files print comes before the mark.
        mark, content = secrets.token_hex(8), script.encode()
        begin = f'echo {mark}; echo {mark} >&2; eval "$(head -c {len(content)})"'
        if before == _SUDO_ASKS and self._password:
            content = self._password.reveal().encode() + b"\n" + content
        return channel.execute(
            self._connection.transport, self.where, before + _limited(begin, seconds, hold), content + data, seconds + 15, mark,
            on_output,
        )  # fmt: skip

    def _unusable(self, output: Output) -> Unreachable:
        """What the login printed in place of running a command."""
        lines = [line.strip() for line in (output.stdout + "\n" + output.stderr).splitlines() if line.strip()]
        said = (
            f"it says: {Secret.redact(plain(lines[-1]))[:300].rstrip('.')}"
            if lines
            else f"it ends with {output.exit_code}"
        )
        return Unreachable(
            f"the login runs no command: {said}", self.where, "Log in with ssh by hand; is ssh_user the right one?"
        )

    # -- questions

    def ask(self, scripts: Sequence[str], seconds: float = PROBE_SECONDS, fresh: bool = False) -> list[Output]:
        """The answers to read-only scripts, in one round trip at most; the same script is run once.

        fresh: none of them from before. Raises as `execute` does.
        """
        known = {} if fresh else {script: self.prefetched.take(script) for script in scripts}
        missing = [script for script in dict.fromkeys(scripts) if not known.get(script)]
        if missing:
            for script, output in zip(missing, self._ask(missing, seconds), strict=True):
                known[script] = output
                self.prefetched.keep(script, output)
        return [known[script] for script in scripts]  # type: ignore[misc]

    def _ask(self, scripts: Sequence[str], seconds: float) -> list[Output]:
        mark = secrets.token_hex(8)
        # The shell's own `read`: the time costs no process.
        body = f"exec 2>/dev/null\necho {mark}\n" + "".join(
            f"(\n{script}\n)\ncode=$?; read -r up _ </proc/uptime; printf '\\n%s %d %s\\n' {mark} $code $up\n"
            for script in scripts
        )
        text = self._shell(body, seconds)
        found = _cut(text.partition(f"{mark}\n")[2], mark)
        if len(found) != len(scripts):
            raise CommandFailed("a probe ended early", self.where, "Run it again", text[-2000:])
        return found

    def _shell(self, script: str, seconds: float) -> str:
        if self._sudo is None:
            # Questions come several at a time. One finds the way: each refused password counts against the account, and
            # some are locked after three (pam_faillock(8)).
            with self._finding:
                if self._refused:
                    raise self._refused
                if self._sudo is None:
                    return self._find_way(script, seconds)
        return self._as_root("", script, b"", seconds).stdout

    def _find_way(self, script: str, seconds: float) -> str:
        """As `_shell`, by the first command of this login."""
        content = (_PREAMBLE + script).encode()
        command = _limited(f'eval "$(head -c {len(content)})"', seconds)
        entered = self._run("", _ENTER.replace("COMMAND", command), content, seconds)
        if not entered.begun:
            raise self._unusable(entered)
        way, _, text = entered.stdout.partition("\n")
        if way in ("root", "sudo"):
            self._sudo = _SUDO if way == "sudo" else ""
            return text
        try:
            self._use_password(text)
        except Unreachable as refused:
            self._refused = refused
            raise
        return self._as_root("", script, b"", seconds).stdout

    def _use_password(self, why: str) -> None:
        """Let sudo have the password; why: what it said without one."""
        self._password = self.site.sudo_password()
        if self._password is None:
            raise self._refusal(why)
        tried = self._run(_SUDO_ASKS, "true", b"", 30)
        if not tried.begun:
            raise self._refusal(tried.stdout + tried.stderr)
        self._sudo = _SUDO_ASKS

    def _refusal(self, said: str) -> Unreachable:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        for pattern, what, remedy in _REFUSALS:
            found = [line for line in lines if re.search(pattern, line)]
            if found or not pattern:
                line = Secret.redact(plain(found[-1]))[:300] if found else "it does not say why"
                return Unreachable(what.format(user=self._user, line=line), self.where, remedy.format(user=self._user))
        raise AssertionError


# The sessions of the runbooks that run in this kernel, by node.
_shared: dict[str, Session] = {}


def _limited(shell: str, seconds: float, hold: str = "") -> str:
    # `timeout` ends it on the server too: without a terminal, closing the channel would leave it running.
    return quote(f"timeout -k 10 {{}} {hold}sh -c {{}}", int(seconds) + 1, shell)


def _cut(text: str, mark: str) -> list[Output]:
    """The answers, each with its time on this machine's clock: so long before the last as the server's uptime says."""
    at, since = time.time(), time.monotonic()
    found: list[tuple[int, str, float]] = []
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith(mark + " "):
            _, code, uptime = line.split()
            found.append((int(code), "\n".join(lines).removesuffix("\n"), float(uptime)))
            lines = []
        else:
            lines.append(line)
    ago = [found[-1][2] - uptime for _, _, uptime in found]
    return [
        Output(code, answer, at=at - past, since=since - past)
        for (code, answer, _), past in zip(found, ago, strict=True)
    ]
