"""Layers for Megatron's hybrid model without Transformer Engine: attention (``*``) and MLP (``-``), no Mamba.

Given to ``pretrain_hybrid.py`` as ``--spec hybrid_spec hybrid_stack_spec``; Mamba's own layers need a GPU.
"""

from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.models.hybrid import hybrid_block
from megatron.core.models.hybrid.hybrid_block import HybridStack, HybridStackSubmodules
from megatron.core.ssm.mlp_layer import MLPLayer
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.torch_norm import WrappedTorchNorm
from megatron.core.transformer.transformer_layer import TransformerLayer, TransformerLayerSubmodules

_layer = get_gpt_layer_local_spec().submodules
# The norm after the last layer cannot be given in a spec.
hybrid_block.TENorm = WrappedTorchNorm

hybrid_stack_spec = ModuleSpec(
    module=HybridStack,
    submodules=HybridStackSubmodules(
        attention_layer=ModuleSpec(
            module=TransformerLayer,
            submodules=TransformerLayerSubmodules(
                input_layernorm=_layer.input_layernorm,
                self_attention=_layer.self_attention,
                self_attn_bda=_layer.self_attn_bda,
            ),
        ),
        mlp_layer=ModuleSpec(
            module=MLPLayer,
            submodules=TransformerLayerSubmodules(
                pre_mlp_layernorm=_layer.pre_mlp_layernorm, mlp=_layer.mlp, mlp_bda=_layer.mlp_bda
            ),
        ),
    ),
)
