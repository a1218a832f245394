// From one row of logits to one token: processors, filters, choice. Knows nothing of models or text.
//
// The order of the steps is that of transformers' generate(): logit bias, repetition penalty, n-gram and bad-word bans,
// minimum length, then temperature, top-k, top-p, min-p, typical.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "memory.h"

namespace gpt2lab {

struct SamplingParams {
  float temperature = 1.0f;          // 0: the most likely token
  int top_k = 0;                     // 0: all
  float top_p = 1.0f;                // 1: all
  bool top_p_drops_crossing = false; // OpenAI's rule: the token that crosses top_p is left out
  float min_p = 0.0f;
  float typical_p = 1.0f;
  float repetition_penalty = 1.0f;
  int no_repeat_ngram_size = 0;
  int min_new_tokens = 0;
  std::vector<std::pair<int, float>> logit_bias;
  std::vector<std::vector<int>> bad_words;
  std::vector<int> stop_ids;
  std::uint64_t seed = 0;
  std::uint32_t sample = 0;
  int top_logprobs = 0;
  int prompt_lookup = 0;             // tokens guessed ahead (lookup.h); changes no choice
};

// What the processors look back on: the prompt and what was generated after it.
struct History {
  const std::vector<int>& ids;
  const std::vector<int>& distinct;  // each id of `ids` once
  int prompt_length;
};

struct Candidate {
  float value;
  int id;
};

// Whether `a` comes before `b` where the likeliest are listed first: of equals the lower id does.
inline bool better(const Candidate& a, const Candidate& b) { return a.value > b.value || (a.value == b.value && a.id < b.id); }

// Holds scratch memory; one per thread.
class Sampler {
 public:
  explicit Sampler(const Kernels& kernels) : kernels_(kernels) {}

  // Applies bias, penalties and bans to logits[0 .. n-1] in place.
  static void process(float* logits, int n, const History& history, const SamplingParams& params);

  // The tokens left by the filters, with their logits over the temperature; probabilities are their softmax.
  // `logits` holds n values, padded with -inf to a multiple of kPanel, and may be overwritten.
  const std::vector<Candidate>& filter(float* logits, int n, const SamplingParams& params);

  // One token from `logits` (padded as above, may be overwritten), or -1 when none is possible. `position` is the index the token will have in its
  // sequence, prompt included, so that a continued generation draws what a longer one would have drawn.
  int choose(float* logits, int n, const SamplingParams& params, std::uint64_t position);

  // Whether no filter leaves out a token of n.
  static bool keeps_all(const SamplingParams& params, int n) {
    return (params.top_k == 0 || params.top_k >= n) && params.top_p >= 1.0f && params.min_p <= 0.0f && params.typical_p >= 1.0f;
  }

  // A copy of n values, padded with -inf, for the functions that overwrite them; valid until the next call.
  float* copy(const float* logits, int n);

  // The k largest of n values (padded as above), largest first, lower ids first among equals.
  const std::vector<Candidate>& top(const float* logits, int n, int k);

 private:
  int choose_among_all(const float* logits, int n, int likeliest, double u);
  int choose_among_candidates(double u);
  void nucleus(const float* logits, int n, const SamplingParams& params);
  void all(const float* logits, int n, float lowest);
  void keep_top_p(const SamplingParams& params, double total);
  void keep_typical(float typical_p);

  const Kernels& kernels_;
  std::vector<Candidate> candidates_;
  std::vector<float> weights_;
  std::vector<double> sums_;
  Array<float> exps_;
  Array<float> blocks_;
  Array<float> copy_;
};

}  // namespace gpt2lab
