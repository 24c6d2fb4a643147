#!/bin/bash
# The setup guide's own commands as one script, for a fresh Debian server, run as root. Mended only where they cannot
# work without a person, in a container, or at all; each such place says so. Values come from the environment:
# DOMAIN, EMAIL, ACME_DIRECTORY, ACME_CA (a file here), BASE_IMAGE, CA_FOLDER (a folder here with *.crt).
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive  # mended: nobody answers
U=newuser
say() { echo "== $1 after $SECONDS s"; }

# The site's own authorities: not in the guide, but without them nothing can be downloaded behind such a proxy.
cp "$CA_FOLDER"/*.crt /usr/local/share/ca-certificates/
update-ca-certificates >/dev/null
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt

# --- Setup Server Environment with JupyterHub
apt-get update -q
apt-get upgrade -q -y
apt-get install -q -y python3 python3-venv
adduser --disabled-password --gecos '' $U  # mended: adduser asks
echo "$U ALL=(ALL:ALL) ALL" >>/etc/sudoers  # mended: visudo opens an editor
say server
cd /home/$U
as() { runuser -u $U -- env HOME=/home/$U "$@"; }  # mended: `su newuser` opens a shell
as python3 -m venv jupyterhub-env
BIN=/home/$U/jupyterhub-env/bin  # mended: `jupyterhub-env/bin/activate` lacks `source`
as $BIN/pip install -q jupyterhub
as $BIN/pip install -q jupyterhub-ltiauthenticator
# 12, 13: optional, and in the image
LTI_CLIENT_KEY=$(openssl rand -hex 32)  # mended: KEY=(…) makes an array
LTI_CLIENT_SECRET=$(openssl rand -hex 32)
echo "LTI_CLIENT_KEY=$LTI_CLIENT_KEY" >.env
echo "LTI_CLIENT_SECRET=$LTI_CLIENT_SECRET" >>.env
chown $U .env
as $BIN/pip install -q python-dotenv
as $BIN/jupyterhub --generate-config -f /home/$U/jupyterhub_config.py >/dev/null
# mended: imports come first; the class that is in use (LTI11Authenticator) gets consumers and username_key
cat >>jupyterhub_config.py <<'EOF'
import os
from dotenv import load_dotenv
load_dotenv("/home/newuser/.env")
from ltiauthenticator.lti11.auth import LTI11Authenticator
c.JupyterHub.authenticator_class = LTI11Authenticator
c.LTI11Authenticator.allow_all = True
c.LTI11Authenticator.consumers = {os.environ["LTI_CLIENT_KEY"]: os.environ["LTI_CLIENT_SECRET"]}
c.LTI11Authenticator.username_key = "lis_person_sourcedid"
EOF
say hub
apt-get install -q -y nodejs npm
npm install -g --no-audit --no-fund configurable-http-proxy
say node
echo "127.0.0.1 $(hostname)" >>/etc/hosts
# mended: as a unit in place of a shell that somebody keeps open
start_hub() {
    systemctl stop jupyterhub 2>/dev/null || true
    systemctl reset-failed jupyterhub 2>/dev/null || true
    systemd-run -q --unit jupyterhub --uid $U --working-directory /home/$U --setenv "PATH=$BIN:/usr/local/bin:/usr/bin:/bin" \
        $BIN/jupyterhub -f /home/$U/jupyterhub_config.py
}
start_hub

# --- Setup HTTPS
apt-get update -q
apt-get install -q -y nginx
systemctl start nginx
apt-get install -q -y certbot python3-certbot-nginx
# mended: certbot finds the server block by its name, and asks
sed -i "s/server_name _;/server_name $DOMAIN;/" /etc/nginx/sites-available/default
systemctl reload nginx
REQUESTS_CA_BUNDLE=$ACME_CA certbot --nginx -d "$DOMAIN" --server "$ACME_DIRECTORY" \
    --non-interactive --agree-tos --email "$EMAIL" --no-eff-email
# mended: `http2 on;` is unknown to this nginx, and $http_host keeps the port that launches are signed over
cat >/etc/nginx/sites-available/jupyter <<EOF
server {
    listen 80;
    server_name $DOMAIN;
    return 301 https://\$host\$request_uri;
}
server {
    listen 443 ssl http2;
    server_name $DOMAIN;
    ssl_certificate /etc/letsencrypt/live/$DOMAIN/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/$DOMAIN/privkey.pem;
    include /etc/letsencrypt/options-ssl-nginx.conf;
    ssl_dhparam /etc/letsencrypt/ssl-dhparams.pem;
    location / {
        proxy_pass http://127.0.0.1:8000;
        proxy_http_version 1.1;
        proxy_set_header Upgrade \$http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header Host \$http_host;
        proxy_set_header X-Real-IP \$remote_addr;
        proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto \$scheme;
    }
}
EOF
rm /etc/nginx/sites-enabled/default
ln -s /etc/nginx/sites-available/jupyter /etc/nginx/sites-enabled/jupyter
nginx -t
systemctl reload nginx
say https

# --- Setup Docker & DockerSpawner. mended: the distribution's engine, as in params/practice.yaml
apt-get remove -q -y docker docker.io containerd runc 2>/dev/null || true
apt-get update -q
apt-get install -q -y ca-certificates curl gnupg
apt-get install -q -y docker.io
command -v docker >/dev/null || apt-get install -q -y docker-cli  # Debian 13 has the client in a package of its own
systemctl is-active docker
getent group docker >/dev/null || groupadd docker
usermod -aG docker $U
as docker ps
say docker
mkdir -p dockerdir
cd dockerdir
cp "$CA_FOLDER"/*.crt .
# mended: the base (the guide's stands still since 2023; here its stand-in), and the authorities. Left out, which is in
# the guide's favour: conda, mamba, NumPy, TensorFlow, PyTorch, which our own image does not install here either.
cat >Dockerfile <<EOF
FROM $BASE_IMAGE
USER root
COPY *.crt /usr/local/share/ca-certificates/
RUN update-ca-certificates
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN /opt/conda/bin/pip install --upgrade pip
RUN pip install nbgrader nbgitpuller jupyterlab-git
RUN pip install --upgrade jupyterlab-git nbdime
RUN jupyter server extension enable --sys-prefix --py nbgrader
HEALTHCHECK NONE
USER 1000
EOF
docker build --no-cache -t singleuser:latest .
say image
cd ..
as $BIN/pip install -q dockerspawner
cat >>jupyterhub_config.py <<'EOF'
c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.hub_bind_url = "http://0.0.0.0:8081"
c.JupyterHub.hub_connect_url = "http://172.17.0.1:8081"
c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = "singleuser:latest"
c.DockerSpawner.network_name = "bridge"
c.DockerSpawner.use_internal_ip = True
c.Spawner.http_timeout = 120
c.Spawner.start_timeout = 120
c.DockerSpawner.volumes = {"jupyterhub-user-{username}": "/home/jovyan"}
c.DockerSpawner.notebook_dir = "/home/jovyan"
c.DockerSpawner.remove = True
EOF
start_hub

# --- What the guide looks at: the launch URL says 405
for _ in $(seq 60); do
    code=$(curl -sk --noproxy '*' -o /dev/null -w '%{http_code}' --resolve "$DOMAIN:443:127.0.0.1" "https://$DOMAIN/hub/lti/launch" || true)
    [ "$code" = 405 ] && break
    sleep 0.5
done
[ "$code" = 405 ] || { echo "the launch URL answered $code" >&2; journalctl -u jupyterhub -n 20 --no-pager >&2; exit 1; }
say launch
