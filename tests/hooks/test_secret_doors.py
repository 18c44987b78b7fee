"""No secret reaches the lock by any door, and no ordinary value is lost at one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlock_hydra.capture.environment.environment import capture_environment
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.capture.secrets.shapes import MASK, SHAPES, SecretShape
from flexlock_hydra.hooks.job.end import _failure, _result
from tests.conftest import Project
from tests.support.secret_corpus import ALONE, ORDINARY, SECRETS, Planted

Door = Callable[[str, str, Masker], object]


class Shown:
    """A result that JSON cannot hold."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Shown({self.text})"


def failed(message: str, masker: Masker) -> str:
    """What a lock says of an exception that was really raised."""
    try:
        raise RuntimeError(message)
    except RuntimeError as error:
        failure = _failure(error, masker)
    return failure.message + failure.traceback


DOORS: dict[str, Door] = {
    "config": lambda key, value, masker: masker.mask({"a": {key: value}}),
    "list": lambda key, value, masker: masker.mask({key: ["x", [value]]}),
    "interpolation": lambda key, value, masker: masker.mask({"a": {"b": ["x", value]}}),
    "concatenation": lambda key, value, masker: masker.mask({"a": f"({value})"}),
    "override": lambda key, value, masker: masker.assignment(f"+a.{key}={value}"),
    "argument": lambda key, value, masker: list(masker.arguments(["app.py", f"--{key}", value])),
    "exception": lambda key, value, masker: failed(f"{key}: {value}", masker),
    "result": lambda key, value, masker: _result({key: value}, masker),
    "repr": lambda key, value, masker: _result(Shown(value), masker),
    "warning": lambda key, value, masker: masker.text(f"config {key}: '{value}' is refused"),
}


def texts(value: object) -> str:
    """Every string of a plain value, and its keys."""
    if isinstance(value, dict):
        return "\n".join(f"{key}\n{texts(item)}" for key, item in value.items())
    return "\n".join(map(texts, value)) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("planted", SECRETS, ids=lambda planted: planted.value[:24])
def test_a_secret_enters_by_no_door(planted: Planted) -> None:
    """A secret that the config holds is masked wherever it turns up."""
    masker = Masker().learn({"a": {planted.key: planted.value}})
    shown = {door: texts(show(planted.key, planted.value, masker)) for door, show in DOORS.items()}

    assert [door for door, text in shown.items() if planted.secret in text] == []
    assert [door for door, text in shown.items() if MASK not in text] == []


@pytest.mark.parametrize("planted", SECRETS, ids=lambda planted: planted.value[:24])
def test_a_secret_enters_by_no_variable(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that the config reads shows no secret, nor does what repeats it."""
    monkeypatch.setenv(planted.key, planted.value)
    unresolved = {"x": f"${{oc.env:{planted.key}}}"}
    masker = Masker().learn(unresolved, {"x": planted.value})
    found = capture_environment(tmp_path, [planted.key], masker)

    assert planted.secret not in str(found.to_dict())
    assert planted.secret not in str(masker.mask({"x": planted.value}))


@pytest.mark.parametrize("planted", ALONE, ids=lambda planted: planted.value[:24])
def test_a_shape_needs_no_config(planted: Planted) -> None:
    """What shows itself as a secret is masked though nobody ever heard of it."""
    assert planted.secret not in Masker().text(planted.value)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_shape_has_an_example(shape: SecretShape) -> None:
    """Each row of the table stands for a secret that the tests above know."""
    assert any(shape.regex.search(planted.value) for planted in ALONE)


@pytest.mark.parametrize(("key", "value"), ORDINARY, ids=lambda text: ascii(text[:24]))
def test_an_ordinary_value_passes_every_door(key: str, value: str) -> None:
    """What is no secret is written as it is: a rerun and a reader need it.

    A line of code is told from a value everywhere but on a command line.
    """
    masker = Masker().learn({"a": {key: value}})
    doors = DOORS.keys() - ({"override", "argument"} if key == "code" else set())
    shown = {door: texts(DOORS[door](key, value, masker)) for door in doors}

    assert [door for door, text in shown.items() if value not in text or MASK in text] == []


@pytest.mark.parametrize("key", ["a_note", "tokenizer", "text"])
def test_masking_is_done_once(key: str) -> None:
    """What is masked is left alone by masking it again."""
    everything = {f"{key}{i}": planted.value for i, planted in enumerate(SECRETS)}
    masker = Masker().learn({planted.key: planted.value for planted in SECRETS})
    once = masker.mask(everything)

    assert masker.mask(once) == once
    assert [masker.text(text) for text in once.values()] == list(once.values())


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(ALONE), st.text(max_size=60), st.text(max_size=60))
def test_a_secret_in_any_text_is_masked(planted: Planted, before: str, after: str) -> None:
    """Whatever stands around it, with a space between, a secret's shape is found."""
    shown = Masker().text(f"{before} {planted.value} {after}")

    assert planted.secret not in shown
    assert Masker().text(shown) == shown


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text("abcdef xyz.,/_-", max_size=12), max_size=8))
def test_a_text_without_a_secret_is_unchanged(words: list[str]) -> None:
    """Words, paths and names of short parts are what they were."""
    text = " ".join(words)

    assert Masker().text(text) == text


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=200))
def test_masking_any_text_ends(text: str) -> None:
    """Any text at all can be masked, and once is enough."""
    once = Masker(patterns=("db_*",)).text(text)

    assert Masker(patterns=("db_*",)).text(once) == once


@pytest.mark.parametrize("text", [
    "a" * 200_000,
    "password" * 20_000,
    "-----BEGIN " * 20_000,
    "://a:" * 20_000,
    "eyJ" + "a.b" * 60_000,
    "key" + "-" * 200_000,
    "x" * 13 + "=" * 200_000,
])
def test_no_text_takes_long(text: str) -> None:
    """Texts made to exhaust a pattern take a moment, not minutes."""
    Masker().learn({"password": "hunter22"}).text(text)


# A whole run

APP = '''
import os, shutil
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    shutil.copy(out / "run.lock", Path(__file__).parent / "start.lock")
    if cfg.fail:
        raise ValueError(f"login {cfg.db.login} as {cfg.db.url} with {os.environ['HIDDEN_TOKEN']}")
    return {"login": cfg.db.login, "all": [cfg.shapes[0], cfg.chain], "token": cfg.opaque}


if __name__ == "__main__":
    main()
'''
CONFIG = """
defaults:
  - _self_
  - override /hydra/callbacks: flexlock
fail: false
db:
  password: {password}
  login: user=ada password=${{db.password}}
  url: postgres://ada:${{oc.env:URL_PASSWORD}}@db/x
  fallback: ${{oc.env:NO_SUCH_TOKEN,{fallback}}}
chain: x${{again}}y
again: ${{db.password}}
listed: ["${{db.password}}", ["${{oc.env:HIDDEN_TOKEN}}"]]
opaque: ${{oc.env:HIDDEN_TOKEN}}
secrets: {{one: {grouped}}}
shapes: {shapes}
broken: ${{oc.decode:"[${{db.password}}"}}
missing: "${{snapshot:'/nowhere/x?token={query}'}}"
hydra:
  job:
    env_set: {{SET_API_KEY: {env_set}}}
"""


@pytest.mark.hydra
def test_no_secret_is_in_a_real_lock(project: Project) -> None:
    """Secrets planted all over a project are in neither lock of a run, nor of one that fails."""
    planted = {
        name: f"pl4nted-{name}-s3cret"
        for name in ("password", "fallback", "grouped", "env_set", "query", "override",
                     "hidden", "in-url", "remote")
    }
    shapes = [p.value for p in ALONE if "\n" not in p.value and "${" not in p.value]
    text = CONFIG.format(**{key: value for key, value in planted.items() if "-" not in key},
                         shapes=json.dumps(shapes))
    project.write("conf/config.yaml", text)
    project.write("app.py", APP)
    project.git("remote", "add", "origin", f"https://ada:{planted['remote']}@example.org/p.git")
    project.commit()
    wanted = [*planted.values(), *(p.secret for p in ALONE if p.value in shapes)]
    env = {"HIDDEN_TOKEN": planted["hidden"], "URL_PASSWORD": planted["in-url"]}
    for fail in ("false", "true"):
        project.app(f"fail={fail}", f"+extra.api_key={planted['override']}",
                    "+z={password:onlyletters}", check=False, **env)
        assert project.lock()["run"]["status"] == ("failed" if fail == "true" else "completed")
        assert project.lock()["environment"]["variables"]["SET_API_KEY"] == MASK
        for lock in (project.path("start.lock"), project.newest()):
            content = lock.read_text()
            assert [secret for secret in (*wanted, "onlyletters") if secret in content] == []
            assert "status: running" in content or lock.name == "run.lock"


@pytest.mark.hydra
def test_a_name_that_shows_a_secret_is_told(project: Project) -> None:
    """A secret in the output directory's name cannot be hidden, and the lock says so."""
    project.app("+token=planted-s3cret", "hydra.run.dir=outputs/planted-s3cret")

    (warning,) = project.lock()["warnings"]
    assert warning.startswith("the name of folder shows a secret, and cannot be masked: ")
    assert warning.endswith("outputs/***")


@pytest.mark.hydra
def test_data_named_late_shows_no_secret(project: Project) -> None:
    """A secret in the name of data that the task names, and that is missing, is masked."""
    project.write("app.py", project.path("app.py").read_text().replace(
        "    out = ",
        "    import flexlock_hydra\n"
        "    flexlock_hydra.snapshot(data={'late': f'data/{cfg.token}'})\n"
        "    out = ",
    ))
    project.app("+token=planted-s3cret")

    assert "/data/*** is missing" in project.lock()["data"]["late"]["error"]
    assert "planted-s3cret" not in project.newest().read_text()


@pytest.mark.hydra
def test_code_that_shows_a_secret(project: Project) -> None:
    """A secret in the name of an ignored module is masked where the module is named."""
    project.write("planted_s3cret.py", "")
    project.write(".gitignore", "outputs/\ndata/\nplanted*\n")
    project.write("app.py", "import planted_s3cret\n" + project.path("app.py").read_text())
    project.commit()
    project.app("+token=planted_s3cret")

    assert project.lock()["repos"]["main"]["reasons"] == ["ignored ***.py was imported"]


def test_secrets_are_masked_fast() -> None:
    """A config of 10,000 leaves is learned and masked, both before and after resolution."""
    program = (
        "import time, json, sys\n"
        "from flexlock_hydra.capture.secrets.masker import Masker\n"
        "words = ['adam', 'data/train.csv', 'torch.optim.AdamW', 'bert-base-uncased', '${a.b}']\n"
        "config = {f's{i}': {f'b{i}_{j}': {'lr': j / 7, 'name': words[(i + j) % 5] + str(j)}\n"
        "                    for j in range(10)} for i in range(500)}\n"
        "def all():\n"
        "    start = time.process_time()\n"
        "    masker = Masker().learn(config).learn(config)\n"
        "    masker.mask(config), masker.mask(config)\n"
        "    return time.process_time() - start\n"
        "print(min(all() for _ in range(7)))\n"
    )
    took = float(Project(Path.cwd(), {}).call(sys.executable, "-c", program).out)

    assert took < 0.1  # seconds; about 0.02 on a machine with nothing else to do
