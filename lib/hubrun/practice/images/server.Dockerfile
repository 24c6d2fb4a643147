# A practice server: what a provider's Debian image holds when it is first logged in to, and nothing of ours.
ARG BASE
# hadolint ignore=DL3006
FROM ${BASE}
LABEL hubrun.practice.image=server
# policy-rc.d, docker-* : traces of a container image (Docker Hub's debian) that a server does not have.
# hadolint ignore=DL3008
RUN rm -f /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/docker-* /etc/dpkg/dpkg.cfg.d/docker* \
    && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io \
        ca-certificates curl dbus iproute2 iputils-ping kmod less libpam-systemd nano openssh-server procps \
        sudo systemd systemd-sysv \
    # For nodes, where this machine's kernel has neither WireGuard nor NFS.
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io sshfs wireguard-go \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* /.dockerenv \
    # Made at the first boot (an empty file) and per server (host keys): two servers must not share them.
    && : >/etc/machine-id \
    && printf 'LANG=C.UTF-8\n' >/etc/default/locale \
    && printf 'PasswordAuthentication no\n' >/etc/ssh/sshd_config.d/50-provider.conf \
    && install -d -m 0700 /root/.ssh \
    # A container has no console to log in at.
    && systemctl mask console-getty.service getty@tty1.service
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
