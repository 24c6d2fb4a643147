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
# # 12 · The students' image
#
# **About.** Builds a new image beside the one with which servers start, tries it, and lets the next starts use it; or goes back to an earlier one. Nothing is restarted, and nobody's work is interrupted.
#
# **Before.** An installed site: `01_server` to `04_docker_spawner`.
#
# **After.** Each person gets the image at the next start of their server.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`. The image is what `base_image`, `extra_pip_packages` and the other choices for 04 say.
#
# To go back: `./hubrun run image params/SITE.yaml --set image=previous`, or with one of the ids that are shown below. The next install or `12_image` without it makes the newer image count again; to stay with the earlier one, write its id into your file: `image: 3fa94b0c1d2e`.
#
# Courses with an image of their own (`courses`) have their images built, tried and kept here as well; `image: previous`, or an id, in the entry of a course goes back to an earlier one of that course.
#
# `restart_idle_minutes` is for this run: servers on an older image at which nobody worked for so long are stopped.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
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
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
base_image: str = "quay.io/jupyter/scipy-notebook:2026-07-28"  # image that the students' image is built on: name:tag, or name:tag@sha256:…
image_name: str = "hubrun-singleuser"  # name of the students' image, built on the server
image: str = ""  # which of the students' images counts: empty: the one that these parameters describe; previous: the one before it; or an id that 12 shows
nbgrader: bool = True  # install nbgrader, with a folder for each course that launches (assignments and grading)
nbgitpuller: bool = True  # install nbgitpuller (hand out notebooks by git)
jupyterlab_git: bool = True  # install jupyterlab-git and nbdime
tensorflow: bool = False  # install TensorFlow (about 2 GB)
pytorch: str = "none"  # install PyTorch: none, cpu, or cuda (about 6 GB)
extra_pip_packages: list = []  # further packages for students, as pip requirements
homes_device: str = ""  # empty disk of the server for students' files alone, such as /dev/vdb; empty: none. It is formatted, and stays (see 04)
homes_gb: int = 0  # in place of homes_device: a file of this size on the server's own disk, in GB; it can grow and not shrink; 0: none
courses: list = []  # courses in which something is otherwise, by their id, SIS id or label in the LMS: [{course: BIO-101, user_memory_mb: 4096, staff_memory_mb: 8192, extra_pip_packages: [biopython]}] (docs/how-to/course-servers.md)
nodes: list = []  # further servers for students' containers, which need homes_device or homes_gb: [{host: node1.example.edu}, {host: 10.0.0.7, name: gpu, gpus: 1}] (docs/how-to/nodes.md)
nodes_network: str = "172.28.0.0/16"  # network between the site's server and its nodes, of the size /16; must be free on all of them
node_files: str = "nfs"  # how nodes have students' files: nfs, or sshfs where the kernel has no NFS (containers), which is slower
restart_idle_minutes: int = 0  # stop servers that run on an older image and were idle for so many minutes; 0: none
check: bool = False  # True: show what would change and touch nothing
plan_first: bool = False  # True: each step shows its plan, and does it when you run its cell once more

# %% [markdown]
# ## Target
#
# The server that will be changed. **Is it the right one?**

# %%
from hubrun import Server, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check, plan_first=plan_first)
server

# %% [markdown]
# ## What must have been run before
#
# `01_server`, `02_hub_lti` and `04_docker_spawner`: the new image is tried by the hub itself.
#
# By hand: `ls /opt/jupyterhub/bin/jupyterhub /etc/jupyterhub/conf.d/40-docker.py`

# %%
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti", "04_docker_spawner"))

# %% [markdown]
# ## Which images are there
#
# The image with which servers start (*current*), those that were current before, and which servers run on which. If `image` names one that is not there, this step says which are, and nothing is changed.
#
# By hand: `sudo docker image ls hubrun-singleuser`, `sudo cat /etc/jupyterhub/images`

# %%
from hubrun.sections.docker_spawner import image_versions

image_versions.show(server)
images = image_versions.current(server)

# %% [markdown]
# ## Build
#
# The image that the parameters describe gets a tag of its own, which is made from all that goes into it: what was built already is not built again. The build runs beside the students' servers. If it fails, the reason of `pip` or `uv` is shown, nothing is left behind, and servers start with the same image as before. With `image`, nothing is built.
#
# By hand: `sudo docker build -t hubrun-singleuser:NEW /srv/jupyterhub/image`

# %%
server.ensure(*image_versions.built(site))

# %% [markdown]
# ## Try it, and let it count
#
# The hub starts a server of this image for its test user, with all limits and mounts of a student's server, and a kernel in it runs a line. An image that ends at once, or has no kernel, goes no further: the reason is shown with the last lines of the hub's log, and servers start with the same image as before.
#
# Then the image's name is moved to it, which takes effect for the next server that starts. The last three images are kept, and those on which servers run; older ones are removed. The container `hubrun-image` does nothing but use the current image, so that `docker system prune -a` does not remove it. With `nodes`, the image is then sent to each of them.
#
# By hand: `sudo docker tag hubrun-singleuser:NEW hubrun-singleuser`

# %%
from hubrun.sections.docker_spawner import docker_setup

server.ensure(*docker_setup.proven_images(site, images))
server.ensure(*image_versions.on_nodes(site, images))

# %% [markdown]
# ## Servers that run
#
# A server that runs stays on its image until it stops. With `restart_idle_minutes`, those on an older image that were idle for so long are stopped now: their files stay, and the next visit starts them on the new one. Others go on; people get the new image by **File → Hub Control Panel → Stop My Server**, and a new start.
#
# By hand: stop servers on the hub's page **Admin**

# %%
server.ensure(*image_versions.restarted(site))
image_versions.show(server)

# %% [markdown]
# ## Summary
#
# It is kept in the record.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
