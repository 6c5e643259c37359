"""On a local Ray cluster: the bytes of one process, though tasks are lost; errors as anywhere else."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from preparing import files_of, leftovers, write_corpus

from megatron_proxy.data.prepare import Job
from megatron_proxy.data.prepare.recipe import recipes
from megatron_proxy.data.shards import on_ray as module
from megatron_proxy.data.shards.on_ray import prepare_on_ray
from megatron_proxy.errors import CompressorError, ConfigurationError, CorpusError, DatasetError, ProxyError


def needs_ray(test):
    """A cluster takes its time to start, and to notice a death."""
    return pytest.mark.slow(pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")(test))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two cores; the tasks' processes find the compressors of tests/helpers."""
    ray = pytest.importorskip("ray")
    helpers = str(Path(__file__).parents[2] / "helpers")
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([helpers, os.environ.get("PYTHONPATH", "")])}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "c.jsonl", [f"document {number}\n" * (number % 5) for number in range(60)])


def on_ray(tmp_path, corpus, *, options=None, shards=5, **settings):
    names = ["toy", "whole"]
    found = recipes(names, options or {}, [])
    return prepare_on_ray(Job(str(tmp_path / "p"), [corpus], found, report=str, **settings), shards)


@needs_ray
def test_tasks_that_are_lost_are_run_again_and_the_bytes_are_those_of_one_process(tmp_path, corpus, run, cluster):
    options = {"learn": True, "fault": f"die:{tmp_path}/died"}
    (tmp_path / "died").write_text("")
    run(corpus, options=options, prefix="here")
    run(prefix="here", compressors=("whole",))
    (tmp_path / "died").unlink()
    assert on_ray(tmp_path, corpus, options={"toy": options}) == [str(tmp_path / "p")]
    assert (tmp_path / "died").exists()
    assert files_of(tmp_path) == files_of(tmp_path, "here")
    assert leftovers(tmp_path) == []
    with pytest.raises(DatasetError, match="is prepared already"):
        on_ray(tmp_path, corpus)


@needs_ray
def test_errors_of_tasks_arrive_as_they_are(tmp_path, corpus, cluster):
    with pytest.raises(CompressorError, match="this document is too much"):
        on_ray(tmp_path, corpus, options={"toy": {"fault": "raise"}})
    assert not (tmp_path / "p_manifest.json").exists()


@needs_ray
def test_a_task_that_dies_every_time_is_given_up(tmp_path, corpus, cluster, monkeypatch):
    monkeypatch.setattr(module, "RETRIES", 1)
    with pytest.raises(ProxyError, match=r"a task was lost more than 1 times(.|\n)*finished shards are kept"):
        on_ray(tmp_path, corpus, options={"toy": {"fault": "die"}}, shards=2)


@needs_ray
def test_bad_lines_are_named(tmp_path, cluster):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "a"}\nbad\n')
    with pytest.raises(CorpusError, match=r"bad\.jsonl:2: the line is not JSON"):
        on_ray(tmp_path, str(path))


@needs_ray
@pytest.mark.parametrize("settings", [{"shard": (0, 2)}, {"max_documents": 3}])
def test_what_makes_no_sense_on_a_cluster_is_refused(tmp_path, corpus, settings):
    with pytest.raises(ConfigurationError, match=r"--engine: on a cluster"):
        on_ray(tmp_path, corpus, **settings)


def test_without_ray_the_extra_is_named(tmp_path, corpus, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ConfigurationError, match=r"--engine: the package ray is not installed(.|\n)*megatron-proxy\[ray\]"
    ):
        on_ray(tmp_path, corpus)
