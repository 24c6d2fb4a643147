"""A git repository outside, as students' containers see it, and the page with which Canvas launches a link into it.

The repository is served by git's own http-backend, in a container that stands for the outside: it has an address of
RFC 5737's documentation networks, since students' containers reach neither the server nor a private network.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlsplit

from canvas import env_file
from machines import Machine
from oauthlib.oauth1 import SIGNATURE_TYPE_BODY
from oauthlib.oauth1 import Client as OAuth1

from hubrun.params import Site

PORT = 8999
OUTSIDE = "198.51.100.2"
# A space, and letters that end an address where they are not encoded.
PATH = "week 1/lab #2 übung.ipynb"

# Makes course.git with a branch `main`, which nothing is on, and `autumn`, which has the notebook; then serves it.
# git-http-backend(1): the variables of CGI/1.1 (RFC 3875) that it reads.
_SERVE = """
import http.server, os, pathlib, subprocess, sys
address, port, path, text = sys.argv[1:]
os.chdir("/tmp")
os.environ.update(HOME="/tmp", GIT_HTTP_EXPORT_ALL="1", GIT_PROJECT_ROOT="/tmp/served")
git = ["git", "-C", "work", "-c", "user.name=Teacher", "-c", "user.email=teacher@example.edu"]
subprocess.run(["git", "init", "-q", "-b", "main", "work"], check=True)
subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "empty"], check=True)
subprocess.run([*git, "switch", "-q", "-c", "autumn"], check=True)
file = pathlib.Path("work", path)
file.parent.mkdir(parents=True)
file.write_text(text)
subprocess.run([*git, "add", "."], check=True)
subprocess.run([*git, "commit", "-q", "-m", "lab"], check=True)
subprocess.run(["git", "clone", "-q", "--bare", "work", "served/course.git"], check=True)

class Git(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        where, _, query = self.path.partition("?")
        names = {"Content-Type": "CONTENT_TYPE", "Content-Length": "CONTENT_LENGTH",
                 "Content-Encoding": "HTTP_CONTENT_ENCODING", "Git-Protocol": "GIT_PROTOCOL"}
        sent = {variable: self.headers[name] for name, variable in names.items() if name in self.headers}
        cgi = {"REQUEST_METHOD": self.command, "PATH_INFO": where, "QUERY_STRING": query, "REMOTE_ADDR": "x", **sent}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, env=os.environ | cgi).stdout
        head, _, rest = answer.partition(b"\\r\\n\\r\\n")
        lines = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(lines.pop("Status", "200").split()[0]))
        for name, value in {**lines, "Content-Length": str(len(rest))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest)
    do_POST = do_GET

http.server.ThreadingHTTPServer((address, int(port)), Git).serve_forever()
"""


@contextmanager
def repository_outside(machine: Machine, site: Site) -> Iterator[str]:
    """The address of a repository that students' containers reach: outside, as they see it."""
    cell = {"cell_type": "markdown", "id": "one", "metadata": {}, "source": "Pulled from *git*"}
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    start = """
        docker run -d --rm --name hubrun-test-git --network none $1 python -c "$2" 0.0.0.0 $3 "$4" "$5"
        pid=$(docker inspect -f '{{.State.Pid}}' hubrun-test-git)
        ip link add hubrun-git type veth peer name outside netns "$pid"
        ip addr add 198.51.100.1/30 dev hubrun-git
        ip link set hubrun-git up
        nsenter -t "$pid" -n sh -c "ip addr add $6/30 dev outside; ip link set outside up"
    """
    machine.run(start, site.image_name, _SERVE, str(PORT), PATH, text, OUTSIDE)
    url = f"http://{OUTSIDE}:{PORT}/course.git"
    try:
        machine.run(f"curl -fsS -o /dev/null --retry 40 --retry-delay 0 --retry-max-time 20 --retry-all-errors {url}/info/refs?service=git-upload-pack")  # fmt: skip
        yield url
    finally:
        machine.run("docker rm -f hubrun-test-git")


def page_of_canvas(machine: Machine, launch_url: str, student: str) -> str:
    """The page with which Canvas launches a tool at this URL: a form that sends itself.

    What the query of the URL says is put into the form, and signed there; the form is sent to the URL as it is
    (instructure/canvas-lms, lib/lti/security.rb and app/views/lti/_lti_message.html.erb).
    """
    pair = env_file(machine.secret("/etc/jupyterhub/lti.env"))
    form = {
        "lti_message_type": "basic-lti-launch-request", "lti_version": "LTI-1p0", "resource_link_id": "88391",
        "user_id": f"opaque-{student}", "roles": "Learner", "lis_person_sourcedid": student, "context_id": "2f3a",
        "tool_consumer_info_product_family_code": "canvas", "oauth_callback": "about:blank",
        **dict(parse_qsl(urlsplit(launch_url).query)),
    }  # fmt: skip
    signer = OAuth1(pair["LTI_CLIENT_KEY"], client_secret=pair["LTI_CLIENT_SECRET"], signature_type=SIGNATURE_TYPE_BODY)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    _, _, body = signer.sign(launch_url.partition("?")[0], "POST", body=form, headers=headers)
    fields = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in parse_qsl(body)
    )
    return f'<form action="{html.escape(launch_url)}" method="post">{fields}</form><script>document.forms[0].submit()</script>'
