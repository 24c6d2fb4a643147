# What stands beside a practice server: DNS, the ACME server, the image registry.
ARG BASE
# hadolint ignore=DL3006
FROM ${BASE}
LABEL hubrun.practice.image=services
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io \
        ca-certificates curl dnsmasq-base docker-registry knot pebble \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*
COPY services.sh /usr/local/bin/services
RUN chmod 0755 /usr/local/bin/services
CMD ["services"]
