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
# **About.** Installs JupyterHub with its proxy as two services that start at boot, makes the key and secret that Canvas will use, and configures LTI 1.1, LTI 1.3 or both: who comes from Canvas is logged in under the name that Canvas gives, and joins the group of their course.
#
# **Before.** `01_server`.
#
# **After.** The hub runs, and answers only on the server itself. Nobody can start a notebook yet: that takes `04_docker_spawner`. Go on with `03_https`.

# %% [markdown]
# ## Parameters
#
# From your file in `params/`.
#
# **`lti_username_key`** is the launch field that says who somebody is, and with it whose files they get. A launch without it is refused, with a page that says what to do. Choose before the first launch:
#
# | value | what it is | good to know |
# | --- | --- | --- |
# | `lis_person_sourcedid` | the student's SIS id | the same in all of the school's systems; people without a SIS id (guests, Student View) cannot come in; LTI 1.1 sends it when the tool's privacy is *public* |
# | `custom_canvas_user_login_id` | the login | easy to read; changes when somebody's login does; LTI 1.1: privacy *public* |
# | `lis_person_contact_email_primary` | the e-mail address | people may be able to change it themselves: a bad choice where that is so |
# | `user_id` | an opaque id of the LMS | is always there, tells nothing of the person; LTI 1.1 and 1.3 differ in it, so do not change over with it |
# | `custom_canvas_user_id` | Canvas's number for the person | never changes; LTI 1.1: privacy *public* |
#
# Mind the `custom_…` fields: with LTI 1.3 whoever may edit a link in a course (teachers, designers) can write what they say, and so come in under any name that is still free. The hub notes the LMS's own id of each person, and refuses a name that belongs to somebody else; who never came in before has no such protection. `user_id` nobody can write, nor `lis_person_sourcedid` with LTI 1.3; with 1.1 it can be written for people who have no SIS id, and there the same note protects. People in `admin_users` should come in once before the hub is given to courses.
#
# **`lti_version`**: Canvas recommends 1.3; 1.1 needs no administrator of Canvas. `both` is for changing over: under the same key people keep their names.
#
# **`lti_deployment_ids`** (LTI 1.3): which installations of the tool may launch. Canvas and Moodle give each installation a client id, or an issuer, of its own: leave it empty. Blackboard's issuer and client id are the same for every institution of the world, and only the deployment id says which one is yours: set it there, and `deployment_ids` of the entry in `consumers`, or any institution's administrator could let people in.
#
# **`consumers`**: further LMSs or courses, each with a key of its own, such as `{name: bio}`. Their people are named `bio__ada`, so that two schools' `ada` are two people; `prefix: ''` says that they are the same people. One that you remove is shut out at once, and the others' secrets stay as they are.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
https_port: int = 443  # port on which the world reaches the server's port 443
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
lti_version: str = "1.1"  # version of LTI that Canvas uses to launch: 1.1, 1.3, or both while you change over
lti_username_key: str = "lis_person_sourcedid"  # launch field that becomes the hub user's name (see 02 before you change it)
new_names: str = "stop"  # what to do when people would get another name, and so an empty home: stop, rename them with their files, leave
lti_platform: str = "production"  # LTI 1.3: the Canvas that launches: production, beta, test, or https://… of your own
lti_client_ids: list = []  # LTI 1.3: client ids of the developer keys that may launch
lti_deployment_ids: list = []  # LTI 1.3: deployment ids that may launch; empty: every one of the client ids. Blackboard needs them (see 02)
lti_issuer: str = ""  # LTI 1.3: issuer, where it is another than the platform's
lti_authorize_url: str = ""  # LTI 1.3: authorize URL, where it is another than the platform's
lti_jwks_url: str = ""  # LTI 1.3: URL of the LMS's keys, where it is another than the platform's
consumers: list = []  # further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lti_version: '1.3', client_ids: ['1']}]
admin_users: list = []  # hub users who administer the hub
idle_minutes: int = 60  # stop a student's server after this many idle minutes; 0: never
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
canvas_tool_name: str = "JupyterHub"  # name of the tool in Canvas
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
# ## Is the configuration that is there sound?
#
# On a server that has a hub already: its configuration is loaded in the hub's own Python before anything is changed. A mistake in `conf.d/90-local.py`, the file that is yours, is named here with its line. On a fresh server there is nothing to load.

# %%
from hubrun import server_paths
from hubrun.sections.hub import config

server.ensure(*config.hub_code(create_only=True))
server.check(
    Test(
        "the present configuration loads",
        config.loads(site),
        remedy="Mend the file that is named, and run it again. Nothing was changed",
    )
)

# %% [markdown]
# ## Would anybody get another name?
#
# Who somebody is on the hub follows from `lti_username_key`, the consumers' prefixes, and the rules for names. When one of them changes, people get another name, and with it an empty home; their files stay behind. So it is found out here, before anything is changed: at each launch the hub notes what Canvas calls the person in each of the fields of the table above (in `/var/lib/jupyterhub/lti_people.sqlite`, which only the hub can read), and what would become of each user's name is compared with the name they have. `new_names` says what to do about those who have files:
#
# * `stop`: nothing is changed, and you see who would become whom. Decide, and run it again with one of the others.
# * `rename`: they keep everything, under the new name (below, before the new configuration is written).
# * `leave`: they begin with an empty home. Their files stay on the server, under the old name.
#
# Whoever did not launch since their names are noted is not known under another key. Let them launch once more before you change it, or leave them.
#
# By hand: `sudo sqlite3 /var/lib/jupyterhub/jupyterhub.sqlite "SELECT name FROM users"`, and compare

# %%
from hubrun.sections.hub import renames

server.ensure(renames.Interrupted())
server.ensure(renames.names(site, asks=True))

# %% [markdown]
# ## JupyterHub
#
# A virtual environment of its own in `/opt/jupyterhub`, from versions that were tested together (each file that is downloaded is compared with a known hash): JupyterHub, the LTI authenticator, DockerSpawner, `python-dotenv`, and the culler that stops idle servers. nbgrader and nbgitpuller go into the students' image, in `04_docker_spawner`.
#
# By hand: `python3 -m venv /opt/jupyterhub && . /opt/jupyterhub/bin/activate && pip install jupyterhub jupyterhub-ltiauthenticator dockerspawner python-dotenv`

# %%
from hubrun.resources.venv import Venv

server.ensure(Venv(server_paths.VENV, requirements=config.pinned("hub.txt"), uv=config.pinned("uv.txt")))

# %% [markdown]
# ## The proxy
#
# `configurable-http-proxy` passes each request to the hub or to the right student's server. It needs Node, which came with the virtual environment: Debian's `npm` would bring hundreds of packages.
#
# By hand: `sudo npm install -g configurable-http-proxy`

# %%
from hubrun.resources.node_packages import NodePackages

server.ensure(
    NodePackages(
        f"{server_paths.VENV}/proxy",
        venv=server_paths.VENV,
        package=config.pinned("proxy/package.json"),
        lock=config.pinned("proxy/package-lock.json"),
    )
)

# %% [markdown]
# ## New names
#
# With `new_names: rename`, people take along what is theirs: the volume with their files, their folders in courses with their grades, their groups and tokens. The hub stops meanwhile, and so do the servers of those who are renamed; the proxy and everybody else's servers go on. It takes some seconds, and less than one more for each person however much they have, as files are moved and not copied. The hub starts again below, with the new configuration. When a step fails, everything is put back and the hub goes on as before; when the run is killed, the hub stays stopped, and you run it again. Without anybody to rename, nothing happens here.
#
# By hand, for each person: `sudo systemctl stop jupyterhub`, move the volume `jupyterhub-user-OLD` to `jupyterhub-user-NEW`, then `UPDATE users SET name = 'NEW' WHERE name = 'OLD'` in the hub's database

# %%
server.ensure(renames.names(site, asks=False))

# %% [markdown]
# ## Key and secret
#
# Who may launch: for LTI 1.1 the pair that Canvas signs launches with, for LTI 1.3 the issuer with its client ids; the same for each of `consumers`. The hub reads these files at each launch, so that nothing is restarted when a consumer comes or goes. Then the token between hub and proxy, and one with which `06_verify` may remove its own test users and nothing else. Secrets are made on the server, from its random numbers, into files that only the hub can read. They are never shown here; `05_canvas` says how you read them on the server. Run again, this step keeps them.
#
# By hand: `echo "LTI_CLIENT_KEY=$(openssl rand -hex 32)" >> lti.env`, and the same for `LTI_CLIENT_SECRET`

# %%
from hubrun.resources.files import Directory
from hubrun.resources.secret_file import SecretFile
from hubrun.sections.hub import consumer_files

server.ensure(
    Directory("/etc/jupyterhub", owner=f"root:{site.hub_user}", mode=0o750),
    *consumer_files.files(site),
    SecretFile(server_paths.PROXY_ENV, ("CONFIGPROXY_AUTH_TOKEN",), config.owner(site)),
    SecretFile(server_paths.VERIFY_ENV, ("HUBRUN_VERIFY_TOKEN",), config.owner(site)),
)

# %% [markdown]
# ## Configuration
#
# `jupyterhub_config.py` reads the parts in `conf.d`, one for each subject; `90-local.py` is yours. Each part is tested before it stays: the whole configuration is loaded in the hub's own Python, and every setting must be one that its class knows. (The guide's `c.LTIAuthenticator.consumers` belongs to a class that is not in use; nobody says so, and every launch is refused.) `hubrun_hub.lti` is the hub's authenticator: it lets in who comes by a launch that a consumer signed, once, and tells everybody else what to do.
#
# By hand: `jupyterhub --generate-config`, then `sudo nano jupyterhub_config.py`

# %%
server.ensure(
    Directory(server_paths.CONF_D, owner=f"root:{site.hub_user}", mode=0o750),
    config.local_file(site),
    config.main_file(site),
    config.part(site, "20-hub.py"),
    *config.hub_code(),
    config.part(site, "25-lti.py"),
)
server.check(Test("every setting is known to its class", config.loads(site)))

# %% [markdown]
# ## The network under the hub
#
# Once `04_docker_spawner` has run, the hub listens on the server's own address in the students' Docker network. That network can get lost: `docker network prune` removes it when nobody works. The hub then has no address and every page is an error, so what was lost is made again here, before the hub is looked at. Until the hub listens there, nothing happens here.
#
# By hand: `sudo docker network create -o com.docker.network.bridge.enable_icc=false jupyterhub`

# %%
from hubrun.sections.docker_spawner import docker_setup

server.ensure(docker_setup.hubs_network(site))

# %% [markdown]
# ## Two services
#
# The hub and its proxy are services of the server: they start at boot, and again when they fail. They are two, so that the hub can be restarted while students work: their connections run through the proxy. (In the guide the hub ends with the shell that started it.) Each has an account of its own and reaches little of the server (`systemd-analyze security jupyterhub`); neither may take all of its memory. When the proxy restarts, open pages connect again by themselves after some seconds, and notebooks go on.
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
        # The proxy's unit too: a proxy that begins again knows no routes until the hub tells it.
        watches=(server_paths.HUB_UNIT, server_paths.PROXY_UNIT, server_paths.CONFIG, server_paths.CONF_D, *server_paths.HUB_IMPORTS, server_paths.PROXY_ENV, server_paths.VERIFY_ENV),
        ready=config.health(),
        notice=config.HUB_NOTICE,
    ),
)

# %% [markdown]
# ## Check
#
# The hub answers through its proxy, an unsigned launch is refused, and no port is open to the outside: 8000 is the proxy, 8001 its interface, 8081 the hub.

# %%
server.check(
    Test(
        "the hub answers through its proxy",
        config.health(waits=8),
        remedy="journalctl -u jupyterhub -u jupyterhub-proxy -n 50",
    ),
    Test(
        "an unsigned launch is refused",
        "curl -s -o /dev/null -w '%{http_code}' -X POST http://127.0.0.1:8000/hub/lti/launch",
        prints="^(400|401|403)$",
    ),
    Test("the hub must not run as root", "ps -o user= -p \"$(systemctl show jupyterhub -p MainPID --value)\" | grep -qx root", fails=True),
    Test(
        "8000, 8001 and 8081 must not be open to the outside",
        "ss -ltnH | awk '{print $4}' | grep -E '^(0\\.0\\.0\\.0|\\*|\\[::\\]):(8000|8001|8081)$'",
        fails=True,
    ),
    Test("others must not be able to read the secrets", f"runuser -u nobody -- cat {server_paths.PROXY_ENV} {server_paths.LTI_ENV}", fails=True),
)

# %% [markdown]
# ## Summary
#
# Kept in the record. Next: `03_https`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
