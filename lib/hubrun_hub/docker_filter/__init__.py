"""Stands between the hub and Docker, and lets through what a DockerSpawner needs: the hub's account alone is not root.

Whoever may talk to Docker's socket is root on the server: a container may have `/` mounted, or be `--privileged`. The hub
talks to the world, so it gets this instead: a service of root's that listens on a socket of its own, which the hub's
group may use. It knows these calls, and refuses every other (https://docs.docker.com/reference/api/engine/):

    GET    /_ping, /version
    GET    /images/NAME/json              an image that the site allows
    POST   /containers/create?name=NAME   what `create` makes of it
    GET    /containers/json               students' containers, and no others
    GET    /containers/NAME/json          a student's container
    POST   /containers/NAME/start, /stop  a student's container
    DELETE /containers/NAME               a student's container

Nothing that a client sends reaches Docker as it is: path and query are rebuilt from what was understood, and the
body of a create call is rebuilt from a list of what is allowed. So it does not matter how Docker reads what is not
understood here (a key twice, a key in lower case, a header).

Of its own accord it makes the students' network again, when that is gone. On nodes (hubrun_hub.nodes) runbook 04 makes it.

For each node it listens on one more socket (`nodes_file.filter_socket`): a request there is judged as any other, and is for
that node's Docker. Homes and folders of courses are made on the manager, whose disk nodes mount.

The folders of courses are mounted from the server's disk. Docker follows a symbolic link there, as root; so these
folders are root's, and `folders` makes them when a container that mounts them is created.

It runs in the system's own python3 (3.10 or newer), which has nothing but the standard library. `create`, `calls` and `settings` are pure but for reading the two files of settings;
`serve` is the service.
"""
