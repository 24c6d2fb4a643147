"""Autograding runs what students wrote, in the instructor's container. Here it runs in a sandbox of the kernel's.

Without one, a submission could read the solutions and everybody's work, change grades, or leave something in the
instructor's home: to the system, it is the instructor.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import os
import sys
import tempfile
from functools import wraps
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from nbgrader.converters import Autograde, NbGraderException
from nbgrader.preprocessors import AssignLatePenalties, Execute

from . import sandbox, turns
from .late_penalties import LatePenalties


class SandboxedKernel(AsyncKernelManager):
    """Starts a kernel, of any language, that reaches its working folder and the system's programs, and little else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Goes with this object. Over sockets in it the kernel talks: it has no others.
        self._scratch = tempfile.TemporaryDirectory(prefix="grading-")
        self.transport, self.ip = "ipc", os.path.join(self._scratch.name, "kernel")

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        connection = os.path.realpath(self.connection_file)
        return [sys.executable, "-I", str(Path(sandbox.__file__)), self._scratch.name, connection, "--", *command]


class SandboxedExecute(Execute):
    """nbgrader's Execute with a sandboxed kernel; `c.Execute` configures it as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["kernel_manager_class"] = SandboxedKernel
        super().__init__(*args, **kwargs)


def autograde_preprocessors() -> list[Any]:
    """nbgrader's own steps of autograding, with ours for two of them."""
    ours = {Execute: SandboxedExecute, AssignLatePenalties: LatePenalties}
    usual = Autograde.autograde_preprocessors.default()
    assert ours.keys() <= set(usual), "nbgrader's autograding is no longer what it was: grading.py must follow"
    return [ours.get(step, step) for step in usual]


def take_turns() -> None:
    """From now on, whoever autogrades in this process has a turn of their own (`turns`)."""
    usual = Autograde.start
    if hasattr(usual, "__wrapped__"):
        return

    @wraps(usual)
    def start(self: Any) -> None:
        try:
            with turns.turn(Path(self.coursedir.root)):
                usual(self)
        except turns.Busy as busy:
            self.log.error("%s", busy)
            raise NbGraderException(str(busy)) from busy

    Autograde.start = start
