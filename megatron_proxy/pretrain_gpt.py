"""Pretrain a GPT with Megatron's own training loop, where no Megatron-LM checkout is.

The wheels of megatron-core (0.18 and 0.19) hold the training loop but no script. This is one; it takes Megatron's flags
and, by the one import line, those of proxy compression::

    torchrun --nproc-per-node 8 -m megatron_proxy.pretrain_gpt --proxy-compression zstd --data-path data/stdlib …

In a checkout of this project ``examples/pretrain_gpt.py`` is its short form. On a machine without a GPU, with or
without proxy compression::

    torchrun --nproc-per-node 2 -m megatron_proxy.adaptor.cpu examples/pretrain_gpt.py …

Data, batches and losses are those of the stock ``pretrain_gpt.py``; supervised fine-tuning, fill-in-the-middle,
multi-token prediction and other special ends are left to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import megatron_proxy.adaptor  # noqa: F401  (the one line; without --proxy-compression it does nothing)

# isort: split
import torch
from megatron.core import mpu, tensor_parallel
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig, MockGPTDataset
from megatron.core.enums import ModelType
from megatron.core.rerun_state_machine import get_rerun_state_machine
from megatron.core.utils import get_attr_wrapped_model, get_batch_on_this_cp_rank
from megatron.training import get_args, get_timers, get_tokenizer, pretrain, print_rank_0
from megatron.training.argument_utils import pretrain_cfg_container_from_args
from megatron.training.arguments import parse_and_validate_args
from megatron.training.utils import get_blend_and_blend_per_split, is_first_or_last_pipeline_stage

from megatron_proxy.adaptor.helpers import use_compiled_helpers
from megatron_proxy.adaptor.release.model import build_gpt

Batch = dict[str, torch.Tensor]


def datasets_provider(num_samples: list[int], vp_stage: int | None = None) -> list[Any]:
    """Train, validation and test datasets; ``num_samples`` holds a size for each."""
    args = get_args()
    blend, blend_per_split = get_blend_and_blend_per_split(args)
    config = GPTDatasetConfig(
        random_seed=args.seed,
        sequence_length=args.seq_length,
        blend=blend,
        blend_per_split=blend_per_split,
        split=args.split,
        multiple_validation_sets=args.multiple_validation_sets,
        full_validation=args.full_validation,
        num_dataset_builder_threads=args.num_dataset_builder_threads,
        path_to_cache=args.data_cache_path,
        mmap_bin_files=args.mmap_bin_files,
        tokenizer=get_tokenizer(),
        reset_position_ids=args.reset_position_ids,
        reset_attention_mask=args.reset_attention_mask,
        eod_mask_loss=args.eod_mask_loss,
        create_attention_mask=args.create_attention_mask_in_dataloader,
        mid_level_dataset_surplus=args.mid_level_dataset_surplus,
        allow_ambiguous_pad_tokens=args.allow_ambiguous_pad_tokens,
    )

    def built_here() -> bool:
        return mpu.get_tensor_model_parallel_rank() == 0 and is_first_or_last_pipeline_stage(vp_stage)

    print_rank_0("> building train, validation, and test datasets")
    kind = MockGPTDataset if args.mock_data else GPTDataset
    return BlendedMegatronDatasetBuilder(kind, num_samples, built_here, config).build()


# Every rank gets its share of the data by itself: Megatron then calls the provider on all of them.
datasets_provider.is_distributed = True  # type: ignore[attr-defined]


def get_batch(data_iterator: Iterator[Batch] | None, vp_stage: int | None) -> Batch:
    """The next micro-batch of this rank: tokens, labels, loss mask, positions, and the attention mask if any.

    Shapes are (micro batch, sequence length / context parallel size). Empty on the middle stages of a pipeline.
    """
    if not is_first_or_last_pipeline_stage(vp_stage):
        return {}
    data = next(data_iterator) if data_iterator is not None else None
    keys = {torch.int64: ["tokens", "labels", "position_ids"], torch.float32: ["loss_mask"]}
    if get_args().create_attention_mask_in_dataloader:
        keys[torch.bool] = ["attention_mask"]
    # Only the first rank of a tensor-parallel group reads the data.
    batch: Batch = {}
    for dtype, names in keys.items():
        batch |= tensor_parallel.broadcast_data(names, data, dtype)
    return get_batch_on_this_cp_rank(batch, is_hybrid_cp=False, cp_group=mpu.get_context_parallel_group())


def loss_function(loss_mask: torch.Tensor, losses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Batch]:
    """Summed loss, number of tokens it is over, and what to log, of the per-token ``losses``."""
    mask = loss_mask.reshape(-1).float()
    loss = torch.sum(losses.reshape(-1).float() * mask)
    tokens = mask.sum().detach().to(torch.int)
    if get_args().check_for_nan_in_loss_and_grad:
        for rejected, name in ((torch.isnan, "NaN"), (torch.isinf, "infinity")):
            get_rerun_state_machine().validate_result(
                result=loss, rejection_func=rejected, message=f"found {name} in the loss", tolerance=0.0, fatal=True
            )
    return loss, tokens, {"lm loss": torch.cat([loss.detach().clone().view(1), tokens.view(1)])}


def forward_step(data_iterator: Iterator[Batch] | None, model: torch.nn.Module) -> tuple[torch.Tensor, Any]:
    """Run the model on the next micro-batch; returns its output and the function that makes the loss of it."""
    timers = get_timers()
    timers("batch-generator", log_level=2).start()
    batch = get_batch(data_iterator, get_attr_wrapped_model(model, "vp_stage"))
    timers("batch-generator").stop()
    output = model(
        batch.get("tokens"),
        batch.get("position_ids"),
        batch.get("attention_mask"),
        labels=batch.get("labels"),
        loss_mask=batch.get("loss_mask"),
    )
    return output, partial(loss_function, batch.get("loss_mask"))  # type: ignore[arg-type]


def model_provider(pre_process: bool = True, post_process: bool = True, **kwargs: Any) -> torch.nn.Module:
    """One pipeline stage of the model."""
    return build_gpt(get_args(), pre_process, post_process, **kwargs)


def main() -> None:
    """Train as the command line says."""
    use_compiled_helpers()
    args = parse_and_validate_args(args_defaults={"tokenizer_type": "NullTokenizer"})
    pretrain(
        cfg_container=pretrain_cfg_container_from_args(args),
        train_valid_test_dataset_provider=datasets_provider,
        model_provider=model_provider,
        model_type=ModelType.encoder_or_decoder,
        forward_step_func=forward_step,
    )


if __name__ == "__main__":
    main()
