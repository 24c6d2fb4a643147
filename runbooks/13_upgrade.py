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
# # 13 · Upgrade
#
# **About.** Brings a site to this version of the project: system packages, the students' image, the hub and its proxy. The hub is kept as it works, and is put back with its database if the new one does not pass the tests.
#
# **Before.** An installed site that works, and your own checkout at the new version. `CHANGELOG.md` says whether something has to be done first.
#
# **After.** Students' servers go on as they are; each gets the new image at its next start. For a new release of Debian, see `docs/how-to/upgrade.md`.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
public_address: str = ""  # connect to this address when testing from outside; empty: what DNS says about the domain
http_port: int = 80  # port at which the internet reaches the server's port 80
https_port: int = 443  # port at which the internet reaches the server's port 443
trust_ca_file: str = ""  # file here with the CA that signed the site's certificate; empty: this machine's own list
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
timezone: str = ""  # time zone of the server, students' containers and due dates: Europe/Zurich; empty: as the server has it, and UTC for the others
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
lti_lms: str = "canvas"  # the LMS that launches: canvas, moodle, openedx, sakai, blackboard or brightspace
lti_version: str = "1.1"  # version of LTI with which it launches: 1.1, 1.3, or both while you change from one to the other
lti_username_key: str = "lis_person_sourcedid"  # launch field that names new people's users on the hub; nobody who has a home is moved by it (see 02)
lti_platform: str = "production"  # LTI 1.3: where the LMS is: Canvas's production, beta or test, or https://… of your own
lti_registration: bool = False  # LTI 1.3: the LMS registers the hub by itself, with a link that 05 makes; in place of lti_client_ids
lti_client_ids: list = []  # LTI 1.3: client ids that may launch (in Canvas: of the developer keys)
lti_deployment_ids: list = []  # LTI 1.3: deployment ids that may launch; empty: all deployments of the client ids. Blackboard needs them (see 02)
lti_issuer: str = ""  # LTI 1.3: issuer, if it is not the platform's
lti_authorize_url: str = ""  # LTI 1.3: authorize URL, if it is not the platform's
lti_jwks_url: str = ""  # LTI 1.3: URL of the LMS's keys, if it is not the platform's
lti_token_url: str = ""  # LTI 1.3: URL at which the LMS gives out tokens for its services, if it is not the platform's
lti_services: bool = False  # grades go to the LMS, names of a course's people come from it, and teachers choose there what a link opens (see 02)
lti_inner_addresses: bool = False  # LTI 1.3: the LMS's keys are at an address inside your institution (a private one); false: only on the internet
lti_launch_minutes: int = 10  # how old a launch of LTI 1.1 may be when it arrives, and how far the LMS's clock may differ, in minutes
lti_frame_sites: list = []  # other sites whose pages show the LMS, and the hub in it, in a frame: [https://learning.example.edu] (see 02)
consumers: list = []  # further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lms: moodle, lti_version: '1.3', platform: https://…, registration: true}]
outside_course: str = "server"  # what people get who launch from a course as neither student nor staff (observers, guests): a server without the course, or a page
admin_users: list = []  # who administers the hub: hub users, or what the LMS says of them in lti_username_key
adopt_users: bool = False  # a hub that was set up by hand: a person takes the hub user, with the files, whose name their lti_username_key says
idle_minutes: int = 60  # stop a student's server after this many idle minutes; 0: never
metrics: bool = False  # the hub's figures for Prometheus at /hub/metrics, with a token that is made on the server
subdomains: bool = False  # recommended: each person's server at an address of its own, https://NAME.DOMAIN/ (see 03)
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
tls_certificate: str = ""  # tls: files. Path on the server of the certificate with its chain, PEM
tls_key: str = ""  # tls: files. Path on the server of the private key, PEM
hsts_seconds: int = 31536000  # how long browsers must use only HTTPS, in seconds; 0: do not tell them
upload_limit_mb: int = 512  # largest upload that nginx accepts, in MB
docker_channel: str = "docker-ce"  # Docker from the distribution, or from Docker's own apt repository
docker_apt_url: str = "https://download.docker.com/linux"  # docker-ce: the repository or a mirror of it
docker_apt_key: str = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"  # docker-ce: fingerprint of the repository's key; another key is refused
docker_users: list = []  # accounts on the server that may use Docker; each of them can become root
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
student_networks: list = []  # private networks that students' containers may reach besides the internet, such as [10.20.30.0/24]; never the server
base_image: str = "quay.io/jupyter/scipy-notebook:2026-07-28"  # image that the students' image is built on: name:tag, or name:tag@sha256:…
image_name: str = "hubrun-singleuser"  # name of the students' image, built on the server
image: str = ""  # which of the students' images counts: empty: the one that these parameters describe; previous: the one before it; or an id that 12 shows
nbgrader: bool = True  # install nbgrader, with a folder for each course that launches (assignments and grading)
nbgitpuller: bool = True  # install nbgitpuller (hand out notebooks by git)
git_hosts: list = []  # from where a launch may pull without asking: HOST or HOST/FOLDER; empty: the folders that git_links are in
jupyterlab_git: bool = True  # install jupyterlab-git and nbdime
tensorflow: bool = False  # install TensorFlow (about 2 GB)
pytorch: str = "none"  # install PyTorch: none, cpu, or cuda (about 6 GB)
extra_pip_packages: list = []  # further packages for students, as pip requirements
user_memory_mb: int = 1024  # memory limit of one student's server, in MB
user_cpus: float = 1.0  # CPU limit of one student's server, in cores
user_processes: int = 512  # limit on processes and threads of one student's server
gpus: int = 0  # how many of the server's NVIDIA GPUs each student's server gets, which share them; 0: none
homes_device: str = ""  # empty disk of the server for students' files alone, such as /dev/vdb; empty: none. It is formatted, and stays (see 04)
homes_gb: int = 0  # in place of homes_device: a file of this size on the server's own disk, in GB; it can grow and not shrink; 0: none
user_disk_gb: int = 10  # with homes_device or homes_gb: how much one student may keep, in GB
homes_old: str = "keep"  # with homes_device or homes_gb: the volumes from which files were moved, once they were compared
courses: list = []  # courses in which something is otherwise, by their id, SIS id or label in the LMS: [{course: BIO-101, user_memory_mb: 4096, staff_memory_mb: 8192, extra_pip_packages: [biopython]}] (docs/how-to/course-servers.md)
nodes: list = []  # further servers for students' containers, which need homes_device or homes_gb: [{host: node1.example.edu}, {host: 10.0.0.7, name: gpu, gpus: 1}] (docs/how-to/nodes.md)
nodes_network: str = "172.28.0.0/16"  # network between the site's server and its nodes, of the size /16; must be free on all of them
manager_address: str = ""  # where nodes reach the site's server, UDP port 51820; empty: public_address, or the domain
node_files: str = "nfs"  # how nodes have students' files: nfs, or sshfs where the kernel has no NFS (containers), which is slower
canvas_tool_name: str = "JupyterHub"  # name of the tool in the LMS
git_links: list = []  # nbgitpuller links to show: [{repo: https://…, branch: main, path: week1/task.ipynb}]; `folder` is where it goes, if not a folder of the repository's name
check: bool = False  # True: show what would change and touch nothing
plan_first: bool = False  # True: each step shows its plan, and does it when you run its cell once more

# %% [markdown]
# ## Target
#
# The server that will be changed. **Is it the right one?**

# %%
from hubrun import Nodes, Server, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check, plan_first=plan_first)
all_nodes = Nodes.connect(server)
server

# %% [markdown]
# ## What must have been run before
#
# All runbooks of the install, and the hub must be well: what does not work cannot be kept. If the hub is down, for example after a new release of the system, run `./hubrun install` in place of this.
#
# By hand: `curl http://127.0.0.1:8000/hub/health`

# %%
from hubrun.sections.hub import config
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti", "03_https", "04_docker_spawner"))
server.check(config.health_test(), config.present_test(site), config.no_renaming_test())

# %% [markdown]
# ## System packages
#
# Updates as `upgrade` says, Docker's among them. Containers go on while Docker restarts (`live-restore`).
#
# By hand: `sudo apt-get update && sudo apt-get dist-upgrade`

# %%
from hubrun.resources.packages import Updates

server.ensure(Updates(site.upgrade))
all_nodes.ensure(Updates(site.upgrade))

# %% [markdown]
# ## The students' image
#
# The hub and the image must have the same version of JupyterHub, so the new image is built first, beside the one with which servers start. See `12_image`.
#
# By hand: `sudo docker build -t hubrun-singleuser:NEW /srv/jupyterhub/image`

# %%
from hubrun.sections.docker_spawner import image_versions

server.ensure(*image_versions.built(site))

# %% [markdown]
# ## The hub
#
# 1. The hub is kept as it works in `/var/lib/hubrun/before-upgrade`, which only root can read: `/opt/jupyterhub`, `/etc/jupyterhub`, our code and units.
# 2. The new packages are installed, the configuration is written and tested, nginx gets its page for launches that wait, and the hub restarts; at its start it copies its database, and brings it to the new version. Launches that come meanwhile wait, and go on by themselves. Notebooks go on.
# 3. A server is started with the new image, and this image is made current.
# 4. The hub is tested as in `06_verify`: launches, and a student who works.
#
# If 2, 3 or 4 fails, the hub of before is put back with its configuration and image, and this step fails with the reason. The database is put back only if the new version has changed its tables: what people did in these minutes is lost then, but not their files. When all is well the copy is removed. If this run is killed, the next one goes on, and still has the copy.
#
# By hand: `sudo systemctl stop jupyterhub && sudo cp -a /opt/jupyterhub /var/lib/jupyterhub /etc/jupyterhub /root/`, then the steps of 02 and 04

# %%
from hubrun.sections.upgrade import hub_upgrade

hub_upgrade.upgrade(server)

# %% [markdown]
# ## Nodes
#
# Only with `nodes`: each gets the image that is current now, and what of our code it has. Until then servers that start there have the image of before.
#
# By hand: `sudo sh -c 'docker save hubrun-singleuser | docker -H unix:///run/hubrun-nodes/NAME/docker.sock load'`

# %%
server.ensure(*image_versions.on_nodes(site, image_versions.current(server)))
all_nodes.ensure(*config.hub_code(), config.node_link())

# %% [markdown]
# ## Who has which image
#
# Servers that run stay on theirs until their next start. `12_image` can stop those that are idle.
#
# By hand: `sudo docker ps --format '{{.Names}} {{.Image}}'`

# %%
image_versions.show(server)

# %% [markdown]
# ## Summary
#
# It is kept in the record.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
