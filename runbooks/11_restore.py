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
# # 11 · Restore
#
# **About.** Brings back, from the backups of `10_backup`: files of one person, a course, or the whole site.
#
# **Before.** `01_server` to `04_docker_spawner`; on a fresh server, `./hubrun install`.
#
# **After.** Nothing that was there is replaced when one person's or one course's files come back. After the whole site came back, the same launches reach the same files; run `10_backup`, so that it is backed up from here.

# %% [markdown]
# ## Parameters
#
# What is to come back is said for this run, with `--set`:
#
# - `restore_person` (the hub user; `./hubrun people` finds them), `restore_path` (a file or folder; empty: all), `restore_date` (as of the end of this day; empty: the latest).
# - `restore_course` (the course's id: its folder in `/srv/nbgrader`), `restore_date`.
# - `restore_site`: `latest`, or a day. `backup_password_file` must then name the recovery key's password, since a fresh server does not have it.

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
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
tls_certificate: str = ""  # tls: files. Path on the server of the certificate with its chain, PEM
tls_key: str = ""  # tls: files. Path on the server of the private key, PEM
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
image_name: str = "hubrun-singleuser"  # name of the students' image, built on the server
backup_to: str = ""  # where backups go: a folder on the server (another disk), sftp:USER@HOST:FOLDER, s3:https://HOST/BUCKET or rest:https://HOST/; empty: nowhere
backup_password_env: str = ""  # environment variable here that holds the password of the backups; empty: the server makes one
backup_password_file: str = ""  # file here that holds the password of the backups; empty: the server makes one
backup_credentials_env: str = ""  # s3, rest: environment variable here that holds the credentials (see 10)
backup_credentials_file: str = ""  # s3, rest: file here that holds the credentials (see 10)
backup_host_fingerprint: str = ""  # sftp: SHA256:… of the other server's host key, as ssh-keygen -l shows it there
backup_keep_daily: int = 7  # for how many days each day's backup is kept
backup_keep_weekly: int = 5  # for how many weeks a backup of each is kept
backup_keep_monthly: int = 12  # for how many months a backup of each is kept
restore_person: str = ""  # restore: the hub user whose files are to come back beside those of today
restore_path: str = ""  # restore_person: which file or folder, such as week1/task.ipynb; empty: all of the home
restore_course: str = ""  # restore: the id of the course whose folders are to come back beside those of today
restore_date: str = ""  # restore_person, restore_course: as of the end of this day, YYYY-MM-DD; empty: the latest
restore_site: str = ""  # restore: the whole site, onto a fresh server: latest, or a day, YYYY-MM-DD
restore_over_people: bool = False  # restore_site: although people are on this server; their files of today are replaced
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
# By hand: `ls /opt/jupyterhub/bin/jupyterhub /etc/jupyterhub/conf.d/40-docker.py`

# %%
from hubrun.sections.backup import backup_setup, restoring
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti", "04_docker_spawner"), backup_setup.code_test())

# %% [markdown]
# ## The way to the backups
#
# As in `10_backup`: on a server that has backups, nothing is to be done.
#
# By hand: `sudo apt-get install restic`

# %%
server.ensure(*backup_setup.access(site))

# %% [markdown]
# ## Is it there?
#
# The backups must hold what is asked for. A whole site goes only to a server on which nobody is yet: where there are people, their files, grades and logins of today would be replaced, and this stops. `restore_over_people: true` says that you want that.
#
# By hand: `sudo hubrun-backup list`, `sudo hubrun-backup find person ada 2026-11-20 week1`

# %%
server.check(restoring.is_there(site))

# %% [markdown]
# ## Restore
#
# **A person's files** come into `restored-2026-11-20` in their home, beside those of today, while their server runs; they find the folder in JupyterLab. A container writes them, as the student, and it has nothing but this home. If the folder is there already, nothing is done.
#
# **A course** comes into `restored-2026-11-20` in the folder that its instructors see: assignments, submissions, feedback, and the gradebook of that day.
#
# **The whole site**: the hub and students' servers are stopped; homes, courses, keys, people, databases and certificates take their places, and the hub starts again. The LMS needs no change. If it is interrupted, the hub and its proxy stay stopped, and `./hubrun install` does not start them; run this again, and it carries on with the same backup. Homes come onto the disk of homes, where this server has one (`homes_device`, `homes_gb`), and otherwise into volumes of Docker, wherever they were before.
#
# By hand: `sudo hubrun-backup restore person ada 2026-11-20 week1`

# %%
server.ensure(*restoring.restored(site))

# %% [markdown]
# ## Check
#
# What was asked for is there, and the hub is well.
#
# By hand: `curl http://127.0.0.1:8000/hub/health`

# %%
server.check(*restoring.tests(site))

# %% [markdown]
# ## Summary
#
# It is kept in the record. After a whole site: `./hubrun install` (its `06_verify` launches as a course does), then `10_backup`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
