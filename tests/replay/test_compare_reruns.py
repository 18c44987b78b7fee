"""Outputs of real reruns beside those of the run: noise, volatile files, tolerances."""

from __future__ import annotations

import pytest

from tests.conftest import Project, with_callback

# Real reruns.

APP = '''
import csv
import json
import os
import socket
import time
from pathlib import Path

import hydra
import numpy as np
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    off = cfg.noise * (time.time_ns() % 9973 + 1)
    metrics = {
        "accuracy": 0.91 + off,
        "train_time": time.time(),
        "hostname": f"{socket.gethostname()}-{os.getpid()}",
        "model": str(out / "model.npy"),
        "steps": 100,
    }
    (out / "metrics.json").write_text(json.dumps(metrics))
    with (out / "history.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["epoch", "loss", "epoch_time"])
        rows.writerows([i, 1 / (i + 1) + off, time.time_ns()] for i in range(3))
    np.save(out / "model.npy", np.arange(6.0).reshape(2, 3) + off)
    (out / "train.log").write_text(f"{time.time_ns()}")
    (out / "same.txt").write_text("same")
    (out / "trace.tmp").write_text(f"{time.time_ns()}")
    return {"accuracy": 0.91 + off, "seconds": time.time(), "cost": time.time_ns()}


if __name__ == "__main__":
    main()
'''


@pytest.fixture
def noisy(project: Project) -> Project:
    """A run of an app whose outputs hold times, a host name, a path, and noise of a size."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback("noise: 0.0\n"))
    project.commit("noisy")
    return project


VOLATILE = "hydra.callbacks.flexlock.volatile=['*.tmp','result:cost']"


@pytest.mark.hydra
def test_times_hosts_logs_and_paths_are_no_difference(noisy: Project) -> None:
    """A run whose outputs differ in what is no result is identical, and that is named."""
    noisy.app("hydra.run.dir=outputs/a", VOLATILE)
    again = noisy.flexlock("rerun", "outputs/a", "--json").json
    left_out = {(each["file"], each["key"]): each["by"] for each in again["left_out"]}

    assert noisy.lock()["job"]["volatile"] == ["*.tmp", "result:cost"]
    assert (again["verdict"], again["identical"]) == ("identical", 4)
    assert left_out.pop((".hydra/config.yaml", "")) == ".hydra/**"
    assert {key: by for key, by in left_out.items() if ".hydra" not in key[0]} == {
        ("app.log", ""): "*.log",
        ("train.log", ""): "*.log",
        ("trace.tmp", ""): "*.tmp",
        ("metrics.json", "train_time"): "*:*_time",
        ("metrics.json", "hostname"): "*:hostname",
        ("metrics.json", "model"): "paths",
        ("history.csv", "epoch_time"): "*:*_time",
        ("result", "seconds"): "*:seconds",
        ("result", "cost"): "result:cost",
    }
    shown = noisy.flexlock("rerun", "outputs/a")
    assert shown.out.endswith("\nidentical: 4 files\n")
    assert "left out by *:*_time: history.csv:epoch_time, metrics.json:train_time\n" in shown.out


@pytest.mark.hydra
def test_noise_below_the_tolerance_is_close(noisy: Project) -> None:
    """Numbers that are a little off make a rerun close, above --rtol and --atol they differ."""
    noisy.app("hydra.run.dir=outputs/a", VOLATILE, "noise=1e-13")
    done = noisy.flexlock("rerun", "outputs/a")
    assert "close: metrics.json: accuracy: 0.9100000" in done.out
    last = done.out.splitlines()[-1]
    assert last.startswith("close: 3 files and the returned result within rtol=1e-05, atol=1e-08 (")
    assert "largest deviation" in last
    again = noisy.flexlock("rerun", "outputs/a", "--json").json
    assert again["verdict"] == "close"
    assert again["close"] == ["history.csv", "metrics.json", "model.npy", "the returned result"]
    assert again["tolerance"] == {"rtol": 1e-5, "atol": 1e-8}
    exact = ("--rtol", "0", "--atol", "0")
    differing = noisy.flexlock("rerun", "outputs/a", *exact, "--json", check=False)
    assert differing.code == 1
    assert differing.json["verdict"] == "differs"
    assert differing.json["differ"] == again["close"]
    places = {each["file"]: each["where"] for each in reversed(differing.json["details"])}
    assert places == {
        "metrics.json": "accuracy",
        "history.csv": "row 1, column loss",
        "model.npy": "[0, 0]",
        "the returned result": "accuracy",
    }


@pytest.mark.hydra
def test_a_value_that_differs_is_told_on_a_line(noisy: Project) -> None:
    """The human output of a rerun that differs names file, key, old and new value."""
    noisy.app("hydra.run.dir=outputs/a", VOLATILE)
    done = noisy.flexlock("rerun", "outputs/a", "noise=1e-3", check=False)

    assert done.code == 1
    assert "differs: metrics.json: accuracy: 0.91, now " in done.out
    assert "differs: history.csv: row 1, column loss: 1.0, now " in done.out
    assert "differs: model.npy: [0, 0]: 0.0, now " in done.out
    assert done.out.endswith("\nidentical: 1 file\n")


@pytest.mark.hydra
def test_a_default_is_taken_back(noisy: Project) -> None:
    """A default pattern that the run's own list takes back counts again."""
    own = "hydra.callbacks.flexlock.volatile=['*.tmp','result:cost','!*:hostname','!*.log']"
    noisy.app("hydra.run.dir=outputs/a", own)
    again = noisy.flexlock("rerun", "outputs/a", "--json", check=False)

    assert again.code == 1
    assert again.json["differ"] == ["metrics.json", "train.log"]
    by = {each["file"]: each["by"] for each in again.json["left_out"]}
    assert by["app.log"] == "Hydra's log"


@pytest.mark.hydra
def test_a_wrong_tolerance_runs_nothing(noisy: Project) -> None:
    """A tolerance that is none is refused before the job runs."""
    noisy.app("hydra.run.dir=outputs/a")
    done = noisy.flexlock("rerun", "outputs/a", "--rtol", "nan", check=False)

    assert done.code == 2
    assert "rtol is nan" in done.err
    assert not noisy.path("outputs/reruns").exists()
