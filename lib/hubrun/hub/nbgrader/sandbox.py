"""sandbox.py SCRATCH CONNECTION -- COMMAND…: run a kernel that reaches its working folder and no other person's files.

Landlock (Linux 5.13 or newer; https://docs.kernel.org/userspace-api/landlock.html): from here on, this process and all
that it starts may read the system's programs, and write below the working folder, SCRATCH and CONNECTION. No links can
be made, so that what is written there later by the instructor's process goes nowhere else. Processes outside can be
neither looked into nor sent signals (Linux 6.12). The network stays as it is: what the sandbox can read is the student's
own submission and the tests that it is graded with.

Where the kernel has no Landlock it ends with an error, and nothing is graded.
"""

from __future__ import annotations

import ctypes
import os
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all architectures
PATH_BENEATH, PR_SET_NO_NEW_PRIVS, VERSION = 1, 38, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, TRUNCATE = 1 << 7, 1 << 8, 1 << 14
SIGNALS_AND_SOCKETS = 0b11
# Which rights a version of Landlock knows: those that are handled are forbidden, except where a rule gives them.
HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}

FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | TRUNCATE

SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/opt", "/etc", "/sys", "/proc")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/shm")
# What tells who the instructor is to the hub.
SECRET = ("JUPYTERHUB_", "JPY_", "HUBRUN_", "JUPYTER_CONFIG")


class Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


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


def main(scratch: str, connection: str, _: str, *command: str) -> None:
    writable = (os.getcwd(), scratch, connection)
    try:
        restrict(dict.fromkeys(SYSTEM, READ) | dict.fromkeys(DEVICES, WRITE) | dict.fromkeys(writable, WRITE))
    except OSError as error:
        sys.exit(f"autograding needs Landlock to shut in what students wrote, and this server has none: {error}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SECRET)}
    os.execvpe(command[0], command, kept | {"HOME": scratch, "TMPDIR": scratch})


if __name__ == "__main__":
    main(*sys.argv[1:])
