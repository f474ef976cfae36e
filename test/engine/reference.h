// The encoder by the book, in double and without any of the engine's tricks: what every backend is compared with.
// Sources: Hugging Face transformers, models/t5/modeling_t5.py (the stack as encoder) and its attention masks; models/clip, qwen3,
// gemma2, glm and ministral3 for what T5 lacks.
#pragma once

#include <vector>

#include "engine/backend.h"

namespace reference {

using Matrix = std::vector<double>;  // row-major

using SubBlock = skrr::ByRole<Matrix>;

enum class Rows { kExact, kBF16, kIntegers };

// Rounds each row of `width` as integers up to +-integer_max hold it: in the rotated basis, to the nearest multiples of its
// largest number / integer_max.
void round_to_integers(Matrix& matrix, size_t width, int integer_max);
// A matrix [rows, width] as an int4 slot holds it, read by what engine/packed_layout.h says: which multiplier and zero suit a group
// best is not repeated here. Its rows lie in panels `first_panel`, `first_panel` + `panel_stride` and so on.
Matrix unpack_int4(const skrr::PackedTensor& packed, size_t rows, size_t width, size_t first_panel, size_t panel_stride);

struct Model {
  skrr::Architecture architecture;
  std::vector<SubBlock> sub_blocks;
  Matrix final_norm, final_norm_bias;
  Rows rows = Rows::kExact;  // what happens to the left operand of every product with a weight
  int integer_max = 0;       // where it becomes integers (TileKernel)
  // As tensor cores take them: q, k, v and the weights of the softmax are bf16 too, and rows of the stream are rounded before
  // they are divided by the root of their mean square.
  bool tensor_cores = false;
};

// embeddings [tokens, width] -> last hidden state [tokens, width]
Matrix encode(const Model& model, const skrr::LayerTable& table, const skrr::Batch& batch, Matrix embeddings);

}  // namespace reference
