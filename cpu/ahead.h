// Prefetches the next bytes of B while this slice is multiplied, an equal part at every block of every row tile: memory is
// always busy, and the first row tile finds its operands in the L2 cache.
//
// It takes a line of each of kPages pages in turn: the hardware prefetcher runs ahead of these requests, but only to the end
// of a page, and a core has few buffers for requests of its own (16 on Sapphire Rapids), which A's lines need too.
#pragma once

#include <cstdint>

namespace skrr::cpu {

class Ahead {
 public:
  // `bytes` from `next` on, in `steps` parts.
  Ahead(const void* next, int64_t bytes, int steps)
      : line_(static_cast<const char*>(next)),
        page_(bytes / kPages),
        end_(line_ + page_),
        lines_(int((bytes / kLine + steps - 1) / steps)) {}

  void fetch() {
    for (int i = 0; i < lines_ && line_ < end_; i++) {
      __builtin_prefetch(line_ + at_ * page_, 0, 2);  // to L2
      if (++at_ == kPages) at_ = 0, line_ += kLine;
    }
  }

 private:
  static constexpr int kPages = 4, kLine = 64;

  const char* line_;  // of the first page
  int64_t page_;      // bytes
  const char* end_;
  int lines_;         // per step
  int at_ = 0;        // the page whose turn it is
};

}  // namespace skrr::cpu
