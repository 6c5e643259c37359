"""``shimmed.py SCRIPT ARGS…``: run a script with what Megatron's plain-torch layers lack for a test of parallelism.

Sequence and context parallelism need Transformer Engine, which needs a GPU. What the plugin has to do with them
(losses, format embedding, data) can be tested with small substitutes:

* Norms whose weight gradients Megatron adds up over the tensor-parallel ranks, as it does with those of Apex.
* Attention of a rank's own queries to the keys and values of all context-parallel ranks, gathered.

And 0.20's multi-token prediction asks of its layers whether they are of a kind that there only is with Transformer
Engine, which without it ends in a TypeError: no, they are not.
"""

import copy
import runpy
import sys

import torch
from megatron.core import mpu
from megatron.core.transformer import dot_product_attention, multi_token_prediction, torch_norm

from megatron_proxy.adaptor.measures.context import join_pieces

StockNorm = torch_norm.WrappedTorchNorm
StockAttention = dot_product_attention.DotProductAttention


def sequence_parallel_norm(stock_new):
    def new(cls, config, *args, **kwargs):
        plain = copy.copy(config)
        plain.sequence_parallel = False
        norm = stock_new(cls, plain, *args, **kwargs)
        for weight in norm.parameters():
            weight.sequence_parallel = config.sequence_parallel
        return norm

    return new


class Gather(torch.autograd.Function):
    """All ranks' pieces of a sequence (dimension 0), in the order of the whole sequence."""

    @staticmethod
    def forward(ctx, own):
        parts = [torch.empty_like(own) for _ in range(mpu.get_context_parallel_world_size())]
        torch.distributed.all_gather(parts, own.contiguous(), group=mpu.get_context_parallel_group())
        return join_pieces([part.movedim(0, -1) for part in parts]).movedim(-1, 0).contiguous()

    @staticmethod
    def backward(ctx, gradient):
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total, group=mpu.get_context_parallel_group())
        pieces = total.chunk(2 * mpu.get_context_parallel_world_size(), dim=0)
        rank = mpu.get_context_parallel_rank()
        return torch.cat([pieces[rank], pieces[-1 - rank]])


class GatheringAttention(StockAttention):
    def __init__(self, config, *args, **kwargs):
        plain = copy.copy(config)
        plain.context_parallel_size = 1
        super().__init__(plain, *args, **kwargs)

    def forward(self, query, key, value, *args, **kwargs):
        if mpu.get_context_parallel_world_size() > 1:
            key, value = Gather.apply(key), Gather.apply(value)
        return super().forward(query, key, value, *args, **kwargs)


def install():
    StockNorm.__new__ = sequence_parallel_norm(StockNorm.__new__)
    dot_product_attention.DotProductAttention = GatheringAttention
    if hasattr(multi_token_prediction, "is_inference_column_parallel_linear"):
        multi_token_prediction.is_inference_column_parallel_linear = lambda module: False
    for name, module in list(sys.modules.items()):
        if name.startswith("megatron.core") and getattr(module, "DotProductAttention", None) is StockAttention:
            module.DotProductAttention = GatheringAttention


if __name__ == "__main__":
    import megatron.core.models.gpt.gpt_layer_specs
    import megatron.training  # noqa: F401

    install()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
