#!/bin/sh
# The whole story of a language model, from a text to a conversation, in about four minutes on two cores:
# data -> vocabulary -> pretraining -> fine-tuning -> generation, in test mode and interactively.
#
#   make story                                  on stories that the embedded model writes, then on this project's pages
#   sh examples/story.sh BOOKS NOTES FOLDER     on your own: a large text, a small one to fine-tune on, where to put it all
#
# MINUTES is how long pretraining takes, STEPS how long fine-tuning; both have a default.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
text=${1:-} own=${2:-$project/docs/*.md} folder=${3:-story} minutes=${MINUTES:-2} steps=${STEPS:-150}

step() { printf '\n== %s\n' "$1"; }
run() {
  printf '$ gpt2lab'
  for word; do case $word in *[!A-Za-z0-9/._=,-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac; done
  printf '\n'
  gpt2lab "$@"
}

if [ -e "$folder" ]; then
  echo "$folder is there already: remove it, or name another folder (sh examples/story.sh TEXT OWN FOLDER)." >&2
  exit 2
fi
mkdir -p "$folder"

step "1. Data: a text to learn from"
if [ -z "$text" ]; then
  text=$folder/stories.jsonl
  run generate --nsamples "${STORIES:-1600}" --length 200 --batch-size 64 --precision int8 --seed 1 --jsonl --output "$text"
else
  echo "$text"
fi

step "2. Vocabulary, and the text as its tokens"
run prepare "$text" --recipe "$project/recipes/tiny-cpu.toml" --out "$folder/corpus"

step "3. Pretraining: a model that knew nothing ($minutes minutes)"
run train "$project/recipes/tiny-cpu.toml" --set "data=$folder/corpus" --set "out=$folder/pretrained" \
  --set "train.max_minutes=$minutes"

step "4. Fine-tuning on a small text of another kind: $own"
run finetune "$own" --model "$folder/pretrained" --checkpoint-dir "$folder/finetuned" --steps "$steps" --batch-size 8 \
  --accumulate-gradients 1 --learning-rate 1e-3 --sample-every 0 --seed 1

step "5. Test mode: it writes by itself, before and after fine-tuning"
for model in pretrained finetuned/run1; do
  run generate --model "$folder/$model" --length 60 --temperature 0.8 --seed 1 </dev/null
done

step "6. Interactively: it goes on from what you type"
if [ -t 0 ]; then
  echo "(Ctrl-D ends)"
  run interactive --model "$folder/finetuned/run1" --length 40 --temperature 0.8
else
  printf 'The model\nOnce upon a time\n' | run interactive --model "$folder/finetuned/run1" --length 40 --temperature 0.8 --seed 1
fi
