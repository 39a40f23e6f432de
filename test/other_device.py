"""A device that is not the CPU, for machines that have no other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
MOVING = {aten.copy_.default, aten._to_copy.default}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class Away(Tensor):
    """A tensor on the other device; ``here`` are its values, on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: Tensor) -> Away:
        return Tensor._make_wrapper_subclass(
            cls, here.size(), here.stride(), here.storage_offset(), dtype=here.dtype, device="meta"
        )

    def __init__(self, here: Tensor) -> None:
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, operation: Any, *_: Any) -> Any:
        raise RuntimeError(f"{operation} where there is no other device")

    def tolist(self) -> Any:
        return self.here.tolist()


class OtherDevice(TorchDispatchMode):
    """While it is entered the device ``meta`` computes; like a GPU it takes nothing that lies on the CPU.

    As there, numbers may come from the CPU, and indices of what lies here.
    """

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        away = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Away)]
        together = tree_leaves((args[:1] + args[2:] if operation in INDEXING else args, kwargs))
        if away and operation not in MOVING:
            apart = [each for each in together if isinstance(each, Tensor) and not isinstance(each, Away)]
            if any(each.dim() for each in apart):
                raise RuntimeError(f"{operation} of tensors on two devices")
        goes_away = bool(away)
        if kwargs.get("device") is not None:
            goes_away = torch.device(kwargs["device"]).type == "meta"
            kwargs["device"] = "cpu"
        changed = {id(each.here): each for each in away}

        def placed(here: Tensor) -> Tensor:
            return changed[id(here)] if id(here) in changed else Away(here) if goes_away else here

        args, kwargs = tree_map_only(Away, lambda each: each.here, (args, kwargs))
        return tree_map_only(Tensor, placed, operation(*args, **kwargs))
