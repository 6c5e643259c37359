#!/usr/bin/env bash
# Exported folders with several releases of transformers, each installed beside the environment with the tokenizers and
# huggingface-hub that it asks for. Those that load them go into tests/model/hf/contract.json, which the tests hold to.
#
#     tests/transformers.sh [RELEASE …]    4.50.0 and newest by default; kept in build/transformers/RELEASE
#     PYTHON=…                             the interpreter (.venv/bin/python)
#
# A release that cannot be got is told at the end, with what pip said, and makes the exit code 3.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
if [ $# -eq 0 ]; then set -- 4.50.0 newest; fi

get() { # FOLDER REQUIREMENT …: without what they depend on, which the environment has
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$@"
}

companions() { # FOLDER: the requirements on packages whose release has to fit, one a line
  "$python" - "$1" << 'END'
import importlib.metadata
import sys

(found,) = importlib.metadata.distributions(name="transformers", path=[sys.argv[1]])
names = ("tokenizers", "huggingface-hub")
print(*(line for line in found.requires if line.startswith(names) and ";" not in line), sep="\n")
END
}

missing=()
failed=()
loading=()
for release in "$@"; do
  folder=build/transformers/$release
  requirement=transformers$([ "$release" = newest ] || echo "==$release")
  mkdir -p build/transformers
  if [ ! -e "$folder/complete" ] || [ "$release" = newest ]; then
    rm -rf "$folder"
    if ! { get "$folder" "$requirement" && companions "$folder" > "$folder.needs" &&
      get "$folder" --requirement "$folder.needs"; } > "build/transformers/$release.log" 2>&1; then
      missing+=("$release")
      continue
    fi
    touch "$folder/complete"
  fi
  # The folder comes before the installed packages: this is the one that will be imported.
  if PYTHONPATH=$PWD/$folder:$PWD "$python" tests/model/hf/contract.py; then
    loading+=("$release")
  else
    failed+=("$release")
  fi
done

# The contract is whole now, and holds for each.
for release in ${loading[@]+"${loading[@]}"}; do
  echo "== transformers $release"
  PYTHONPATH=$PWD/build/transformers/$release:$PWD "$python" -m pytest -q -m 'not megatron' tests/model/hf ||
    failed+=("$release")
done

for release in ${missing[@]+"${missing[@]}"}; do
  echo "transformers: $release could not be got, and nothing was tested against it; pip said:" >&2
  tail -n 2 "build/transformers/$release.log" >&2
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "transformers: exports fail with ${failed[*]}" >&2
  exit 1
fi
[ ${#missing[@]} -eq 0 ] || exit 3
