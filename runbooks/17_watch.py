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
# # 17 · Watch
#
# **About.** The server watches itself: it keeps who uses how much of the disk, and sends a mail or a message when something is wrong, before students notice.
#
# **Before.** `01_server` to `04_docker_spawner`. Where alarms are to be sent: a mail relay that takes mail from this server, or a webhook.
#
# **After.** `./hubrun status params/SITE.yaml` says at any time how the server is.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`. Alarms are sent to the addresses in `alerts_to`, through the relay `alerts_smtp`, and to a webhook whose address is in the file `alerts_webhook_file` (Slack, Mattermost, Rocket.Chat, Google Chat, and Discord with `/slack` at the end of its address). With none of these, nobody is told, and `./hubrun status` is all there is.

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
alerts_to: list = []  # addresses that get a mail when something is wrong with the server
alerts_smtp: str = "localhost:25"  # mail relay for alerts_to: HOST:PORT
alerts_smtp_user: str = ""  # login at alerts_smtp; empty: it needs none
alerts_smtp_password_env: str = ""  # environment variable here that holds the password of alerts_smtp_user
alerts_smtp_password_file: str = ""  # file here that holds the password of alerts_smtp_user
alerts_webhook_env: str = ""  # environment variable here that holds the https address of a webhook that gets the same messages
alerts_webhook_file: str = ""  # file here that holds the address of that webhook
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
# `01_server` to `04_docker_spawner`: what is watched is what they set up.
#
# By hand: `ls /opt/jupyterhub/bin/jupyterhub /etc/nginx/conf.d/jupyterhub-https.conf /etc/jupyterhub/conf.d/40-docker.py`

# %%
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti", "03_https", "04_docker_spawner"))

# %% [markdown]
# ## Timers
#
# `hubrun-measure.timer` measures once an hour how much each person's home and each course takes, and how many updates wait, with the lowest priority, and keeps the figures in `/var/lib/hubrun`, which only root may read.
#
# `hubrun-watch.timer` looks at the server every five minutes: the hub, its proxy, nginx and Docker, the certificate (less than 14 days), the disk (more than 85 % used), memory, the students' image, starts that fail, the backup. When something is wrong at two looks in a row, you get one message that says what it is and what to do, and one when it is over. The same thing is said again after a day if it is broken, and after a week if it is a warning; never twice within a day. Messages name no students.
#
# Where alarms are sent to stands in `/etc/jupyterhub/alerts.json`, which only root may read, because it holds the relay's password and the webhook's address.
#
# By hand: `sudo systemctl enable --now hubrun-watch.timer`, and to see what it would say: `./hubrun status params/SITE.yaml`

# %%
from hubrun.sections.watch import watch_setup

server.ensure(*watch_setup.watch(site))

# %% [markdown]
# ## Do alarms arrive?
#
# A test message is sent now, and again only when you change where alarms are sent to. The step fails if the relay or the webhook refuses it. **Look into your mailbox**: a relay may take a message and still not deliver it.
#
# A server that is down can tell nobody. Let a monitor of your institution run `./hubrun status`, or ask `https://YOUR.DOMAIN/hub/health`.
#
# By hand: `sudo python3 -I -B /usr/local/lib/hubrun/hubrun_hub alarm YOUR.DOMAIN /etc/jupyterhub/alerts.json --test`

# %%
server.ensure(*watch_setup.alerts_arrive(site))

# %% [markdown]
# ## Check
#
# The server can say how it is. What it says is not judged here: `./hubrun status` does that.
#
# By hand: `sudo python3 -I -B /usr/local/lib/hubrun/hubrun_hub status YOUR.DOMAIN`

# %%
server.check(*watch_setup.tests(site))

# %% [markdown]
# ## Summary
#
# It is kept in the record. Next: `./hubrun status params/SITE.yaml`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
