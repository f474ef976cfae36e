#include "engine/cuda_library.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>

namespace skrr {
namespace {

[[noreturn]] void unusable(const std::string& why) {
  throw Error("ERR_DEVICE", "device cuda: " + why + ", or use device 'cpu'");
}

template <class Function>
void find(void* handle, const std::string& library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  if (!function) unusable(library + ": found no " + name + " in it. Reinstall skrr");
}

CudaExports load(const std::string& library) {
  struct stat status;
  if (stat(library.c_str(), &status) != 0) {
    unusable(library + " was not found: this build of skrr is without CUDA. Build it where nvcc is installed");
  }
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: objects with its code live on
  if (!handle) unusable(std::string(dlerror()) + ". Reinstall skrr");
  CudaExports exports;
  find(handle, library, "skrr_cuda_interface", exports.skrr_cuda_interface);
  if (std::strcmp(exports.skrr_cuda_interface(), kCudaInterface) != 0) {
    unusable(library + ": found '" + exports.skrr_cuda_interface() + "', expected '" + kCudaInterface +
             "'. Build both in one go");
  }
  find(handle, library, "skrr_cuda_device", exports.skrr_cuda_device);
  return exports;
}

}  // namespace

std::string cuda_library_path() {
  if (const char* named = std::getenv("SKRR_CUDA_LIBRARY")) return named;
  Dl_info module;
  dladdr(reinterpret_cast<const void*>(&cuda_library_path), &module);
  const std::string path = module.dli_fname;
  const size_t slash = path.rfind('/');
  return (slash == std::string::npos ? std::string(".") : path.substr(0, slash)) + "/skrr_cuda.so";
}

std::unique_ptr<Device> cuda_device(const std::string& path, int index) {
  return std::unique_ptr<Device>(load(path).skrr_cuda_device(index));
}

}  // namespace skrr
