# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · The server
#
# **About.** Brings a fresh Debian or Ubuntu server to the state on which the hub can stand: up to date, on time, with an account for the person who runs it and one, without any privileges, for the hub.
#
# **Before.** A server that you can log in to with SSH, as root or as a user who may use `sudo`.
#
# **After.** Nothing that students see yet. Go on with `02_hub_lti`.
#
# Every step can be run again at any time. What is already right is left alone and reported as `ok`.

# %% [markdown]
# ## Parameters
#
# From your file in `params/`. To run one notebook by hand: `papermill runbooks/01_server.ipynb out.ipynb -f params/SITE.yaml`. In `./hubrun lab params/SITE.yaml` the file is read first, and what you change in this cell goes over it.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
ssh_host: str = ""  # host name or address for SSH; empty: the domain
ssh_port: int = 22  # SSH port
ssh_user: str = "root"  # login: root, or a user who may use sudo
ssh_key_file: str = ""  # private key file here; empty: the SSH agent and the usual keys
ssh_known_hosts_file: str = ""  # known_hosts file; empty: ~/.ssh/known_hosts
ssh_host_fingerprint: str = ""  # SHA256:… of the server's host key (your provider shows it); empty: known_hosts decides
sudo_password_env: str = ""  # environment variable here that holds the sudo password; empty: none
sudo_password_file: str = ""  # file here that holds the sudo password; empty: none
ca_certificates: list = []  # PEM files here with CAs that the server must trust (an institution's proxy or registry)
upgrade: str = "full"  # which updates to install: none, security or full
extra_packages: list = []  # Debian packages to install besides ours
admin_user: str = ""  # person's login to create, with sudo; empty: none
admin_ssh_key_file: str = ""  # public key file here for admin_user to log in with
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
swap_mb: int = 2048  # size of /swapfile in MB; 0: none
min_memory_mb: int = 1800  # refuse a server with less memory than this, in MB
min_disk_gb: int = 12  # refuse a server with less free disk than this, in GB
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"  # ACME directory of the certificate authority
acme_dns: str = "none"  # DNS service in which the certificate authority is answered, as subdomains need; none: by port 80
acme_dns_env: str = ""  # environment variable here that holds acme_dns's token or credentials
acme_dns_file: str = ""  # file here that holds acme_dns's token or credentials (see 03)
docker_channel: str = "docker-ce"  # Docker from the distribution, or from Docker's own apt repository
docker_apt_url: str = "https://download.docker.com/linux"  # docker-ce: the repository or a mirror of it
base_image: str = "quay.io/jupyter/scipy-notebook:2026-07-28"  # image that the students' image is built on: name:tag, or name:tag@sha256:…
check: bool = False  # True: show what would change and touch nothing

# %% [markdown]
# ## Target
#
# The server that will be changed. **Is it the right one?** Its host key was compared with the one that is known for it; the connection would have been refused otherwise.

# %%
from hubrun import Server, Test, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check)
server

# %% [markdown]
# ## Preflight
#
# Everything that would stop us later, looked at now and reported together: the system and its size, free ports, the clock (LTI refuses launches when it is off by more than 30 seconds), and whether the server reaches what it has to download. Nothing is changed before all of this holds.

# %%
from hubrun.sections.server.preflight import preflight

server.check(*preflight(site))

# %% [markdown]
# ## Trust the site's certificate authorities
#
# Only where `ca_certificates` names some: an institution whose proxy re-signs HTTPS, or whose registry has a certificate of its own. Everybody else: nothing happens here.
#
# By hand: `sudo cp ca.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates`

# %%
from hubrun.resources.packages import Packages, Updates
from hubrun.resources.system import CertificateAuthorities, HostEntry, Swap, TimeSync

server.ensure(Packages("ca-certificates"), CertificateAuthorities(tuple(site.ca_pems())))

# %% [markdown]
# ## Updates
#
# `upgrade: full` installs every update, `security` only those from the security archive, `none` none.
#
# By hand: `sudo apt-get update && sudo apt-get dist-upgrade`

# %%
server.ensure(Updates(site.upgrade))

# %% [markdown]
# ## Base packages
#
# Python with virtual environments for the hub, the tools that the later runbooks call, and what the server needs to look after itself (below). `extra_packages` are installed with them.
#
# By hand: `sudo apt-get install --no-install-recommends python3 python3-venv …`

# %%
from hubrun.sections.server import upkeep

tools = ("python3", "python3-venv", "sudo", "curl", "gpg", "openssl", "iproute2")
server.ensure(Packages(*tools, *upkeep.packages(site), *site.extra_packages))

# %% [markdown]
# ## What the server does by itself
#
# Security updates are installed each morning (unless `upgrade: none`: then updates are yours alone), and nothing else is; the server never boots by itself. Logs are rotated each day by a timer, since a minimal server has no cron, and systemd's journal keeps 1 GB at most.
#
# By hand: `sudo apt-get install unattended-upgrades logrotate`, `systemctl list-timers`

# %%
server.ensure(*upkeep.upkeep(site))
server.check(*upkeep.tests(site))

# %% [markdown]
# ## Host name
#
# The server must be able to resolve its own name: `sudo` and the hub look it up. (The guide's `sudo echo … >> /etc/hosts` opens the file without the privilege and fails.)
#
# By hand: `echo 127.0.1.1 $(hostname) | sudo tee -a /etc/hosts`

# %%
server.ensure(HostEntry("127.0.1.1", server.facts["hostname"]))
server.check(Test("the server resolves its own name", "getent hosts \"$(hostname)\""))

# %% [markdown]
# ## Time
#
# Launches carry a time and are refused when it is more than 30 seconds off, so the clock is kept right from here on.
#
# By hand: `sudo systemctl enable --now systemd-timesyncd`

# %%
server.ensure(TimeSync())

# %% [markdown]
# ## Swap
#
# On a small machine a swap file of `swap_mb` lets a full classroom slow down in place of being killed. Swap that is there already is left as it is; where swap cannot be had (containers), the step says `ok` and goes on.
#
# By hand: `sudo fallocate -l 2G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile`

# %%
server.ensure(Swap(site.swap_mb))

# %% [markdown]
# ## A person who administers the server
#
# `admin_user` gets an account and `sudo`, and logs in with the public key in `admin_ssh_key_file`. The account has no password, so `sudo` asks for none, as on a cloud provider's image. The sudoers file is tested by `visudo -c` before it takes effect: a broken one would lock everybody out.
#
# By hand: `sudo adduser teacher`, then `sudo visudo -f /etc/sudoers.d/hubrun-admin`

# %%
from hubrun.sections.server.accounts import admin

server.ensure(*admin(site))

# %% [markdown]
# ## The hub's own account
#
# The hub runs as `hub_user`: a system account without a login shell, a password, or `sudo`. (In the guide it is in `sudo`: whoever broke into the hub would own the server.)
#
# By hand: `sudo useradd --system --home-dir /var/lib/jupyterhub --shell /usr/sbin/nologin jupyterhub`

# %%
from hubrun.resources.files import Directory
from hubrun.resources.users import NotInGroups, User

server.ensure(
    User(site.hub_user, system=True, home="/var/lib/jupyterhub"),
    NotInGroups(site.hub_user, ("sudo", "adm", "root")),
    Directory("/var/lib/jupyterhub", mode=0o700, owner=f"{site.hub_user}:{site.hub_user}"),
)

# %% [markdown]
# ## Check
#
# What must be true now, and what must not.

# %%
server.check(
    Test("Python makes virtual environments", "python3 -m venv --help >/dev/null && python3 -m ensurepip --version"),
    Test("sudoers is sound", "visudo -c"),
    Test("no package is half installed", "test -z \"$(dpkg --audit)\""),
    Test(f"{site.hub_user} must not get root by sudo", f"runuser -u {site.hub_user} -- sudo -n true", fails=True),
    Test(f"{site.hub_user} must not be able to log in", f"su {site.hub_user} -c true", fails=True),
)

# %% [markdown]
# ## Summary
#
# Kept in the record. Next: `02_hub_lti`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
