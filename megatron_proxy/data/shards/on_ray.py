"""``prepare --engine ray``: shards as tasks of a Ray cluster, put together at the end.

A task makes one shard, in one process, on files that all machines see. Ray runs a task again whose machine or process
was lost; that is safe, since a shard is one dataset: a second attempt takes over the lock of the first, keeps what it
finished and clears away the rest. Nothing is merged before every shard is there exactly once, which the merging checks
again by itself. The compressors learn once, before the tasks, from the whole corpus: so the result is, byte for byte,
what one process would have made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from ...common import extras
from ...common.progress import Progress
from ...errors import ConfigurationError, ProxyError, check_count
from ..corpus import documents, expand
from ..dataset import manifest
from ..prepare.job import Job
from ..prepare.recipe import Recipe
from ..prepare.run import prepare
from .merge import check_free, merge

RETRIES: Final = 5
_TASKS_PER_CORE: Final = 4


def prepare_on_ray(job: Job, shards: int | None = None) -> list[str]:
    """Prepare a corpus on the cluster that RAY_ADDRESS names, or one started here; returns the datasets' prefixes.

    Parameters
    ----------
    job
        What to prepare; ``workers`` and ``partitions`` play no part. Paths must mean the same on every machine.
    shards
        How many tasks; by default four for each core of the cluster.

    Raises
    ------
    ConfigurationError
        Ray is not installed, or the job has no corpus, or is a shard itself.
    DatasetError
        The prefix is prepared already.
    ProxyError
        What a task, or the merging, could not do.
    """
    ray = _ray()
    if not job.inputs or job.shard is not None or job.max_documents is not None:
        raise ConfigurationError(
            "on a cluster, --input is needed, and --shard and --max-documents cannot be used", where="--engine"
        )
    check_count(shards, "--ray-shards")
    job = replace(job, recipes=[recipe.checked() for recipe in job.recipes])
    if len(job.keys) > 1:
        # Each key's documents would teach a compressor something else, so it must not learn from any.
        for recipe in job.recipes:
            recipe.check_shard()
    prefixes = [job.dataset_prefix(key) for key in job.keys]
    for prefix in prefixes:
        check_free(prefix, overwrite=job.overwrite)
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="warning")
    try:
        count = shards or max(1, _cores(ray) * _TASKS_PER_CORE)
        learnt = replace(job, recipes=[_learn(job, recipe) for recipe in job.recipes], workers=0, partitions=1)
        _run_tasks(ray, learnt, count)
    finally:
        if started:
            ray.shutdown()
    for prefix in prefixes:
        merge(prefix, overwrite=job.overwrite, remove_shards=True, report=job.report)
    return prefixes


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise extras.missing("ray", "--engine") from error
    return ray


def _learn(job: Job, recipe: Recipe) -> Recipe:
    """The recipe with its compressor made from the whole corpus."""
    key = job.keys[0]
    made = recipe.make(lambda: documents(job.inputs, key, skip_bad_lines=job.skip_bad_lines, taking=job.taking))
    return replace(recipe, options={}, made=made)


def _run_tasks(ray: Any, job: Job, count: int) -> None:
    """Make all shards, each exactly once."""
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(make_shard)
    # Progress, and whatever else holds this process's streams, stays here.
    shared = ray.put(replace(job, report=_silent))
    waiting = {task.remote(shared, index, count): index for index in range(count)}
    total = sum(file.size for file in expand(job.inputs, job.taking))
    with Progress(f"{job.prefix}: {count} shards on {_cores(ray)} cores", total, log_interval=1) as progress:
        while waiting:
            for done in ray.wait(list(waiting), num_returns=1)[0]:
                documents_, size = _result(ray, done)
                del waiting[done]
                progress.advance(documents_, size, total // count)


def _result(ray: Any, task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, ProxyError) else error from None
    except ray.exceptions.RayError as error:
        raise ProxyError(
            f"a task was lost more than {RETRIES} times: {str(error).splitlines()[0]}",
            where="--engine ray",
            fix="look into the cluster's logs; finished shards are kept, so run the command again",
        ) from error


def make_shard(job: Job, index: int, count: int) -> tuple[int, int]:
    """A task: make one shard; returns its documents and their bytes."""
    prefix, *_ = prepare(replace(job, shard=(index, count)))
    content = manifest.read(prefix)
    return content.documents, content.raw.units


def _silent(line: str) -> None:
    """Reports of single shards are of no interest."""


def _cores(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 1))
