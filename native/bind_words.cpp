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

// A text's ids as far as they are known, and what is needed to complete them.
struct Text {
  Encoded encoded;
  nb::list unknown;
};

Text encode(const WordTable& table, const nb::bytes& text) {
  Text result{table.encode(text.c_str(), text.size()), {}};
  for (const Piece& piece : result.encoded.unknown) result.unknown.append(nb::bytes(text.c_str() + piece.start, piece.size));
  return result;
}

std::vector<std::uint32_t> complete(Text& text, const std::vector<std::vector<std::uint32_t>>& words) {
  if (words.size() != text.encoded.unknown.size()) throw std::invalid_argument("As many lists of ids as unknown words are needed.");
  return words.empty() ? std::move(text.encoded.ids) : filled(text.encoded, words);
}

}  // namespace

void bind_words(nb::module_& m) {
  nb::class_<Text>(m, "WordText")
      .def_ro("unknown", &Text::unknown, "The words that were not in the table, each once.")
      .def("array", [](Text& text, const std::vector<std::vector<std::uint32_t>>& words) { return to_numpy(complete(text, words)); },
           "words"_a, "Return the ids, given those of the unknown words; once.")
      .def("list", &complete, "words"_a, "As `array`, as a list.");
  nb::class_<WordTable>(m, "WordTable")
      .def(nb::init<>())
      .def("encode", &encode, "text"_a)
      .def("add", [](WordTable& table, const nb::bytes& word, const std::vector<std::uint32_t>& ids) {
        table.add(word.c_str(), word.size(), ids.data(), ids.size());
      }, "word"_a, "ids"_a)
      .def("clear", &WordTable::clear)
      .def_prop_ro("words", &WordTable::words)
      .def_prop_ro("bytes", &WordTable::bytes);
  m.def("hash_words", [](const nb::bytes& text) { return to_numpy(hash_words(text.c_str(), text.size())); }, "text"_a);
}

}  // namespace gpt2lab
