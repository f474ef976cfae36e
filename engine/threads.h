// Threads that are joined with their object's end.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "engine/error.h"

namespace skrr {

class Threads {
 public:
  // `started`: how many of the `wanted` there are without these, as the caller's own.
  explicit Threads(int wanted, int started = 0) : wanted_(wanted), started_(started) { threads_.reserve(size_t(wanted)); }
  ~Threads() { join(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  // Throws ERR_ENGINE where the system has no thread for it; those that run are left to run.
  template <class Work>
  void start(Work work) {
    try {
      threads_.emplace_back(std::move(work));
    } catch (const std::system_error& error) {
      throw Error("ERR_ENGINE", "threads cannot be started: found " + std::to_string(started_ + size()) + " of " +
                                    std::to_string(wanted_) + " (" + error.code().message() +
                                    "). Ask for fewer `threads`, or raise the limit (ulimit -u, the pids of a container)");
    }
  }

  int wanted() const { return wanted_; }
  int size() const { return int(threads_.size()); }

  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  const int wanted_, started_;
  std::vector<std::thread> threads_;
};

}  // namespace skrr
