"""Variables of the environment that a lock has, and those that it has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from flexlock_hydra.capture.environment.environment import capture_environment
from flexlock_hydra.capture.secrets.masker import Masker
from tests.capture.test_environment import captured


def test_variables_that_change_results_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short list of variables is recorded where they are set, and only there."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    variables = captured(tmp_path).variables

    assert variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert variables["OMP_NUM_THREADS"] == ""
    assert "MKL_NUM_THREADS" not in variables
    assert not {"HOME", "PATH", "USER"} & set(variables)


def test_variables_that_the_config_reads_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that the config reads is recorded once, with its value."""
    monkeypatch.setenv("DATA_ROOT", "/srv/data")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NOT_SET", raising=False)
    variables = captured(tmp_path, "DATA_ROOT", "TZ", "NOT_SET").variables

    assert (variables["DATA_ROOT"], variables["TZ"]) == ("/srv/data", "UTC")
    assert "NOT_SET" not in variables


def test_secret_variables_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of a secret name, or with a password in its URL, shows no secret."""
    monkeypatch.setenv("HF_TOKEN", "hunter22")
    monkeypatch.setenv("DB_URL", "postgres://ada:hunter22@db/x")
    variables = captured(tmp_path, "HF_TOKEN", "DB_URL").variables

    assert variables["HF_TOKEN"] == "***"
    assert variables["DB_URL"] == "postgres://ada:***@db/x"


def test_a_known_secret_in_a_variable_is_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret of the config that a variable repeats is hidden there too."""
    monkeypatch.setenv("CONNECTION", "user=ada;pass=hunter22")
    masker = Masker().learn({"password": "hunter22"})
    found = capture_environment(tmp_path, ["CONNECTION"], masker)

    assert found.variables["CONNECTION"] == "user=ada;pass=***"


@pytest.mark.parametrize("name", [
    "OMP_NUM_THREADS", "OMP_PROC_BIND", "KMP_AFFINITY", "MKL_CBWR", "OPENBLAS_CORETYPE",
    "NUMEXPR_MAX_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS", "TF_DETERMINISTIC_OPS",
    "TF_CUDNN_DETERMINISTIC", "TF_ENABLE_ONEDNN_OPTS", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "PYTORCH_CUDA_ALLOC_CONF", "CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG",
    "CUDNN_LOGINFO_DBG", "NCCL_ALGO", "XLA_FLAGS", "JAX_ENABLE_X64", "NVIDIA_TF32_OVERRIDE",
    "PYTHONHASHSEED", "PYTHONOPTIMIZE", "LC_NUMERIC", "LANG", "TZ", "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "PL_GLOBAL_SEED",
])
def test_a_variable_of_a_known_kind_is_recorded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads, determinism, devices, compilers and locale are recorded as they are set."""
    monkeypatch.setenv(name, "1")

    assert captured(tmp_path).variables[name] == "1"


@pytest.mark.parametrize("name", [
    "HOME", "PATH", "USER", "TF_VAR_password", "NVIDIA_API_KEY", "LANGCHAIN_PROJECT", "OMPX",
    "PYTHONSTARTUP", "XCUDA_HOME", "TZDIR", "PYTHON",
])
def test_no_other_variable_is_recorded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that says nothing of results stays private."""
    monkeypatch.setenv(name, "1")

    assert name not in captured(tmp_path).variables
