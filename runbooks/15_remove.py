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
# # 15 · Remove
#
# **About.** Removes for good, from the whole server: a person, a course (which is archived first), or a consumer with its people.
#
# **Before.** `01_server` to `04_docker_spawner`. The hub must be well.
#
# **After.** Nothing of it is left outside of backups and logs, and the receipt says until when these have it.

# %% [markdown]
# ## Parameters
#
# What is to go is said for this run, with `--set`, and never in your file:
#
# - `remove_person`: the hub user, or a login, an address or an id of the LMS that nobody else has. Where the name means two people, write `user=NAME` for the hub user.
# - `remove_course`: the course's id (its folder in `/srv/nbgrader`).
# - `remove_consumer`: its name. Take it out of `consumers` first, and run `./hubrun install --only 02`, so that nobody comes in by it any more.
#
# `remove_confirm` is the yes. The plan shows what to type: for a course and a consumer, the number of people is in it, which you cannot know without looking at the plan.

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
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
remove_person: str = ""  # remove: a person, by their hub user, or by a name or id of the LMS that nobody else has
remove_course: str = ""  # remove: the id of a course, which is archived first
remove_consumer: str = ""  # remove: the people who came from this consumer alone; it must be gone from `consumers`
remove_confirm: str = ""  # remove: the yes, as the plan shows it; empty: only look
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
# `01_server`, `02_hub_lti` and `04_docker_spawner`.
#
# By hand: `ls /opt/jupyterhub/bin/jupyterhub /etc/jupyterhub/conf.d/40-docker.py`

# %%
from hubrun.sections.remove import removal
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti", "04_docker_spawner"), removal.code_test())

# %% [markdown]
# ## What goes
#
# Everything that there is of it, with numbers and sizes. **Is it who, or what, you mean?** If nobody has the name, or more than one, this stops here, and nothing was touched.
#
# By hand: `./hubrun people params/SITE.yaml NAME`, `docker volume ls`, `ls -d /srv/nbgrader/*/inbound/NAME`

# %%
removal.show(server)

# %% [markdown]
# ## The archive of a course
#
# Only for a course, and without a yes: people go on working in it. One file in `/var/lib/hubrun/archives`, which only root may enter: the course's folder with all that was handed in and sent back, `grades.csv` and `people.csv`. It opens with `tar` and a spreadsheet. The archive is compared with the course, file by file, before it gets its name.
#
# By hand: `sudo tar -czf course.tar.gz /srv/nbgrader/COURSE`

# %%
server.ensure(*removal.archived(site))

# %% [markdown]
# ## Remove
#
# Without the yes, this step stops for people, and does nothing for a course.
#
# 1. The hub stops for some seconds; launches wait. Servers of these people are stopped; those of others go on.
# 2. Homes, folders in courses and rows in gradebooks are put out of the way, and the hub, who is who and all databases forget the people. Then the hub starts again.
# 3. A course is archived once more, if anything changed since; nobody can change it now. The archive is compared with the course.
# 4. Only then files are removed. What the databases and Docker have deleted is overwritten, so that no search on the disk finds the names.
#
# If this is interrupted, run it again with the same parameters: it carries on. If it was interrupted in 1 or 2, the hub is stopped until then.
#
# By hand: delete the user on the hub's page **Admin**, `sudo docker volume rm jupyterhub-user-NAME`, `sudo rm -r /srv/nbgrader/*/inbound/NAME …`, and rows in each gradebook

# %%
server.ensure(*removal.removed(server))

# %% [markdown]
# ## Check
#
# The hub is well.
#
# By hand: `curl http://127.0.0.1:8000/hub/health`

# %%
server.check(*removal.tests(site))

# %% [markdown]
# ## The receipt
#
# For a data protection officer: what was removed where, how much, when and by whom, and until when backups and logs have it. It names nobody, and is on the server too. This record has the name that you typed.
#
# Of a course that stays: where its archive is, and its SHA-256. Fetch it before you remove the course.
#
# By hand: `scp root@SERVER:/var/lib/hubrun/archives/FILE .`, `sha256sum FILE`

# %%
removal.show_receipt(server)

# %% [markdown]
# ## Summary
#
# It is kept in the record. Next: `10_backup`, so that the last backup is without it.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
