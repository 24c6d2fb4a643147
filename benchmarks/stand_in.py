"""An SSH server that stands in for one on which nothing is to be done: it answers what was asked before, after as long.

The real server is asked once for each thing. So what is measured through it is the operator's side, and no work of a server
that shares this machine's processors.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

from paramiko import Channel, PKey, ServerInterface, SSHException, Transport
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from typing_extensions import override

from hubrun.params import Site
from hubrun.ssh import connection

# What a session makes up for each script, so that its answer is known from what the login prints (hubrun/ssh/session.py).
_MARK = re.compile(rb"\b[0-9a-f]{16}\b")
_EPOCH = re.compile(rb"\b1[0-9]{9}\b")
_NEAR = 600  # seconds: an answer's number this close to the time at which it came is the server's clock


@dataclass(frozen=True)
class Answer:
    """What a command came to. marks: those of its question, in order. seconds: how long it took; at: when it had come."""

    marks: list[bytes]
    out: bytes
    errors: bytes
    exit_code: int
    seconds: float
    at: float

    def out_for(self, marks: list[bytes], now: float) -> bytes:
        """The output as a question with these marks gets it now, with a clock that went on meanwhile."""
        text = _with(self.out, self.marks, marks)

        def later(found: re.Match[bytes]) -> bytes:
            said = int(found[0])
            return b"%d" % (said + round(now - self.at)) if abs(said - self.at) < _NEAR else found[0]

        return _EPOCH.sub(later, text)


@dataclass
class StandIn:
    """Listens on a free port of 127.0.0.1 in the site's place; a context manager. Anybody's key is let in.

    host_key: what it shows, such as the server's own. asked: how many commands came; unknown: how many of these the server had to be asked for.
    """

    site: Site
    host_key: PKey
    port: int = 0
    asked: int = 0
    unknown: int = 0
    _answers: dict[bytes, Answer] = field(default_factory=dict)
    _opened: list[Transport] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._real = connection.open(self.site).connection
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The thread ends before the descriptor is free for another listener.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listener.close()
        for transport in self._opened:
            transport.close()
        self._real.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                transport = Transport(self._listener.accept()[0])
                transport.add_server_key(self.host_key)
                self._opened.append(transport)
                with contextlib.suppress(SSHException, EOFError):  # it had enough of us
                    transport.start_server(threading.Event(), server=_Server(self))

    def answer(self, channel: Channel, command: bytes) -> None:
        """Read the question to its end, and answer it."""
        with contextlib.suppress(OSError, SSHException):
            data = b"".join(iter(lambda: channel.recv(1 << 16), b""))
            marks, question = _without_marks(command + b"\0" + data)
            with self._lock:
                self.asked += 1
                known = self._answers.get(question)
            if known:
                time.sleep(known.seconds)
            else:
                known = self._ask(command, data, marks)
                with self._lock:
                    self.unknown += 1
                    self._answers[question] = known
            channel.sendall(known.out_for(marks, time.time()))
            channel.sendall_stderr(_with(known.errors, known.marks, marks))
            channel.send_exit_status(known.exit_code)
            channel.close()

    def _ask(self, command: bytes, data: bytes, marks: list[bytes]) -> Answer:
        began = time.monotonic()
        real = self._real.transport.open_session()
        real.exec_command(command)
        real.sendall(data)
        real.shutdown_write()
        errors: list[bytes] = []
        reader = threading.Thread(target=lambda: errors.extend(iter(lambda: real.recv_stderr(1 << 16), b"")))
        reader.start()
        out = b"".join(iter(lambda: real.recv(1 << 16), b""))
        reader.join()
        code = real.recv_exit_status()
        return Answer(marks, out, b"".join(errors), code, time.monotonic() - began, time.time())


class _Server(ServerInterface):
    def __init__(self, owner: StandIn) -> None:
        self._owner = owner

    @override
    def check_auth_publickey(self, username: str, key: PKey) -> int:
        return int(AUTH_SUCCESSFUL)

    @override
    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    @override
    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(OPEN_SUCCEEDED)

    @override
    def check_channel_exec_request(self, channel: Channel, command: Any) -> bool:
        threading.Thread(target=self._owner.answer, args=(channel, command), daemon=True).start()
        return True


def _without_marks(question: bytes) -> tuple[list[bytes], bytes]:
    """The marks of a question, each once and in order, and the question with their numbers in their place."""
    marks = list(dict.fromkeys(_MARK.findall(question)))
    return marks, _MARK.sub(lambda found: b"<mark %d>" % marks.index(found[0]), question)


def _with(text: bytes, old: list[bytes], new: list[bytes]) -> bytes:
    names = dict(zip(old, new, strict=True))
    return _MARK.sub(lambda found: names.get(found[0], found[0]), text)
