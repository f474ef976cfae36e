#include "bench/cuda/cublaslt.h"

#include <dlfcn.h>

#include <algorithm>
#include <type_traits>

#include "engine/error.h"

namespace skrr::cuda {
namespace {

constexpr int kFloat32 = 0, kBFloat16 = 14;      // cudaDataType_t
constexpr int kComputeFloat32 = 68;              // cublasComputeType_t
constexpr int kTransposeA = 3, kTransposed = 1;  // cublasLtMatmulDescAttributes_t, cublasOperation_t
constexpr int kMaxWorkspace = 1;                // cublasLtMatmulPreferenceAttributes_t
constexpr size_t kWorkspaceBytes = size_t(32) << 20;

struct Heuristic {  // cublasLtMatmulHeuristicResult_t
  uint64_t algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Heuristic) == 96, "as the library writes it");

void check(int status, const char* what) {
  if (status != 0) throw Error("ERR_ENGINE", std::string("cuBLASLt: ") + what + " fails with status " + std::to_string(status));
}

}  // namespace

struct CublasLt::Functions {
  int (*cublasLtCreate)(void** handle);
  int (*cublasLtDestroy)(void* handle);
  int (*cublasLtMatmulDescCreate)(void** operation, int compute_type, int scale_type);
  int (*cublasLtMatmulDescSetAttribute)(void* operation, int attribute, const void* value, size_t bytes);
  int (*cublasLtMatmulDescDestroy)(void* operation);
  int (*cublasLtMatrixLayoutCreate)(void** layout, int type, uint64_t rows, uint64_t columns, int64_t stride);
  int (*cublasLtMatrixLayoutDestroy)(void* layout);
  int (*cublasLtMatmulPreferenceCreate)(void** preference);
  int (*cublasLtMatmulPreferenceSetAttribute)(void* preference, int attribute, const void* value, size_t bytes);
  int (*cublasLtMatmulPreferenceDestroy)(void* preference);
  int (*cublasLtMatmulAlgoGetHeuristic)(void* handle, void* operation, void* a, void* b, void* c, void* d, void* preference,
                                        int wanted, Heuristic* results, int* found);
  int (*cublasLtMatmul)(void* handle, void* operation, const void* alpha, const void* a, void* a_layout, const void* b,
                        void* b_layout, const void* beta, const void* c, void* c_layout, void* d, void* d_layout,
                        const void* algorithm, void* workspace, size_t workspace_bytes, Stream stream);
};

std::unique_ptr<CublasLt> CublasLt::open(Gpu& device, std::string& why_not) {
#if !defined(SKRR_ON_HARDWARE)
  why_not = "this is the emulated device";
  return nullptr;
#endif
  void* library = nullptr;
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}) {
    if (!library) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  if (!library) {
    why_not = "libcublasLt.so was not found. Install CUDA's libraries, or put their folder on LD_LIBRARY_PATH";
    return nullptr;
  }
  auto functions = std::make_unique<Functions>();
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    if (!function) why_not = std::string("libcublasLt.so has no ") + name;
  };
  find(functions->cublasLtCreate, "cublasLtCreate");
  find(functions->cublasLtDestroy, "cublasLtDestroy");
  find(functions->cublasLtMatmulDescCreate, "cublasLtMatmulDescCreate");
  find(functions->cublasLtMatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute");
  find(functions->cublasLtMatmulDescDestroy, "cublasLtMatmulDescDestroy");
  find(functions->cublasLtMatrixLayoutCreate, "cublasLtMatrixLayoutCreate");
  find(functions->cublasLtMatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy");
  find(functions->cublasLtMatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate");
  find(functions->cublasLtMatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute");
  find(functions->cublasLtMatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy");
  find(functions->cublasLtMatmulAlgoGetHeuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(functions->cublasLtMatmul, "cublasLtMatmul");
  if (!why_not.empty()) return nullptr;
  return std::unique_ptr<CublasLt>(new CublasLt(device, std::move(functions)));
}

CublasLt::CublasLt(Gpu& device, std::unique_ptr<Functions> functions)
    : device_(device), call_(std::move(functions)), workspace_(device, kWorkspaceBytes, "cuBLASLt's workspace") {
  check(call_->cublasLtCreate(&handle_), "cublasLtCreate");
}

CublasLt::~CublasLt() { call_->cublasLtDestroy(handle_); }

// The library's matrices are column-major: y^T [n, m] = (w^T)^T x^T, w^T [k, n] and x^T [k, m] being ours as they lie.
CublasLt::Product::Product(CublasLt& library, int m, int n, int k) : library_(library) {
  const Functions& call = *library.call_;
  check(call.cublasLtMatmulDescCreate(&operation_, kComputeFloat32, kFloat32), "cublasLtMatmulDescCreate");
  check(call.cublasLtMatmulDescSetAttribute(operation_, kTransposeA, &kTransposed, sizeof kTransposed),
        "cublasLtMatmulDescSetAttribute");
  check(call.cublasLtMatrixLayoutCreate(&w_, kBFloat16, uint64_t(k), uint64_t(n), k), "cublasLtMatrixLayoutCreate");
  check(call.cublasLtMatrixLayoutCreate(&x_, kBFloat16, uint64_t(k), uint64_t(m), k), "cublasLtMatrixLayoutCreate");
  check(call.cublasLtMatrixLayoutCreate(&y_, kBFloat16, uint64_t(n), uint64_t(m), n), "cublasLtMatrixLayoutCreate");
  void* preference = nullptr;
  check(call.cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  check(call.cublasLtMatmulPreferenceSetAttribute(preference, kMaxWorkspace, &kWorkspaceBytes, sizeof kWorkspaceBytes),
        "cublasLtMatmulPreferenceSetAttribute");
  Heuristic best{};
  int found = 0;
  const int status = call.cublasLtMatmulAlgoGetHeuristic(library.handle_, operation_, w_, x_, y_, y_, preference, 1, &best, &found);
  call.cublasLtMatmulPreferenceDestroy(preference);
  check(found > 0 ? status : status != 0 ? status : -1, "cublasLtMatmulAlgoGetHeuristic");
  std::copy_n(best.algorithm, 8, algorithm_);
}

CublasLt::Product::~Product() {
  for (void* layout : {w_, x_, y_}) library_.call_->cublasLtMatrixLayoutDestroy(layout);
  library_.call_->cublasLtMatmulDescDestroy(operation_);
}

void CublasLt::Product::operator()(const bf16* x, const bf16* w, bf16* y) const {
  const float one = 1, zero = 0;
  check(library_.call_->cublasLtMatmul(library_.handle_, operation_, &one, w, w_, x, x_, &zero, y, y_, y, y_, algorithm_,
                                       library_.workspace_.as<void>(), kWorkspaceBytes, library_.device_.stream()),
        "cublasLtMatmul");
}

}  // namespace skrr::cuda
