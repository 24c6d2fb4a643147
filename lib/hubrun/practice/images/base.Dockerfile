# The operating system with this machine's package mirror: what a provider's image starts from.
ARG ROOT
# hadolint ignore=DL3006
FROM ${ROOT}
LABEL hubrun.practice.image=base
RUN rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
COPY apt/ /etc/apt/
