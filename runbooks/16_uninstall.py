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
# # 16 · Uninstall
#
# **About.** Makes the server what it was before `01_server`: the hub, its units, packages, accounts and settings go. Students' files go last, and only with a second yes.
#
# **Before.** Backups, and archives of the courses (`15_remove`), if anybody may need them. Delete the tool in the LMS.
#
# **After.** What stays is listed at the end, with the reason. With the first yes alone, `./hubrun install` brings all of it back: students' files, grades, and the keys that the LMS knows.

# %% [markdown]
# ## Parameters
#
# Both yeses are said for this run, with `--set`, and never in your file:
#
# - `uninstall_confirm`: the site's domain once more. The hub and all of hubrun go. Students' files, courses, who is who and the keys stay, and so does Docker, in which the files are.
# - `uninstall_files`: how many people have files, as the plan shows it. All of these go too, for good.

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
extra_packages: list = []  # Debian packages to install in addition to ours
hub_user: str = "jupyterhub"  # system account that runs the hub; it gets no sudo
image_name: str = "hubrun-singleuser"  # name of the students' image, built on the server
uninstall_confirm: str = ""  # uninstall: the yes: the site's domain once more
uninstall_files: str = ""  # uninstall: the second yes, for students' files too: how many people have files, as the plan shows it
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
# ## What goes
#
# How much there is, and how to say yes. Each of the next steps shows what it finds. What the server had before was noted by `01_server` in `/var/lib/hubrun/before`; where there is no such note (the site was set up by a version before), packages, swap, time zone and accounts stay, because nobody knows whose they are.
#
# By hand: `docker volume ls`, `ls /srv/nbgrader`, `cat /var/lib/hubrun/before`

# %%
from hubrun.sections.uninstall import uninstalling, yes

server.check(uninstalling.docker_test())
yes.show(server)

# %% [markdown]
# ## The hub
#
# The hub, its proxy and all other units of hubrun stop and go, and so do students' servers (ten seconds to end) and the site in nginx. Other sites of this nginx stay, and it is tested before it restarts. From here on nobody gets in.
#
# By hand: `sudo systemctl disable --now jupyterhub jupyterhub-proxy …`, `sudo rm /etc/systemd/system/jupyterhub* /etc/nginx/conf.d/jupyterhub-*`

# %%
server.ensure(*uninstalling.service(site))

# %% [markdown]
# ## Software and settings
#
# The hub's software, our code, and what was set on the system: apt, journal, log rotation, timers, authorities, `/etc/hosts`, swap, time zone, firewall.
#
# By hand: `sudo rm -r /opt/jupyterhub /usr/local/lib/hubrun …`, `sudo find /etc -name '*hubrun*'`

# %%
server.ensure(*uninstalling.software(site))

# %% [markdown]
# ## Students' files
#
# Only with the second yes; otherwise nothing is done here. Volumes and the disk of homes (a disk of its own becomes empty), courses with grades, who is who, keys and secrets, images, network and the accounts of hub and proxy. Docker's settings become what they were. If this is interrupted, run it again with the same parameters.
#
# By hand: `sudo docker volume rm …`, `sudo rm -r /srv/nbgrader /var/lib/jupyterhub /etc/jupyterhub`

# %%
server.ensure(*uninstalling.files(server))

# %% [markdown]
# ## Packages
#
# Those that hubrun installed and nobody else needs: apt says which. Docker goes with the second yes, if hubrun brought it, and nothing of others is in it. Then what apt, uv and npm downloaded, and folders that are empty now.
#
# By hand: `sudo apt-get purge nginx certbot …`, `sudo apt-get autoremove --purge`

# %%
server.ensure(*uninstalling.docker(server))
server.ensure(*uninstalling.packages(site))
server.ensure(*uninstalling.leftovers(server))

# %% [markdown]
# ## What stays
#
# And why. With it, all paths on the server that still have a name of hubrun's.
#
# By hand: `sudo find / -xdev -iname '*hubrun*'`

# %%
yes.show_left(server)

# %% [markdown]
# ## Summary
#
# It is kept in the record.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
