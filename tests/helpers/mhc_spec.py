"""Layers for ``--enable-mhc-connections`` of Megatron 0.20, whose own scripts build none.

Given to ``pretrain_gpt.py`` as ``--spec mhc_spec mhc_spec``.
"""

from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.transformer.hyper_connection import HyperConnectionModule
from megatron.core.transformer.transformer_layer import HyperConnectionTransformerLayer

mhc_spec = get_gpt_layer_local_spec()
mhc_spec.module = HyperConnectionTransformerLayer
mhc_spec.submodules.self_attention_hyper_connection = HyperConnectionModule
mhc_spec.submodules.mlp_hyper_connection = HyperConnectionModule
