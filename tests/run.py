"""`./hubrun test [--fast|--long] [-- PYTEST_ARGUMENTS]`: what the bootstrap runs. Its help is there (`hubrun`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).resolve().parents[1]
# Programs that the tests call beside .venv, with their Debian packages; Chromium, with fonts, is for those in a browser.
TEST_TOOLS = {
    "gpg": ["gnupg"], "openssl": ["openssl"], "ps": ["procps"], "ssh-keygen": ["openssh-client"], "nft": ["nftables"],
    "mkfs.ext4": ["e2fsprogs"], "mkfs.btrfs": ["btrfs-progs"], "rsync": ["rsync"], "curl": ["curl", "ca-certificates"],
    "restic": ["restic"], "sshd": ["openssh-server"], "logrotate": ["logrotate"],
    "wg": ["wireguard-tools"],
}  # fmt: skip
BROWSER = {"chromium": ["chromium", "fonts-dejavu-core", "fonts-liberation"]}


def install_test_tools(tools: dict[str, list[str]]) -> None:
    """Install what the tests call and a bare Debian lacks. Ends with 2 where that cannot be done from here."""
    missing = [package for tool, packages in tools.items() if not shutil.which(tool) for package in packages]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"the tests need {', '.join(missing)}: sudo {' '.join(install)}", file=sys.stderr)
        sys.exit(2)
    subprocess.run(
        install, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    )


def run(fast: bool, pytest_arguments: Sequence[str]) -> int:
    """Run everything that CI runs: format, lint, types, and the tests; the exit code."""
    install_test_tools(TEST_TOOLS if fast else TEST_TOOLS | BROWSER)
    side_by_side = ["pytest", "-q", "-n", "3", "--dist", "loadscope"]
    # Not even collected where nobody asks for one of them: that takes a second in each process.
    left_out = [] if pytest_arguments else ["--ignore=tests/server"]
    commands = [
        ["ruff", "format", "--check", "-q", "lib", "tests", "benchmarks", "docs"],
        ["ruff", "check", "-q", "lib", "tests", "benchmarks", "docs"],
        ["mypy", "--no-error-summary"],
        [*side_by_side, *left_out, "-m", "not (server or browser or hub or slow or only_long)", *pytest_arguments],
    ]
    if not fast:
        hubs = "(hub or slow) and not (server or browser or only_long)"
        commands.append([*side_by_side, *left_out, "-m", hubs, *pytest_arguments])
    # 5: arguments for pytest have left no test in this part
    well = {0, 5} if pytest_arguments else {0}
    failed = [
        tool[0]
        for tool in commands
        if subprocess.run([sys.executable, "-m", *tool], cwd=PROJECT).returncode not in well
    ]
    if not fast:
        failed += ["pytest" for code in _test_servers(pytest_arguments) if code not in well]
    if failed:
        print(f"hubrun test: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run_long(pytest_arguments: Sequence[str]) -> int:
    """Run the tests marked `long`, with as many repetitions as one has patience for, and `only_long`; the exit code."""
    install_test_tools(TEST_TOOLS | BROWSER)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-m", "long or only_long", *pytest_arguments]
    return subprocess.run(command, cwd=PROJECT, env=os.environ | {"HUBRUN_LONG": "1"}).returncode


def _test_servers(pytest_arguments: Sequence[str]) -> list[int]:
    """Run the tests on practice servers and in browsers in two halves beside each other; their exit codes.

    Most of an install is waiting, so that each half leaves the other a core. What the second says comes behind the first.
    """
    command = [
        sys.executable, "-m", "pytest", "-q", "--tb=short", "--durations=15", "-m", "(server or browser) and not only_long",
        *(pytest_arguments or ["tests/server"]),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as later:
        reports = [Path(folder, half) for half in ("first", "second")]
        second = subprocess.Popen(
            [*command, f"--junitxml={reports[1]}"], cwd=PROJECT, env=os.environ | {"HUBRUN_TEST_HALF": "second"},
            stdout=later, stderr=subprocess.STDOUT,
        )  # fmt: skip
        environment = os.environ | {"HUBRUN_TEST_HALF": "first"}
        first = subprocess.run([*command, f"--junitxml={reports[0]}"], cwd=PROJECT, env=environment).returncode
        codes = [first, second.wait()]
        later.seek(0)
        sys.stdout.write(later.read())
        for report in reports:
            _print_failures(report)
    return codes


def _print_failures(report: Path) -> None:
    """A line for each test that failed: the halves' own summaries are far above the end of what a CI system keeps.

    `report` is a file in JUnit's XML form, as pytest writes it.
    """
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        for failure in case.iter():
            if failure.tag in {"failure", "error"}:
                reason = failure.get("message", "").splitlines()
                print(f"{failure.tag}: {case.get('classname')}::{case.get('name')}: {' '.join(reason)[:300]}")


if __name__ == "__main__":
    given = sys.argv[1:]
    for_pytest = [each for each in given if each not in ("--fast", "--long", "--")]
    sys.exit(run_long(for_pytest) if "--long" in given else run("--fast" in given, for_pytest))
