"""The processes of one job of distributed training."""

from __future__ import annotations

import os


def is_further_rank() -> bool:
    """Whether a launcher of distributed training calls this process other than its first.

    ``LOCAL_RANK`` is set by torchrun, Lightning and accelerate; ``RANK`` counts over all
    nodes, and only beside ``WORLD_SIZE`` does it mean that.
    """
    names = ["LOCAL_RANK", *(["RANK"] if os.environ.get("WORLD_SIZE") else [])]
    return any(os.environ.get(name, "0").strip() not in ("", "0", "-1") for name in names)
