"""The commands of docs/corpora.md, on a tiny corpus of each kind."""

import json
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sources import as_lines, as_tar, members_of, write_files
from token_files import byte_level, write_tokens

from megatron_proxy.data.dataset import manifest

PAGE = Path(__file__).parents[2] / "docs" / "corpora.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [command for block in BLOCKS for command in block.splitlines()]
TEXTS = ["one document", "a second one"]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A folder with everything that the page names."""
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    from pyarrow import parquet

    folder = tmp_path_factory.mktemp("corpora")
    write_files(folder, {"code/a.py": b"1", "code/b/c.py": b"2", "code/.git/x.py": b"hidden", "code/read.me": b"other"})
    write_files(folder, {"corpus.jsonl.xz": lzma.compress(as_lines(TEXTS)), "shard.tar": as_tar(members_of(TEXTS))})
    write_files(folder, {"book.txt": "\n\n".join(TEXTS).encode(), "tables/x": b"", "data/x": b"", "saved/x": b""})
    table = pa.table({"content": TEXTS})
    parquet.write_table(table, folder / "tables" / "1.parquet")
    with pa.OSFile(str(folder / "saved" / "1.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    (folder / "saved" / "state.json").write_text(json.dumps({"_data_files": [{"filename": "1.arrow"}]}))
    tokenizer = byte_level(folder / "tokenizer.json", TEXTS)
    write_tokens(folder / "web_text_document", [[[*tokenizer.encode(text).ids, 0]] for text in TEXTS])
    return folder


@pytest.mark.long
def test_every_command_makes_its_dataset(corpora):
    # Two documents: starting workers takes longer than all else.
    program = f'megatron-proxy() {{ {sys.executable} -m megatron_proxy "$@" --workers 0; }}'
    script = "\n".join(["set -eo pipefail", program, *COMMANDS])
    done = subprocess.run(["bash", "-c", script], cwd=corpora, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    making = [command for command in COMMANDS if "--dry-run" not in command]
    assert done.stdout.count("train on it: --data-path") == len(making)
    assert done.stdout.count("nothing was written") == len(COMMANDS) - len(making) == 1
    prefixes = [re.search(r"--output-prefix (\S+)", command)[1] for command in making]
    found = {Path(prefix).name: manifest.read(str(corpora / prefix)).documents for prefix in prefixes}
    assert found == dict.fromkeys(found, 2) | {"both": 4}
