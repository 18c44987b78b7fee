"""Amazon's S3 and what speaks like it, by s3fs."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from flexlock_hydra.ports.store.transfer import ObjectTransfer, Options, TimeLimits

# Bytes of a part of a large object, parts in all (S3 takes 10,000) and at a time.
_PART, _MOST_PARTS, _PARTS_AT_ONCE = 8 * 1024 * 1024, 9000, 4


class S3Transfer(ObjectTransfer):
    """Large objects go in parts; left alone, s3fs would hold ten of 50 MB in memory."""

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        fs.retries = 1  # each of which would be tried so often by botocore

    @classmethod
    def prepare(cls, arguments: dict[str, Any], options: Options, limits: TimeLimits) -> None:
        from aiobotocore.session import AioSession  # type: ignore[import-untyped]

        super().prepare(arguments, options, limits)
        config = arguments.setdefault("config_kwargs", {})
        config["connect_timeout"] = config.get("connect_timeout") or limits.connect
        config["read_timeout"] = config.get("read_timeout") or limits.read
        if "AWS_MAX_ATTEMPTS" not in os.environ:
            config.setdefault("retries", {"total_max_attempts": 2, "mode": "standard"})
        # botocore puts its own together for every request, a tenth of what a small one takes
        config.setdefault("user_agent", "flexlock-hydra")
        _limit_writes(config, limits.read)
        # An upload would wait, for ever if need be, for leave to send its body.
        session = AioSession(profile=arguments.get("profile"))
        session.register("before-sign.s3", _send_at_once)
        arguments["session"] = session

    def get_options(self, count: int) -> dict[str, Any]:
        return {"chunksize": _PART, "max_concurrency": max(1, 2 * _PARTS_AT_ONCE // (count or 1))}

    def cat_options(self) -> dict[str, Any]:
        return {"max_concurrency": 1}  # else the size is asked for first

    def _put_options(self, size: int) -> dict[str, Any]:
        part = max(_PART, size // _MOST_PARTS + 1)
        return {"chunksize": part, "max_concurrency": _PARTS_AT_ONCE if part == _PART else 1}


def _send_at_once(request: Any, **_: Any) -> None:
    del request.headers["Expect"]  # as fine where it is not there


def _limit_writes(config: dict[str, Any], seconds: float) -> None:
    """Of what is written, aiohttp does not time anything; the kernel can."""
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
    from botocore.exceptions import ParamValidationError  # type: ignore[import-untyped]

    def connectable(address: Any) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
        return made

    arguments = {"socket_factory": connectable}
    with contextlib.suppress(ParamValidationError):  # an aiobotocore that has no such setting
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            AioConfig(connector_args=arguments)
            config["connector_args"] = arguments
