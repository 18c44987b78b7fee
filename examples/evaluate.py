"""Measure a trained classifier on the test rows of a preprocess run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import hydra
from files import read_examples, write_json, write_table
from hydra.core.hydra_config import HydraConfig
from models import probability
from omegaconf import DictConfig


@hydra.main(version_base=None, config_path="../conf", config_name="evaluate")
def evaluate(config: DictConfig) -> dict[str, float]:
    """Write predictions.csv and metrics.json."""
    model = json.loads(Path(config.model).read_text(encoding="utf-8"))
    _, features, labels = read_examples(config.features)
    probabilities = [probability(model, row) for row in features]
    predictions = [int(chance >= config.threshold) for chance in probabilities]

    folder = Path(HydraConfig.get().runtime.output_dir)
    columns = ("probability", "prediction", "malignant")
    results = zip(probabilities, predictions, labels, strict=True)
    write_table(folder / "predictions.csv", [dict(zip(columns, row)) for row in results])
    metrics = _metrics(predictions, labels)
    write_json(folder / "metrics.json", metrics)
    return metrics


def _metrics(predictions: Sequence[int], labels: Sequence[int]) -> dict[str, float]:
    """Which share of all rows is right, and of the malignant ones which share is found."""
    return {
        "rows": len(labels),
        "accuracy": fmean(p == label for p, label in zip(predictions, labels, strict=True)),
        "recall": fmean(p for p, label in zip(predictions, labels, strict=True) if label),
    }


if __name__ == "__main__":
    evaluate()
