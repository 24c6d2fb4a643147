"""Accounts and groups."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote


@dataclass(frozen=True)
class User(Resource):
    """An account. system: no login shell and no password, for a service. login_shell: of an account that logs in by keys alone.

    uid, gid: numbers that it must have, also where another account has them; None for any.
    """

    name: str
    system: bool = False
    home: str = ""
    login_shell: str = ""
    uid: int | None = None
    gid: int | None = None

    label_format = "user {name}"

    @override
    def probe(self) -> str:
        return quote('getent passwd {} | awk -F: \'{print "home=" $6 "\\nshell=" $7}\'', self.name)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        home = self.home or f"/home/{self.name}"
        shell = self.login_shell or ("/usr/sbin/nologin" if self.system else "/bin/bash")
        if not now.get("home"):
            kind = ["--system", "--no-create-home"] if self.system else ["--create-home"]
            # A password that nobody can type: with "!", which is useradd's, some sshd let nobody in (sshd(8), "*LK*").
            kind += ["--password", "*"] if self.system and self.login_shell else []
            kind += ["--non-unique", "--uid", str(self.uid)] if self.uid is not None else []
            group = ["--user-group"] if self.gid is None else ["--gid", str(self.gid)]
            script = quote("useradd {} {} --home-dir {} --shell {} {}", group, kind, home, shell, self.name)
            return [Action(f"create the account {self.name}", script)]
        if now["shell"] != shell:
            return [Action(f"shell {shell} for {self.name}", quote("usermod --shell {} {}", shell, self.name))]
        return []


@dataclass(frozen=True)
class NotInGroups(Resource):
    """An account that is in none of these groups."""

    name: str
    groups: tuple[str, ...]

    @property
    @override
    def label(self) -> str:
        return f"user {self.name} outside {', '.join(self.groups)}"

    @override
    def probe(self) -> str:
        return quote('echo "groups=$(id -Gn {})"', self.name)

    @override
    def plan(self, found: str) -> list[Action]:
        inside = [group for group in facts(found).get("groups", "").split() if group in self.groups]
        return [_take_out(self.name, group) for group in inside]


@dataclass(frozen=True)
class OnlyMembers(Resource):
    """A group that has no members besides these; who is missing is left to `User`."""

    group: str
    names: tuple[str, ...]

    label_format = "members of the group {group}"

    @override
    def probe(self) -> str:
        return quote('echo "members=$(getent group {} | cut -d: -f4)"', self.group)

    @override
    def plan(self, found: str) -> list[Action]:
        members = facts(found).get("members", "").split(",")
        return [_take_out(name, self.group) for name in members if name and name not in self.names]


@dataclass(frozen=True)
class Member(Resource):
    """An account that is in a group; both are there."""

    name: str
    group: str

    label_format = "user {name} in the group {group}"

    @override
    def probe(self) -> str:
        return quote('echo "groups=$(id -Gn {} 2> /dev/null)"', self.name)

    @override
    def plan(self, found: str) -> list[Action]:
        if self.group in facts(found).get("groups", "").split():
            return []
        return [Action(f"let {self.name} be in {self.group}", quote("gpasswd --add {} {}", self.name, self.group))]


def _take_out(name: str, group: str) -> Action:
    return Action(f"take {name} out of {group}", quote("gpasswd --delete {} {}", name, group))


@dataclass(frozen=True)
class AuthorizedKey(Resource):
    """A public key that may log in as `user` (one line, as in a .pub file). Other keys stay."""

    user: str
    key: str

    label_format = "SSH key of {user}"

    @override
    def probe(self) -> str:
        return quote(
            'home=$(getent passwd {} | cut -d: -f6)\ngrep -qF -- {} "$home/.ssh/authorized_keys" && echo there=yes',
            self.user,
            self._material,
        )

    @override
    def plan(self, found: str) -> list[Action]:
        if facts(found):
            return []
        script = quote(
            """user={}
            home=$(getent passwd "$user" | cut -d: -f6)
            install -d -m 0700 -o "$user" -g "$user" "$home/.ssh"
            [ -z "$(tail -c1 "$home/.ssh/authorized_keys" 2>/dev/null)" ] || echo >> "$home/.ssh/authorized_keys"
            printf '%s\\n' {} >> "$home/.ssh/authorized_keys"
            chown "$user:$user" "$home/.ssh/authorized_keys"
            chmod 0600 "$home/.ssh/authorized_keys" """,
            self.user, self.key.strip(),
        )  # fmt: skip
        return [Action(f"let a key log in as {self.user}", script, f"ssh-copy-id {self.user}@…")]

    @property
    def _material(self) -> str:
        # type and key; the comment behind them may differ
        return " ".join(self.key.split()[:2])
