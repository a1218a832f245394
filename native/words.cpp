#include "words.h"

#include <cstring>
#include <string_view>
#include <unordered_map>

namespace gpt2lab {
namespace {

using Byte = unsigned char;

enum class Kind : std::uint8_t { blank, letter, number, other, foreign };

struct Character {
  Kind kind;
  int size;
};

Kind ascii_kind(Byte c) {
  if (c == ' ' || (c >= '\t' && c <= '\r')) return Kind::blank;
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return Kind::letter;
  return c >= '0' && c <= '9' ? Kind::number : Kind::other;
}

struct AsciiKinds {
  Kind of[128];
  AsciiKinds() {
    for (int c = 0; c < 128; ++c) of[c] = ascii_kind(static_cast<Byte>(c));
  }
};
const AsciiKinds kAscii;

// U+0080 to U+00FF, by their second byte and whether the first is C3.
Kind latin_kind(Byte lead, Byte second) {
  if (lead == 0xC3) return second == 0x97 || second == 0xB7 ? Kind::other : Kind::letter;
  switch (second) {
    case 0x85: case 0xA0: return Kind::blank;
    case 0xAA: case 0xB5: case 0xBA: return Kind::letter;
    case 0xB2: case 0xB3: case 0xB9: case 0xBC: case 0xBD: case 0xBE: return Kind::number;
    default: return Kind::other;
  }
}

Kind two_byte_kind(Byte lead, Byte second) {
  if (lead <= 0xC3) return latin_kind(lead, second);
  if (lead <= 0xC8 || (lead == 0xC9 && second <= 0x8F)) return Kind::letter;  // U+0100 to U+024F, further Latin
  return lead == 0xD0 || lead == 0xD1 ? Kind::letter : Kind::foreign;         // U+0400 to U+047F, Cyrillic
}

Kind three_byte_kind(Byte lead, Byte second, Byte third) {
  const unsigned code = (lead & 0x0Fu) << 12 | (second & 0x3Fu) << 6 | (third & 0x3Fu);
  if (code >= 0x4E00 && code <= 0x9FA5) return Kind::letter;  // Chinese
  if (code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
      code == 0x205F || code == 0x3000)
    return Kind::blank;
  if (code >= 0x200B && code <= 0x203F) return Kind::other;                                        // dashes, quotes
  if ((code >= 0x3001 && code <= 0x3003) || (code >= 0x3008 && code <= 0x3011)) return Kind::other;  // 、。《》
  if ((code >= 0xFF01 && code <= 0xFF0F) || (code >= 0xFF1A && code <= 0xFF20)) return Kind::other;  // ，：？
  return Kind::foreign;
}

inline Character classify(const Byte* p) {
  const Byte lead = *p;
  if (lead < 0x80) return {kAscii.of[lead], 1};
  if (lead < 0xE0) return {two_byte_kind(lead, p[1]), 2};
  if (lead < 0xF0) return {three_byte_kind(lead, p[1], p[2]), 3};
  return {Kind::foreign, 4};
}

// The length of 's 't 're 've 'm 'll 'd at `p`, or 0.
inline int contraction(const Byte* p, const Byte* end) {
  if (*p != '\'' || end - p < 2) return 0;
  switch (p[1]) {
    case 's': case 't': case 'm': case 'd': return 2;
    case 'r': case 'v': return end - p > 2 && p[2] == 'e' ? 3 : 0;
    case 'l': return end - p > 2 && p[2] == 'l' ? 3 : 0;
    default: return 0;
  }
}

// Calls word(begin, end) for every word of GPT-2's pattern in [p, end), a run without blanks, its blank at `p` included.
template <class Word>
void cut_run(const Byte* p, const Byte* end, Word word) {
  while (p < end) {
    if (const int size = contraction(p, end)) {
      word(p, p + size);
      p += size;
      continue;
    }
    const Byte* begin = p;
    if (*p == ' ') ++p;
    const Character first = classify(p);
    p += first.size;
    for (Character next; p < end && (next = classify(p)).kind == first.kind; p += next.size) {}
    word(begin, p);
  }
}

// Calls word(begin, end) for every word of the text.
template <class Word>
void cut(const Byte* p, const Byte* end, Word word) {
  while (p < end) {
    const Byte* blanks = p;
    const Byte* last = p;  // the last of the blanks
    for (Character c; p < end && (c = classify(p)).kind == Kind::blank; p += c.size) last = p;
    if (p == end) {
      word(blanks, end);
      return;
    }
    const Byte* run = p;
    bool foreign = false;
    for (Character c; p < end && (c = classify(p)).kind != Kind::blank; p += c.size) foreign |= c.kind == Kind::foreign;
    if (foreign) {
      word(blanks, p);
      continue;
    }
    if (last > blanks) word(blanks, last);
    const bool joined = run > blanks && *last == ' ';  // a last blank that is no space is a word of its own
    if (run > blanks && !joined) word(last, run);
    cut_run(joined ? last : run, p, word);
  }
}

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// The same on every machine of either byte order that matters: little-endian loads.
inline std::uint64_t load(const Byte* p, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value |= static_cast<std::uint64_t>(p[i]) << (8 * i);
  return value;
}

inline std::uint64_t hash_of(const Byte* p, std::size_t size) {
  std::uint64_t h = mix(size ^ 0x9E3779B97F4A7C15u, 0xD6E8FEB86659FD93u);
  for (; size >= 8; p += 8, size -= 8) h = mix(h ^ load(p, 8), 0xA0761D6478BD642Fu);
  return mix(h ^ load(p, size), 0xE7037ED1A0B428DBu);
}

const Byte* bytes_of(const char* text) { return reinterpret_cast<const Byte*>(text); }

}  // namespace

WordTable::WordTable() : slots_(1u << 10) {}

void WordTable::clear() { *this = WordTable(); }

std::size_t WordTable::bytes() const {
  return slots_.capacity() * sizeof(Slot) + words_.capacity() + ids_.capacity() * sizeof(std::uint32_t);
}

const WordTable::Slot& WordTable::find(const char* word, std::size_t size, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (!slot.size || (slot.hash == hash && slot.size == size && !std::memcmp(words_.data() + slot.word, word, size))) return slot;
  }
}

Encoded WordTable::encode(const char* text, std::size_t size) const {
  Encoded result;
  result.ids.reserve(size / 4);
  std::unordered_map<std::string_view, std::uint32_t> asked;
  const Byte* begin = bytes_of(text);
  cut(begin, begin + size, [&](const Byte* from, const Byte* to) {
    const auto length = static_cast<std::size_t>(to - from);
    const char* word = text + (from - begin);
    const Slot& slot = find(word, length, hash_of(from, length));
    if (slot.size) {
      const auto first = ids_.begin() + static_cast<std::ptrdiff_t>(slot.ids);
      result.ids.insert(result.ids.end(), first, first + slot.count);
      return;
    }
    const auto number = static_cast<std::uint32_t>(result.unknown.size());
    const auto [known, fresh] = asked.try_emplace({word, length}, number);
    if (fresh) result.unknown.push_back({static_cast<std::size_t>(from - begin), length});
    result.gaps.push_back({result.ids.size(), known->second});
  });
  return result;
}

std::vector<std::uint32_t> filled(const Encoded& encoded, const std::vector<std::vector<std::uint32_t>>& words) {
  std::vector<std::uint32_t> ids;
  ids.reserve(encoded.ids.size() + 2 * encoded.gaps.size());
  auto from = encoded.ids.begin();
  for (const auto& gap : encoded.gaps) {
    const auto to = encoded.ids.begin() + static_cast<std::ptrdiff_t>(gap.place);
    ids.insert(ids.end(), from, to);
    ids.insert(ids.end(), words[gap.word].begin(), words[gap.word].end());
    from = to;
  }
  ids.insert(ids.end(), from, encoded.ids.end());
  return ids;
}

void WordTable::add(const char* word, std::size_t size, const std::uint32_t* ids, std::size_t count) {
  if (!size) return;
  if (2 * (used_ + 1) > slots_.size()) grow();
  const std::uint64_t hash = hash_of(bytes_of(word), size);
  Slot& slot = const_cast<Slot&>(find(word, size, hash));
  if (slot.size) return;
  slot = {hash, words_.size(), static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(count), ids_.size()};
  words_.append(word, size);
  ids_.insert(ids_.end(), ids, ids + count);
  ++used_;
}

void WordTable::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (!slot.size) continue;
    std::size_t i = slot.hash & mask;
    while (slots_[i].size) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

std::vector<std::uint64_t> hash_words(const char* text, std::size_t size) {
  std::vector<std::uint64_t> hashes;
  const Byte* p = bytes_of(text);
  const Byte* end = p + size;
  const auto inside = [](Byte c) { return c >= 0x80 || kAscii.of[c] == Kind::letter || kAscii.of[c] == Kind::number; };
  while (p < end) {
    while (p < end && !inside(*p)) ++p;
    const Byte* begin = p;
    while (p < end && inside(*p)) ++p;
    if (p > begin) hashes.push_back(hash_of(begin, static_cast<std::size_t>(p - begin)));
  }
  return hashes;
}

}  // namespace gpt2lab
