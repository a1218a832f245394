#include "sequence.h"

#include <algorithm>
#include <cmath>

namespace gpt2lab {

Sequence::Sequence(std::vector<int> prompt, int max_new_tokens, SamplingParams params, Window window, Cache cache)
    : prompt_length_(static_cast<int>(prompt.size())), max_new_tokens_(max_new_tokens), params_(std::move(params)), window_(window), cache_(std::move(cache)),
      lookup_(params_.prompt_lookup) {
  ids_.reserve(prompt.size());
  for (const int id : prompt) remember(id);
  window_start_ = window_.start(prompt_length_);
  cache_.crop(prompt_length_ - window_start_ - 1);  // the logits after the last token are wanted, so it must be fed
  if (max_new_tokens_ <= 0) finish_ = Finish::length;
}

void Sequence::remember(int id) {
  ids_.push_back(id);
  if (params_.repetition_penalty == 1.0f) return;
  if (static_cast<std::size_t>(id) >= seen_.size()) seen_.resize(static_cast<std::size_t>(id) + 1);
  if (seen_[static_cast<std::size_t>(id)]) return;
  seen_[static_cast<std::size_t>(id)] = true;
  distinct_.push_back(id);
}

Sequence Sequence::fork(std::uint32_t sample) const {
  Sequence other = *this;
  other.params_.sample = sample;
  return other;
}

std::pair<const int*, int> Sequence::pending() {
  const auto length = static_cast<int>(ids_.size());
  const int start = window_start();
  if (start != window_start_) {
    window_start_ = start;
    cache_.crop(0);
  }
  const int seen = window_start_ + cache_.length();
  return {ids_.data() + seen, length - seen};
}

Feed Sequence::next(int& budget, double worth) {
  lookup_.forget();
  const auto [ids, due] = pending();
  if (due > 1) {
    const int count = std::min(due, budget);
    budget -= count;
    if (count < due) return {ids, count, 0};
  }
  const auto length = static_cast<int>(ids_.size());
  const int room = std::min(window_.positions + window_start_ - length, max_new_tokens_ - (length - prompt_length_) - 1);
  const int guesses = lookup_.look(ids_, room, worth);
  if (guesses == 0) return {ids, due, 1};
  fed_.assign(ids, ids + due);
  fed_.insert(fed_.end(), lookup_.guess(), lookup_.guess() + guesses);
  return {fed_.data(), due + guesses, 1 + guesses};
}

void Sequence::settle() {
  cache_.crop(static_cast<int>(ids_.size()) - 1 - window_start_);
}

void Sequence::accept(const float* logits, int n, Sampler& sampler, const Kernels& kernels) {
  if (!running() || lookup_.failed()) return;
  const double log_sum_exp = kernels.row_stats(logits, n, nullptr).log_sum_exp;
  if (!std::isfinite(log_sum_exp)) {
    finish_ = Finish::broken;
    return;
  }
  float* work = sampler.copy(logits, n);
  std::vector<Candidate> best;
  if (params_.top_logprobs > 0) best = sampler.top(work, n, params_.top_logprobs);
  Sampler::process(work, n, {ids_, distinct_, prompt_length_}, params_);
  const int id = sampler.choose(work, n, params_, ids_.size());
  if (id < 0) {
    finish_ = Finish::banned;
    return;
  }
  for (const auto& c : best) top_logprobs_.push_back({static_cast<float>(c.value - log_sum_exp), c.id});
  logprobs_.push_back(static_cast<float>(logits[id] - log_sum_exp));  // the model's own, before any processor
  remember(id);
  lookup_.learn(id);
  const int generated = static_cast<int>(ids_.size()) - prompt_length_;
  const bool full = window_.stride == 0 && static_cast<int>(ids_.size()) > window_.positions;
  if (std::find(params_.stop_ids.begin(), params_.stop_ids.end(), id) != params_.stop_ids.end()) finish_ = Finish::stop;
  else if (generated >= max_new_tokens_ || full) finish_ = Finish::length;
}

}  // namespace gpt2lab
