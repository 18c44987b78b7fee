"""Secrets are masked by name, by shape and by being known; nothing else is."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlock_hydra.capture.secrets.config_values import env_names
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.capture.secrets.shapes import MASK
from tests.support.secret_corpus import AWS, SHOWN, key_block

VALUE = "hunter22"

SECRET_KEYS = [
    "password", "db_password", "dbPassword", "db-password", "DB_PASSWORD", "PASSWORD",
    "password2", "passwords", "passwd", "pwd", "passphrase", "sshPassphrase",
    "secret", "secrets", "client_secret", "clientSecret", "CLIENT-SECRET", "secret_key",
    "credential", "credentials", "aws_credentials",
    "api_key", "apiKey", "api-key", "APIKey", "apikey", "API_KEY", "x-api-key", "OPENAI_API_KEY",
    "wandbApiKey", "api_keys", "api_key_1",
    "access_key", "accessKey", "AWS_SECRET_ACCESS_KEY", "aws_access_key_id", "private_key",
    "privateKey", "auth_key", "encryption_key", "signing_key", "account_key", "ssh_key",
    "token", "TOKEN", "hf_token", "HF_TOKEN", "accessToken", "refresh-token", "github_token",
    "bearer_token", "auth_token", "use_auth_token", "sas_token", "PGPASSWORD", "MYSQL_PWD",
]
PLAIN_KEYS = [
    "tokenizer", "tokenizer_name", "max_tokens", "num_tokens", "max_new_tokens", "vocab_tokens",
    "tokens_per_batch", "pad_token", "padToken", "eos_token", "bos_token", "unk_token",
    "sep_token", "mask_token", "cls_token", "PAD-TOKEN", "image_token", "start_token",
    "token_ids", "tokenization", "token_embedding", "secretary", "secretion", "monkey",
    "keyboard", "key", "keys", "primary_key", "foreign_key", "sort_key", "public_key",
    "key_dim", "query_key", "attention_key", "value_key", "hotkey", "turkey", "author",
    "authors", "account", "accuracy", "access", "encoder", "compass", "bypass", "passes",
    "passenger", "pass_free", "hash", "md5", "commit", "name",
    "path", "url", "lr", "",
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_value_under_a_secret_name_is_masked(key: str) -> None:
    """A key that says secret, in snake, camel or kebab case, hides its value."""
    assert Masker().mask({"db": [{key: VALUE}]}) == {"db": [{key: MASK}]}


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_a_value_under_another_name_stays(key: str) -> None:
    """A key that only looks like one, or is about text's tokens, shows its value."""
    assert Masker().mask({"db": [{key: VALUE}]}) == {"db": [{key: VALUE}]}


@pytest.mark.parametrize("text", SHOWN, ids=lambda text: text[:24])
@pytest.mark.parametrize("around", ["{}", "Authorization: Bearer {}", "a\n{}\nb", "['{}']",
                                    "--header=x:{}"])
def test_a_value_of_a_known_shape_is_masked(text: str, around: str) -> None:
    """A well-known kind of secret is masked under any key and inside a longer text."""
    assert Masker().mask({"note": around.format(text)}) == {"note": around.format(MASK)}


def test_a_private_key_that_was_cut_is_masked_to_the_end() -> None:
    """Of a key without its last line, nothing that follows its first is shown."""
    assert Masker().mask({"note": f"a\n{key_block('EC PRIV' 'ATE KEY')[:100]}"}) == {
        "note": f"a\n{MASK}"
    }


@pytest.mark.parametrize(("url", "masked"), [
    ("postgres://ada:hunter2@db/x", "postgres://ada:***@db/x"),
    ("postgresql+asyncpg://ada:hunter2@db:5432/x?ssl=1",
     "postgresql+asyncpg://ada:***@db:5432/x?ssl=1"),
    ("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
    ("https://ada:hunter2@example.org/p.git", "https://ada:***@example.org/p.git"),
    ("see https://ada:hunter2@a.org and ftp://b:hunter2@c",
     "see https://ada:***@a.org and ftp://b:***@c"),
    ("mongodb://ada:h:unter2@db", "mongodb://ada:***@db"),
])
def test_a_password_in_a_url_is_masked(url: str, masked: str) -> None:
    """Of a URL only the password is hidden."""
    assert Masker().mask({"url": url}) == {"url": masked}


PLAIN_VALUES = [
    "0123456789abcdef0123456789abcdef01234567",
    "8c7dd922ad47494fc02c388e12c00eac",
    "sha256:" + "ab" * 32,
    "https://example.org/team/project.git",
    "https://ada@example.org/p.git",
    "git@example.org:team/p.git",
    "http://localhost:8080/path?a=b@c",
    "s3://bucket/key:with/colon@at",
    "postgres://db:5432/x",
    "outputs/2026-11-22/10-15-00",
    "20261122T101500Z-3f9c2a7b",
    "3f2b8c1e-0000-4000-8000-000000000000",
    "bert-base-uncased",
    "hf-internal-testing/tiny-random-bert",
    "sklearn.ensemble.RandomForestClassifier",
    "sk-learn-random-forest-baseline",
    "task-classification-of-documents",
    "risk-assessment-with-more-words",
    "ghp_short",
    "AKIAlower",
    "eyJustaword",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "password",
    "ada@example.org",
    "a:b@c",
    "12:30:45@utc",
    "",
    "***",
    "ünïcode 日本語",
    0, 1, -1, 0.1, 1e-7, float("inf"), True, False, None,
]


@pytest.mark.parametrize("value", PLAIN_VALUES, ids=ascii)
def test_an_ordinary_value_stays(value: Any) -> None:
    """Hashes, paths, names, URLs without a password and numbers are written as they are."""
    assert Masker().mask({"value": [value]}) == {"value": [value]}


@pytest.mark.parametrize("value", [
    None, "", "???", True, False,
    "${oc.env:DB_PASSWORD}", "${db.password}", "${oc.env:DB_PASSWORD,null}",
    "${oc.decode:${oc.env:DB_PASSWORD}}",
])
@pytest.mark.parametrize("key", ["password", "use_auth_token", "api_key"])
def test_what_holds_no_secret_stays_under_a_secret_name(key: str, value: Any) -> None:
    """Null, empty, missing, a switch, an interpolation: shown under any name."""
    assert Masker().mask({key: value}) == {key: value}


@pytest.mark.parametrize("value", [1234, 12.5, "x", ["a", "b"], ("a",), [["a"]]])
def test_any_kind_of_value_is_masked(value: Any) -> None:
    """Numbers, short texts and every item of a list are hidden under a secret name."""
    masked = Masker().mask({"password": value})

    assert set(str(masked["password"])) <= set("[]'*, ")


@pytest.mark.parametrize("key", ["secrets", "credentials", "passwords"])
def test_a_mapping_under_a_secret_name_is_masked(key: str) -> None:
    """Secrets that are grouped under one name are all hidden."""
    masked = Masker().mask({key: {"openai": VALUE, "deep": {"x": [VALUE]}}})

    assert VALUE not in str(masked)


def test_the_shape_of_a_config_is_kept() -> None:
    """Keys, order, lists and other values are as before."""
    config = {"b": 1, "a": {"token": "x", "list": [1, {"pwd": "y"}, "z"]}}

    assert Masker().mask(config) == {
        "b": 1, "a": {"token": MASK, "list": [1, {"pwd": MASK}, "z"]}
    }
    assert list(Masker().mask(config)) == ["b", "a"]


def test_masking_changes_nothing_in_place() -> None:
    """The user's config keeps its secrets."""
    config = {"a": {"token": "x", "list": ["y"]}}
    Masker().mask(config)

    assert config == {"a": {"token": "x", "list": ["y"]}}


def test_masking_twice_is_masking_once() -> None:
    """A masked config has nothing left to mask."""
    config = {"password": VALUE, "url": "https://a:b@c", "text": AWS}
    once = Masker().mask(config)

    assert Masker().mask(once) == once


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["password", "lr", "apiKey", "x"]), inner, max_size=3),
    max_leaves=8,
))
def test_any_config_can_be_masked(config: Any) -> None:
    """Learning from a config and masking it works for every plain value."""
    masker = Masker().learn(config)
    once = masker.mask(config)

    assert masker.mask(once) == once


def test_other_types_of_values_are_gone_through() -> None:
    """What a YAML file brings besides texts and numbers: dates, tuples, keys that are numbers."""
    day = date(2026, 11, 22)
    config = {1: day, "t": ("a", {"token": "x1y2"}), "password": day, "known": ["is x1y2"]}

    assert Masker().learn(config).mask(config) == {
        1: day, "t": ["a", {"token": MASK}], "password": MASK, "known": ["is ***"]
    }
    assert env_names(config, ("${oc.env:A}", day)) == {"A"}


@pytest.mark.parametrize(("words", "masked"), [
    (["--password", "x", "y"], ["--password", "***", "y"]),
    (["--api-key", "--verbose"], ["--api-key", "--verbose"]),
    (["-m", "lr=1,2", "password", "x"], ["-m", "lr=1,2", "password", "x"]),
    (["--db.password", "x"], ["--db.password", "***"]),
    (["--tokenizer", "bert"], ["--tokenizer", "bert"]),
])
def test_the_word_after_a_secret_option_is_masked(words: list[str], masked: list[str]) -> None:
    """Of an app that reads options of its own, the value of a secret one is hidden."""
    assert list(Masker().arguments(words)) == masked


@pytest.mark.parametrize(("secret", "text", "shown"), [
    ("hunter", "thehunters hunter", "thehunters ***"),
    ("h0rse7", "xh0rse7y", "x***y"),
    ("ab12", "xab12y ab12", "xab12y ***"),
    ("correcthorsebattery", "xcorrecthorsebatteryy", "x***y"),
    ("p@ss/w0rd", "u:p%40ss%2Fw0rd", "u:***"),
    ('say "h1"', '{"a": "say \\"h1\\""}', '{"a": "***"}'),
    ("admin", "admin at admin.org", "admin at admin.org"),
    ("/home/ada/key.json", "see /home/ada/key.json", "see /home/ada/key.json"),
    ("first line 1\nsecond line 2", "on second line 2", "on ***"),
])
def test_how_far_a_known_secret_is_looked_for(secret: str, text: str, shown: str) -> None:
    """Words are hidden as words, the rest anywhere and as URLs and JSON write it."""
    assert Masker().learn({"password": secret}).text(text) == shown


# Patterns of the user's


@pytest.mark.parametrize(("pattern", "key", "masked"), [
    ("*_dsn", "sentry_dsn", True),
    ("*_dsn", "SENTRY_DSN", True),
    ("*_DSN", "sentry_dsn", True),
    ("webhook*", "webhook_url", True),
    ("exact", "exact", True),
    ("exact", "inexact", False),
    ("*_dsn", "dsn", False),
])
def test_patterns_of_the_user(pattern: str, key: str, masked: bool) -> None:
    """Globs that the user gives name further secret keys, whatever their case."""
    expected = MASK if masked else VALUE

    assert Masker(patterns=(pattern,)).mask({key: VALUE}) == {key: expected}


# Known secrets


def test_a_known_secret_is_masked_inside_any_text() -> None:
    """A password of the config does not reach the record by an error's text either."""
    masker = Masker().learn({"db": {"password": "hunter22"}})

    assert masker.text("login as ada with 'hunter22' failed: hunter22") == (
        "login as ada with '***' failed: ***"
    )
    assert masker.mask({"note": ["see hunter22"]}) == {"note": ["see ***"]}


@pytest.mark.parametrize("config", [
    {"passwords": ["hunter22"]},
    {"db": [{"api_key": "hunter22"}]},
    {"secrets": {"openai": "hunter22"}},
    {"token": ["other", ["hunter22"]]},
])
def test_secrets_are_learned_at_any_depth(config: Any) -> None:
    """A secret in a list or a group is known elsewhere too."""
    assert Masker().learn(config).text("it is hunter22") == "it is ***"


def test_a_number_is_a_secret_too() -> None:
    """A PIN that YAML reads as a number is masked inside a text."""
    assert Masker().learn({"password": 903817}).text("pin 903817") == "pin ***"


@pytest.mark.parametrize("config", [
    {"password": "abc"},
    {"password": None},
    {"password": ""},
    {"password": "???"},
    {"use_auth_token": True},
    {"password": "${oc.env:HOME}"},
    {"name": "hunter22"},
    {"tokenizer": "hunter22"},
])
def test_what_is_no_secret_is_not_learned(config: Any) -> None:
    """Short values, switches, placeholders and ordinary values blacken no text."""
    text = "True hunter22 abc ??? ${oc.env:HOME} None"

    assert Masker().learn(config).text(text) == text


def test_the_longer_secret_goes_first() -> None:
    """Of two secrets, one within the other, nothing is left over."""
    masker = Masker().learn({"password": "hunter", "token": "hunter22"})

    assert masker.text("hunter22 hunter") == "*** ***"


def test_learning_adds_to_what_is_known() -> None:
    """A later config adds secrets and forgets none."""
    masker = Masker().learn({"password": "first-one"}).learn({"password": "second-one"})

    assert masker.text("first-one second-one") == "*** ***"


@pytest.mark.parametrize("token", ["<|assistant|>", "<extra_id_0>", "[PIPE]"])
def test_a_special_token_is_no_secret(token: str) -> None:
    """What stands for a word of a model's vocabulary stays, under its key and in templates."""
    config = {"assistant_token": token, "template": f"{{% if x %}}{token}{{% endif %}}"}

    assert Masker().learn(config).mask(config) == config


def test_what_stands_beside_a_secret_hides_nothing_elsewhere() -> None:
    """A region or a user among credentials is masked there, and left where it is a setting."""
    config = {"credentials": {"region": "us-east-1", "blob": "s3cret77"},
              "bucket": "us-east-1-data", "note": "s3cret77"}
    masked = Masker().learn(config).mask(config)

    assert masked["credentials"] == {"region": MASK, "blob": MASK}
    assert (masked["bucket"], masked["note"]) == ("us-east-1-data", MASK)


@pytest.mark.parametrize("text", [
    "token={}", "db.password = '{}' here", '{{"private_token": "{}"}}', "--wandb-key {} --lr 1",
    "https://ada:{}@example.org/x",
])
def test_no_secret_is_too_long_to_be_masked(text: str) -> None:
    """All of a secret of 1,900 characters goes, in whatever form a text has it."""
    masked = Masker().text(text.format("aB3" + "x9Z!" * 475))

    assert masked == text.format(MASK)


@pytest.mark.parametrize("value", ["<hunter22>", "[HUNTER]"])
def test_brackets_make_no_password_a_special_token(value: str) -> None:
    """What would be a word of a vocabulary under a token's name is a secret under a password's."""
    assert Masker().mask({"password": value, "secrets": {"url": value}}) == {
        "password": MASK, "secrets": {"url": MASK}
    }
    masker = Masker().learn({"secrets": {"url": "https://x.org/in-7f3a"}})
    assert masker.mask({"hook": "https://x.org/in-7f3a"}) == {"hook": MASK}


@pytest.mark.parametrize("unit", [
    "token", "sk-", "://a:", "key=a&", "key:1/", "key=f(", "ey-eyJ", 'token="', "key-", "--key ",
])
def test_no_text_takes_long(unit: str) -> None:
    """A text of 100,000 characters is looked through in no more than a second."""
    start = time.process_time()
    Masker().text(f"curl @ x={unit * (100_000 // len(unit))} ada@x.org")

    assert time.process_time() - start < 1.0
