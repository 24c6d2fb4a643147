"""The sites of others in the same nginx: what they listen on, and what of them does not go together with ours."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.checks import Check, Test
from hubrun.desired.resource import Action, Resource, facts
from hubrun.params import Site
from hubrun.shell import quote

# In conf.d and not in sites-available: one file is the whole state, so that a file that `nginx -t` refuses can be
# put back by itself. Debian's and Ubuntu's nginx.conf include both.
HTTP_FILE = "/etc/nginx/conf.d/jupyterhub-http.conf"
HTTPS_FILE = "/etc/nginx/conf.d/jupyterhub-https.conf"
DEFAULT_SITE = "/etc/nginx/sites-enabled/default"

# A package's own site, as it brought it: dpkg-query(1) knows the digest of each configuration file.
_UNTOUCHED = f"""
digests=$(dpkg-query -W -f '${{Conffiles}}\\n' 'nginx*' 2> /dev/null)
untouched() {{ # NAME FILE CONFFILE
    [ ! -e "$2" ] || ! echo "$digests" | grep -qE "^ $3 $(md5sum < "$2" | cut -d' ' -f1)( |\\$)" || echo "$1=$2"
}}
untouched distribution {DEFAULT_SITE} /etc/nginx/sites-available/default
"""
# What nginx reads, in its order, each file under its name; where it cannot, what Debian's and Ubuntu's nginx.conf include.
READ = f"""
[ -e /etc/nginx/nginx.conf ] || exit 0
{_UNTOUCHED}
untouched nginx.org /etc/nginx/conf.d/default.conf /etc/nginx/conf.d/default.conf
dump=$(nginx -T 2> /dev/null) && {{ printf '%s\\n' "$dump"; exit 0; }}
for file in /etc/nginx/nginx.conf /etc/nginx/conf.d/*.conf /etc/nginx/sites-enabled/*; do
    [ ! -f "$file" ] || {{ echo "# configuration file $file:"; cat "$file"; echo; }}
done
"""
_FILE = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
# nginx.org, "Configuration File's Structure"; src/core/ngx_conf_file.c, ngx_conf_read_token: a word ends at a space, ; or {.
_TOKEN = re.compile(
    r"""\#[^\n]*|([;{}])|"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|((?:\$\{|\\.|[^\s;{\\])+)""", re.DOTALL
)
# What our own file repeats of an address.
_ADDRESS = re.compile(r"[A-Za-z0-9.:_-]+|\[[0-9A-Fa-f:.]+\]:[0-9]+")


@dataclass(frozen=True)
class Server:
    """One `server` block: its file, its names, and each socket ("80", "[::]:80", "10.0.0.5:80") → the options there."""

    file: str
    names: tuple[str, ...]
    sockets: dict[str, tuple[str, ...]]
    stream: bool = False

    def nameless(self, socket: str) -> bool:
        """Whether it has no name that a browser elsewhere could ask for, and is reached only as the socket's default."""
        here = () if socket.startswith(("127.", "[::1]")) else ("localhost",)
        return all(name in ("", "_", *here) for name in self.names)


@dataclass(frozen=True)
class OtherSites:
    """The servers of others, in nginx's order; bucket: what they say of server_names_hash_bucket_size, 0 is nothing."""

    servers: tuple[Server, ...] = ()
    bucket: int = 0

    @classmethod
    def read(cls, text: str) -> OtherSites:
        """From what READ printed. Our own files, and untouched ones of packages, are none of others."""
        head, *parts = _FILE.split(text)
        files = dict(zip(parts[::2], parts[1::2], strict=True))
        own = {HTTP_FILE, HTTPS_FILE, *facts(head).values()}
        servers: list[Server] = []
        streams: set[str] = set()  # files that a block of streams includes
        bucket = 0
        for file, content in files.items():
            for path, words, body in _blocks(content) if file not in own else ():
                stream = "stream" in path or file in streams
                streams |= {*_included(words, files)} if stream else set()
                if words[:1] == ["server_names_hash_bucket_size"] and words[1:2] and words[1].isdecimal():
                    bucket = int(words[1])
                if words == ["server"] and body is not None and "mail" not in path:
                    servers.append(_server(file, [*_directives(body, files)], stream))
        return cls(tuple(servers), bucket)

    def sockets(self, port: int, ipv6: bool) -> dict[str, bool]:
        """Where ours must listen to be asked at all, with whether ours is the default there.

        nginx looks for the address first and for the name only among those that listen on it (nginx.org, "How nginx
        processes a request"): what another site has for itself, ours must have too.
        """
        wild = [str(port), *([f"[::]:{port}"] if ipv6 else [])]
        if any("ipv6only=off" in each.sockets.get(f"[::]:{port}", ()) for each in self.servers):
            wild = wild[1:]  # theirs is for IPv4 as well: a second one would not start
        theirs = [
            socket for each in self.servers if not each.stream for socket in each.sockets if _port(socket) == port
        ]
        known = dict.fromkeys([*wild, *(socket for socket in theirs if socket.rpartition(":")[0] not in ("", "[::]"))])
        return {socket: not self._default(socket) for socket in known if _ADDRESS.fullmatch(socket)}

    def _default(self, socket: str) -> bool:
        return any({"default_server", "default"} & {*each.sockets.get(socket, ())} for each in self.servers)

    def problems(self, site: Site) -> list[tuple[str, str]]:
        """What of them does not go together with the hub's site, and what to do about it."""
        names = {site.domain, f".{site.domain}", *([f"*.{site.domain}"] if site.subdomains else [])}
        found: list[tuple[str, str]] = []
        firsts: dict[str, Server] = {}
        for each in self.servers:
            ours = [socket for socket in each.sockets if _port(socket) in (80, 443)]
            for socket in ours:
                firsts.setdefault(socket, each)
            if each.stream and ours:
                found.append((f"{each.file}: a server of `stream` has {ours[0]}", "Give it another port"))
            elif ours and (same := names & {*each.names}):
                do = f"Take it away (rm {each.file}), or change its server_name: the hub's own site takes its place"
                found.append((f"{each.file} serves {min(same)} too", do))
        for socket, first in firsts.items():
            if first.nameless(socket) and not first.stream and not self._default(socket):
                what = f"{first.file} has no name that others can ask for: it is reached as the first site of {socket}, and the hub's would come before it"
                do = f"Give it a server_name, or keep it the default: write `listen {socket} default_server;` in it"
                found.append((what, do))
        wanted = bucket_for(site.domain)
        if 0 < self.bucket < wanted:
            what = f"server_names_hash_bucket_size is {self.bucket}, too little for {site.domain}"
            found.append((what, f"Set it to {wanted} where it is: grep -rn server_names_hash_bucket_size /etc/nginx"))
        return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _OtherSitesTest(Test):
    """What READ prints, judged for the site with this domain."""

    site: Site | None = None

    @override
    def judge(self, exit_code: int, text: str, at: float = 0.0) -> Check:
        assert self.site
        others = OtherSites.read(text)
        problems = others.problems(self.site)
        files = sorted({each.file for each in others.servers})
        came = "; ".join(what for what, _ in problems) or (
            f"beside it: {', '.join(files)}" if files else "no other site"
        )
        do = "; ".join(dict.fromkeys(do for _, do in problems)) or self.remedy
        return Check(self.title, exit_code == 0 and not problems, "sites that can stay as they are", came, do)


def test(site: Site) -> Test:
    """A test that the sites of others can stay as they are, beside the hub's."""
    title = "the hub's site goes together with the other sites of nginx"
    return _OtherSitesTest(title, READ, remedy="Look at /etc/nginx", site=site)


@dataclass(frozen=True)
class NoDistributionDefault(Resource):
    """The distribution's own default site goes, as long as nobody has changed it; one that was changed is somebody's."""

    label_format = f"no untouched {DEFAULT_SITE}"
    event = DEFAULT_SITE

    @override
    def probe(self) -> str:
        return _UNTOUCHED

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return f"distribution={DEFAULT_SITE}" if DEFAULT_SITE in written else found

    @override
    def plan(self, found: str) -> list[Action]:
        return [Action(f"remove {DEFAULT_SITE}", quote("rm -f {}", DEFAULT_SITE))] if facts(found) else []


def bucket_for(name: str) -> int:
    """The least server_names_hash_bucket_size in which a name fits: the name with its length in words of 8 bytes, and one
    pointer before and after (src/core/ngx_hash.c, NGX_HASH_ELT_SIZE and ngx_hash_init)."""
    needs = 8 + (len(name) + 2 + 7) // 8 * 8 + 8
    return next(size for size in (64, 128, 256, 512) if needs <= size)


def _port(socket: str) -> int:
    return int(socket.rpartition(":")[2])


def _socket(text: str) -> str:
    """What `listen` names, in one way of writing it; "" for a file, and for a range of ports."""
    if text.isdecimal():
        return text
    host, port = text, "80"
    if match := re.fullmatch(r"(\[[^\]]+\]|[^\[\]:]+):(\d+)", text):
        host, port = match[1], match[2]
    if text.startswith("unix:") or re.fullmatch(r"(.*:)?\d+-\d+", text):
        return ""
    return port if host in ("*", "0.0.0.0") else f"{host.lower()}:{port}"  # nosec B104 - read, not bound


def _server(file: str, directives: list[list[str]], stream: bool) -> Server:
    sockets: dict[str, tuple[str, ...]] = {}
    listens = [words[1:] for words in directives if words[0] == "listen" and words[1:]] or [["80"]]
    for where, *options in listens:
        if socket := _socket(where):
            sockets[socket] = (*sockets.get(socket, ()), *options)
    names = [name.lower() for words in directives if words[0] == "server_name" for name in words[1:]]
    return Server(file, tuple(names), sockets, stream)


def _directives(body: str, files: Mapping[str, str]) -> Iterator[list[str]]:
    """The words of each directive right in a block, and of those that it includes."""
    for path, words, _ in _blocks(body):
        if not path and words:
            yield words
            for file in _included(words, files):
                yield from _directives(files[file], files)


def _included(words: list[str], files: Mapping[str, str]) -> list[str]:
    return fnmatch.filter(files, posixpath.join("/etc/nginx", *words[1:2])) if words[:1] == ["include"] else []


def _blocks(text: str) -> Iterator[tuple[list[str], list[str], str | None]]:
    """Each directive of a file: the blocks around it, its words, and, where it is a block, the text in it."""
    path: list[str] = []
    begun: list[tuple[list[str], int]] = []
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        mark, double, single, bare = match.groups()
        if mark == ";":
            if words:
                yield list(path), words, None
            words = []
        elif mark == "{":
            begun.append((words, match.end()))
            path.append(words[0] if words else "")
            words = []
        elif mark == "}":
            if begun:
                opened, start = begun.pop()
                path.pop()
                yield list(path), opened, text[start : match.start()]
            words = []
        elif double is not None or single is not None or bare:
            words.append(double if double is not None else single if single is not None else bare)
