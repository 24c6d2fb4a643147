"""Where a run came from: who ran it, and with which hubrun."""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import socket
import subprocess
from typing import Any

from hubrun.environment import PROJECT
from hubrun.records.ledger.clock import CLOCK
from hubrun.records.ledger.history import History
from hubrun.records.ledger.manifest import Mode, Operator, Record, Signer, Software
from hubrun.records.ledger.steps import now

# What decides about a run. Files of the operator's own, such as those in params/, do not make it dirty.
_DECISIVE = ("hubrun", "lib", "runbooks", "requirements", "pyproject.toml", "Dockerfile.singleuser")


def new_record(history: History, mode: Mode, signer: Signer, **more: Any) -> Record:
    """The record of a run that begins now, in this process. more: further fields of it."""
    CLOCK.begin()
    return Record(
        run=history.new_name(),
        site=history.site,
        mode=mode,
        started=now(),
        operator=operator(),
        software=software(),
        signer=signer,
        **more,
    )


def operator() -> Operator:
    """The account that runs this (under sudo: who called it), the machine's name, and where its SSH session is from."""
    try:
        login = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number without a name
        login = str(os.getuid())
    if os.environ.get("SUDO_USER"):
        login = f"{os.environ['SUDO_USER']} as {login}"
    # sshd(8), ENVIRONMENT, SSH_CONNECTION: the client's address comes first.
    via = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return Operator(login=login, host=socket.gethostname(), via=via)


def software() -> Software:
    """The version of hubrun and, in a git checkout, its commit and whether files that matter differ from it."""
    version = importlib.metadata.version("hubrun")
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", *_DECISIVE) if commit else ""
    return Software(version=version, commit=commit, dirty=bool(changed))


def _git(*args: str) -> str:
    if not (PROJECT / ".git").exists():
        return ""
    try:
        # Somebody else's checkout: git refuses to look at it, and the commit stays unknown.
        done = subprocess.run(["git", *args], cwd=PROJECT, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
