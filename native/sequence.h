// One text being generated: its tokens, its cache, its sampling parameters and how it ended.
#pragma once

#include <vector>

#include "cache.h"
#include "lookup.h"
#include "sampler.h"

namespace gpt2lab {

// `banned`: the bans left no token. `broken`: the model's logits are not numbers.
enum class Finish : int { running, length, stop, banned, broken };

// How a sequence longer than the model's positions is seen: when it would not fit, the window moves on by `stride`
// tokens at a time, so its start depends on the sequence's length alone. Stride 0: the sequence ends instead.
struct Window {
  int positions;
  int stride;

  int start(int length) const {
    return length <= positions || stride == 0 ? 0 : (length - positions + stride - 1) / stride * stride;
  }
};

// What the model computes next for a sequence: `count` ids, and the logits after the last `wanted` of them.
struct Feed {
  const int* ids;
  int count, wanted;
};

class Sequence {
 public:
  // `cache` holds none or some of the first tokens of the prompt's window, and nothing else.
  Sequence(std::vector<int> prompt, int max_new_tokens, SamplingParams params, Window window, Cache cache);

  // A sequence with the same past, on the same cache pages, and a random stream of its own.
  Sequence fork(std::uint32_t sample) const;

  bool running() const { return finish_ == Finish::running; }
  Finish finish() const { return finish_; }
  void stop() { if (running()) finish_ = Finish::stop; }
  const std::vector<int>& ids() const { return ids_; }
  int prompt_length() const { return prompt_length_; }
  const std::vector<float>& logprobs() const { return logprobs_; }
  const std::vector<Candidate>& top_logprobs() const { return top_logprobs_; }
  const SamplingParams& params() const { return params_; }
  Cache& cache() { return cache_; }
  const PromptLookup& lookup() const { return lookup_; }

  // Where the window of the ids so far begins, and which of them the cache holds from there.
  int window_start() const { return window_.start(static_cast<int>(ids_.size())); }
  int cached() const { return window_start() == window_start_ ? cache_.length() : 0; }

  // The tokens that the model has yet to see, after moving the window if it must.
  std::pair<const int*, int> pending();

  // What to compute in the next step: a token that is due is always given, more of them at the expense of `budget`;
  // behind the last one come guesses whose chance is above `worth`. Then accept() takes the wanted logits in order, and
  // settle() ends the step.
  Feed next(int& budget, double worth);
  void settle();

  // Chooses the next token from n logits. Those that follow a guess which failed are ignored.
  void accept(const float* logits, int n, Sampler& sampler, const Kernels& kernels);

 private:
  void remember(int id);

  std::vector<int> ids_;
  std::vector<int> distinct_;
  std::vector<bool> seen_;
  int prompt_length_;
  int max_new_tokens_;
  SamplingParams params_;
  Window window_;
  int window_start_ = 0;
  Cache cache_;
  PromptLookup lookup_;
  std::vector<int> fed_;  // pending ids and guesses
  Finish finish_ = Finish::running;
  std::vector<float> logprobs_;
  std::vector<Candidate> top_logprobs_;  // params.top_logprobs of them for each generated token
};

}  // namespace gpt2lab
