"""Sharded checkpoints, which FSDP2 writes as a folder, put together as one file."""

from pathlib import Path

import torch

_META = "meta.pt"
"""What Lightning stores beside the shards: all that is no tensor of the model or the optimizers."""


def is_sharded(path: str) -> bool:
    """Return whether a checkpoint is a folder of shards."""
    return (Path(path) / _META).is_file()


def joined(path: str, folder: str) -> str:
    """Put a sharded checkpoint together and return it as one file. No process group is needed.

    The index of the shards is a pickle, which torch reads as such: do it only with checkpoints that you trust.

    Args:
        path: the folder of the shards.
        folder: where the file goes.
    """
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    target = Path(folder) / "joined.ckpt"
    dcp_to_torch_save(path, target)
    tensors = torch.load(target, map_location="cpu", weights_only=True)
    content = torch.load(Path(path) / _META, map_location="cpu", weights_only=True)
    torch.save(content | {"state_dict": tensors["state_dict"]}, target)
    return str(target)
