#!/usr/bin/env bash
# The training tests against several megatron-core wheels, installed side by side without their dependencies.
#
#     tests/wheels.sh [VERSION …]          0.18.2 and 0.19.2 by default; kept in build/wheels/VERSION
#     PYTHON=…                             the interpreter (.venv/bin/python)
#     TESTS='resumed or measure'           which training tests (pytest -k); by default training, resuming, two ranks
#
# A wheel that cannot be got is told at the end, with what pip said, and makes the exit code 3.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
tests=${TESTS:-every_measure or resumed_run or (two_processes_have and tensor)}
if [ $# -eq 0 ]; then set -- 0.18.2 0.19.2; fi

missing=()
failed=()
for version in "$@"; do
  folder=build/wheels/$version
  if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    mkdir -p build/wheels
    if ! "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
      --target "$folder" "megatron-core==$version" > "build/wheels/$version.log" 2>&1; then
      missing+=("$version")
      continue
    fi
    touch "$folder/complete"
  fi
  # The folder comes before the installed packages: this is the one that will be imported.
  found=$(PYTHONPATH=$folder "$python" -c 'import importlib.util as u; print(u.find_spec("megatron.core").origin)')
  case $found in */"$folder"/* | "$folder"/*) ;; *)
    echo "wheels: $found would be tested instead of $folder" >&2
    exit 1
    ;;
  esac
  echo "== megatron-core $version: $tests"
  MEGATRON_CORE=$PWD/$folder "$python" -m pytest -q tests/adaptor/test_training.py -k "$tests" || failed+=("$version")
done

for version in ${missing[@]+"${missing[@]}"}; do
  echo "wheels: megatron-core $version could not be got, and nothing was tested against it; pip said:" >&2
  tail -n 2 "build/wheels/$version.log" >&2
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "wheels: tests fail with megatron-core ${failed[*]}" >&2
  exit 1
fi
[ ${#missing[@]} -eq 0 ] || exit 3
