"""`./hubrun lab`: the runbooks in JupyterLab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from hubrun import params
from hubrun.environment import PROJECT, SITE_FILE
from hubrun.records.run import site_run


@click.command()
@click.argument("site_file", metavar="[params/SITE.yaml]", type=click.Path(path_type=Path), required=False)
@click.option("--port", type=int, default=8888, show_default=True, help="Port of JupyterLab on this machine.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def lab(site_file: Path | None, port: int, no_browser: bool) -> int:
    """Open the runbooks in JupyterLab, to step through them for a site."""
    site_run.runbooks()  # raises for a notebook that differs from its twin
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
