// A team of threads that all run one function together, divide pieces of work among them and meet at barriers.
//
// Waiting threads spin for a short while, because the next piece of work is usually microseconds away, then sleep.
// A forked process has none of its parent's threads; a team notices and starts its own.
// Which thread computes what never changes a result; see kernels.h.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace gpt2lab {

// The share of `rank` when `count` pieces are divided among `size` members in contiguous runs.
struct Share {
  int first, last;
};
inline Share share_of(int count, int rank, int size) {
  const auto cut = [&](int r) { return static_cast<int>(static_cast<long long>(count) * r / size); };
  return {cut(rank), cut(rank + 1)};
}

class Team {
 public:
  // Waiting for work, a thread looks that often before it sleeps.
  explicit Team(int size, int spins = 20000);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }

  // Calls work(rank) once on each member, rank 0 on the calling thread, and returns when all have returned.
  // `work` must not throw.
  void run(const std::function<void(int)>& work);

  // Called by every member inside run(): nobody passes before all have come.
  void barrier();

  // Called by every member inside run() with the same count: work(first, last) is called for runs of the pieces 0 .. count - 1
  // that together are all of them, by one member or another, and nobody passes before all are done. Each begins at the front of
  // a share of its own, half of what is left at a time; who is through takes over the last pieces of others, because cores
  // differ, and so does what else they have to do.
  template <class Work>
  void divide(int rank, int count, const Work& work) {
    const unsigned region = ++crew_->members[static_cast<std::size_t>(rank)].region;
    for (int i = 0; i < size_; ++i)
      for (Share run; (run = take((rank + i) % size_, region, count, i == 0)).first < run.last;) work(run.first, run.last);
    barrier();
  }

 private:
  // What a member has not begun of its share, on a cache line of its own: the low half of the region's number, then the first
  // piece and the one behind the last, 24 bits each. Whoever comes first into a region writes a member's share of it.
  struct alignas(128) Member {
    std::atomic<std::uint64_t> left{0};
    unsigned region = 0;                 // the member's own count of divide()
  };

  // What a fork leaves behind cannot be repaired, only left alone: this holds all of it, to be replaced as a whole.
  struct Crew {
    std::vector<std::thread> threads;
    std::atomic<unsigned> round{0};      // number of the current run()
    std::atomic<int> arrived{0};
    std::atomic<unsigned> phase{0};      // number of barriers passed
    std::atomic<bool> stop{false};
    std::atomic<int> sleepers{0};
    std::mutex mutex;
    std::condition_variable wake;
    long process;                        // whose threads these are
    std::vector<Member> members;
    explicit Crew(int size) : members(static_cast<std::size_t>(size)) {}
  };

  Share take(int owner, unsigned region, int count, bool front);

  void hire();
  void member(Crew& crew, int rank);

  const int size_, spins_;
  Crew* crew_ = nullptr;
  const std::function<void(int)>* work_ = nullptr;
};

}  // namespace gpt2lab
