#!/bin/bash
# Runs DNS, registry and ACME server; when one ends, so does the container (and Docker starts it again).
set -u
etc=/etc/practice
rm -f /run/practice-ready
mkdir -p /var/lib/practice/knot /run/knot

dnsmasq --conf-file=$etc/dnsmasq.conf --keep-in-foreground &
knotd -c $etc/knot.conf &
docker-registry serve $etc/registry.yml &
# NOSLEEP: pebble otherwise waits up to 15 s before each validation, to find impatient clients.
# NONCEREJECT: it otherwise refuses 5 % of good nonces, to find clients that do not retry; certbot retries
# once only, so a practice run would fail now and then for no reason of its own.
PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 \
    pebble -config $etc/pebble.json -dnsserver 127.0.0.1:53 &
pebble=$!

# pebble makes a new root at each start and keeps nothing: certificates that an earlier start issued are
# verified by the earlier roots, so all of them are kept.
until curl -sf --cacert $etc/ca.pem https://localhost:15000/roots/0 -o /run/root.pem; do
    kill -0 $pebble || exit 1
    sleep 0.1
done
cat /run/root.pem >>/var/lib/practice/roots.pem
touch /run/practice-ready

wait -n
exit 1
