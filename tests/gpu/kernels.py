"""What the plugin itself runs on the GPU, without a training: hooks, the format embedding's gradient, the sums."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from settings import FP8, FSDP, GRAPHS, Settings

# isort: split
import torch
from harness import Row

from megatron_proxy.adaptor import embedding
from megatron_proxy.adaptor.measures import losses
from megatron_proxy.vocab import COMPRESSED_CLOSE, COMPRESSED_OPEN, SYMBOL_OFFSET


def hooks(settings: Settings) -> Iterator[Row]:
    """The doctor's findings, hooks among them, and the flags of all steps beside those that Megatron knows."""
    from megatron_proxy.tools import doctor

    findings = list(doctor.examine(prefix=str(settings.prefix)))
    for finding in findings:
        print(*finding)
    failed = [finding.subject for finding in findings if finding.status is doctor.Status.FAIL]
    yield Row("what the doctor finds wrong", len(failed), "", goal="<= 0", note=", ".join(failed))
    import megatron_args

    parser = megatron_args.parser()
    flags = f"{settings.losses_flags()} {settings.placement_flags()} {GRAPHS} {FSDP} {FP8} --bf16"
    unknown = parser.parse_known_args([*flags.split(), *settings.speed(large=False).shape.flags])[1]
    yield Row("flags of the steps that Megatron does not know", len(unknown), "", goal="<= 0", note=" ".join(unknown))


def formats(settings: Settings) -> Iterator[Row]:
    """The gradient of the format embedding: its values, its order, and its time beside that of torch's embedding."""
    windows, length, hidden = (2, 64, 16) if settings.cpu else (4, 4096, 4096)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, embedding.FORMATS, (windows, length), generator=generator).to(settings.device)
    gradient = torch.randn(length, windows, hidden, generator=generator).to(settings.device).transpose(0, 1)
    exact = torch.zeros(embedding.FORMATS, hidden, dtype=torch.float64, device=settings.device)
    exact.index_add_(0, ids.flatten(), gradient.reshape(-1, hidden).double())
    exact[0] = 0
    scale = exact.abs().max()
    # A product of bf16 may round its result, and TF32 its factors, to a unit of their last place.
    for dtype, goal in ((torch.float32, 1e-3), (torch.bfloat16, 2.0**-8)):
        given = gradient.to(dtype)
        found = [_gradient(_vectors(hidden, dtype, settings.device), ids, given) for _ in range(5)]
        off = ((found[0].double() - _rounded(exact, gradient, given, ids)).abs().max() / scale).item()
        yield Row(f"format embedding's gradient, {dtype}, from the exact one", off, "relative", goal=f"<= {goal:.4g}")
        differ = sum(not torch.equal(found[0], other) for other in found[1:])
        yield Row(f"the same four times more: other values, {dtype}", differ, "", goal="<= 0")
    given = gradient.to(torch.bfloat16)
    stock = torch.nn.Embedding(embedding.FORMATS, hidden, padding_idx=0, device=settings.device, dtype=torch.bfloat16)
    vectors = _vectors(hidden, torch.bfloat16, settings.device)
    ours = _seconds(settings, functools.partial(_gradient, vectors, ids, given))
    theirs = _seconds(settings, functools.partial(_gradient, stock, ids, given))
    goal = None if settings.cpu else "<= 1"
    yield Row("forward and backward, beside torch's embedding", 1e3 * ours, "ms", 1e3 * theirs, goal)


def _rounded(exact: torch.Tensor, gradient: torch.Tensor, given: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The exact sum of what was given, which is rounded before it is summed."""
    if given.dtype == gradient.dtype:
        return exact
    summed = torch.zeros_like(exact).index_add_(0, ids.flatten(), given.reshape(-1, given.shape[-1]).double())
    summed[0] = 0
    return summed


def _vectors(hidden: int, dtype: torch.dtype, device: str) -> torch.nn.Embedding:
    zeros = torch.zeros(embedding.FORMATS, hidden, dtype=dtype, device=device)
    return embedding.FormatVectors(embedding.FORMATS, hidden, padding_idx=0, _weight=zeros)


def _gradient(module: torch.nn.Embedding, ids: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    module.weight.grad = None
    module(ids).backward(gradient)
    assert module.weight.grad is not None
    return module.weight.grad


def _seconds(settings: Settings, work: Callable[[], Any]) -> float:
    """The least of some repetitions."""
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        work()
        if not settings.cpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times)


def collectives(settings: Settings) -> Iterator[Row]:
    """Megatron's groups over NCCL with one rank: the sums of each view, as they are on the CPU, and all collectives."""
    from megatron.core import mpu

    backend = "gloo" if settings.cpu else "nccl"
    if not settings.cpu:
        torch.cuda.set_device(0)
    where = f"file://{settings.work / 'rendezvous'}"
    torch.distributed.init_process_group(backend, init_method=where, rank=0, world_size=1)
    mpu.initialize_model_parallel(create_gloo_process_groups=False)
    generator = torch.Generator().manual_seed(1)
    ids, windows, length = SYMBOL_OFFSET + 1000, 4, 128 if settings.cpu else 4096
    labels = torch.randint(8, ids, (windows, length), generator=generator)
    labels[:, ::50], labels[:, 25::50] = COMPRESSED_OPEN, COMPRESSED_CLOSE
    nats = torch.rand(labels.shape, generator=generator)
    given = labels, nats, torch.ones(labels.shape), torch.rand(ids, dtype=torch.float64, generator=generator)
    expected = losses.view_sums(*given)
    found = losses.over_ranks(losses.view_sums(*(tensor.to(settings.device) for tensor in given)))
    off = ((found.cpu() - expected).abs() / expected).max().item()
    yield Row(f"sums of each view over {backend}, from the CPU's", off, "relative", goal="<= 1e-12")
    yield Row(f"collectives of {backend} that give back something else", _changed(found), "", goal="<= 0")


def _changed(tensor: torch.Tensor) -> int:
    """How many of the collectives that the plugin and Megatron use change what the only rank has."""
    distributed = torch.distributed
    gathered, scattered = torch.empty_like(tensor), torch.empty_like(tensor)
    reduced, sent = tensor.clone(), tensor.clone()
    distributed.all_gather_into_tensor(gathered, tensor)
    distributed.reduce_scatter_tensor(scattered, tensor)
    distributed.all_reduce(reduced)
    distributed.broadcast(sent, src=0)
    return sum(not torch.equal(tensor, other) for other in (gathered, scattered, reduced, sent))
