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
# # 05 · Canvas, and other LMSs
#
# **About.** Makes the hub a tool in your LMS that a course can launch. An LMS that registers tools by itself (Moodle, Brightspace, Sakai, Canvas) needs one link, which this runbook makes. With `canvas_url` and an access token it uses Canvas's API: the tool, its place in the course navigation, an item in a module. Without them it shows the exact values for this site, and what to click, in the words of each LMS. On the server it changes nothing but that link.
#
# **Before.** `02_hub_lti`, `03_https`, `04_docker_spawner`. In the LMS: for LTI 1.3 an administrator, once; for LTI 1.1 in Canvas the right to add apps, to an account or to your course.
#
# **After.** Students open the hub from a module. Go on with `06_verify`, which acts as Canvas.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`.
#
# **By API:** `canvas_url`, `canvas_token_env` or `canvas_token_file`, and `canvas_course` or `canvas_account` say where; `canvas_module`, `canvas_item_title` and `canvas_navigation` say what. You make the token in Canvas → **Account** → **Settings** → **+ New Access Token**: give it an end date, and delete it there when you are done. Neither the token nor the secret is ever shown or recorded.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
public_address: str = ""  # connect to this address when testing from outside; empty: what DNS says about the domain
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
consumers: list = []  # further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lms: moodle, lti_version: '1.3', platform: https://…, registration: true}]
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
tls_certificate: str = ""  # tls: files. Path on the server of the certificate with its chain, PEM
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
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
check: bool = False  # True: show what would change and touch nothing
plan_first: bool = False  # True: each step shows its plan, and does it when you run its cell once more

# %% [markdown]
# ## Target
#
# The site that the LMS will launch. **Is it the right one?**

# %%
from hubrun import Server, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check, plan_first=plan_first)
server

# %% [markdown]
# ## What must have been run before
#
# `01_server` to `04_docker_spawner`: an LMS launches a hub that is complete.
#
# By hand: `ls /opt/jupyterhub/bin/jupyterhub /etc/nginx/conf.d/jupyterhub-https.conf /etc/jupyterhub/conf.d/40-docker.py`

# %%
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti", "03_https", "04_docker_spawner"))

# %% [markdown]
# ## Is the hub ready for the LMS?
#
# An LMS accepts only an address with HTTPS. The launch URL must be there, with a certificate that browsers trust, and it must refuse to be opened like a page (405): it accepts only signed launches. For LTI 1.1 the server must have the key and secret of each consumer; for LTI 1.3 it must know the client ids, or that it may be registered, serve Canvas's developer key of these parameters, and be able to fetch the keys of the LMS.
#
# By hand: `curl -I https://hub.example.edu/hub/lti/launch`, and on the server `sudo grep -c LTI_CLIENT_ /etc/jupyterhub/lti.env`

# %%
from hubrun.sections.canvas import canvas_forms, canvas_setup
from hubrun.sections.hub import consumer_files
from hubrun.sections.verify.verification import Verification

server.require(*Verification(server).outside(), *canvas_setup.outside(server))
server.check(*canvas_setup.tests(site), *consumer_files.key_tests(site))

# %% [markdown]
# ## Who may launch
#
# Each consumer, an LMS or a course, has a key and secret of its own (LTI 1.1) or client ids of its own (LTI 1.3). Keys and secrets stay on the server; read them there when you fill in a form. Whoever has a secret can log in as anybody, so paste it into the LMS and nowhere else.
#
# By hand there is nothing to do: this only shows what the parameters say, and the command that reads each secret.

# %%
canvas_forms.who_may_launch(site)

# %% [markdown]
# ## Registration by one link
#
# With `lti_registration: true` (or `registration: true` of a consumer) nobody copies addresses and client ids (LTI Dynamic Registration, LTI 1.3). This step makes a link on the server. An administrator of the LMS pastes it into the LMS: the LMS and the hub tell each other what they must know, and the next click is a launch.
#
# The link is a secret until it has served: it works once, for seven days, and only for the LMS at the address in the parameters. So it is not shown here and is in no record: read it on the server with the command below, and send it to the administrator as you would send a password. Run again, this step keeps a link that is still good, makes a new one when it has expired, and removes the one that has served.
#
# To register once more, after the tool was deleted in the LMS: `sudo rm /etc/jupyterhub/registration.d/NAME.* /var/lib/jupyterhub/lti_registered/NAME.json`, and run this again.
#
# By hand: `head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'` makes a token; its `sha256sum` goes into a file for the hub.

# %%
from hubrun.sections.canvas import registration_links

server.ensure(*registration_links.links(site))
registration_links.show(server)

# %% [markdown]
# ## Another LMS than Canvas
#
# What Moodle, Open edX, Sakai, Blackboard or Brightspace must know about the hub, in the words of its own forms, and where you click there. `lti_lms`, or `lms` of a consumer, says which LMS it is. There is a page on each in `docs/how-to/lms/`.
#
# By hand: enter these values in the LMS. This step only shows them.

# %%
from hubrun.sections.canvas import lms_forms

lms_forms.show(site)

# %% [markdown]
# ## LTI 1.1: the values for Canvas
#
# What Canvas must know about the tool. The privacy level is the lowest one with which Canvas still sends `lti_username_key`, by which new people are named. With a lower level launches work, too: people are known by Canvas's own id, and new ones get a name that says less. If you use the API (below), you do not have to enter any of this.
#
# By hand: enter these values in Canvas, as "The tool in Canvas, by hand" below says. This step only shows them.

# %%
canvas_forms.form(site)

# %% [markdown]
# ## LTI 1.3: Canvas's developer key
#
# It tells Canvas everything about the tool, and an administrator of the account makes it once. Nothing in it is secret; the key in `public_jwk` is a public one. By hand:
#
# - [ ] Canvas → **Admin** → your account → **Developer Keys** → **+ Developer Key** → **+ LTI Key**
# - [ ] **Key Name** and **Owner Email** as you like; **Redirect URIs** and **Method** as below; **Save**
# - [ ] Switch its **State** to **On**
# - [ ] Copy the long number in its column **Details**: this is the client id
# - [ ] Put it into your file in `params/`, in quotes: `lti_client_ids: ['10000000000123']`
# - [ ] Run `02_hub_lti`, so that the hub accepts it, and then this runbook again

# %%
canvas_forms.key_form(site, canvas_setup.public_jwk(server))

# %% [markdown]
# ## The tool in Canvas, by its API
#
# With `canvas_url`: looks for the tool in the account or course, and adds it if it is missing. For LTI 1.1 it is added with key and secret (the secret goes from the server to Canvas and is kept nowhere else), for LTI 1.3 with each of `lti_client_ids`. If somebody changed its name, address, privacy level or course navigation, they are set right again. The tool opens in a tab of its own, because JupyterLab does not work inside Canvas's page: a launch there gets a button that opens a tab. With `canvas_module`, an item in that module launches it. Run again, it changes nothing. After you made a new key and secret on the server: `canvas_renew_key: true`, once.
#
# A tool of an account appears in a course's navigation only when a teacher drags it there (**Settings** → **Navigation**); for a tool of LTI 1.3, the developer key decides about the navigation. The tools of further `consumers` are added by hand.
#
# By hand: the next step does the same without the API. To see the tools that are there: `curl -H "Authorization: Bearer TOKEN" https://CANVAS/api/v1/courses/NUMBER/external_tools`

# %%
canvas_setup.by_api(server)

# %% [markdown]
# ## The tool in Canvas, by hand
#
# Without `canvas_url`. Tick what you have done, here and in the other lists of this runbook: double-click the text, and put an `x` between the brackets. In `./hubrun lab` the record keeps who ticked what, and when. After a `./hubrun install`, open this runbook there and tick: that session has a record of its own.
#
# - [ ] Canvas → **Admin** → **Settings** → **Apps** → **View App Configurations** (for one course: the course's **Settings** → **Apps**)
# - [ ] LTI 1.1: **+ App**, Configuration Type **Manual Entry** with the values above; or **Paste XML**, with key and secret in the fields beside it
# - [ ] LTI 1.3: **+ App**, Configuration Type **By Client ID**, with the client id
# - [ ] **Submit**; the app is in the list
#
# Put it into a course:
#
# - [ ] In the course: **Modules** → **+** → **External Tool** → the app
# - [ ] Tick **Load in a new tab**: otherwise people see a button inside Canvas's page, and have to click it first
# - [ ] **Publish** the item, and the module
# - [ ] Open it as a student, or in **Student View**, whose Test Student gets a home that goes when the next one comes
#
# When a launch fails, the page says why and what to do. For you there is more in `sudo journalctl -u jupyterhub -n 50` on the server. `06_verify` names the likely cause.

# %% [markdown]
# ## Links to notebooks in git
#
# For each of `git_links`: a launch that pulls the repository into the student's files (with nbgitpuller, which keeps the student's changes) and opens one of its files. It must be possible to clone the repository without a password. It goes into a folder of its name, or into `folder`; two links with different repositories or branches need two folders. A launch pulls without a question from the places of these links, or from `git_hosts`; a link to any other place shows what it would do and waits for a click.
#
# By hand: enter the addresses below in the LMS. This step only shows them.
#
# - In a module of Canvas: **+** → **External Tool** → choose the tool, and put the **URL in Canvas** in place of its own; tick **Load in a new tab**
# - As an assignment: **Submission Type** → **External Tool** → the same; tick **Load This Tool In A New Tab**
# - The custom field does the same in another LMS, or by Canvas's API. In Canvas's own form it does not work: the box *Custom Fields* cuts a line at its second `=`.
# - The third address is for people who are already logged in at the hub.

# %%
canvas_forms.git_links(site)

# %% [markdown]
# ## Changing Canvas over from LTI 1.1 to 1.3
#
# People keep their names and files: Canvas says in LTI 1.3 which id somebody had in LTI 1.1. In another LMS it goes in the same order, with what is shown for it above: a tool of LTI 1.3 beside the old one, links that lead to the new one, and then no more 1.1. In this order, at any time of the day:
#
# - [ ] `lti_version: both`; run `02_hub_lti` and this runbook: launches go on as before
# - [ ] Make the developer key as above, set `lti_client_ids`, run both again: now the course has two tools of the same name
# - [ ] Open the new one as a student: it is the same person, with the same files
# - [ ] Delete the tool of LTI 1.1 in Canvas: items and links that launched it now launch the new one, which Canvas finds by the hub's domain
# - [ ] `lti_version: '1.3'`; run both again: the old key and secret no longer work

# %% [markdown]
# ## Summary
#
# It is kept in the record. Next: `06_verify`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
sb.glue("launch_url", site.launch_url)
