"""Keeps what is measured on one CPU and what measures on another."""

from __future__ import annotations

import os
import shutil

__all__ = ["keep_away", "on_all", "pinned"]


def _cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


_CPUS = _cpus()


def pinned(*command: str) -> list[str]:
    """The command on the last CPU, where the system can do that."""
    if shutil.which("taskset") is None or len(_CPUS) < 2:
        return list(command)
    return ["taskset", "--cpu-list", str(_CPUS[-1]), *command]


def on_all(*command: str) -> list[str]:
    """The command on every CPU, though this process keeps away from one."""
    if shutil.which("taskset") is None:
        return list(command)
    return ["taskset", "--cpu-list", ",".join(map(str, _CPUS)), *command]


def keep_away() -> None:
    """Move this process, and what it starts otherwise, to the other CPUs."""
    if len(_CPUS) > 1:
        os.sched_setaffinity(0, _CPUS[:-1])
