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
# # 04 · Docker and DockerSpawner
#
# **About.** Gives each student a container of their own: Docker, the image that students get, a network in which they do not reach one another, limits, and a volume that keeps a student's files when the container goes.
#
# **Before.** `01_server`, `02_hub_lti`. (`03_https` may come before or after.)
#
# **After.** A launch starts JupyterLab. Go on with `05_canvas`.

# %% [markdown]
# ## Parameters
#
# From your file in `params/`. The students' image is built on `base_image`; keep a dated tag, and raise it between terms. `tensorflow` and `pytorch` make the image large: look at the free disk first.

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
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
docker_channel: str = "docker-ce"  # Docker from the distribution, or from Docker's own apt repository
docker_apt_url: str = "https://download.docker.com/linux"  # docker-ce: the repository or a mirror of it
docker_apt_key: str = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"  # docker-ce: fingerprint of the repository's key; another key is refused
docker_users: list = []  # accounts on the server that may use Docker; each of them can become root
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
student_networks: list = []  # private networks that students' containers may reach besides the outside, such as [10.20.30.0/24]; never the server
base_image: str = "quay.io/jupyter/scipy-notebook:2026-07-28"  # image that the students' image is built on: name:tag, or name:tag@sha256:…
image_name: str = "hubrun-singleuser"  # name of the students' image, built on the server
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
git_links: list = []  # nbgitpuller links to show: [{repo: https://…, branch: main, path: week1/task.ipynb}]
check: bool = False  # True: show what would change and touch nothing

# %% [markdown]
# ## Target
#
# The server that will be changed. **Is it the right one?**

# %%
from hubrun import Server, Test, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check)
server

# %% [markdown]
# ## Docker
#
# `docker_channel: docker-ce` takes Docker from its own repository, whose key must be the one with the fingerprint `docker_apt_key`; `distro` takes the distribution's, with its security updates. Packages of the other kind are removed first; images, containers and volumes stay.
#
# By hand: `sudo apt-get remove docker.io containerd runc`, add the key and the repository, then `sudo apt-get install docker-ce docker-ce-cli containerd.io`

# %%
from hubrun.desired.supported_systems import system_of
from hubrun.resources.services import Service
from hubrun.sections.docker_spawner import docker_setup

server.ensure(*docker_setup.engine(site, system_of(server.facts)))

# %% [markdown]
# ## Docker's settings
#
# A container's log is bounded (a student's endless `print` must not fill the disk), and containers run on while the daemon restarts (`live-restore`). Other settings in `/etc/docker/daemon.json` stay.
#
# By hand: `sudo nano /etc/docker/daemon.json && sudo systemctl restart docker`

# %%
from hubrun.resources.docker import DAEMON_JSON
from hubrun.resources.files import Directory

server.ensure(
    Directory("/etc/docker"),
    docker_setup.DAEMON,
    Service("docker.service", watches=(DAEMON_JSON,)),
)
server.check(Test("Docker answers", "docker version --format 'engine {{.Server.Version}}'"))

# %% [markdown]
# ## A reserve of the disk
#
# Students' homes cannot be bounded by Docker: somebody may fill the disk. ext4 keeps some of it back for root; here the hub gets a share in that, so that it can still write down who is logged in and what runs when the rest is full. Where the disk is no ext4 nothing is changed. `/hub/health` answers 503 and says what is left when less than 512 MB are; let your monitor ask it.
#
# By hand: `sudo tune2fs -g jupyterhub /dev/vda1 && sudo mount -o remount,resgid=$(getent group jupyterhub | cut -d: -f3) /`

# %%
from hubrun.resources.ext4_reserve import Reserve

reserve = Reserve("/var/lib/jupyterhub", site.hub_user)
server.ensure(reserve)
server.check(reserve.test())

# %% [markdown]
# ## A network for the students
#
# Containers on it reach the hub and the outside, and not one another. (On Docker's default network every student can talk to every other student's server.)
#
# By hand: `sudo docker network create -o com.docker.network.bridge.enable_icc=false jupyterhub`

# %%
from hubrun.resources.firewall import FirewallRule

server.ensure(
    docker_setup.network(site),
    FirewallRule(8081, source=site.docker_subnet, destination=site.gateway),
)

# %% [markdown]
# ## What a student's container reaches
#
# The hub's one port, the name servers, and the outside. Nothing else of this server by any of its addresses, no other container, no private network, and no cloud provider's metadata (169.254.169.254): they answer "no route to host". `student_networks` names private networks that students need, such as that of a licence or a git server. The rules are in a table of nftables of their own, before Docker's and the firewall's, and match the students' network alone: other containers on this server are as free as before. They are loaded before Docker at each boot, and put back within a minute where something takes them away.
#
# By hand: `sudo nft -f /etc/jupyterhub/student-network.nft`, and to look at them `sudo nft list table inet hubrun`

# %%
from hubrun.sections.docker_spawner import student_network

server.ensure(*student_network.rules(site))
server.check(*student_network.tests())

# %% [markdown]
# ## The students' image
#
# `Dockerfile.singleuser` is built here on the server, and again only when something in it changes. It brings JupyterHub in the hub's own version and what the parameters choose: nbgrader, nbgitpuller, jupyterlab-git, TensorFlow, PyTorch, `extra_pip_packages`. What is downloaded for our own packages is compared with digests that come with this project; of `base_image`, the digest that the registry had is kept with the image, and another one under the same tag stops the next build. `name:tag@sha256:…` says it from the start. The first build takes minutes; its last line is shown while it goes on.
#
# By hand: `docker build -t hubrun-singleuser -f Dockerfile.singleuser .`

# %%
server.ensure(
    Directory("/srv/jupyterhub"),
    docker_setup.singleuser_image(site),
)

# %% [markdown]
# ## Courses
#
# With `nbgrader: true`: the hub's groups `course-<name>` and `course-<name>-instructors`, which a launch puts people into, decide which folders of `/srv/nbgrader` their container sees. A student sees what was released, and the folders of their own submissions and feedback; an instructor also the course folder, and everybody's submissions, read-only. The hub makes the folders as they are needed; nobody else on the server may enter. A group that somebody joins or leaves counts from the next start of their server.
#
# By hand: `sudo install -d -m 0700 /srv/nbgrader`

# %%
from hubrun import server_paths
from hubrun.sections.hub import config

server.ensure(*config.courses(site))

# %% [markdown]
# ## Between the hub and Docker
#
# Whoever may talk to Docker can become root on this server, and the hub talks to the world. So its account cannot: a service of root's (`hubrun-docker-filter`) takes its calls, and passes on what a student's container needs. It starts the site's image alone, as the image's own user, with the limits above, in the students' network, with that person's files and their courses' folders; everything else it refuses, and says so in its log, with the way to allow it where there is one. Your own settings for it are in `/etc/jupyterhub/docker-filter-local.json`, which is never overwritten: further images (`{"images": ["…"]}`), folders or volumes to mount (`{"mounts": {"/srv/data": "ro"}}`), higher limits (`memory_mb`, `cpus`, `processes`). They count at once.
#
# By hand: `journalctl -u hubrun-docker-filter | grep refused`

# %%
server.ensure(*config.docker_filter(site))

# %% [markdown]
# ## DockerSpawner
#
# From now on a launch starts a container for the student: with limits on memory, CPU and processes, without privileges, and with a volume that keeps their files. The container goes when it stops; the volume stays. All else in it is read-only but `/tmp`, `/var/tmp` and `/run`, which are kept in the student's share of memory: what a student installs with `pip` goes into the home and is there the next time; `conda install` is refused. It is also told from where a launch may pull a repository without asking (`git_hosts`): any other link shows what it would do, and waits for a click. The hub now listens on its address in the students' network, where containers reach it and the outside does not. Where `90-local.py` asks Docker for something that the service above would refuse, this step fails, names it, and the hub goes on as before.
#
# The group `docker` is for people who administer the server: `docker_users` names them, and everybody else is taken out of it, the hub's account too.
#
# By hand: `sudo nano /etc/jupyterhub/conf.d/40-docker.py && sudo gpasswd --delete jupyterhub docker && sudo systemctl restart jupyterhub`

# %%
server.ensure(
    config.part(site, "40-docker.py"),
    docker_setup.users(site),
    Service(
        "jupyterhub.service",
        watches=(server_paths.DOCKER_PART, *server_paths.HUB_IMPORTS),
        ready=config.health(),
        notice=f"{config.HUB_NOTICE}; what changed for servers counts when they start the next time",
    ),
    config.no_former_code(),
)

# %% [markdown]
# ## Check
#
# The hub is up, and the outside does not reach it. A container of the students' image does; in it a student is not root, and JupyterHub has the hub's own version. The hub's account reaches Docker by the service between them alone.

# %%
server.check(
    Test(
        "the hub answers through its proxy",
        config.health(waits=8),
        remedy="journalctl -u jupyterhub -n 50",
    ),
    Test("every setting is known to its class", config.loads(site)),
    *docker_setup.container_tests(site),
    *docker_setup.access_tests(site),
    Test(
        "the hub must not listen on every address",
        "ss -ltnH | awk '{print $4}' | grep -E '^(0\\.0\\.0\\.0|\\*|\\[::\\]):(8000|8001|8081)$'",
        fails=True,
    ),
)

# %% [markdown]
# ## Summary
#
# Kept in the record. Next: `05_canvas`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
