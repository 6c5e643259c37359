"""lm-evaluation-harness on an exported model, with the package's local task: the BPB of `evaluate`."""

import importlib.util
import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import random_model  # noqa: E402

import megatron_proxy.evaluation  # noqa: E402
from megatron_proxy.evaluation import bits  # noqa: E402
from megatron_proxy.evaluation.scoring import Scorer  # noqa: E402
from megatron_proxy.model.checkpoint import Checkpoint  # noqa: E402
from megatron_proxy.model.hf import export  # noqa: E402
from megatron_proxy.model.network import Architecture, ByteModel  # noqa: E402

TASKS = Path(megatron_proxy.evaluation.__file__).parent / "lm_eval"
SHAPE = replace(random_model.LLAMA, context=64)
# One text looks as if it had the prefix already.
SHORT = ["def f(x):\n\treturn x\n", "naïve 😀\r\n", "<raw> and </raw>", "", "  \n", "a" * 64]
LONG = ["while value in range(100): print(value)\n" * 12]
# Packages of others, while they are imported and run.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    args = Namespace(proxy_compression="zstd", proxy_mode="sentinel", proxy_final_mode=None)
    with monkeypatch.context() as patched:
        patched.setattr(Architecture, "from_args", classmethod(lambda cls, args: SHAPE))
        made = Checkpoint(Path("iter_0000001"), 1, args, random_model.tensors(SHAPE))
        export(made, tmp_path / "hf", dtype=torch.float32)
    return tmp_path


def ours(texts: list[str], stride: int) -> float:
    model = ByteModel(SHAPE, random_model.tensors(SHAPE))
    documents = [bits.Document(text.encode(), "file", None) for text in texts]
    total = bits.measure(documents, bits.raw_view(), Scorer(model, SHAPE.context, stride)).total
    return float(bits.figures(total)["bpb_of_bytes_alone"])


@pytest.mark.long
def test_bits_per_byte_are_those_of_evaluate(folder):
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(str(folder / "hf"), add_bos_token=False, device="cpu", batch_size=4, dtype="float32")

    def theirs(texts: list[str]) -> float:
        path = folder / "documents.jsonl"
        path.write_text("".join(json.dumps({"content": text}) + "\n" for text in texts))
        metadata = {"file": str(path), "key": "content"}
        tasks = TaskManager(include_path=str(TASKS), include_defaults=False, metadata=metadata)
        found = lm_eval.simple_evaluate(model, tasks=["raw_bytes"], task_manager=tasks, bootstrap_iters=0)
        return float(found["results"]["raw_bytes"]["bits_per_byte,none"])

    assert theirs(SHORT) == pytest.approx(ours(SHORT, 64), abs=1e-5)
    # Windows after a document's first begin with <raw> in `evaluate`, with a byte in the harness: all else is alike.
    difference = abs(theirs(LONG) - ours(LONG, 64))
    assert 1e-5 < difference < 0.5


def test_a_file_that_is_no_corpus_is_told(tmp_path):
    pytest.importorskip("datasets")
    spec = importlib.util.spec_from_file_location("raw_bytes", TASKS / "raw_bytes.py")
    task = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(task)
    with pytest.raises(ValueError, match="which documents"):
        task.documents(version=1.0)
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n\n{"body": "b"}\n')
    with pytest.raises(ValueError, match=r"x.jsonl:3: no text under the key 'text'"):
        task.documents(file=str(path))
    path.write_text('{"text": "é"}\n')
    assert task.process_results(task.documents(file=str(path))["test"][0], (-3.0,))["bits_per_byte"] == (-3.0, 2)
