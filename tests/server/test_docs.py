"""Each command of the documentation, typed as its reader types it: on this machine, and on a server that is set up.

What is typed in the place of a reader's own names is in `typed`; what cannot be typed says so above its block, in a comment
that readers do not see (doc_pages).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import first
from machines import PROJECT, Machine, hubrun

import doc_pages
from doc_pages import Block

# README's commands change nothing where `./hubrun practice` has been; those of the other pages do.
SERVER = "bare" if os.environ.get("HUBRUN_LONG") else "machine"
pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.usefixtures(SERVER), pytest.mark.timeout(900)]

PAGES = [
    path
    for path in doc_pages.pages()
    if any(block.language == "sh" and not block.not_run for block in doc_pages.blocks(path))
]
# What a reader of the page has on the server before, and what must come of it: the files of somebody from the old hub
# belong to those who are in students' containers.
TLJH = "docs/how-to/move-from-tljh.md"
BEFORE = {TLJH: "install -d -m 0700 /root/homes; tar -C /etc -cf /root/homes/ada.tar hostname"}
AFTER = {
    TLJH: (
        "stat -c '%u:%g' \"$(docker volume inspect -f '{{.Mountpoint}}' jupyterhub-user-ada)/hostname\"",
        "1000:100",
    )
}
SECONDS = 600


@dataclass(frozen=True)
class Desk:
    """Where commands are typed: a folder that looks like a clone, with a site's file; and the server."""

    folder: Path
    machine: Machine

    def fill_in(self) -> None:
        """What the reader does after copying the example: their own values in the site's file."""
        (self.folder / "params/bio.yaml").write_text(self.machine.site.read_text())

    def typed(self, text: str) -> str:
        """The text with this server in the place of the reader's, and of the practice server of the usual name."""
        name, domain, port = self.machine.name, self.machine.info["domain"], self.machine.info["https_port"]
        for pattern, replacement in (
            (r"params/\*\.yaml", "params/bio.yaml"),
            (r"\.practice/practice/", f".practice/{name}/"),
            (r"\./hubrun practice\b", f"./hubrun practice --name {name}"),
            (r"(\./hubrun records \w+) (?:bio|practice)\b", rf"\1 {name}"),
            (r"-connect hub\.example\.edu:443", f"-connect 127.0.0.1:{port}"),
            (r"https://hub\.example\.edu/", f"https://{domain}:{port}/"),
            (r"\bhub\.example\.edu\b", domain),
        ):
            text = re.sub(pattern, replacement, text)
        return text

    def type(self, block: Block) -> None:
        """Type a block. Fails where it does not end as its page says."""
        if block.on_server:
            self.machine.run("set -e\n" + self.typed(block.text), seconds=SECONDS)
            return
        self.fill_in()
        done = subprocess.run(
            ["sh", "-e", "-c", self.typed(block.text)], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS, check=False,
            env=os.environ | {"CURL_CA_BUNDLE": self.machine.info["ca_bundle"]},
        )  # fmt: skip
        assert done.returncode in block.codes, f"{block}: exit {done.returncode}\n{done.stdout[-3000:]}"


@pytest.fixture(scope="module")
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A server that `./hubrun practice` has set up, and a folder that holds what a clone holds."""
    server: Machine = request.getfixturevalue(SERVER)
    if SERVER == "bare":
        server.reset()
    done = hubrun("practice", "--name", server.name, seconds=SECONDS)
    assert done.code == 0, done.tail
    folder = tmp_path_factory.mktemp("clone")
    for name in (".practice", ".venv", "runbooks", "records"):
        (folder / name).symlink_to(PROJECT / name)
    (folder / "params").mkdir()
    shutil.copy(PROJECT / "params/example.yaml", folder / "params")
    command = folder / "hubrun"
    command.write_text(f'#!/bin/sh\nexec {PROJECT}/hubrun "$@"\n')
    command.chmod(0o755)
    yield Desk(folder, server)


# What a stranger reads first is typed each time, all the others with --long: each command takes seconds.
@pytest.mark.parametrize(
    "path",
    first(1, sorted(PAGES, key=lambda path: path.name != "README.md")),
    ids=lambda path: str(path.relative_to(PROJECT)),
)
def test_the_commands_of_a_page_do_what_it_says(desk: Desk, path: Path) -> None:
    page = str(path.relative_to(PROJECT))
    if before := BEFORE.get(page):
        desk.machine.run(before)
    for block in doc_pages.blocks(path):
        if block.language == "sh" and not block.not_run:
            desk.type(block)
    if after := AFTER.get(page):
        assert desk.machine.run(after[0]).strip() == after[1]
