// How the engine fails: one exception that carries a stable code, and one for work that was cancelled.
#pragma once

#include <stdexcept>
#include <string>

namespace skrr {

// A failure a caller can act on. `code` becomes the JavaScript error's code (src/errors.ts).
class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* const code;
};

// Not a failure: somebody asked the work to stop.
class Cancelled : public std::exception {
 public:
  const char* what() const noexcept override { return "cancelled"; }
};

}  // namespace skrr
