"""The one schema of a site: names, types, defaults and help of every parameter.

YAML files in `params/`, the parameters cells of the runbooks and docs/reference/parameters.md are checked against it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from hubrun.errors import BadInput
from hubrun.params import text_kinds as kinds
from hubrun.params.consumers import (
    AsYamlReads,
    ConsumerParams,
    FurtherConsumer,
    GitLinkParams,
    Lms,
    LtiVersion,
    check_consumers,
    check_git_links,
    check_platform,
)
from hubrun.params.courses import CourseParams, check_courses
from hubrun.params.nodes import Node, address_of, check_nodes
from hubrun.redaction.secret import Secret
from hubrun.server_paths import PROXY_USER
from hubrun_hub.backup.target import Target, parse
from hubrun_hub.courses.exam_address import exam_part
from hubrun_hub.lti import user_names
from hubrun_hub.lti.presets import PRESETS

Port = Annotated[int, Field(ge=1, le=65535)]
# An entry of a list says something.
Given = Field(min_length=1)
# A runbook that does what these do, and so has their parameters too.
COMBINED = {"13": ("02", "04", "06"), "14": ("05", "06", "10")}
# Parameters of versions before, which do nothing any more, and why.
FORMER = {"new_names": "nobody gets another name any more, whatever is changed"}


def _param(runbooks: str, help: str, default: Any = ..., **rules: Any) -> Any:
    """A parameter: the runbooks that use it ("all", or numbers such as "03 06"), its help, its default."""
    return Field(default, description=help, json_schema_extra={"runbooks": runbooks}, **rules)


class Site(AsYamlReads):
    """One JupyterHub server. Flat, so that a YAML file and a parameters cell say it the same way."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    # -- the site and how it is reached
    site: kinds.SiteName = _param("all", "name of the site; its records are kept under this name")
    domain: kinds.Domain = _param("all", "the hub's host name, as in https://DOMAIN/")
    public_address: kinds.Host = _param(
        "01 03 04 05 06",
        "connect to this address when testing from outside; empty: what DNS says about the domain",
        "",
    )
    http_port: Port = _param("03 06", "port at which the internet reaches the server's port 80", 80)
    https_port: Port = _param("02 03 05 06", "port at which the internet reaches the server's port 443", 443)
    trust_ca_file: kinds.LocalPath = _param(
        "03 05 06",
        "file here with the CA that signed the site's certificate; empty: this machine's own list",
        "",
    )

    # -- SSH
    ssh_host: kinds.Host = _param("all", "host name or address for SSH; empty: the domain", "")
    ssh_port: int = _param("all", "SSH port; 0: what ~/.ssh/config says of the host, else 22", 0, ge=0, le=65535)
    ssh_user: kinds.SshLogin = _param(
        "all", "login: root, or a user who may use sudo; empty: what ~/.ssh/config says of the host, else root", ""
    )
    ssh_key_file: kinds.LocalPath = _param(
        "all", "private key file here; empty: what ~/.ssh/config says, the SSH agent and the usual keys", ""
    )
    ssh_known_hosts_file: kinds.LocalPath = _param(
        "all", "known_hosts file; empty: what ~/.ssh/config says, else ~/.ssh/known_hosts", ""
    )
    ssh_host_fingerprint: kinds.Fingerprint = _param(
        "all", "SHA256:… of the server's host key (your provider shows it); empty: known_hosts decides", ""
    )
    sudo_password_env: kinds.Environment = _param(
        "all", "environment variable here that holds the sudo password; empty: none", ""
    )
    sudo_password_file: kinds.LocalPath = _param("all", "file here that holds the sudo password; empty: none", "")

    # -- the record of a run
    record_signing_key: kinds.LocalPath = _param(
        "records",
        "key here that signs records: a private key file, or a public key file whose private key is in the SSH agent; "
        "none: unsigned; empty: ssh_key_file, else the agent's first key",
        "",
    )
    records_mirror: kinds.LocalPath = _param(
        "records", "copy each record there when it is closed: a folder here, or user@host:path; empty: nowhere", ""
    )

    # -- 01 server
    ca_certificates: list[Annotated[kinds.LocalPath, Given]] = _param(
        "01 02 03 04 05 06 10 11 12",
        "PEM files here with CAs that the server must trust (an institution's proxy or registry)",
        [],
    )
    http_proxy: kinds.Proxy = _param(
        "01 02 03 04 05 06 10 11 12",
        "the proxy through which the server, and students' containers, reach the outside: http://proxy.example.edu:3128; empty: none",
        "",
    )
    no_proxy: list[kinds.NoProxy] = _param(
        "01 02 03 04 05 06 10 11 12",
        "what is reached without http_proxy: hosts, domains and networks, such as [git.example.edu, .example.edu, 10.0.0.0/8]",
        [],
    )
    upgrade: Literal["none", "security", "full"] = _param(
        "01 13", "which updates to install: none, security or full", "full"
    )
    updates_hour: int = _param(
        "01",
        "hour at which security updates are installed by themselves, in the server's time zone, and within 60 minutes of it",
        6,
        ge=0,
        le=23,
    )
    timezone: kinds.TimeZone = _param(
        "01 04",
        "time zone of the server, students' containers and due dates: Europe/Zurich; empty: as the server has it, and UTC for the others",
        "",
    )
    log_days: int = _param(
        "01", "remove the server's logs after so many days; 0: as the distribution does", 0, ge=0, le=3650
    )
    extra_packages: list[Annotated[kinds.Package, Given]] = _param(
        "01 16", "Debian packages to install in addition to ours", []
    )
    admin_user: kinds.Login = _param("01", "person's login to create, with sudo; empty: none", "")
    admin_ssh_key_file: kinds.LocalPath = _param("01", "public key file here for admin_user to log in with", "")
    hub_user: kinds.Login = _param(
        "01 02 03 04 05 06 10 11 12 15 16", "system account that runs the hub; it gets no sudo", "jupyterhub"
    )
    swap_mb: int = _param("01", "size of /swapfile in MB; 0: none", 2048, ge=0, le=65536)
    min_memory_mb: int = _param("01", "refuse a server with less memory than this, in MB", 1800, ge=0)
    min_disk_gb: int = _param("01", "refuse a server with less free disk than this, in GB", 12, ge=0)

    # -- 02 hub and LTI
    lti_lms: Lms = _param(
        "02 05 06", "the LMS that launches: canvas, moodle, openedx, sakai, blackboard or brightspace", "canvas"
    )
    lti_version: LtiVersion = _param(
        "02 05 06",
        "version of LTI with which it launches: 1.1, 1.3, or both while you change from one to the other",
        "1.1",
    )
    lti_username_key: str = _param(
        "02 05 06",
        "launch field that names new people's users on the hub; nobody who has a home is moved by it (see 02)",
        "lis_person_sourcedid",
        pattern=r"^[a-z][a-z0-9_]{0,99}$",
    )
    lti_platform: str = _param(
        "02 05", "LTI 1.3: where the LMS is: Canvas's production, beta or test, or https://… of your own", "production"
    )
    lti_registration: bool = _param(
        "02 05",
        "LTI 1.3: the LMS registers the hub by itself, with a link that 05 makes; in place of lti_client_ids",
        False,
    )
    lti_client_ids: list[Annotated[kinds.Id, Given]] = _param(
        "02 05", "LTI 1.3: client ids that may launch (in Canvas: of the developer keys)", []
    )
    lti_deployment_ids: list[Annotated[kinds.Id, Given]] = _param(
        "02 05",
        "LTI 1.3: deployment ids that may launch; empty: all deployments of the client ids. Blackboard needs them (see 02)",
        [],
    )
    lti_issuer: kinds.Https = _param("02 05", "LTI 1.3: issuer, if it is not the platform's", "")
    lti_authorize_url: kinds.Https = _param("02 05", "LTI 1.3: authorize URL, if it is not the platform's", "")
    lti_jwks_url: kinds.Https = _param("02 05", "LTI 1.3: URL of the LMS's keys, if it is not the platform's", "")
    lti_token_url: kinds.Https = _param(
        "02 05", "LTI 1.3: URL at which the LMS gives out tokens for its services, if it is not the platform's", ""
    )
    lti_services: bool = _param(
        "02 04 05",
        "grades go to the LMS, names of a course's people come from it, and teachers choose there what a link opens (see 02)",
        False,
    )
    lti_inner_addresses: bool = _param(
        "02 05",
        "LTI 1.3: the LMS's keys are at an address inside your institution (a private one); false: only on the internet",
        False,
    )
    lti_launch_minutes: int = _param(
        "02 06",
        "how old a launch of LTI 1.1 may be when it arrives, and how far the LMS's clock may differ, in minutes",
        10,
        ge=1,
        le=60,
    )
    lti_frame_sites: list[kinds.Origin] = _param(
        "02",
        "other sites whose pages show the LMS, and the hub in it, in a frame: [https://learning.example.edu] (see 02)",
        [],
    )
    consumers: list[FurtherConsumer] = _param(
        "02 05 06",
        "further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lms: moodle, lti_version: '1.3', platform: https://…, registration: true}]",
        [],
    )
    outside_course: Literal["server", "page"] = _param(
        "02",
        "what people get who launch from a course as neither student nor staff (observers, guests): a server without the course, or a page",
        "server",
    )
    admin_users: list[Annotated[kinds.HubName, Given]] = _param(
        "02", "who administers the hub: hub users, or what the LMS says of them in lti_username_key", []
    )
    adopt_users: bool = _param(
        "02",
        "a hub that was set up by hand: a person takes the hub user, with the files, whose name their lti_username_key says",
        False,
    )
    idle_minutes: int = _param("02", "stop a student's server after this many idle minutes; 0: never", 60, ge=0)

    metrics: bool = _param(
        "02", "the hub's figures for Prometheus at /hub/metrics, with a token that is made on the server", False
    )

    # -- 03 HTTPS
    subdomains: bool = _param(
        "03 06", "recommended: each person's server at an address of its own, https://NAME.DOMAIN/ (see 03)", False
    )
    tls: Literal["acme", "files"] = _param(
        "01 03 05 06 10 11", "where the certificate comes from: acme, or files on the server", "acme"
    )
    acme_email: kinds.Email = _param("03", "address for the certificate authority's notices; empty: none", "")
    acme_directory: kinds.Https = _param(
        "01 03", "ACME directory of the certificate authority", "https://acme-v02.api.letsencrypt.org/directory"
    )
    acme_ca_file: kinds.LocalPath = _param(
        "03", "PEM file here: CA of the ACME server's own HTTPS; empty: the usual ones", ""
    )
    acme_eab_kid: kinds.KeyId = _param("03", "key id for external account binding, where the CA asks for it", "")
    acme_eab_hmac_env: kinds.Environment = _param(
        "03", "environment variable here that holds the binding's HMAC key", ""
    )
    acme_eab_hmac_file: kinds.LocalPath = _param("03", "file here that holds the binding's HMAC key", "")
    tls_certificate: kinds.ServerPath = _param(
        "03 05 06 10 11", "tls: files. Path on the server of the certificate with its chain, PEM", ""
    )
    tls_key: kinds.ServerPath = _param("03 10 11 13", "tls: files. Path on the server of the private key, PEM", "")
    acme_dns: Literal["none", "digitalocean", "cloudflare", "route53", "google", "rfc2136"] = _param(
        "01 03",
        "DNS service that answers the certificate authority, which subdomains need; none: port 80 answers it",
        "none",
    )
    acme_dns_env: kinds.Environment = _param(
        "01 03", "environment variable here that holds acme_dns's token or credentials", ""
    )
    acme_dns_file: kinds.LocalPath = _param(
        "01 03", "file here that holds acme_dns's token or credentials (see 03)", ""
    )
    acme_dns_seconds: int = _param(
        "03", "how long the DNS service takes to show a new record, in seconds", 60, ge=1, le=900
    )
    hsts_seconds: int = _param(
        "03 13", "how long browsers must use only HTTPS, in seconds; 0: do not tell them", 31536000, ge=0
    )
    upload_limit_mb: int = _param("03 13", "largest upload that nginx accepts, in MB", 512, ge=1)

    # -- 04 Docker and DockerSpawner
    docker_channel: Literal["distro", "docker-ce"] = _param(
        "01 04", "Docker from the distribution, or from Docker's own apt repository", "docker-ce"
    )
    docker_apt_url: kinds.AptUrl = _param(
        "01 04", "docker-ce: the repository or a mirror of it", "https://download.docker.com/linux"
    )
    docker_apt_key: str = _param(
        "01 04",
        "docker-ce: fingerprint of the repository's key; another key is refused",
        "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
        pattern=r"^[0-9A-F]{40}$",
    )
    docker_users: list[Annotated[kinds.Login, Given]] = _param(
        "04", "accounts on the server that may use Docker; each of them can become root", []
    )
    docker_subnet: str = _param(
        "01 02 04 05 06 10 11 12", "network of the students' containers; must be free on the server", "172.29.0.0/16"
    )
    student_networks: list[kinds.Network] = _param(
        "04 06",
        "private networks that students' containers may reach besides the internet, such as [10.20.30.0/24]; never the server",
        [],
    )
    base_image: kinds.Image = _param(
        "01 04 12",
        "image that the students' image is built on: name:tag, or name:tag@sha256:…",
        "quay.io/jupyter/scipy-notebook:2026-07-28",
    )
    image_name: kinds.ImageName = _param(
        "04 06 10 11 12 16", "name of the students' image, built on the server", "hubrun-singleuser"
    )
    image: str = _param(
        "04 12",
        "which of the students' images counts: empty: the one that these parameters describe; previous: the one before it; or an id that 12 shows",
        "",
        pattern=kinds.IMAGE_ID,
    )
    nbgrader: bool = _param(
        "04 12", "install nbgrader, with a folder for each course that launches (assignments and grading)", True
    )
    nbgitpuller: bool = _param("04 12", "install nbgitpuller (hand out notebooks by git)", True)
    git_hosts: list[kinds.GitHost] = _param(
        "04",
        "from where a launch may pull without asking: HOST or HOST/FOLDER; empty: the folders that git_links are in",
        [],
    )
    jupyterlab_git: bool = _param("04 12", "install jupyterlab-git and nbdime", True)
    tensorflow: bool = _param("04 12", "install TensorFlow (about 2 GB)", False)
    pytorch: Literal["none", "cpu", "cuda"] = _param(
        "04 12", "install PyTorch: none, cpu, or cuda (about 6 GB)", "none"
    )
    extra_pip_packages: list[Annotated[kinds.Pip, Given]] = _param(
        "04 12", "further packages for students, as pip requirements", []
    )
    user_memory_mb: int = _param("04 06", "memory limit of one student's server, in MB", 1024, ge=256)
    user_cpus: float = _param("04", "CPU limit of one student's server, in cores", 1.0, gt=0)
    user_processes: int = _param("04", "limit on processes and threads of one student's server", 512, ge=64)
    gpus: int = _param(
        "04",
        "how many of the server's NVIDIA GPUs each student's server gets, which share them; 0: none",
        0,
        ge=0,
        le=64,
    )
    homes_device: kinds.ServerPath = _param(
        "01 04 06 12",
        "empty disk of the server for students' files alone, such as /dev/vdb; empty: none. It is formatted, and stays (see 04)",
        "",
    )
    homes_gb: int = _param(
        "01 04 06 12",
        "in place of homes_device: a file of this size on the server's own disk, in GB; it can grow and not shrink; 0: none",
        0,
        ge=0,
    )
    user_disk_gb: int = _param(
        "04", "with homes_device or homes_gb: how much one student may keep, in GB", 10, ge=1, le=1_000_000
    )
    homes_old: Literal["keep", "remove"] = _param(
        "04", "with homes_device or homes_gb: the volumes from which files were moved, once they were compared", "keep"
    )

    courses: list[CourseParams] = _param(
        "02 04 06 12",
        "courses in which something is otherwise, by their id, SIS id or label in the LMS: [{course: BIO-101, user_memory_mb: 4096, staff_memory_mb: 8192, extra_pip_packages: [biopython]}] (docs/how-to/course-servers.md)",
        [],
    )

    # -- nodes
    nodes: list[Node] = _param(
        "01 04 06 12",
        "further servers for students' containers, which need homes_device or homes_gb: [{host: node1.example.edu}, {host: 10.0.0.7, name: gpu, gpus: 1}] (docs/how-to/nodes.md)",
        [],
    )
    nodes_network: str = _param(
        "01 04 06 12",
        "network between the site's server and its nodes, of the size /16; must be free on all of them",
        "172.28.0.0/16",
    )
    manager_address: kinds.Host = _param(
        "01 04", "where nodes reach the site's server, UDP port 51820; empty: public_address, or the domain", ""
    )
    node_files: Literal["nfs", "sshfs"] = _param(
        "01 04 06 12",
        "how nodes have students' files: nfs, or sshfs where the kernel has no NFS (containers), which is slower",
        "nfs",
    )

    # -- 05 Canvas
    canvas_tool_name: kinds.Title = _param(
        "02 05", "name of the tool in the LMS", "JupyterHub", min_length=1, max_length=255
    )
    canvas_url: kinds.Https = _param(
        "05", "https://… of your Canvas, to set the tool up by its API; empty: by hand", ""
    )
    canvas_token_env: kinds.Environment = _param(
        "05", "environment variable here that holds an access token of Canvas", ""
    )
    canvas_token_file: kinds.LocalPath = _param("05", "file here that holds an access token of Canvas", "")
    canvas_ca_file: kinds.LocalPath = _param("05", "PEM file here: CA of Canvas's own HTTPS; empty: the usual ones", "")
    canvas_course: kinds.CanvasId = _param(
        "05", "course that gets the tool: the number in its address, or sis_course_id:…", ""
    )
    canvas_account: kinds.CanvasId = _param(
        "05", "account that gets the tool, in place of the course: its number, sis_account_id:…, or self", ""
    )
    canvas_module: kinds.Title = _param("05", "module of canvas_course that gets an item for the hub; empty: none", "")
    canvas_item_title: kinds.Title = _param("05", "title of that item", "Open JupyterHub", min_length=1, max_length=255)
    canvas_navigation: Literal["off", "members", "admins"] = _param(
        "05", "who sees the tool in the course navigation: members, admins (teachers), or off", "members"
    )
    canvas_renew_key: bool = _param(
        "05", "send key and secret to Canvas again although the tool is there (after you made new ones)", False
    )
    git_links: list[GitLinkParams] = _param(
        "04 05",
        "nbgitpuller links to show: [{repo: https://…, branch: main, path: week1/task.ipynb}]; `folder` is where it goes, if not a folder of the repository's name",
        [],
    )

    # -- 10 backup, 11 restore
    backup_to: kinds.BackupTarget = _param(
        "10 11",
        "where backups go: a folder on the server (another disk), sftp:USER@HOST:FOLDER, s3:https://HOST/BUCKET or rest:https://HOST/; empty: nowhere",
        "",
    )
    backup_password_env: kinds.Environment = _param(
        "10 11", "environment variable here that holds the password of the backups; empty: the server makes one", ""
    )
    backup_password_file: kinds.LocalPath = _param(
        "10 11", "file here that holds the password of the backups; empty: the server makes one", ""
    )
    backup_credentials_env: kinds.Environment = _param(
        "10 11", "s3, rest: environment variable here that holds the credentials (see 10)", ""
    )
    backup_credentials_file: kinds.LocalPath = _param(
        "10 11", "s3, rest: file here that holds the credentials (see 10)", ""
    )
    backup_host_fingerprint: kinds.Fingerprint = _param(
        "10 11", "sftp: SHA256:… of the other server's host key, as ssh-keygen -l shows it there", ""
    )
    backup_keep_daily: int = _param("10 11", "for how many days each day's backup is kept", 7, ge=1, le=366)
    backup_keep_weekly: int = _param("10 11", "for how many weeks a backup of each is kept", 5, ge=0, le=520)
    backup_keep_monthly: int = _param("10 11", "for how many months a backup of each is kept", 12, ge=0, le=240)
    restore_person: kinds.HubName = _param(
        "11", "restore: the hub user whose files are to come back beside those of today", ""
    )
    restore_path: kinds.RepositoryPath = _param(
        "11", "restore_person: which file or folder, such as week1/task.ipynb; empty: all of the home", ""
    )
    restore_course: kinds.CourseId = _param(
        "11", "restore: the id of the course whose folders are to come back beside those of today", ""
    )
    restore_date: kinds.Day = _param(
        "11", "restore_person, restore_course: as of the end of this day, YYYY-MM-DD; empty: the latest", ""
    )
    restore_site: kinds.RestoreSite = _param(
        "11", "restore: the whole site, onto a fresh server: latest, or a day, YYYY-MM-DD", ""
    )
    restore_over_people: bool = _param(
        "11", "restore_site: although people are on this server; their files of today are replaced", False
    )

    # -- 12 image
    restart_idle_minutes: int = _param(
        "12", "stop servers that run on an older image and were idle for so many minutes; 0: none", 0, ge=0
    )

    # -- 14 rotate
    rotate: list[kinds.Rotate] = _param(
        "14",
        "what to replace: lti_secret, or lti_secret:NAME of one of consumers; proxy_token, cookie_secret, tool_key, backup_password, certificate",
        [],
    )
    rotate_days: int = _param(
        "14",
        "lti_secret, tool_key: for how many days the one before stays good beside the new one; 0: it ends now",
        7,
        ge=0,
        le=90,
    )

    # -- 15 remove
    remove_person: kinds.HubName = _param(
        "15", "remove: a person, by their hub user, or by a name or id of the LMS that nobody else has", ""
    )
    remove_course: kinds.CourseId = _param("15", "remove: the id of a course, which is archived first", "")
    remove_consumer: kinds.ConsumerName = _param(
        "15", "remove: the people who came from this consumer alone; it must be gone from `consumers`", ""
    )
    remove_confirm: kinds.HubName = _param("15", "remove: the yes, as the plan shows it; empty: only look", "")

    # -- 16 uninstall
    uninstall_confirm: kinds.HubName = _param("16", "uninstall: the yes: the site's domain once more", "")
    uninstall_files: kinds.HubName = _param(
        "16", "uninstall: the second yes, for students' files too: how many people have files, as the plan shows it", ""
    )

    # -- 17 watch
    alerts_to: list[Annotated[kinds.Email, Given]] = _param(
        "17", "addresses that get a mail when something is wrong with the server", []
    )
    alerts_smtp: kinds.Relay = _param("17", "mail relay for alerts_to: HOST:PORT", "localhost:25")
    alerts_smtp_user: kinds.Title = _param("17", "login at alerts_smtp; empty: it needs none", "")
    alerts_smtp_password_env: kinds.Environment = _param(
        "17", "environment variable here that holds the password of alerts_smtp_user", ""
    )
    alerts_smtp_password_file: kinds.LocalPath = _param(
        "17", "file here that holds the password of alerts_smtp_user", ""
    )
    alerts_webhook_env: kinds.Environment = _param(
        "17", "environment variable here that holds the https address of a webhook that gets the same messages", ""
    )
    alerts_webhook_file: kinds.LocalPath = _param("17", "file here that holds the address of that webhook", "")

    @model_validator(mode="before")
    @classmethod
    def _without_former(cls, values: object) -> object:
        # Their notebooks and files go on working.
        return (
            {name: value for name, value in values.items() if name not in FORMER}
            if isinstance(values, dict)
            else values
        )

    @field_validator("admin_users")
    @classmethod
    def _can_launch(cls, values: list[str]) -> list[str]:
        for value in values:
            if not user_names.is_somebody(value):
                raise ValueError(f"hub users, or what the LMS says of people; nobody can ever launch as {value!r}")
        return values

    @field_validator("rotate", mode="before")
    @classmethod
    def _one_word(cls, value: object) -> object:
        return [value] if isinstance(value, str) and value else value

    @field_validator("user_cpus", mode="before")
    @classmethod
    def _whole_cpus(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("hub_user", "admin_user")
    @classmethod
    def _login(cls, value: str) -> str:
        if value == "root":
            raise ValueError("another account than root")
        return value

    @field_validator("docker_subnet", "nodes_network")
    @classmethod
    def _subnet(cls, value: str) -> str:
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError:
            raise ValueError("an IPv4 network such as 172.29.0.0/16, with zeros behind its length") from None
        own = network.is_loopback or network.is_link_local
        if not network.is_private or own or network.prefixlen > 28:
            raise ValueError("a private IPv4 network with room for the class, such as 172.29.0.0/16")
        return value

    @field_validator("lti_platform")
    @classmethod
    def _lti_platform(cls, value: str) -> str:
        return check_platform(value)

    @model_validator(mode="after")
    def _together(self) -> Site:
        check_consumers(self.all_consumers)
        if self.canvas_url and not (self.canvas_token_env or self.canvas_token_file):
            raise ValueError("canvas_url needs canvas_token_env or canvas_token_file")
        if self.canvas_url and not (self.canvas_course or self.canvas_account):
            raise ValueError("canvas_url needs canvas_course or canvas_account")
        if self.canvas_url and self.lti_lms != "canvas":
            raise ValueError(f"canvas_url is for Canvas, and lti_lms is {self.lti_lms}")
        if self.canvas_module and not self.canvas_course:
            raise ValueError("canvas_module needs canvas_course: a module belongs to a course")
        if self.git_links and not self.nbgitpuller:
            raise ValueError("git_links need nbgitpuller: true")
        check_git_links(self.git_links)
        check_courses(self.courses, self.lms_dates)
        if self.due_dates and not self.nbgrader:
            raise ValueError("courses: due, and an exam's assignment, need nbgrader: true")
        if self.looks and not self.subdomains:
            raise ValueError(
                "staff_may_look needs subdomains: true: what a student's server shows runs in the browser of whoever opens it"
            )
        if self.image_name.partition("@")[0] in (self.base_image, f"{self.base_image}:latest"):
            raise ValueError("image_name and base_image must differ: the one is built on the other")
        if self.homes_device and self.homes_gb:
            raise ValueError("homes_device or homes_gb, not both")
        if self.nodes and not self.homes:
            raise ValueError(
                "nodes need homes_device or homes_gb: students' files are on a disk of the site's server, which nodes mount"
            )
        others = [
            ("docker_subnet", self.docker_subnet),
            *(("student_networks", each) for each in self.student_networks),
        ]
        check_nodes(self.nodes, (self.host, self.ssh_port), self.nodes_network, others)
        if not self.hub_user:
            raise ValueError("hub_user must not be empty")
        if self.hub_user == self.admin_user:
            raise ValueError("hub_user and admin_user must differ: the hub's account gets no sudo")
        if self.hub_user == self.ssh_user:
            raise ValueError("hub_user and ssh_user must differ: nobody can log in with the hub's account")
        if self.hub_user == PROXY_USER:
            raise ValueError(f"hub_user must be another account than {PROXY_USER}, which is the proxy's")
        if self.no_proxy and not self.http_proxy:
            raise ValueError("no_proxy needs http_proxy")
        if self.tls == "files" and not (self.tls_certificate and self.tls_key):
            raise ValueError("tls: files needs tls_certificate and tls_key (paths on the server)")
        if self.acme_dns != "none" and not (self.acme_dns_env or self.acme_dns_file):
            raise ValueError(f"acme_dns: {self.acme_dns} needs acme_dns_env or acme_dns_file")
        if self.acme_ca_file and self.acme_dns not in ("none", "rfc2136"):
            raise ValueError(
                f"acme_ca_file would be all that certbot trusts, for {self.acme_dns} too: use ca_certificates"
            )
        if self.subdomains and self.tls == "acme" and self.acme_dns == "none":
            raise ValueError("subdomains need a certificate for *.domain: set acme_dns, or tls: files (see 03)")
        if bool(self.alerts_smtp_user) != bool(self.alerts_smtp_password_env or self.alerts_smtp_password_file):
            raise ValueError("alerts_smtp_user and its password (alerts_smtp_password_env or _file) go together")
        if self.acme_eab_kid and not (self.acme_eab_hmac_env or self.acme_eab_hmac_file):
            raise ValueError("acme_eab_kid needs acme_eab_hmac_env or acme_eab_hmac_file")
        self._check_backup()
        return self

    def _check_backup(self) -> None:
        kind = self.backup_target.kind if self.backup_target else ""
        if kind == "sftp" and not self.backup_host_fingerprint:
            raise ValueError(
                "backup_to: sftp needs backup_host_fingerprint: the key by which the other server is known"
            )
        if kind == "s3" and not (self.backup_credentials_env or self.backup_credentials_file):
            raise ValueError("backup_to: s3 needs backup_credentials_env or backup_credentials_file")

    # -- what follows from the parameters
    def given(self) -> dict[str, Any]:
        """The parameters that were given, by the names and in the form that a params file has; `build` makes the same of it."""
        return self.model_dump(exclude_unset=True, by_alias=True)

    @property
    def host(self) -> str:
        """Where SSH connects to."""
        return self.ssh_host or self.domain

    @property
    def url(self) -> str:
        """https://DOMAIN, with the port where it is not 443; no slash at the end."""
        return f"https://{self.domain}" + (f":{self.https_port}" if self.https_port != 443 else "")

    @property
    def launch_url(self) -> str:
        """The launch URL of LTI 1.1, without the parameters of a link."""
        return f"{self.url}/hub/lti/launch"

    @property
    def all_consumers(self) -> list[ConsumerParams]:
        """The default consumer, which the flat parameters describe, and the further ones."""
        default = ConsumerParams(
            name="default",
            lms=self.lti_lms,
            lti_version=self.lti_version,
            username_key=self._first_username_key,
            prefix="",
            platform=self.lti_platform,
            registration=self.lti_registration,
            client_ids=self.lti_client_ids,
            deployment_ids=self.lti_deployment_ids,
            issuer=self.lti_issuer,
            authorize_url=self.lti_authorize_url,
            token_url=self.lti_token_url,
            jwks_url=self.lti_jwks_url,
        )
        return [default, *self.consumers]

    def username_key(self, consumer: ConsumerParams) -> str:
        """The field by which the people of `consumer` are named; where it is the same LMS as the first, as there."""
        named = self._first_username_key if consumer.lms == self.lti_lms else consumer.preset.username_key
        return consumer.username_key or named

    @property
    def _first_username_key(self) -> str:
        # The default is Canvas's field. In Moodle people may write it themselves, in Brightspace it is another one.
        chosen = self.lti_username_key != Site.model_fields["lti_username_key"].default
        return self.lti_username_key if chosen else PRESETS[self.lti_lms].username_key

    @property
    def gateway(self) -> str:
        """The server's own address on the network of the students' containers: the first one."""
        return str(ipaddress.IPv4Network(self.docker_subnet)[1])

    @property
    def image_repository(self) -> str:
        """image_name without its tag: what was built has tags of its own there."""
        name, colon, tag = self.image_name.rpartition(":")
        return name if colon and "/" not in tag else self.image_name

    @property
    def image_candidate(self) -> str:
        """What the students' image is called while it is tried."""
        return f"{self.image_repository}:candidate"

    @property
    def homes(self) -> bool:
        """Whether students' files have a disk of their own."""
        return bool(self.homes_device or self.homes_gb)

    @property
    def nodes_gateway(self) -> str:
        """The site's server in the network between it and its nodes, where their containers reach the hub; "" without nodes."""
        return address_of(self.nodes_network, 0) if self.nodes else ""

    def of_node(self, node: Node) -> Site:
        """The site as a login on this node needs it. Of what the node leaves out, port and fingerprint are no other server's."""
        own = {"ssh_host": node.host, "ssh_port": node.ssh_port, "ssh_host_fingerprint": node.ssh_host_fingerprint}
        own |= {
            name: value
            for name in ("ssh_user", "ssh_key_file", "ssh_known_hosts_file")
            if (value := getattr(node, name))
        }
        if node.sudo_password_env or node.sudo_password_file:
            own |= {name: getattr(node, name) for name in ("sudo_password_env", "sudo_password_file")}
        return self.model_copy(update=own)

    @property
    def course_folders(self) -> bool:
        """Whether people's servers get folders of their courses: nbgrader's, or those that `courses` name."""
        return self.nbgrader or any(each.has_folders or each.exam for each in self.courses)

    @property
    def exams(self) -> bool:
        """Whether some course has an exam, to come, under way or over."""
        return any(each.exam for each in self.courses)

    @property
    def looks(self) -> bool:
        """Whether in some course staff may open students' servers."""
        return any(each.staff_may_look for each in self.courses)

    @property
    def lms_dates(self) -> bool:
        """Whether the LMS may say when work is due."""
        return self.lti_services and self.nbgrader

    @property
    def due_dates(self) -> bool:
        """Whether some course may have assignments whose work is taken when they are due, or at the end of an exam."""
        return self.lms_dates or any(each.has_due for each in self.courses)

    @property
    def autogrades(self) -> bool:
        """Whether the server autogrades the work of some course by itself."""
        return any(each.autograde for each in self.courses)

    @property
    def exam_part(self) -> str:
        """The part of docker_subnet in which containers in exams have their addresses."""
        return str(exam_part(self.docker_subnet))

    @property
    def proxy_environment(self) -> dict[str, str]:
        """The variables by which programs know http_proxy, in the two ways of writing them; none without a proxy.

        The server itself, and the hub as its containers see it, are reached without.
        """
        if not self.http_proxy:
            return {}
        proxy, direct = self.http_proxy.rstrip("/"), ["localhost", "127.0.0.1", "::1", self.gateway, self.domain]
        direct += [self.nodes_gateway] if self.nodes else []
        found = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": ",".join([*direct, *self.no_proxy])}
        return found | {name.upper(): value for name, value in found.items()}

    @property
    def proxy_port(self) -> tuple[str, int]:
        """Host and port of http_proxy. There is one."""
        url = urlsplit(self.http_proxy)
        return url.hostname or "", url.port or 0

    @property
    def pulled_from(self) -> list[str]:
        """From where a launch may pull without a click: git_hosts, or the folders that the git_links are in."""
        found = [link.repo.rstrip("/").rpartition("/")[0].removeprefix("https://") for link in self.git_links]
        return sorted({place for place in self.git_hosts or found if kinds.GIT_HOST.fullmatch(place)})

    def sudo_password(self) -> Secret | None:
        """The sudo password, from where the parameters say it is; None when they say nothing."""
        return _secret_from("sudo_password", self.sudo_password_env, self.sudo_password_file)

    def acme_eab_hmac(self) -> Secret | None:
        """The HMAC key of the external account binding; None where no parameter names one. Raises BadInput."""
        return _secret_from("acme_eab_hmac", self.acme_eab_hmac_env, self.acme_eab_hmac_file)

    def acme_dns_credentials(self) -> Secret | None:
        """The credentials for `acme_dns`; None where no parameter names them. Raises BadInput."""
        return _secret_from("acme_dns", self.acme_dns_env, self.acme_dns_file)

    def canvas_token(self) -> Secret | None:
        """The token for Canvas's API; None where no parameter names one. Raises BadInput."""
        return _secret_from("canvas_token", self.canvas_token_env, self.canvas_token_file)

    @property
    def backup_target(self) -> Target | None:
        """What kind of place backup_to is; None for none."""
        return parse(self.backup_to)

    def backup_password(self) -> Secret | None:
        """The password of the backups; None where no parameter names one. Raises BadInput."""
        return _secret_from("backup_password", self.backup_password_env, self.backup_password_file)

    def backup_credentials(self) -> Secret | None:
        """The credentials for `backup_to`; None where no parameter names them. Raises BadInput."""
        return _secret_from("backup_credentials", self.backup_credentials_env, self.backup_credentials_file)

    def alerts_smtp_password(self) -> Secret | None:
        """The password of `alerts_smtp_user`; None where no parameter names one. Raises BadInput."""
        return _secret_from("alerts_smtp_password", self.alerts_smtp_password_env, self.alerts_smtp_password_file)

    def alerts_webhook(self) -> Secret | None:
        """The address of the webhook for alarms; None where no parameter names one. Raises BadInput."""
        found = _secret_from("alerts_webhook", self.alerts_webhook_env, self.alerts_webhook_file)
        # Whoever has the address may write there: what is wrong with it is said without it.
        if found and not kinds.is_https(found.reveal()):
            raise BadInput("is not an https address", "parameter alerts_webhook_env or alerts_webhook_file")
        return found

    def ca_pems(self) -> list[str]:
        """The certificates of `ca_certificates`, one PEM text each. Raises BadInput where a file is none."""
        pems: list[str] = []
        for path in self.ca_certificates:
            text = read_local("ca_certificates", path)
            found = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
            if not found:
                raise BadInput(f"{path} holds no PEM certificate", "parameter ca_certificates")
            pems += [pem + "\n" for pem in found]
        return pems


def read_local(name: str, path: str) -> str:
    """Text of the file here that the parameter `name` points at. Raises BadInput when it cannot be read."""
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise BadInput(f"cannot read {path}: {reason}", f"parameter {name}", "Name a file on this machine") from None


def _secret_from(name: str, env: str, file: str) -> Secret | None:
    if env:
        if env not in os.environ:
            raise BadInput(
                f"the environment variable {env} is not set", f"parameter {name}_env", f"export {env}=… first"
            )
        return Secret(os.environ[env], name)
    return Secret(read_local(f"{name}_file", file).rstrip("\n"), name) if file else None


def fields(runbook: str) -> Iterator[tuple[str, FieldInfo]]:
    """Name and field of each parameter that the runbook (such as "03") uses."""
    own = {"all", runbook, *COMBINED.get(runbook, ())}
    for name, field in Site.model_fields.items():
        if own.intersection(cast(dict[str, Any], field.json_schema_extra)["runbooks"].split()):
            yield name, field
