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
# # 06 · Verify
#
# **About.** Proves from the outside that the hub works, and that what must be refused is refused. It acts as Canvas: test students are launched over HTTPS, exactly as Canvas would launch them, and work in their notebooks. Launches with LTI 1.1 are signed on the server, where the secrets are; the secrets never come here. For LTI 1.3, only Canvas has Canvas's private key. So, while the check runs, the hub knows one more LMS, which is this runbook.
#
# **Before.** `01_server` to `04_docker_spawner`.
#
# **After.** Nothing is left behind: the test students (`hubruntest1` to `3`, with each consumer's prefix), their containers and volumes, and the LMS of the test are removed. Run it after each change, and before each term.
#
# To see with your own eyes what a student sees, without a Canvas: `./hubrun launch params/SITE.yaml --as student1`
#
# A check that fails says what was expected, what came, and the likely cause with its remedy.

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
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
lti_lms: str = "canvas"  # the LMS that launches: canvas, moodle, openedx, sakai, blackboard or brightspace
lti_version: str = "1.1"  # version of LTI with which it launches: 1.1, 1.3, or both while you change from one to the other
lti_username_key: str = "lis_person_sourcedid"  # launch field that names new people's users on the hub; nobody who has a home is moved by it (see 02)
lti_launch_minutes: int = 10  # how old a launch of LTI 1.1 may be when it arrives, and how far the LMS's clock may differ, in minutes
consumers: list = []  # further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lms: moodle, lti_version: '1.3', platform: https://…, registration: true}]
subdomains: bool = False  # recommended: each person's server at an address of its own, https://NAME.DOMAIN/ (see 03)
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
tls_certificate: str = ""  # tls: files. Path on the server of the certificate with its chain, PEM
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
student_networks: list = []  # private networks that students' containers may reach besides the internet, such as [10.20.30.0/24]; never the server
image_name: str = "hubrun-singleuser"  # name of the students' image, built on the server
user_memory_mb: int = 1024  # memory limit of one student's server, in MB
homes_device: str = ""  # empty disk of the server for students' files alone, such as /dev/vdb; empty: none. It is formatted, and stays (see 04)
homes_gb: int = 0  # in place of homes_device: a file of this size on the server's own disk, in GB; it can grow and not shrink; 0: none
courses: list = []  # courses in which something is otherwise, by their id, SIS id or label in the LMS: [{course: BIO-101, user_memory_mb: 4096, staff_memory_mb: 8192, extra_pip_packages: [biopython]}] (docs/how-to/course-servers.md)
nodes: list = []  # further servers for students' containers, which need homes_device or homes_gb: [{host: node1.example.edu}, {host: 10.0.0.7, name: gpu, gpus: 1}] (docs/how-to/nodes.md)
nodes_network: str = "172.28.0.0/16"  # network between the site's server and its nodes, of the size /16; must be free on all of them
node_files: str = "nfs"  # how nodes have students' files: nfs, or sshfs where the kernel has no NFS (containers), which is slower
check: bool = False  # True: show what would change and touch nothing
plan_first: bool = False  # True: each step shows its plan, and does it when you run its cell once more

# %% [markdown]
# ## Target
#
# The site that is tested. **Is it the right one?**

# %%
from hubrun import Nodes, Server, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check, plan_first=plan_first)
all_nodes = Nodes.connect(server)
server

# %% [markdown]
# ## What must have been run before
#
# `01_server` to `04_docker_spawner`: if one of them is missing, it is named here, and not by an error that comes of it.
#
# By hand: `ls /opt/jupyterhub/bin/jupyterhub /etc/nginx/conf.d/jupyterhub-https.conf /etc/jupyterhub/conf.d/40-docker.py`

# %%
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti", "03_https", "04_docker_spawner"))

# %% [markdown]
# ## Seen from outside
#
# The hub is healthy, its certificate is trusted and is the one on the server, plain HTTP leads to HTTPS, and the launch URL is there. Test students that an earlier run left behind are removed first.
#
# By hand: `curl -I https://YOUR.DOMAIN/hub/health`

# %%
from hubrun.sections.verify.verification import Verification

verification = Verification(server)
server.require(*verification.clean_up())
server.require(*verification.outside())

# %% [markdown]
# ## Launches
#
# Every launch in this list is made over HTTPS, in a browser of its own. Each check says what the result must be: the status, the reason on the hub's page, whether somebody is logged in, and under which name. Only the good launches may log anybody in.
#
# **LTI 1.1.** A launch that Canvas signed is accepted, also when somebody clicks after 150 seconds, or a minute before the end of `lti_launch_minutes`. A launch is refused when it is not signed, was changed on the way, is sent again by another browser, is a minute older than that or comes from as far in the future, or is signed with another key or secret; also when it has no name, or its link leads to another site. What a request says about the address that it came to (`X-Forwarded-Host`, `-Proto`) makes no difference. A good launch of each further consumer, signed with that consumer's key, gets a name with the consumer's prefix.
#
# **LTI 1.3.** While this step runs, the file `/etc/jupyterhub/consumers.d/hubruntest.json` tells the hub about an LMS whose key was made here, in memory. The hub gets only the public half of the key, and only for a limited time: even if this runbook is killed, that LMS cannot launch afterwards. All its people have the prefix `hubruntest__`, so it could not launch anybody else's students even if it tried. A good launch is accepted. A launch is refused when it comes from another issuer, is for another audience, has another nonce, is expired, is not signed, is signed with the public key as if that were a secret, or is signed with a key that the LMS does not publish; also when it is sent twice, has no name, leads to another site, or comes without the cookie of its login.
#
# By hand: a launch without a signature, which must be refused: `curl -i -X POST https://YOUR.DOMAIN/hub/lti/launch`. The others need a program that signs, which is why this step exists.

# %%
server.require(*verification.launches())

# %% [markdown]
# ## A student works
#
# A test student is launched, gets JupyterLab in a container of their own, runs `6*7` in a notebook's kernel, and finds a file again after the server was stopped and started.
#
# By hand: `./hubrun launch params/SITE.yaml --as student1`, or open the tool in Canvas as a student, and run a cell

# %%
server.require(*verification.work())

# %% [markdown]
# ## Students are kept apart
#
# While the first student's server runs, a second student is launched and tries to reach what belongs to others. All of these attempts are harmless.
#
# - **In their own browser**: the first student's JupyterLab, a file, terminals and kernels, and what the hub knows about that person: each must be refused. With `subdomains` it is tried at both addresses.
# - **From a notebook in their container**: the first student's server; SSH, nginx, the proxy, Docker and everything else that listens on the server, at each of its addresses; a cloud provider's metadata; the routers and name servers around it if their addresses are private. It must reach 0 of all these. It must reach the hub's one port, and those addresses on the internet that the server itself reaches.
# - **In the container**: it cannot find out another student's name, and has no Docker socket and no IPv6; it can write only to the home and to a `/tmp` of limited size; when memory runs out, its processes are stopped before the hub.
#
# At last, from here: ports 8000, 8001 and 8081 must be closed (if the site is at port 443).
#
# By hand, in a student's notebook: `!curl -m 3 http://172.29.0.1:8000` must fail

# %%
server.require(*verification.privacy())

# %% [markdown]
# ## On the server
#
# The ports of the hub and its proxy are open only on the server itself and in the students' network. The hub, its proxy, nginx and Docker start at boot, each of them. Each file with secrets has the mode 0600, and another account that tries to read it is refused.
#
# By hand: `ss -ltn`, `systemctl is-enabled jupyterhub jupyterhub-proxy nginx docker`, `sudo runuser -u nobody -- cat /etc/jupyterhub/lti.env` (must fail)

# %%
from hubrun.sections.hub import config, exposure

server.check(
    exposure.closed_to_outside(site, 8000, 8001, 8081),
    *config.boot_tests(),
    *exposure.secrets_closed(site),
)

# %% [markdown]
# ## On each node
#
# Only with `nodes`. Each node answers, and has the image with which servers start, the rules for students' containers, and everybody's files, in which it is not root. A container there reaches the hub, and a server starts there as after a launch, and runs a line.
#
# By hand: `./hubrun node list params/SITE.yaml`

# %%
from hubrun.sections.verify import node_checks

server.check(*node_checks.of_server(site))
all_nodes.check(node_checks.of_node(site))
node_checks.try_starts(server)

# %% [markdown]
# ## Clean up
#
# The test students are removed, with their containers and volumes, and so is the LMS of the test.
#
# By hand: delete the users `hubruntest1` to `3` on the hub's page **Admin**, then `sudo docker volume rm jupyterhub-user-hubruntest1` and so on

# %%
server.require(*verification.clean_up())

# %% [markdown]
# ## Summary
#
# It is kept in the record.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
sb.glue("verified", not check)
