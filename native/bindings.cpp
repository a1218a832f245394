// The Python face of the engine: arrays of ids and floats in and out, the interpreter lock released while it computes.
//
// Arguments are checked in Python (gpt2lab.engine.native), where the error sentences are; what is asserted here are
// the promises of that caller.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "bind_arrays.h"
#include "bind_operations.h"
#include "bind_reading.h"
#include "bind_words.h"
#include "model.h"
#include "random.h"
#include "training.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace gpt2lab {
namespace {

const Kernels& kernels_named(const std::string& name) {
  const Kernels* kernels = find_kernels(name.c_str());
  if (!kernels) throw std::invalid_argument("this processor cannot run the kernels '" + name + "'");
  return *kernels;
}

Activation activation_named(const std::string& name) {
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return Activation::gelu_tanh;
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "relu") return Activation::relu;
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "tanh") return Activation::tanh;
  throw std::invalid_argument("unknown activation '" + name + "'");
}

Precision precision_named(const std::string& name) {
  if (name == "fp32") return Precision::fp32;
  if (name == "bf16") return Precision::bf16;
  if (name == "int8") return Precision::int8;
  if (name == "int4") return Precision::int4;
  throw std::invalid_argument("unknown precision '" + name + "'");
}

CacheFormat cache_format_named(const std::string& name) {
  if (name == "fp32") return CacheFormat::fp32;
  if (name == "bf16") return CacheFormat::bf16;
  if (name == "int8") return CacheFormat::int8;
  throw std::invalid_argument("unknown cache precision '" + name + "'");
}

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::length: return "length";
    case Finish::stop: return "stop";
    case Finish::banned: return "banned";
    case Finish::broken: return "broken";
    default: return "";
  }
}

std::vector<int> to_vector(const Ids& ids) { return {ids.data(), ids.data() + ids.size()}; }

// Bias, penalties and bans on one row of logits that follows `ids`, in place.
void process_after(float* logits, int n, const SamplingParams& params, const Ids& ids, int prompt_length) {
  const std::vector<int> history = to_vector(ids);
  std::vector<int> distinct = history;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  Sampler::process(logits, n, {history, distinct, prompt_length}, params);
}

// The tokens that the processors and filters leave of one row of logits, with their probabilities.
nb::tuple filter(const FloatRow& logits, const SamplingParams& params, const Ids& ids, int prompt_length, const std::string& isa) {
  const Kernels& kernels = kernels_named(isa);
  Sampler sampler(kernels);
  const auto n = static_cast<int>(logits.size());
  float* work = sampler.copy(logits.data(), n);
  process_after(work, n, params, ids, prompt_length);
  const auto& left = sampler.filter(work, n, params);
  std::vector<std::int32_t> out_ids(left.size());
  std::vector<float> exps(left.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    out_ids[i] = left[i].id;
    exps[i] = left[i].value;
  }
  kernels.exp_shifted(exps.data(), static_cast<int>(exps.size()), *std::max_element(exps.begin(), exps.end()), exps.data());
  std::vector<double> out(exps.begin(), exps.end());
  const double total = std::accumulate(out.begin(), out.end(), 0.0);
  for (double& p : out) p /= total;
  return nb::make_tuple(to_numpy(std::move(out_ids)), to_numpy(std::move(out)));
}

// The first k of a list of candidates that are possible as (id, probability), a weight being exp(value - shift) and `total` the sum of all weights.
nb::list listed(const std::vector<Candidate>& best, int k, double shift, double total) {
  nb::list out;
  for (std::size_t i = 0; i < std::min(best.size(), static_cast<std::size_t>(k)) && std::isfinite(best[i].value); ++i)
    out.append(nb::make_tuple(best[i].id, std::exp(static_cast<double>(best[i].value) - shift) / total));
  return out;
}

// What comes next by one row of logits: (raw, filtered, kept, entropy). The k likeliest tokens as the model says, and as processors
// and filters leave them; how many these leave; the entropy of the former in nats.
nb::tuple expected(const FloatRow& logits, const SamplingParams& params, const Ids& ids, int prompt_length, int k, const std::string& isa) {
  const Kernels& kernels = kernels_named(isa);
  Sampler sampler(kernels);
  const auto n = static_cast<int>(logits.size());
  float* work = sampler.copy(logits.data(), n);
  const RowStats raw = kernels.row_stats(work, n, nullptr);
  const nb::list as_said = listed(sampler.top(work, n, k), k, raw.log_sum_exp, 1.0);
  process_after(work, n, params, ids, prompt_length);
  if (Sampler::keeps_all(params, n) && params.temperature != 0.0f) {  // nothing to sort out: the k likeliest will do
    if (params.temperature != 1.0f)
      for (int i = 0; i < n; ++i) work[i] /= params.temperature;
    const RowStats left = kernels.row_stats(work, n, nullptr);
    const auto kept = n - std::count(work, work + n, -std::numeric_limits<float>::infinity());
    return nb::make_tuple(as_said, listed(sampler.top(work, n, k), k, left.log_sum_exp, 1.0), static_cast<int>(kept), raw.entropy);
  }
  std::vector<Candidate> left = sampler.filter(work, n, params);
  double total = 0.0;
  const auto most = std::min(left.size(), static_cast<std::size_t>(k));
  std::partial_sort(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(most), left.end(), better);
  const double shift = static_cast<double>(left.front().value);
  for (const auto& c : left) total += std::exp(static_cast<double>(c.value) - shift);
  return nb::make_tuple(as_said, listed(left, k, shift, total), static_cast<int>(left.size()), raw.entropy);
}

// One row of logits after bias, penalties and bans.
nb::object process(const FloatRow& logits, const SamplingParams& params, const Ids& ids, int prompt_length) {
  std::vector<float> work(logits.data(), logits.data() + logits.size());
  process_after(work.data(), static_cast<int>(work.size()), params, ids, prompt_length);
  return nb::cast(to_numpy(std::move(work)));
}

// The log-probabilities of every row of logits.
nb::object log_softmax(const nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>& logits, const std::string& isa) {
  const Kernels& kernels = kernels_named(isa);
  const std::size_t rows = logits.shape(0), width = logits.shape(1);
  std::vector<float> out(rows * width);
  for (std::size_t r = 0; r < rows; ++r) {
    const float* row = logits.data() + r * width;
    const double log_sum_exp = kernels.row_stats(row, static_cast<int>(width), nullptr).log_sum_exp;
    for (std::size_t i = 0; i < width; ++i) out[r * width + i] = static_cast<float>(row[i] - log_sum_exp);
  }
  return nb::cast(to_numpy(std::move(out), {rows, width}));
}

// Many draws from one row of logits, at positions 0, 1, 2 …
nb::object draw(const FloatRow& logits, const SamplingParams& params, int count, const std::string& isa) {
  Sampler sampler(kernels_named(isa));
  const auto n = static_cast<int>(logits.size());
  std::vector<std::int32_t> out;
  for (int i = 0; i < count; ++i) out.push_back(sampler.choose(sampler.copy(logits.data(), n), n, params, static_cast<std::uint64_t>(i)));
  return nb::cast(to_numpy(std::move(out)));
}

void bind_params(nb::module_& m) {
  nb::class_<SamplingParams>(m, "SamplingParams")
      .def(nb::init<>())
      .def_rw("temperature", &SamplingParams::temperature)
      .def_rw("top_k", &SamplingParams::top_k)
      .def_rw("top_p", &SamplingParams::top_p)
      .def_rw("top_p_drops_crossing", &SamplingParams::top_p_drops_crossing)
      .def_rw("min_p", &SamplingParams::min_p)
      .def_rw("typical_p", &SamplingParams::typical_p)
      .def_rw("repetition_penalty", &SamplingParams::repetition_penalty)
      .def_rw("no_repeat_ngram_size", &SamplingParams::no_repeat_ngram_size)
      .def_rw("min_new_tokens", &SamplingParams::min_new_tokens)
      .def_rw("logit_bias", &SamplingParams::logit_bias)
      .def_rw("bad_words", &SamplingParams::bad_words)
      .def_rw("stop_ids", &SamplingParams::stop_ids)
      .def_rw("seed", &SamplingParams::seed)
      .def_rw("sample", &SamplingParams::sample)
      .def_rw("top_logprobs", &SamplingParams::top_logprobs)
      .def_rw("prompt_lookup", &SamplingParams::prompt_lookup);
}

// The values of index `first` and after it.
template <class T>
std::vector<T> from(const std::vector<T>& values, std::size_t first) {
  return {values.begin() + static_cast<std::ptrdiff_t>(std::min(first, values.size())), values.end()};
}

Cache first_cache(const Model* model, const Cache* given) {
  Cache own = model ? model->new_cache() : Cache(CacheShape{0, 0, 0, CacheFormat::fp32}, nullptr);
  if (given && !(given->shape() == own.shape())) throw std::invalid_argument("The cache is that of a model of another shape.");
  return given ? *given : own;
}

void bind_sequence(nb::module_& m) {
  nb::class_<Sequence>(m, "Sequence")
      .def("__init__",
           [](Sequence* self, const Ids& prompt, int max_new_tokens, const SamplingParams& params, int positions, int stride, const Model* model, const Cache* cache) {
             new (self) Sequence(to_vector(prompt), max_new_tokens, params, {positions, stride}, first_cache(model, cache));
           },
           "prompt"_a, "max_new_tokens"_a, "params"_a, "positions"_a, "stride"_a, "model"_a.none(), "cache"_a.none() = nb::none())
      .def("fork", &Sequence::fork, "sample"_a)
      .def("stop", &Sequence::stop)
      .def_prop_ro("running", &Sequence::running)
      .def_prop_ro("finish", [](const Sequence& s) { return finish_name(s.finish()); })
      .def_prop_ro("prompt_length", &Sequence::prompt_length)
      .def_prop_ro("generated", [](const Sequence& s) { return static_cast<int>(s.ids().size()) - s.prompt_length(); })
      .def_prop_ro("due", [](const Sequence& s) { return static_cast<int>(s.ids().size()) - s.window_start() - s.cached(); })
      .def_prop_ro("lookups", [](const Sequence& s) { return std::make_pair(s.lookup().proposed(), s.lookup().kept()); })
      .def("ids_from", [](const Sequence& s, std::size_t first) { return from(s.ids(), first); }, "first"_a)
      .def("logprobs_from", [](const Sequence& s, std::size_t first) { return from(s.logprobs(), first); }, "first"_a)
      .def("top_logprobs_from", [](const Sequence& s, std::size_t first) {
        const std::size_t n = s.logprobs().size(), k = n == 0 ? 0 : s.top_logprobs().size() / n;
        std::vector<std::vector<std::pair<int, float>>> out(k == 0 || first >= n ? 0 : n - first);
        for (std::size_t i = 0; i < out.size(); ++i)
          for (std::size_t j = 0; j < k; ++j) {
            const Candidate& c = s.top_logprobs()[(first + i) * k + j];
            out[i].emplace_back(c.id, c.value);
          }
        return out;
      }, "first"_a)
      .def("snapshot", [](Sequence& s) {
        const std::vector<int>& ids = s.ids();
        const auto first = ids.begin() + s.window_start();
        return std::make_pair(nb::cast(to_numpy(std::vector<int>(first, first + s.cached()))), s.cached() > 0 ? Cache(s.cache()) : s.cache().empty());
      })
      .def_prop_ro("cache_bytes", [](Sequence& s) { return s.cache().bytes(); })
      .def("accept", [](Sequence& s, const FloatRow& logits, const std::string& isa) {
        const Kernels& kernels = kernels_named(isa);
        Sampler sampler(kernels);
        s.accept(logits.data(), static_cast<int>(logits.size()), sampler, kernels);
      }, "logits"_a, "isa"_a);
}

void bind_model(nb::module_& m) {
  nb::class_<Cache>(m, "Cache")
      .def_prop_ro("length", &Cache::length)
      .def_prop_ro("nbytes", &Cache::bytes)
      .def("pages", &Cache::pages)
      .def("crop", &Cache::crop, "length"_a)
      .def("fork", [](const Cache& c) { return Cache(c); });

  nb::class_<Model> model(m, "Model");
  model
      .def("__init__",
           [](Model* self, int vocab_size, int n_positions, int n_embd, int n_layer, int n_head, int n_inner, int max_relative_position, const std::string& activation, float layer_norm_epsilon,
              std::vector<float> attention_scale, bool tied, const std::string& precision, const std::string& cache_precision, const std::string& isa, int threads,
              std::optional<Bytes> packed) {
             const ModelConfig config{vocab_size, n_positions, n_embd, n_layer, n_head, n_inner, max_relative_position, activation_named(activation), layer_norm_epsilon,
                                      std::move(attention_scale), tied, precision_named(precision), cache_format_named(cache_precision)};
             const std::byte* weights = packed ? reinterpret_cast<const std::byte*>(packed->data()) : nullptr;
             new (self) Model(config, kernels_named(isa), threads, weights);
             if (packed && packed->size() != self->arena().size()) {
               self->~Model();
               throw std::invalid_argument("The packed weights are those of another model.");
             }
           },
           "vocab_size"_a, "n_positions"_a, "n_embd"_a, "n_layer"_a, "n_head"_a, "n_inner"_a, "max_relative_position"_a, "activation"_a, "layer_norm_epsilon"_a, "attention_scale"_a, "tied"_a, "precision"_a,
           "cache_precision"_a, "isa"_a, "threads"_a, "packed"_a.none(), nb::keep_alive<1, 17>())
      .def("set", [](Model& model, const std::string& name, const AnyFloats& data) {
        const float* values = data.data();
        nb::gil_scoped_release release;
        model.set(name, values);
      }, "name"_a, "data"_a)
      .def_prop_ro("isa", [](const Model& model) { return model.kernels().name; })
      .def_prop_ro("threads", &Model::threads)
      .def_prop_ro("weight_bytes", &Model::weight_bytes)
      .def_prop_ro("packed_bytes", [](const Model& model) { return model.arena().size(); })
      .def_prop_ro("packed", [](const Model& model) {
        return nb::ndarray<nb::numpy, const std::uint8_t>(reinterpret_cast<const std::uint8_t*>(model.arena().data()), {model.arena().size()}, nb::handle());
      }, nb::rv_policy::reference_internal)
      .def("new_cache", &Model::new_cache)
      .def_prop_ro("waiting_pages", &Model::waiting_pages)
      .def("prefill", &Model::prefill, "sequences"_a, nb::call_guard<nb::gil_scoped_release>())
      .def("decode", &Model::decode, "sequences"_a, "steps"_a, "budget"_a, "seconds"_a, nb::call_guard<nb::gil_scoped_release>());
  bind_reading(model);
}

void bind_training(nb::module_& m) {
  using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
  using Result = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

  nb::class_<Team>(m, "Team").def(nb::init<int>(), "size"_a).def_prop_ro("size", &Team::size);
  nb::class_<Int8Product>(m, "Int8Product")
      .def("__init__", [](Int8Product* self, int in, int out, bool out_major, const std::string& isa) {
        new (self) Int8Product(in, out, out_major, kernels_named(isa));
      }, "inputs"_a, "outputs"_a, "out_major"_a, "isa"_a)
      .def_prop_ro("outputs", &Int8Product::out)
      .def("set", [](Int8Product& product, const Matrix& weight, Team& team) {
        if (weight.size() != static_cast<std::size_t>(product.in()) * static_cast<std::size_t>(product.out()))
          throw std::invalid_argument("the weights have another size than the product");
        const float* values = weight.data();
        nb::gil_scoped_release release;
        product.set(values, team);
      }, "weight"_a, "team"_a)
      .def("apply", [](Int8Product& product, const Matrix& x, const std::optional<FloatRow>& bias, const Result& y, Team& team) {
        if (static_cast<int>(x.shape(1)) != product.in() || static_cast<int>(y.shape(1)) != product.out() || x.shape(0) != y.shape(0) ||
            (bias && static_cast<int>(bias->size()) != product.out()))
          throw std::invalid_argument("the shapes of a product do not fit");
        const float *from = x.data(), *added = bias ? bias->data() : nullptr;
        float* to = y.data();
        const int rows = static_cast<int>(x.shape(0));
        nb::gil_scoped_release release;
        product.apply(from, rows, added, to, team);
      }, "x"_a, "bias"_a.none(), "y"_a, "team"_a);
  bind_operations(m);
}
}  // namespace
}  // namespace gpt2lab

NB_MODULE(_native, m) {
  using namespace gpt2lab;
  nb::set_leak_warnings(false);  // an interpreter that ends with an exception in hand still holds our objects: no fault of its user's
  m.doc() = "The native engine: GPT-2 on packed weights. Use gpt2lab.engine.";
  m.def("available_isas", [] {
    const IsaList list = available_isas();
    return std::vector<std::string>(list.names, list.names + list.count);
  });
  m.attr("packing_version") = kPackingVersion;
  m.def("window_start", [](int length, int positions, int stride) { return Window{positions, stride}.start(length); }, "length"_a, "positions"_a, "stride"_a);
  m.def("uniform", &uniform, "seed"_a, "sample"_a, "position"_a);
  bind_params(m);
  bind_sequence(m);
  bind_model(m);
  bind_words(m);
  bind_training(m);
  m.def("filter", &filter, "logits"_a, "params"_a, "ids"_a, "prompt_length"_a, "isa"_a);
  m.def("expected", &expected, "logits"_a, "params"_a, "ids"_a, "prompt_length"_a, "k"_a, "isa"_a);
  m.def("process", &process, "logits"_a, "params"_a, "ids"_a, "prompt_length"_a);
  m.def("log_softmax", &log_softmax, "logits"_a, "isa"_a);
  m.def("draw", &draw, "logits"_a, "params"_a, "count"_a, "isa"_a);
}
