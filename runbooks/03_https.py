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
# **About.** Makes the hub reachable at `https://DOMAIN/`: nginx in front of it, a certificate that browsers accept, and the proof that the certificate renews by itself. Canvas launches tools over HTTPS only.
#
# **Before.** `02_hub_lti` has run. The domain's DNS record leads to this server, and the provider's firewall lets in TCP ports 80 and 443.
#
# **After.** `https://DOMAIN/` answers. Go on with `04_docker_spawner`.
#
# **A domain.** Any name whose DNS you can set will do: `hub.example.edu` from your institution's IT, a name bought from a registrar, or a free one from a subdomain service such as [DuckDNS](https://www.duckdns.org) (log in, choose a name, put the server's address into *current ip*: `yourname.duckdns.org` is then yours). Set an **A** record to the server's public IPv4 address, and an **AAAA** record only if the server has IPv6: the certificate authority tries that one first. Names below `netlify.app`, `vercel.app` or `github.io`, which the old guide mentions, cannot be used: they lead to machines of those services.
#
# **An address for each person** (`subdomains: true`, recommended). A browser keeps pages apart by their host. Without it all people's servers share the hub's: what one student's server serves must be kept from everybody else by other means. With it each is at `https://NAME.DOMAIN/`, and no page of a student's can act as whoever looks at it. It needs a certificate for `*.DOMAIN`, which authorities give only to who can change the zone in DNS:
#
# 1. DNS: beside the record for `hub.example.edu`, the same for `*.hub.example.edu` (**A**, and **AAAA** if the server has IPv6).
# 2. `acme_dns`: where the zone is kept. `acme_dns_file` (or `acme_dns_env`): what may change it, kept on the server where root alone reads it, as each renewal needs it.
# 3. `digitalocean`: a token with the scopes *domain: read, create, update, delete*. `cloudflare`: a token with *Zone, DNS, Edit* and *Zone, Zone, Read* for this zone. Either alone in the file.
# 4. `route53`: `aws_access_key_id = …` and `aws_secret_access_key = …` of a user with `route53:ListHostedZones`, `GetChange` and, for the zone, `ChangeResourceRecordSets`. `google`: the JSON key of a service account with the role *DNS Administrator*.
# 5. `rfc2136` (BIND, Knot, PowerDNS, Windows): lines `dns_rfc2136_server = ADDRESS`, `…_name`, `…_secret`, `…_algorithm = HMAC-SHA512` of a TSIG key that may update the TXT record `_acme-challenge.hub.example.edu`, and no more.
#
# With `tls: files` nothing of that is needed but the record and a certificate for both names. **When you switch it on or off on a site in use**, people's addresses change: nobody loses a file, hub and proxy restart, and open tabs must be opened again from the course; bookmarks of the hub's own address lead on to the new one. Switched on, servers that run go on, and what runs in them. Switched off, those that were started with an address of their own are stopped once (`plan` says how many): do it when few work.
#
# Every step can be run again at any time. What is already right is left alone and reported as `ok`.

# %% [markdown]
# ## Parameters
#
# From your file in `params/`. To run one notebook by hand: `papermill runbooks/03_https.ipynb out.ipynb -f params/SITE.yaml`. In `./hubrun lab params/SITE.yaml` the file is read first, and what you change in this cell goes over it.

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
acme_dns: str = "none"  # DNS service in which the certificate authority is answered, as subdomains need; none: by port 80
acme_dns_env: str = ""  # environment variable here that holds acme_dns's token or credentials
acme_dns_file: str = ""  # file here that holds acme_dns's token or credentials (see 03)
acme_dns_seconds: int = 60  # how long the DNS service takes to show a new record, in seconds
hsts_seconds: int = 31536000  # how long browsers shall insist on HTTPS, in seconds; 0: do not say
upload_limit_mb: int = 512  # largest upload that nginx lets through, in MB
check: bool = False  # True: show what would change and touch nothing

# %% [markdown]
# ## Target
#
# The server that will be changed. **Is it the right one?**

# %%
from hubrun import Server, site_from

site = site_from(globals())
server = Server.connect(site, check_mode=check)
server

# %% [markdown]
# ## Does the domain have a DNS record?
#
# Asked from the server and from here, before anything is changed. It fails when nobody finds an address, and then says which record to set and where; with `subdomains` a name below the domain, which nobody has, must lead to the same address. An address that is none of the server's own is no mistake by itself: behind many providers' NAT the public address belongs to no interface. Whether it really leads here is tested below.
#
# By hand: `getent ahosts hub.example.edu`, and on the server `ip address`

# %%
from hubrun.sections.https import dns

server.require(*dns.resolve_checks(server))

# %% [markdown]
# ## Addresses that go
#
# Where people had addresses of their own and `subdomains` is false now, hub and proxy go back to one address before the certificate for the others does, and servers that were started with an address of their own are stopped, as nobody could log in to them any more; their files stay. Elsewhere nothing happens here.
#
# By hand: `sudo nano /etc/jupyterhub/conf.d/30-subdomains.py`, then restart `jupyterhub-proxy` and `jupyterhub`

# %%
from hubrun.sections.https import student_addresses

server.ensure(*student_addresses.off(site))

# %% [markdown]
# ## nginx
#
# The web server that speaks HTTPS to the world and plain HTTP, on the loopback interface, to the hub's proxy. Where ufw is the server's firewall and active, ports 80 and 443 are opened in it.
#
# By hand: `sudo apt-get install nginx`, `sudo ufw allow 80/tcp`, `sudo ufw allow 443/tcp`

# %%
from hubrun.resources.firewall import FirewallRule
from hubrun.resources.packages import Packages

server.ensure(Packages("nginx"), FirewallRule(80), FirewallRule(443))

# %% [markdown]
# ## Port 80
#
# Port 80 keeps two tasks: it answers the certificate authority's challenges, from files in `/var/www/letsencrypt`, and sends everybody else to HTTPS. Requests for another name, or for the bare address, get no answer. nginx's own default site goes.
#
# The file lies in `/etc/nginx/conf.d`. It is tested with `nginx -t` before it takes effect; when the test fails, what was there before comes back, and nginx goes on undisturbed. Where nginx is down and cannot load the certificate, the HTTPS site is taken away, so that nginx starts and the certificate can be mended below; then the site comes back.
#
# By hand: `sudo rm /etc/nginx/sites-enabled/default`, `sudo nano /etc/nginx/conf.d/jupyterhub-http.conf`, `sudo nginx -t && sudo systemctl reload nginx`

# %%
from hubrun.resources.files import Absent, Directory, File
from hubrun.resources.services import Service
from hubrun.sections.https import site_certificate
from hubrun.sections.https.nginx import DEFAULT_SITE, HTTP_FILE, HTTPS_FILE, VALID, Nginx, NoDeadHttpsSite, WorkerLimits, gate_test, http_tests, https_tests

nginx = Nginx.on(server)
server.ensure(
    NoDeadHttpsSite(*site_certificate.paths(site)),
    Absent(DEFAULT_SITE),
    Directory(dns.FOLDER),
    dns.token(server),
    File(HTTP_FILE, nginx.http_site(site), check=VALID),
    Service("nginx", watches=("/etc/nginx/nginx.conf", "/etc/nginx/conf.d", DEFAULT_SITE), reloads=True, check=VALID),
)

# %%
server.check(*http_tests(site))

# %% [markdown]
# ## nginx as a service
#
# The distribution's unit leaves nginx down when it fails, with all of root's powers and all of the memory. A file beside the unit adds: start again, the powers that a web server needs, and a share of the memory. Other sites of this nginx go on as before. When the file changes nginx restarts, which takes less than a second; open pages connect again by themselves.
#
# By hand: `sudo systemctl edit nginx`

# %%
server.ensure(*site_certificate.nginx_unit(site))

# %% [markdown]
# ## Does the domain lead to this server?
#
# The certificate authority will fetch a file from `http://DOMAIN/`. So do we first, from the server and from here, at each address that the domain has: a wrong record, or a closed port 80, is found before it uses up the authority's patience (Let's Encrypt allows five failures an hour). With `acme_dns` the authority asks DNS in its place, and the question is not put.
#
# By hand: `curl http://hub.example.edu/.well-known/acme-challenge/hubrun-token`

# %%
if site.tls == "acme" and site.acme_dns == "none" and not server.pending:
    server.require(*dns.reach_checks(server))

# %% [markdown]
# ## Certificate
#
# With `tls: acme`, certbot gets the certificate from Let's Encrypt, or from the ACME server in `acme_directory`. `acme_ca_file` is for an ACME server whose own HTTPS is signed by a private CA; it is given to certbot, and to the service that renews. `acme_eab_kid` and its HMAC key are for authorities that tie certificates to a customer's account (ZeroSSL, Sectigo, many institutions'): the key goes to certbot in a file that only root can read, never on the command line. A certificate that is there stays, unless it is from another authority, for another name, damaged, or near its end.
#
# With `acme_dns`, certbot puts a TXT record into your DNS zone, waits `acme_dns_seconds`, and takes it away again; with `subdomains` the certificate is for `*.DOMAIN` too. New credentials stay only when a certificate, or a trial renewal, was had with them; until then, and when they are refused, the old ones and the old certificate stay.
#
# With `tls: files` nothing is fetched: your institution's certificate (with its chain) and key lie on the server already, at `tls_certificate` and `tls_key`.
#
# By hand: `sudo apt-get install certbot`, `sudo certbot certonly --webroot -w /var/www/letsencrypt -d hub.example.edu`, or `sudo apt-get install python3-certbot-dns-cloudflare`, `sudo certbot certonly --dns-cloudflare --dns-cloudflare-credentials FILE -d hub.example.edu -d '*.hub.example.edu'`

# %%
if site.tls == "acme":
    server.ensure(*site_certificate.acme(site))

# %%
server.check(*site_certificate.tests(site))

# %% [markdown]
# ## Port 443
#
# HTTPS, with Mozilla's recommended settings and HTTP/2 in the form that the installed nginx understands (`http2 on;` from version 1.25.1, `listen 443 ssl http2;` before). Browsers are told to insist on HTTPS for `hsts_seconds`. A quiet kernel's websocket stays open for a day (nginx alone: one minute), and the address that the browser sees reaches the hub unchanged, since the signature of a launch covers it.
#
# **The gate**, on a site without `subdomains`. All of `/user/` shares one origin with the hub there, and a student can put any program in place of their own server: what it serves would act with the rights of whoever opens it. So nginx asks the hub before each request for `/user/NAME/`, and lets through that person alone, whom the hub granted access by a role other than the administrators', and scripts with a token for that server. It remembers a yes for five seconds; while the hub restarts, people who are at work go on.
#
# **Strangers** get little: bodies of 1 MB at most (uploads to one's own server may have `upload_limit_mb`, and are not kept on the disk on their way), and from one address 4000 requests at a time and 30 launches a second, after 500 at once: a class of 300 behind one address passes. More connections than Debian's 768 are allowed in `nginx.conf`.
#
# On a site that is in use: whoever is at work goes on, and their open page gets its cookie by itself. Who logged in more than a week ago must come in from the LMS once more.
#
# By hand: `sudo nano /etc/nginx/conf.d/jupyterhub-https.conf`, `sudo nginx -t && sudo systemctl reload nginx`

# %%
from hubrun.resources.renewal import RenewalProof, ServedCertificate

server.check(gate_test())
server.ensure(
    WorkerLimits(),
    File(HTTPS_FILE, nginx.https_site(site), check=VALID),
    Service("nginx", watches=("/etc/nginx/nginx.conf", "/etc/nginx/conf.d"), reloads=True, check=VALID),
)
server.ensure(ServedCertificate(site.domain, site_certificate.paths(site)[0]))

# %% [markdown]
# ## Renewal
#
# certbot's timer looks twice a day whether the certificate is near its end. Two things go wrong in practice: the renewal fails, or it works and nginx keeps the old certificate until somebody reloads it. So a hook reloads nginx after each renewal, and both are proven now: the certificate is renewed once by force, and nginx must serve the new one. The proof is kept and repeated only when the set-up changes. With Let's Encrypt itself, which limits certificates to five a week for one name, the renewal is a dry run.
#
# By hand: `systemctl list-timers certbot.timer`, `sudo certbot renew --force-renewal --cert-name hub.example.edu` (Let's Encrypt: `sudo certbot renew --dry-run`)

# %%
if site.tls == "acme":
    server.ensure(*site_certificate.renewal())
    server.ensure(RenewalProof(site.domain, site.acme_directory, dns=site.acme_dns != "none"))

# %% [markdown]
# ## An address for each person
#
# With `subdomains: true`, now that the certificate covers them: the hub gives each person's server an address of its own, the proxy finds them by host, and cookies are tied to the one host that set them (`__Host-`). A name that cannot be part of an address gets one with a digest, which no other name has. Servers that run go on. On a site without subdomains nothing happens here.
#
# By hand: `sudo nano /etc/jupyterhub/conf.d/30-subdomains.py`, `sudo systemctl edit jupyterhub-proxy`, then restart both

# %%
server.ensure(*student_addresses.on(site))

# %% [markdown]
# ## Check
#
# What the server serves. Old TLS versions and other names must be refused; the launch URL must answer 405 to a browser that only looks at it, since launches are POSTs. Without `subdomains`, a stranger must get a 302 to the gate from anybody's server, whether it is there or not. Then a browser's view from here: the certificate must be accepted.

# %%
server.check(*https_tests(site), *student_addresses.tests(site))

# %%
if not server.pending:
    server.require(site_certificate.accepted(site))

# %% [markdown]
# ## Summary
#
# Kept in the record. Next: `04_docker_spawner`.

# %%
import scrapbook as sb

sb.glue("summary", server.summary())
