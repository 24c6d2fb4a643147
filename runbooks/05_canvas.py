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
# # 05 · Canvas
#
# **About.** What you enter in Canvas so that a course can launch the hub: the exact values for this site, as a form to copy from and as XML to paste. This runbook changes nothing on the server.
#
# **Before.** `02_hub_lti`, `03_https`, `04_docker_spawner`, and the right to add apps in Canvas (for an account or for your course).
#
# **After.** Students open the hub from a module. Go on with `06_verify`, which plays Canvas.

# %% [markdown]
# ## Parameters
#
# From your file in `params/`.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
public_address: str = ""  # connect to this address when testing from outside; empty: what DNS says of the domain
https_port: int = 443  # port on which the world reaches the server's port 443
trust_ca_file: str = ""  # file here with the CA that signed the site's certificate; empty: this machine's own list
ssh_host: str = ""  # host name or address for SSH; empty: the domain
ssh_port: int = 22  # SSH port
ssh_user: str = "root"  # login: root, or a user who may use sudo
ssh_key_file: str = ""  # private key file here; empty: the SSH agent and the usual keys
ssh_known_hosts_file: str = ""  # known_hosts file; empty: ~/.ssh/known_hosts
ssh_host_fingerprint: str = ""  # SHA256:… of the server's host key (your provider shows it); empty: known_hosts decides
sudo_password_env: str = ""  # environment variable here that holds the sudo password; empty: none
sudo_password_file: str = ""  # file here that holds the sudo password; empty: none
lti_version: str = "1.1"  # version of LTI that Canvas uses to launch: 1.1, 1.3, or both while you change over
lti_username_key: str = "lis_person_sourcedid"  # launch field that becomes the hub user's name (see 02 before you change it)
lti_platform: str = "production"  # LTI 1.3: the Canvas that launches: production, beta, test, or https://… of your own
lti_client_ids: list = []  # LTI 1.3: client ids of the developer keys that may launch
lti_issuer: str = ""  # LTI 1.3: issuer, where it is another than the platform's
lti_authorize_url: str = ""  # LTI 1.3: authorize URL, where it is another than the platform's
lti_jwks_url: str = ""  # LTI 1.3: URL of the LMS's keys, where it is another than the platform's
consumers: list = []  # further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lti_version: '1.3', client_ids: ['1']}]
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
tls_certificate: str = ""  # tls: files. Path on the server of the certificate with its chain, PEM
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
canvas_tool_name: str = "JupyterHub"  # name of the tool in Canvas
canvas_url: str = ""  # https://… of your Canvas, to set the tool up by its API; empty: by hand
canvas_token_env: str = ""  # environment variable here that holds an access token of Canvas
canvas_token_file: str = ""  # file here that holds an access token of Canvas
canvas_ca_file: str = ""  # PEM file here: CA of Canvas's own HTTPS; empty: the usual ones
canvas_course: str = ""  # course that gets the tool: the number in its address, or sis_course_id:…
canvas_account: str = ""  # account that gets the tool, in place of the course: its number, sis_account_id:…, or self
canvas_module: str = ""  # module of canvas_course that gets an item for the hub; empty: none
canvas_item_title: str = "Open JupyterHub"  # title of that item
canvas_navigation: str = "members"  # who sees the tool in the course navigation: members, admins (teachers), or off
canvas_renew_key: bool = False  # send Canvas key and secret again although the tool is there (after you made new ones)
git_links: list = []  # nbgitpuller links to show: [{repo: https://…, branch: main, path: week1/task.ipynb}]
check: bool = False  # True: show what would change and touch nothing

# %% [markdown]
# ## Target
#
# The site that Canvas will launch. **Is it the right one?**

# %%
from hubrun import Server, Test, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check)
server

# %% [markdown]
# ## Does the launch URL answer as Canvas expects?
#
# Canvas only takes a secured address. The launch URL must be there, over HTTPS with a certificate that browsers trust, and it must refuse to be opened like a page (405): it takes signed launches only.

# %%
from hubrun.hub.verify import Verification

server.require(*Verification(server).outside())
server.check(
    Test(
        "key and secret are on the server",
        "test \"$(grep -cE '^LTI_CLIENT_(KEY|SECRET)=.{32,}' /etc/jupyterhub/lti.env)\" = 2",
        remedy="Run 02_hub_lti",
    )
)

# %% [markdown]
# ## The values
#
# Key and secret stay on the server; read them there when you fill in the form. Whoever has the secret can log in as anybody, so paste it into Canvas and nowhere else.

# %%
from hubrun.hub import canvas

canvas.table(site)

# %% [markdown]
# ## Add the app
#
# Tick off what you have done (double-click this text and put an `x` between the brackets):
#
# - [ ] Canvas → **Admin** → **Settings** → **Apps** → **View App Configurations** (for one course: the course's **Settings** → **Apps**)
# - [ ] **+ App**, Configuration Type **Manual Entry** with the values above; or **Paste XML** with the text below, and key and secret in the fields beside it
# - [ ] Privacy is **Public**: otherwise Canvas sends no names, and students would be named by an opaque id
# - [ ] **Submit**; the app stands in the list

# %%
print(canvas.xml(site))

# %% [markdown]
# ## Put it into a course
#
# - [ ] In the course: **Modules** → **+** → **External Tool** → the app
# - [ ] Tick **Load in a new tab**: the hub refuses to be shown inside Canvas's own page
# - [ ] **Publish** the item, and the module
# - [ ] Open it as a student (**Student View** has no SIS id, so test with a real account in the course)
#
# When a launch fails, the page says why, and `sudo journalctl -u jupyterhub -n 50` on the server says it in full. `06_verify` names the likely cause.

# %% [markdown]
# ## Summary
#
# Kept in the record. Next: `06_verify`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
sb.glue("launch_url", site.launch_url)
