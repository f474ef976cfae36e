// Finding and opening the shared library: every way it can fail is an ERR_DEVICE that says why and what to do.
#include <unistd.h>

#include <exception>
#include <fstream>

#include "engine/cuda_library.h"
#include "test/engine/check.h"

using namespace skrr;

namespace {

std::string failure(const std::string& library, int device = 0) {
  try {
    cuda_device(library, device);
  } catch (const Error& error) {
    CHECK(std::string(error.code) == "ERR_DEVICE");
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

void a_missing_library_says_how_to_get_one() {
  const std::string message = failure("/nowhere/skrr_cuda.so");
  CHECK(has(message, "/nowhere/skrr_cuda.so was not found") && has(message, "nvcc") && has(message, "device 'cpu'"));
}

void a_damaged_library_is_named() {
  const std::string path = "damaged." + std::to_string(getpid()) + ".so";
  std::ofstream(path) << "this is no library";
  const std::string message = failure("./" + path);
  CHECK(has(message, path.c_str()) && has(message, "Reinstall"));
  std::remove(path.c_str());
}

void a_library_of_another_build_is_told_apart(const std::string& path) {
  const std::string message = failure(path);
  CHECK(has(message, "found 'skrr cuda 0, of another build'") && has(message, skrr::kCudaInterface));
}

// Both sides have a C++ runtime of their own inside: what one throws, the other catches, holds and throws again.
void what_a_library_throws_is_caught_here(const std::string& path) {
  for (int i = 0; i < 3; i++) {
    std::exception_ptr held;
    try {
      cuda_device(path, 1000);
    } catch (const std::exception&) {
      held = std::current_exception();
    }
    bool caught = false;
    try {
      if (held) std::rethrow_exception(held);
    } catch (const Cancelled&) {
    } catch (const Error& error) {
      caught = std::string(error.code) == "ERR_DEVICE" && has(error.what(), "cuda:1000");
    }
    CHECK(caught);
  }
}

// Only where it was built. Without a GPU it must say so; with GPUs, that there are fewer.
void the_real_library_answers_for_its_devices(const std::string& path) {
  const std::string message = failure(path, 1000);
  std::printf("%s\n", message.c_str());
  CHECK(has(message, "cuda:1000") && (has(message, "driver") || has(message, "expected an index from 0")));
}

}  // namespace

int main(int count, char** arguments) {
  a_missing_library_says_how_to_get_one();
  a_damaged_library_is_named();
  CHECK(has(cuda_library_path(), "/skrr_cuda.so"));
  a_library_of_another_build_is_told_apart(arguments[1]);
  what_a_library_throws_is_caught_here(arguments[2]);
  if (count > 3) the_real_library_answers_for_its_devices(arguments[3]);
  return finish("cuda library");
}
