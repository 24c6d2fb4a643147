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
# # 14 · Rotate
#
# **About.** Replaces secrets, keys and certificates while people use the hub: once a year, when somebody leaves who knew them, or at once when one has leaked.
#
# **Before.** A site that works, set up by `01_server` to `04_docker_spawner` of this version.
#
# **After.** Launches work as before. Nobody is refused meanwhile.
#
# `rotate` says what to replace: one of these, or a list, such as `[proxy_token, cookie_secret]`.
#
# | `rotate` | what it is | what people notice |
# | --- | --- | --- |
# | `lti_secret` | the shared secret of LTI 1.1 of the first consumer | nothing, if the LMS gets the new one within `rotate_days` |
# | `lti_secret:NAME` | that of one of `consumers` | the same |
# | `proxy_token` | the token between hub and proxy | open pages connect again within seconds; launches wait for some seconds |
# | `cookie_secret` | what the hub signs logins with | everybody comes in by a launch once more |
# | `tool_key` | the hub's public key for LTI 1.3 | nothing |
# | `backup_password` | the password of the backups | nothing; the recovery key is another one |
# | `certificate` | the certificate, with `tls: files` | nothing |
#
# **Run again**, it changes nothing: what was replaced within the last day counts as done. A run that was killed is carried on, and never makes a third secret. With `rotate_days: 0` the secret before ends now, also one that was to be good for some days more.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`; what to replace is said for this run alone: `--set rotate=lti_secret`.

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
consumers: list = []  # further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lms: moodle, lti_version: '1.3', platform: https://…, registration: true}]
subdomains: bool = False  # recommended: each person's server at an address of its own, https://NAME.DOMAIN/ (see 03)
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
tls_certificate: str = ""  # tls: files. Path on the server of the certificate with its chain, PEM
tls_key: str = ""  # tls: files. Path on the server of the private key, PEM
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
canvas_tool_name: str = "JupyterHub"  # name of the tool in the LMS
canvas_url: str = ""  # https://… of your Canvas, to set the tool up by its API; empty: by hand
canvas_token_env: str = ""  # environment variable here that holds an access token of Canvas
canvas_token_file: str = ""  # file here that holds an access token of Canvas
canvas_ca_file: str = ""  # PEM file here: CA of Canvas's own HTTPS; empty: the usual ones
canvas_course: str = ""  # course that gets the tool: the number in its address, or sis_course_id:…
canvas_account: str = ""  # account that gets the tool, in place of the course: its number, sis_account_id:…, or self
canvas_module: str = ""  # module of canvas_course that gets an item for the hub; empty: none
canvas_item_title: str = "Open JupyterHub"  # title of that item
canvas_navigation: str = "members"  # who sees the tool in the course navigation: members, admins (teachers), or off
canvas_renew_key: bool = False  # send key and secret to Canvas again although the tool is there (after you made new ones)
git_links: list = []  # nbgitpuller links to show: [{repo: https://…, branch: main, path: week1/task.ipynb}]; `folder` is where it goes, if not a folder of the repository's name
backup_to: str = ""  # where backups go: a folder on the server (another disk), sftp:USER@HOST:FOLDER, s3:https://HOST/BUCKET or rest:https://HOST/; empty: nowhere
backup_password_env: str = ""  # environment variable here that holds the password of the backups; empty: the server makes one
backup_password_file: str = ""  # file here that holds the password of the backups; empty: the server makes one
backup_credentials_env: str = ""  # s3, rest: environment variable here that holds the credentials (see 10)
backup_credentials_file: str = ""  # s3, rest: file here that holds the credentials (see 10)
backup_host_fingerprint: str = ""  # sftp: SHA256:… of the other server's host key, as ssh-keygen -l shows it there
backup_keep_daily: int = 7  # for how many days each day's backup is kept
backup_keep_weekly: int = 5  # for how many weeks a backup of each is kept
backup_keep_monthly: int = 12  # for how many months a backup of each is kept
rotate: list = []  # what to replace: lti_secret, or lti_secret:NAME of one of consumers; proxy_token, cookie_secret, tool_key, backup_password, certificate
rotate_days: int = 7  # lti_secret, tool_key: for how many days the one before stays good beside the new one; 0: it ends now
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
# The install, by this version of the project: the hub that runs must know that a secret may have one before it. An upgrade that was begun must be at its end, or it could still put the secrets of before back. For `backup_password`, the repository must be reached.
#
# By hand: `ls /usr/local/lib/hubrun/hubrun_hub/rotation.py`

# %%
from hubrun.sections.rotate import canvas_secret, new_certificate, rotation
from hubrun.sections.server.ran_before import ran_before

rotation.check_choice(site)
server.check(
    *ran_before(site, "01_server", "02_hub_lti", "03_https", "04_docker_spawner"),
    *rotation.before_tests(site),
)

# %% [markdown]
# ## The secret of LTI 1.1
#
# The consumer gets a new secret, made on the server. The one before stays good for `rotate_days`, so that the LMS can get the new one at any hour: a launch that is signed with either is accepted. The hub reads the file at each launch, and is not restarted. The consumer's key stays as it is.
#
# **People notice** nothing, as long as the LMS has the new secret before the one before ends. After that, launches with the one before are refused. So enter it today.
#
# **It has leaked?** Whoever has it can log in as anybody. Run this with `rotate_days: 0`, and enter the new one in the LMS at once: until then nobody can launch, and people who are logged in go on.
#
# By hand: `sudo nano /etc/jupyterhub/lti.env`: a new `LTI_CLIENT_SECRET` (`openssl rand -hex 32`), the one before as `LTI_FORMER_SECRET`, and its end as `LTI_FORMER_UNTIL` (`date -d '7 days' +%s`)

# %%
server.ensure(*rotation.lti_secrets(site))

# %% [markdown]
# ## The new secret in Canvas, by its API
#
# With `canvas_url`, for the first consumer: the secret goes from the server to Canvas, and is kept nowhere else. A page of Canvas that is open may still hold a launch that was signed before; the secret before is good for that.
#
# By hand: the next step does the same without the API.

# %%
canvas_secret.send(server)

# %% [markdown]
# ## The new secret in the LMS, by hand
#
# For another LMS, further `consumers`, or without `canvas_url`. Read the secret on the server with the command that is shown, and paste it into the LMS where the old one was entered (`05_canvas` says where that is). The last column says when a launch came that was signed with the secret before: when there is none although people launch, the LMS has the new one.
#
# - [ ] Enter the new secret in the LMS
# - [ ] Launch, and run this again: the last column stays as it is
# - [ ] The secret before ends by itself on the day that is shown; to end it now, run this with `rotate_days: 0`
#
# By hand: there is nothing to do here but to read.

# %%
rotation.where_they_go(server)

# %% [markdown]
# ## The proxy's token, and the secret of logins
#
# Both are read when a service starts. So the files are written first, and then proxy and hub restart once, for both.
#
# **People notice**, of `proxy_token`: open pages lose their connection and have it again within seconds; notebooks go on. Launches that come meanwhile wait, and go on by themselves.
#
# **People notice**, of `cookie_secret`: everybody's login ends, in every browser, and so does a stolen one. What runs in open notebooks goes on. An open page says that the browser is not logged in any more when it saves; after a launch from the course in another tab it saves again, and nothing is lost. Whoever is on the way in at that very moment may have to click a second time. With `subdomains`, open pages go on as they are. The best time is a quiet hour.
#
# By hand: `sudo nano /etc/jupyterhub/proxy.env`, `openssl rand -hex 32 | sudo tee /var/lib/jupyterhub/cookie_secret`, `sudo systemctl restart jupyterhub-proxy jupyterhub`

# %%
server.ensure(*rotation.hub_secrets(site))

# %% [markdown]
# ## The tool's key (LTI 1.3)
#
# The hub publishes a new public key at `/hub/lti13/jwks`, the new one first, and the one before with it for `rotate_days`: an LMS has the time to fetch the new one. With `lti_services` the hub signs with the new one at once, and with the one before where the LMS does not know the new one yet. Without, it signs nothing, and the private half is thrown away when it is made. So this is for those whose rules ask for a new key each year.
#
# **People notice** nothing. In the LMS there is nothing to do: it fetches the key from that address.
#
# By hand: `curl https://hub.example.edu/hub/lti13/jwks` shows what is published

# %%
server.ensure(*rotation.tool_key(site))

# %% [markdown]
# ## The password of the backups
#
# The repository gets a key for the new password, this is tried, and only then the one before is removed. Without `backup_password_file` (or `_env`) the server makes the new password. With it, put the new one into that file first: a run with the file as it was changes nothing. Backups are not made again, and none is lost.
#
# A password that is replaced opens the repository no more. Whoever had it *and* made a copy of the repository can still read that copy.
#
# **People notice** nothing. **You**: the recovery key in the safe opens nothing any more. On the server, `sudo hubrun-backup key` shows the new one.
#
# By hand: `sudo restic key add`, `sudo restic key list`, `sudo restic key remove OLD`

# %%
server.ensure(*rotation.backup_password(site))

# %% [markdown]
# ## The certificate, with `tls: files`
#
# Put the new files on the server beside those that are used, with `.new` at the end: `tls_certificate` + `.new` with its chain, and, if it is another key, `tls_key` + `.new` with the mode 0600. They are tested before anything is touched: certificate and key belong together, the chain is in order and its CA is known, it is for this domain, it is valid now and for 14 days more. Then they take the place of the old ones, and nginx reads them. If nginx does not take them, the old ones come back. A pair that is wrong changes nothing.
#
# If you put the new files over the old ones, this tests them and lets nginx read them.
#
# **People notice** nothing: connections go on. With `tls: acme` there is nothing to do, since certbot renews by itself.
#
# By hand: `sudo mv hub.pem.new hub.pem`, `sudo nginx -t && sudo systemctl reload nginx`

# %%
new_certificate.test(server)
server.ensure(*new_certificate.exchanged(site))

# %% [markdown]
# ## Check
#
# The hub is well, its configuration loads, and a browser accepts the certificate. Then the launches of `06_verify`: those that are signed with the new secrets come in, and nobody else does. The test student is removed again.
#
# By hand: open the tool in the LMS as a student

# %%
from hubrun.sections.https import site_certificate
from hubrun.sections.verify.verification import Verification

server.check(*rotation.tests(site))
server.require(*site_certificate.browser_checks(server))
verification = Verification(server)
server.require(*verification.launches())
server.require(*verification.clean_up())

# %% [markdown]
# ## Summary
#
# It is kept in the record.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
