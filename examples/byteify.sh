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
# and after (before training, the compressed view is the original, but for the probability that its tokens of single
# bytes share with the bytes: examples/byteify/original.py bpb tells its own), and exports the model over raw bytes
# (FOLDER/raw) and the one over tokens (FOLDER/tokens).
# A step that is done is not done again, and training goes on from its last checkpoint: just run it again. Every command
# is printed as it is run; with DRY_RUN=1 it is only printed.
# shellcheck source=examples/steps.sh
. "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

[ $# -ge 2 ] || die "usage: byteify.sh CONFIG FOLDER [STEP …]"
config=$1 folder=$2
shift 2
read_settings "$config" byteify
[ -n "${ORIGINAL:-}" ] || [ -n "${MAKE_ORIGINAL:-}" ] || die "set ORIGINAL to the folder of the model to begin from"

data=$folder/data/corpus
make_original=${ORIGINAL:+no}
ORIGINAL=${ORIGINAL:-$folder/original}
made_corpus=${INPUT:+no}
INPUT=${INPUT:-$folder/corpus/train.jsonl} HELD_OUT=${HELD_OUT:-$folder/corpus/held_out.jsonl}

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
    --hf-model "$ORIGINAL/tokenizer.json" --hf-split tokens --workers "${WORKERS:-2}"
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
  local at=$folder/run from=$folder/imported
  if [ -e "$(tracker "$at")" ]; then from=$at/checkpoint; fi
  train_in "$at" $(model_flags) --data-path "$data" --proxy-compression hf \
    --proxy-mode interleaved $MIX $TRAINING --load "$from"
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
