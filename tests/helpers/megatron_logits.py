"""Logits of a checkpoint by Megatron's own model and loading; run under megatron_proxy.adaptor.cpu.

Flags are Megatron's, with --load and --use-checkpoint-args; IDS and OUTPUT in the environment are .pt files.
"""

import os

import torch
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
    with torch.inference_mode():
        logits = model[0].eval()(ids, places, mask)
    torch.save(logits, os.environ["OUTPUT"])


main()
