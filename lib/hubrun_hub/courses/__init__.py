"""Courses on the hub: which folders of a course a person's container sees, decided from their groups at each start.

It runs inside JupyterHub. `mounts` is pure; `spawner` joins it to DockerSpawner. The folders are made by the service
that stands between the hub and Docker (`docker_filter/folders.py`), which uses `mounts` too.

Whom does what protect from whom? All containers run as one and the same user (uid 1000), so that owners and modes of
files tell nobody apart. A person's container sees a folder only if the hub mounts it, and that is all that separates
them. What nbgrader, its configuration or a person's environment say inside a container is convenience: whoever changes
it there still reaches only what is mounted.

On the server, for each course below /srv/nbgrader, which only root may enter; all of it is root's:

    <course>/             0755                     nobody in a container writes here, nor does the hub's account, ...
        outbound/         0777                     released assignments
        inbound/          0755
            <user>/       1777                     what this person submitted
        feedback/         0755
            <user>/       0777                     what was sent back to this person
        course/           0777                     source, submissions collected, gradebook
        due/              0700                     what the server took of whom when it was due (programs/due.py)
        graded/           0700                     what came of autograding it (programs/autograde.py)

... and so nobody can put a symbolic link where the hub would tell Docker to mount a folder from: Docker would follow it,
as root. Docker mounts from below a folder that is closed to everyone (0700), as its daemon is root; an account of the
server that happens to have uid 1000 does not get in.

In a container (`places` says from where, and whether read-only):

    /srv/nbgrader/exchange/<course>/{outbound,inbound,feedback}    nbgrader's exchange, as one person sees it
    /srv/nbgrader/courses/<course>                                 instructors: the course folder
    /srv/nbgrader/inbound/<course>/<user>                          instructors: everybody's submissions, read-only
    /srv/nbgrader/feedback/<course>/<user>                         instructors: where feedback is sent to

A group that somebody joins or leaves counts from the next start of their server: a running container keeps its mounts.
"""
