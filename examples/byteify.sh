#!/usr/bin/env bash
# From a model over tokens to one over raw bytes: the tokenizer's tokens become the compressed view, bytes get rows, and
# training goes on over both.
#
#   examples/byteify.sh examples/byteify/cpu.env build/byteify                    # makes its own original; 2 CPU cores
#   ORIGINAL=Qwen3-0.6B INPUT='data/*.jsonl' HELD_OUT=held.jsonl examples/byteify.sh examples/byteify/gpu.env /data/byteify
#   … examples/byteify.sh examples/byteify/cluster-8B.env /data/byteify train     # one step of it, as a job of its own
#
# usage: byteify.sh CONFIG FOLDER [corpus | original | prepare | import | train | evaluate | export …]
#
# Prepares the corpus by the original's tokenizer, imports the original, trains interleaved, evaluates both views before
# and after (before training, the compressed view is the original itself), and exports the model over raw bytes
# (FOLDER/raw) and the one over tokens (FOLDER/tokens).
# A step that is done is not done again, and training goes on from its last checkpoint: just run it again. Every command
# is printed as it is run; with DRY_RUN=1 it is only printed.
set -euo pipefail
# Where commands are shown, whatever becomes of their own output.
exec 3>&2

die() {
  echo "byteify.sh: $*" >&2
  exit 2
}

[ $# -ge 2 ] || die "usage: byteify.sh CONFIG FOLDER [STEP …]"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config=$1 folder=$2
shift 2
[ -f "$config" ] || die "there is no configuration $config; known: $(cd "$here/byteify" && echo *.env)"
python=$(command -v "${PYTHON:-python}") || die "no ${PYTHON:-python} is found: activate the environment, or set PYTHON"
# shellcheck source=/dev/null
. "$config"
[ -n "${INPUT:-}" ] || [ "$CORPUS" = stdlib ] || die "set INPUT to the corpus, and HELD_OUT to documents outside it"
[ -z "${INPUT:-}" ] || [ -n "${HELD_OUT:-}" ] || die "INPUT needs HELD_OUT: documents that INPUT does not hold"
[ -n "${ORIGINAL:-}" ] || [ -n "${MAKE_ORIGINAL:-}" ] || die "set ORIGINAL to the folder of the model to begin from"

proxy=("$python" -m megatron_proxy)
launch=${LAUNCH:-$python -m torch.distributed.run --standalone --nproc-per-node ${GPUS:-1}}
script=${SCRIPT:-$here/pretrain_gpt.py}
data=$folder/data/corpus
make_original=${ORIGINAL:+no}
ORIGINAL=${ORIGINAL:-$folder/original}
made_corpus=${INPUT:+no}
INPUT=${INPUT:-$folder/corpus/train.jsonl} HELD_OUT=${HELD_OUT:-$folder/corpus/held_out.jsonl}

# Print a command, and run it unless this is a dry run.
show() {
  printf '\n$' >&3
  printf ' %q' "$@" >&3
  printf '\n' >&3
  [ -n "${DRY_RUN:-}" ] || "$@"
}

# step FILE COMMAND…: run COMMAND with its output in FILE, unless FILE exists; a failed one leaves FILE.part.
step() {
  local file=$1
  shift
  if [ -e "$file" ]; then return; fi
  if [ -n "${DRY_RUN:-}" ]; then show "$@" && return; fi
  mkdir -p "$(dirname "$file")"
  show "$@" > "$file.part" || {
    tail -n 20 "$file.part" >&2
    die "the command above failed; its output is in $file.part"
  }
  mv "$file.part" "$file"
}

corpus() {
  [ -z "$made_corpus" ] || return 0
  step "$folder/corpus.log" "$python" "$here/stdlib_corpus.py" "$folder/corpus" \
    ${MAX_DOCUMENTS:+--max-documents "$MAX_DOCUMENTS"}
}

original() {
  [ -z "$make_original" ] || return 0
  local make=("$python" "$here/byteify/original.py")
  step "$folder/tokenizer.log" "${make[@]}" tokenizer "$INPUT" "$ORIGINAL" $MAKE_TOKENIZER
  step "$folder/original.log" "${make[@]}" model "$INPUT" "$ORIGINAL" $MAKE_ORIGINAL
}

prepare() {
  # Spans are what interleaving places side by side.
  step "$folder/prepare.log" "${proxy[@]}" prepare --input $INPUT --output-prefix "$data" --compressor hf \
    --hf-model "$ORIGINAL/tokenizer.json" --hf-split lines --workers "${WORKERS:-2}"
}

import() {
  step "$folder/import.log" "${proxy[@]}" import --load "$ORIGINAL" --as-proxy --prefix "$data" \
    --output "$folder/imported" --overwrite ${IMPORT:-}
}

# The flags that describe the model, as import has printed them; what the configuration sets comes after them.
model_flags() {
  [ -n "${DRY_RUN:-}" ] && [ ! -e "$folder/import.log" ] && return
  sed -n 's/^  pretrain_gpt\.py --load [^ ]* \(.*\) …$/\1/p' "$folder/import.log"
}

train() {
  local at=$folder/run log=/dev/null from=$folder/imported
  local tracker=$at/checkpoint/latest_checkpointed_iteration.txt
  [ "$(cat "$tracker" 2> /dev/null)" != "$STEPS" ] || return 0
  if [ -e "$tracker" ]; then from=$at/checkpoint; fi
  if [ -z "${DRY_RUN:-}" ]; then
    mkdir -p "$at"
    log=$at/train-$(find "$at" -name 'train-*.log' | wc -l).log
  fi
  show $launch "$script" $(model_flags) --data-path "$data" --proxy-compression hf \
    --proxy-mode interleaved --proxy-warmup-mode interleaved $MIX $TRAINING --train-iters "$STEPS" \
    --load "$from" --save "$at/checkpoint" --save-interval "$SAVE_INTERVAL" > "$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "training failed; its output is in $log"
  }
}

evaluate() {
  local of checkpoint view
  for of in before after; do
    checkpoint=$folder/imported
    if [ $of = after ]; then checkpoint=$folder/run/checkpoint; fi
    for view in raw compressed; do
      [ -e "$folder/$of-$view.json" ] || show "${proxy[@]}" evaluate --load "$checkpoint" --input $HELD_OUT \
        --view "$view" --data-prefix "$data" --output "$folder/$of-$view.json" $EVALUATE
    done
  done
}

export_() {
  [ -e "$folder/raw" ] || show "${proxy[@]}" export --load "$folder/run/checkpoint" --output "$folder/raw" \
    --evaluation "$folder/after-raw.json"
  [ -e "$folder/tokens" ] || show "${proxy[@]}" export --load "$folder/run/checkpoint" --output "$folder/tokens" \
    --view compressed --original "$ORIGINAL" --data-prefix "$data"
}

[ $# -gt 0 ] || set -- corpus original prepare import train evaluate export
for one; do
  case $one in
    corpus | original | prepare | import | train | evaluate) "$one" ;;
    export) export_ ;;
    *) die "unknown step $one; known: corpus, original, prepare, import, train, evaluate, export" ;;
  esac
done
