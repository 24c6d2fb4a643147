# A small stand-in for quay.io/jupyter/scipy-notebook, for machines that reach no image registry. It keeps
# the contract that a derived image relies on (jupyter/docker-stacks, images/docker-stacks-foundation and
# images/base-notebook at 82093869): user jovyan 1000:100, /home/jovyan, CONDA_DIR=/opt/conda first on the
# PATH and writable for the user, tini and start.sh as entry point, start-notebook.py, start-singleuser.py,
# fix-permissions, git, the health check. It leaves out: conda and mamba (/opt/conda is a Python venv,
# one with a user site, as conda's environments have it), NB_UID
# and friends, start-up hooks, nbclassic, TeX, and the scientific packages.
ARG BASE
# hadolint ignore=DL3006
FROM ${BASE}
LABEL hubrun.practice.image=notebook
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ENV CONDA_DIR=/opt/conda SHELL=/bin/bash NB_USER=jovyan NB_UID=1000 NB_GID=100 \
    LC_ALL=C.UTF-8 LANG=C.UTF-8 LANGUAGE=C.UTF-8 JUPYTER_PORT=8888
ENV PATH=${CONDA_DIR}/bin:${PATH} HOME=/home/${NB_USER}
# This machine's own certificates serve the downloads here and are not trusted by the image: the real image
# knows none of them. One step, because storing a layer takes as long as filling it.
COPY ca/ /tmp/ca/
# hadolint ignore=DL3003,DL3008,DL3013,DL3042
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io \
        ca-certificates curl git python3 python3-venv sudo tini \
    && apt-get clean \
    && useradd --no-log-init --create-home --shell /bin/bash --uid 1000 --gid 100 --no-user-group jovyan \
    && install -d -o 1000 -g 100 /home/jovyan/work \
    && cat /etc/ssl/certs/ca-certificates.crt /tmp/ca/* >/tmp/bundle.pem \
    && export PIP_CERT=/tmp/bundle.pem SSL_CERT_FILE=/tmp/bundle.pem HOME=/tmp \
    && python3 -m venv --system-site-packages /opt/conda \
    && pip install -q --no-cache-dir --disable-pip-version-check --target /tmp/uv uv \
    && /tmp/uv/bin/uv pip install -q --no-cache --link-mode=copy --compile-bytecode \
        --python /opt/conda/bin/python \
        'jupyterhub==6.1.1' 'jupyterlab>=4.4,<5' 'notebook>=7.2.2' requests \
    # What builds JupyterHub's own pages; a notebook server shows none of them.
    && rm -rf /opt/conda/share/jupyterhub/static/components \
    && chown -R 1000:100 /opt/conda \
    && rm -rf /tmp/* /var/lib/apt/lists/*
COPY notebook/start.sh notebook/start-notebook.py notebook/start-singleuser.py notebook/fix-permissions \
    /usr/local/bin/
COPY notebook/jupyter_server_config.py notebook/docker_healthcheck.py /etc/jupyter/
RUN chmod 0755 /usr/local/bin/start* /usr/local/bin/fix-permissions /etc/jupyter/docker_healthcheck.py
EXPOSE 8888
HEALTHCHECK --interval=3s --timeout=1s --start-period=3s --retries=3 CMD ["/etc/jupyter/docker_healthcheck.py"]
USER 1000
WORKDIR /home/jovyan
ENTRYPOINT ["tini", "-g", "--", "start.sh"]
CMD ["start-notebook.py"]
