"""The machine below the job: processor, memory, GPUs, container. No program is started.

Everything is read from what the kernel shows as files, so that no driver tool can delay a
job; what a system does not show is left out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from flexlock_hydra.ports.git.command import redact_url

PROC = Path("/proc")
SYS = Path("/sys")
ROOT = Path("/")
_AMD = "0x1002"
_IMAGES = (
    *("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "SLURM_CONTAINER"),
    *("CONTAINER_IMAGE", "DOCKER_IMAGE"),
)
_ENGINES = {
    "APPTAINER_NAME": "apptainer",
    "SINGULARITY_NAME": "singularity",
    "KUBERNETES_SERVICE_HOST": "kubernetes",
}


@lru_cache(maxsize=1)
def cpu() -> Mapping[str, Any] | None:
    """Model, logical processors, and how many of them this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return _present(model=_cpu_model(), count=os.cpu_count(), affinity=usable, quota=_cpu_quota())


@lru_cache(maxsize=1)
def memory() -> Mapping[str, int] | None:
    """Bytes of the machine, and the limit of this process's control group."""
    found = re.search(r"MemTotal:\s+(\d+) kB", _kernel_file(PROC / "meminfo"))
    texts = _cgroup_limits("memory.max", "memory/memory.limit_in_bytes")
    limits = [int(text) for text in texts if text.isdigit()]
    total = int(found[1]) * 1024 if found else None
    limit = min(limits, default=None)
    return _present(total=total, limit=limit if limit and (not total or limit < total) else None)


@lru_cache(maxsize=1)
def gpus() -> tuple[Mapping[str, str], ...]:
    """The cards as their kernel drivers list them."""
    return (*_nvidia_cards(), *_amd_cards())


def torch() -> Mapping[str, Any] | None:
    """What PyTorch was built for, and its devices, where the job has brought these up.

    It is looked at only if it is imported already, and never initialises CUDA.
    """
    module = sys.modules.get("torch")
    version, cuda = getattr(module, "version", None), getattr(module, "cuda", None)
    if module is None or version is None or cuda is None:
        return None
    found = {"cuda": getattr(version, "cuda", None), "hip": getattr(version, "hip", None)}
    with suppress(AttributeError, RuntimeError):  # half imported; a driver that has gone
        if cuda.is_initialized():
            found["devices"] = [cuda.get_device_name(i) for i in range(cuda.device_count())]
            found["cudnn"] = module.backends.cudnn.version()
    return _present(**found)


def container() -> Mapping[str, str] | None:
    """The engine and the image, as far as the environment tells."""
    notes = _kernel_file(ROOT / "run/.containerenv")
    noted = dict(re.findall(r'^(\w+)="?([^"\n]*)', notes, re.MULTILINE))
    engines = [name for variable, name in _ENGINES.items() if variable in os.environ]
    docker = "docker" if (ROOT / ".dockerenv").exists() else None
    engine = next(iter(engines), None) or noted.get("engine") or docker
    images = [redact_url(image) for name in _IMAGES if (image := os.environ.get(name))]
    return _present(
        engine=engine or os.environ.get("container"),
        image=next(iter(images), None) or noted.get("image"),
    )


def _present(**fields: Any) -> dict[str, Any] | None:
    """The fields that have a value; None where none has."""
    return {name: value for name, value in fields.items() if value} or None


def _kernel_file(path: Path, size: int = -1) -> str:
    """The text of a file of the kernel's; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size).decode("utf-8", "replace")
    except OSError:
        return ""


def _cpu_model() -> str | None:
    # The file has a page for each processor, and the kernel asks each for its speed.
    found = re.search(r"model name\s*: (.*)", _kernel_file(PROC / "cpuinfo", 4096))
    return found[1].strip() if found else os.environ.get("PROCESSOR_IDENTIFIER")


def _cpu_quota() -> float | None:
    """Processors' worth of time that the control group may use."""
    quotas = []
    for text in _cgroup_limits("cpu.max", "cpu/cpu.cfs_quota_us"):
        quota, _, period = text.partition(" ")
        period = period or _kernel_file(SYS / "fs/cgroup/cpu/cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _cgroup_limits(name: str, first_version: str) -> Iterator[str]:
    """The texts of one limit: of this process's control group and of each above it, cgroups(7)."""
    top = SYS / "fs/cgroup"
    own = re.search(r"^0::/(.*)", _kernel_file(PROC / "self/cgroup"), re.MULTILINE)
    folder = top / own[1] if own else top
    for group in (folder, *folder.parents):
        if group.is_relative_to(top):
            yield _kernel_file(group / name).strip()
    yield _kernel_file(top / first_version).strip()


def _nvidia_cards() -> Iterator[dict[str, str]]:
    version = _kernel_file(PROC / "driver/nvidia/version")
    driver = re.search(r"Module\s+(?:for \S+\s+)?([\d.]+)", version)
    for card in sorted((PROC / "driver/nvidia/gpus").glob("*/information")):
        fields = dict(line.split(":", 1) for line in _kernel_file(card).splitlines() if ":" in line)
        yield {
            "name": fields.get("Model", "").strip(),
            "uuid": fields.get("GPU UUID", "").strip(),
            "driver": driver[1] if driver else "",
        }


def _amd_cards() -> Iterator[dict[str, str]]:
    driver = _kernel_file(SYS / "module/amdgpu/version").strip()
    for device in sorted((SYS / "class/drm").glob("card[0-9]*/device")):
        is_amd = _kernel_file(device / "vendor").strip() == _AMD
        if is_amd and (device / "mem_info_vram_total").exists():
            name = _kernel_file(device / "product_name").strip()
            yield {
                "name": name or f"AMD {_kernel_file(device / 'device').strip()}",
                "uuid": _kernel_file(device / "unique_id").strip(),
                "driver": driver or "amdgpu of the kernel",
            }
