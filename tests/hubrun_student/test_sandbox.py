"""The filter under which submissions are graded: interpreted here as the kernel does, for each machine that we support."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hubrun_student.nbgrader import sandbox

pytestmark = pytest.mark.slow

I386, INET, INET6, NETLINK, PACKET, VSOCK = 0x40000003, 2, 10, 16, 17, 40


def verdict(machine: str, number: int, first: int = 0, architecture: int | None = None) -> int:
    """What the filter says to a system call; struct seccomp_data, linux/seccomp.h."""
    data = {
        sandbox.NUMBER: number,
        sandbox.ARCHITECTURE: sandbox.ARCHITECTURES[machine][0] if architecture is None else architecture,
        sandbox.FIRST_ARGUMENT: first & 0xFFFFFFFF,
    }
    steps, at, word = sandbox.filter_program(machine), 0, 0
    while True:
        code, yes, no, k = steps[at]
        at += 1
        if code == sandbox.LOAD:
            word = data[k]
        elif code == sandbox.RETURN:
            return k
        else:
            at += yes if (word == k if code == sandbox.EQUAL else word >= k) else no


@pytest.mark.parametrize("machine", sandbox.ARCHITECTURES)
def test_sockets_are_for_the_same_machine_alone(machine: str) -> None:
    _, socket, socketpair = sandbox.ARCHITECTURES[machine]
    for call in (socket, socketpair):
        assert verdict(machine, call, sandbox.AF_UNIX) == sandbox.ALLOW
        # The kernel takes an int: what is above it counts for nothing.
        assert verdict(machine, call, sandbox.AF_UNIX | 1 << 40) == sandbox.ALLOW
        for family in (0, INET, INET6, NETLINK, PACKET, VSOCK, -1, INET | 1 << 32):
            assert verdict(machine, call, family) == sandbox.REFUSE, family


@pytest.mark.parametrize("machine", sandbox.ARCHITECTURES)
def test_no_way_round_is_open(machine: str) -> None:
    _, socket, _ = sandbox.ARCHITECTURES[machine]
    for number in (425, 426, 427):  # io_uring_setup, io_uring_enter, io_uring_register
        assert verdict(machine, number) == sandbox.REFUSE
    assert verdict(machine, socket, sandbox.AF_UNIX, I386) == sandbox.REFUSE
    if machine == "x86_64":
        assert verdict(machine, socket | 0x40000000, INET) == sandbox.REFUSE


@pytest.mark.parametrize("machine", sandbox.ARCHITECTURES)
def test_everything_else_is_as_before(machine: str) -> None:
    _, socket, socketpair = sandbox.ARCHITECTURES[machine]
    others = set(range(470)) - {socket, socketpair, 425, 426, 427}
    assert all(verdict(machine, number, INET) == sandbox.ALLOW for number in others)


def test_another_machine_grades_nothing() -> None:
    with pytest.raises(OSError, match="riscv64"):
        sandbox.filter_program("riscv64")


@pytest.mark.skipif(platform.machine() not in sandbox.ARCHITECTURES, reason="no filter for this machine")
def test_the_kernel_takes_the_filter(tmp_path: Path) -> None:
    code = f"""
import ctypes, socket, sys
sys.path.insert(0, {str(Path(sandbox.__file__).parent)!r})
import sandbox
sandbox.libc.prctl(38, 1, 0, 0, 0)
sandbox.close_network()
def attempt(family):
    try:
        socket.socket(family).close()
        return "open"
    except OSError as error:
        return error.errno
print(attempt(socket.AF_UNIX), attempt(socket.AF_INET), attempt(socket.AF_INET6), attempt(socket.AF_NETLINK), [s.close() for s in socket.socketpair()])
print(sandbox.libc.syscall(425, 1, 0), ctypes.get_errno())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["open 95 95 95 [None, None]", "-1 95"]


# A submission that starts something in a session of its own, which is to outlive the kernel.
_LEAVES = """
import subprocess, sys, time
sys.path.insert(0, {folder!r})
import sandbox
sandbox.supervise()
subprocess.Popen(["setsid", "sh", "-c", "(sleep 3; echo changed > {notebook}; sleep 60) & (sleep 60)"])
print("started", flush=True)
time.sleep({kernel_s})
sys.exit(3)
"""


@pytest.mark.parametrize(("kernel_s", "stopped", "code"), [(0.3, False, 3), (60, True, 128 + signal.SIGKILL)])
def test_what_a_submission_starts_ends_with_its_kernel(
    tmp_path: Path, kernel_s: float, stopped: bool, code: int
) -> None:
    notebook = tmp_path / "autograded.ipynb"
    notebook.write_text("graded")
    script = _LEAVES.format(folder=str(Path(sandbox.__file__).parent), notebook=notebook, kernel_s=kernel_s)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "started\n"
    if stopped:
        time.sleep(0.3)
        process.terminate()
    assert process.wait(20) == code
    time.sleep(3.5)
    assert notebook.read_text() == "graded"
