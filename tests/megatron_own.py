"""Megatron's own unit tests of data, tokenizers and configuration, with and without our hooks: any difference?

    python tests/megatron_own.py /path/to/Megatron-LM [/path/to/another …]

The tests of each checkout run twice on the CPU, once with every hook installed, in a process each. Some fail here for
want of a network, a GPU or Transformer Engine; the same ones must, and no other. Exit code 1 if the two differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITES = (
    "data",
    "tokenizers",
    "training/config",
    "transformer/test_transformer_config.py",
    "utils",
    "test_argument_utils.py",
    "test_basic.py",
    "test_eval_batch_size.py",
    "test_model_configs.py",
    "test_model_parallel_config.py",
    "test_num_microbatches_calculator.py",
    "test_optimizer_param_scheduler.py",
    "test_start_eval_at_iter.py",
    "test_typed_torch.py",
    "test_utils.py",
)
"""In the folder of its unit tests; those that a release does not have are left out."""
NEEDS_A_DOWNLOAD = "data/test_preprocess_data.py"
"""Its process waits for ever for one that ended without the vocabulary from the network."""


def outcomes(checkout: Path, hooks: bool) -> dict[str, str]:
    """What became of each of Megatron's tests, by pytest's name for it."""
    suites = [f"tests/unit_tests/{suite}" for suite in SUITES if (checkout / "tests" / "unit_tests" / suite).exists()]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "outcomes.json")
        environment = {
            **os.environ,
            "OWN_HOOKS": str(int(hooks)),
            "OWN_OUTCOMES": str(kept),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "helpers"), str(checkout), str(ROOT)]),
            # A checkout is left as it was.
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        options = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "own_outcomes", "--basetemp", f"{folder}/tests"]
        options += ["--continue-on-collection-errors", f"--ignore=tests/unit_tests/{NEEDS_A_DOWNLOAD}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *suites],
            cwd=checkout,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if not kept.exists():
            sys.exit(f"{done.stdout[-4000:]}\nMegatron's tests could not be run (exit code {done.returncode})")
        return json.loads(kept.read_text())


def compare(checkout: Path) -> bool:
    """Run both, print the counts and what differs; whether nothing does."""
    without, with_hooks = (outcomes(checkout, hooks) for hooks in (False, True))
    for title, found in (("without the hooks", without), ("with them", with_hooks)):
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(found.values()).items()))
        print(f"{checkout.name} {title}: {counts}", flush=True)
    differ = {name for name in {*without, *with_hooks} if without.get(name) != with_hooks.get(name)}
    for name in sorted(differ):
        print(f"  {name}: {without.get(name, 'not run')} without, {with_hooks.get(name, 'not run')} with")
    return not differ and "passed" in without.values()


def main(arguments: list[str] | None = None) -> int:
    """Compare in each checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, nargs="+")
    same = [compare(checkout.resolve()) for checkout in parser.parse_args(arguments).checkout]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
