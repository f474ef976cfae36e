// Sub-blocks of any attributes on the CUDA backend (sub_block_suite.h).
#include "cuda/device.h"
#include "test/cuda/findings.h"
#include "test/engine/sub_block_suite.h"

using namespace skrr;

int main() {
  skip_without_device();
  const auto open = [](const Architecture& a, const FixedTensors& fixed) { return cuda::make_device(0)->open(a, fixed, ""); };
  const encoder_suite::Subject subject{open, Precision::kBF16, reference::Rows::kBF16, 0, true, 0};
  sub_block_suite::Limits limits;
  limits.attributes = cuda::make_device(0)->facts().attributes;
  limits.max_head_dim = 256;
  sub_block_suite::run(subject, 60, limits);
  check_findings();
  return finish("cuda sub-blocks");
}
