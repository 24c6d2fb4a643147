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
# **About.** Gives each student a container of their own: Docker, the image that students get, a network in which they cannot reach one another, limits, and a volume that keeps a student's files when the container is removed.
#
# **Before.** `01_server`, `02_hub_lti`. (`03_https` may come before or after.)
#
# **After.** A launch starts JupyterLab. Go on with `05_canvas`.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`. The students' image is built on `base_image`; keep a tag with a date, and raise it between terms. `tensorflow` and `pytorch` make the image large: look at the free disk space first.

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
timezone: str = ""  # time zone of the server, students' containers and due dates: Europe/Zurich; empty: as the server has it, and UTC for the others
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
lti_services: bool = False  # grades go to the LMS, names of a course's people come from it, and teachers choose there what a link opens (see 02)
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
server

# %% [markdown]
# ## Nodes
#
# Only with `nodes`: further servers, on which students' containers run when the server itself is full. Each gets a number, which it keeps as long as it is in the list (`/etc/jupyterhub/nodes.json`); addresses follow from it. Without `nodes` nothing happens in the steps about nodes.
#
# A node that is taken out of the list can go when nobody's server is there: `./hubrun node drain` sees to that, and this step stops before.
#
# By hand: `sudo cat /etc/jupyterhub/nodes.json`

# %%
from hubrun.sections.docker_spawner import node_list

all_nodes = Nodes.connect(server)
every = node_list.known(server, all_nodes)
server.check(*node_list.leaving_tests(every))
all_nodes

# %% [markdown]
# ## What must have been run before
#
# `01_server` and `02_hub_lti`: Docker's repository is fetched with the packages and certificate authorities of the first, and the spawner is a part of the hub's configuration.
#
# By hand: `ls /opt/jupyterhub/bin/jupyterhub /etc/systemd/system/jupyterhub.service`

# %%
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti"))

# %% [markdown]
# ## Docker
#
# `docker_channel: docker-ce` takes Docker from its own repository, whose key must be the one with the fingerprint `docker_apt_key`; `distro` takes the distribution's Docker, with its security updates. Packages of the other kind are removed first; images, containers and volumes stay. If the Docker of the other kind runs containers of others, nothing is removed and this step stops: their Docker stays if you set `docker_channel` to it. It also stops if `docker_subnet` meets a network that the server uses already (a route, a VPN, a name server, another Docker network), and names one that is free.
#
# By hand: `sudo apt-get remove docker.io containerd runc`, add the key and the repository, then `sudo apt-get install docker-ce docker-ce-cli containerd.io`

# %%
from hubrun.desired.supported_systems import system_of
from hubrun.sections.docker_spawner import docker_setup
from hubrun.sections.server import docker_here

server.check(docker_here.subnet_test(site), docker_here.engine_test(site))
server.ensure(*docker_setup.engine(site, system_of(server.facts)))
all_nodes.check(docker_here.engine_test(site))
all_nodes.ensure(*docker_setup.engine(site, system_of(server.facts)))

# %% [markdown]
# ## Docker's settings
#
# The size of a container's log is limited (a student's endless `print` must not fill the disk), and containers go on while the daemon restarts (`live-restore`). Other settings in `/etc/docker/daemon.json` stay. If Docker does not start with the new file, the earlier one is put back, and Docker goes on as before. A server that is a member of a Swarm gets no `live-restore`, because Docker would not start with it: there, containers end when Docker restarts. With `http_proxy`, Docker pulls through it.
#
# With `gpus`, for the site or a course: the NVIDIA Container Toolkit, from NVIDIA's repository if the server has none, and Docker restarts once to find it. The driver is not ours to install: providers have their own way for it, and this step stops where `nvidia-smi` does not list as many GPUs as one student gets. Docker gives each server the first ones: all share them.
#
# By hand: `sudo nano /etc/docker/daemon.json && sudo systemctl restart docker`

# %%
from hubrun.sections.docker_spawner import nvidia

server.ensure(*docker_setup.running(site), *nvidia.toolkit(site))
server.check(docker_setup.answers(), *nvidia.driver_tests(site))
all_nodes.ensure(docker_setup.on_node(site))
all_nodes.check(docker_setup.node_tests(site))

# %% [markdown]
# ## A reserve of the disk
#
# Somebody may fill the disk: without a disk of their own (next step) Docker cannot limit the size of students' homes. The file system ext4 reserves a part of the disk for root. Here the hub may use this reserve too, so that it can still note who is logged in and what runs when the rest is full. If the file system is not ext4, nothing is changed. `/hub/health` answers 503 and says how much is left when it is less than 512 MB; let your monitor ask it.
#
# By hand: `sudo tune2fs -g jupyterhub /dev/vda1 && sudo mount -o remount,resgid=$(getent group jupyterhub | cut -d: -f3) /`

# %%
from hubrun.resources.ext4_reserve import ReservedBlocks

reserve = ReservedBlocks("/var/lib/jupyterhub", site.hub_user)
server.ensure(reserve)
server.check(reserve.test())

# %% [markdown]
# ## A disk for students' files
#
# Only with `homes_device` or `homes_gb`; without them, students' files are in volumes on the server's own disk, and one student can fill it for everybody. With one of them, homes are on a file system of their own (btrfs), and nobody can keep more than `user_disk_gb` there. `homes_device` is an empty disk, such as a volume of your provider; it is formatted only if nothing is on it. `homes_gb` is for a server that has one disk: a file of that size, whose space is taken at once, so that neither side can fill the other. It can grow later, and never shrinks. Another `user_disk_gb` counts at once, and nobody's server restarts; whoever has more keeps it, and can only delete. The folders of courses are on the same disk: what one person hands in in one course may have a quarter of `user_disk_gb`, and all else of a course ten times as much as it.
#
# Each hour a snapshot is made of the homes that changed, and kept for a day; the last of each day is kept for two weeks. Students find them in the folder `snapshots` of their home, read-only, so that they get a deleted notebook back alone. `docs/how-to/homes.md` says more.
#
# By hand: `sudo mkfs.btrfs -L hubrun-homes /dev/vdb`, mount it, `sudo btrfs quota enable /srv/jupyterhub/homes`, then for each person `sudo btrfs subvolume create …` and `sudo btrfs qgroup limit 10G …`

# %%
from hubrun.sections.docker_spawner import homes
from hubrun.sections.server import homes_here

server.check(*homes_here.tests(site))
server.ensure(*homes.disk(site))

# %% [markdown]
# ## A network for the students
#
# Containers in it reach the hub and the internet, and do not reach one another. (In Docker's default network, every student can connect to every other student's server.) When it is deleted, as `docker network prune` does while nobody works, `hubrun-docker-filter` makes it again within seconds.
#
# By hand: `sudo docker network create -o com.docker.network.bridge.enable_icc=false jupyterhub`

# %%
from hubrun.resources.firewall import FirewallRule

server.ensure(
    docker_setup.network(site),
    FirewallRule(8081, source=site.docker_subnet, destination=site.gateway),
)

# %% [markdown]
# ## A network between the servers
#
# Only with `nodes`: WireGuard, with the server in the middle (172.28.0.1 in `nodes_network`); nodes do not reach one another. Each server makes its own key, which stays there. UDP port 51820 must be open between the server and each node. A private network of your provider does, and so does the internet: all of it is encrypted.
#
# By hand: `sudo apt-get install wireguard-tools`, then `/etc/wireguard/hubrun.conf` on each server, `sudo systemctl enable --now wg-quick@hubrun`, and `sudo wg show`

# %%
from hubrun.sections.docker_spawner import node_network

server.ensure(*node_network.own_keys(site))
all_nodes.ensure(*node_network.keys())
every = node_list.known(server, all_nodes)
server.ensure(*node_network.manager(site, every))
all_nodes.ensure(node_network.node(site, every))
all_nodes.check(*node_network.tests(every))

# %% [markdown]
# ## What a student's container reaches
#
# The hub's one port, the name servers, and the internet. It reaches nothing else of this server at any of the server's addresses, no other container, no private network, and not the metadata of a cloud provider (169.254.169.254): these answer "no route to host". `student_networks` names private networks that students need, such as the network of a licence server or a git server. The rules are in an nftables table of their own, which comes before Docker's rules and the firewall's. They apply only to the students' network: other containers on this server are not affected. They are loaded before Docker at each boot, and are loaded again within a minute if something removes them.
#
# Each node has the same rules and a students' network of its own. Its containers reach the hub through the network between the servers, and nothing else of any server; of the server's programs only the hub and its proxy come to them.
#
# By hand: `sudo nft -f /etc/jupyterhub/student-network.nft`, and to see them `sudo nft list table inet hubrun`

# %%
from hubrun.sections.docker_spawner import student_network

server.ensure(*student_network.rules(site, node_network.files_port(site, every)))
server.check(*student_network.tests())
all_nodes.ensure(node_network.students(site, every))
all_nodes.check(*student_network.tests())

# %% [markdown]
# ## The students' image
#
# `Dockerfile.singleuser` is built here on the server, and again only when something in it changes. The image has JupyterHub in the hub's own version and what the parameters choose: nbgrader, nbgitpuller, jupyterlab-git, TensorFlow, PyTorch, `extra_pip_packages`. The downloads for our own packages are compared with digests that are part of this project. For `base_image`, the digest that the registry gave is kept with the image, and a different one under the same tag stops the next build. With `name:tag@sha256:…` you choose the digest yourself. A `base_image` that is on the server already, such as one that you built there, is used as it is, and no registry is asked. The first build takes minutes; its last line of output is shown while it runs. A build that fails says the reason of `pip` or `uv`, and leaves no containers or unnamed images behind.
#
# A course that says something of an image (`courses`, with `base_image`, `extra_pip_packages`, `requirements_file`, `pytorch` or `tensorflow`) gets one of its own, such as `hubrun-singleuser-ml-2-4fd08a`. It is built, tried and kept in the same way, and what it has in common with the site's takes no room twice.
#
# The first build began in `01_server`; this step waits for its end, and shows its log. A build that failed there, or was lost in a reboot, is made again here.
#
# The new image gets a tag of its own, such as `hubrun-singleuser:3fa94b0c1d2e`, and nobody's server starts with it yet: that comes below, when it was tried. `12_image` does these steps alone, and goes back to the image before. `image` names another one that is there, to stay with it.
#
# `docker system prune -a` does not remove the image with which servers start: the container `hubrun-image`, which does nothing, uses it. If the image is gone all the same, a launch says that it is missing, and this step builds it again. **Never** use `docker volume prune -a`, or with Docker before version 23 `docker volume prune` and `docker system prune --volumes`: students' files are in volumes.
#
# By hand: `docker build -t hubrun-singleuser -f Dockerfile.singleuser .`

# %%
from hubrun.resources.files import Directory
from hubrun.sections.docker_spawner import image_versions

server.ensure(Directory("/srv/jupyterhub"), *image_versions.built(site))
images = image_versions.current(server)

# %% [markdown]
# ## Courses
#
# With `nbgrader: true`: a launch puts the students of a course into the hub's group `course-<id>`, and its staff (instructors, teaching assistants, course designers) into `course-<id>-instructors` too. Who is neither of them in the LMS, such as an observer or a guest, is in none of the two. These groups decide which folders of `/srv/nbgrader` a person's container sees. A student sees what was released, and the folders of their own submissions and feedback. Staff also see the course folder, and everybody's submissions, read-only. The hub makes the folders when they are needed; nobody else on the server may enter them. When a person joins or leaves a group, it takes effect at the next start of their server.
#
# On the server a course's folder has the course's id as its name. In containers it has a name that people can read, such as `BIO 101 - Frühling`, which the course keeps when it is renamed in the LMS; a home from the version before gets it at its next start. Formgrader shows people's names as the LMS sends them: the hub keeps them in `/var/lib/jupyterhub/lti_full_names.sqlite`, and tells them only to those who teach the course. Canvas's Test Student ("Student View") joins the course as a student; when the next one comes, the home and the course folders of the one before are removed.
#
# With `courses`, a course has further folders, which people find in their home as `COURSE/shared`, `COURSE/groups` and `COURSE/data`: what its staff write and its students read, one folder for each group that only its members write to, and a folder of the server that nobody can write to. `docs/how-to/courses.md` says more.
#
# By hand: `sudo install -d -m 0700 /srv/nbgrader`

# %%
from hubrun.sections.hub import config

server.check(*docker_setup.data_tests(site))
server.ensure(*config.courses(site))

# %% [markdown]
# ## Between the hub and Docker
#
# Whoever may use Docker can become root on this server, and the hub answers requests from the whole internet. So the hub's account may not use Docker: a service that runs as root (`hubrun-docker-filter`) takes its requests, and passes on only what a student's container needs. It starts only the site's image, as the image's own user, with the limits above, in the students' network, with that person's files and the folders of their courses. It refuses everything else, and writes to its log what it refused and, where there is a way to allow it, what to set.
#
# Your own settings for it are in `/etc/jupyterhub/docker-filter-local.json`, which is never overwritten: further images (`{"images": ["…"]}`), folders or volumes to mount (`{"mounts": {"/srv/data": "ro"}}`), higher limits (`memory_mb`, `cpus`, `processes`). They take effect at once.
#
# By hand there is nothing to type for the service itself: it is a program of this project. What it refused: `journalctl -u hubrun-docker-filter | grep refused`

# %%
server.ensure(*config.docker_filter(site))

# %% [markdown]
# ## DockerSpawner
#
# From now on a launch starts a container for the student: with limits on memory, CPU and processes, without privileges, and with a volume that keeps their files. `/dev/shm`, through which PyTorch's loaders pass data, may use half of a student's memory. When the container stops the hub removes it; the volume stays. Everything in the container is read-only except the home, `/tmp`, `/var/tmp` and `/run`; the last three are kept in the student's part of the memory. What a student installs with `pip` goes into the home and is still there the next time; `conda install` is refused. The container is also told from where a launch may pull a repository without a question (`git_hosts`): any other link shows what it would do, and waits for a click. The hub now listens on its address in the students' network too, which containers can reach and the outside cannot. If `90-local.py` asks Docker for something that the service above would refuse, this step fails and names it, and the hub goes on as before.
#
# When a class comes at once, it waits in line: servers start in the order in which people came, twice as many at a time as the server has cores, and only while it has memory for one more (about 200 MB each, with 250 MB to spare). The page shows each person's place and goes on by itself. While people wait for memory, `/hub/health` answers 503 and says so, and the hub's log does too. A server whose container ends at its start is known at once: the student gets a page, and the hub's log has the container's last lines. If Docker, the network or the image is missing, the start is tried again for two minutes, and the page says what is missing.
#
# At last, and again whenever image or configuration changed, a server is started once through the hub, for the test user `hubruntest1`; a kernel in it runs a line, and it is removed again: some images build and end at once, or have no kernel. Only then does the name `hubrun-singleuser` mean the new image, and each server gets it at its next start. The last three images are kept.
#
# What one student may use, and from where a launch may pull, is read at each start of a server (`/etc/jupyterhub/docker-filter.json`): a change of `user_memory_mb`, `user_cpus`, `user_processes`, `git_hosts` or `git_links` does not restart the hub.
#
# A launch from a course that has an image or `gpus` of its own opens a server of that course, with the same files; all other courses open the person's one server, where the larger of their limits counts. What `courses` says is read at each start, too. `docs/how-to/course-servers.md` says more.
#
# The group `docker` is for people who administer the server: `docker_users` names them, and all other accounts are removed from it, the hub's account too.
#
# By hand: `sudo nano /etc/jupyterhub/conf.d/40-docker.py && sudo gpasswd --delete jupyterhub docker && sudo systemctl restart jupyterhub`, then launch from a course and read `journalctl -u jupyterhub`

# %%
server.ensure(*docker_setup.spawner(site, images))

# %% [markdown]
# ## Files from before
#
# Only with `homes_device` or `homes_gb`. People who were here before have their files in volumes of Docker's own. The files of each person whose server does not run are copied to the new disk and compared, file by file; only then the copy becomes the home. Whoever launches at that moment waits, and reads why. People whose servers run now are moved within an hour after these have stopped. A person whose files cannot be moved works on where they are: `journalctl -u hubrun-homes-hourly` says why. The folders of courses are moved all at once, when no server runs that uses one; launches wait meanwhile. The volumes from before stay, as `jupyterhub-old-NAME`, and the folder as `/srv/nbgrader-old`, until you set `homes_old: remove`.
#
# By hand, for each person: `sudo rsync -aHAXS …`, then `sudo rsync -aHAXSnci --delete …`, which must print nothing

# %%
server.ensure(*homes.moved(site))

# %% [markdown]
# ## Students' files on nodes
#
# Only with `nodes`. All files stay on the server's disk for students' files, and are what a backup takes. The server shares them with the nodes' addresses in the network between the servers, and with nobody else: by NFS, version 4, in which a node acts as a student does and never as root. A node has them at the same place as the server, so that a server of a student that starts there finds the same home, and the loss of a node loses no file. `node_files: sshfs` is for servers whose kernel has no NFS, such as containers; it is slower.
#
# By hand: `/etc/exports` on the server, and `sudo mount -t nfs4 172.28.0.1:/ /srv/jupyterhub/homes` on each node

# %%
from hubrun.sections.docker_spawner import node_files as files

all_nodes.ensure(*files.keys(site))
server.ensure(*files.shared(site, every, files.public_keys(all_nodes)))
all_nodes.ensure(*files.mounted(site, every))
all_nodes.check(*files.tests())

# %% [markdown]
# ## A connection to each node
#
# Only with `nodes`. The server asks Docker on a node through an SSH connection, which `hubrun-node@NAME` keeps up: root's key on the server may log in to the account `hubrun-node` of the node, and start one program there, which says every two seconds how much memory is free. The node's host key is the one that your own connection was shown. Whoever is root on the server is root on its nodes; a node can do nothing on the server.
#
# From here on the hub knows of the nodes, and starts a student's server where the most memory is free. Exams run on the server alone.
#
# By hand: `systemctl status 'hubrun-node@*'`, `sudo docker -H unix:///run/hubrun-nodes/NAME/docker.sock ps`

# %%
from hubrun.sections.docker_spawner import node_login

server.ensure(*node_login.own_key(site))
all_nodes.ensure(*node_login.account(site, node_login.public_key(server)))
server.ensure(*node_login.connections(site, every))
server.check(*node_login.tests(site))

# %% [markdown]
# ## The image on each node
#
# Only with `nodes`. The images are sent from the server to all nodes at once, and are the same there, layer by layer; no node builds one, or asks a registry.
#
# By hand: `sudo sh -c 'docker save hubrun-singleuser | docker -H unix:///run/hubrun-nodes/NAME/docker.sock load'`

# %%
server.ensure(*image_versions.on_nodes(site, images))

# %% [markdown]
# ## Exams and due dates
#
# Only with `exam` in one of `courses`. While it lasts, servers of the course's students reach the hub and the hosts that it names (their addresses, at ports 80 and 443), and nothing else: no other address, no IPv6 and no name server. They see the folders of this course alone. A server of a student that runs when the exam begins is stopped, and starts again in the exam with a click; at the end it is stopped again, and what the student has of `assignment` is taken as a submission. All of this is done by the server's clock: a timer looks every ten seconds, and the hub may be down meanwhile.
#
# With `due` in one of `courses`, what each student has of an assignment is taken as a submission at the moment when it is due (`extensions` for a person), whether or not they clicked Submit, and whether or not their server runs. With `lti_services`, the LMS may say these dates too.
#
# With `autograde` in one of `courses`, the server collects and autogrades what was taken, one assignment at a time, in a container with this course's folders alone. Nothing of it is sent to the LMS.
#
# By hand: `systemctl list-timers hubrun-exam.timer hubrun-due.timer hubrun-autograde.timer`, `journalctl -u hubrun-exam -u hubrun-due -u hubrun-autograde`, `sudo nft list set inet hubrun exam_hosts`

# %%
from hubrun.sections.docker_spawner import by_the_clock

server.ensure(*by_the_clock.units(site))
server.check(*by_the_clock.tests(site))

# %% [markdown]
# ## Check
#
# - The hub answers, and its configuration loads.
# - A container of the students' image reaches the hub; in it a student is not root, and JupyterHub has the hub's own version.
# - The hub's account and its process cannot use Docker directly. Through the service between them it gets answers, and a container with privileges is refused.
# - Students' homes, where they have a disk of their own, are on it, and what each holds is counted; the folders of courses are on it, too, or wait until nobody uses them.
# - The ports of the hub and its proxy (8000, 8001, 8081) are open only on the server itself and in the students' network.
#
# By hand: `curl http://127.0.0.1:8000/hub/health`, `sudo docker run --rm --network jupyterhub hubrun-singleuser id`, `sudo runuser -u jupyterhub -- docker ps` (must fail), `ss -ltn`

# %%
from hubrun.sections.hub import exposure

server.check(
    config.health_test(),
    config.settings_test(site),
    *docker_setup.container_tests(site),
    *nvidia.container_tests(site),
    *docker_setup.access_tests(site),
    *homes.tests(site),
    exposure.closed_to_outside(site, 8000, 8001, 8081),
)

# %% [markdown]
# ## Summary
#
# It is kept in the record. Next: `05_canvas`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
