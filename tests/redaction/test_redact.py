"""Nothing that is written or shown holds a secret, in whatever form, and nothing else is changed on the way."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import re
import shlex
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from hubrun.redaction.redact import Redactor
from hubrun.redaction.secret_forms import decoded

PROJECT = Path(__file__).parents[2]
VALUE = 's3cr3t/with\' "quote"&more <\\n> é€😀\n2nd+line'
DIGITS = hashlib.sha256(b"a secret of the tests").hexdigest()
BINARY = bytes.fromhex(DIGITS)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def wrapped(text: str, width: int = 76, newline: str = "\n") -> str:
    return newline.join(text[i : i + width] for i in range(0, len(text), width))


def all_percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def knowing(*values: tuple[str, str]) -> Redactor:
    redactor = Redactor()
    for value, name in values:
        redactor.learn(value, name)
    return redactor


def by_digest(digits: str = DIGITS, name: str = "LTI_CLIENT_SECRET", salt: str = "4f1c") -> Redactor:
    redactor = Redactor()
    redactor.learn_digest("another", salt, hashlib.sha256(b"another").hexdigest())
    redactor.learn_digest(name, salt, hashlib.sha256((salt + digits).encode()).hexdigest())
    return redactor


ESCAPED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "for the shell": lambda text: shlex.quote(text).strip("'"),
    "by the shell's trace": lambda text: text.replace("'", "'\\''"),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON within JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "repr": lambda text: repr(text)[1:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "HTML": html.escape,
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "HTML in JSON": lambda text: json.dumps(html.escape(text))[1:-1],
    "address": lambda text: quote(text, safe=""),
    "path of an address": quote,
    "form": quote_plus,
    "address within an address": lambda text: quote(quote(text, safe=""), safe=""),
    "every byte percent-encoded": all_percent,
    "every byte percent-encoded, lower case": lambda text: all_percent(text).lower(),
}
ENCODED: dict[str, Callable[[str], str]] = {
    "base64": b64,
    "base64 without padding": lambda text: b64(text).rstrip("="),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in an address": lambda text: quote(wrapped(b64(text), 64), safe=""),
    "hex": lambda text: text.encode().hex(),
    "hex, upper case": lambda text: text.encode().hex().upper(),
    "base64 of JSON": lambda text: b64(json.dumps({"name": text})),
    "base64 of base64": lambda text: b64(f"the value: {b64(text)}"),
} | {
    f"base64 of {before!r} and it": lambda text, before=before: b64(f"{before}{text}\nafter it") for before in ("u:", "us:", "u", "a longer text, " * 9)
}  # fmt: skip


@pytest.mark.parametrize("form", ESCAPED.values(), ids=ESCAPED)
@pytest.mark.parametrize("value", [VALUE, "plain-Value_123", "correct horse battery"])
def test_a_known_value_is_replaced_by_its_name_however_it_is_escaped(form: Callable[[str], str], value: str) -> None:
    counts: Counter[str] = Counter()
    text = f"said: {form(value)}, twice {form(value)}\nend"
    redacted = knowing((value, "LTI secret")).text(text, counts)
    assert redacted == "said: <LTI secret>, twice <LTI secret>\nend"
    assert counts == {"LTI secret": 2}


@pytest.mark.parametrize("form", ENCODED.values(), ids=ENCODED)
@pytest.mark.parametrize("value", [VALUE, "plain-Value_123", DIGITS, "hunter"])
def test_a_known_value_is_found_inside_base64_and_hex(form: Callable[[str], str], value: str) -> None:
    encoded = form(value)
    lines = () if "%" in encoded else (wrapped(encoded), wrapped(encoded, 64, "\\r\\n"))
    for written in (encoded, f"said: {encoded}\nend", f"path/{encoded} ", *lines):
        redacted = knowing((value, "LTI secret")).text(written)
        assert "<LTI secret>" in redacted
        assert not holds(redacted, value.encode())


def holds(text: str, data: bytes) -> bool:
    """Whether anything in the text that can be read as base64 or hex holds these bytes."""
    for run in re.findall(r"[A-Za-z0-9+/_-]{6,}", re.sub(r"\s|\\n", "", text).replace("-", "+").replace("_", "/")):
        if any(data in decoded(run, start) for start in range(4)) or data.hex() in run.lower():
            return True
    return False


@pytest.mark.parametrize(
    "written",
    [DIGITS.upper(), b64(DIGITS), base64.b64encode(BINARY).decode(), base64.urlsafe_b64encode(BINARY).decode().rstrip("="), all_percent(DIGITS),
     f"LTI_CLIENT_KEY={DIGITS}", f"abc{DIGITS}0f", wrapped(DIGITS, 40), wrapped(b64(DIGITS), 76)],
)  # fmt: skip
@pytest.mark.parametrize(
    "redactor", [by_digest(), knowing((DIGITS, "LTI_CLIENT_SECRET"))], ids=["by digest", "by value"]
)
def test_the_servers_secrets_are_found_in_every_form(written: str, redactor: Redactor) -> None:
    redacted = redactor.text(f"x {written} y")
    assert redacted.startswith("x ") and redacted.endswith(" y") and "<LTI_CLIENT_SECRET>" in redacted
    assert DIGITS not in redacted.lower() and not holds(redacted, BINARY) and not holds(redacted, DIGITS.encode())


def test_of_base64_around_a_value_stays_what_holds_no_part_of_it() -> None:
    assert knowing(("hunter2-hunter2", "x")).text(b64("uhunter2-hunter2!")) == "d<x>E="


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "LTI_CLIENT_KEY=0123\nLTI_CLIENT_SECRET="])
@pytest.mark.parametrize("width", [1000, 76, 64])
def test_a_secret_known_by_digest_is_found_inside_base64_of_a_file(before: str, width: int) -> None:
    redacted = by_digest().text("file:\n" + wrapped(b64(f"{before}{DIGITS}\n# end of the file"), width) + "\n")
    assert "<LTI_CLIENT_SECRET>" in redacted
    assert not holds(redacted, DIGITS.encode()[:30]) and not holds(redacted, DIGITS.encode()[-30:])


def test_two_secrets_in_one_base64_text_are_both_taken_out() -> None:
    redactor = by_digest()
    redactor.learn("hunter2-hunter2", "password")
    text = f"one {DIGITS} two hunter2-hunter2 three {pem('EC')}"
    for part in (text, text.partition(" three")[0]):
        redacted = redactor.text(f"data: {b64(part)}.")
        assert not any(holds(redacted, secret) for secret in (DIGITS.encode(), b"hunter2-hunter2", b"BEGIN EC"))


def test_what_looks_like_a_secret_of_the_server_but_is_none_stays() -> None:
    image, commit = f"sha256:{hashlib.sha256(b'image').hexdigest()}", hashlib.sha1(b"commit").hexdigest()
    text = f"image {image}, commit {commit}, SHA256:{base64.b64encode(hashlib.sha256(b'host').digest()).decode().rstrip('=')}"
    assert by_digest().text(text) == text


def pem(kind: str, lines: int = 8) -> str:
    body = wrapped(base64.b64encode(hashlib.shake_256(kind.encode()).digest(48 * lines)).decode(), 64)
    kind = f"{kind} " if kind else ""
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


@pytest.mark.parametrize("kind", ["", "RSA", "EC", "OPENSSH", "ENCRYPTED"])
def test_private_keys_are_replaced_whole_cut_off_and_escaped(kind: str) -> None:
    key = pem(kind)
    begin, end = key.splitlines()[0], key.splitlines()[-1]
    body = "".join(key.splitlines()[1:-1])
    cut = key.partition("\n-----END")[0]
    headed = key.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0F1E\n\n", 1)
    written = [key, cut, key[: len(key) // 2], key.partition("\n")[2], json.dumps({"a": key}), json.dumps(json.dumps(key)), repr([key]),
               key.replace("\n", "\n    "), key.replace("\n", "\n+"), html.escape(key), "\r\n".join(key.splitlines()), str(key.splitlines()),
               headed, headed.partition("\n-----END")[0], b64(key), wrapped(b64(key))]  # fmt: skip
    for text in written:
        redacted = Redactor().text(f"it is\n{text}\nExit status 1")
        assert redacted.startswith("it is\n") and redacted.endswith(" status 1"), redacted
        assert "<private key>" in redacted and not any(body[i : i + 16] in redacted for i in range(0, len(body), 16)), (
            text
        )
        assert begin not in redacted and end not in redacted


def test_a_pgp_key_block_is_a_private_key_and_a_certificate_is_none() -> None:
    block = pem("PGP").replace("KEY-----", "KEY BLOCK-----")
    certificate = pem("").replace("PRIVATE KEY", "CERTIFICATE")
    assert Redactor().text(f"{block}\n{certificate}") == f"<private key>\n{certificate}"


MIXED = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9nO2qR5tU8xA1dG4jM7pS0vY3bE6hK9nQ2tW5z"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"RS256"}', b'{"sub":"ada","aud":"hub"}', BINARY)
)
TOKENS = {
    **{f"{start}{MIXED[:36]}": "GitHub token" for start in ("ghp_", "gho_", "ghs_", "ghr_", "ghu_")},
    f"github_pat_{MIXED[:22]}_{MIXED[:59]}": "GitHub token",
    f"glpat-{MIXED[:20]}": "GitLab token",
    f"xoxb-123456789012-{MIXED[:24]}": "Slack token",
    f"xoxe.xoxp-1-{MIXED[:40]}": "Slack token",
    "AKIA" + "IOSFODNN7TESTING": "AWS key",
    "ASIA" + "IOSFODNN7TESTING": "AWS key",
    f"AIza{MIXED[:35]}": "Google API key",
    f"sk_live_{MIXED[:24]}": "Stripe key",
    f"rk_live_{MIXED[:24]}": "Stripe key",
    f"sk-{MIXED[:48]}": "API key",
    f"sk-proj-{MIXED[:40]}_{MIXED[:9]}": "API key",
    f"npm_{MIXED[:36]}": "npm token",
    f"pypi-AgEIcHlwaS5vcmc{MIXED}": "PyPI token",
    f"hf_{MIXED[:34]}": "Hugging Face token",
    f"7~{MIXED[:64]}": "Canvas token",
    JWT: "JWT",
}  # fmt: skip


@pytest.mark.parametrize(
    ("token", "name"), TOKENS.items(), ids=[f"{name} {token[:6]}" for token, name in TOKENS.items()]
)
def test_tokens_are_known_by_their_looks(token: str, name: str) -> None:
    for before, after in (
        ("", ""),
        ("got ", "."),
        ('{"x": "', '"}'),
        ("https://hub.example.edu/?t=", "&next=/hub"),
        ("(", ")\n"),
    ):
        assert Redactor().text(before + token + after).rstrip(".") == f"{before}<{name}>{after}".rstrip(".")
    assert f"<{name}>" in Redactor().text(b64(f"the token is here: {token} and nowhere else"))


HEADERS = [
    "Authorization: Bearer #", "authorization: token #", "Proxy-Authorization: Basic #", "X-Api-Key: #", "Cookie: hub-login=#; x=y",
    "Cookie: x=y; hub-login=#", "Set-Cookie: hub-login=#; Path=/hub/; HttpOnly", "-H 'Authorization: Bearer #' ", "{'Authorization': 'Bearer #'}",
    '{"Cookie": "hub-login=#"}', "(b'authorization', b'Bearer #')", 'Authorization: Digest username="ada", realm="x", response="#"',
    "{&quot;Authorization&quot;: &quot;Bearer #&quot;}", '"{\\"Authorization\\": \\"Bearer #\\"}"',
]  # fmt: skip
ASSIGNED = [
    "LTI_CLIENT_SECRET=#", "export DB_PASSWORD=# FOO=bar", "--password=# --user=ada", "https://hub.example.edu/?token=#&next=/hub", "CONFIGPROXY_AUTH_TOKEN='#'",
    'api_key = "#"', "'sudo_password': '#'", '"token": "#"', '{\\"token\\": \\"#\\"}', "{&quot;api_key&quot;: &quot;#&quot;}", "db_passwd: #\nuser: ada",
    'os.environ["HUB_TOKEN"] = "#"', "aws_secret_access_key = #", "PRIVATE_KEY=#", "clientSecret: '#',", "PASSWORD=#\\nUSER=ada", 'login(password="#")',
    "//registry.example.edu/:_authToken=#", "- API_KEY: #", '["PROXY_TOKEN=#"]',
]  # fmt: skip


@pytest.mark.parametrize("value", ["hunter2-hunter2", MIXED[:40], DIGITS])
@pytest.mark.parametrize("text", HEADERS + ASSIGNED)
def test_what_is_named_a_secret_is_one_whatever_its_value(text: str, value: str) -> None:
    redacted = Redactor().text(text.replace("#", value))
    name = "HTTP credentials" if text in HEADERS else "secret value"
    assert value not in redacted and f"<{name}>" in redacted
    assert Redactor().text(redacted) == redacted


def test_a_passphrase_in_quotes_and_a_password_in_an_address_are_secrets() -> None:
    assert Redactor().text("http://ada:%40pril2026@git.example.edu") == "http://ada:<URL password>@git.example.edu"
    assert Redactor().text("password='%x*(y)Z'") == "password='<secret value>'"
    assert Redactor().text('PASSWORD="correct horse battery staple"') == 'PASSWORD="<secret value>"'
    assert (
        Redactor().text("git clone https://ada:p@ss:w0rd@git.example.edu/x.git")
        == "git clone https://ada:<URL password>@git.example.edu/x.git"
    )


@pytest.mark.parametrize(
    "text",
    [
        "LTI_CLIENT_SECRET=$(openssl rand -hex 32)", 'TOKEN="$HUB_TOKEN"', "password=${PASSWORD}", "token = os.environ['HUB_TOKEN']", "secret = make_secret(32)",
        "API_KEY=<your key>", "api_key: …", 'password = ""', "token: never shown", "Shared Secret: on the server: sudo grep LTI_CLIENT_SECRET /etc/lti.env",
        '{"token": "never shown on paper"}', "token: required", "password: Secret", "login(user=ada, password=password)", "f(token=self.token)", "if token == expected:",
        "password=******", "Authorization: header is missing", 'headers={"Authorization": "token " + token}', "Cookie: none", "headers.get('cookie', '')",
        "http://127.0.0.1:8000 and ada@example.edu", "https://ada:$PASSWORD@example.edu/", 'sudo_password_env: str = "HUB_SUDO"', "sk-learn and task-1", "1.2~rc1",
        "the ssh key: -----BEGIN PRIVATE KEY----- is its first line", "/etc/jupyterhub/proxy.env%20is%2Fclosed", "secret_file: /etc/jupyterhub/lti.env",
        "npm_config_registry_and_whatever_comes_after_it_in_this_name", "cookie_secret_file = '/var/lib/jupyterhub/cookie_secret'", "date +%Y%m%d%H%M%S",
        "KEY, SECRET = \"LTI_CLIENT_KEY\", \"LTI_CLIENT_SECRET\"",
    ],
)  # fmt: skip
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert Redactor().text(text) == text
    assert Redactor().data([f"{text}\n", "next"]) == [f"{text}\n", "next"]


FILES = sorted(
    path
    for pattern in ("runbooks/*", "lib/hubrun/**/templates/*", "params/*.yaml", "lib/hubrun/**/*.py", "README.md")
    for path in PROJECT.glob(pattern)
    if path.is_file()
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_the_projects_own_files_hold_nothing_that_looks_like_a_secret(path: Path) -> None:
    redactor, text = by_digest(), path.read_text()
    assert redactor.text(text) == text
    if path.suffix == ".ipynb":
        assert redactor.data(json.loads(text)) == json.loads(text)


def test_a_notebook_is_copied_with_its_class_and_cleaned_in_sources_outputs_metadata_and_keys() -> None:
    error = new_output("error", ename="ValueError", evalue=f"no {VALUE}", traceback=[f"\x1b[31mraise {VALUE!r}"])
    shown = new_output(
        "display_data", data={"application/json": {VALUE: [1, None, [VALUE, 2.5]]}, "text/html": html.escape(VALUE)}
    )
    book = new_notebook(
        cells=[new_code_cell(f"x = {VALUE!r}", outputs=[error, shown])],
        metadata={"papermill": {"parameters": {"x": VALUE}}},
    )
    before, counts = copy.deepcopy(book), Counter[str]()
    redacted = knowing((VALUE, "password")).data(book, counts)
    assert book == before
    assert type(redacted) is NotebookNode and type(redacted.cells[0].outputs[1].data) is NotebookNode
    assert redacted.cells[0].outputs[1].data["application/json"] == {"<password>": [1, None, ["<password>", 2.5]]}
    assert "s3cr3t" not in json.dumps(redacted) and counts == {"password": 7}
    assert knowing((VALUE, "password")).data(redacted, counts) == redacted and counts == {"password": 7}


def test_lines_as_notebooks_keep_them_on_disk_are_one_text() -> None:
    counts = Counter[str]()
    redacted = Redactor().data({"text": ["it is\n", *f"{pem('EC')}\n".splitlines(keepends=True), "end"]}, counts)
    assert redacted == {"text": ["it is\n", "<private key>\n", "end"]} and counts == {"private key": 1}


def test_a_field_named_a_secret_is_one() -> None:
    fields = {
        "api_token": "hunter2-hunter2",
        "Authorization": "Bearer hunter2-hunter2",
        "token": "never shown",
        "token_file": "/etc/x/token.env",
    }
    counts = Counter[str]()
    assert Redactor().data(fields, counts) == fields | {
        "api_token": "<secret value>",
        "Authorization": "<HTTP credentials>",
    }
    assert counts == {"secret value": 1, "HTTP credentials": 1}


def test_what_is_learned_later_is_found_in_texts_seen_before() -> None:
    redactor, counts = Redactor(), Counter[str]()
    assert redactor.text("hunter2") == "hunter2"
    redactor.learn("hunter2", "password")
    assert redactor.text("hunter2", counts) == redactor.text("hunter2", counts) == "<password>"
    assert counts == {"password": 2}
    assert redactor.text(f"it is {DIGITS}") == f"it is {DIGITS}"
    redactor.learn_digest("key", "salt", hashlib.sha256(f"salt{DIGITS}".encode()).hexdigest())
    assert redactor.text(f"it is {DIGITS}") == "it is <key>"


def test_a_secret_that_holds_another_is_replaced_whole_and_names_are_left_alone() -> None:
    redactor = knowing(("inner", "short"), ("outer-inner-outer", "long"), ("long", "third"))
    redactor.learn("outer-in", "begins like it")
    redactor.learn("outer-inner-outer, and more", "longest")
    assert redactor.text("outer-inner-outer inner long") == "<long> <short> <third>"
    assert redactor.text("outer-inner-outer, and more") == "<longest>"
    assert redactor.text(f"a {b64('outer-inner-outer')} z") == "a <long> z"
    assert redactor.text(html.escape("<long> <short> <third>")) == html.escape("<long> <short> <third>")


def test_whatever_is_new_is_told_to_the_other_process_once() -> None:
    redactor, told = Redactor(), list[Any]()
    redactor.told = lambda kind, what: told.append((kind, what))
    for _ in range(2):
        redactor.learn("hunter2", "password")
        redactor.learn_digest("key", "salt", "0" * 64)
        redactor.learn("ab", "too short")
    assert told == [("value", ("hunter2", "password")), ("digest", ("key", "salt", "0" * 64))]


def test_the_environments_secrets_are_known_by_the_names_of_their_variables() -> None:
    secret = {name: f"{name.lower()}-123" for name in
              ("GITHUB_TOKEN", "TOKEN", "DB_PASSWORD", "MYSQL_PASSWD", "SMTP_PASS", "API_KEY", "MY_API_KEY_2", "PRIVATE_KEY", "AWS_CREDENTIALS", "aws_secret")}  # fmt: skip
    secret |= {"PROXY_SECRET": "https://ada:hunter2@proxy.example.edu"}
    harmless = {"SSH_AUTH_SOCK": "/tmp/ssh-abc/agent.123", "API_KEY_FILE": "api-key-file-123", "TOKEN_PATH": "token-path-123", "SUDO_PASSWORD_ENV": "HUB_SUDO_VARIABLE",
                "TOKEN_URL": "https-address-1", "PASSENGER": "passenger-123", "COMPASS_X": "compass-123", "SECRET_PLACE": "/run/secrets/hub.env",
                "TOKEN_ISSUER": "https://sso.example.edu/issuer", "SHORT_TOKEN": "1234567", "HOME": "/home/ada-lovelace"}  # fmt: skip
    redactor = Redactor()
    redactor.learn_environment(secret | harmless)
    for name, value in secret.items():
        assert redactor.text(f"it is {value}") == f"it is <{name}>"
    for value in harmless.values():
        assert redactor.text(f"it is {value}") == f"it is {value}"


def test_a_large_output_costs_little() -> None:
    redactor = by_digest()
    redactor.learn("hunter2-hunter2", "password")
    noise = base64.b64encode(hashlib.shake_256(b"image").digest(150_000)).decode()
    began = time.perf_counter()
    for text in (
        noise,
        wrapped(noise),
        f"%41 -----BEGIN PRIVATE KEY----- {noise} token=",
        '"' * 50_000,
        "\\" * 50_000,
        " " * 50_000,
        "eyJ" * 20_000,
        "a:" * 30_000,
    ):
        redactor.text(text)
    assert time.perf_counter() - began < 3  # s; a pattern that looks at each place again for each place takes minutes


SECRETS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=8, max_size=40)
AROUND = st.text(st.characters(codec="utf-8"), max_size=30)


@pytest.mark.slow
@settings(database=None, deadline=None, max_examples=150)
@given(SECRETS, AROUND, AROUND, st.sampled_from([*ESCAPED.values()]))
def test_no_value_survives_in_any_escape(value: str, before: str, after: str, form: Callable[[str], str]) -> None:
    redactor = knowing((value, "#"))
    redacted = redactor.text(f"{before} {form(value)} {after}")
    assert form(value) not in redacted or form(value) in before + after + "<#>"
    assert "<#>" in redacted and redactor.text(redacted) == redacted


@pytest.mark.slow
@settings(database=None, deadline=None, max_examples=150)
@given(SECRETS, AROUND, AROUND, st.sampled_from([*ENCODED.values()]), st.sampled_from([20, 64, 76, 10_000]))
def test_no_value_survives_in_base64_or_hex(
    value: str, before: str, after: str, form: Callable[[str], str], width: int
) -> None:
    redacted = knowing((value, "#")).text(f"{before} {wrapped(form(value), width)} {after}")
    assert not holds(redacted, value.encode())


@settings(database=None, deadline=None, max_examples=150)
@given(st.lists(st.text("abcdefgh ,.\n\"'()-/", max_size=30)))
def test_text_without_secrets_is_unchanged(lines: list[str]) -> None:
    redactor = by_digest()
    redactor.learn("hunter2-hunter2", "password")
    text = "\n".join(lines)
    assert redactor.text(text) == text and redactor.data(lines) == lines
