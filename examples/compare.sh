#!/usr/bin/env bash
# Bytes only, tokenizer only and proxy compression at equal compute, on one corpus: the paper's comparison.
#
#   examples/compare.sh examples/compare/cpu.env build/compare                      # minutes a run, 2 CPU cores
#   INPUT='data/*.jsonl' HELD_OUT=held.jsonl examples/compare.sh examples/compare/gpu.env /data/compare
#   examples/compare.sh examples/compare/cluster-7B.env /data/compare proxy:neural  # one run of it, as a job of its own
#
# usage: compare.sh CONFIG FOLDER [RUN … | prepare | report]
#
# Every run has the same model (all vocabularies are padded to one size), the same number of steps and of tokens per
# step, hence the same FLOPs; they differ in what the tokens are:
#   bytes             raw bytes only, no sentinels                    (--proxy-mode vanilla, rate 0)
#   tokenizer:NAME    the compressed view only, no sentinels          (--proxy-mode vanilla, rate 1)
#   proxy:NAME        both views, the paper's schedule: 0.4 to 0.9    (the defaults)
#   interleaved:NAME  both views, span by span, 0.4 to 0.5            (--proxy-mode interleaved)
# Of the last two, NAME@0.5 ends at the rate 0.5, and a + behind it all gives each view a vector (--proxy-format-embedding).
#
# Prepares, trains, evaluates held-out documents, generates, and writes FOLDER/compare.html, compare.json and figures/.
# With DATA=FOLDER corpus and views are kept there, for several comparisons; examples/evidence is a grid of such.
# A step that is done is not done again, and a training goes on from its last checkpoint: just run it again. Every command
# is printed as it is run; with DRY_RUN=1 it is only printed.
# shellcheck source=examples/steps.sh
. "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

[ $# -ge 2 ] || die "usage: compare.sh CONFIG FOLDER [RUN … | prepare | report]"
config=$1 folder=$2
shift 2
read_settings "$config" compare
shared=${DATA:-$folder}
data=$shared/data/corpus
compressors=${COMPRESSORS:-$(printf '%s\n' $RUNS | sed -n 's/.*:\([^@+]*\).*/\1/p' | sort -u | paste -sd,)}

# same FOLDER NAME LINE…: what the results in FOLDER depend on; another configuration needs another folder.
same() {
  local at=$1 name=$2 now
  shift 2
  now=$(printf '%s\n' "$@")
  if [ ! -e "$at/$name" ]; then
    [ -z "${DRY_RUN:-}" ] || return 0
    mkdir -p "$at" && echo "$now" > "$at/$name"
  fi
  diff "$at/$name" - <<< "$now" >&2 || die "$at holds another configuration (above); give another folder"
}

check_settings() {
  same "$folder" settings "steps $STEPS" "model $(echo $MODEL)" "training $(echo $TRAINING)"
  same "$shared" settings-data "prepare $compressors $(echo $PREPARE)" "corpus ${INPUT:-stdlib $STDLIB}"
}

corpus() {
  if [ -z "${INPUT:-}" ]; then
    step "$shared/corpus.log" "$python" "$here/stdlib_corpus.py" "$shared/corpus" $STDLIB
    INPUT=$shared/corpus/train.jsonl HELD_OUT=$shared/corpus/held_out.jsonl
  fi
  step "$shared/prepare.log" "${proxy[@]}" prepare --input $INPUT --output-prefix "$data" \
    --compressor "$compressors" --workers "${WORKERS:-2}" $PREPARE
}

# The flags of one run. Bytes alone need no compressor; any prepared one stands in, at rate 0.
flags() {
  local name=${1#*:} plain=${1%+}
  name=${name%+}
  case $1 in
    bytes) echo "--proxy-compression ${compressors%%,*} --proxy-peak-rate 0 --proxy-validation-view raw" ;;
    tokenizer:*) echo "--proxy-compression $name --proxy-peak-rate 1 --proxy-validation-view compressed" ;;
    proxy:* | interleaved:*) echo "--proxy-compression ${name%@*} --proxy-validation-view both" ;;
    *) die "unknown run $1; known kinds: bytes, tokenizer:NAME, proxy:NAME, interleaved:NAME" ;;
  esac
  case $1 in bytes | tokenizer:*) echo "--proxy-mode vanilla --proxy-warmup-fraction 0" ;; esac
  case $1 in interleaved:*) echo "--proxy-mode interleaved" ;; esac
  case $plain in *@*) echo "--proxy-peak-rate ${plain#*@}" ;; esac
  case $1 in *+) echo "--proxy-format-embedding" ;; esac
}

train() {
  local at=$1 chosen=$2
  train_in "$at" --data-path "$data" $chosen $MODEL $TRAINING --load "$at/checkpoint"
}

evaluate() {
  local at=$1 view
  shift
  for view; do
    [ -e "$at/evaluate-$view.json" ] || show "${proxy[@]}" evaluate --load "$at/checkpoint" --input $HELD_OUT \
      --view "$view" --data-prefix "$data" --output "$at/evaluate-$view.json" $EVALUATE
  done
}

run() {
  local at=$folder/runs/${1/:/-} chosen
  chosen=$(flags "$1")
  train "$at" "$chosen"
  case $1 in
    bytes) evaluate "$at" raw ;;
    # A model of tokens alone has no raw bytes to read or write.
    tokenizer:*) evaluate "$at" compressed ;;
    *) evaluate "$at" $PROXY_VIEWS ;;
  esac
  case $1 in tokenizer:*) return ;; esac
  [ "${#PROMPTS[@]}" = 0 ] ||
    step "$at/generations.jsonl" "${proxy[@]}" generate --load "$at/checkpoint" $GENERATE "${PROMPTS[@]/#/--prompt=}"
  [ -z "${ROBUSTNESS:-}" ] || [ -e "$at/robustness.json" ] ||
    show "${proxy[@]}" robustness --load "$at/checkpoint" --input $HELD_OUT --output "$at/robustness.json" $ROBUSTNESS
}

# The page about all runs that have ended.
report() {
  local paths=() one at
  for one in $RUNS; do
    at=$folder/runs/${one/:/-}
    if [ -e "$(tracker "$at")" ] || [ -n "${DRY_RUN:-}" ]; then paths+=("$at"); fi
  done
  show "${proxy[@]}" report "${paths[@]}" --title "$TITLE" --output "$folder/compare.html" \
    --json "$folder/compare.json" --figures "$folder/figures" --overwrite
}

check_settings
if [ "${1:-}" != report ]; then
  corpus
  [ "${1:-}" != prepare ] || exit 0
  [ $# -gt 0 ] || set -- $RUNS
  for one; do run "$one"; done
fi
report
