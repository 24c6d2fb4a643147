"""The command line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubrun import many, params, params_help, progress
from hubrun.bench_cli import bench
from hubrun.errors import BadInput, HubrunError
from hubrun.hub.launch_cli import launch
from hubrun.notebook import PROJECT, SITE_FILE
from hubrun.practice.cli import practice
from hubrun.record import mirror, signature
from hubrun.record import run as record
from hubrun.record.cli import RECORDS, records
from hubrun.record.manifest import Mode
from hubrun.record.stop import at_once, on_signal
from hubrun.secret import Secret
from hubrun.server import Server
from hubrun.terminal import echo, show_uncaught

if TYPE_CHECKING:
    from hubrun.record import kernels


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def hubrun() -> None:
    """Executable runbooks that set up a JupyterHub which Canvas can launch.

    \b
    Try it, on a practice server:    ./hubrun practice
    A server of your own:            cp params/example.yaml params/SITE.yaml, fill it in, then
      what would be done:            ./hubrun plan params/SITE.yaml
      do it:                         ./hubrun install params/SITE.yaml
      or step by step, in a browser: ./hubrun lab params/SITE.yaml
    """


def _assignments(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, sign, _text in pairs:
        if not sign:
            raise click.BadParameter(f"{name!r} is not of the form name=value")
    return {name: text for name, _sign, text in pairs}


def run_options(command: Any) -> Any:
    for option in reversed(
        [
            click.argument(
                "site_files", metavar="params/SITE.yaml...", nargs=-1, required=True, type=click.Path(path_type=Path)
            ),
            click.option("--from", "first", default="", metavar="NN", help="Begin with this runbook, such as 03."),
            click.option("--only", default="", metavar="NN", help="Run this runbook alone."),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="NAME=VALUE",
                callback=_assignments,
                help="Another value for a parameter; may be given more than once.",
            ),
            click.option(
                "--records",
                type=click.Path(path_type=Path),
                default=RECORDS,
                show_default="records",
                help="Folder that keeps the records.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print the run's manifest as JSON at the end."),
            click.option(
                "--jobs",
                type=click.IntRange(1, 64),
                default=8,
                show_default=True,
                help="Of several sites, how many at once.",
            ),
        ]
    ):
        command = option(command)
    return command


@hubrun.command()
@run_options
@click.option("--check", is_flag=True, help="Show what would change, and touch nothing (the same as `plan`).")
@click.option("--resume", is_flag=True, help="Go on with the site's last run, at the runbook that failed.")
@click.option("--confirm", is_flag=True, help="Show the plan first, and wait for a yes.")
def install(check: bool, confirm: bool, **options: Any) -> int:
    """Run the runbooks against a server, or several, and keep the record."""
    if confirm:
        return run_confirmed(check, **options)
    return run_sites("check" if check else "install", **options)


@hubrun.command()
@run_options
def plan(**options: Any) -> int:
    """Show what `install` would do, and change nothing. Ends with 0 when nothing is to be done, 2 when something is.

    On a server that is set up it is the drift report: what was changed by hand, and by which run it had been set.
    """
    return run_sites("check", **options)


def run_sites(
    mode: Mode, site_files: tuple[Path, ...], jobs: int, as_json: bool, records: Path,
    first: str, only: str, overrides: dict[str, str], resume: bool = False,
) -> int:  # fmt: skip
    """Run the runbooks for one site here, for several in a process each; the exit code, as README lists them."""
    if len(site_files) == 1:
        return run_site(site_files[0], mode, first, only, overrides, records, as_json, resume)
    options = ["--records", str(records.absolute())]
    options += [f"--from={first}"] if first else []
    options += [f"--only={only}"] if only else []
    options += [f"--set={name}={value}" for name, value in overrides.items()]
    options += ["--resume"] if resume else []
    code, done = many.run("plan" if mode == "check" else "install", site_files, options, min(jobs, len(site_files)))
    if as_json:
        click.echo(json.dumps({str(job.file): job.manifest or {"error": job.error} for job in done}, indent=2))
    return code


def run_confirmed(check: bool, site_files: tuple[Path, ...], resume: bool, **options: Any) -> int:
    """Plan, ask, and install. Nothing is done without a terminal, where nobody could say yes."""
    if check or resume or len(site_files) > 1:
        raise BadInput("is for one site, without --check and --resume", "--confirm", "Leave one of them out")
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to ask on", "--confirm", "Use `plan`, and then `install`")
    code = run_sites("check", site_files, **options)
    if code != 2:
        return code
    if not click.confirm("Do this?", err=True):
        click.echo("nothing was done", err=True)
        return 2
    return run_sites("install", site_files, **options)


def _kernel() -> kernels.Shared:
    """The run's kernel, which starts while we connect."""
    from hubrun.record import kernels  # slow to import: `hubrun --help` must not wait for it

    shared = kernels.Shared()
    shared.take()
    return shared


def run_site(
    site_file: Path, mode: Mode, first: str = "", only: str = "", overrides: dict[str, str] | None = None,
    records: Path = RECORDS, as_json: bool = False, resume: bool = False,
) -> int:  # fmt: skip
    """Run the runbooks for the site in `site_file`; the exit code, as README lists them."""
    if resume and (first or only or mode == "check"):
        raise BadInput("cannot be combined with --from, --only or --check", "--resume", "It knows where to go on")
    site = params.load(site_file, overrides)
    books = record.runbooks(first, only)
    key, signer = signature.find_signer(site.record_signing_key, site.ssh_key_file)
    if site.records_mirror:
        mirror.check_target(site.records_mirror)
    show = progress.Progress(site)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_signal(at_once))  # so that the kernel never outlives us
        with show.waiting(f"connecting to {site.ssh_user}@{site.host}:{site.ssh_port}"):
            kernel = stack.enter_context(_kernel())
            # what keeps us out is said here, before a runbook begins
            server = stack.enter_context(Server.connect(site))
        run = stack.enter_context(record.opened(site, mode, records.absolute(), books, key, signer, resume))
        try:
            run.look(server)
            run.execute(show.listen, kernel)
        except (KeyboardInterrupt, Exception) as error:
            ended_by: BaseException | None = error
        else:
            ended_by = None
        with show.waiting("closing the record"):
            run.finish(server, ended_by)
        show.end(run, site_file)
        if as_json:
            click.echo(json.dumps(run.data(), indent=2))
    if site.records_mirror and run.closed:
        try:
            with show.waiting(f"copying the record to {site.records_mirror}"):
                for folder in (*(kept.folder for kept in run.recovered), run.folder):
                    mirror.mirror(run.history, folder, site.records_mirror)
        except HubrunError as error:  # what the run came to is not changed by that
            show.warn(f"the record was not copied: {error}")
    if ended_by and not isinstance(ended_by, HubrunError):  # that is in the record and was shown
        raise ended_by
    if not run.closed:
        return 1
    return {"failed": 1, "interrupted": 1, "would change": 2}.get(run.record.status, 0)


@hubrun.command("params")
@click.option("--yaml", "as_yaml", is_flag=True, help="As a params file with comments (params/example.yaml).")
@click.option("--cell", metavar="NN", help="As the parameters cell of a runbook, such as 03.")
def params_command(as_yaml: bool, cell: str | None) -> None:
    """Explain every parameter of a site."""
    click.echo(params_help.cell(cell) if cell else params_help.example() if as_yaml else params_help.table(), nl=False)
    if cell:
        click.echo()


@hubrun.command()
@click.argument("site_file", metavar="[params/SITE.yaml]", type=click.Path(path_type=Path), required=False)
@click.option("--port", type=int, default=8888, show_default=True, help="Port of JupyterLab on this machine.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def lab(site_file: Path | None, port: int, no_browser: bool) -> int:
    """Open the runbooks in JupyterLab, to step through them for a site."""
    environment = dict(os.environ)
    if site_file:
        params.load(site_file)
        environment[SITE_FILE] = str(site_file.absolute())
    command = [
        sys.executable, "-m", "jupyterlab", "--ServerApp.root_dir=runbooks", f"--port={port}",
        # pairs each notebook with its .py twin, so that saving one writes the other
        "--ServerApp.contents_manager_class=jupytext.TextFileContentsManager", "--LabApp.default_url=/lab/tree/01_server.ipynb",
        *(["--no-browser"] if no_browser else []), *(["--allow-root"] if os.geteuid() == 0 else []),
    ]  # fmt: skip
    return subprocess.run(command, cwd=PROJECT, env=environment).returncode


# Programs that the tests call beside .venv, with their Debian packages; Chromium, with fonts, is for those in a browser.
TEST_TOOLS = {
    "gpg": ["gnupg"], "openssl": ["openssl"], "ps": ["procps"], "ssh-keygen": ["openssh-client"], "nft": ["nftables"],
    "mkfs.ext4": ["e2fsprogs"],
}  # fmt: skip
BROWSER = {"chromium": ["chromium", "fonts-dejavu-core", "fonts-liberation"]}


def install_test_tools(tools: dict[str, list[str]]) -> None:
    """Install what the tests call and a bare Debian lacks. Raises BadInput where that cannot be done from here."""
    missing = [package for tool, packages in tools.items() if not shutil.which(tool) for package in packages]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BadInput(f"the tests need {', '.join(missing)}", "this machine", f"sudo {' '.join(install)}")
    subprocess.run(
        install, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    )


@hubrun.command()
@click.option("--fast", is_flag=True, help="Only what needs neither server nor browser: under a minute.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(fast: bool, pytest_arguments: tuple[str, ...]) -> int:
    """Run everything that CI runs: format, lint, types, and the tests. Arguments behind -- go to pytest."""
    install_test_tools(TEST_TOOLS if fast else TEST_TOOLS | BROWSER)
    side_by_side = ["pytest", "-q", "-n", "3", "--dist", "loadfile"]
    # Not even collected where nobody asks for one of them: that takes a second in each process.
    left_out = [] if pytest_arguments else ["--ignore=tests/server"]
    commands = [
        ["ruff", "format", "--check", "-q", "lib", "tests", "benchmarks"],
        ["ruff", "check", "-q", "lib", "tests", "benchmarks"],
        ["mypy", "--no-error-summary"],
        [*side_by_side, *left_out, "-m", "not (server or browser or hub)", *pytest_arguments],
    ]
    if not fast:
        commands += [[*side_by_side, *left_out, "-m", "hub and not (server or browser)", *pytest_arguments]]
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
        echo(f"hubrun test: failed: {', '.join(failed)}", err=True)
    return 1 if failed else 0


def _test_servers(pytest_arguments: tuple[str, ...]) -> list[int]:
    """Run the tests on practice servers and in browsers in two halves beside each other; their exit codes.

    Most of an install is waiting, so that each half leaves the other a core. What the second says comes behind the first.
    """
    command = [
        sys.executable, "-m", "pytest", "-q", "--tb=short", "--durations=15", "-m", "server or browser", *pytest_arguments
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as later:
        reports = [Path(folder, half) for half in ("shared", "own")]
        second = subprocess.Popen(
            [*command, f"--junitxml={reports[1]}"], cwd=PROJECT, env=os.environ | {"HUBRUN_TEST_HALF": "own"},
            stdout=later, stderr=subprocess.STDOUT,
        )  # fmt: skip
        environment = os.environ | {"HUBRUN_TEST_HALF": "shared"}
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
    from xml.etree import ElementTree  # nosec B405 - of files that our own pytest wrote; no other command needs it

    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():  # nosec B314
        for failure in case.iter():
            if failure.tag in {"failure", "error"}:
                reason = failure.get("message", "").splitlines()
                echo(f"{failure.tag}: {case.get('classname')}::{case.get('name')}: {' '.join(reason)[:300]}")


hubrun.add_command(bench)
hubrun.add_command(launch)
hubrun.add_command(practice)
hubrun.add_command(records)


def main() -> None:
    """Run the command line and end with an exit code: 0, 1, 2, or 130 after an interrupt."""
    sys.excepthook = show_uncaught
    try:
        code = hubrun(standalone_mode=False, prog_name="./hubrun")
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("hubrun: interrupted", err=True)
        code = 130
    except HubrunError as error:
        echo(Secret.redact(f"hubrun: {error}"), err=True)
        if error.detail and not isinstance(error, BadInput):
            echo(Secret.redact("\n".join(f"    {line}" for line in error.detail.splitlines()[-20:])), err=True)
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else 0)
