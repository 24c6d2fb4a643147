"""Takes secrets out of everything before it is written or shown: known values in any form, and what looks like one."""

from __future__ import annotations

import html
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from hubrun.redaction import secret_patterns
from hubrun.redaction.secret_digests import Digests
from hubrun.redaction.secret_forms import ENCODED, Form, decoded, runs, unwrap_base64

SHORTEST = 3  # characters: replaced everywhere, a shorter value would destroy the text and be told by the gaps
_CACHED = 8_000_000  # characters of texts whose results are kept
_LONG = 24  # characters of base64 from which on it is decoded
_READABLE = re.compile(rb"[\t\n\r\x1b -~]{12,}")
_PERCENT = re.compile("%[0-9a-fA-F]{2}")
_WORD = re.compile(r"[^\s\"'`<>&\\]+")
_SAYS_SECRET = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASS|PASSPHRASE|CREDENTIALS?|APIKEY|(?:API|PRIVATE|SECRET|ACCESS)_KEY)(?:_|$)",
    re.IGNORECASE,
)
_SAYS_PLACE = re.compile(r"_(?:FILE|PATH|ENV|DIR|URL)$", re.IGNORECASE)
_PLACE = re.compile(r"~?(?:/[\w.@-]+){2,}/?|[a-z][a-z0-9+.-]*://[^@?]*")


class Redactor:
    """Knows secrets by value or by digest, and replaces each by its name in < >.

    `told` is called with ("value", (value, name)) or ("digest", (name, salt, digest)) whenever something new is
    learned, so that another process can learn it too. learned: how often that was; what was redacted before is to be
    redacted again.
    """

    def __init__(self) -> None:
        self.told: Callable[[str, tuple[str, ...]], None] | None = None
        self.learned = 0
        self._forms: list[Form] = []
        self._stretches: set[str] = set()
        self._cores: list[str] = []
        self._hexed: list[str] = []
        self._digests = Digests()
        self._any_value: re.Pattern[str] | None = None
        self._any_encoded: re.Pattern[str] | None = None
        self._cache: dict[str, tuple[str, Counter[str]]] = {}
        self._cached = 0
        self._lock = threading.RLock()  # what is learned in one thread must not be forgotten for another's result

    def learn(self, value: str, name: str) -> None:
        """Replace `value`, in any form, by <name> from now on. Less than 3 characters are not looked for; base64 and
        hex only of 6 bytes or more."""
        if len(value) < SHORTEST or any(form.value == value for form in self._forms):
            return
        with self._lock:
            form = Form(value, name)
            # The longest first: a secret that holds another is replaced whole.
            self._forms = sorted([*self._forms, form], key=lambda form: len(form.value), reverse=True)
            self._stretches.add(form.stretch)
            self._cores += form.cores
            self._hexed += form.hexed
            self._forget()
        if self.told:
            self.told("value", (value, name))

    def learn_digest(self, name: str, salt: str, digest: str) -> None:
        """Replace by <name> the 64 hex digits whose sha256(salt + digits) is `digest` (in hex), in any form."""
        with self._lock:
            if not self._digests.learn(name, salt, digest):
                return
            self._forget()
        if self.told:
            self.told("digest", (name, salt, digest))

    def take_in(self, kind: str, what: list[str]) -> None:
        """Learn what another process's `told` was called with."""
        self.learn(*what) if kind == "value" else self.learn_digest(*what)

    def learn_environment(self, environment: Mapping[str, str]) -> None:
        """Learn the values, of 8 characters or more, of the variables whose name says that they are secret."""
        for name, value in environment.items():
            if len(value) < 8 or _PLACE.fullmatch(value):
                continue
            if _SAYS_SECRET.search(name) and not _SAYS_PLACE.search(name):
                self.learn(value, name)

    def text(self, text: str, counts: Counter[str] | None = None) -> str:
        """`text` without secrets; `counts[name]` grows by the replacements."""
        if len(text) < SHORTEST:
            return text
        with self._lock:
            known = self._cache.get(text)
            if known is None:
                found: Counter[str] = Counter()
                known = self._redacted(text, found), found
                self._cached += len(text)
                if self._cached > _CACHED:
                    self._cache, self._cached = {}, len(text)
                self._cache[text] = known
        if counts is not None and known[1]:
            counts.update(known[1])
        return known[0]

    def data(self, value: Any, counts: Counter[str] | None = None) -> Any:
        """A deep copy of JSON-like data without secrets in its texts and keys. Lists of lines, as notebooks are kept on
        disk, are looked at as one text."""
        if isinstance(value, str):
            return self.text(value, counts)
        if isinstance(value, dict):
            copy = type(value)()
            # not copy[key] = …: a NotebookNode would look through every value again
            dict.update(copy, {self.data(key, counts): self._field(key, each, counts) for key, each in value.items()})
            return copy
        if isinstance(value, list):
            texts = len(value) > 1 and all(isinstance(each, str) for each in value)
            if texts and all(line.endswith("\n") for line in value[:-1]):
                whole = "".join(value)
                redacted = self.text(whole, counts)
                return list(value) if redacted == whole else redacted.splitlines(keepends=True)
            return [self.data(each, counts) for each in value]
        if isinstance(value, tuple):
            return tuple(self.data(each, counts) for each in value)
        return value

    def _field(self, key: Any, value: Any, counts: Counter[str] | None) -> Any:
        redacted = self.data(value, counts)
        if isinstance(key, str) and isinstance(redacted, str):
            name = secret_patterns.name_of(key, redacted)
            if name:
                if counts is not None:
                    counts[name] += 1
                return f"<{name}>"
        return redacted

    def _forget(self) -> None:
        """What was learned changes the results: leave the old ones."""
        self.learned += 1
        self._cache, self._cached, self._any_value, self._any_encoded = {}, 0, None, None

    def _redacted(self, text: str, counts: Counter[str]) -> str:
        lowered, squeezed = text.lower(), unwrap_base64(text)
        # The expressions for all values are slow, and looking for a text is not.
        if any(map(lowered.__contains__, self._stretches)):
            text = self._values(text, counts)
        known = self._held(squeezed)
        if known:
            text = self._encoded(text, counts)
        if "%" in text and _PERCENT.search(text):
            text = _WORD.sub(lambda word: self._percent_encoded(word[0], counts), text)
        text = self._digests.hide(text, counts)
        if known or len(squeezed) >= _LONG:
            text = runs(ENCODED if known else 16).sub(lambda run: self._run(run[0], known, counts), text)
        return secret_patterns.hide(text, counts)

    def _held(self, squeezed: str) -> bool:
        """Whether a value is there as base64 or hex, also over several lines."""
        return any(map(squeezed.__contains__, self._cores)) or any(map(squeezed.lower().__contains__, self._hexed))

    def _values(self, text: str, counts: Counter[str]) -> str:
        """Replace the values that are there as they are or escaped. Names that stand for one are passed over."""
        if self._any_value is None:
            shown = {f"<{form.name}>" for form in self._forms} | {f"<{name}>" for name in self._digests.names}
            names = "|".join(re.escape(each) for name in shown for each in (name, html.escape(name)))
            self._any_value = re.compile("|".join([f"({names})", *(f"({form.written})" for form in self._forms)]))
        return self._any_value.sub(lambda found: self._named(found, 2, counts), text)

    def _encoded(self, text: str, counts: Counter[str]) -> str:
        """Replace the values that are there as base64 or hex."""
        if self._any_encoded is None:
            self._any_encoded = re.compile("|".join(f"({form.encoded or '(?!)'})" for form in self._forms))
        return self._any_encoded.sub(lambda found: self._named(found, 1, counts), text)

    def _named(self, found: re.Match[str], first: int, counts: Counter[str]) -> str:
        assert found.lastindex
        if found.lastindex < first:
            return found[0]
        name = self._forms[found.lastindex - first].name
        counts[name] += 1
        return f"<{name}>"

    def _percent_encoded(self, text: str, counts: Counter[str]) -> str:
        """A word with %XX in it: decoded when there is a secret in it, else as it is."""
        if not _PERCENT.search(text):
            return text
        plain = unquote(text)
        redacted = self.text(plain, counts)
        return text if redacted == plain else redacted

    def _run(self, run: str, known: bool, counts: Counter[str]) -> str:
        """A run of base64 or hex, or <name> where what it holds is, or holds, a secret. known: one may be in it as it is."""
        squeezed, found = unwrap_base64(run), Counter[str]()
        if squeezed != run:  # over several lines
            if known:
                self._encoded(squeezed, found)
            self._digests.hide(squeezed, found)
        one_case = squeezed.islower() or squeezed.isupper()  # random base64 of this length has both
        for start in range(4 if len(squeezed) >= _LONG else 0):
            plain = decoded(squeezed, start)
            if not one_case and (name := self._digests.raw(plain)):
                found[name] += 1
            if readable := _READABLE.search(plain):
                self._redacted(plain[readable.start() :].decode("utf-8", "replace"), found)
        counts.update(found)
        return f"<{next(iter(found))}>" if found else run


HERE = Redactor()
