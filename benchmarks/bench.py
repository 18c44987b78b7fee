"""What recording, pushing and pulling cost, side by side with what else could do the work.

``make bench`` runs this and writes the table of docs/performance.md. Each figure is the
median of several rounds; in a round the two sides take turns, so that a busy machine is
busy for both. Limits are ratios to the other side, or time added to it.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for the servers of the tests

import comparing  # noqa: E402
import looking  # noqa: E402
import recording  # noqa: E402
import transfer  # noqa: E402
from harness import TRIAL, Bench, Row, Scale  # noqa: E402

TABLE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

ROWS = (
    recording.callback,
    recording.further_job,
    recording.unmarked_reads,
    recording.many_small_files,
    recording.large_file,
    recording.large_config,
    recording.peer,
    transfer.push_small_files,
    transfer.push_to_s3,
    transfer.push_large_file,
    transfer.pull_small_files,
    transfer.push_long_lineage,
    transfer.push_memory,
    looking.rerun,
    comparing.diff,
    comparing.diff_of_outputs,
    looking.verify,
    looking.ls,
    looking.start,
    looking.start_alone,
)


def main() -> int:
    """Run all rows or those named; exit 1 when one is outside its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="functions to run; all without any")
    parser.add_argument(
        "--peer-python", type=os.path.abspath, help="a Python that has FlexLock 0.10.0"
    )
    parser.add_argument("--trial", action="store_true", help="small and once; writes no table")
    parser.add_argument("--rounds", type=int, help="of how many rounds the median is taken")
    options = parser.parse_args()
    scale = TRIAL if options.trial else Scale()
    if options.rounds:
        scale = replace(scale, rounds=options.rounds)
    rows = []
    for make in ROWS:
        if options.rows and make.__name__ not in options.rows:
            continue
        with tempfile.TemporaryDirectory(
            prefix="flexlock-bench-", ignore_cleanup_errors=True
        ) as folder:
            bench = Bench(Path(folder), scale, options.peer_python)
            for row in make(bench):
                rows.append(row)
                print(row.markdown(), flush=True)
    if not options.trial and not options.rows:
        write_table(rows, scale)
    return 0 if options.trial or all(row.inside for row in rows) else 1


def write_table(rows: Iterable[Row], scale: Scale) -> None:
    """Put the table into the page, between its marks."""
    head = "| work | beside | ours | the other | ratio | at most | inside |"
    lines = [head, "|---|---|---|---|---|---|---|", *(row.markdown() for row in rows)]
    where = (
        f"Medians of {scale.rounds} rounds on {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, hydra-core "
        f"{version('hydra-core')}, DVC {version('dvc')}, page cache warm."
    )
    text = TABLE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    block = "\n".join([BEGIN, "", *lines, "", where, "", END])
    TABLE.write_text(f"{before}{block}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
