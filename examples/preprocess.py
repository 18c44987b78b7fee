"""Split the table into training and test rows, and bring every feature to one scale."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev

import hydra
from files import LABEL, read_table, write_json, write_table
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

Row = dict[str, float]


@hydra.main(version_base=None, config_path="../conf", config_name="preprocess")
def preprocess(config: DictConfig) -> dict[str, int]:
    """Write train.csv, test.csv and metrics.json."""
    rows = [_numbers(row) for row in read_table(config.table)]
    shuffled = random.Random(config.seed).sample(rows, k=len(rows))
    cut = round(len(rows) * config.test_fraction)
    test, training = shuffled[:cut], shuffled[cut:]

    folder = Path(HydraConfig.get().runtime.output_dir)
    write_table(folder / "train.csv", _scaled(training, like=training))
    write_table(folder / "test.csv", _scaled(test, like=training))
    metrics = {"rows": len(rows), "train_rows": len(training), "test_rows": len(test)}
    write_json(folder / "metrics.json", metrics)
    return metrics


def _numbers(row: dict[str, str]) -> Row:
    label = int(row["diagnosis"] == "malignant")
    return {**{k: float(v) for k, v in row.items() if k != "diagnosis"}, LABEL: label}


def _scaled(rows: Sequence[Row], like: Sequence[Row]) -> list[Row]:
    """Each feature less its mean, in standard deviations, both those of ``like``."""
    columns = {name: [row[name] for row in like] for name in like[0] if name != LABEL}
    scales = {name: (fmean(values), pstdev(values)) for name, values in columns.items()}
    return [
        {
            **{name: (row[name] - mean) / deviation for name, (mean, deviation) in scales.items()},
            LABEL: row[LABEL],
        }
        for row in rows
    ]


if __name__ == "__main__":
    preprocess()
