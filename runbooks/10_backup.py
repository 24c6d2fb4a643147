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
# # 10 · Backup
#
# **About.** Makes a backup of the site each night, and tests once a week that it can be restored: homes, courses with their grades, keys and secrets, who is who, certificates, settings, and what the students' image is built from.
#
# **Before.** `01_server` to `04_docker_spawner`.
#
# **After.** Backups are made from now on. When something is lost: `11_restore`.

# %% [markdown]
# ## Parameters
#
# `backup_to` says where backups go:
#
# - `/mnt/backup`: a folder on this server. It protects only if it is on another machine's disk (NFS) or at least on another disk.
# - `sftp:backup@nas.example.edu:hub`: any server with SSH. Set `backup_host_fingerprint` to its host key (on that server: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`). Another port: `sftp://backup@nas.example.edu:2222//srv/hub`.
# - `s3:https://s3.example.edu/bucket`: put `AWS_ACCESS_KEY_ID=…` and `AWS_SECRET_ACCESS_KEY=…`, one in a line, into a file here, and name it by `backup_credentials_file`.
# - `rest:https://backup.example.edu/hub`: a REST server of restic. Put `RESTIC_REST_USERNAME=…` and `RESTIC_REST_PASSWORD=…` into that file.
#
# All that goes there is encrypted on this server. The server makes the password, or you give your own by `backup_password_file`.

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
from hubrun.sections.backup import backup_setup
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti", "04_docker_spawner"), backup_setup.code_test())

# %% [markdown]
# ## The way to the backups
#
# `restic` from the distribution, a command `hubrun-backup`, the password, and what it takes to log in where backups go. Secrets are files that only root can read. What you change here is tried first: all of it together must open the repository, or find a place for a new one. Otherwise what is there stays, and one line says what is wrong. Where there are backups of an earlier server already, give the password of their recovery key by `backup_password_file`; the server makes a password only for a new repository.
#
# For SFTP the server makes a key of its own. Where the other server does not know it yet, this step stops and shows the line that belongs into `~/.ssh/authorized_keys` there; add it, and run this again.
#
# By hand: `sudo apt-get install restic`, `ssh-keygen -t ed25519`, `sudo editor /etc/jupyterhub/backup.env`

# %%
server.ensure(*backup_setup.access(site, new=True))

# %% [markdown]
# ## A backup each night
#
# The repository is made where there is none. A folder that has other files in it, or a repository that another password opens, is left alone.
#
# The timer starts a backup between 1:30 and 3:30 each night, and after a night on which the server was off. It runs with the lowest priority. Only what has changed is sent. It holds:
#
# - the homes of all people, and the folders of all courses;
# - `/etc/jupyterhub` with keys, secrets and your own settings, but not the password of the backups;
# - `/var/lib/jupyterhub` with who is who; of the databases, here and nbgrader's gradebooks, copies that are whole although somebody writes;
# - certificates (`/etc/letsencrypt`, or those of `tls: files`), and `/srv/jupyterhub/image`.
#
# A home is left out, and named, if its files claim to be 64 GB larger than they are (sparse files): reading them would take all night. Files that change while they are read, or lie in folders that are too deep for any program, are counted.
#
# Each night old backups are dropped by `backup_keep_daily`, `_weekly` and `_monthly`. Once a week the space is freed, a part of all stored data is read and compared, and one home is restored into a folder of root's and compared with what is there. If any of these fails, the unit has failed (`systemctl --failed`), and `/var/lib/hubrun/backup.json` says why.
#
# The first backup is made now; it copies everything, which may take hours. If the connection is lost meanwhile, it goes on; run this again, which waits for it.
#
# By hand: `sudo restic init`, `sudo restic backup /srv /etc /var/lib`, `sudo systemctl enable --now hubrun-backup.timer`

# %%
server.ensure(*backup_setup.backups(site))

# %% [markdown]
# ## Check
#
# - The next backup has its time; the last one is whole and young; a home was restored for a test.
# - Somebody has the recovery key. If the server made the password, it is only there, and a backup that nobody can open after the server is lost is none. On the server, `sudo hubrun-backup key` shows it. Put it into a password manager, or on paper into an envelope. It is never shown here, so that no record has it; this check passes when it was shown there.
#
# By hand: `systemctl list-timers`, `sudo hubrun-backup list`, `sudo cat /var/lib/hubrun/backup.json`, `sudo hubrun-backup key`

# %%
server.check(*backup_setup.tests(site))

# %% [markdown]
# ## Summary
#
# It is kept in the record. When something is lost: `11_restore`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
