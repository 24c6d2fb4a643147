"""A secret shows itself nowhere, in no form that it takes on its way."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubrun.redaction.redact import Redactor
from hubrun.redaction.secret import Secret

VALUE = "s3cr3t/with' quote&more"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubrun.redaction.secret.HERE", Redactor())


@pytest.mark.usefixtures("known")
def test_only_reveal_gives_it_out() -> None:
    secret = Secret(VALUE, "LTI secret")
    record = logging.LogRecord("n", logging.INFO, "p", 1, "it is %s", (secret,), None)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>20}",
        f"{[secret]}",
        format(secret, "<30"),
        record.getMessage(),
    ]
    assert all(VALUE not in text and "<LTI secret>" in text for text in shown)
    assert secret.reveal() == VALUE
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("leave", [pickle.dumps, copy.deepcopy, json.dumps])
@pytest.mark.usefixtures("known")
def test_it_does_not_leave_the_process(leave: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leave(Secret(VALUE))
    assert VALUE not in str(caught.value)


@pytest.mark.usefixtures("known")
def test_secrets_are_compared_and_counted_by_their_value() -> None:
    assert Secret("a") == Secret("a", "other name") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a") and not Secret("")


@pytest.mark.usefixtures("known")
def test_a_text_that_holds_it_shows_its_name() -> None:
    Secret(VALUE, "LTI secret")
    assert Secret.redact(f"a {VALUE} b\n{VALUE!r}") == 'a <LTI secret> b\n"<LTI secret>"'


@pytest.mark.usefixtures("known")
def test_an_empty_secret_replaces_nothing() -> None:
    Secret("", "none")
    assert Secret.redact("text") == "text"


@settings(database=None, deadline=None)
@given(st.text("ab'/ é", min_size=3), st.text("ab'/ é", max_size=20), st.text("ab'/ é", max_size=20))
def test_nothing_of_it_is_left_in_any_text(value: str, before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hubrun.redaction.secret.HERE", Redactor())
        Secret(value, "#")
        assert value not in Secret.redact(before + value + after)
