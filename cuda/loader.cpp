#include "cuda/loader.h"

#include <atomic>
#include <exception>
#include <mutex>

#include "engine/threads.h"

namespace skrr::cuda {
namespace {

// The first exception of several threads.
class FirstFailure {
 public:
  template <class Work>
  void guard(Work work) noexcept {
    try {
      work();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      any_ = true;
    }
  }
  bool any() const { return any_; }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr failure_;
  std::atomic<bool> any_{false};
};

}  // namespace

Loader::Loader(Gpu& device, int threads, size_t piece_bytes)
    : device_(device), piece_bytes_(piece_bytes), turns_(size_t(threads)) {
  for (Turns& turns : turns_) {
    for (auto& buffer : turns.buffers) buffer = std::make_unique<StagingBuffer>(device, piece_bytes);
  }
}

void Loader::run(const std::vector<Piece>& pieces, const CancelFlag& cancel) {
  std::atomic<size_t> next{0};
  FirstFailure failure;
  const auto work = [&](Turns& turns) {
    device_.use();
    for (size_t i = next++; i < pieces.size() && !failure.any(); i = next++) {
      cancel.check();
      StagingBuffer& buffer = *turns.buffers[turns.next];
      turns.next ^= 1;
      pieces[i].pack(buffer.wait());
      buffer.upload(pieces[i].to, pieces[i].bytes);
    }
  };
  {
    Threads threads(int(turns_.size()), 1);
    for (size_t t = 1; t < turns_.size() && t < pieces.size(); t++) {
      failure.guard([&] { threads.start([&, t] { failure.guard([&] { work(turns_[t]); }); }); });
    }
    failure.guard([&] { work(turns_[0]); });
  }
  failure.guard([&] { device_.wait(); });  // copies go to memory that an error frees
  failure.rethrow();
}

}  // namespace skrr::cuda
