// Brings bytes to the device: threads pack pieces into page-locked memory of their own, which is copied while they pack the
// next pieces.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "cuda/runtime.h"
#include "engine/cancel.h"

namespace skrr::cuda {

// What is packed in one go.
struct Piece {
  void* to;  // on the device
  size_t bytes;
  std::function<void(void* out)> pack;  // writes all of `bytes`; may throw
};

class Loader {
 public:
  // The two buffers of each thread keep its copies and its packing apart. Eight threads of 2 MB pieces hold 32 MB of the host's
  // memory, convert about as fast as PCIe copies and keep as many reads of the disk under way.
  static constexpr size_t kPieceBytes = size_t(2) << 20;
  static constexpr int kMaxThreads = 8;

  // Throws ERR_ENGINE where the system has no memory to lock.
  Loader(Gpu& device, int threads, size_t piece_bytes);

  size_t piece_bytes() const { return piece_bytes_; }
  // Packs and copies all pieces, each of up to piece_bytes(). When it returns, all are there; when it throws, no copy is under
  // way any more, and the error is the first that a thread met.
  void run(const std::vector<Piece>& pieces, const CancelFlag& cancel);

 private:
  struct Turns {
    std::unique_ptr<StagingBuffer> buffers[2];
    int next = 0;
  };

  Gpu& device_;
  const size_t piece_bytes_;
  std::vector<Turns> turns_;  // of each thread
};

}  // namespace skrr::cuda
