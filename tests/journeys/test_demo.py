"""The demo tells its story and ends with what it proved."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.conftest import Project

DEMO = Path(__file__).parent.parent.parent / "examples" / "demo.py"


def test_demo(tmp_path: Path, env: dict[str, str]) -> None:
    """With an empty HOME the demo reproduces every file."""
    done = Project(tmp_path, env).call(sys.executable, DEMO)
    last = done.out.splitlines()[-1]
    match = re.fullmatch(r"reproduced: (\d+) files identical", last)
    assert match and int(match[1]) > 50
