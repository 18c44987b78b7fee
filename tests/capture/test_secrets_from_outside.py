"""Secrets that variables and command lines hold: masked wherever a config or a lock shows them."""

from __future__ import annotations

from typing import Any

import pytest

from flexlock_hydra.capture.secrets.config_values import env_names, is_interpolation
from flexlock_hydra.capture.secrets.masker import Masker
from tests.support.secret_corpus import GITHUB, HUGGING_FACE

VALUE = "hunter22"


def test_a_default_beside_the_variable_is_hidden() -> None:
    """The literal fallback of an interpolation that is a secret is masked there too."""
    unresolved = {"password": "${oc.env:DB_PASSWORD,hunter22}"}
    masker = Masker().learn(unresolved, {"password": "hunter22"})

    assert "hunter22" not in str(masker.mask(unresolved))


# Variables

READS = [
    "${oc.env:DB_PASSWORD}",
    "${oc.env: DB_PASSWORD}",
    "${ oc.env:DB_PASSWORD}",
    "${oc.env:DB_PASSWORD,none}",
    "${oc.env:'DB_PASSWORD'}",
    '${oc.env:"DB_PASSWORD"}',
    "${oc.decode:${oc.env:DB_PASSWORD}}",
    "postgres://ada:${oc.env:DB_PASSWORD}@db",
    "${oc.env:USER}/${oc.env:DB_PASSWORD}",
]


@pytest.mark.parametrize("read", READS)
def test_variables_that_a_config_reads_are_found(read: str) -> None:
    """Every way to write ``oc.env`` names its variable."""
    assert "DB_PASSWORD" in env_names({"a": [{"b": read}]})


def test_other_interpolations_name_no_variable() -> None:
    """Text without ``oc.env`` reads no variable."""
    assert env_names({"a": "${b.c}", "d": "DB_PASSWORD", "e": 3, "f": "${now:%Y}"}) == set()


@pytest.mark.parametrize("read", READS)
def test_the_value_of_a_secret_variable_is_masked(
    read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a config reads from a variable of a secret name is hidden in all texts."""
    monkeypatch.setenv("DB_PASSWORD", "hunter22")
    masker = Masker().learn({"connection": read})

    assert masker.mask({"connection": "as ada/hunter22"}) == {"connection": "as ada/***"}


def test_the_value_of_another_variable_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a config reads from an ordinary variable is shown."""
    monkeypatch.setenv("DATA_ROOT", "/srv/data")
    masker = Masker().learn({"root": "${oc.env:DATA_ROOT}"})

    assert masker.text("/srv/data/x.csv") == "/srv/data/x.csv"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD"])
def test_the_working_folder_is_no_password(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell's PWD, which many configs read, hides no path."""
    monkeypatch.setenv(name, "/home/ada/project")
    masker = Masker().learn({"root": f"${{oc.env:{name}}}"})

    assert masker.text("/home/ada/project/data/x.csv") == "/home/ada/project/data/x.csv"
    assert masker.mask("/home/ada/project", name) == "/home/ada/project"


def test_an_unset_variable_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret variable that is empty or not set blackens nothing."""
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    monkeypatch.setenv("API_TOKEN", "")
    masker = Masker().learn(["${oc.env:DB_PASSWORD,x}", "${oc.env:API_TOKEN}"])

    assert masker.text("any text") == "any text"


@pytest.mark.parametrize("value", [
    "${oc.env:DB_PASSWORD}",
    "postgres://ada:${oc.env:DB_PASSWORD}@db/x",
    "${oc.env:USER}:${oc.env:DB_PASSWORD}",
])
def test_an_unresolved_config_keeps_its_interpolations(value: str) -> None:
    """What a rerun composes from names the variable and not the mask."""
    assert Masker().mask({"url": value}) == {"url": value}


@pytest.mark.parametrize(("key", "value"), [
    ("url", "postgres://ada:${oc.env:DB_PASSWORD,hunter22}@db/x"),
    ("url", "${oc.env:DB_URL,'postgres://ada:hunter22@db/x'}"),
    ("header", "Bearer ${oc.env:API_TOKEN,hunter22}"),
    ("password", "${oc.env:DB_PASSWORD, 'hunter22'}"),
    ("password", "${oc.env:SOMETHING,hunter22}"),
    ("password", "${oc.decode:${oc.env:SOMETHING,hunter22}}"),
])
def test_the_fallback_of_a_secret_variable_is_masked(key: str, value: str) -> None:
    """What stands in for a variable of a secret name, or under one, is hidden anywhere."""
    assert "hunter22" not in str(Masker().mask({key: value}))


@pytest.mark.parametrize("value", ["${oc.env:A}-hunter22-${oc.env:B}", "${a}hunter22${b}"])
def test_a_secret_between_interpolations_is_masked(value: str) -> None:
    """Literal text between two interpolations under a secret name is hidden."""
    assert "hunter22" not in str(Masker().mask({"password": value}))


@pytest.mark.parametrize(("text", "expected"), [
    ("${a}", True), ("${oc.env:A,b}", True), ("${a.${b}}", True), ("${oc.env:A,'}'}", True),
    ("a${b}", False), ("${b}a", False), ("${a}b${c}", False), ("$b", False), ("", False),
    (3, False), (None, False),
])
def test_an_interpolation_is_told_from_a_value(text: Any, expected: bool) -> None:
    """Only a text that is one interpolation from end to end names where a value comes from."""
    assert is_interpolation(text) is expected


# Overrides and arguments


@pytest.mark.parametrize(("word", "masked"), [
    ("db.password=x", "db.password=***"),
    ("+db.password=x", "+db.password=***"),
    ("++db.password=x", "++db.password=***"),
    ("db.password=a,b", "db.password=***"),
    ("db.password='a=b'", "db.password=***"),
    ("password=x", "password=***"),
    ("apiKey=x", "apiKey=***"),
    ("db.token@pkg=x", "db.token@pkg=***"),
    ("hydra.job.env_set.HF_TOKEN=x", "hydra.job.env_set.HF_TOKEN=***"),
    ("--api-key=x", "--api-key=***"),
    ("-token=x", "-token=***"),
    ("api_keys.openai=x,y", "api_keys.openai=***"),
    ("+secrets.a=x", "+secrets.a=***"),
    ("url=https://a:b@c", "url=https://a:***@c"),
    ("note=" + GITHUB, "note=***"),
    (HUGGING_FACE, "***"),
])
def test_a_secret_of_the_command_line_is_masked(word: str, masked: str) -> None:
    """An override or an argument is masked for its key's name and its value's shape."""
    assert Masker().assignment(word) == masked


@pytest.mark.parametrize("word", [
    "lr=0.1", "model=mlp", "~db.password", "db.user=ada", "tokenizer.name=bert",
    "max_tokens=3", "pad_token='<pad>'", "--multirun", "-m", "train.py", "x==y", "=", "",
    "db.password=${oc.env:DB_PASSWORD}", "password.length=3", "hydra/callbacks=flexlock",
    "data@pass=x", "db.password=", "db.password=null", "db.password=???", "assistant_token=<|x|>",
])
def test_other_words_of_the_command_line_stay(word: str) -> None:
    """What is no secret is repeated as it was typed: a rerun needs it."""
    assert Masker().assignment(word) == word


@pytest.mark.parametrize("word", [
    "db.password=${oc.env:DB_PASSWORD,hunter22}",
    "db.login=${oc.env:DB_PASSWORD,hunter22}",
    "url=postgres://ada:${oc.env:DB_PASSWORD,hunter22}@db/x",
])
def test_the_fallback_of_a_secret_variable_is_masked_on_the_command_line(word: str) -> None:
    """An override that brings its own fallback for a secret variable hides it."""
    assert "hunter22" not in Masker().assignment(word)


def test_a_known_secret_is_masked_on_the_command_line() -> None:
    """A secret within an override of a whole mapping is known from the config."""
    masker = Masker().learn({"db": {"password": "hunter22"}})

    assert masker.assignment("db={user:ada,password:hunter22}") == "db={user:ada,password:***}"
