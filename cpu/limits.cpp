#include "cpu/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <numeric>
#include <vector>

#include "engine/threads.h"

namespace skrr::cpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kHalf = size_t(256) << 20;  // more than a last-level cache
// Other programs take a processor for milliseconds. What is timed at once is shorter, and of many some are undisturbed.
constexpr double kBurst = 1e-3, kBursts = 0.15;                   // seconds of one, of all
constexpr size_t kChunk = size_t(1) << 20, kChunks = 2 * kHalf / kChunk;
constexpr size_t kWindow = 64;                                    // chunks
constexpr size_t kReads = 3;                                      // of all memory, each way

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Calls work(0..threads-1) at once. A pool's workers would wait awake afterwards, and take the processor of what is timed next.
template <class Work>
void at_once(int threads, const Work& work) {
  Threads others(threads, 1);
  for (int t = 1; t < threads; t++) others.start([&work, t] { work(t); });
  work(0);
}

// Operations a second in the fastest burst.
double best_burst(const TileKernel& kernel, const CancelFlag& cancel) {
  double best = 0;
  int64_t rounds = 1000;
  for (const Clock::time_point start = Clock::now(); seconds_since(start) < kBursts && !cancel.raised();) {
    const Clock::time_point before = Clock::now();
    const double operations = kernel.multiply_registers(rounds);
    const double took = seconds_since(before);
    best = std::max(best, operations / took);
    if (took < kBurst / 2) rounds *= 2;
  }
  return best;
}

// Reads `bytes` as `streams` streams at once, each prefetched `ahead` bytes ahead unless that is 0. What the processor's own
// prefetcher does best differs: engine and rivals may read either way.
template <int streams, size_t ahead>
void read(const char* from, size_t bytes) {
  constexpr size_t kLine = 64;
  typedef uint64_t Words __attribute__((vector_size(16)));
  const size_t part = bytes / streams / kLine * kLine;
  Words sum[streams][4] = {};
  for (size_t at = 0; at < part; at += kLine) {
    for (int s = 0; s < streams; s++) {
      const char* line = from + size_t(s) * part + at;
      if constexpr (ahead > 0) __builtin_prefetch(line + ahead);
      for (int i = 0; i < 4; i++) {
        Words words;
        std::memcpy(&words, line + i * 16, sizeof(words));
        sum[s][i] += words;
      }
    }
  }
  asm volatile("" ::"r"(&sum) : "memory");
}

}  // namespace

Limits::Limits(int threads) : threads_(threads), memory_(2 * kHalf) {
  // Written to, for memory that was never written is one page of zeros.
  at_once(threads_, [&](int t) {
    const size_t part = 2 * kHalf / size_t(threads_);
    std::memset(memory_.as<char>() + size_t(t) * part, 1, part);
  });
}

double Limits::multiply_rate(const TileKernel& kernel, const CancelFlag& cancel) const {
  std::vector<double> rates(static_cast<size_t>(threads_));
  at_once(threads_, [&](int t) { rates[size_t(t)] = best_burst(kernel, cancel); });
  cancel.check();
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

double Limits::read_rate(const CancelFlag& cancel) const {
  // Chunks under way at a window's two ends count wrongly: they are a small part of it.
  const size_t window = std::max(kWindow, size_t(32) * size_t(threads_)), count = std::max(kReads * kChunks, 2 * window);
  double best = 0;
  for (const auto way : {read<1, 0>, read<1, 2048>, read<4, 0>, read<4, 1024>}) {
    std::vector<double> done(count);  // when each chunk was read
    std::atomic<size_t> next{0};
    const Clock::time_point start = Clock::now();
    at_once(threads_, [&](int) {
      for (size_t i = next++; i < count && !cancel.raised(); i = next++) {
        way(memory_.as<char>() + i % kChunks * kChunk, kChunk);
        done[i] = seconds_since(start);
      }
    });
    cancel.check();
    std::sort(done.begin(), done.end());
    for (size_t i = window; i < count; i++) best = std::max(best, double(window * kChunk) / (done[i] - done[i - window]));
  }
  return best;
}

void Limits::scrub() const {
  const size_t part = kHalf / size_t(threads_);
  at_once(threads_, [&](int t) {
    char* from = memory_.as<char>() + size_t(t) * part;
    std::memcpy(from + kHalf, from, part);
  });
}

}  // namespace skrr::cpu
