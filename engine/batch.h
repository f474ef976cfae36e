// Packed sequences: prompts of unequal length one after the other, without padding.
//
//   starts     0        3     5            9      [sequences + 1] offsets into the packed tokens
//   token      a  b  c  d  e  f  g  h  i          [tokens]
//   index      0  1  2  0  1  0  1  2  3          of the token in its row as it was given, pads that are left out here
//                                                 included, ascending: distances and windows count these
//   visible    1  1  1  1  1  1  1  1  0          0: the token attends but is not attended to (a masked pad)
//   position   0  1  2  0  1  0  1  2  3          what rotations and a position table count, mostly the index
//
// A sequence in which nothing is visible attends uniformly to all of itself, as Hugging Face does (finfo.min, not -inf).
#pragma once

#include <cstdint>

namespace skrr {

// Views: the arrays belong to the caller and outlive the call.
struct Batch {
  int sequences = 0;
  int tokens = 0;
  const int32_t* starts = nullptr;
  const int32_t* indices = nullptr;
  const uint8_t* visible = nullptr;
  const int32_t* positions = nullptr;  // null: the indices
};

// What an encoder reads: token ids, or rows [tokens, width] that stand in for their embeddings.
struct Input {
  Batch batch;
  const int32_t* ids = nullptr;
  const float* embeds = nullptr;
};

enum class OutputType { kF32, kBF16, kF16 };

// One result of a call: a state of the residual stream, or rows of one.
struct Output {
  int after = 0;           // positions of the layer table that have run
  bool norm = true;        // the final norm is applied
  bool projected = false;  // and then the encoder's projection
  OutputType type = OutputType::kF32;
  void* data = nullptr;
  const int32_t* rows = nullptr;  // [tokens] row of the result that a packed token is written to, -1 for none
  // Column c of row r is element r * stride + first + c * step: so several states lie side by side in one result.
  int64_t stride = 0, first = 0, step = 1;
};

}  // namespace skrr
