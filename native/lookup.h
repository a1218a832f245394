// Prompt lookup: guesses how a text goes on from the latest place in it that reads like its end.
//
// Saxena 2023, "Prompt lookup decoding": such guesses are computed together with the token that is due and kept as far
// as they equal what is chosen anyway, so they change no token, only the time. Knows ids, not models.
#pragma once

#include <vector>

namespace gpt2lab {

class PromptLookup {
 public:
  // At most `most` tokens are guessed at a time; 0 never looks.
  explicit PromptLookup(int most) : most_(most) {}

  // Looks how `ids` may go on and returns how many tokens of guess() are worth computing now: at most `room`, and only
  // those whose chance of being kept, judged by earlier guesses, is above `worth`.
  int look(const std::vector<int>& ids, int room, double worth);
  const int* guess() const { return guess_.data(); }
  void forget();

  // Compares the next token of the text with the guess. After the first difference failed() holds until the next look().
  void learn(int id);
  bool failed() const { return failed_; }

  int proposed() const { return proposed_; }  // tokens computed ahead so far
  int kept() const { return kept_; }          // and how many of them became text

 private:
  static constexpr int kLongest = 3;     // tokens at the end of the text that a place may share with it
  static constexpr int kLookBack = 4096; // how far back places are looked for

  int most_;
  float chance_[kLongest] = {0.2f, 0.4f, 0.6f};  // that a guessed token is kept, after 1, 2, 3 equal tokens
  int matched_ = 0;                              // equal tokens in front of the current guess
  int worthwhile_ = 0;
  std::size_t judged_ = 0;
  bool failed_ = false;
  std::vector<int> guess_;
  int proposed_ = 0, kept_ = 0;
};

}  // namespace gpt2lab
