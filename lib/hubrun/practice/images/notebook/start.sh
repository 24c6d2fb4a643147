#!/bin/bash
# Stand-in for docker-stacks' start.sh: runs the command, as the notebook's user when started as root.
set -e
[ $# -gt 0 ] || set -- bash
if [ "$(id -u)" = 0 ]; then
    exec sudo --preserve-env --set-home --user "$NB_USER" PATH="$PATH" "$@"
fi
exec "$@"
