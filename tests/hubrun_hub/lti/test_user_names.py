"""The map from an identity in the LMS to a user of the hub: what it promises, and examples that must never change."""

from __future__ import annotations

import re
import string
import unicodedata
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hubrun_hub.lti.groups import INSTRUCTORS, course_group
from hubrun_hub.lti.user_names import NoIdentity, UnfilledVariable, hub_name, normalise

# Whatever an LMS may send, up to lone surrogates, which JSON can hold.
ANYTHING = st.text(st.characters(), max_size=100)
# Identities that are near to plain ones, to made ones and to ones with a prefix.
NEARLY = st.text("aAbB1.-_@ ", min_size=1, max_size=60)
MADE = st.builds(hub_name, st.text(string.printable + "éß張", min_size=1).filter(lambda text: _has_name(text)))
IDENTITY = st.one_of(NEARLY, ANYTHING, MADE, MADE.map(lambda name: f"bio__{name}"))
PLAIN = st.lists(st.text("abz059", min_size=1, max_size=16), min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from(".-_").map(lambda mark: mark.join(words))
)
PREFIX = st.sampled_from(["", "bio", "b", "abcdefghijkl"])
EXACT = st.booleans()

HUNDREDS = settings(max_examples=100, deadline=None)


def _has_name(identity: str) -> bool:
    try:
        hub_name(identity)
    except NoIdentity:
        return False
    return True


def _escaped(name: str) -> str:
    """As DockerSpawner 14.0 escapes it (`_escape`)."""
    safe = string.ascii_lowercase + string.digits
    return "".join(c if c in safe else "".join(f"-{byte:x}" for byte in c.encode()) for c in name)


@HUNDREDS
@given(IDENTITY, PREFIX, EXACT)
def test_everybody_has_a_name_that_docker_and_the_hub_take_as_it_is(identity: str, prefix: str, exact: bool) -> None:
    assume(_has_name(identity))
    name = hub_name(identity, prefix, exact=exact)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", name)
    container = f"jupyter-{_escaped(name)}"
    assert len(container) <= 63
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", container), "a label of a host name (RFC 1035)"
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", f"jupyterhub-user-{name}"), "a name of a Docker volume"
    assert name.lower() == name == unicodedata.normalize("NFKC", name), "JupyterHub's normalisation leaves it alone"


@HUNDREDS
@given(ANYTHING, PREFIX, EXACT)
def test_nobody_who_is_called_something_goes_without_a_name(identity: str, prefix: str, exact: bool) -> None:
    called = [c for c in identity if unicodedata.category(c)[0] in "LNPS"]
    assume(called and not identity.strip().startswith("$"))
    assert hub_name(identity, prefix, exact=exact)


@HUNDREDS
@given(PLAIN, PREFIX, EXACT)
def test_a_plain_name_stays_as_it_is_where_there_is_room(identity: str, prefix: str, exact: bool) -> None:
    front = f"{prefix}__" if prefix else ""
    assume(len(f"jupyter-{_escaped(front + identity)}") <= 63)
    name = hub_name(identity, prefix, exact=exact)
    assert name == front + identity
    if not prefix:
        assert hub_name(name, exact=exact) == name


def _near(one: str) -> st.SearchStrategy[str]:
    """Identities that a careless map would give the name of `one`."""
    return st.one_of(
        st.sampled_from([one.replace(mark, other) for mark in ".-_@ " for other in ("", *".-_@ ")]),
        st.sampled_from([one * 2, f"{one}.", f"-{one}", f"a{one}", f"{one}--1", f"bio__{one}", f"$x{one}", one[:20]]),
        st.sampled_from([one.casefold(), unicodedata.normalize("NFKD", one), one.encode("ascii", "ignore").decode()]),
        st.just(one * 5 + "a"),
    )


@HUNDREDS
@given(IDENTITY.flatmap(lambda one: st.tuples(st.just(one), st.one_of(IDENTITY, _near(one)))), PREFIX, PREFIX, EXACT)
def test_two_people_have_two_names(people: tuple[str, str], prefix_one: str, prefix_two: str, exact: bool) -> None:
    one, two = people
    assume(_has_name(one) and _has_name(two))
    same = (normalise(one, exact=exact), prefix_one) == (normalise(two, exact=exact), prefix_two)
    assert (hub_name(one, prefix_one, exact=exact) == hub_name(two, prefix_two, exact=exact)) == same


@pytest.mark.slow
def test_a_university_of_people_whose_names_must_be_made_has_as_many_names() -> None:
    people = [f"Student Number {number:05}" for number in range(20_000)]
    assert len({hub_name(person) for person in people}) == len(people)


@HUNDREDS
@given(IDENTITY, PREFIX, PREFIX, EXACT)
def test_nobody_gets_somebody_elses_name_by_taking_it_for_an_identity(
    identity: str, prefix: str, other: str, exact: bool
) -> None:
    assume(_has_name(identity))
    name = hub_name(identity, prefix, exact=exact)
    if (normalise(identity, exact=exact), prefix) != (name, other):
        assert hub_name(name, other, exact=exact) != name


@HUNDREDS
@given(IDENTITY, PREFIX)
def test_one_person_has_one_name_however_their_identity_is_written(identity: str, prefix: str) -> None:
    assume(_has_name(identity))
    once = normalise(identity)
    assert normalise(once) == once
    name = hub_name(identity, prefix)
    for written in (once, f"  {identity}\t", unicodedata.normalize("NFD", identity), identity.lower()):
        assert hub_name(written, prefix) == name


@HUNDREDS
@given(st.text("aAbBzZ1", min_size=1, max_size=30))
def test_in_an_opaque_identity_every_letter_counts(identity: str) -> None:
    assume(_has_name(identity) and normalise(identity) != normalise(identity, exact=True))
    assert hub_name(identity, exact=True) != hub_name(normalise(identity), exact=True)


@pytest.mark.slow
def test_normalising_ends_for_every_character_of_unicode() -> None:
    for code in range(0x110000):
        once = normalise(chr(code))
        assert once == normalise(once)


@pytest.mark.parametrize("identity", ["", " ", "\t\n", "\u00a0", "\u200b", "\x00", "\u3000 "])
def test_an_empty_identity_is_nobody(identity: str) -> None:
    with pytest.raises(NoIdentity):
        hub_name(identity)


@pytest.mark.parametrize(
    "identity", ["$Person.sourcedId", "$Canvas.user.loginId", " $User.id ", "$com.Instructure.x_y"]
)
def test_a_variable_that_the_lms_did_not_fill_in_is_nobody(identity: str) -> None:
    with pytest.raises(UnfilledVariable):
        hub_name(identity)


@pytest.mark.parametrize("prefix", ["Bio", "bio-1", "a" * 13, "bio__", "ü"])
def test_a_prefix_that_is_none_is_an_error(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        hub_name("ada", prefix)


# Students' files hang on these. If one of them changes, a release has taken somebody's home away.
GOLDEN = [
    ("ada", "", "ada"),
    ("ADA", "", "ada"),
    (" Ada ", "", "ada"),
    ("42", "", "42"),
    ("o.brien-2", "", "o.brien-2"),
    ("hubruntest1", "", "hubruntest1"),
    ("535fa085f22b4655f48cd5a36a9215f64c062838", "", "535fa085f22b4655f48cd5a36a9215f64c062838"),
    ("a5f4cb2e-1d0e-4b55-9f2c-0c8ddd1f7ab3", "", "a5f4cb2e-1d0e-4b55-9f2c-0c8ddd1f7ab3"),
    ("ada@example.edu", "", "ada-example-edu--4zqyhua5mz675byy3rhfyvbk3g"),
    ("Ada@Example.EDU", "", "ada-example-edu--4zqyhua5mz675byy3rhfyvbk3g"),
    ("../../etc/passwd", "", "etc-passwd--g5knnsz2hdqrqxs3hawv6pxt6e"),
    ("张伟", "", "user--uoqlv7il53ke3e2rpy54crmpkz"),
    ("José Núñez", "", "jose-nunez--ioee7u6h53bfg5524tqkrksdiz"),
    ("x" * 200, "", "xxxxxxxxxxxxxxxxxxxxxxx--viqmeprsagbuaudhtyoyrfa3tj"),
    ("bio__ada", "", "bio-ada--fl6zfvsw773czxnuzokanygab6"),
    ("ada", "bio", "bio__ada"),
    ("ada@example.edu", "bio", "bio__ada-example--4zqyhua5mz675byy3rhfyvbk3g"),
    ("x" * 200, "abcdefghijkl", "abcdefghijkl__xxxxx--viqmeprsagbuaudhtyoyrfa3tj"),
]


@pytest.mark.parametrize(("identity", "prefix", "name"), GOLDEN, ids=[f"{i[:20]!a} {p}" for i, p, _ in GOLDEN])
def test_a_name_is_the_same_in_every_release(identity: str, prefix: str, name: str) -> None:
    assert hub_name(identity, prefix) == name


@pytest.mark.parametrize(
    ("one", "two"), [("ａｄａ", "ada"), ("weiß", "weiss"), ("ﬁona", "fiona"), ("ada①", "ada1"), ("аda", "ada")]
)
def test_a_lookalike_login_is_another_person(one: str, two: str) -> None:
    assert hub_name(one) != hub_name(two)


CONTEXT = st.one_of(st.text("aA1.-_", min_size=1, max_size=40), ANYTHING.filter(bool)).flatmap(
    lambda text: st.sampled_from([text, text + INSTRUCTORS])
)


@pytest.mark.slow
@HUNDREDS
@given(CONTEXT, CONTEXT, PREFIX, PREFIX)
def test_no_group_is_that_of_two_courses(one: str, two: str, prefix_one: str, prefix_two: str) -> None:
    assume((one, prefix_one) != (two, prefix_two))
    names = [
        course_group(context, prefix) + end
        for (context, prefix), end in product([(one, prefix_one), (two, prefix_two)], ["", INSTRUCTORS])
    ]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"course-[a-z0-9._-]+", name) and len(name) < 255 for name in names)


@pytest.mark.parametrize(
    ("context", "prefix", "group"),
    [
        ("4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d", "", "course-4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d"),
        ("bio101", "", "course-bio101"),
        ("bio101", "uni", "course-uni__bio101"),
        ("BIO 101", "", "course-bio-101--cevehtepsb63rdf6wniuurx6rq"),
        ("bio101-instructors", "", "course-bio101-instructors--gh25cgl2c6fj3qpkqihgmuqoqa"),
    ],
)
def test_a_group_is_the_same_in_every_release(context: str, prefix: str, group: str) -> None:
    assert course_group(context, prefix) == group
