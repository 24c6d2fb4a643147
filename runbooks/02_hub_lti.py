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
# **About.** Installs JupyterHub with its proxy as two services that start at boot, makes the key and secret that the LMS (Canvas, Moodle, Open edX, Sakai, Blackboard or Brightspace) will use, and configures LTI 1.1, LTI 1.3 or both: a person who comes from the LMS is logged in, without a password, and joins the group of their course.
#
# **Before.** `01_server`.
#
# **After.** The hub runs, and answers only on the server itself. Nobody can start a notebook yet: `04_docker_spawner` makes that possible. Go on with `03_https`.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`.
#
# **`lti_username_key`** is the field of a launch from which the name of a new person's user on the hub is made. Who somebody is, and so whose files they get, is said by the LMS's own stable id (LTI 1.1: `user_id`, LTI 1.3: `sub`), and the name is a label that their home keeps for life. So you can change this field, prefixes, the version of LTI and the tool's privacy at any time: nobody is moved, and nobody is locked out. If a launch does not have the field, the next one of this table that it has gives the name:
#
# | value | what it is | what to know |
# | --- | --- | --- |
# | `lis_person_sourcedid` | the student's SIS id | the same in all systems of the school; people without a SIS id (guests) are named by the next field; LTI 1.1 sends it when the tool's privacy is *public* |
# | `custom_canvas_user_login_id` | the login | easy to read; changes when the person's login changes; LTI 1.1: privacy *public* |
# | `lis_person_contact_email_primary` | the e-mail address | in some schools people can change it themselves: do not choose it there |
# | `user_id` | an opaque id of the LMS | always present, says nothing about the person; choose it where the tool's privacy is *anonymous* |
# | `custom_canvas_user_id` | Canvas's number for the person | never changes; LTI 1.1: privacy *public* |
#
# **When you change the version of LTI**, a person is found again by the id of the other version, if the LMS sends it (Canvas does), or else by `lti_username_key`, if this is a field for which the LMS itself vouches: the SIS id, and with LTI 1.1 the login. An e-mail address is not such a field, because people can change it, nor is a `custom_…` field with LTI 1.3, because everybody who may edit a link in a course can write it. If a school gives a SIS id to another person, the stable id decides: each keeps their own home.
#
# **`lti_lms`**: which LMS launches. From it follow the LMS's addresses, where it says who somebody is, and its name on the hub's pages. Where you leave `lti_username_key` as it is, people of another LMS than Canvas are named by the field that it vouches for: `ext_user_username` (Moodle), `ext_d2l_username` (Brightspace), `lis_person_sourcedid` (Open edX, Sakai, Blackboard). In Moodle `lis_person_sourcedid` is the ID number, which people may write themselves. A custom field of the tool in your LMS is `custom_` and its name: for `lti_username_key: custom_username`, give the tool there the field `username`, such as `username=$User.username`; in Canvas `username=$Canvas.user.loginId`. `docs/lms/` has a page on each LMS.
#
# **`adopt_users`**: a hub that was set up by hand has users of whom this hub does not know who they are. With `true`, the person whose `lti_username_key` says the name of such a user takes it, with its files, once. With `false`, they get a user of their own. Adopt with LTI 1.3 if you can: with LTI 1.1, in Canvas, a person without a SIS id who may edit a link can write somebody else's into it, and nobody owns these users yet.
#
# **`admin_users`**: hub users, or people as the LMS names them in `lti_username_key` (`Ada@Example.edu`; for a consumer with a prefix `bio__Ada@Example.edu`). With LTI 1.1 and a tool that is not *public*, and with `custom_…` fields, somebody who may edit a link can write this value until the person has come for the first time: let administrators log in once before you give the hub to courses.
#
# **Another LMS** is another entry in `consumers`, also if it replaces the first one: the ids of two LMSs can be the same for different people. `./hubrun people params/SITE.yaml` says who is who, and joins two homes that were made for one person by mistake.
#
# **`lti_launch_minutes`**: Canvas signs a launch when it shows the page with the button, so a launch must live for as long as people read that page. Each launch counts once, however long it lives; a second click of the same person goes on into the hub.
#
# **`lti_version`**: Canvas recommends 1.3; 1.1 does not need an administrator of Canvas. `both` is for the time of a change; people keep their homes.
#
# **`lti_platform`** (LTI 1.3): where the LMS is, such as `https://moodle.example.edu`; Instructure's own Canvases have names. **`lti_registration: true`**: the LMS registers the hub by itself, with a link that `05_canvas` makes; otherwise enter its client id into `lti_client_ids`.
#
# **`lti_deployment_ids`** (LTI 1.3): which installations of the tool may launch. Canvas and Moodle give each installation a client id or an issuer of its own: leave the list empty. Blackboard's issuer and client id are the same for every institution in the world, and only the deployment id says which one is yours: set it here, and in `deployment_ids` of the entry in `consumers`. Otherwise the administrator of any institution could let people in.
#
# **Frames.** Moodle, Brightspace and Open edX show a tool inside the page of the course, in a frame, unless somebody sets the link to open in a new tab or window. JupyterLab does not work in a frame. So the student sees a small page there with a button that opens the hub in a tab of its own, and teachers read on it how to set the link. Only the LMS's own pages can show that button. If the LMS is itself in a frame of another site (Open edX: the host of its learning pages, such as `https://learning.example.edu`), the browser shows nothing but an error until you name that site in **`lti_frame_sites`**.
#
# **`outside_course`**: what people get who launch from a course as neither a student nor staff of it: observers, guests, administrators of the LMS. `server` gives them a server without the course; `page` shows them a page. In both cases they cannot hand in. The people in `admin_users` always come in.
#
# **`consumers`**: further LMSs or courses, each with a key of its own, such as `{name: bio}` or `{name: chem, lms: moodle, lti_version: '1.3', platform: 'https://moodle.example.edu', registration: true}`. Each may have a `username_key` of its own. Their people are named `bio__ada`, so that the `ada` of one school and the `ada` of another are two people; `prefix: ''` says that they are the same person. A consumer that you remove can no longer launch from that moment, and the secrets of the others stay as they are.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
https_port: int = 443  # port at which the internet reaches the server's port 443
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
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
courses: list = []  # courses in which something is otherwise, by their id, SIS id or label in the LMS: [{course: BIO-101, user_memory_mb: 4096, staff_memory_mb: 8192, extra_pip_packages: [biopython]}] (docs/how-to/course-servers.md)
canvas_tool_name: str = "JupyterHub"  # name of the tool in the LMS
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
# `01_server`: the packages and the account that this runbook needs, and the site's certificate authorities. A `ca_certificates` that has changed is applied by `01_server` alone, so it is named here if the server does not trust it yet.
#
# By hand: `python3 -m ensurepip --version; getent passwd jupyterhub`

# %%
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server"))

# %% [markdown]
# ## Does the present configuration load?
#
# If the server has a hub already, its configuration is loaded in the hub's own Python before anything is changed. A mistake in `conf.d/90-local.py`, the file that is yours, is reported here with its line. What is ours may be older, damaged or gone: it is not judged, because the steps below write it again. On a fresh server there is nothing to load.
#
# By hand: `sudo -u jupyterhub /opt/jupyterhub/bin/python -I -B /usr/local/lib/hubrun/hubrun_hub check_config /etc/jupyterhub/jupyterhub_config.py`

# %%
from hubrun.sections.hub import config

server.ensure(*config.hub_code(create_only=True))
server.check(config.present_test(site))

# %% [markdown]
# ## Is something half done?
#
# While a restore of the whole site (`11_restore`) is half done, nobody may come in: they would work in files that are still replaced.
#
# Earlier versions gave people another name when `lti_username_key` changed (`new_names`). If such a run was killed, the hub is stopped and some files are not in their places. Only that version can put them back.
#
# By hand: `cat /var/lib/hubrun/restored.json` (it must not say `begun`), `ls /var/lib/jupyterhub/renaming.json` (it must not be there)

# %%
server.check(config.no_renaming_test(), config.no_restore_test())

# %% [markdown]
# ## JupyterHub
#
# A virtual environment of its own in `/opt/jupyterhub`, with versions that were tested together (each file that is downloaded is compared with a known hash): JupyterHub, DockerSpawner, `python-dotenv`, the culler, which stops idle servers, and what checks signatures (`oauthlib`, `PyJWT`). nbgrader and nbgitpuller go into the students' image, in `04_docker_spawner`.
#
# By hand: `python3 -m venv /opt/jupyterhub && . /opt/jupyterhub/bin/activate && pip install jupyterhub dockerspawner python-dotenv oauthlib pyjwt`

# %%
from hubrun.sections.hub import hub_setup

server.ensure(hub_setup.environment())

# %% [markdown]
# ## The proxy
#
# `configurable-http-proxy` passes each request to the hub or to the server of the right student. It needs Node, which is part of the virtual environment: Debian's `npm` would install hundreds of packages.
#
# By hand: `sudo npm install -g configurable-http-proxy`

# %%
server.ensure(hub_setup.proxy())

# %% [markdown]
# ## Key and secret
#
# Who may launch. For LTI 1.1: the pair of key and secret with which the LMS signs launches. For LTI 1.3: the issuer with its client ids. The same for each of `consumers`. The hub reads these files at each launch, so nothing has to be restarted when a consumer is added or removed.
#
# Then two tokens: one between the hub and the proxy, and one with which `06_verify` may remove its own test users and nothing else. With `metrics: true` there is a third, `HUBRUN_METRICS_TOKEN` in `/etc/jupyterhub/metrics.env`, with which Prometheus reads the hub's figures and nothing else (`docs/how-to/status.md`).
#
# All secrets are made on the server, from its random numbers, in files that only the hub can read. They are never shown here; `05_canvas` says how you read them on the server. When this step runs again, it keeps them. A file that was lost or damaged is made again, and the plan says what follows.
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
# 5. `25-lti.py` says that people log in by LTI, and by nothing else. The program that it loads (`hubrun_hub.lti`) accepts a launch that a consumer signed, once, and tells everybody else what to do. It is ours: the guide's `jupyterhub-ltiauthenticator` takes the name for the person, so that whoever changes their name gets an empty home; it notes used launches before it looks at their signature and forgets them after 35 seconds; it asks the request which address was launched; it fetches an LMS's keys again for each launch, while everybody else waits; it has one key for the whole hub; and its pages are JupyterHub's bare errors. `docs/explanation/lti.md` says what each part does instead.
#
# 6. A recipe from JupyterHub's or DockerSpawner's documentation can be pasted into `90-local.py`. All parts have the same `c`, so that `c.DockerSpawner.volumes["/srv/data"] = "/data"` adds to what is there. Where your file replaces a whole list or table (`services`, `load_roles`, `template_paths`, `tornado_settings`, `extra_host_config`, `post_auth_hook`), what the hub needs of ours stays in it. `c.Spawner.mem_limit = "2G"`, or a `pre_spawn_hook` that sets `spawner.mem_limit` for one person, takes swap and `/dev/shm` with it.
#
# Each part is tested before it stays: the whole configuration is loaded in the hub's own Python, and every setting must be one that its class knows. (The guide's `c.LTIAuthenticator.consumers` belongs to a class that is not in use. JupyterHub does not report that, and then refuses every launch.)
#
# With LTI 1.3 the hub needs the keys with which the LMS signs. They are fetched here as the hub will fetch them: by its account, with its CAs, and within its limits. An LMS whose keys cannot be had stops this runbook before the hub is restarted. An address inside your institution (a private one) is asked only with `lti_inner_addresses: true`, because an LMS on the internet must not be able to send the hub there.
#
# By hand: `jupyterhub --generate-config`, then `sudo nano jupyterhub_config.py`; `curl https://sso.canvaslms.com/api/lti/security/jwks`

# %%
server.ensure(*config.files(site))
server.ensure(*config.repaired(site))
server.check(config.settings_test(site), *consumer_files.key_tests(site))

# %% [markdown]
# ## The network under the hub
#
# After `04_docker_spawner`, the hub listens on the server's own address in the students' Docker network. This network can be deleted by accident: `docker network prune` removes it when no student works. The hub then has no address, and every page is an error. `hubrun-docker-filter` (see 04) makes it again within seconds. Where that does not run, or somebody made the network with other settings, this step puts it right, before the services are tested. As long as the hub does not listen there, nothing happens here.
#
# By hand: `sudo docker network create -o com.docker.network.bridge.enable_icc=false jupyterhub`

# %%
from hubrun.sections.docker_spawner import docker_setup

server.ensure(docker_setup.hubs_network(site))

# %% [markdown]
# ## Two services
#
# First, what the hub keeps: the secret with which it signs logins, and its database. Where one of them was lost, the database is put back from a hub that still runs, or both are made again; files and names of people stay in any case.
#
# The hub and its proxy are services of the server: they start at boot, and start again when they fail. Before the hub starts it tries `90-local.py` when that is new: if it does not load, the one with which the hub last started goes on, the journal names the mistake, and `/hub/health` answers 503 until it is corrected. There are two, so that the hub can be restarted while students work: their connections go through the proxy. (In the guide, the hub ends with the shell that started it.) Each has an account of its own and can reach little of the server (`systemd-analyze security jupyterhub`); neither can use all of its memory. When the proxy restarts, open pages connect again by themselves after some seconds, and notebooks go on.
#
# By hand: `jupyterhub -f /path/to/jupyterhub_config.py`

# %%
server.ensure(*hub_setup.services(site))

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
