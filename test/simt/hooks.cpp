// What the compiler calls in kernel sources built with -fsanitize=thread,bounds,alignment,shift: every memory access,
// array index and shift passes here. The sanitizers' own libraries are not linked.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "test/simt/block.h"
#include "test/simt/report.h"

namespace {

void access(void* address, uint32_t bytes, uint32_t alignment, bool write, const void* code) {
  if (!simt::in_kernel()) return;  // host code of the same source
  simt::check_access(uintptr_t(address), bytes, alignment, write, simt::Place(code));
}

struct SourceLocation {
  const char* file;
  uint32_t line, column;
};

void undefined(const char* what, const SourceLocation* where) {
  const std::string text = std::string(what) + " at " + where->file + ":" + std::to_string(where->line);
  if (simt::in_kernel()) simt::report_and_end_block("undefined behaviour", simt::Place(), text);
  std::fprintf(stderr, "%s\n", text.c_str());
  std::abort();
}

}  // namespace

#define CALLER __builtin_return_address(0)
#define ACCESSES_OF(n)                                                                              \
  void __tsan_read##n(void* p) { access(p, n, n, false, CALLER); }                                  \
  void __tsan_write##n(void* p) { access(p, n, n, true, CALLER); }                                  \
  void __tsan_unaligned_read##n(void* p) { access(p, n, 1, false, CALLER); }                        \
  void __tsan_unaligned_write##n(void* p) { access(p, n, 1, true, CALLER); }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
ACCESSES_OF(1)
ACCESSES_OF(2)
ACCESSES_OF(4)
ACCESSES_OF(8)
ACCESSES_OF(16)
void __tsan_read_range(void* p, unsigned long n) { access(p, uint32_t(n), 1, false, CALLER); }
void __tsan_write_range(void* p, unsigned long n) { access(p, uint32_t(n), 1, true, CALLER); }

void __ubsan_handle_out_of_bounds(SourceLocation* where, void*) { undefined("array index out of bounds", where); }
void __ubsan_handle_type_mismatch_v1(SourceLocation* where, void*) { undefined("misaligned or null pointer", where); }
void __ubsan_handle_shift_out_of_bounds(SourceLocation* where, void*, void*) { undefined("shift out of range", where); }

}  // extern "C"
