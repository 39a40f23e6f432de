"""The processes that ``torchrun`` starts, one for each GPU or share of the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from tracking_runtime.errors import ModelError

PATIENCE = timedelta(days=1)


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes of this run, if ``torchrun`` started it; yields the device of this process.

    Args:
        device: as people name it; ``cuda`` becomes this process's own GPU.

    Raises:
        ModelError: there is no such device here.
    """
    alone = "TORCHELASTIC_RUN_ID" not in os.environ
    own = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and not alone else device
    try:
        torch.empty(0, device=own)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"nothing can be trained on the device {own}: {error}") from error
    if alone:
        yield own
        return
    backend = "nccl" if own.startswith("cuda") else "gloo"
    if own.startswith("cuda"):
        torch.cuda.set_device(own)
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield own
    finally:
        distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this is the process that writes and reports: the first, or the only one."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def wait_for_all() -> None:
    """Go on when every process of this run has come here."""
    if distributed.is_initialized():
        distributed.barrier()
