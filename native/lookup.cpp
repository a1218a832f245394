#include "lookup.h"

#include <algorithm>

namespace gpt2lab {

void PromptLookup::forget() {
  guess_.clear();
  judged_ = 0;
  worthwhile_ = 0;
  failed_ = false;
}

int PromptLookup::look(const std::vector<int>& ids, int room, double worth) {
  forget();
  const auto length = static_cast<int>(ids.size());
  if (most_ == 0 || length < 2) return 0;
  const int* all = ids.data();
  int place = 0;
  matched_ = 0;
  for (int i = length - 1; i > std::max(0, length - 1 - kLookBack) && matched_ < kLongest; --i) {  // ids[i - 1] is compared with the last id
    if (all[i - 1] != all[length - 1]) continue;
    int equal = 1;
    while (equal < kLongest && i - equal >= 1 && all[i - 1 - equal] == all[length - 1 - equal]) ++equal;
    if (equal <= matched_) continue;
    matched_ = equal;
    place = i;
  }
  if (matched_ == 0) return 0;
  const double chance = chance_[matched_ - 1];
  for (double kept = chance; worthwhile_ < std::min(most_, room) && kept > worth; kept *= chance) ++worthwhile_;
  // One token is guessed even when none is computed ahead: whether it comes tells when guessing pays again. A guess that
  // reaches the end of the text goes on with itself, as a text that repeats itself does.
  for (int j = 0; j < std::max(worthwhile_, 1); ++j) guess_.push_back(place + j < length ? all[place + j] : guess_[static_cast<std::size_t>(place + j - length)]);
  proposed_ += worthwhile_;
  return worthwhile_;
}

void PromptLookup::learn(int id) {
  if (judged_ >= guess_.size()) return;
  const bool hit = guess_[judged_] == id;
  kept_ += hit && static_cast<int>(judged_) < worthwhile_;
  ++judged_;
  failed_ = !hit;
  float& chance = chance_[matched_ - 1];
  chance += 0.15f * ((hit ? 1.0f : 0.0f) - chance);
}

}  // namespace gpt2lab
