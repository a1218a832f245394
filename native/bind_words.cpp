// The Python face of the words: see gpt2lab.tokenizer.tokenizer and gpt2lab.data.ngrams.
#include "bind_words.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "words.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace gpt2lab {
namespace {

template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T>&& values) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::ndarray<nb::numpy, T>(owned->data(), {owned->size()}, owner);
}

std::vector<std::uint32_t> encode(const WordTable& table, const nb::bytes& text, std::vector<Piece>& unknown) {
  std::vector<std::uint32_t> ids;
  ids.reserve(text.size() / 3);
  table.encode(text.c_str(), text.size(), ids, unknown);
  return ids;
}

nb::list words_of(const nb::bytes& text, const std::vector<Piece>& pieces) {
  nb::list words;
  for (const Piece& piece : pieces) words.append(nb::bytes(text.c_str() + piece.start, piece.size));
  return words;
}

}  // namespace

void bind_words(nb::module_& m) {
  nb::class_<WordTable>(m, "WordTable")
      .def(nb::init<>())
      .def("encode", [](const WordTable& table, const nb::bytes& text) {
        std::vector<Piece> unknown;
        auto ids = encode(table, text, unknown);
        return nb::make_tuple(to_numpy(std::move(ids)), words_of(text, unknown));
      }, "text"_a, "Return the ids of UTF-8 text as an array and the words that are missing in it.")
      .def("encode_list", [](const WordTable& table, const nb::bytes& text) {
        std::vector<Piece> unknown;
        auto ids = encode(table, text, unknown);
        return nb::make_tuple(nb::cast(ids), words_of(text, unknown));
      }, "text"_a, "As `encode`, with a list.")
      .def("add", [](WordTable& table, const nb::bytes& word, const std::vector<std::uint32_t>& ids) {
        table.add(word.c_str(), word.size(), ids.data(), ids.size());
      }, "word"_a, "ids"_a)
      .def("clear", &WordTable::clear)
      .def_prop_ro("words", &WordTable::words)
      .def_prop_ro("bytes", &WordTable::bytes);
  m.def("hash_words", [](const nb::bytes& text) { return to_numpy(hash_words(text.c_str(), text.size())); }, "text"_a);
}

}  // namespace gpt2lab
