"""Where things are on a server that hubrun set up: files, folders, units and accounts."""

from __future__ import annotations

VENV = "/opt/jupyterhub"
CONFIG = "/etc/jupyterhub/jupyterhub_config.py"
CONF_D = "/etc/jupyterhub/conf.d"
LTI_ENV = "/etc/jupyterhub/lti.env"
CONSUMERS = "/etc/jupyterhub/consumers.d"
# The consumer whose key and secret are in LTI_ENV.
DEFAULT_CONSUMER = "default"
PROXY_ENV = "/etc/jupyterhub/proxy.env"
VERIFY_ENV = "/etc/jupyterhub/verify.env"
METRICS_ENV = "/etc/jupyterhub/metrics.env"
PROXY_FOLDER = f"{VENV}/proxy"
STATE = "/var/lib/jupyterhub"
# By this a server of the image that is there was started (resources/started_once.py). Root's.
STARTED = "/etc/jupyterhub/started-once"
# Which images of students' servers counted, and since when (resources/image.py).
IMAGES = "/etc/jupyterhub/images"
# What LMSs said when they registered the hub: its own files. Root's say which of them count (consumers.d).
REGISTERED = f"{STATE}/lti_registered"
# The links with which they may, and what the hub knows of each.
REGISTRATION = "/etc/jupyterhub/registration.d"
NETWORK = "jupyterhub"
DOCKER_PART = f"{CONF_D}/40-docker.py"
HUB_UNIT = "/etc/systemd/system/jupyterhub.service"
PROXY_UNIT = "/etc/systemd/system/jupyterhub-proxy.service"
LIB = "/usr/local/lib/hubrun"
# The package hubrun_hub: the one place for code of ours on a server. Root's, and nobody else writes there.
HUB_CODE = f"{LIB}/hubrun_hub"
# What of it the hub imports.
HUB_IMPORTS = (
    f"{HUB_CODE}/lti", f"{HUB_CODE}/courses", f"{HUB_CODE}/exams", f"{HUB_CODE}/starting", f"{HUB_CODE}/pull_ticket.py", f"{HUB_CODE}/config_parts.py",
    f"{HUB_CODE}/student_container.py", f"{HUB_CODE}/docker_filter/settings.py", f"{HUB_CODE}/awaited.py", f"{HUB_CODE}/nodes",
    f"{HUB_CODE}/hub_file.py",
)  # fmt: skip
# Pages for when nobody else answers.
AWAY = f"{HUB_CODE}/away"
# The tool's public keys (hubrun_hub/lti/tool_key.py).
TOOL_KEY = f"{STATE}/lti_tool_jwk.json"
# What the hub signs logins with, and what it knows of users and their servers.
COOKIE_SECRET = f"{STATE}/cookie_secret"
DATABASE = f"{STATE}/jupyterhub.sqlite"
COURSES = "/srv/nbgrader"
FILTER_SETTINGS = "/etc/jupyterhub/docker-filter.json"
FILTER_LOCAL = "/etc/jupyterhub/docker-filter-local.json"
FILTER = "hubrun-docker-filter"
FILTER_UNIT = f"/etc/systemd/system/{FILTER}.service"
FILTER_SOCKET_UNIT = f"/etc/systemd/system/{FILTER}.socket"
FILTER_SOCKET = f"/run/{FILTER}.sock"
PROXY_USER = "jupyterhub-proxy"
# Students' files, where they have a disk of their own (hubrun_hub/homes).
HOMES = "/srv/jupyterhub/homes"
HOMES_FILE = "/srv/jupyterhub/homes.img"
# Where the folders of courses are on that disk, and what mounts them at COURSES.
HOMES_COURSES = f"{HOMES}/courses"
COURSES_MOUNT = "/etc/systemd/system/srv-nbgrader.mount"
HOMES_SETTINGS = "/etc/jupyterhub/homes.json"
# Where the hub asks for what nbgrader's gradebooks say.
GRADEBOOKS_SOCKET = "/run/hubrun-gradebooks.sock"
# Nodes: their list, which the hub reads (hubrun_hub/nodes), and root's key for them with their own keys.
NODES = "/etc/jupyterhub/nodes.json"
NODES_FOLDER = "/etc/jupyterhub/nodes"
NODE_ACCOUNT = "hubrun-node"
NODE_LINK = f"{LIB}/node-link"
# The network between the site's server and its nodes (WireGuard): its interface, with the unit and files of the same name.
INTERFACE = "hubrun"
WIREGUARD_PORT = 51820
WIREGUARD_KEY = f"/etc/wireguard/{INTERFACE}.key"
WIREGUARD = f"/etc/wireguard/{INTERFACE}.conf"
WIREGUARD_UNIT = f"wg-quick@{INTERFACE}.service"
# What nodes see of the disk with students' files, in a folder that nobody else may enter; and who they are with sshfs.
NODES_FILES = "/srv/jupyterhub/nodes"
FILES_ACCOUNT = "hubrun-files"
FILES_KEY = "/etc/jupyterhub/files-key"
FILES_KNOWN_HOSTS = "/etc/jupyterhub/files-known-hosts"
FILES_UNIT = "hubrun-node-homes.service"
NFS_PORT = 2049
# Backups: the command, its settings, what it knows (hubrun_hub/backup).
BACKUP = "/usr/local/sbin/hubrun-backup"
BACKUP_SETTINGS = "/etc/jupyterhub/backup.json"
BACKUP_ENV = "/etc/jupyterhub/backup.env"
BACKUP_NEXT = "/etc/jupyterhub/backup-next.env"
BACKUP_CREDENTIALS = "/etc/jupyterhub/backup-credentials.env"
BACKUP_SSH = "/etc/jupyterhub/backup-ssh"
BACKUP_STATE = "/var/lib/hubrun/backup.json"
BACKUP_UNIT = "/etc/systemd/system/hubrun-backup.service"
BACKUP_TIMER = "/etc/systemd/system/hubrun-backup.timer"
# What the timers keep (hubrun_hub/watching), and where alarms are sent to.
KEPT = "/var/lib/hubrun"
# Held by each script of ours that changes something (flock(1)).
LOCK = "/run/hubrun.lock"
# Builds of images (resources/image.py): a lock, and of each that goes on in the background what it runs, reads and says. Root's.
BUILDS = "/run/hubrun-build"
# What the students' image was built from last.
IMAGE_FOLDER = "/srv/jupyterhub/image"
# What the server was before 01 (resources/before.py).
BEFORE = f"{KEPT}/before"
ALERTS = "/etc/jupyterhub/alerts.json"
# What later runbooks need of these, and find only where they were run.
LEFT = {
    "02_hub_lti": (f"{VENV}/bin/jupyterhub", CONFIG, HUB_UNIT),
    "03_https": ("/etc/nginx/conf.d/jupyterhub-https.conf",),
    "04_docker_spawner": (DOCKER_PART,),
}


def program(name: str, python: str = "/usr/bin/python3") -> str:
    """Shell that runs a program of hubrun_hub.programs on the server; its arguments follow. python: of which environment.

    python(1), -I: nothing is imported from the working folder, a home, or where an environment variable says, which
    others than root may write to. -B: nothing is written beside the sources.
    """
    return f"{python} -I -B {HUB_CODE} {name}"


def secret_path(name: str) -> str:
    """Where key and secret of a consumer with LTI 1.1 are on the server."""
    return LTI_ENV if name == DEFAULT_CONSUMER else f"{CONSUMERS}/{name}.env"
