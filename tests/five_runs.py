"""A history of one site to read and to look at: five runs as `./hubrun` leaves them, with small executed notebooks.

Installed; run again, nothing to do; the certificate fails and the run is resumed; a check; a parameter is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hubrun.desired.cards import Card, results_card
from hubrun.desired.checks import Check, check_card
from hubrun.desired.resource import Action, Result, unified
from hubrun.records.ledger import manifest
from hubrun.records.ledger.manifest import (
    Link,
    Manifest,
    Operator,
    Packages,
    Record,
    RunbookRecord,
    Signer,
    Software,
    Step,
)

SITE = "biology"
PARAMETERS = {
    "site": SITE, "domain": "hub.bio.example.edu", "ssh_host": "hub.bio.example.edu", "ssh_user": "admin", "upgrade": "security",
    "swap_mb": 2048, "admin_users": ["anna"], "idle_minutes": 60, "tls": "acme", "acme_email": "it@bio.example.edu",
    "upload_limit_mb": 100, "user_memory_mb": 2048, "nbgrader": True,
}  # fmt: skip
SERVER = {
    "os": "debian", "version": "12", "name": "Debian GNU/Linux 12 (bookworm)", "hostname": "hub", "kernel": "6.1.0-25-amd64",
    "arch": "amd64", "cpus": "8", "memory_mb": "32102", "host_key": "SHA256:BA7A9QVD1REQz26AX07RzhRNGnp67nYKOZe8PhneYCQ",
}  # fmt: skip
BEFORE = {"deb openssl": "3.0.14-1~deb12u2", "deb curl": "7.88.1-10+deb12u7", "deb systemd": "252.30-1~deb12u2"}
AFTER = BEFORE | {
    "deb openssl": "3.0.17-1~deb12u3", "deb nginx": "1.22.1-9+deb12u2", "deb certbot": "2.1.0-4", "deb docker.io": "20.10.24+dfsg1-1",
    "deb python3-venv": "3.11.2-1", "hub jupyterhub": "6.1.1", "hub dockerspawner": "14.0.0", "npm configurable-http-proxy": "4.6.2",
}  # fmt: skip
KEY = Signer(fingerprint="SHA256:9yq0Jt3m0pXbQm0S8sOq3mWmQk1nI1cZr0v7Vh2cKpE", public_key="ssh-ed25519 AAAA anna@desk")
NGINX = "/etc/nginx/conf.d/jupyterhub-https.conf"
CERTIFICATE = "certificate for hub.bio.example.edu"


def nginx(limit: int) -> str:
    return f"server {{\n    listen 443 ssl http2;\n    server_name hub.bio.example.edu;\n    client_max_body_size {limit}m;\n}}\n"


def made(path: str, content: str) -> Action:
    return Action(f"create {path}", "", f"install -m 644 … {path}", diff=unified(path, "", content))


def passed(name: str, came: str = "no output") -> Check:
    return Check(name, True, "exit code 0", f"exit code 0, {came}")


@dataclass
class Does:
    """What a step does on a fresh server: its resources with their actions, and its checks. seconds: for all."""

    title: str
    resources: Mapping[str, Sequence[Action]] = field(default_factory=dict)
    checks: Sequence[Check] = ()
    seconds: float = 0.3
    source: str = "server.ensure(...)"


JOB = {
    "01_server": [
        Does("Target", source="site = site_from(globals())\nserver = Server.connect(site, check_mode=check)\nserver"),
        Does("Preflight", {}, [passed("operating system", "Debian GNU/Linux 12 (bookworm)"), passed("memory of at least 1024 MB", "32102 MB"), passed("clock within 15 s of this machine's", "0 s")], 0.9, "server.check(*preflight(site))"),
        Does("Updates", {"updates (security)": [Action("fetch the package lists", "apt-get update"), Action("update openssl", "apt-get upgrade")]}, (), 24.7, "server.ensure(Updates(site.upgrade))"),
        Does("Base packages", {"packages python3, python3-venv, sudo, curl": [Action("install python3-venv", "apt-get install python3-venv")]}, (), 8.2),
        Does("Swap", {"swap /swapfile, 2048 MB": [Action("make /swapfile of 2048 MB", "fallocate -l 2048M /swapfile")]}, (), 1.4, "server.ensure(Swap(site.swap_mb))"),
        Does("A person who administers the server", {"user admin": [], "file /etc/sudoers.d/hubrun-admin": [made("/etc/sudoers.d/hubrun-admin", "admin ALL=(ALL) ALL\n")]}, (), 0.4),
        Does("Check", {}, [passed("sudoers is sound", "/etc/sudoers.d/hubrun-admin: parsed OK"), Check("jupyterhub must not get root by sudo", True, "an error", "exit code 1, sudo: a password is required")], 0.5, "server.check(...)"),
    ],
    "02_hub_lti": [
        Does("JupyterHub", {"virtual environment /opt/jupyterhub": [Action("make /opt/jupyterhub", "python3 -m venv /opt/jupyterhub"), Action("install jupyterhub 6.1.1 and 63 more", "uv pip sync requirements.txt")]}, (), 31.6),
        Does("Key and secret", {"secrets /etc/jupyterhub/lti.env": [Action("make LTI_CLIENT_KEY, LTI_CLIENT_SECRET in /etc/jupyterhub/lti.env", "umask 077; …")]}, (), 0.2),
        Does("Configuration", {"file /etc/jupyterhub/conf.d/20-hub.py": [made("/etc/jupyterhub/conf.d/20-hub.py", "c.JupyterHub.allow_named_servers = False\nc.JupyterHub.cleanup_servers = False\n")], "file /etc/jupyterhub/conf.d/25-lti.py": [made("/etc/jupyterhub/conf.d/25-lti.py", 'c.LTI11Authenticator.uri_scheme = "https"\n')]}, [passed("every setting is known to its class")], 6.1),
        Does("Two services", {"service jupyterhub-proxy.service": [Action("enable jupyterhub-proxy.service", "systemctl enable …"), Action("start jupyterhub-proxy.service", "systemctl start …")], "service jupyterhub.service": [Action("start jupyterhub.service", "systemctl start …")]}, [passed("the hub answers through its proxy")], 4.0),
    ],
    "03_https": [
        Does("nginx", {"packages nginx, curl, openssl": [Action("install nginx", "apt-get install nginx")]}, (), 5.3),
        Does("Certificate", {CERTIFICATE: [Action("obtain a certificate for hub.bio.example.edu", "certbot certonly …")]}, [passed("the certificate is valid now", "valid until Feb 21 17:33:14 2027 GMT, 89 days")], 9.8),
        Does("Port 443", {f"file {NGINX}": [made(NGINX, nginx(100))], "service nginx": [Action(f"reload nginx ({NGINX} is newer)", "systemctl reload nginx")]}, [passed("the configuration of nginx is valid")], 1.5),
    ],
    "04_docker_spawner": [
        Does("Docker", {"packages docker.io, iptables": [Action("install docker.io, iptables", "apt-get install docker.io iptables")]}, [passed("Docker answers", "engine 20.10.24+dfsg1")], 12.2),
        Does("The students' image", {"image hubrun-singleuser": [Action("build hubrun-singleuser (it is not there)", "docker build -t hubrun-singleuser /srv/jupyterhub/image")]}, [passed("the image has the hub's own version of JupyterHub")], 148.0),
    ],
    "05_canvas": [Does("What to enter in Canvas", {}, (), 0.1, "server.show(canvas.form(site))")],
    "06_verify": [
        Does("Launches", {}, [Check("signed launch", True, "a login", "302"), Check("unsigned launch refused", True, "400, no login", "400, no login (Required oauth arg oauth_consumer_key not included in request)")], 0.8, "server.require(*verification.refusals())"),
        Does("A student works", {}, [Check("a kernel runs 6*7 through the websocket", True, "42", "42")], 11.4, "server.require(*verification.work())"),
    ],
}  # fmt: skip

Actions = Mapping[str, Sequence[Action]]
# Runbook, step, cause and reason.
Breaks = tuple[str, str, str, str]


@dataclass
class Writer:
    """Writes the runs of one site, one after the other. now: when the next one begins, UTC."""

    records: Path
    site: str = SITE
    now: datetime = datetime.fromisoformat("2026-09-14T08:12:09+00:00")
    previous: Link | None = None

    def run(
        self, does: Mapping[str, Actions] | None = None, breaks: Breaks | None = None, resumes: Record | None = None,
        **fields: Any,
    ) -> Record:  # fmt: skip
        """One run, or one more attempt at `resumes`; the record of its manifest, which is on disk.

        does: by runbook, the actions of resources (others are ok); None: all that a fresh server needs.
        breaks: where and why it fails; what comes after is not run. fields: of the record, in place of the usual ones.
        """
        mark = hashlib.sha256(str((self.site, self.now)).encode()).hexdigest()[:6]
        folder = self.records / self.site / (resumes.run if resumes else f"{self.now:%Y%m%dT%H%M%SZ}-{mark}")
        folder.mkdir(parents=True, exist_ok=True)
        record = Record(**{
            "run": folder.name, "site": self.site, "mode": "install", "attempt": resumes.attempt + 1 if resumes else 1,
            "started": resumes.started if resumes else self.now.isoformat(), "operator": Operator(login="anna", host="desk", via="192.0.2.7"),
            "software": Software(version="0.2.0", commit="449fd2709f3c11d6c0d7a1f3f8b1f3c6e4a0b9d2"), "parameters": PARAMETERS, "server": SERVER,
            "packages": Packages(before=AFTER, after=AFTER), "signer": KEY, "previous": self.previous,
        } | fields)  # fmt: skip
        books = _moved_aside(folder, resumes) if resumes else []
        done = {book.name for book in books if book.status != "failed"}
        for name in JOB:
            if name not in done:
                books.append(self._book(name, folder, record, None if does is None else does.get(name, {}), breaks))
            if books[-1].status == "failed" and books[-1].attempt == record.attempt:
                break
        record.runbooks, record.ended = books, self.now.isoformat()
        record.status = _worst([book.status for book in books if book.attempt == record.attempt])
        record.cause, record.reason = books[-1].cause, books[-1].reason
        record.seconds = sum(book.seconds for book in books)
        content = Manifest(predicate=record).encoded()
        (folder / manifest.FILE).write_bytes(content)
        self.previous = Link(run=record.run, attempt=record.attempt, sha256=hashlib.sha256(content).hexdigest())
        return record

    def _book(
        self, name: str, folder: Path, record: Record, does: Actions | None, breaks: Breaks | None
    ) -> RunbookRecord:
        book = RunbookRecord(name=name, attempt=record.attempt, file=f"{name}.ipynb", started=self.now.isoformat())
        cells = [new_markdown_cell(f"# {name[:2]} · {name[3:].replace('_', ' ')}\n\nWhat this runbook is for.")]
        for number, job in enumerate(JOB[name], 1):
            step, cell = Step(title=job.title), new_code_cell(job.source)
            if book.status != "failed":
                because = breaks[2:] if breaks and breaks[:2] == (name, job.title) else None
                self._perform(step, cell, job, does, record.mode, because)
                cell.execution_count = number
            book.steps.append(step)
            book.status = _worst([each.status for each in book.steps])
            book.cause, book.reason = step.cause or book.cause, step.reason or book.reason
            cell.metadata["hubrun"] = step.model_dump(include={"status", "cause", "reason", "started", "ended"})
            cells += [new_markdown_cell(f"## {job.title}\n\nWhy it is done, and `what one would type`."), cell]
        book.ended, book.seconds = self.now.isoformat(), sum(step.seconds for step in book.steps)
        nbformat.write(new_notebook(cells=cells), folder / book.file)
        return book

    def _perform(
        self, step: Step, cell: NotebookNode, job: Does, does: Actions | None, mode: str, because: Any
    ) -> None:
        step.started = self.now.isoformat()
        results = []
        for name, actions in job.resources.items():
            actions = actions if does is None else does.get(name, ())
            status: Any = (
                "ok" if not actions else "failed" if because else "changed" if mode == "install" else "would change"
            )
            results.append(Result(name, status, list(actions), "", job.seconds if actions else 0))
        step.seconds = 61.5 if because else job.seconds if any(result.actions for result in results) else 0.2
        step.status = _worst([result.status for result in results])
        step.results = [result.summary() for result in results]
        cards = [results_card(results, step.seconds)] if results else []
        if job.checks and not because:
            cards.append(check_card(job.checks))
            step.checks = cards[-1].data["checks"]
        cell.outputs = [new_output("display_data", Card._repr_mimebundle_(card)) for card in cards]
        if because:
            step.status, (step.cause, step.reason) = "failed", because
            trace = [f"\x1b[31mCommandFailed\x1b[39m: {step.reason}", "Challenge failed for domain hub.bio.example.edu"]
            cell.outputs.append(new_output("error", ename="CommandFailed", evalue=step.reason, traceback=trace))
        self.now += timedelta(seconds=step.seconds)
        step.ended = self.now.isoformat()


def _moved_aside(folder: Path, resumed: Record) -> list[RunbookRecord]:
    """As `--resume` does: the notebooks that are run again and the manifest go to `attempt-N/`."""
    earlier = folder / f"attempt-{resumed.attempt}"
    earlier.mkdir()
    (folder / manifest.FILE).rename(earlier / manifest.FILE)
    for book in resumed.runbooks:
        if book.status == "failed":
            (folder / book.file).rename(earlier / book.file)
            book.file = f"{earlier.name}/{book.file}"
    return list(resumed.runbooks)


def _worst(statuses: Sequence[str]) -> Any:
    return next((each for each in ("failed", "changed", "would change") if each in statuses), "ok")


REASON = "certbot ended with exit code 1: the ACME server cannot reach http://hub.bio.example.edu. Let port 80 in from everywhere, then go on with --resume"  # fmt: skip
RENEWED = {"03_https": {CERTIFICATE: JOB["03_https"][1].resources[CERTIFICATE]}}
WIDER = PARAMETERS | {"upload_limit_mb": 200}
LARGER = {
    "03_https": {
        f"file {NGINX}": [Action(f"change {NGINX}", "", diff=unified(NGINX, nginx(100), nginx(200)))],
        "service nginx": [Action(f"reload nginx ({NGINX} is newer)", "systemctl reload nginx")],
    }
}


def write(records: Path) -> list[Record]:
    """The history of this module's first line; returns the last manifest's record of each run."""
    writer = Writer(records)
    runs = [writer.run(packages=Packages(before=BEFORE, after=AFTER))]
    writer.now += timedelta(days=1, hours=2)
    runs.append(writer.run(does={}))
    writer.now += timedelta(days=27, hours=7)
    failed = writer.run(does=RENEWED, breaks=("03_https", "Certificate", "error", REASON))
    writer.now += timedelta(minutes=31)
    runs.append(writer.run(does=RENEWED, resumes=failed, redactions={"LTI_CLIENT_SECRET": 2}))
    writer.now += timedelta(days=20, hours=-3)
    unsigned = Signer(unsigned="no SSH agent answers and no key file was given")
    runs.append(
        writer.run(does=LARGER, mode="check", parameters=WIDER, packages=Packages(before=AFTER), signer=unsigned)
    )
    writer.now += timedelta(minutes=12)
    runs.append(writer.run(does=LARGER, parameters=WIDER))
    return runs
