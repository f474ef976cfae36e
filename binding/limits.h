// What the numbers of an architecture and of its tensors may be. Every one of them sizes memory or indexes it, so none is
// taken on trust: src/families/limits.ts says the same to users, in the terms of their files.
#pragma once

#include <cstdint>

namespace skrr::binding {

struct Range {
  int64_t min, max;
};

constexpr Range kWidth{1, 1 << 16};
constexpr Range kSubBlocks{2, 2048};
constexpr Range kHeads{1, 1024};
constexpr Range kHeadDim{1, 1024};
constexpr Range kInner{1, 1 << 20};
constexpr Range kVocab{0, 1 << 24};
constexpr Range kPositions{0, 1 << 20};
constexpr Range kBuckets{4, 4096};      // fewer leave no exact distance (engine/position_bucket.h)
constexpr Range kDistance{0, 1 << 24};  // the largest of a table, ahead, back
constexpr Range kRow{0, (1 << 16) - 1};  // of a token in its row (MAX_ROW_TOKENS in src/prompts/layout.ts)
constexpr Range kFiles{0, 1 << 16};
constexpr Range kOffset{0, int64_t(1) << 53};
constexpr Range kRows{1, INT32_MAX};
constexpr Range kColumns{1, INT32_MAX};
constexpr Range kElements{1, int64_t(1) << 33};  // of one tensor; of one matrix of an architecture, kMatrix
constexpr Range kMatrix{0, INT32_MAX};

}  // namespace skrr::binding
