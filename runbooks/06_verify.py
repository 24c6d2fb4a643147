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
# # 06 · Verify
#
# **About.** Proves from the outside that the hub works, and that what must be refused is refused. It plays Canvas: test students are launched over HTTPS, exactly as Canvas would launch them, and work in their notebooks. Launches with LTI 1.1 are signed on the server, where the secrets are; they never come here. For LTI 1.3, Canvas's private key is nobody's but Canvas's: so the hub is told, for as long as the check takes, of one more LMS, which is this runbook.
#
# **Before.** `01_server` to `04_docker_spawner`.
#
# **After.** Nothing is left behind: the test students (`hubruntest1` to `3`, each consumer's with its prefix), their containers and volumes, and the LMS of the test are removed. Run it after each change, and before each term.
#
# To see with your own eyes what a student sees, without a Canvas: `./hubrun launch params/SITE.yaml --as student1`
#
# A check that fails says what was expected, what came, and the likely cause with its remedy.

# %% [markdown]
# ## Parameters
#
# From your file in `params/`.

# %% tags=["parameters"]
site: str = ""  # name of the site; its records are kept under this name
domain: str = ""  # the hub's host name, as in https://DOMAIN/
public_address: str = ""  # connect to this address when testing from outside; empty: what DNS says of the domain
http_port: int = 80  # port on which the world reaches the server's port 80
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
consumers: list = []  # further LMSs or courses with keys of their own: [{name: bio}, {name: chem, lti_version: '1.3', client_ids: ['1']}]
subdomains: bool = False  # recommended: each person's server at an address of its own, https://NAME.DOMAIN/ (see 03)
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
tls_certificate: str = ""  # tls: files. Path on the server of the certificate with its chain, PEM
docker_subnet: str = "172.29.0.0/16"  # network of the students' containers; must be free on the server
student_networks: list = []  # private networks that students' containers may reach besides the outside, such as [10.20.30.0/24]; never the server
image_name: str = "hubrun-singleuser"  # name of the students' image, built on the server
user_memory_mb: int = 1024  # memory limit of one student's server, in MB
check: bool = False  # True: show what would change and touch nothing

# %% [markdown]
# ## Target
#
# The site that is tested. **Is it the right one?**

# %%
from hubrun import Server, Test, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check)
server

# %% [markdown]
# ## As anybody sees it
#
# The hub is healthy, its certificate is trusted and is the one on the server, plain HTTP leads to HTTPS, and the launch URL is there.
#
# By hand: `curl -I https://YOUR.DOMAIN/hub/health`

# %%
from hubrun.sections.verify.verification import Verification

verification = Verification(server)
server.require(*verification.clean_up())
server.require(*verification.outside())

# %% [markdown]
# ## Launches
#
# Every launch in this list is made over HTTPS, in a browser of its own. Each finding says what must come of it: the status, the reason that the hub's page gives, whether somebody is logged in, and under which name. The good ones alone may get in.
#
# **LTI 1.1.** A launch that Canvas signed is accepted. One that is unsigned, changed on the way, sent twice, 40 seconds old or ahead, or signed with another key or secret is not; nor is one without a name, or one whose link leads to another site. What a request says of the address that it came to (`X-Forwarded-Host`, `-Proto`) makes no difference. A good launch of each further consumer, signed with its own key, gets a name with its prefix.
#
# **LTI 1.3.** For as long as this takes, the file `/etc/jupyterhub/consumers.d/hubruntest.json` tells the hub of an LMS whose key was made here, in memory; the file holds its public half, and from when on the hub takes it no more: so it is shut out by itself, whatever becomes of this runbook. All its people have the prefix `hubruntest__`, so that it could not launch anybody else's students if it tried. A good launch is accepted. One from another issuer, for another audience, with another nonce, expired, not signed, signed with the public key for a secret, or with a key that the LMS does not publish is not; nor is one that is sent twice, has no name, leads to another site, or comes without the cookie of its login.

# %%
server.require(*verification.launches())

# %% [markdown]
# ## A student works
#
# A test student is launched, gets JupyterLab in a container of their own, runs `6*7` in a notebook's kernel, and finds a file again after the server was stopped and started.

# %%
server.require(*verification.work())

# %% [markdown]
# ## Students are separated
#
# While the first student's server runs, a second student is launched and tries to get at what is not theirs. All of it is harmless.
#
# - **In their own browser**: the first student's JupyterLab, a file, terminals and kernels, and what the hub knows of that person: each must be refused. With `subdomains` it is tried at both addresses.
# - **From a notebook in their container**: the first student's server; SSH, nginx, the proxy, Docker and whatever else listens on the server, by each of its addresses; a cloud provider's metadata; the routers and name servers around it where they are private. Of all these 0 may be reached. The hub's one port, and of the outside what the server itself reaches, must be.
# - **In the container**: it learns no other student's name, and has no Docker socket and no IPv6; it can write to the home and a bounded `/tmp` only; when memory runs out, its processes end before the hub.
#
# At last, from here: ports 8000, 8001 and 8081 must be closed (where the site is at port 443).
#
# By hand, in a student's notebook: `!curl -m 3 http://172.29.0.1:8000` must fail

# %%
server.require(*verification.privacy())

# %% [markdown]
# ## On the server
#
# Nothing but nginx and SSH is open to the world; hub and proxy listen on the server itself and on the students' network.

# %%
server.check(
    Test(
        "8000, 8001 and 8081 must not listen on an outside address",
        f"ss -ltnH | awk '{{print $4}}' | grep -E ':(8000|8001|8081)$' | grep -vE '^(127\\.0\\.0\\.1|{site.gateway}):'",
        fails=True,
    ),
    Test("the hub and its proxy start at boot", "systemctl is-enabled jupyterhub jupyterhub-proxy nginx docker"),
    Test("the secrets are closed to others", "test \"$(find /etc/jupyterhub -name '*.env' -printf '%m\\n' | sort -u)\" = 600"),
)

# %% [markdown]
# ## Clean up
#
# The test students go, with their containers and volumes, and so does the LMS of the test.

# %%
server.require(*verification.clean_up())

# %% [markdown]
# ## Summary
#
# Kept in the record.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
sb.glue("verified", not check)
