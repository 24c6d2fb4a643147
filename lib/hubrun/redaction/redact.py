"""Takes secrets out of everything before it is written or shown: known values in any form, and what looks like one."""

from __future__ import annotations

import html
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from hubrun.redaction import secret_patterns
from hubrun.redaction.secret_digests import Digests
from hubrun.redaction.secret_forms import ENCODED, Core, Form, decoded, positions, runs, squeeze

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
    learned, so that another process can learn it too.
    """

    def __init__(self) -> None:
        self.told: Callable[[str, tuple[str, ...]], None] | None = None
        self._forms: dict[str, Form] = {}
        self._stretches: set[str] = set()
        self._cores: list[Core] = []
        self._hexed: list[Core] = []
        self._digests = Digests()
        self._any_value: re.Pattern[str] | None = None
        self._names: list[str] = []
        self._cache: dict[str, tuple[str, Counter[str]]] = {}
        self._cached = 0
        self._lock = threading.RLock()  # what is learned in one thread must not be forgotten for another's result

    def learn(self, value: str, name: str) -> None:
        """Replace `value`, in any form, by <name> from now on. Less than 3 characters are not looked for; base64 and
        hex only of 6 bytes or more."""
        if len(value) < SHORTEST or value in self._forms:
            return
        with self._lock:
            form = self._forms[value] = Form(value, name)
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
            dict.update(copy, {self._key(key, counts): self._field(key, each, counts) for key, each in value.items()})
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

    def _key(self, key: Any, counts: Counter[str] | None) -> Any:
        return self.text(key, counts) if isinstance(key, str) else key

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
        self._cache, self._cached, self._any_value = {}, 0, None

    def _redacted(self, text: str, counts: Counter[str]) -> str:
        lowered = text.lower()
        for stretch in self._stretches:
            if stretch in lowered:
                text = self._values(text, counts)
                break
        if "%" in text and _PERCENT.search(text):
            text = _WORD.sub(lambda word: self._percent_encoded(word[0], counts), text)
        if len(text) > ENCODED:
            text = self._encoded(text, counts)
        return secret_patterns.hide(text, counts)

    def _values(self, text: str, counts: Counter[str]) -> str:
        """Replace the values that are there as they are or escaped."""
        if self._any_value is None:
            # The longest first: a secret that holds another is replaced whole. Names that stand for one are passed over.
            forms = sorted(self._forms.values(), key=lambda form: len(form.value), reverse=True)
            shown = {f"<{form.name}>" for form in forms} | {f"<{name}>" for name in self._digests.names}
            names = "|".join(re.escape(each) for name in shown for each in (name, html.escape(name)))
            self._names = [form.name for form in forms]
            self._any_value = re.compile("|".join([f"({names})", *(f"({form.pattern})" for form in forms)]))

        def name(found: re.Match[str]) -> str:
            assert found.lastindex
            if found.lastindex == 1:
                return found[0]
            shown = self._names[found.lastindex - 2]
            counts[shown] += 1
            return f"<{shown}>"

        return self._any_value.sub(name, text)

    def _percent_encoded(self, text: str, counts: Counter[str]) -> str:
        """A word with %XX in it: decoded when there is a secret in it, else as it is."""
        if not _PERCENT.search(text):
            return text
        plain = unquote(text)
        redacted = self.text(plain, counts)
        return text if redacted == plain else redacted

    def _encoded(self, text: str, counts: Counter[str]) -> str:
        """Replace what is inside base64 or hex."""
        known = False
        if self._forms:
            squeezed = squeeze(text)
            known = any(True for _ in self._present(squeezed))
        if not known and len(text) < _LONG:
            return text
        parts, end = [], 0
        for run in runs(ENCODED if known else 16).finditer(text):
            for start, stop, name in self._inside(run[0], known):
                parts += [text[end : run.start() + start], f"<{name}>"]
                end = run.start() + stop
                counts[name] += 1
        return "".join(parts) + text[end:] if parts else text

    def _inside(self, run: str, known: bool) -> list[tuple[int, int, str]]:
        """The secrets in one run of base64 or hex: where each begins and ends in the run, and its name."""
        squeezed = squeeze(run)
        found = list(self._by_value(squeezed)) if known else []
        if len(squeezed) >= _LONG:
            found += self._digests.within(squeezed)
            more = self._more(squeezed, Counter(name for _, _, name in found))
            if more:
                return [(0, len(run), more)]
        spans: list[tuple[int, int, str]] = []
        for start, stop, name in sorted(found, key=lambda span: (span[0], -span[1])):
            while stop < len(squeezed) and squeezed[stop] == "=":
                stop += 1
            if spans and start < spans[-1][1]:  # they overlap: the first, which is the longer, names both
                start, end, name = spans.pop()
                stop = max(stop, end)
            spans.append((start, stop, name))
        place = positions(run) if spans else []
        return [(place[start], place[stop - 1] + 1, name) for start, stop, name in spans]

    def _present(self, squeezed: str) -> Iterator[tuple[Core, str]]:
        """The values that are there as base64 or hex, each with the text that holds it."""
        for core in self._cores:
            if core.text in squeezed:
                yield core, squeezed
        lowered = squeezed.lower()
        for core in self._hexed:
            if core.text in lowered:
                yield core, lowered

    def _by_value(self, squeezed: str) -> Iterator[tuple[int, int, str]]:
        for core, holder in self._present(squeezed):
            for found in re.finditer(re.escape(core.text), holder):
                start, stop = found.start() - core.before, found.end() + core.after
                yield max(start, 0), min(stop, len(squeezed)), core.name

    def _more(self, squeezed: str, found: Counter[str]) -> str:
        """The name of a secret in the text that this is the base64 of, when it holds more than those found; or ""."""
        for start in range(4):
            plain = decoded(squeezed, start)
            readable = _READABLE.search(plain)
            if readable:
                counts: Counter[str] = Counter()
                self._redacted(plain[readable.start() :].decode("utf-8", "replace"), counts)
                for name in counts - found:
                    return name
        return ""


HERE = Redactor()
