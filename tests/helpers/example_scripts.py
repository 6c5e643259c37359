"""The shell scripts of examples/, run as they are, or with a recorder in Python's place that writes down its calls."""

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"

# Makes the files that were asked for, too.
_RECORDER = """\
#!{python} -S
import json, os, sys
words = sys.argv[1:]
with open({calls!r}, "a") as file:
    print(json.dumps(words), file=file)
flags = dict(zip(words, words[1:]))
if "import" in words:
    print("  pretrain_gpt.py --load " + flags["--output"] + " --num-layers 3 --qk-layernorm …")
if "--save" in flags:
    os.makedirs(flags["--save"], exist_ok=True)
    with open(flags["--save"] + "/latest_checkpointed_iteration.txt", "w") as file:
        file.write(flags["--train-iters"])
elif "evaluate" in words:
    open(flags["--output"], "w").close()
elif "export" in words:
    os.makedirs(flags["--output"])
"""


def run(name: str, config: str, folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a name with one of its configurations."""
    return subprocess.run(
        [EXAMPLES / f"{name}.sh", EXAMPLES / name / f"{config}.env", folder, *words],
        env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def calls_of(name: str, config: str, *words: str, folder: Path, **environment: str) -> list[list[str]]:
    """How the script of a name calls Python, with a folder ``out`` in ``folder`` to write to."""
    calls, python = folder / "calls", folder / "python"
    python.write_text(_RECORDER.format(python=sys.executable, calls=str(calls)))
    python.chmod(0o755)
    calls.write_text("")
    given = {"PYTHON": str(python), "INPUT": "a.jsonl", "HELD_OUT": "b.jsonl", **environment}
    done = run(name, config, folder / "out", *words, **given)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in calls.read_text().splitlines()]
