// GPT-2's words: a text is cut as its pattern cuts it, and the ids of every word that was seen before are looked up.
//
// Most of a text is words that came before, so this is most of the work of encoding. What is not in the table is handed
// back: whoever uses it knows the merges and adds the ids. The pattern is that of OpenAI's encoder.py; characters whose
// class is not known here (classify in words.cpp) keep the whole run between two blanks together, which the caller may cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gpt2lab {

struct Piece {
  std::size_t start, size;  // bytes of the text
};

// The ids of a text. Words that were not in the table are listed once each; where one stood, there is a gap: the number of
// ids before it and which word it was.
struct Encoded {
  struct Gap {
    std::size_t place;
    std::uint32_t word;
  };
  std::vector<std::uint32_t> ids;
  std::vector<Piece> unknown;
  std::vector<Gap> gaps;
};

// The ids with those of the unknown words put into their gaps.
std::vector<std::uint32_t> filled(const Encoded& encoded, const std::vector<std::vector<std::uint32_t>>& words);

class WordTable {
 public:
  WordTable();

  // Returns the ids of `text` (valid UTF-8), with a gap for every word that is not in the table.
  Encoded encode(const char* text, std::size_t size) const;
  void add(const char* word, std::size_t size, const std::uint32_t* ids, std::size_t count);
  void clear();

  std::size_t words() const { return used_; }
  std::size_t bytes() const;  // of memory, about

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint64_t word = 0;  // where it begins in words_
    std::uint32_t size = 0;  // of the word; 0 where the slot is empty
    std::uint32_t count = 0;
    std::uint64_t ids = 0;  // where they begin in ids_
  };

  const Slot& find(const char* word, std::size_t size, std::uint64_t hash) const;
  void grow();

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
  std::string words_;
  std::vector<std::uint32_t> ids_;
};

// A hash of every run of letters and digits of `text`, in order. ASCII letters and digits count as such, and so does
// every byte of other characters: blank out what is neither letter nor digit first.
std::vector<std::uint64_t> hash_words(const char* text, std::size_t size);

}  // namespace gpt2lab
