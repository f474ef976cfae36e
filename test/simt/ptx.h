// nvcc's own output, run on the machine: the PTX of a kernel in place of the host compiler's code, with the same launches,
// meetings and checks. Covers the instructions our kernels compile to; any other is an error that names it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/simt/place.h"

namespace simt::ptx {

struct Thread;
struct Instruction;
using Execute = void (*)(Thread&, const Instruction&);

// Registers, constants and special registers all have a slot of 64 bits.
struct Instruction {
  Execute execute = nullptr;
  std::string text;
  int line = 0;
  std::vector<int> out, in;  // slots
  int64_t offset = 0;        // of an address
  int predicate = -1;        // slot, or none
  bool negated = false;
  int target = 0;            // of a branch
  Place place() const { return Place::here(text.c_str(), line); }
};

struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<uint64_t> initial;  // slots at the start of a thread
  std::map<std::string, int> specials;  // %tid.x and the like
  std::map<std::string, size_t> parameters;  // offsets
  size_t parameter_bytes = 0;
};

// Slots that belong to the tensor cores until a wait, and what these make of them.
struct LentSlots {
  std::vector<int> slots;
  float values[128];
};

struct Thread {
  std::vector<uint64_t>& slots;
  const unsigned char* parameters;
  size_t next;  // instruction
  bool done = false;
  std::vector<std::unique_ptr<LentSlots>> lent = {};
  std::vector<bool> is_lent = {};       // by slot, once some have been
  bool fenced = false;                  // between wgmma.fence and its products
  std::vector<int> written_since = {};  // slots
};

// What carries out `opcode`, such as "add.s32"; null when there is nothing.
Execute find_opcode(const std::string& opcode);
Execute find_hopper_opcode(const std::string& opcode);  // those of sm_90a alone
// Watches what an instruction does between wgmma.fence and the wait: it may not touch the sums.
void watch_sums(Thread& t, const Instruction& i);

// The kernels of a .ptx file. Ends the process with a message for what it does not understand.
std::vector<Program> parse(const std::string& path);

// The program for the kernel at a host address, from the files of the folder SKRR_PTX names; null when it is not set.
const Program* program_of(const void* kernel);

// One thread of a launch.
void run(const Program& program, const unsigned char* parameters);

}  // namespace simt::ptx
