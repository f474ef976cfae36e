// tensor_map.h by the driver, whose function is asked for at run time: libcuda is not linked.
#include <cudaTypedefs.h>

#include "cuda/check.cuh"
#include "cuda/tensor_map.h"

namespace skrr::cuda {
namespace {

PFN_cuTensorMapEncodeTiled_v12000 find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found));
  if (found != cudaDriverEntryPointSuccess) throw Error("ERR_ENGINE", "CUDA: the driver has no cuTensorMapEncodeTiled");
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

}  // namespace

TensorMap tensor_map(const bf16* matrix, int rows, int columns) {
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = find_encode();
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap), "it is one");
  TensorMap map;
  const cuuint64_t size[] = {cuuint64_t(columns), cuuint64_t(rows)};  // the innermost dimension comes first
  const cuuint64_t stride[] = {cuuint64_t(columns) * sizeof(bf16)};
  const cuuint32_t box[] = {kBoxColumns, kBoxRows}, every[] = {1, 1};
  const CUresult result = encode(reinterpret_cast<CUtensorMap*>(&map), CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
                                 const_cast<bf16*>(matrix), size, stride, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw Error("ERR_ENGINE", "CUDA: no tensor map of a matrix [" + std::to_string(rows) + ", " +
                                  std::to_string(columns) + "] (error " + std::to_string(int(result)) + ")");
  }
  return map;
}

}  // namespace skrr::cuda
