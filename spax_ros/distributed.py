"""Training on several processes, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch

_LONGEST_WAIT = timedelta(hours=24)  # while the first process prepares clips


@contextmanager
def group() -> Iterator[bool]:
    """Join the processes that torchrun started, if it did; whether this one is the first of them."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    torch.distributed.init_process_group("gloo", timeout=_LONGEST_WAIT)
    try:
        yield torch.distributed.get_rank() == 0
    finally:
        torch.distributed.destroy_process_group()


def wait() -> None:
    """Until every process has come this far."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
