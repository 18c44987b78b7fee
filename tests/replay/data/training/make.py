# mypy: ignore-errors
"""Writes what a training leaves behind, with PyTorch 2 and TensorBoard, into a folder.

The folders beside this file were made by it, where these are installed::

    PYTHONHASHSEED=1 python make.py old
    PYTHONHASHSEED=2 python make.py moved --root /tmp/tree
    PYTHONHASHSEED=3 python make.py noise --noise 1e-6
    PYTHONHASHSEED=4 python make.py worse --noise 1e-2
    PYTHONHASHSEED=5 python make.py stamp --saved "2026-11-26 05:00"
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from torch.utils.tensorboard import SummaryWriter


def main(folder: Path, root: str, noise: float, saved: str) -> None:
    """Write a checkpoint, a whole module, pickles with arrays, and what was logged."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(module.parameters())
    module[0].weight.sum().backward()
    optimizer.step()
    with torch.no_grad():
        module[0].weight *= 1 + noise
    folder.mkdir()
    state = {
        "state_dict": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "hyper_parameters": OmegaConf.create({"dir": f"{root}/data", "net": {"size": [3, 4]}}),
        "best": {f"{root}/outputs/a/last.ckpt": torch.tensor(0.5, dtype=torch.bfloat16)},
        "tags": {"one", "two", "three", "four"},
        "accuracy": np.float64(0.75 * (1 + noise)),
        "saved": saved,
    }
    torch.save(state, folder / "last.ckpt")
    torch.save(module, folder / "module.pt")
    scores = {"scores": np.linspace(1, 2, 6).reshape(2, 3) * (1 + noise), "by": np.float32(0.5)}
    for protocol in (2, 4, 5):
        (folder / f"scores{protocol}.pkl").write_bytes(pickle.dumps(scores, protocol))
    with SummaryWriter(str(folder)) as writer:
        for step in range(3):
            writer.add_scalar("loss", (1 + noise) / (step + 1), step)
        writer.add_histogram("weights", np.linspace(0, 1, 50), 2)
        writer.add_text("dir", f"{root}/data")
    with SummaryWriter(str(folder)) as writer:
        parameters = {"dir": f"{root}/data", "lr": 0.1, "size": 4, "seed": 3}
        writer.add_hparams(parameters, {"end": 0.5}, run_name="hparams")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--root", default="/home/ada/project")
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--saved", default="2026-11-26 04:00")
    main(**vars(parser.parse_args()))
