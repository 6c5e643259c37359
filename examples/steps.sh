# What compare.sh and byteify.sh share: settings, and commands that are shown, and not run again once they are done.
# shellcheck shell=bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Where commands are shown, whatever becomes of their own output.
exec 3>&2

die() {
  echo "${0##*/}: $*" >&2
  exit 2
}

# read_settings CONFIG NAME: the configuration, of which examples/NAME has some, and what is run.
read_settings() {
  local config=$1 name=$2
  [ -f "$config" ] || die "there is no configuration $config; known: $(cd "$here/$name" && echo *.env)"
  python=$(command -v "${PYTHON:-python}") || die "no ${PYTHON:-python} is found: activate the environment, or set PYTHON"
  # shellcheck source=/dev/null
  . "$config"
  [ -n "${INPUT:-}" ] || [ "$CORPUS" = stdlib ] || die "set INPUT to the corpus, and HELD_OUT to documents outside it"
  [ -z "${INPUT:-}" ] || [ -n "${HELD_OUT:-}" ] || die "INPUT needs HELD_OUT: documents that INPUT does not hold"
  proxy=("$python" -m megatron_proxy)
  launch=${LAUNCH:-$python -m torch.distributed.run --standalone --nproc-per-node ${GPUS:-1}}
  script=${SCRIPT:-$here/pretrain_gpt.py}
}

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

# The file that tells how far the training in a folder has come.
tracker() {
  echo "$1/checkpoint/latest_checkpointed_iteration.txt"
}

# train_in FOLDER FLAG…: train to $STEPS, with checkpoint and logs in FOLDER, unless that is done.
train_in() {
  local at=$1 log=/dev/null
  shift
  [ "$(cat "$(tracker "$at")" 2> /dev/null)" != "$STEPS" ] || return 0
  if [ -z "${DRY_RUN:-}" ]; then
    mkdir -p "$at"
    log=$at/train-$(find "$at" -name 'train-*.log' | wc -l).log
  fi
  show $launch "$script" "$@" --train-iters "$STEPS" --save "$at/checkpoint" --save-interval "$SAVE_INTERVAL" \
    > "$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "training failed; its output is in $log"
  }
}
