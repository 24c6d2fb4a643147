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
# # 02 · JupyterHub and LTI
#
# **About.** Installs JupyterHub with its proxy as two services that start at boot, makes the key and secret that the LMS (Canvas, Moodle, Open edX, Sakai, Blackboard or Brightspace) will use, and configures LTI 1.1, LTI 1.3 or both: a person who comes from the LMS is logged in under the name that the LMS gives, and joins the group of their course.
#
# **Before.** `01_server`.
#
# **After.** The hub runs, and answers only on the server itself. Nobody can start a notebook yet: `04_docker_spawner` makes that possible. Go on with `03_https`.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`.
#
# **`lti_username_key`** is the field of a launch that says who the person is, and so whose files they get. A launch without this field is refused, with a page that says what to do. Choose before the first launch:
#
# | value | what it is | what to know |
# | --- | --- | --- |
# | `lis_person_sourcedid` | the student's SIS id | the same in all systems of the school; people without a SIS id (guests, Student View) cannot use the hub; LTI 1.1 sends it when the tool's privacy is *public* |
# | `custom_canvas_user_login_id` | the login | easy to read; changes when the person's login changes; LTI 1.1: privacy *public* |
# | `lis_person_contact_email_primary` | the e-mail address | in some schools people can change it themselves: do not choose it there |
# | `user_id` | an opaque id of the LMS | always present, says nothing about the person; LTI 1.1 and 1.3 send different ones, so do not use it if you will change from one to the other |
# | `custom_canvas_user_id` | Canvas's number for the person | never changes; LTI 1.1: privacy *public* |
#
# Take care with the `custom_…` fields. With LTI 1.3, everybody who may edit a link in a course (teachers, designers) can write these fields, and so log in under any name that nobody has yet. The hub remembers the LMS's own id of each person, and refuses a name that belongs to somebody else; a person who has never logged in does not have this protection. Nobody can write `user_id`, nor `lis_person_sourcedid` with LTI 1.3. With LTI 1.1, `lis_person_sourcedid` can be written for people who have no SIS id; the same memory protects there. The people in `admin_users` should log in once before you give the hub to courses.
#
# **`lti_lms`**: which LMS launches. From it follow the LMS's addresses, where it says who somebody is, and its name on the hub's pages. Where you leave `lti_username_key` as it is, people of another LMS than Canvas are named by the field that it vouches for: `ext_user_username` (Moodle), `ext_d2l_username` (Brightspace), `lis_person_sourcedid` (Open edX, Sakai, Blackboard). In Moodle `lis_person_sourcedid` is the ID number, which people may write themselves. `docs/lms/` has a page on each LMS.
#
# **`lti_version`**: Canvas recommends 1.3; 1.1 does not need an administrator of Canvas. `both` is for the time of a change: with the same `lti_username_key` people keep their names.
#
# **`lti_platform`** (LTI 1.3): where the LMS is, such as `https://moodle.example.edu`; Instructure's own Canvases have names. **`lti_registration: true`**: the LMS registers the hub by itself, with a link that `05_canvas` makes; otherwise enter its client id into `lti_client_ids`.
#
# **`lti_deployment_ids`** (LTI 1.3): which installations of the tool may launch. Canvas and Moodle give each installation a client id or an issuer of its own: leave the list empty. Blackboard's issuer and client id are the same for every institution in the world, and only the deployment id says which one is yours: set it here, and in `deployment_ids` of the entry in `consumers`. Otherwise the administrator of any institution could let people in.
#
# **`consumers`**: further LMSs or courses, each with a key of its own, such as `{name: bio}` or `{name: chem, lms: moodle, lti_version: '1.3', platform: 'https://moodle.example.edu', registration: true}`. Each may have a `username_key` of its own. Their people are named `bio__ada`, so that the `ada` of one school and the `ada` of another are two people; `prefix: ''` says that they are the same person. A consumer that you remove can no longer launch from that moment, and the secrets of the others stay as they are.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
https_port: int = 443  # port at which the internet reaches the server's port 443
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
lti_lms: str = "canvas"  # the LMS that launches: canvas, moodle, openedx, sakai, blackboard or brightspace
lti_version: str = "1.1"  # version of LTI with which it launches: 1.1, 1.3, or both while you change from one to the other
lti_username_key: str = "lis_person_sourcedid"  # launch field that becomes the hub user's name (see 02 before you change it)
new_names: str = "stop"  # what to do when people would get another name, and with it an empty home: stop, rename them with their files, leave
lti_platform: str = "production"  # LTI 1.3: where the LMS is: Canvas's production, beta or test, or https://… of your own
lti_registration: bool = False  # LTI 1.3: the LMS registers the hub by itself, with a link that 05 makes; in place of lti_client_ids
lti_client_ids: list = []  # LTI 1.3: client ids that may launch (in Canvas: of the developer keys)
lti_deployment_ids: list = []  # LTI 1.3: deployment ids that may launch; empty: all deployments of the client ids. Blackboard needs them (see 02)
lti_issuer: str = ""  # LTI 1.3: issuer, if it is not the platform's
lti_authorize_url: str = ""  # LTI 1.3: authorize URL, if it is not the platform's
lti_jwks_url: str = ""  # LTI 1.3: URL of the LMS's keys, if it is not the platform's
consumers: list = []  # further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lms: moodle, lti_version: '1.3', platform: https://…, registration: true}]
admin_users: list = []  # hub users who administer the hub
idle_minutes: int = 60  # stop a student's server after this many idle minutes; 0: never
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
canvas_tool_name: str = "JupyterHub"  # name of the tool in the LMS
check: bool = False  # True: show what would change and touch nothing

# %% [markdown]
# ## Target
#
# The server that will be changed. **Is it the right one?**

# %%
from hubrun import Server, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check)
server

# %% [markdown]
# ## Does the present configuration load?
#
# If the server has a hub already, its configuration is loaded in the hub's own Python before anything is changed. A mistake in `conf.d/90-local.py`, the file that is yours, is reported here with its line. On a fresh server there is nothing to load.
#
# By hand: `sudo -u jupyterhub /opt/jupyterhub/bin/python -I -B /usr/local/lib/hubrun/hubrun_hub check_config /etc/jupyterhub/jupyterhub_config.py`

# %%
from hubrun import server_paths
from hubrun.sections.hub import config

server.ensure(*config.hub_code(create_only=True))
server.check(config.present_test(site))

# %% [markdown]
# ## Would anybody get another name?
#
# A person's name on the hub follows from `lti_username_key`, from the prefixes of the consumers, and from the rules for names. When one of these changes, people get another name and with it an empty home, and their files stay behind. This step finds that out before anything is changed. At each launch the hub notes what Canvas calls the person in each field of the table above (in `/var/lib/jupyterhub/lti_people.sqlite`, which only the hub can read). From that follows the name that each user would get, and it is compared with the name that they have. `new_names` says what to do about those who have files:
#
# * `stop`: nothing is changed, and you see which names would change. Decide, and run this again with one of the others.
# * `rename`: these people keep everything, under the new name (this happens below, before the new configuration is written).
# * `leave`: they begin with an empty home. Their files stay on the server, under the old name.
#
# For a person who has not launched since the hub began to note these fields, the new name is not known. Let them launch once more before you change the key, or leave them.
#
# By hand: `sudo sqlite3 /var/lib/jupyterhub/jupyterhub.sqlite "SELECT name FROM users"`, and compare

# %%
from hubrun.sections.hub import renames

server.ensure(renames.Interrupted())
server.ensure(renames.names(site, asks=True))

# %% [markdown]
# ## JupyterHub
#
# A virtual environment of its own in `/opt/jupyterhub`, with versions that were tested together (each file that is downloaded is compared with a known hash): JupyterHub, DockerSpawner, `python-dotenv`, the culler, which stops idle servers, and what checks signatures (`oauthlib`, `PyJWT`). nbgrader and nbgitpuller go into the students' image, in `04_docker_spawner`.
#
# By hand: `python3 -m venv /opt/jupyterhub && . /opt/jupyterhub/bin/activate && pip install jupyterhub dockerspawner python-dotenv oauthlib pyjwt`

# %%
from hubrun.resources.venv import Venv

server.ensure(Venv(server_paths.VENV, requirements=config.pinned("hub.txt"), uv=config.pinned("uv.txt")))

# %% [markdown]
# ## The proxy
#
# `configurable-http-proxy` passes each request to the hub or to the server of the right student. It needs Node, which is part of the virtual environment: Debian's `npm` would install hundreds of packages.
#
# By hand: `sudo npm install -g configurable-http-proxy`

# %%
from hubrun.resources.node_packages import NodePackages

server.ensure(
    NodePackages(
        server_paths.PROXY_FOLDER,
        venv=server_paths.VENV,
        package=config.pinned("proxy/package.json"),
        lock=config.pinned("proxy/package-lock.json"),
    )
)

# %% [markdown]
# ## New names
#
# With `new_names: rename`, people keep what is theirs: the volume with their files, their folders in courses with their grades, their groups and their tokens. During this time the hub is stopped, and so are the servers of the people who are renamed; the proxy and all other servers go on. It takes some seconds, and less than one second more for each person, even if they have many files: files are moved, not copied. The hub starts again below, with the new configuration. If a step fails, everything is put back and the hub goes on as before. If the run is killed, the hub stays stopped: run this again. If nobody has to be renamed, nothing happens here.
#
# By hand, for each person: `sudo systemctl stop jupyterhub`, move the volume `jupyterhub-user-OLD` to `jupyterhub-user-NEW`, then `UPDATE users SET name = 'NEW' WHERE name = 'OLD'` in the hub's database

# %%
server.ensure(renames.names(site, asks=False))

# %% [markdown]
# ## Key and secret
#
# Who may launch. For LTI 1.1: the pair of key and secret with which Canvas signs launches. For LTI 1.3: the issuer with its client ids. The same for each of `consumers`. The hub reads these files at each launch, so nothing has to be restarted when a consumer is added or removed.
#
# Then two tokens: one between the hub and the proxy, and one with which `06_verify` may remove its own test users and nothing else.
#
# All secrets are made on the server, from its random numbers, in files that only the hub can read. They are never shown here; `05_canvas` says how you read them on the server. When this step runs again, it keeps them.
#
# By hand: `echo "LTI_CLIENT_KEY=$(openssl rand -hex 32)" >> lti.env`, and the same for `LTI_CLIENT_SECRET`

# %%
from hubrun.sections.hub import consumer_files

server.ensure(config.folder(site), *consumer_files.files(site), *config.tokens(site))

# %% [markdown]
# ## Configuration
#
# 1. `/etc/jupyterhub/conf.d` holds the parts of the configuration, one file for each subject.
# 2. `90-local.py` in it is yours: it is made once, empty, and never changed again. What it sets overrides everything else.
# 3. `jupyterhub_config.py` reads these parts in the order of their names.
# 4. `20-hub.py` says where the hub listens, who its administrators are, and when idle servers stop.
# 5. `25-lti.py` says that people log in by LTI, and by nothing else. The program that it loads (`hubrun_hub.lti`) accepts a launch that a consumer signed, once, and tells everybody else what to do. It is ours: the guide's `jupyterhub-ltiauthenticator` takes the name for the person, so that whoever changes their name gets an empty home; it notes used launches before it looks at their signature and forgets them after 35 seconds; it asks the request which address was launched; it fetches an LMS's keys again for each launch, while everybody else waits; it has one key for the whole hub; and its pages are JupyterHub's bare errors. `docs/lti.md` says what each part does instead.
#
# Each part is tested before it stays: the whole configuration is loaded in the hub's own Python, and every setting must be one that its class knows. (The guide's `c.LTIAuthenticator.consumers` belongs to a class that is not in use. JupyterHub does not report that, and then refuses every launch.)
#
# By hand: `jupyterhub --generate-config`, then `sudo nano jupyterhub_config.py`

# %%
server.ensure(*config.files(site))
server.check(config.settings_test(site))

# %% [markdown]
# ## The network under the hub
#
# After `04_docker_spawner`, the hub listens on the server's own address in the students' Docker network. This network can be deleted by accident: `docker network prune` removes it when no student works. The hub then has no address, and every page is an error. So this step makes the network again if it is missing, before the services are tested. As long as the hub does not listen there, nothing happens here.
#
# By hand: `sudo docker network create -o com.docker.network.bridge.enable_icc=false jupyterhub`

# %%
from hubrun.sections.docker_spawner import docker_setup

server.ensure(docker_setup.hubs_network(site))

# %% [markdown]
# ## Two services
#
# The hub and its proxy are services of the server: they start at boot, and start again when they fail. There are two, so that the hub can be restarted while students work: their connections go through the proxy. (In the guide, the hub ends with the shell that started it.) Each has an account of its own and can reach little of the server (`systemd-analyze security jupyterhub`); neither can use all of its memory. When the proxy restarts, open pages connect again by themselves after some seconds, and notebooks go on.
#
# By hand: `jupyterhub -f /path/to/jupyterhub_config.py`

# %%
from hubrun.resources.services import Service
from hubrun.resources.users import User

server.ensure(
    User(server_paths.PROXY_USER, system=True, home="/nonexistent"),
    config.unit(site, server_paths.PROXY_UNIT),
    config.unit(site, server_paths.HUB_UNIT),
    Service(
        "jupyterhub-proxy.service",
        watches=(server_paths.PROXY_UNIT, server_paths.PROXY_ENV),
        notice=config.PROXY_NOTICE,
    ),
    Service(
        "jupyterhub.service",
        # The proxy's unit too: after a restart the proxy knows no routes until the hub sends them.
        watches=(
            server_paths.HUB_UNIT,
            server_paths.PROXY_UNIT,
            server_paths.CONFIG,
            server_paths.CONF_D,
            *server_paths.HUB_IMPORTS,
            server_paths.PROXY_ENV,
            server_paths.VERIFY_ENV,
        ),
        ready=config.health(),
        notice=config.HUB_NOTICE,
    ),
)

# %% [markdown]
# ## Check
#
# - The hub answers through its proxy, refuses a launch without a signature, and runs as `hub_user`.
# - No port of them is open to the outside: 8000 is the proxy, 8001 the proxy's API, 8081 the hub. Each must listen, and only on the server itself or in the students' network.
# - Each file with secrets has the mode 0600, and another account that tries to read it is refused.
#
# By hand: `curl http://127.0.0.1:8000/hub/health`, `ss -ltn`, `ps -o user= -p $(systemctl show jupyterhub -p MainPID --value)`, `sudo runuser -u nobody -- cat /etc/jupyterhub/lti.env`

# %%
from hubrun.sections.hub import exposure

server.check(
    *config.tests(site),
    exposure.closed_to_outside(site, 8000, 8001, 8081),
    *exposure.secrets_closed(site),
)

# %% [markdown]
# ## Summary
#
# It is kept in the record. Next: `03_https`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
