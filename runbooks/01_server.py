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
# **About.** Prepares a fresh Debian or Ubuntu server for the hub: updates, the right time, an account for the person who runs it, and an account without any privileges for the hub.
#
# **Before.** A server that you can log in to with SSH, as root or as a user who may use `sudo`.
#
# **After.** Students see nothing of it yet. Go on with `02_hub_lti`.
#
# Every step can be run again at any time. What is already right is left alone and reported as `ok`.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`. To run one notebook by hand: `papermill runbooks/01_server.ipynb out.ipynb -f params/SITE.yaml`. `./hubrun lab params/SITE.yaml` opens copies of the runbooks that hold your file's values here; what you change in a copy counts for this copy alone.
#
# Two of them are about this run, and are not in the file. `check: True` only looks. `plan_first: True` is for a person who goes from cell to cell: a step first shows what it would change, and does exactly that when you run its cell again.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
public_address: str = ""  # connect to this address when testing from outside; empty: what DNS says about the domain
ssh_host: str = ""  # host name or address for SSH; empty: the domain
ssh_port: int = 0  # SSH port; 0: what ~/.ssh/config says of the host, else 22
ssh_user: str = ""  # login: root, or a user who may use sudo; empty: what ~/.ssh/config says of the host, else root
ssh_key_file: str = ""  # private key file here; empty: what ~/.ssh/config says, the SSH agent and the usual keys
ssh_known_hosts_file: str = ""  # known_hosts file; empty: what ~/.ssh/config says, else ~/.ssh/known_hosts
ssh_host_fingerprint: str = ""  # SHA256:… of the server's host key (your provider shows it); empty: known_hosts decides
sudo_password_env: str = ""  # environment variable here that holds the sudo password; empty: none
sudo_password_file: str = ""  # file here that holds the sudo password; empty: none
ca_certificates: list = []  # PEM files here with CAs that the server must trust (an institution's proxy or registry)
http_proxy: str = ""  # the proxy through which the server, and students' containers, reach the outside: http://proxy.example.edu:3128; empty: none
no_proxy: list = []  # what is reached without http_proxy: hosts, domains and networks, such as [git.example.edu, .example.edu, 10.0.0.0/8]
upgrade: str = "full"  # which updates to install: none, security or full
updates_hour: int = 6  # hour at which security updates are installed by themselves, in the server's time zone, and within 60 minutes of it
timezone: str = ""  # time zone of the server, students' containers and due dates: Europe/Zurich; empty: as the server has it, and UTC for the others
log_days: int = 0  # remove the server's logs after so many days; 0: as the distribution does
extra_packages: list = []  # Debian packages to install in addition to ours
admin_user: str = ""  # person's login to create, with sudo; empty: none
admin_ssh_key_file: str = ""  # public key file here for admin_user to log in with
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
swap_mb: int = 2048  # size of /swapfile in MB; 0: none
min_memory_mb: int = 1800  # refuse a server with less memory than this, in MB
min_disk_gb: int = 12  # refuse a server with less free disk than this, in GB
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"  # ACME directory of the certificate authority
acme_dns: str = "none"  # DNS service that answers the certificate authority, which subdomains need; none: port 80 answers it
acme_dns_env: str = ""  # environment variable here that holds acme_dns's token or credentials
acme_dns_file: str = ""  # file here that holds acme_dns's token or credentials (see 03)
docker_channel: str = "docker-ce"  # Docker from the distribution, or from Docker's own apt repository
docker_apt_url: str = "https://download.docker.com/linux"  # docker-ce: the repository or a mirror of it
docker_apt_key: str = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"  # docker-ce: fingerprint of the repository's key; another key is refused
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
base_image: str = "quay.io/jupyter/scipy-notebook:2026-07-28"  # image that the students' image is built on: name:tag, or name:tag@sha256:…
homes_device: str = ""  # empty disk of the server for students' files alone, such as /dev/vdb; empty: none. It is formatted, and stays (see 04)
homes_gb: int = 0  # in place of homes_device: a file of this size on the server's own disk, in GB; it can grow and not shrink; 0: none
nodes: list = []  # further servers for students' containers, which need homes_device or homes_gb: [{host: node1.example.edu}, {host: 10.0.0.7, name: gpu, gpus: 1}] (docs/how-to/nodes.md)
nodes_network: str = "172.28.0.0/16"  # network between the site's server and its nodes, of the size /16; must be free on all of them
manager_address: str = ""  # where nodes reach the site's server, UDP port 51820; empty: public_address, or the domain
node_files: str = "nfs"  # how nodes have students' files: nfs, or sshfs where the kernel has no NFS (containers), which is slower
check: bool = False  # True: show what would change and touch nothing
plan_first: bool = False  # True: each step shows its plan, and does it when you run its cell once more

# %% [markdown]
# ## Target
#
# The server that will be changed. **Is it the right one?** Its host key was compared with the key that is known for it; if they differed, the connection would have been refused.

# %%
from hubrun import Nodes, Server, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check, plan_first=plan_first)
server

# %% [markdown]
# ## Nodes
#
# Only with `nodes`: further servers, on which students' containers run. Each is prepared as the server is, all at the same time; the rows of each step name the node. Without `nodes` nothing happens in these steps.
#
# By hand: `ssh root@node1.example.edu`

# %%
all_nodes = Nodes.connect(server)
all_nodes

# %% [markdown]
# ## Preflight
#
# Everything that would stop us later is tested now and reported together: the system and its size, free ports, the clock (LTI refuses launches when it is wrong by more than some minutes), whether the names of accounts and the students' network are free, whether `homes_device` is an empty disk, which other sites nginx has, and whether the server reaches the addresses that it has to download from: apt is asked itself, with its own mirrors and proxies. Nothing is changed before all of this is right.
#
# Of each node: that it has the same system as the server and a clock within two seconds of the server's, is in no Swarm, has a kernel with WireGuard and NFS, and that nothing there uses `nodes_network`. Whether the two reach each other at UDP port 51820 is known when `04_docker_spawner` has set it up.
#
# By hand: `cat /etc/os-release`, `free -m`, `df -h`, `ss -ltnp`, `date`, `sudo apt-get update`

# %%
from hubrun.sections.server import node_preflight
from hubrun.sections.server.preflight import preflight

server.check(*preflight(site), *node_preflight.manager_tests(site))
all_nodes.check(*node_preflight.tests(server))

# %% [markdown]
# ## What the server is now
#
# Packages, accounts and some settings are noted in `/var/lib/hubrun/before`, once, before anything is changed: by this note `16_uninstall` knows what was there before. On a server that was set up by a version before, nothing is noted.
#
# By hand: `dpkg-query -W > before`

# %%
from hubrun.sections.server import accounts

server.ensure(accounts.noted_before(site))
all_nodes.ensure(accounts.noted_before(site))

# %% [markdown]
# ## A proxy to the outside
#
# Only if `http_proxy` is set, for a network that reaches the outside through a proxy and in no other way. apt uses it from here on, also when a timer runs it or a person. Whatever the runbooks download (packages, Docker's images, pip, npm, git, the certificate) goes through it too, and so do students' containers: to whatever this proxy lets through, students get too, so let it refuse addresses inside your institution. `no_proxy` names what is reached without it. A proxy that you have set for apt in a file of your own stays.
#
# By hand: `echo 'Acquire::http::Proxy "http://proxy.example.edu:3128";' | sudo tee /etc/apt/apt.conf.d/90proxy`

# %%
from hubrun.sections.server import proxy

server.ensure(*proxy.apt(site))
all_nodes.ensure(*proxy.apt(site))

# %% [markdown]
# ## Trust the site's certificate authorities
#
# Only if `ca_certificates` names any: for an institution whose proxy re-signs HTTPS, or whose registry has a certificate of its own. For everybody else nothing happens here.
#
# By hand: `sudo cp ca.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates`

# %%
from hubrun.resources.packages import Packages, Updates
from hubrun.resources.system import CertificateAuthorities, HostEntry, Swap, TimeSync

server.ensure(Packages("ca-certificates"), CertificateAuthorities(tuple(site.ca_pems())))
all_nodes.ensure(Packages("ca-certificates"), CertificateAuthorities(tuple(site.ca_pems())))

# %% [markdown]
# ## Updates
#
# `upgrade: full` installs every update, `security` only those from the security archive, and `none` installs no updates.
#
# By hand: `sudo apt-get update && sudo apt-get dist-upgrade`

# %%
server.ensure(Updates(site.upgrade))
all_nodes.ensure(Updates(site.upgrade))

# %% [markdown]
# ## Packages
#
# Python with virtual environments for the hub, the tools that the later runbooks call, what the server's own upkeep needs, and `extra_packages`. What 03 and 04 need comes with them, in one transaction of apt, which is quicker: nginx, certbot and Docker (from the place that `docker_channel` names; see 04). 03 and 04 then find it there. nginx stays off until 03 has a site for it.
#
# By hand: `sudo apt-get install --no-install-recommends python3 python3-venv … nginx certbot docker-ce`, `sudo systemctl disable --now nginx`

# %%
from hubrun.desired.supported_systems import system_of
from hubrun.sections import all_packages
from hubrun.sections.server import upkeep

base = ("python3", "python3-venv", "sudo", "curl", "gpg", "openssl", "iproute2", *upkeep.packages(site), *site.extra_packages)
server.ensure(*all_packages.packages(site, system_of(server.facts), base))
all_nodes.ensure(Packages(*base))

# %% [markdown]
# ## What the server does by itself
#
# It installs security updates each day within an hour of `updates_hour` (6 o'clock in the server's time zone), and no other updates (with `upgrade: none` it installs none: updates are then your task). Choose an hour when nobody works: a service whose package is updated restarts. Students' containers go on while Docker does. It never reboots by itself: `./hubrun status` says that updates wait for a reboot, and you choose the hour.
#
# A timer rotates the logs each day, because a minimal server has no cron, and systemd's journal keeps at most 1 GB. With `log_days` the journal, in which the hub's log is, and the rotated logs of nginx and others are removed after so many days (nginx's at the latest after 14, as the distribution has it).
#
# By hand: `sudo apt-get install unattended-upgrades logrotate`, `systemctl list-timers`

# %%
server.ensure(*upkeep.upkeep(site))
all_nodes.ensure(*upkeep.upkeep(site))
server.check(*upkeep.tests(site))
all_nodes.check(*upkeep.tests(site))

# %% [markdown]
# ## Host name
#
# The server must be able to resolve its own name, because `sudo` and the hub look it up. (The guide's `sudo echo … >> /etc/hosts` fails, because the file is opened without root's rights.)
#
# By hand: `echo 127.0.1.1 $(hostname) | sudo tee -a /etc/hosts`

# %%
host_name = HostEntry("127.0.1.1", server.facts["hostname"])
server.ensure(host_name)
server.check(host_name.test())
all_nodes.ensure(node_preflight.own_name(all_nodes))

# %% [markdown]
# ## Time
#
# A launch carries the time at which it was made, and is refused when that differs from the server's clock by more than `lti_launch_minutes` (10). So the clock is kept right from now on.
#
# By hand: `sudo systemctl enable --now systemd-timesyncd`

# %%
server.ensure(TimeSync())
all_nodes.ensure(TimeSync())

# %% [markdown]
# ## Time zone
#
# Only if `timezone` is set. Times in logs, the hours of timers and `updates_hour` are then in this time zone, and so are students' containers (`TZ`, from the next start of each server) and nbgrader's due dates: formgrader shows them, and takes what a teacher types, in this time zone, in summer and in winter. In the gradebook they stay in UTC. Programs that run already go on in the zone before until they restart.
#
# By hand: `sudo timedatectl set-timezone Europe/Zurich`

# %%
server.ensure(*upkeep.time_zone(site))
all_nodes.ensure(*upkeep.time_zone(site))

# %% [markdown]
# ## Swap
#
# On a small machine, a swap file of `swap_mb` makes a full classroom slow instead of having its programs killed. If there is swap already, it is left as it is. Where swap is not possible (in containers), the step says `ok` and goes on.
#
# By hand: `sudo fallocate -l 2G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile`

# %%
server.ensure(Swap(site.swap_mb))
all_nodes.ensure(Swap(site.swap_mb))

# %% [markdown]
# ## The students' image
#
# The students' image begins to build now, and 04 waits for it: the build takes the longest of all, and needs nothing of 02 and 03. Docker gets its settings before it, as 04 says. A build that fails stops nothing here: the next steps say so, and 04 builds it again. What is to be in it stands in the params file; in a notebook that was opened without `./hubrun lab`, the build begins with the defaults, and 04 ends it and builds what its own parameters say. An image that takes another's place is built in 04 or `12_image` alone.
#
# By hand: `docker build -t hubrun-singleuser -f Dockerfile.singleuser . &`

# %%
from hubrun.sections.docker_spawner import docker_setup, image_versions, nvidia

server.ensure(*docker_setup.running(site), *nvidia.toolkit(site))
server.ensure(*image_versions.begun(site))

# %% [markdown]
# ## A person who administers the server
#
# `admin_user` gets an account and `sudo`, and logs in with the public key in `admin_ssh_key_file`. The account has no password, so `sudo` does not ask for one, as on a cloud provider's image. The sudoers file is tested with `visudo -c` before it takes effect, because a broken one would lock everybody out.
#
# By hand: `sudo adduser teacher`, then `sudo visudo -f /etc/sudoers.d/hubrun-admin`

# %%
server.ensure(*accounts.admin(site))

# %% [markdown]
# ## The hub's own account
#
# The hub runs as `hub_user`: a system account without a login shell, without a password and without `sudo`. (In the guide this account may use `sudo`: whoever broke into the hub would then control the whole server.)
#
# By hand: `sudo useradd --system --home-dir /var/lib/jupyterhub --shell /usr/sbin/nologin jupyterhub`

# %%
server.ensure(*accounts.hub(site))

# %% [markdown]
# ## Check
#
# What must be true now: Python makes virtual environments, every package is completely installed, and the rules of `sudo` have no mistake. What must fail: the hub's account asks `sudo` for root's rights, and somebody tries to log in with it. Both must be refused, and for this reason only.
#
# By hand: `sudo dpkg --audit`, `sudo visudo -c`, `sudo runuser -u jupyterhub -- sudo -n true`, `sudo su jupyterhub -c true`

# %%
server.check(*upkeep.package_tests(), *accounts.tests(site))
all_nodes.check(*upkeep.package_tests())

# %% [markdown]
# ## Summary
#
# It is kept in the record. Next: `02_hub_lti`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
