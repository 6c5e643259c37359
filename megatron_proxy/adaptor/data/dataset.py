"""The dataset that takes the place of Megatron's GPTDataset: windows over two views instead of samples of one.

Megatron's builder stays in charge of splits, blends and ranks; it only builds another class. A dataset of a split is a
plan (which draws make up each sample, :mod:`megatron_proxy.data.sampling.plan`) over the documents of that split.
Rank 0 computes the plan and stores it in Megatron's cache folder, the other ranks map the stored one. Where that folder
is on each node's own disk, one rank of every node computes the same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.utils import Split
from numpy.typing import NDArray
from torch import Tensor

from ...common.storage import filesystems
from ...data.sampling import cache as plan_cache
from ...data.sampling import planner
from ...data.sampling.plan import Parts, Plan, PlanSpec
from ...data.sampling.plan_file import Arrays
from ...data.sampling.windows import Windows
from ...errors import UnsupportedError
from .. import arguments, run
from ..run import Run
from . import samples, shares, splits
from .prepared import PreparedViews


class ProxyGPTDataset(GPTDataset):  # type: ignore[misc]
    """Samples of one split of one prefix, in the order of the schedule.

    Constructed by Megatron's builder like any GPTDataset. Sample *i* is a function of the plan's description and of
    *i* alone; there are at least ``num_samples``.
    """

    dataset: PreparedViews
    plan: Plan

    @staticmethod
    def build_low_level_dataset(dataset_path: str, config: GPTDatasetConfig) -> PreparedViews:
        """Open the views of a prefix, checked against its manifest."""
        return run.current().views(dataset_path)

    @staticmethod
    def numel_low_level_dataset(low_level_dataset: PreparedViews) -> int:
        """Number of documents: splits are cut between documents."""
        return low_level_dataset.prepared.manifest.documents

    def _build_document_sample_shuffle_indices(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Plan the samples (Megatron calls this in the constructor, on rank 0 before the others)."""
        spec = self._spec()
        description = spec.description() | self.dataset.identity
        folder = self.config.path_to_cache or self.dataset.prepared.dataset.layout.plans
        # Megatron has a number here for every document of the split: the plan's description has all that is in them.
        self.indices = np.array([spec.documents.start, spec.documents.stop - 1])
        if builds() or not filesystems.is_shared(folder):
            plan = plan_cache.open_or_build(folder, description, lambda: self._parts(spec))
        else:
            plan = plan_cache.open_built(folder, description, wait=plan_cache.ATTRIBUTES_SECONDS)
        self.unique_identifiers["plan"] = plan_cache.key_of(description)
        self._plan_is_at = (spec, folder, description)
        self._sampler = samples.Sampler(self.config)
        self._use(plan)
        return self.plan.draw_documents, self.plan.sample_index, self.plan.shuffle

    def _parts(self, spec: PlanSpec) -> Iterator[Parts]:
        parts = planner.plan_parts(spec, self.dataset.sizes)
        # Nobody waits where plans are made beforehand.
        return run.current().patience.watch(parts, spec) if torch.distributed.is_initialized() else parts

    def _use(self, plan: Arrays) -> None:
        spec, _, _ = self._plan_is_at
        self.plan = Plan(spec, **plan)
        vocabulary = self.dataset.prepared.compressed.vocabulary
        self._windows = Windows(self.plan, self.dataset.raw, self.dataset.codes, vocabulary, self.dataset.spans)
        if spec.schedule.in_spans:
            # Whatever the state of numba's cache, workers forked from this process find the loops compiled.
            self._windows[0]

    def __getstate__(self) -> dict[str, Any]:
        """For data loaders that start their workers anew: maps are opened there again, not copied."""
        mapped = ("plan", "_windows", "document_index", "sample_index", "shuffle_index")
        return {name: value for name, value in self.__dict__.items() if name not in mapped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the maps in a worker."""
        self.__dict__.update(state)
        _, folder, description = self._plan_is_at
        self._use(plan_cache.open_built(folder, description))

    def _spec(self) -> PlanSpec:
        current, prepared = run.current(), self.dataset.prepared
        training = self.index_split is Split.train
        splits.check_documents(self.index_split, len(self.indices), prepared)
        if training:
            share = splits.train_share(current, self.config, prepared)
            horizon = max(1, round(current.settings.horizon_samples * share))
            schedule, block = current.settings.schedule, current.settings.shuffle_block
        else:
            # One block per sample: what is measured stays in the order of its documents' draws.
            schedule, horizon, block = current.settings.validation_schedule(), 1, 1
        spec = PlanSpec(
            seed=self.config.random_seed,
            seq_length=self.config.sequence_length,
            schedule=schedule,
            horizon_samples=horizon,
            # Megatron asks for no samples where none will be read, but builds a loader all the same.
            num_samples=None if self.num_samples is None else max(1, self.num_samples),
            documents=range(int(self.indices[0]), int(self.indices[-1]) + 1),
            block=block,
            keep_partial=not training,
        )
        if training or spec.num_samples is None:
            return spec
        # As stock's: whatever evaluations a run has after a restart, or a script of its own, one epoch is there.
        epoch = planner.epoch_windows(spec, self.dataset.sizes)
        return replace(spec, num_samples=max(spec.num_samples, epoch))

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, idx: int | None) -> dict[str, Tensor]:
        """One sample; ``None`` asks for one that only fills up a batch."""
        return self._sampler.sample(self._windows[0 if idx is None else int(idx)], counts=idx is not None)


def builds() -> bool:
    """Whether this process computes plans: Megatron lets rank 0 go first."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


@run.hook
def swap_dataset(
    stock: Callable[..., Any],
    current: Run,
    builder: Any,
    cls: type[Any],
    sizes: Any,
    is_built_on_rank: Any,
    config: Any,
) -> None:
    """The constructor of Megatron's dataset builder, which gets our class where the script asks for GPTDataset."""
    stock(builder, _swapped(cls, config), sizes, is_built_on_rank, config)
    current.datasets_swapped = True


def _swapped(cls: type[Any], config: Any) -> type[Any]:
    if cls not in (GPTDataset, ProxyGPTDataset):
        raise UnsupportedError(
            f"this script builds a {cls.__name__}, and only Megatron's GPTDataset can be swapped",
            where="--proxy-compression",
            fix="leave out the flag that asks for this kind of data",
        )
    if not config.add_extra_token_to_sequence:
        raise UnsupportedError("this script wants samples without the extra id", where="add_extra_token_to_sequence")
    splits.check_shares(config)
    return ProxyGPTDataset


@run.hook
def remember_training(stock: Callable[..., Any], current: Run, builder: Any) -> Any:
    """Megatron's ``build``, which leaves the training dataset where the log finds it."""
    datasets = stock(builder)
    if current.training is None:
        current.training = datasets[Split.train.value]
        splits.check_validation(current, datasets)
        if current.training is not None and current.args.rank == 0:
            for line in shares.remarks(current, arguments.train_samples(current.args)):
                run.tell(current.args, line)
    return datasets
