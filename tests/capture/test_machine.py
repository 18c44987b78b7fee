"""The machine below the job, as files of a kernel show it."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.capture.environment import machine

NVIDIA = """Model: \t\t NVIDIA H200
IRQ:   \t\t 123
GPU UUID: \t GPU-1b2c3d4e-0000-0000-0000-000000000000
Video BIOS: \t 96.00.99.00.0a
Bus Type: \t PCIe
"""
VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 2024\n"
OPEN_VERSION = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build\n"
)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in place of the file system's root, for /proc, /sys and /run."""
    for name in ("proc", "sys"):
        monkeypatch.setattr(machine, name.upper(), tmp_path / name)
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """As in a new process."""
    for found in (machine.cpu, machine.memory, machine.gpus):
        found.cache_clear()


def put(root: Path, name: str, content: str) -> None:
    """A file of the kernel's."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_this_machine() -> None:
    """Here and now: as many processors as Python counts, more than no memory."""
    cpu, memory = machine.cpu() or {}, machine.memory() or {}

    assert cpu["count"] == os.cpu_count()
    assert 1 <= cpu["affinity"] <= cpu["count"]
    assert memory["total"] > 1 << 20


@pytest.mark.parametrize(("version", "driver"), [
    (VERSION, "550.54.15"), (OPEN_VERSION, "560.35.03"), ("", ""),
])
def test_nvidia_cards(version: str, driver: str, kernel: Path) -> None:
    """Each card with name, id and driver, in the order of the bus."""
    put(kernel, "proc/driver/nvidia/version", version)
    for bus in ("0000:18:00.0", "0000:0b:00.0"):
        put(kernel, f"proc/driver/nvidia/gpus/{bus}/information", NVIDIA.replace("1b2c", bus[5:7]))

    assert machine.gpus() == (
        {"name": "NVIDIA H200", "uuid": "GPU-0b3d4e-0000-0000-0000-000000000000",
         "driver": driver},
        {"name": "NVIDIA H200", "uuid": "GPU-183d4e-0000-0000-0000-000000000000",
         "driver": driver},
    )


def test_amd_cards(kernel: Path) -> None:
    """An accelerator is listed; an Intel display and a card without memory are not."""
    for card, vendor in (("card0", "0x8086"), ("card1", "0x1002"), ("card2", "0x1002")):
        put(kernel, f"sys/class/drm/{card}/device/vendor", f"{vendor}\n")
    put(kernel, "sys/class/drm/card1/device/mem_info_vram_total", "68702699520\n")
    put(kernel, "sys/class/drm/card1/device/product_name", "AMD Instinct MI250X\n")
    put(kernel, "sys/class/drm/card1/device/unique_id", "8b1c7f0e\n")
    put(kernel, "sys/module/amdgpu/version", "6.3.6\n")

    assert machine.gpus() == (
        {"name": "AMD Instinct MI250X", "uuid": "8b1c7f0e", "driver": "6.3.6"},
    )


def test_nothing_is_known_of_a_silent_kernel(
    kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without files to read there is no card, no memory and no container, and no error."""
    for name in (*machine._IMAGES, *machine._ENGINES, "container"):
        monkeypatch.delenv(name, raising=False)

    assert machine.gpus() == ()
    assert machine.memory() is None
    assert machine.container() is None
    assert "model" not in (machine.cpu() or {})


@pytest.mark.parametrize(("groups", "quota", "limit"), [
    ({"job/step/cpu.max": "150000 100000", "job/step/memory.max": "1073741824"}, 1.5, 1 << 30),
    ({"job/step/cpu.max": "max 100000", "job/cpu.max": "400000 100000",
      "job/memory.max": "max"}, 4.0, None),
    ({"cpu.max": "200000 100000", "memory.max": "2147483648"}, 2.0, 1 << 31),
    ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000",
      "memory/memory.limit_in_bytes": "1073741824"}, 0.5, 1 << 30),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000",
      "memory/memory.limit_in_bytes": "9223372036854771712"}, None, None),
    ({}, None, None),
])
def test_limits_of_the_control_group(
    groups: dict[str, str], quota: float | None, limit: int | None, kernel: Path
) -> None:
    """The tightest limit of the process's group and those above it, in either version."""
    put(kernel, "proc/self/cgroup", "0::/job/step\n")
    put(kernel, "proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\n")
    for name, text in groups.items():
        put(kernel, f"sys/fs/cgroup/{name}", text + "\n")

    assert (machine.cpu() or {}).get("quota") == quota
    assert machine.memory() == {"total": 1 << 33, **({"limit": limit} if limit else {})}


def test_the_processor_has_a_name(kernel: Path) -> None:
    """The model is that of the first processor."""
    one = "processor\t: {}\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9654 {}\n\n"
    put(kernel, "proc/cpuinfo", one.format(0, "first") + one.format(1, "second"))

    assert (machine.cpu() or {})["model"] == "AMD EPYC 9654 first"


@pytest.mark.parametrize(("variables", "files", "shown"), [
    ({"APPTAINER_CONTAINER": "/img/x.sif", "APPTAINER_NAME": "x.sif"}, {},
     {"engine": "apptainer", "image": "/img/x.sif"}),
    ({"SINGULARITY_NAME": "x.sif"}, {}, {"engine": "singularity"}),
    ({}, {"run/.containerenv": 'engine="podman-4.3.1"\nname="x"\nimage="docker.io/a/b:1"\n'},
     {"engine": "podman-4.3.1", "image": "docker.io/a/b:1"}),
    ({"container": "podman"}, {"run/.containerenv": ""}, {"engine": "podman"}),
    ({}, {".dockerenv": ""}, {"engine": "docker"}),
    ({"DOCKER_IMAGE": "https://ada:hunter22@r.example.org/a/b:1"}, {".dockerenv": ""},
     {"engine": "docker", "image": "https://r.example.org/a/b:1"}),
    ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {".dockerenv": ""}, {"engine": "kubernetes"}),
])
def test_the_container(
    variables: dict[str, str],
    files: dict[str, str],
    shown: dict[str, str],
    kernel: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Engine and image, where a variable or the engine's own note tells them."""
    for name in (*machine._IMAGES, *machine._ENGINES, "container"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name, text in files.items():
        put(kernel, name, text)

    assert machine.container() == shown


def pytorch(initialized: bool) -> Any:
    """A module with as much of PyTorch as is asked, whose devices need it initialised."""
    torch: Any = types.ModuleType("torch")
    torch.version = types.SimpleNamespace(cuda="12.4", hip=None)

    def name(index: int) -> str:
        assert initialized
        return f"NVIDIA H200 {index}"

    torch.cuda = types.SimpleNamespace(
        is_initialized=lambda: initialized, device_count=lambda: 2, get_device_name=name
    )
    torch.backends = types.SimpleNamespace(cudnn=types.SimpleNamespace(version=lambda: 90100))
    return torch


def test_pytorch_is_asked_only_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not imported: nothing. Imported: its CUDA. Brought up by the job: its devices too."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert machine.torch() is None
    monkeypatch.setitem(sys.modules, "torch", pytorch(initialized=False))
    assert machine.torch() == {"cuda": "12.4"}
    monkeypatch.setitem(sys.modules, "torch", pytorch(initialized=True))
    assert machine.torch() == {
        "cuda": "12.4", "cudnn": 90100, "devices": ["NVIDIA H200 0", "NVIDIA H200 1"]
    }


def test_a_module_that_is_no_pytorch_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own module of that name, or one half imported, is passed over."""
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))

    assert machine.torch() is None


def test_a_pytorch_half_imported_says_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose imports failed half way is recorded all the same."""
    torch = pytorch(initialized=False)
    del torch.cuda.is_initialized
    monkeypatch.setitem(sys.modules, "torch", torch)

    assert machine.torch() == {"cuda": "12.4"}
