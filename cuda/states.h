// A batch on the device: its rows' structure, and the residual stream.
#pragma once

#include <memory>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/pool.h"
#include "cuda/shape.h"
#include "engine/backend.h"

namespace skrr::cuda {

// The numbers kernels need about a batch, in one allocation. Batches of the same extent have the same layout, so the
// contents of one can replace another's under a recorded graph.
class BatchRows {
 public:
  // What a recorded graph depends on.
  struct Extent {
    int sequences, tokens, longest, span, distances, ropes, turns;
    bool operator==(const Extent& o) const {  // the rest follows from the encoder
      return sequences == o.sequences && tokens == o.tokens && longest == o.longest && span == o.span;
    }
    size_t ints() const;
  };

  BatchRows(Pool& pool, const Sights& sights, const Batch& batch);

  const Extent& extent() const { return extent_; }
  const std::vector<int>& starts() const { return starts_; }  // on the host
  const int* data() const { return ints_.as<int>(); }
  size_t bytes() const { return ints_.bytes(); }
  // The view of a copy of these numbers at `data`.
  static Rows view(const Extent& extent, const int* data);

 private:
  Extent extent_;
  std::vector<int> starts_;
  Pool::Lease ints_;
};

// The distance past which no distance's line changes, or the batch has no token; 0 where no line is made, for want of tables.
int span_of(const std::vector<Distance>& distances, int last_index);

struct CudaStates final : States {
  std::shared_ptr<const BatchRows> rows;  // never changes: clones share it
  Pool::Lease hidden;                     // [tokens, width padded] float32

  std::unique_ptr<States> clone() const override;
  int tokens() const override { return rows->extent().tokens; }
  size_t bytes() const override { return hidden.bytes() + rows->bytes(); }
};

}  // namespace skrr::cuda
