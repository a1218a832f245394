// Dividing work among threads: every piece exactly once, whoever is fast and however often.
#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "../threads.h"
#include "tests.h"

namespace gpt2lab::tests {
namespace {

// Members take uneven times over their pieces, so that some help others; what one region writes the next one reads.
void check_regions(Random& random, int size, int regions, int most) {
  Team team(size);
  std::vector<int> counts(static_cast<std::size_t>(regions));
  for (int& count : counts) count = random.between(0, most);
  std::vector<int> times(static_cast<std::size_t>(most), 0);
  std::atomic<long> wrong{0};
  const int slow = random.between(0, size - 1);
  team.run([&](int rank) {
    for (const int count : counts) {
      team.divide(rank, count, [&](int first, int last) {
        if (first < 0 || first >= last || last > count) ++wrong;
        for (int piece = std::max(first, 0); piece < std::min(last, count); ++piece) {
          ++times[static_cast<std::size_t>(piece)];
          for (int spin = 0; rank == slow && spin < 50; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
        }
      });
      if (rank == 0) {
        for (int piece = 0; piece < most; ++piece) wrong += std::exchange(times[static_cast<std::size_t>(piece)], 0) != (piece < count);
      }
      team.barrier();
    }
  });
  report.expect(wrong == 0, "%d threads, up to %d pieces: %ld wrong", size, most, wrong.load());
}

}  // namespace

void test_team(Random& random) {
  report.test("dividing work");
  for (int size = 1; size <= 5; ++size)
    for (const int most : {1, 2, 7, 300}) check_regions(random, size, 200, most);
  check_regions(random, 2, 70000, 3);  // the number of a region starts anew at 65536
}

}  // namespace gpt2lab::tests
