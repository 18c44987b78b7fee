"""Tables in columns: Parquet, Feather, Arrow; where pyarrow is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flexlock_hydra.record.codec import same
from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds.plain import compare_values
from flexlock_hydra.replay.compare.kinds.reading import check_unpacked, unreadable
from flexlock_hydra.replay.compare.outcome import ABSENT

_ROWS = 4096  # rows that are compared at once
# What pyarrow's errors are, and what its readers raise for damaged files.
_BROKEN = (ValueError, TypeError, OSError, LookupError, NotImplementedError, MemoryError)


def compare_parquet(old: Path, new: Path, judge: Judge) -> None:
    """Two Parquet files.

    Raises:
        UnreadableError: no such file, or too large.
    """
    from pyarrow import parquet

    with (
        unreadable("no Parquet file", _BROKEN),
        parquet.ParquetFile(old) as one,
        parquet.ParquetFile(new) as other,
    ):
        _check_groups(one)
        _check_groups(other)
        schemas = one.schema_arrow, other.schema_arrow
        _compare_batches(schemas, one.iter_batches(_ROWS), other.iter_batches(_ROWS), judge)


def compare_arrow(old: Path, new: Path, judge: Judge) -> None:
    """Two Arrow files, which Feather files are.

    Raises:
        UnreadableError: no such file.
    """
    import pyarrow

    with (
        unreadable("no Arrow file", _BROKEN),
        pyarrow.OSFile(str(old)) as one,
        pyarrow.OSFile(str(new)) as other,
    ):
        readers = [pyarrow.ipc.open_file(each) for each in (one, other)]
        before, after = (map(r.get_batch, range(r.num_record_batches)) for r in readers)
        _compare_batches((readers[0].schema, readers[1].schema), before, after, judge)


def _check_groups(file: Any) -> None:
    """Refuse a Parquet file whose groups of rows are too large once they are unpacked."""
    groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
    check_unpacked(sum(group.total_byte_size for group in groups))


def _compare_batches(
    schemas: tuple[Any, Any], old: Iterator[Any], new: Iterator[Any], judge: Judge
) -> None:
    if any(len({*each.names}) < len(each.names) for each in schemas):
        raise UnreadableError("a column stands twice")
    names = dict.fromkeys(name for each in schemas for name in each.names)
    columns = [name for name in names if _is_in_both(name, *schemas, judge=judge)]
    row, batch, batch_now = 0, next(old, None), next(new, None)
    while batch is not None and batch_now is not None:
        step = min(batch.num_rows, batch_now.num_rows, _ROWS)
        for name in columns:
            one, other = (each.column(name).slice(0, step) for each in (batch, batch_now))
            _compare_column(name, one, other, row, judge)
        row += step
        batch, batch_now = batch.slice(step), batch_now.slice(step)
        batch = batch if batch.num_rows else next(old, None)
        batch_now = batch_now if batch_now.num_rows else next(new, None)
    judge.size("", row + _rows_left(batch, old), row + _rows_left(batch_now, new), "rows")


def _rows_left(batch: Any, rest: Iterator[Any]) -> int:
    return int(sum((each.num_rows for each in rest), batch.num_rows if batch is not None else 0))


def _compare_column(name: str, old: Any, new: Any, row: int, judge: Judge) -> None:
    """Some rows of a column; ``row`` is the number of the first one."""
    from pyarrow import types

    if old.equals(new):
        return
    judge.spend(len(old))
    with judge.part(name, judge.rule(name)) as inner:
        is_number = types.is_integer(old.type) or types.is_floating(old.type)
        if is_number and old.is_null().equals(new.is_null()):
            from flexlock_hydra.replay.compare.kinds.numbers import compare_pieces

            # A row without a value is zero on both sides.
            one, other = (each.fill_null(0).to_numpy(zero_copy_only=False) for each in (old, new))
            place = f"column {name}"
            compare_pieces(
                [(one, other)], [len(old)], inner, lambda at: f"row {row + at[0] + 1}, {place}"
            )
            return
        for i, pair in enumerate(zip(old.to_pylist(), new.to_pylist()), start=row + 1):
            if not same(*pair):
                compare_values(pair[0], pair[1], inner, (f"row {i}, column {name}",))


def _is_in_both(name: str, old: Any, new: Any, *, judge: Judge) -> bool:
    """Whether a column is there twice with one type; else it is said."""
    kinds = [str(each.field(name).type) if name in each.names else ABSENT for each in (old, new)]
    if kinds[0] == kinds[1]:
        return True
    if by := judge.rule(name):
        judge.leaves_out(name, by)
    else:
        judge.differs(f"column {name}", kinds[0], kinds[1])
    return False
