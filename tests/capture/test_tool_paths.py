"""Which names are a tool's or a secret's, and that the quick look agrees with the rules."""

from __future__ import annotations

import pytest

from flexlock_hydra.capture.reads.tool_paths import is_plain, is_secret_by_name, is_tools_own
from flexlock_hydra.capture.secrets.leaks import holds_settings

SECRETS = [
    ".env", ".env.local", ".netrc", "_netrc", "id_rsa", "id_ed25519", "server.pem", "my.key",
    "aws_credentials", "credentials.json", "gcp-credentials.yaml", "secrets.yaml", "token",
    "hf_token.txt", "api_key.txt", "API-KEYS.json", "passwd", "passwords.ini", "x.p12", "a.gpg",
    ".git-credentials", ".pypirc", "store.kdbx",
]
TOOLS = [
    "x.pyc", "lib.so", "libx.so.1.2", "a.dylib", "poetry.lock", "lock.mdb", ".DS_Store",
    "my.db-wal", "my.db-shm", "my.db-journal", "notes.txt~", ".app.py.swp",
]
DATA = [
    "train.csv", "tokens.npy", "tokenizer.model", "images.zip", "a.b.c.bin", "keyboard.wav",
    "monkey.jpg", "secretary.txt", "passenger.csv", "clock.png", "apis.parquet", "block_3.pt",
]
SETTINGS = ["a.yaml", "b.json", "x.toml", "conf.ini", "run.lock", "app.properties"]


@pytest.mark.parametrize("name", [*SECRETS, *TOOLS, *SETTINGS])
def test_what_a_rule_is_about_is_not_plain(name: str) -> None:
    """The quick look passes over no name that a rule takes."""
    assert is_secret_by_name(name) == (name in SECRETS)
    assert is_tools_own(name) == (name in TOOLS or name == "run.lock")
    assert holds_settings(name) >= (name in SETTINGS)
    assert not is_plain(name)


@pytest.mark.parametrize("name", DATA)
def test_data_is_data(name: str) -> None:
    """Names that merely begin like a secret's are inputs."""
    assert not is_secret_by_name(name)
    assert not is_tools_own(name)
    assert not is_secret_by_name(f"data/set/{name}")
