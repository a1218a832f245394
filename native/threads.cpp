#include "threads.h"

#if !defined(_WIN32)
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace gpt2lab {
namespace {

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

long process_id() {
#if defined(_WIN32)
  return 0;  // no fork
#else
  return static_cast<long>(getpid());
#endif
}

constexpr int kBarrierSpins = 2000;   // then give the processor away between looks: someone else may need it to arrive

}  // namespace

Team::Team(int size, int spins) : size_(size < 1 ? 1 : size), spins_(spins) { hire(); }

void Team::hire() {
  crew_ = new Crew(size_);
  crew_->process = process_id();
  for (int rank = 1; rank < size_; ++rank) crew_->threads.emplace_back([this, crew = crew_, rank] { member(*crew, rank); });
}

Team::~Team() {
  if (crew_->process != process_id()) return;  // the parent's threads: there is nothing here to join
  {
    std::lock_guard<std::mutex> lock(crew_->mutex);
    crew_->stop.store(true);
    crew_->round.fetch_add(1);
  }
  crew_->wake.notify_all();
  for (auto& thread : crew_->threads) thread.join();
  delete crew_;
}

void Team::run(const std::function<void(int)>& work) {
  if (size_ > 1 && crew_->process != process_id()) hire();
  work_ = &work;
  crew_->round.fetch_add(1);
  if (crew_->sleepers.load() > 0) {
    std::lock_guard<std::mutex> lock(crew_->mutex);  // a member between its last look and its sleep holds the mutex
    crew_->wake.notify_all();
  }
  work(0);
  barrier();
}

void Team::barrier() {
  if (size_ == 1) return;
  Crew& crew = *crew_;
  const unsigned phase = crew.phase.load(std::memory_order_relaxed);
  if (crew.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    crew.arrived.store(0, std::memory_order_relaxed);
    crew.phase.store(phase + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; crew.phase.load(std::memory_order_acquire) == phase; ++spins) {
    if (spins < kBarrierSpins) pause();
    else std::this_thread::yield();
  }
}

// The front half or the last piece of what is left of the owner's share; nothing, when nothing is.
Share Team::take(int owner, unsigned region, int count, bool front) {
  std::atomic<std::uint64_t>& left = crew_->members[static_cast<std::size_t>(owner)].left;
  const std::uint64_t mark = region & 0xFFFFu;
  std::uint64_t seen = left.load(std::memory_order_relaxed);  // what pieces read and write is ordered by the barriers alone
  for (;;) {
    const bool begun = seen >> 48 == mark;
    Share rest = begun ? Share{static_cast<int>(seen >> 24 & 0xFFFFFFu), static_cast<int>(seen & 0xFFFFFFu)} : share_of(count, owner, size_);
    Share taken{rest.first, rest.first};
    if (begun && rest.first == rest.last) return taken;
    if (begun && front) rest.first = taken.last += (rest.last - rest.first + 1) / 2;
    else if (begun) taken = {--rest.last, rest.last + 1};
    const std::uint64_t now = mark << 48 | static_cast<std::uint64_t>(rest.first) << 24 | static_cast<std::uint64_t>(rest.last);
    if (left.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
      if (begun) return taken;
      seen = now;
    }
  }
}

void Team::member(Crew& crew, int rank) {
  unsigned seen = 0;
  for (;;) {
    int spins = 0;
    while (crew.round.load(std::memory_order_acquire) == seen && ++spins < spins_) pause();
    if (crew.round.load(std::memory_order_acquire) == seen) {
      std::unique_lock<std::mutex> lock(crew.mutex);
      crew.sleepers.fetch_add(1);
      crew.wake.wait(lock, [&] { return crew.round.load() != seen; });
      crew.sleepers.fetch_sub(1);
    }
    ++seen;
    if (crew.stop.load()) return;
    (*work_)(rank);
    barrier();
  }
}

}  // namespace gpt2lab
