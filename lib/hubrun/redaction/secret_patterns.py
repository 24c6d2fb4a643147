"""What is a secret by its looks or by the name beside it, whatever its value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

# Names whose end says that a secret follows; and the quotes of code, JSON within JSON, and HTML.
_KEY = r"(?:secret|token|passw(?:or)?d|passphrase|(?:api|private|access|secret)[_-]?key)"
_QUOTE = r"(?:\\*[\"'`]|&(?:amp;)*(?:quot|apos|\#0*3[49]|\#x0*2[27]);)"
_WORD = re.compile(
    "string|required|optional|missing|invalid|expired|unknown|hidden|present|absent|changed|unchanged|redacted|nothing"
    "|refused|written|created|needed"
)
_SENTENCE = re.compile(
    r"[:/…<{]|\$\(|\b(?:a|an|the|is|are|was|be|as|not|no|never|none|on|in|at|of|to|by|for|from|with|see|your)\b"
)
_NAMES = re.compile(_KEY + "$", re.IGNORECASE)
_HEADERS = r"(?:(?:proxy-)?authorization|x-api-key|x-auth-token|(?:set-)?cookie)"
_HEADER_NAME = re.compile(_HEADERS, re.IGNORECASE)


Group = int | str  # a group of a match


def _all(found: re.Match[str]) -> Group:
    return 0


@dataclass(frozen=True)
class Pattern:
    """hints: one of them is in the text (in lower case) wherever the pattern matches. secret: the group of a match that
    is to be replaced (0: all of it), or None."""

    name: str
    hints: tuple[str, ...]
    regex: re.Pattern[str]
    secret: Callable[[re.Match[str]], Group | None] = _all


def _token(name: str, hints: str, regex: str) -> Pattern:
    return Pattern(name, tuple(hints.split()), re.compile(rf"(?<![A-Za-z0-9_]){regex}"))


def _literal(value: str) -> bool:
    """Whether this is a value, not a place where one will stand, a piece of code, or prose."""
    value = value.strip().rstrip(".,;:)]}")
    if len(value) < 6 or value[0] in "$<{([…" or value.startswith(("...", "&lt;", "&amp;lt;", "\\u003c", "%(")):
        return False
    if len(set(value)) < 3 or _WORD.fullmatch(value.lower()):
        return False
    if re.match(r"[A-Za-z_][\w.]*[(\[]", value) or re.fullmatch(rf"(?i:[a-z_.]*{_KEY})|[A-Z]+(?:_[A-Z]+)+", value):
        return False  # a call, an item, or another name
    # Several words that hold a path, a colon or a small word are a sentence about the secret; a passphrase has none.
    return not (" " in value and _SENTENCE.search(value))


def _assigned(found: re.Match[str]) -> Group | None:
    if found["quoted"] is not None:
        return "quoted" if _literal(found["quoted"]) else None
    return "bare" if _bare(found) else None


def _bare(found: re.Match[str]) -> bool:
    value, text = found["bare"], found.string
    after = text[found.end() : found.end() + 1]
    if not _literal(value) or after in ("(", "["):
        return False
    word = re.fullmatch(r"[A-Za-z_]+(?:\.[A-Za-z_]+)*[.,;:)\]}]*", value)
    if found["sep"] == "=":
        # name=name and name=object.name, in a call, are code
        return not (word and ("." in value.rstrip(".,;:") or value[-1] in ",)" or after in (",", ")")))
    # With a space after it: the last word of its line, or it is prose or an expression.
    if not re.match(r"[ \t]*(?:$|[#,;}\]]|\r|\n|\\|&(?:quot|\#)|[\"'`<])", text[found.end() :]):
        return False
    if not word:
        return True
    line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
    return ":" in found["sep"] and value.islower() and bool(re.fullmatch(r"[\s>|+-]*[\w.-]*", line))


def _header(found: re.Match[str]) -> Group | None:
    group = "bare" if found["quoted"] is None else "quoted"
    return group if _credentials(found["header"], found[group]) else None


def _in_url(found: re.Match[str]) -> Group | None:
    value = found["password"]
    return None if value[0] in "${…" or "${" in value or set(value) == {"*"} else "password"


def _credentials(header: str, value: str) -> bool:
    """Whether a header's value holds credentials (RFC 9110, section 11; RFC 6265)."""
    value = value.strip()
    if header.lower().endswith("cookie"):
        pair = re.compile(r"(?:^|;[ \t]*)[\w.!#$%&'*+^`|~-]+=\"?[^\s;\"<$&{]{6,}")
        find = pair.search if header.lower() == "cookie" else pair.match  # in Set-Cookie attributes follow the pair
        return bool(find(value))
    scheme = re.match(r"(?:basic|bearer|token|digest|negotiate|ntlm|apikey|oauth|aws4-hmac-sha256)[ \t]+", value, re.I)
    if scheme:
        return _literal(value[scheme.end() :].split(" ")[0])
    return bool(re.search("[0-9]", value)) and " " not in value and _literal(value)


_BREAK = r"(?:[\r\n\"',|>]|\\+[nrt]|<br\s*/?>|%0[AaDd])"
_GAP = rf"(?:[ \t]|{_BREAK})"
_END = r"-{4,5} ?END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-{4,5}"
_BODY = r"[A-Za-z0-9+/=]"
PATTERNS = (
    Pattern("private key", ("private key-", "private key -", "private key block"), re.compile(
        # whole, or cut off: the lines of base64, after headers such as Proc-Type
        rf"-{{4,5}} ?BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-{{4,5}}(?:(?:(?!-{{4,5}} ?BEGIN )[\s\S]){{16,20000}}?{_END}"
        rf"|(?:{_GAP}*[A-Za-z-]+: [^\n\\]*)*{_GAP}*{_BODY}{{16,}}"
        rf"(?:{_GAP}+{_BODY}{{16,}}|[ \t]*{_BREAK}{_GAP}*{_BODY}+(?={_BREAK}|$))*)"
    )),
    Pattern("private key", ("private key-", "private key -", "private key block"), re.compile(
        # its end alone, as in the last lines of a log
        rf"(?<!{_BODY}){_BODY}{{16,}}+(?:{_GAP}++{_BODY}++)*+{_GAP}*+{_END}"
    )),
    _token("JWT", "eyj", r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){1,3}"),
    _token("GitHub token", "ghp_ gho_ ghs_ ghr_ ghu_ github_pat_", r"(?:gh[posru]|github_pat)_[A-Za-z0-9_]{20,}"),
    _token("GitLab token", "glpat-", r"glpat-[\w.-]{20,}"),
    _token("Slack token", "xox", r"xox[a-z](?:\.xox[a-z])?-[\w-]{10,}"),
    _token("AWS key", "akia asia", r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _token("Google API key", "aiza", r"AIza[\w-]{35}"),
    _token("Stripe key", "k_live_", r"[sr]k_live_[A-Za-z0-9]{16,}"),
    _token("API key", "sk-", r"(?<!-)sk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}"),
    _token("npm token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _token("PyPI token", "pypi-age", r"pypi-AgE[\w-]{20,}"),
    _token("Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{30,}"),
    _token("Canvas token", "~", r"\d{1,6}~[A-Za-z0-9]{40,}"),
    Pattern("HTTP credentials", ("authorization", "cookie", "x-api-key", "x-auth-token"), re.compile(
        rf"(?i)(?<![\w-])(?P<header>{_HEADERS})(?:{_QUOTE}\]?[ \t]*[:,=][ \t]*b?(?P<quote>{_QUOTE})"
        rf"(?P<quoted>(?:(?!(?P=quote))[^\n])+)(?P=quote)|[ \t]*:[ \t]*"
        r"(?P<bare>(?:digest|oauth)[ \t][^\n\r\\]*|[^\s\"'`<>\\](?:[^\n\r\"'`<>\\]|<[\w .-]+>)*))"
    ), _header),
    Pattern("URL password", ("://",), re.compile(r"://[^\s/@:\"'<>]*:(?P<password>[^\s/\"'<>\\]+)@"), _in_url),
    Pattern("secret value", ("secret", "token", "passw", "passphrase", "key"), re.compile(
        rf"(?i){_KEY}(?:{_QUOTE})?\]?(?:[ \t]*(?:=>|:=|[=:])[ \t]*[brfu]{{0,2}}(?P<quote>{_QUOTE})"
        r"(?P<quoted>(?:(?!(?P=quote))(?:\\.|[^\n])){6,}?)(?P=quote)"
        r"|(?P<sep>=(?!=)|[ \t]+=(?!=)[ \t]*|=[ \t]+|[ \t]*:[ \t]*)(?P<bare>[^\s\"'`<>&\\]{6,}))"
    ), _assigned),
)  # fmt: skip


_BY_HINT = [(hint, number) for number, pattern in enumerate(PATTERNS) for hint in pattern.hints]


def hide(text: str, counts: Counter[str]) -> str:
    """`text` with what matches a pattern replaced by the pattern's name."""
    lowered = text.lower()
    hinted = [number for hint, number in _BY_HINT if hint in lowered]
    for number in dict.fromkeys(hinted):
        text = _replaced(PATTERNS[number], text, counts)
    return text


def _replaced(pattern: Pattern, text: str, counts: Counter[str]) -> str:
    parts, end = [], 0
    for found in pattern.regex.finditer(text):
        group = pattern.secret(found)
        if group is not None:
            parts += [text[end : found.start(group)], f"<{pattern.name}>"]
            end = found.end(group)
            counts[pattern.name] += 1
    return "".join(parts) + text[end:] if parts else text


def name_of(key: str, value: str) -> str:
    """The name of the pattern by which a field's value is a secret because of what the field is called, or ""."""
    if _HEADER_NAME.fullmatch(key):
        return "HTTP credentials" if _credentials(key, value) else ""
    return "secret value" if _NAMES.search(key) and _literal(value) else ""
