#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "random.h"

namespace gpt2lab {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

// Does `history` end with the first `length` ids of `sequence`?
bool ends_with(const std::vector<int>& history, const std::vector<int>& sequence, std::size_t length) {
  return length <= history.size() && std::equal(sequence.begin(), sequence.begin() + static_cast<std::ptrdiff_t>(length),
                                                history.end() - static_cast<std::ptrdiff_t>(length));
}

// Bans every token that would complete an n-gram for the second time (Paulus et al. 2017, section 2.5).
void ban_repeated_ngrams(float* logits, const std::vector<int>& ids, int size) {
  const auto length = static_cast<int>(ids.size());
  if (length + 1 < size) return;
  const auto tail = ids.end() - (size - 1);
  for (int i = 0; i + size <= length; ++i)
    if (std::equal(tail, ids.end(), ids.begin() + i)) logits[ids[static_cast<std::size_t>(i + size - 1)]] = kImpossible;
}

}  // namespace

void Sampler::process(float* logits, int n, const History& history, const SamplingParams& params) {
  for (const auto& [id, bias] : params.logit_bias) logits[id] += bias;
  if (params.repetition_penalty != 1.0f)  // Keskar et al. 2019, section 4.1
    for (const int id : history.distinct)
      if (id < n) logits[id] = logits[id] < 0 ? logits[id] * params.repetition_penalty : logits[id] / params.repetition_penalty;
  if (params.no_repeat_ngram_size > 0) ban_repeated_ngrams(logits, history.ids, params.no_repeat_ngram_size);
  for (const auto& word : params.bad_words)
    if (ends_with(history.ids, word, word.size() - 1)) logits[word.back()] = kImpossible;
  if (static_cast<int>(history.ids.size()) - history.prompt_length < params.min_new_tokens)
    for (const int id : params.stop_ids) logits[id] = kImpossible;
}

float* Sampler::copy(const float* logits, int n) {
  const int padded = round_up(n, kPanel);
  copy_.at_least(static_cast<std::size_t>(padded));
  std::memcpy(copy_.data(), logits, static_cast<std::size_t>(n) * sizeof(float));
  std::fill(copy_.data() + n, copy_.data() + padded, kImpossible);
  return copy_.data();
}

const std::vector<Candidate>& Sampler::top(const float* logits, int n, int k) {
  const int padded = round_up(n, kPanel);
  k = std::min(k, n);
  blocks_.at_least(static_cast<std::size_t>(padded / kPanel));
  kernels_.block_max(logits, padded, blocks_.data());
  candidates_.clear();
  const auto worst_first = better;  // as a heap order this keeps the worst candidate at the front
  for (int block = 0; block < padded / kPanel; ++block) {
    const bool full = static_cast<int>(candidates_.size()) == k;
    if (full && !(blocks_[static_cast<std::size_t>(block)] > candidates_.front().value)) continue;
    const int end = std::min(n, (block + 1) * kPanel);
    for (int id = block * kPanel; id < end; ++id) {
      if (static_cast<int>(candidates_.size()) < k) {
        candidates_.push_back({logits[id], id});
        std::push_heap(candidates_.begin(), candidates_.end(), worst_first);
      } else if (logits[id] > candidates_.front().value) {
        std::pop_heap(candidates_.begin(), candidates_.end(), worst_first);
        candidates_.back() = {logits[id], id};
        std::push_heap(candidates_.begin(), candidates_.end(), worst_first);
      }
    }
  }
  std::sort_heap(candidates_.begin(), candidates_.end(), worst_first);
  return candidates_;
}

void Sampler::all(const float* logits, int n, float lowest) {
  candidates_.clear();
  for (int id = 0; id < n; ++id)
    if (logits[id] >= lowest && logits[id] != kImpossible) candidates_.push_back({logits[id], id});
}

// Cuts the candidates, which are sorted and whose softmax is taken over `total` = sum of exp(value - first value).
void Sampler::keep_top_p(const SamplingParams& params, double total) {
  double before = 0.0;
  std::size_t keep = 0;
  for (; keep < candidates_.size(); ++keep) {
    const double with = before + static_cast<double>(weights_[keep]) / total;
    if (params.top_p_drops_crossing ? with > params.top_p : before >= params.top_p) break;
    before = with;
  }
  candidates_.resize(std::max<std::size_t>(keep, 1));
}

// Holtzman et al. 2019, without sorting the vocabulary: take the best few, and more only if they hold too little.
void Sampler::nucleus(const float* logits, int n, const SamplingParams& params) {
  exps_.at_least(static_cast<std::size_t>(round_up(n, kPanel)));
  const RowStats stats = kernels_.row_stats(logits, n, exps_.data());
  const double total = std::exp(stats.log_sum_exp - stats.max);
  for (int k = 64;; k *= 4) {
    top(logits, n, k);
    weights_.clear();
    double mass = 0.0;
    for (const auto& c : candidates_) {
      weights_.push_back(exps_[static_cast<std::size_t>(c.id)]);
      mass += static_cast<double>(weights_.back()) / total;
    }
    if (k >= n || mass > params.top_p) break;
  }
  keep_top_p(params, total);
}

// Meister et al. 2023, "Locally typical sampling", section 3.
void Sampler::keep_typical(float typical_p) {
  double total = 0.0, entropy = 0.0;
  float largest = kImpossible;
  for (const auto& c : candidates_) largest = std::max(largest, c.value);
  for (const auto& c : candidates_) total += std::exp(static_cast<double>(c.value) - largest);
  const double log_total = std::log(total) + largest;
  for (const auto& c : candidates_) entropy -= std::exp(c.value - log_total) * (c.value - log_total);
  std::vector<std::pair<double, Candidate>> order;
  order.reserve(candidates_.size());
  for (const auto& c : candidates_) order.emplace_back(std::fabs(log_total - c.value - entropy), c);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  double mass = 0.0;
  std::size_t last = 0;
  for (; last < order.size(); ++last) {
    mass += std::exp(order[last].second.value - log_total);
    if (mass >= typical_p) break;
  }
  const double limit = order[std::min(last, order.size() - 1)].first;
  candidates_.clear();
  for (const auto& [distance, c] : order)
    if (distance <= limit) candidates_.push_back(c);
  std::sort(candidates_.begin(), candidates_.end(), better);
}

const std::vector<Candidate>& Sampler::filter(float* logits, int n, const SamplingParams& params) {
  const bool top_k = params.top_k > 0 && params.top_k < n;
  if (params.temperature == 0.0f) return top(logits, n, 1);
  if (top_k) {
    top(logits, n, params.top_k);
    for (auto& c : candidates_) c.value /= params.temperature;
    if (params.top_p < 1.0f) {
      weights_.clear();
      double total = 0.0;
      for (const auto& c : candidates_) weights_.push_back(c.value - candidates_.front().value);
      kernels_.exp_shifted(weights_.data(), static_cast<int>(weights_.size()), 0.0f, weights_.data());
      for (const float w : weights_) total += static_cast<double>(w);
      keep_top_p(params, total);
    }
  } else {
    if (params.temperature != 1.0f)
      for (int i = 0; i < n; ++i) logits[i] /= params.temperature;
    if (params.top_p < 1.0f) nucleus(logits, n, params);
    else all(logits, n, kImpossible);
  }
  if (params.min_p > 0.0f) {
    float largest = kImpossible;
    for (const auto& c : candidates_) largest = std::max(largest, c.value);
    const float lowest = largest + std::log(params.min_p);
    candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(), [&](const Candidate& c) { return c.value < lowest; }),
                      candidates_.end());
  }
  if (params.typical_p < 1.0f) keep_typical(params.typical_p);
  return candidates_;
}

int Sampler::choose_among_candidates(double u) {
  float largest = kImpossible;
  for (const auto& c : candidates_) largest = std::max(largest, c.value);
  weights_.clear();
  for (const auto& c : candidates_) weights_.push_back(c.value);
  kernels_.exp_shifted(weights_.data(), static_cast<int>(weights_.size()), largest, weights_.data());
  double total = 0.0;
  for (const float w : weights_) total += static_cast<double>(w);
  double left = u * total;
  std::size_t last = 0;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] == 0.0f) continue;
    last = i;
    left -= static_cast<double>(weights_[i]);
    if (left < 0.0) break;
  }
  return candidates_[last].id;
}

// `likeliest` stands in when rounding leaves nothing in the last stretch.
int Sampler::choose_among_all(const float* logits, int n, int likeliest, double u) {
  constexpr int kStretch = 256, kSums = 8;  // several sums at once: one alone would wait for each addition to end
  const int padded = round_up(n, kStretch);
  exps_.at_least(static_cast<std::size_t>(std::max(padded, round_up(n, kPanel))));
  float* exps = exps_.data();
  kernels_.row_stats(logits, n, exps);
  std::fill(exps + n, exps + padded, 0.0f);
  double total = 0.0;
  sums_.clear();
  for (int start = 0; start < n; start += kStretch) {
    double parts[kSums] = {};
    for (int i = start; i < start + kStretch; i += kSums)
      for (int j = 0; j < kSums; ++j) parts[j] += static_cast<double>(exps[i + j]);
    sums_.push_back(std::accumulate(parts, parts + kSums, 0.0));
    total += sums_.back();
  }
  double left = u * total;
  std::size_t stretch = 0;
  while (stretch + 1 < sums_.size() && left >= sums_[stretch]) left -= sums_[stretch++];
  int last = likeliest;
  for (int i = static_cast<int>(stretch) * kStretch; i < std::min(n, static_cast<int>(stretch + 1) * kStretch); ++i) {
    if (exps[i] == 0.0f) continue;
    last = i;
    left -= static_cast<double>(exps[i]);
    if (left < 0.0) break;
  }
  return last;
}

int Sampler::choose(float* logits, int n, const SamplingParams& params, std::uint64_t position) {
  const Candidate best = top(logits, n, 1).front();
  if (best.value == kImpossible) return -1;
  if (params.temperature == 0.0f) return best.id;
  const double u = uniform(params.seed, params.sample, position);
  if (keeps_all(params, n)) {
    if (params.temperature != 1.0f)
      for (int i = 0; i < n; ++i) logits[i] /= params.temperature;
    return choose_among_all(logits, n, best.id, u);
  }
  filter(logits, n, params);
  return choose_among_candidates(u);
}

}  // namespace gpt2lab
