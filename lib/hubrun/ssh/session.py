"""A login on a server: scripts run there as root, and questions asked in one round trip."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from hubrun.environment import ENGINE
from hubrun.errors import CommandFailed, Unreachable
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.shell import quote
from hubrun.ssh import channel, connection
from hubrun.ssh.channel import Output
from hubrun.ssh.prefetch import PrefetchedAnswers

_PREAMBLE = "export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\numask 022\n"
# The first command of a login: whichever way to root's rights needs no password runs what comes on standard input.
_ENTER = """
if [ "$(id -u)" = 0 ]; then echo MARK root; exec COMMAND
elif sudo -n true 2>/dev/null; then echo MARK sudo; exec sudo -n -- COMMAND
else echo MARK password; exec cat >/dev/null
fi"""
_SUDO = "sudo -n -- "
PROBE_SECONDS = 120


class Session:
    """One SSH connection, with root's rights. Made by `Session.open(site)`.

    fingerprint: of the server's host key. prefetched: the answers that are known already. foreseen: what would be
    written by now, in check mode (see `Resource.writes`).
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.fingerprint = ""
        self.foreseen: list[str] = []
        self.prefetched = PrefetchedAnswers(lambda scripts: self._ask(scripts, PROBE_SECONDS))
        self._connection: Any = None
        self._sudo = "" if site.ssh_user == "root" else None  # None: unknown before the first command
        self._password: Secret | None = None

    @classmethod
    def open(cls, site: Site) -> Session:
        """Log in. Within one run, its runbooks share one login. Raises Unreachable, BadInput."""
        if _shared and _shared[0].reaches(site):
            return _shared[0]
        session = cls(site)
        session._connection, session.fingerprint = connection.open(site)
        if os.environ.get(ENGINE):
            _shared[:] = [session]
        return session

    def reaches(self, site: Site) -> bool:
        """Whether it leads where the site says, in the way it says, and is alive."""
        mine, other = (
            {name: value for name, value in each if name.startswith(("ssh_", "sudo_", "domain"))}
            for each in (self.site, site)
        )
        return mine == other and bool(self._connection.transport and self._connection.transport.is_active())

    def close(self) -> None:
        """End the connection; the next `Session.open` of this site makes another."""
        if self in _shared:
            _shared.remove(self)
        self._connection.close()

    # -- scripts

    def execute(
        self, script: str, data: bytes, seconds: float, on_output: Callable[[str], None] | None = None
    ) -> Output:
        """Run a shell script as root. data: its standard input. seconds: time limit.

        Raises ConnectionLost, CommandFailed when the time is over, Unreachable when sudo refuses.
        """
        if self._sudo is None:
            self.ask(["true"])
        # `timeout` ends it on the server too: without a terminal, closing the channel would leave it running.
        command = quote("timeout -k 10 {} sh -c {}", int(seconds) + 1, _PREAMBLE + script)
        if self._password:
            data = self._password.reveal().encode() + b"\n" + data
        return self._channel(f"{self._sudo}{command}", data, seconds + 15, on_output)

    def _channel(
        self, command: str, data: bytes, seconds: float, on_output: Callable[[str], None] | None = None
    ) -> Output:
        where = f"{self.site.host}:{self.site.ssh_port}"
        return channel.execute(self._connection.transport, where, command, data, seconds, on_output)

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
        body = "".join(
            f"(\n{script}\n)\ncode=$?; read -r up _ </proc/uptime; printf '\\n%s %d %s\\n' {mark} $code $up\n"
            for script in scripts
        )
        text = self._shell(_PREAMBLE + body, mark, seconds)
        found = _cut(text, mark, time.time())
        if len(found) != len(scripts):
            raise CommandFailed("a probe ended early", self.site.host, "Run it again", text[-2000:])
        return found

    def _shell(self, script: str, mark: str, seconds: float) -> str:
        if self._sudo is not None:
            return self.execute("sh -s 2>/dev/null", script.encode(), seconds).stdout
        shell = quote("timeout -k 10 {} sh -s 2>/dev/null", int(seconds) + 1)
        enter = quote("sh -c {}", _ENTER.replace("MARK", mark).replace("COMMAND", shell))
        text = self._channel(enter, script.encode(), seconds + 15).stdout
        way = re.search(f"^{mark} (root|sudo)$\n", text, re.MULTILINE)
        if way:
            self._sudo = _SUDO if way[1] == "sudo" else ""
            return text[way.end() :]
        self._use_password()
        return self._shell(script, mark, seconds)

    def _use_password(self) -> None:
        where = f"{self.site.ssh_user}@{self.site.host}"
        password = self.site.sudo_password()
        if password is None:
            raise Unreachable(
                f"{self.site.ssh_user} is not root and sudo asks for a password",
                where,
                "Say where it is: sudo_password_env or sudo_password_file",
            )
        # -k: always ask, so that the first line of standard input is always the password and never a command's.
        sudo = "sudo -k -S -p '' -- "
        if self._channel(sudo + "true", password.reveal().encode() + b"\n", 30).exit_code != 0:
            raise Unreachable(
                "sudo refused the password, or the user", where, "Check sudo_password_env / sudo_password_file"
            )
        self._sudo, self._password = sudo, password


# The session of the runbooks of one run, which share a kernel.
_shared: list[Session] = []


def _cut(text: str, mark: str, arrived: float) -> list[Output]:
    """The answers, each with its time on this machine's clock: so long before the last as the server's uptime says."""
    found: list[tuple[int, str, float]] = []
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith(mark + " "):
            _, code, uptime = line.split()
            found.append((int(code), "\n".join(lines).removesuffix("\n"), float(uptime)))
            lines = []
        else:
            lines.append(line)
    return [Output(code, answer, at=arrived - (found[-1][2] - uptime)) for code, answer, uptime in found]
