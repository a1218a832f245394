// The Python face of what training computes natively: see gpt2lab.train.operations. bf16 numbers come as int16, their bits.
#include "bind_operations.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "operations.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace gpt2lab {
namespace {

template <class T>
using Values = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Rows = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T>
using Halves = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;  // (rows, positions, width)
using Sums = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;  // (rows, heads, positions)

const std::uint16_t* bits(const std::int16_t* p) { return reinterpret_cast<const std::uint16_t*>(p); }
std::uint16_t* bits(std::int16_t* p) { return reinterpret_cast<std::uint16_t*>(p); }
const float* bits(const float* p) { return p; }
float* bits(float* p) { return p; }

void demand(bool condition) {
  if (!condition) throw std::invalid_argument("the shapes of an operation do not fit");
}

AttentionShape shape_of(const Operations& operations, const Halves<const std::int16_t>& qkv, const Sums& log_sum, float scale) {
  const auto n = [](std::size_t size) { return static_cast<int>(size); };
  const int rows = n(qkv.shape(0)), positions = n(qkv.shape(1)), heads = n(log_sum.shape(1));
  demand(heads > 0 && positions > 0 && n(qkv.shape(2)) % (3 * heads) == 0 && n(log_sum.shape(0)) == rows && n(log_sum.shape(2)) == positions);
  const AttentionShape shape{rows, positions, heads, n(qkv.shape(2)) / (3 * heads), scale};
  demand(operations.has_attention(shape.head_dim));
  return shape;
}

Drop drop_of(double share, std::uint64_t seed) {
  demand(share >= 0.0 && share < 1.0);
  return {share, seed};
}

template <class T>
void demand_out(const AttentionShape& shape, const Halves<T>& out) {
  demand(static_cast<int>(out.shape(0)) == shape.rows && static_cast<int>(out.shape(1)) == shape.positions &&
         static_cast<std::ptrdiff_t>(out.shape(2)) == shape.width());
}

template <class T>
void gelu(Operations& operations, const Values<const T>& x, const Values<T>& y) {
  demand(x.size() == y.size());
  const auto* from = bits(x.data());
  auto* to = bits(y.data());
  const auto n = static_cast<std::ptrdiff_t>(x.size());
  nb::gil_scoped_release release;
  operations.gelu(from, n, to);
}

template <class T>
void gelu_gradient(Operations& operations, const Values<const T>& x, const Values<const T>& upstream, const Values<T>& out) {
  demand(x.size() == out.size() && x.size() == upstream.size());
  const auto *from = bits(x.data()), *above = bits(upstream.data());
  auto* to = bits(out.data());
  const auto n = static_cast<std::ptrdiff_t>(x.size());
  nb::gil_scoped_release release;
  operations.gelu_gradient(from, above, n, to);
}

using Plain = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

NormShape norm_of(const Rows<const float>& x, const Plain& gain, float epsilon) {
  demand(x.shape(1) > 0 && gain.size() == x.shape(1));
  return {static_cast<int>(x.shape(0)), static_cast<int>(x.shape(1)), epsilon};
}

void layer_norm(Operations& operations, const Rows<const float>& x, const Plain& gain, const Plain& bias, float epsilon, const Rows<std::int16_t>& y) {
  const NormShape shape = norm_of(x, gain, epsilon);
  demand(bias.size() == gain.size() && y.shape(0) == x.shape(0) && y.shape(1) == x.shape(1));
  const float *from = x.data(), *gains = gain.data(), *biases = bias.data();
  std::uint16_t* to = bits(y.data());
  nb::gil_scoped_release release;
  operations.layer_norm(shape, from, gains, biases, to);
}

void layer_norm_gradient(Operations& operations, const Rows<const float>& x, const Plain& gain, float epsilon, const Rows<const std::int16_t>& upstream,
                         const Rows<float>& d_x, const Rows<float>& d_gain_bias) {
  const NormShape shape = norm_of(x, gain, epsilon);
  demand(upstream.shape(0) == x.shape(0) && upstream.shape(1) == x.shape(1) && d_x.shape(0) == x.shape(0) && d_x.shape(1) == x.shape(1));
  demand(d_gain_bias.shape(0) == 2 && d_gain_bias.shape(1) == gain.size());
  const float *from = x.data(), *gains = gain.data();
  const std::uint16_t* above = bits(upstream.data());
  float *to = d_x.data(), *sums = d_gain_bias.data();
  nb::gil_scoped_release release;
  operations.layer_norm_gradient(shape, from, gains, above, to, sums);
}

template <class T>
void drop(Operations& operations, const Values<const T>& x, double share, std::uint64_t seed, const Values<T>& out) {
  demand(x.size() == out.size());
  const Drop chosen = drop_of(share, seed);
  const auto* from = bits(x.data());
  auto* to = bits(out.data());
  const auto n = static_cast<std::ptrdiff_t>(x.size());
  nb::gil_scoped_release release;
  operations.drop(from, n, chosen, to);
}

void add(Operations& operations, const Plain& x, const Values<const std::int16_t>& y, const Values<float>& out) {
  demand(x.size() == y.size() && x.size() == out.size());
  const float* from = x.data();
  const std::uint16_t* joining = bits(y.data());
  float* to = out.data();
  const auto n = static_cast<std::ptrdiff_t>(x.size());
  nb::gil_scoped_release release;
  operations.add(from, joining, n, to);
}

void sum_columns(Operations& operations, const Rows<const std::int16_t>& x, const Values<float>& total) {
  demand(x.shape(1) == total.size());
  const std::uint16_t* from = bits(x.data());
  float* to = total.data();
  const auto rows = static_cast<int>(x.shape(0)), width = static_cast<int>(x.shape(1));
  nb::gil_scoped_release release;
  operations.sum_columns(from, rows, width, to);
}

template <class T>
void exponentials(Operations& operations, const Rows<T>& x, const Values<float>& highest, const Values<float>& sum) {
  demand(x.shape(1) > 0 && highest.size() == x.shape(0) && sum.size() == x.shape(0));
  auto* rows = bits(x.data());
  float *tops = highest.data(), *sums = sum.data();
  const auto count = static_cast<int>(x.shape(0)), width = static_cast<int>(x.shape(1));
  nb::gil_scoped_release release;
  operations.exponentials(rows, count, width, tops, sums);
}

template <class T>
using Squares = nb::ndarray<T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;  // (rows, heads, positions, positions)

template <class T>
auto squares_of(const AttentionShape& shape, const std::optional<Squares<T>>& given) -> decltype(bits(static_cast<T*>(nullptr))) {
  if (!given) return nullptr;
  const std::size_t wanted[] = {static_cast<std::size_t>(shape.rows), static_cast<std::size_t>(shape.heads), static_cast<std::size_t>(shape.positions),
                                static_cast<std::size_t>(shape.positions)};
  for (std::size_t i = 0; i < 4; ++i) demand(given->shape(i) == wanted[i]);
  return bits(given->data());
}

void attention(Operations& operations, const Halves<const std::int16_t>& qkv, const std::optional<Squares<const std::int16_t>>& related, float scale,
               const Halves<std::int16_t>& out, const Sums& log_sum, double dropout, std::uint64_t seed) {
  const AttentionShape shape = shape_of(operations, qkv, log_sum, scale);
  const Drop drop = drop_of(dropout, seed);
  demand_out(shape, out);
  const std::uint16_t *from = bits(qkv.data()), *distances = squares_of(shape, related);
  std::uint16_t* to = bits(out.data());
  float* sums = log_sum.data();
  nb::gil_scoped_release release;
  operations.attention(shape, drop, from, distances, to, sums);
}

void attention_gradient(Operations& operations, const Halves<const std::int16_t>& qkv, const std::optional<Squares<const std::int16_t>>& related, float scale,
                        const Halves<const std::int16_t>& out, const Sums& log_sum, const Halves<const std::int16_t>& upstream, const Halves<std::int16_t>& d_qkv,
                        const std::optional<Squares<std::int16_t>>& d_related, double dropout, std::uint64_t seed) {
  const AttentionShape shape = shape_of(operations, qkv, log_sum, scale);
  const Drop drop = drop_of(dropout, seed);
  demand_out(shape, out);
  demand_out(shape, upstream);
  demand(d_qkv.shape(0) == qkv.shape(0) && d_qkv.shape(1) == qkv.shape(1) && d_qkv.shape(2) == qkv.shape(2) && related.has_value() == d_related.has_value());
  const std::uint16_t *from = bits(qkv.data()), *distances = squares_of(shape, related), *made = bits(out.data()), *above = bits(upstream.data());
  const float* sums = log_sum.data();
  std::uint16_t *to = bits(d_qkv.data()), *to_distances = squares_of(shape, d_related);
  nb::gil_scoped_release release;
  operations.attention_gradient(shape, drop, from, distances, made, sums, above, to, to_distances);
}

}  // namespace

void bind_operations(nb::module_& m) {
  nb::class_<Operations>(m, "Operations")
      .def("__init__", [](Operations* self, const std::string& isa, int threads) {
        const Kernels* kernels = find_kernels(isa.c_str());
        if (!kernels) throw std::invalid_argument("this processor cannot run the kernels '" + isa + "'");
        new (self) Operations(*kernels, threads);
      }, "isa"_a, "threads"_a)
      .def("has_attention", &Operations::has_attention, "head_dim"_a)
      .def("gelu", &gelu<float>, "x"_a, "y"_a)
      .def("gelu", &gelu<std::int16_t>, "x"_a, "y"_a)
      .def("gelu_gradient", &gelu_gradient<float>, "x"_a, "upstream"_a, "out"_a)
      .def("gelu_gradient", &gelu_gradient<std::int16_t>, "x"_a, "upstream"_a, "out"_a)
      .def("layer_norm", &layer_norm, "x"_a, "gain"_a, "bias"_a, "epsilon"_a, "y"_a)
      .def("layer_norm_gradient", &layer_norm_gradient, "x"_a, "gain"_a, "epsilon"_a, "upstream"_a, "d_x"_a, "d_gain_bias"_a)
      .def("drop", &drop<float>, "x"_a, "share"_a, "seed"_a, "out"_a)
      .def("drop", &drop<std::int16_t>, "x"_a, "share"_a, "seed"_a, "out"_a)
      .def("add", &add, "x"_a, "y"_a, "out"_a)
      .def("sum_columns", &sum_columns, "x"_a, "total"_a)
      .def("exponentials", &exponentials<float>, "x"_a, "highest"_a, "sum"_a)
      .def("exponentials", &exponentials<std::int16_t>, "x"_a, "highest"_a, "sum"_a)
      .def("attention", &attention, "qkv"_a, "related"_a.none(), "scale"_a, "out"_a, "log_sum"_a, "dropout"_a = 0.0, "seed"_a = 0)
      .def("attention_gradient", &attention_gradient, "qkv"_a, "related"_a.none(), "scale"_a, "out"_a, "log_sum"_a, "upstream"_a, "d_qkv"_a,
           "d_related"_a.none(), "dropout"_a = 0.0, "seed"_a = 0);
}

}  // namespace gpt2lab
