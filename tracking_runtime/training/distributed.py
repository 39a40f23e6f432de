"""Processes of a training run: `torchrun` starts one for each GPU, or several on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from tracking_runtime.errors import ModelError

BARRIER_TIMEOUT = timedelta(days=1)
"""Longest wait for another process. The first process may prepare clips for hours."""


@contextmanager
def join_processes(device: str) -> Iterator[str]:
    """Join the other processes of this run, if `torchrun` started them; yield the device of this process.

    Args:
        device: name of a PyTorch device. Under `torchrun`, `cuda` becomes the GPU of this process.

    Raises:
        ModelError: the machine has no such device.
    """
    is_distributed = _is_started_by_torchrun()
    local_device = f"cuda:{os.environ['LOCAL_RANK']}" if is_distributed and device == "cuda" else device
    try:
        torch.empty(0, device=local_device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"device {local_device} cannot be used: {error}; choose another one, for example cpu"
        ) from error
    if not is_distributed:
        yield local_device
        return

    is_on_gpu = local_device.startswith("cuda")
    if is_on_gpu:
        torch.cuda.set_device(local_device)
    distributed.init_process_group("nccl" if is_on_gpu else "gloo", timeout=BARRIER_TIMEOUT)
    try:
        yield local_device
    finally:
        distributed.destroy_process_group()


def find_rank() -> tuple[int, int]:
    """Return the number of this process, counted from 0, and the number of processes of this run."""
    if distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def is_first_process() -> bool:
    """Return whether this process writes and reports. Valid before and after the processes have joined."""
    if not distributed.is_initialized() and _is_started_by_torchrun():
        return os.environ["RANK"] == "0"
    return find_rank()[0] == 0


def wait_for_all_processes() -> None:
    """Wait until every process of this run has called this function."""
    if distributed.is_initialized():
        distributed.barrier()


def _is_started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ
