// What the machine found wrong with a kernel. Findings are collected, not thrown: a kernel has no exceptions, and a test
// wants to see all of them.
#pragma once

#include <string>
#include <vector>

#include "test/simt/place.h"

namespace simt {

struct Finding {
  std::string kind;  // stable, for tests: "race", "uninitialised", "out of bounds", ...
  std::string text;
  int count;         // times met at the same place
};

void report(const char* kind, const Place& place, const std::string& text);
// For what the machine cannot go on from: reports, and ends the thread block. Called from a kernel's thread.
[[noreturn]] void report_and_end_block(const char* kind, const Place& place, const std::string& text);

// The findings since the last call, which forgets them.
std::vector<Finding> take_findings();

// From now on the first finding is printed and ends the process: for programs that do not ask for them.
void end_process_on_finding();

}  // namespace simt
