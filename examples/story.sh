#!/bin/sh
# A model from nothing in one go: text, vocabulary, pretraining, fine-tuning, writing. With no text of yours it learns from
# the reference of the Python language that lies in every Python, and is then tuned to this project's own pages.
#
#   sh examples/story.sh [FOLDER [TEXT [TEXT TO TUNE TO]]]      MINUTES and TUNE (steps) say how long it learns
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-story}
text=${2:-$folder/text.txt}
tune=${3:-$here/docs/training.md}

say() { printf '\n== %s\n' "$1"; }
show() {
  printf '$'
  printf ' %s' "$@"
  printf '\n'
  "$@"
}

say "1. Text"
mkdir -p "$folder"
[ -e "$folder/text.txt" ] || [ $# -gt 1 ] || python3 -c "
from pydoc_data.topics import topics
print('\n\n'.join(topics.values()))" > "$folder/text.txt"
wc -c "$text"

say "2. A vocabulary of its own, and the text as its ids"
show gpt2lab prepare "$text" --recipe "$here/recipes/tiny-cpu.toml" --out "$folder/corpus"

say "3. Pretraining: from random weights, to expect this text"
show gpt2lab train "$here/recipes/tiny-cpu.toml" --set "data=$folder/corpus" --set "out=$folder/run" \
  --set "train.max_minutes=${MINUTES:-2}" --set train.validate_every=100

say "4. Fine-tuning: a little more of another text"
show gpt2lab finetune "$tune" --model "$folder/run" --checkpoint-dir "$folder/tuned" --steps "${TUNE:-60}" \
  --batch-size 8 --accumulate-gradients 1 --learning-rate 3e-4 --sample-every 0

say "5. Writing: two samples, as a test"
show gpt2lab generate "The value of" --model "$folder/run" --length 60 --nsamples 2 --seed 1 --temperature 0.8

say "6. Writing with you: the tuned model goes on from each line that you type (Ctrl-D ends it)"
if [ -t 0 ]; then
  show gpt2lab interactive --model "$folder/tuned/run1" --length 60 --seed 1 --temperature 0.8
else
  printf 'A run that\n' | show gpt2lab interactive --model "$folder/tuned/run1" --length 60 --seed 1 --temperature 0.8
fi
