"""``why`` names the first causes of two different results, along real lineages of five steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Project
from tests.support.chains import STEPS, chain, step

pytestmark = pytest.mark.hydra
FROM_A = dict.fromkeys(STEPS, "a")


def why(project: Project, old: str, new: str) -> dict[str, Any]:
    """The command's JSON."""
    done = project.flexlock("why", old, new, "--json", check=False)
    assert done.code in (0, 1), done.err
    document: dict[str, Any] = done.json
    assert document["differs"] == bool(done.code)
    return document


def told(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Each cause: job, kind, name, old, new."""
    return [tuple(c[key] for key in ("job", "kind", "name", "old", "new"))
            for c in document["causes"]]


def test_two_causes(ran: Project) -> None:
    """Of five steps two changed: these two are named and no other; folders and times are not."""
    found = why(ran, "outputs/a/evaluate", "outputs/b/evaluate")
    assert told(found) == [
        ("clean", "config", "param", 1, 2), ("train", "config", "param", 1, 7)
    ]
    assert [pair["job"] for pair in found["equal"]] == ["ingest"]
    assert {pair["job"] for pair in found["differing"]} == {
        "evaluate", "train", "features", "clean"
    }
    said = ran.flexlock("why", "outputs/a/evaluate", "outputs/b/evaluate", check=False).out
    assert said.splitlines() == [
        "evaluate differs because",
        "  clean's param was 1 and is 2",
        "  train's param was 1 and is 7",
        "ingest is equal",
    ]


def test_one_cause_in_a_sentence(ran: Project) -> None:
    """One cause is told in a sentence with what is equal."""
    step(ran, "train", "c", "param=0.2", **FROM_A)
    step(ran, "evaluate", "c", clean="a")
    done = ran.flexlock("why", "outputs/a/evaluate", "outputs/c/evaluate", check=False)
    assert done.out == (
        "evaluate differs because train's param was 1 and is 0.2; clean, features are equal\n"
    )


def test_code_data_and_own_difference(ran: Project) -> None:
    """Changed data at the first step, a changed module at each step is named where it is first."""
    ran.write("data/table.csv", "a,b\n5,6,7\n")
    ran.write("steps.py", ran.path("steps.py").read_text() + "# edited\n")
    chain(ran, "c", evaluate="param=3")
    found = why(ran, "outputs/a/evaluate", "outputs/c/evaluate")
    kinds = {(job, kind, name) for job, kind, name, *_ in told(found)}
    assert kinds == {
        ("ingest", "data", "raw"), ("ingest", "code", "steps.py"), ("evaluate", "config", "param")
    }
    said = ran.flexlock("why", "outputs/a/evaluate", "outputs/c/evaluate", check=False).out
    assert "ingest's data raw was data/table.csv (" in said
    assert "ingest's code steps.py changed" in said


def test_chance(ran: Project) -> None:
    """Where nothing that was recorded differs and the output does, that step is named."""
    for tag in ("c", "d"):
        step(ran, "train", tag, "+noisy=true", **FROM_A)
        step(ran, "evaluate", tag, clean="a")
    found = why(ran, "outputs/c/evaluate", "outputs/d/evaluate")
    assert [(c[0], c[1]) for c in told(found)] == [("train", "not deterministic")]
    said = ran.flexlock("why", "outputs/c/evaluate", "outputs/d/evaluate", check=False).out
    assert "train is not deterministic: nothing that was recorded differs" in said


def test_equal(ran: Project) -> None:
    """A step run again with the same settings has equal results: exit 0."""
    step(ran, "evaluate", "c", **FROM_A)
    done = ran.flexlock("why", "outputs/a/evaluate", "outputs/c/evaluate")
    assert done.out == "evaluate: the results are equal\n"


def test_a_lock_that_is_gone(ran: Project) -> None:
    """A step whose lock is gone is named with where it was; the walk goes on behind it."""
    ran.path("outputs/b/features/run.lock").unlink()
    found = why(ran, "outputs/a/evaluate", "outputs/b/evaluate")
    assert ("clean", "config", "param", 1, 2) in told(found)
    gone = [c for c in found["causes"] if c["kind"] == "unknown"]
    assert [c["job"] for c in gone] == ["features"] and "outputs/b/features" in gone[0]["new"]


def test_a_step_fewer(ran: Project) -> None:
    """An input that came from a run on one side alone is a cause, and which run."""
    ran.write("data/model.txt", "by hand")
    step(ran, "evaluate", "c", "inputs.model='${snapshot:data/model.txt,model}'", **FROM_A)
    found = why(ran, "outputs/a/evaluate", "outputs/c/evaluate")
    (cause,) = [c for c in found["causes"] if c["kind"] == "step"]
    assert cause["name"] == "model" and cause["old"].startswith("train ") and cause["new"] is None


def test_inputs_that_are_whole_folders(ran: Project) -> None:
    """A run's folder always has other bytes; what counts is whether its results differ."""
    whole = "inputs={{model: '${{snapshot:outputs/{}/train,model}}'}}"
    step(ran, "train", "c", **FROM_A)
    step(ran, "train", "d", "param=0.2", **FROM_A)
    for tag, train, more in (("c", "a", ""), ("d", "c", "param=3"), ("e", "d", "")):
        words = ["evaluate", whole.format(train), *filter(None, [more])]
        step(ran, words[0], tag, *words[1:], **FROM_A)
    found = why(ran, "outputs/c/evaluate", "outputs/d/evaluate")
    assert [cause[:3] for cause in told(found)] == [("evaluate", "config", "param")]
    assert [pair["job"] for pair in found["equal"]] == ["clean", "train"]
    found = why(ran, "outputs/c/evaluate", "outputs/e/evaluate")
    assert [cause[:3] for cause in told(found)] == [("train", "config", "param")]


def test_a_step_of_another_name(ran: Project) -> None:
    """A step whose job was renamed is the same step, where it is the same program."""
    step(ran, "train", "c", "param=0.2", "hydra.job.name=fit", **FROM_A)
    step(ran, "evaluate", "c", clean="a")
    found = why(ran, "outputs/a/evaluate", "outputs/c/evaluate")
    assert [cause[:3] for cause in told(found)] == [("train and fit", "config", "param")]


def test_an_output_that_was_edited_by_hand(ran: Project) -> None:
    """A step is not called chance where its outputs are not what it left."""
    step(ran, "evaluate", "c", **FROM_A)
    ran.write("outputs/c/evaluate/out.txt", "edited")
    (cause,) = why(ran, "outputs/a/evaluate", "outputs/c/evaluate")["causes"]
    assert cause["kind"] == "unknown" and "written since: out.txt" in cause["old"]
