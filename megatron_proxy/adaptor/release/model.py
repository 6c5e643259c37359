"""Megatron's GPT model from Megatron's arguments, for where no checkout's ``gpt_builders.py`` is."""

from __future__ import annotations

import argparse
from typing import Any

from ...errors import UnsupportedError


def build_gpt(
    args: argparse.Namespace,
    pre_process: bool = True,
    post_process: bool = True,
    vp_stage: int | None = None,
    config: Any = None,
    pg_collection: Any = None,
) -> Any:
    """One pipeline stage of the ``GPTModel`` that ``args`` describe.

    Layers are those of ``megatron.core``'s own specs for ``--transformer-impl`` ``local`` and ``transformer_engine``,
    dense or with experts, as in the stock script. ``args`` are validated, with a ``padded_vocab_size``; the other
    parameters are those that Megatron gives a script's ``model_provider``.

    Raises
    ------
    UnsupportedError
        For an architecture that needs the stock script.
    """
    from megatron.core.models.gpt import gpt_model
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_decoder_block_spec
    from megatron.training.arguments import core_transformer_config_from_args

    _refuse_what_needs_the_stock_script(args)
    config = config or core_transformer_config_from_args(args)
    shape = {
        "use_transformer_engine": args.transformer_impl == "transformer_engine",
        "normalization": args.normalization,
        "qk_l2_norm": args.qk_l2_norm,
        "vp_stage": vp_stage,
    }
    layers = get_gpt_decoder_block_spec(config, **shape)
    return gpt_model.GPTModel(
        config=config,
        transformer_layer_spec=layers,
        vocab_size=args.padded_vocab_size,
        max_sequence_length=args.max_position_embeddings,
        pre_process=pre_process,
        post_process=post_process,
        fp16_lm_cross_entropy=args.fp16_lm_cross_entropy,
        parallel_output=True,
        share_embeddings_and_output_weights=not args.untie_embeddings_and_output_weights,
        position_embedding_type=args.position_embedding_type,
        rotary_percent=args.rotary_percent,
        rotary_base=args.rotary_base,
        rope_scaling=args.use_rope_scaling,
        mtp_block_spec=_multi_token_prediction(config, shape),
        vp_stage=vp_stage,
        pg_collection=pg_collection,
    )


def _multi_token_prediction(config: Any, shape: dict[str, Any]) -> Any:
    """The spec of ``--mtp-num-layers``: layers like the decoder's last; None without, and on stages that have none."""
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_decoder_layer_specs, get_gpt_mtp_block_spec

    if config.mtp_num_layers is None:
        return None
    last = get_gpt_decoder_layer_specs(config, **shape)[-1]
    return get_gpt_mtp_block_spec(config, last, shape["use_transformer_engine"], vp_stage=shape["vp_stage"])


def _refuse_what_needs_the_stock_script(args: argparse.Namespace) -> None:
    needs = {
        "--spec": getattr(args, "spec", None),
        "--experimental-attention-variant": getattr(args, "experimental_attention_variant", None),
        "--heterogeneous-layers-config-path": getattr(args, "heterogeneous_layers_config_path", None),
        "--rotary-seq-len-interpolation-factor": getattr(args, "rotary_seq_len_interpolation_factor", None),
        "--yaml-cfg": getattr(args, "yaml_cfg", None),
        "--transformer-impl inference_optimized": args.transformer_impl == "inference_optimized",
    }
    for flag, value in needs.items():
        if value:
            raise UnsupportedError(
                "this architecture is not built here",
                where=flag,
                fix="use the pretrain_gpt.py of a Megatron-LM checkout, patched by `megatron-proxy patch`",
            )
