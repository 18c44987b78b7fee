"""Many calls of one file system at once: as coroutines where it has them, else in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

Fine = Callable[[BaseException], bool]
"""Whether an error is a result like others; any other error ends all calls and is raised."""


Arguments = Sequence[tuple[Any, ...]]
"""Those of each of many calls of one method."""


def start_calls(
    fs: Any, method: str | Callable[..., Any], calls: Arguments,
    *, jobs: int, fine: Fine, **options: Any,
) -> Future[list[Any]]:
    """Call a method with each of some arguments; the results are in their order.

    Coroutines run while the caller goes on; threads are waited for.
    """
    run = _method_of(fs, method) if isinstance(method, str) else method
    if asyncio.iscoroutinefunction(run):
        work = _as_coroutines(partial(run, **options), calls, jobs, fine)
        return asyncio.run_coroutine_threadsafe(work, fs.loop)
    done: Future[list[Any]] = Future()
    try:
        done.set_result(_in_threads(partial(run, **options), calls, jobs, fine))
    except Exception as error:  # whatever it is, the caller asks for it
        done.set_exception(error)
    return done


def finish_calls(future: Future[list[Any]]) -> list[Any]:
    """Wait for the results; an interrupt ends the calls."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _method_of(fs: Any, name: str) -> Callable[..., Any]:
    """A method of a file system: the coroutine, where fsspec's class is made of such."""
    own = getattr(fs, f"_{name}", None) if fs.async_impl else None
    return own if asyncio.iscoroutinefunction(own) else getattr(fs, name)


async def _as_coroutines(
    run: Callable[..., Any], calls: Arguments, jobs: int, fine: Fine
) -> list[Any]:
    results: list[Any] = [None] * len(calls)
    todo = iter(enumerate(calls))

    async def work() -> None:
        for index, args in todo:  # all workers take from the same
            try:
                results[index] = await run(*args)
            except Exception as error:
                if not fine(error):
                    raise
                results[index] = error

    workers = [asyncio.ensure_future(work()) for _ in range(min(jobs, len(calls)))]
    try:
        await asyncio.gather(*workers)
    finally:
        # gather alone would leave the others running when one fails.
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return results


def _in_threads(run: Callable[..., Any], calls: Arguments, jobs: int, fine: Fine) -> list[Any]:
    failed = threading.Event()

    def one(args: tuple[Any, ...]) -> Any:
        if failed.is_set():
            return None
        try:
            return run(*args)
        except BaseException as error:
            if isinstance(error, Exception) and fine(error):
                return error
            failed.set()
            raise

    if len(calls) <= 1:  # no thread for that
        return [one(args) for args in calls]
    with ThreadPoolExecutor(min(jobs, len(calls))) as threads:
        try:
            return list(threads.map(one, calls))
        except BaseException:
            failed.set()
            raise
