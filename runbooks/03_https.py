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
# # 03 · HTTPS
#
# **About.** Makes the hub reachable at `https://DOMAIN/`: nginx in front of it, a certificate that browsers accept, and the proof that the certificate is renewed by itself. Canvas launches tools over HTTPS only.
#
# **Before.** `02_hub_lti` has run. The domain's DNS record points to this server, and the provider's firewall lets in TCP ports 80 and 443.
#
# **After.** `https://DOMAIN/` answers. Go on with `04_docker_spawner`.
#
# **A domain.** You can use any name whose DNS you can set: `hub.example.edu` from your institution's IT, a name that you buy from a registrar, or a free one from a subdomain service such as [DuckDNS](https://www.duckdns.org) (log in, choose a name, put the server's address into *current ip*: `yourname.duckdns.org` is then yours). Set an **A** record to the server's public IPv4 address, and an **AAAA** record only if the server has IPv6: the certificate authority tries that one first. Names below `netlify.app`, `vercel.app` or `github.io`, which the old guide mentions, cannot be used: they point to machines of those services.
#
# **An address for each person** (`subdomains: true`, recommended). A browser separates pages by their host name. Without `subdomains`, all people's servers have the same host name as the hub, and other means must keep what one student's server sends away from everybody else. With `subdomains`, each person's server is at `https://NAME.DOMAIN/`, and a page on a student's server cannot act with the rights of a person who opens it. This needs a certificate for `*.DOMAIN`, which authorities give only to people who can change the zone in DNS:
#
# 1. DNS: beside the record for `hub.example.edu`, set the same for `*.hub.example.edu` (**A**, and **AAAA** if the server has IPv6).
# 2. `acme_dns`: the service that holds the zone. `acme_dns_file` (or `acme_dns_env`): the credentials that may change the zone. They are kept on the server, where only root can read them, because each renewal needs them.
# 3. `digitalocean`: a token with the scopes *domain: read, create, update, delete*. `cloudflare`: a token with *Zone, DNS, Edit* and *Zone, Zone, Read* for this zone. The file holds the token and nothing else.
# 4. `route53`: `aws_access_key_id = …` and `aws_secret_access_key = …` of a user with `route53:ListHostedZones`, `GetChange` and, for the zone, `ChangeResourceRecordSets`. `google`: the JSON key of a service account with the role *DNS Administrator*.
# 5. `rfc2136` (BIND, Knot, PowerDNS, Windows): lines `dns_rfc2136_server = ADDRESS`, `…_name`, `…_secret`, `…_algorithm = HMAC-SHA512` of a TSIG key that may update the TXT record `_acme-challenge.hub.example.edu`, and nothing else.
#
# With `tls: files` you need only the DNS record and a certificate for both names. **When you switch `subdomains` on or off on a site in use**, people's addresses change. Nobody loses a file; hub and proxy restart, and open tabs must be opened again from the course. Bookmarks of the hub's own address lead to the new one. When you switch it on, running servers go on, and so do their notebooks. When you switch it off, the servers that were started with an address of their own are stopped once (`plan` says how many): do it when few people work.
#
# Every step can be run again at any time. What is already right is left alone and reported as `ok`.

# %% [markdown]
# ## Parameters
#
# They come from your file in `params/`. To run one notebook by hand: `papermill runbooks/03_https.ipynb out.ipynb -f params/SITE.yaml`. `./hubrun lab params/SITE.yaml` opens copies of the runbooks that hold your file's values here; what you change in a copy counts for this copy alone.

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
subdomains: bool = False  # recommended: each person's server at an address of its own, https://NAME.DOMAIN/ (see 03)
tls: str = "acme"  # where the certificate comes from: acme, or files on the server
acme_email: str = ""  # address for the certificate authority's notices; empty: none
acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"  # ACME directory of the certificate authority
acme_ca_file: str = ""  # PEM file here: CA of the ACME server's own HTTPS; empty: the usual ones
acme_eab_kid: str = ""  # key id for external account binding, where the CA asks for it
acme_eab_hmac_env: str = ""  # environment variable here that holds the binding's HMAC key
acme_eab_hmac_file: str = ""  # file here that holds the binding's HMAC key
tls_certificate: str = ""  # tls: files. Path on the server of the certificate with its chain, PEM
tls_key: str = ""  # tls: files. Path on the server of the private key, PEM
acme_dns: str = "none"  # DNS service that answers the certificate authority, which subdomains need; none: port 80 answers it
acme_dns_env: str = ""  # environment variable here that holds acme_dns's token or credentials
acme_dns_file: str = ""  # file here that holds acme_dns's token or credentials (see 03)
acme_dns_seconds: int = 60  # how long the DNS service takes to show a new record, in seconds
hsts_seconds: int = 31536000  # how long browsers must use only HTTPS, in seconds; 0: do not tell them
upload_limit_mb: int = 512  # largest upload that nginx accepts, in MB
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
# `01_server` and `02_hub_lti`: nginx passes on to the hub's proxy.
#
# By hand: `ls /opt/jupyterhub/bin/jupyterhub /etc/systemd/system/jupyterhub.service`

# %%
from hubrun.sections.server.ran_before import ran_before

server.check(*ran_before(site, "01_server", "02_hub_lti"))

# %% [markdown]
# ## Does the domain have a DNS record?
#
# The server and this machine both look it up, before anything is changed. The step fails when neither finds an address, and then says which record to set and where. With `subdomains`, a name below the domain that belongs to nobody must lead to the same address. An address that does not belong to the server is not a mistake by itself: with many providers, NAT maps the public address to the server, and no interface has it. Whether the address really leads here is tested below.
#
# By hand: `getent ahosts hub.example.edu`, and on the server `ip address`

# %%
from hubrun.sections.https import dns

server.require(*dns.resolve_checks(server))

# %% [markdown]
# ## People's own addresses, when they are switched off
#
# If people had addresses of their own and `subdomains` is now false, hub and proxy go back to one address, before the certificate for the other addresses is replaced. Servers that were started with an address of their own are stopped, because nobody could log in to them any more; their files stay. On all other sites nothing happens here.
#
# By hand: `sudo nano /etc/jupyterhub/conf.d/30-subdomains.py`, then restart `jupyterhub-proxy` and `jupyterhub`

# %%
from hubrun.sections.https import student_addresses

server.ensure(*student_addresses.off(site))

# %% [markdown]
# ## nginx
#
# The web server that speaks HTTPS with the world and plain HTTP, on the loopback interface, with the hub's proxy. If ufw is the server's firewall and is active, ports 80 and 443 are opened in it.
#
# By hand: `sudo apt-get install nginx`, `sudo ufw allow 80/tcp`, `sudo ufw allow 443/tcp`

# %%
from hubrun.resources.firewall import FirewallRule
from hubrun.resources.packages import Packages

server.ensure(Packages("nginx"), FirewallRule(80), FirewallRule(443))

# %% [markdown]
# ## Other sites of this nginx
#
# Sites of others stay as they are, and the hub's is put beside them. What would not go together is named here, before anything is changed: a site that has the hub's name, a site without a name that is reached only because it is the first (write `default_server` into its `listen` line, and it stays so), a table for names that is set too small for the domain.
#
# By hand: `sudo nginx -T | grep -E 'configuration file|listen|server_name'`

# %%
from hubrun.sections.https import other_sites

server.check(other_sites.test(site))

# %% [markdown]
# ## Port 80
#
# Port 80 has two tasks: it answers the certificate authority, and it sends everybody else to HTTPS. Requests for another name, or for the bare address, get no answer; if another site is nginx's default, it goes on to answer them. At each address that another site has for itself, the hub's listens too.
#
# 1. If nginx is down because it cannot load the certificate, its HTTPS site is removed for now. nginx can then start, the certificate is repaired below, and the site comes back.
# 2. The distribution's own default site is removed, if nobody has changed it.
# 3. The folder `/var/www/letsencrypt` is made. The certificate authority reads its challenges there. A small file in it says which server this is.
# 4. `/etc/nginx/conf.d/jupyterhub-http.conf` is written. It is tested with `nginx -t` before it takes effect. If the test fails, the earlier file is put back, and nginx goes on as before.
# 5. nginx runs, and has read these files.
#
# By hand: `sudo rm /etc/nginx/sites-enabled/default`, `sudo nano /etc/nginx/conf.d/jupyterhub-http.conf`, `sudo nginx -t && sudo systemctl reload nginx`

# %%
from hubrun.sections.https import nginx, site_certificate

server.ensure(*nginx.port_80(server))
server.check(*nginx.http_tests(site, nginx.Nginx.on(server)))

# %% [markdown]
# ## nginx as a service
#
# With the distribution's unit, nginx stays down after it fails, has all of root's rights, and can use all of the memory. A file beside the unit changes this: nginx starts again within a second however it ended (`systemctl stop` keeps it down), has only the rights that a web server needs, and may use a part of the memory. Other sites of this nginx go on as before. When the file changes, nginx restarts, which takes less than a second; open pages connect again by themselves.
#
# By hand: `sudo systemctl edit nginx`

# %%
server.ensure(*site_certificate.nginx_unit(site))

# %% [markdown]
# ## Does the domain lead to this server?
#
# The certificate authority will fetch a file from `http://DOMAIN/`. We do so first, from the server and from this machine, at each address that the domain has. So a wrong record or a closed port 80 is found before the authority counts it as a failure (Let's Encrypt allows five failures an hour). With `acme_dns` the authority asks DNS instead, and with `tls: files` it is not needed: nothing is tested then.
#
# By hand: `curl http://hub.example.edu/.well-known/acme-challenge/hubrun-token`

# %%
dns.require_reached(server)

# %% [markdown]
# ## Certificate
#
# With `tls: acme`, certbot gets the certificate from Let's Encrypt, or from the ACME server in `acme_directory`. `acme_ca_file` is for an ACME server whose own HTTPS certificate was signed by a private CA; certbot uses it, and so does the service that renews. `acme_eab_kid` and its HMAC key are for authorities that connect certificates with a customer's account (ZeroSSL, Sectigo, and those of many institutions): certbot reads the key from a file that only root can read, never from the command line. A certificate that is there stays, unless it is from another authority, for another name, damaged, or near its end.
#
# With `acme_dns`, certbot puts a TXT record into your DNS zone, waits `acme_dns_seconds`, and removes it again; with `subdomains` the certificate is for `*.DOMAIN` too. New credentials are kept only after a certificate, or a trial renewal, was obtained with them. Until then, and when they are refused, the old credentials and the old certificate stay.
#
# With `tls: files` nothing is fetched: your institution's certificate (with its chain) and key are on the server already, at `tls_certificate` and `tls_key`.
#
# By hand: `sudo apt-get install certbot`, `sudo certbot certonly --webroot -w /var/www/letsencrypt -d hub.example.edu`, or `sudo apt-get install python3-certbot-dns-cloudflare`, `sudo certbot certonly --dns-cloudflare --dns-cloudflare-credentials FILE -d hub.example.edu -d '*.hub.example.edu'`

# %%
server.ensure(*site_certificate.acme(site))
server.check(*site_certificate.tests(site))

# %% [markdown]
# ## Port 443
#
# HTTPS, with Mozilla's recommended settings and with HTTP/2, written as the installed nginx understands it (`http2 on;` from version 1.25.1, `listen 443 ssl http2;` before). Browsers are told to use only HTTPS for `hsts_seconds`. A kernel's websocket stays open for a day without traffic (nginx's default is one minute). The hub sees the same address as the browser, because the signature of a launch covers it.
#
# **The gate**, on a site without `subdomains`. There, everything below `/user/` has the same origin as the hub, and a student can run any program in place of their own server: what it sends would act with the rights of the person who opens it. So before each request for `/user/NAME/` nginx asks the hub, and lets through only that person, other people to whom the hub gave access by a role (the administrators' role does not count), and scripts with a token for that server. It remembers a yes for five seconds; while the hub restarts, people who are at work go on.
#
# **When nobody behind nginx answers**, because the hub, its proxy or a student's server is restarting, people see a page that says so and goes on by itself within seconds.
#
# **People who are not logged in** get little: bodies of at most 1 MB (uploads to one's own server may have `upload_limit_mb`, and are not stored on the disk on their way), and from one address 4000 requests at a time and 30 launches a second, after 500 at once: a class of 300 behind one address is not slowed down. More connections than Debian's 768 are allowed in `nginx.conf`.
#
# On a site in use, people who are at work go on, and their open page gets its cookie by itself. People who logged in more than a week ago must open the hub once more from the LMS.
#
# By hand: `sudo nano /etc/nginx/conf.d/jupyterhub-https.conf`, `sudo nginx -t && sudo systemctl reload nginx`

# %%
server.check(nginx.gate_test())
server.ensure(*nginx.port_443(server))
server.ensure(site_certificate.served(site))

# %% [markdown]
# ## Renewal
#
# certbot's timer checks twice a day whether the certificate is near its end. Two things go wrong in practice: the renewal fails, or it works and nginx keeps the old certificate until somebody reloads it. So a hook reloads nginx after each renewal, and both are proven now: the certificate is renewed once by force, and nginx must serve the new one. The proof is kept, and repeated only when the set-up changes. With Let's Encrypt itself, which limits certificates to five a week for one name, the renewal is a dry run. With `tls: files` nothing happens here.
#
# By hand: `systemctl list-timers certbot.timer`, `sudo certbot renew --force-renewal --cert-name hub.example.edu` (Let's Encrypt: `sudo certbot renew --dry-run`)

# %%
server.ensure(*site_certificate.renewal(site))
server.ensure(*site_certificate.renewal_proof(site))

# %% [markdown]
# ## An address for each person
#
# With `subdomains: true`, now that the certificate covers these addresses: the hub gives each person's server an address of its own, the proxy finds the server by the host name, and cookies are valid only for the host that set them (`__Host-`). If a person's name cannot be part of an address, the address has a digest instead, which no other name has. Running servers go on. On a site without `subdomains` nothing happens here.
#
# By hand: `sudo nano /etc/jupyterhub/conf.d/30-subdomains.py`, `sudo systemctl edit jupyterhub-proxy`, then restart both

# %%
server.ensure(*student_addresses.on(site))

# %% [markdown]
# ## Check
#
# What the server serves. Old TLS versions and other names must be refused. The launch URL must answer 405 to a browser that only opens it, because launches are POSTs. Without `subdomains`, a person who is not logged in must get a 302 to the gate from anybody's server, even if that server does not exist. At last, this machine opens the site as a browser does: the certificate must be accepted.
#
# By hand: `curl -I https://hub.example.edu/hub/lti/launch`, `openssl s_client -tls1_1 -connect hub.example.edu:443` (must fail)

# %%
server.check(*nginx.https_tests(site, nginx.Nginx.on(server)), *student_addresses.tests(site))
server.require(*site_certificate.browser_checks(server))

# %% [markdown]
# ## Summary
#
# It is kept in the record. Next: `04_docker_spawner`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
