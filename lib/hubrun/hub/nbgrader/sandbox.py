"""sandbox.py SCRATCH CONNECTION -- COMMAND…: run a kernel that reaches its working folder and no other person's files.

Landlock (Linux 5.13 or newer; https://docs.kernel.org/userspace-api/landlock.html): from here on, this process and all
that it starts may read the system's programs, and write below the working folder, SCRATCH and CONNECTION. No links can
be made, so that what is written there later by the instructor's process goes nowhere else. Processes outside can be
neither looked into nor sent signals (Linux 6.12).

There is no network, not even to programs in the same container (seccomp(2)): sockets are made for AF_UNIX alone, over
which the notebook's kernel talks. What a submission reads (itself, and the tests that it is graded with) goes nowhere, and
no answers come in. io_uring, which makes sockets past such a filter (io_uring_prep_socket(3)), is closed, and so are the
system calls of 32 bits.

This process stays, as the parent of the kernel and of whatever the kernel leaves behind, and ends all of it with the
kernel: a submission cannot wait for its grade and then change its own notebook, nor keep the instructor's server busy.
(Before Linux 6.12 it could kill this process first.)

Where one of the two cannot be had it ends with an error, and nothing is graded.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all architectures
PATH_BENEATH, PR_SET_NO_NEW_PRIVS, VERSION = 1, 38, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, MAKE_SOCK, TRUNCATE = 1 << 7, 1 << 8, 1 << 9, 1 << 14
SIGNALS_AND_SOCKETS = 0b11
# Which rights a version of Landlock knows: those that are handled are forbidden, except where a rule gives them.
HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}

FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | TRUNCATE

# seccomp(2): AUDIT_ARCH_*, and the numbers of socket and socketpair. Those of io_uring are the same everywhere.
ARCHITECTURES = {"x86_64": (0xC000003E, 41, 53), "aarch64": (0xC00000B7, 198, 199)}
IO_URING = (425, 426, 427)
# x86_64 has each call a second time, for programs with addresses of 32 bits.
X32 = 0x40000000
PR_SET_SECCOMP, MODE_FILTER = 22, 2
# Orphans among its descendants become its children: PR_SET_CHILD_SUBREAPER(2const).
PR_SET_CHILD_SUBREAPER = 36
# linux/bpf_common.h: load a word of struct seccomp_data; compare; return.
LOAD, EQUAL, GREATER_OR_EQUAL, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
# EOPNOTSUPP: of others ZeroMQ, which looks at the network's devices first, takes its life (libzmq, ip_resolver.cpp).
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 95  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
AF_UNIX = 1

SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/opt", "/etc", "/sys", "/proc")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/shm")  # nosec B108 - what a sandbox may open
# What tells who the instructor is to the hub.
SECRET = ("JUPYTERHUB_", "JPY_", "HUBRUN_", "JUPYTER_CONFIG")


class Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction))]


libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *args: object) -> int:
    """A system call; raises OSError."""
    result = int(libc.syscall(ctypes.c_long(number), *args))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def restrict(rights: dict[str, int]) -> None:
    """Forbid this process all that `rights` (path → rights) does not allow. Paths that are not there are passed over."""
    version = call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))
    handled = HANDLED[min(version, max(HANDLED))]
    wanted = Ruleset(handled, 0, SIGNALS_AND_SOCKETS if version >= 6 else 0)
    ruleset = call(CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted)), ctypes.c_uint32(0))
    for path, allowed in rights.items():
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        known = handled if os.path.isdir(path) else handled & FILE_RIGHTS
        rule = Beneath(allowed & known, parent)
        call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
        os.close(parent)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def filter_program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter for a machine (uname -m): code, steps to skip if so, if not, and the word. Raises OSError for others."""
    if machine not in ARCHITECTURES:
        raise OSError(f"no filter for the architecture {machine}")
    architecture, socket, socketpair = ARCHITECTURES[machine]
    checks = [(EQUAL, number) for number in IO_URING] + ([(GREATER_OR_EQUAL, X32)] if machine == "x86_64" else [])
    last = len(checks) + 6  # how far the last instruction is from the second
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 0, last, architecture),
        (LOAD, 0, 0, NUMBER),
        *((code, last - 2 - place, 0, word) for place, (code, word) in enumerate(checks)),
        (EQUAL, 1, 0, socket),
        (EQUAL, 0, 2, socketpair),
        # The kernel, too, takes the lower half of it, an int.
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (EQUAL, 0, 1, AF_UNIX),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]


def close_network() -> None:
    """Refuse this process, and all that it starts, every socket but AF_UNIX. Needs PR_SET_NO_NEW_PRIVS."""
    steps = [Instruction(*step) for step in filter_program(os.uname().machine)]
    program = Program(len(steps), (Instruction * len(steps))(*steps))
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def children() -> list[int]:
    """The numbers of this process's children: proc_pid_stat(5)."""
    found = []
    for number in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as stat:
            if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(number))
    return found


def outlive() -> None:
    """Go on in a child. This process waits for it, then ends all that it left behind, and itself."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    kernel = os.fork()
    if kernel == 0:
        return
    status = None

    def end(*_: object) -> None:
        if status is None:
            os.kill(kernel, signal.SIGKILL)

    # An interrupt is sent to the group, and so to the kernel; to be ended, to this process alone (jupyter_client).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    with suppress(ChildProcessError):
        while True:
            ended, how = os.wait()
            status = how if ended == kernel else status
            for child in children() if status is not None else []:
                os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status or 0)
    os._exit(code if code >= 0 else 128 - code)


def main(scratch: str, connection: str, _: str, *command: str) -> None:
    outlive()
    rights = dict.fromkeys(SYSTEM, READ) | dict.fromkeys((*DEVICES, os.getcwd(), connection), WRITE)
    try:
        # The kernel's sockets are in SCRATCH.
        restrict(rights | {scratch: WRITE | MAKE_SOCK})
        close_network()
    except OSError as error:
        sys.exit(
            f"autograding needs Landlock and seccomp to shut in what students wrote, and this server lacks one: {error}"
        )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SECRET)}
    # ipykernel says that it has no socket for the output of forked processes (iostream.py); that is as it should be.
    quiet = {"PYTHONWARNINGS": "ignore:Couldn't bind IOPub Pipe:UserWarning"}
    os.execvpe(command[0], command, quiet | kept | {"HOME": scratch, "TMPDIR": scratch})


if __name__ == "__main__":
    main(*sys.argv[1:])
