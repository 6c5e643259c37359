"""Exports in other engines, by the scripts of examples/serving: each writes what ``generate`` writes."""

import importlib.util
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy.model import gguf, hf  # noqa: E402
from megatron_proxy.model.checkpoint import Checkpoint  # noqa: E402
from megatron_proxy.model.generation import Limits, generate  # noqa: E402
from megatron_proxy.model.network import Architecture, ByteModel  # noqa: E402
from megatron_proxy.vocab import BYTE_OFFSET  # noqa: E402

SCRIPTS = Path(__file__).parents[2] / "examples" / "serving"
SHAPE = replace(random_model.LLAMA, hidden=32, context=256)
PROMPT = "x = 'é  😀'\n"


class Readable(random_model.RandomTensors):
    """Weights of a model that writes printable characters without an end."""

    def read(self, name):
        tensor = super().read(name)
        if name == "output_layer.weight":
            kept = torch.zeros(len(tensor), dtype=torch.bool)
            kept[BYTE_OFFSET + 32 : BYTE_OFFSET + 127] = True
            tensor[~kept] = 0.0
        return tensor


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    args = Namespace(proxy_compression="zstd", proxy_mode="sentinel", proxy_final_mode=None)
    checkpoint = Checkpoint(Path("iter_0000001"), 1, args, Readable(random_model.tensors(SHAPE).shapes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Architecture, "from_args", classmethod(lambda cls, args: SHAPE))
        hf.export(checkpoint, folder / "hf", dtype=torch.float32)
        if importlib.util.find_spec("gguf"):
            gguf.export(checkpoint, folder / "gguf", dtype=torch.float32)
    model = ByteModel(SHAPE, checkpoint.tensors)
    (done,) = generate(model, [PROMPT.encode()], Limits(max_bytes=40, valid_utf8=False))
    return folder, done.text.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "needs", "kind", "flags"),
    [
        ("transformers_generate", ["transformers"], "hf", []),
        ("transformers_generate", ["transformers"], "hf", ["--prompt-lookup", "8"]),
        ("transformers_pipeline", ["transformers"], "hf", []),
        ("ctranslate2_generate", ["transformers", "ctranslate2"], "hf", []),
        ("llama_cpp", ["gguf", "xllamacpp"], "gguf", []),
    ],
)
def test_an_engine_writes_the_same(exports, script, needs, kind, flags):
    for module in needs:
        pytest.importorskip(module)
    folder, expected = exports
    assert len(expected) == 40
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), str(folder / kind), PROMPT, "--max-bytes", "40", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected + "\n"


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_scripts_say_how_they_are_run(path):
    text = path.read_text(encoding="utf-8")
    assert f"    python examples/serving/{path.name} " in text.split('"""')[1]
    compile(text, path, "exec")
