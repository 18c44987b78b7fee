"""Train the classifier that ``model=`` names on the training rows of a preprocess run."""

from __future__ import annotations

from pathlib import Path

import hydra
from files import read_examples, write_json
from hydra.core.hydra_config import HydraConfig
from models import export
from omegaconf import DictConfig
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

CLASSIFIERS = {"forest": RandomForestClassifier, "logistic": LogisticRegression}


@hydra.main(version_base=None, config_path="../conf", config_name="train")
def train(config: DictConfig) -> dict[str, float]:
    """Write model.json and metrics.json."""
    names, features, labels = read_examples(config.features)
    classifier = CLASSIFIERS[config.model.name](**config.model.settings)
    classifier.fit(features, labels)

    folder = Path(HydraConfig.get().runtime.output_dir)
    write_json(folder / "model.json", export(classifier, names))
    metrics = {"rows": len(labels), "accuracy": float(classifier.score(features, labels))}
    write_json(folder / "metrics.json", metrics)
    return metrics


if __name__ == "__main__":
    train()
