#!/usr/bin/env bash
# Prove the GPU path in eight minutes: one machine, one GPU, no network. See tests/gpu/run.py for flags and results.
#
#     make gpu-wheels gpu-data       beforehand, where there is a network; both lie in build/gpu, which goes along
#     tests/gpu/run.sh               build/gpu/results: results.json, table.md, log.txt
#     tests/gpu/run.sh --cpu         the same steps on the CPU, at toy size
#     PYTHON=…                       the interpreter (python3), with torch, numpy, numba, sentencepiece, transformers
#
# The wheels in build/gpu/wheels are unpacked beside them, and come before what is installed; not on the CPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
path=$PWD
case " $* " in
  *' --cpu '*) export CUDA_VISIBLE_DEVICES= ;;
  *)
    if compgen -G 'build/gpu/wheels/*.whl' > /dev/null; then
      "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --no-cache-dir \
        --upgrade --target build/gpu/site build/gpu/wheels/*.whl
      path=$path:$PWD/build/gpu/site
    fi
    ;;
esac
export PYTHONPATH=$path${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
exec "$python" tests/gpu/run.py "$@"
