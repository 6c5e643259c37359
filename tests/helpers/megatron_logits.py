"""Logits of a checkpoint by Megatron's own model and loading; run under megatron_proxy.adaptor.cpu.

Flags are Megatron's, with --load and --use-checkpoint-args; IDS and OUTPUT in the environment are .pt files. With
--mtp-num-layers, OUTPUT holds those of the first layer of multi-token prediction too, stacked behind the decoder's.
"""

import os

import torch
from megatron.core.tensor_parallel import gather_from_tensor_model_parallel_region
from megatron.training import get_args, get_model
from megatron.training.arguments import parse_and_validate_args
from megatron.training.checkpointing import load_checkpoint
from megatron.training.initialize import initialize_megatron

from megatron_proxy.adaptor.helpers import use_compiled_helpers
from megatron_proxy.adaptor.release.model import build_gpt


def main() -> None:
    use_compiled_helpers()
    parse_and_validate_args(args_defaults={"tokenizer_type": "NullTokenizer"})
    initialize_megatron()

    def provider(pre_process=True, post_process=True, **kwargs):
        return build_gpt(get_args(), pre_process, post_process, **kwargs)

    model = get_model(provider, wrap_with_ddp=False)
    load_checkpoint(model, None, None, strict=True)
    ids = torch.load(os.environ["IDS"], weights_only=True)
    places = torch.arange(ids.shape[1]).expand_as(ids)
    mask = torch.ones(1, 1, ids.shape[1], ids.shape[1]).tril() < 0.5
    gpt, ahead = model[0].eval(), []
    if get_args().mtp_num_layers:
        gpt.mtp.layers[0].register_forward_hook(lambda layer, given, output: ahead.append(output[0]))
    with torch.inference_mode():
        logits = gpt(ids, places, mask)
        of_ahead = [gpt.output_layer(hidden, weight=output_weight(gpt))[0].transpose(0, 1) for hidden in ahead]
    logits = gather_from_tensor_model_parallel_region(torch.stack([logits, *of_ahead]) if ahead else logits)
    if torch.distributed.get_rank() == 0:
        torch.save(logits, os.environ["OUTPUT"])


def output_weight(gpt):
    return gpt.shared_embedding_or_output_weight() if gpt.share_embeddings_and_output_weights else None


main()
