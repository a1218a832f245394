// The Python face of reading: logits, hidden states, what passes inside, and what the model says of given tokens.
//
// Whatever is asked, nothing outside of the weights is read; the sentences for users are gpt2lab.engine's.
#include "bind_reading.h"

#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "bind_arrays.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace gpt2lab {
namespace {

// New ids for a cache, none of whose logits are wanted yet, or std::invalid_argument: whatever is asked, nothing outside of the weights is read.
Span checked_span(const Model& model, Cache& cache, const Ids& ids) {
  const ModelConfig& config = model.config();
  if (ids.size() == 0) throw std::invalid_argument("There are no ids.");
  if (!(cache.shape() == config.cache_shape())) throw std::invalid_argument("The cache is that of a model of another shape.");
  const std::size_t length = static_cast<std::size_t>(cache.length()) + ids.size();
  if (length > static_cast<std::size_t>(config.n_positions))
    throw std::invalid_argument(std::to_string(length) + " tokens do not fit the model's window of " + std::to_string(config.n_positions) + ".");
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (ids.data()[i] < 0 || ids.data()[i] >= config.vocab_size)
      throw std::invalid_argument("Token id " + std::to_string(ids.data()[i]) + " is not one of the model's: 0 to " + std::to_string(config.vocab_size - 1) + ".");
  return {&cache, ids.data(), static_cast<int>(ids.size()), 0};
}

std::vector<Span> checked_spans(const Model& model, const std::vector<Cache*>& caches, const std::vector<Ids>& ids) {
  if (caches.size() != ids.size()) throw std::invalid_argument("As many caches as arrays of ids are needed.");
  std::vector<Span> spans;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (std::count(caches.begin(), caches.end(), caches[i]) != 1) throw std::invalid_argument("A cache is given twice.");
    spans.push_back(checked_span(model, *caches[i], ids[i]));
  }
  return spans;
}

// Logits of the last, or of all, tokens of each span: (rows, vocab_size).
nb::object forward(Model& model, const std::vector<Cache*>& caches, const std::vector<Ids>& ids, bool all) {
  auto spans = checked_spans(model, caches, ids);
  std::size_t rows = 0;
  for (auto& s : spans) {
    s.wanted = all ? s.count : 1;
    rows += static_cast<std::size_t>(s.wanted);
  }
  const auto width = static_cast<std::size_t>(model.config().vocab_size);
  std::vector<float> out(rows * width);
  {
    nb::gil_scoped_release release;
    model.forward(spans, [&](int rank, int members, int count, const int* row, const float* logits, std::ptrdiff_t stride) {
      const Share share = share_of(count, rank, members);
      for (int i = share.first; i < share.last; ++i)
        std::copy_n(logits + i * stride, width, out.data() + static_cast<std::size_t>(row[i]) * width);
    });
  }
  return nb::cast(to_numpy(std::move(out), {rows, width}));
}

nb::object hidden(Model& model, Cache& cache, const Ids& ids, int layer) {
  const auto width = static_cast<std::size_t>(model.config().n_embd);
  const Span span = checked_span(model, cache, ids);
  if (layer < 0 || layer > model.config().n_layer) throw std::invalid_argument("There is no layer " + std::to_string(layer) + ".");
  std::vector<float> out(ids.size() * width);
  {
    nb::gil_scoped_release release;
    model.forward({span}, {}, {layer, out.data()});
  }
  return nb::cast(to_numpy(std::move(out), {ids.size(), width}));
}

// What one pass shows: the stream in front of each block and behind the last one, (n_layer + 1, ids, n_embd), and the queries,
// keys and values of each layer, (n_layer, ids, 3 n_embd).
nb::tuple trace(Model& model, Cache& cache, const Ids& ids) {
  const ModelConfig& config = model.config();
  const Span span = checked_span(model, cache, ids);
  if (cache.length() != 0) throw std::invalid_argument("A trace needs an empty cache.");
  const std::size_t n = ids.size(), width = static_cast<std::size_t>(config.n_embd), layers = static_cast<std::size_t>(config.n_layer);
  std::vector<float> stream((layers + 1) * n * width), qkv(layers * n * 3 * width);
  {
    nb::gil_scoped_release release;
    model.forward({span}, {}, {-1, nullptr, n, stream.data(), qkv.data()});
  }
  return nb::make_tuple(to_numpy(std::move(stream), {layers + 1, n, width}), to_numpy(std::move(qkv), {layers, n, 3 * width}));
}

// What rows of logits say of given tokens: log-probability, rank (how many tokens are likelier; among equals lower ids
// first), entropy in nats, and the `k` likeliest ids with their log-probabilities.
class Scores {
 public:
  Scores(Model& model, const Ids& targets, std::size_t rows, int k)
      : model_(model), targets_(targets), rows_(rows), vocabulary_(model.config().vocab_size), width_(static_cast<std::size_t>(std::min(std::max(k, 0), vocabulary_))),
        logprob_(rows), entropy_(rows), top_logprob_(rows * width_), rank_(rows), top_id_(rows * width_) {
    const bool known = std::all_of(targets.data(), targets.data() + targets.size(), [&](std::int32_t id) { return id >= 0 && id < vocabulary_; });
    if (targets.size() != rows || !known) throw std::invalid_argument("As many targets as ids are needed, each one of the model's ids.");
  }

  LogitsSink sink() {
    return [this](int rank, int members, int count, const int* row, const float* logits, std::ptrdiff_t stride) {
      const Share share = share_of(count, rank, members);
      for (int i = share.first; i < share.last; ++i) put(rank, static_cast<std::size_t>(row[i]), logits + i * stride);
    };
  }

  nb::tuple result() {
    return nb::make_tuple(to_numpy(std::move(logprob_)), to_numpy(std::move(rank_)), to_numpy(std::move(entropy_)),
                          to_numpy(std::move(top_id_), {rows_, width_}), to_numpy(std::move(top_logprob_), {rows_, width_}));
  }

 private:
  void put(int rank, std::size_t at, const float* l) {
    const int target = targets_.data()[at];
    const RowStats stats = model_.kernels().row_stats(l, vocabulary_, nullptr);
    int above = 0;
    for (int id = 0; id < vocabulary_; ++id) above += l[id] > l[target] || (l[id] == l[target] && id < target);
    logprob_[at] = static_cast<float>(l[target] - stats.log_sum_exp);
    entropy_[at] = static_cast<float>(stats.entropy);
    rank_[at] = above;
    if (width_ == 0) return;
    Sampler& sampler = model_.sampler(rank);
    const auto& best = sampler.top(sampler.copy(l, vocabulary_), vocabulary_, static_cast<int>(width_));
    for (std::size_t j = 0; j < width_; ++j) {
      top_id_[at * width_ + j] = best[j].id;
      top_logprob_[at * width_ + j] = static_cast<float>(best[j].value - stats.log_sum_exp);
    }
  }

  Model& model_;
  const Ids& targets_;
  std::size_t rows_;
  int vocabulary_;
  std::size_t width_;
  std::vector<float> logprob_, entropy_, top_logprob_;
  std::vector<std::int32_t> rank_, top_id_;
};

// What the model says after each token of `ids` of the one that follows it, `targets`.
nb::tuple score(Model& model, Cache& cache, const Ids& ids, const Ids& targets, int k) {
  Span span = checked_span(model, cache, ids);
  span.wanted = span.count;
  Scores scores(model, targets, ids.size(), k);
  {
    nb::gil_scoped_release release;
    model.forward({span}, scores.sink());
  }
  return scores.result();
}

// The same of states in the stream, (rows, n_embd).
nb::tuple score_states(Model& model, const FloatRows& states, const Ids& targets, int k) {
  if (states.shape(1) != static_cast<std::size_t>(model.config().n_embd)) throw std::invalid_argument("A state has another width than the model.");
  Scores scores(model, targets, states.shape(0), k);
  {
    nb::gil_scoped_release release;
    model.read(states.data(), static_cast<int>(states.shape(0)), scores.sink());
  }
  return scores.result();
}

}  // namespace

void bind_reading(nb::class_<Model>& model) {
  model.def("forward", &forward, "caches"_a, "ids"_a, "all"_a)
      .def("hidden", &hidden, "cache"_a, "ids"_a, "layer"_a)
      .def("trace", &trace, "cache"_a, "ids"_a)
      .def("score", &score, "cache"_a, "ids"_a, "targets"_a, "k"_a)
      .def("score_states", &score_states, "states"_a, "targets"_a, "k"_a)
      .def("feed", [](Model& model, Cache& cache, const Ids& ids) {
        const Span span = checked_span(model, cache, ids);
        nb::gil_scoped_release release;
        model.forward({span}, {});
      }, "cache"_a, "ids"_a);
}

}  // namespace gpt2lab
