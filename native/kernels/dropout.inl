// What is dropped in training: weights of attention, or numbers of a stretch. Included in front of training.inl and tiles.inl.
//
// What becomes of a weight is a function of its query's two words and its key's number alone, and what becomes of a number one of
// its stretch's words and its place there, so the gradient finds again what went forward, on every path and with any number of
// threads.

// What kLanes weights are multiplied by: 0, or `scale` where they stay. The rounds are the two of "lowbias32" (C. Wellons,
// "Prospecting for hash functions", 2018); the second word joins in between.
static inline F kept(const Dropout& drop, I first, I second, I key) {
  const I half = i_xor(i_mul(i_fold<16>(i_add(first, key)), 0x7FEB352Du), second);
  return f_unless_below(i_fold<16>(i_mul(i_fold<15>(half), 0x846CA68Bu)), drop.threshold, drop.scale);
}

// Those of one query for the keys from `key` on.
static inline F kept_keys(const Dropout& drop, int query, int key) {
  return kept(drop, i_set(drop.first[query] + static_cast<std::uint32_t>(key)), i_set(drop.second[query]), i_count());
}

// Those of the queries from `query` on for one key.
static inline F kept_queries(const Dropout& drop, int query, int key) {
  return kept(drop, i_load_u32(drop.first + query), i_load_u32(drop.second + query), i_set(static_cast<std::uint32_t>(key)));
}
