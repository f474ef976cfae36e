#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <type_traits>

#include "test/simt/block.h"
#include "test/simt/intrinsics.h"
#include "test/simt/ptx.h"

namespace simt::ptx {
namespace {

template <class T>
T in(const Thread& t, const Instruction& i, size_t k) {
  T value{};
  if (k < i.in.size()) std::memcpy(&value, &t.slots[size_t(i.in[k])], sizeof(T));
  return value;
}

template <class T>
void out(Thread& t, const Instruction& i, size_t k, T value) {
  uint64_t& slot = t.slots[size_t(i.out[k])];
  slot = 0;
  std::memcpy(&slot, &value, sizeof(T));
}

// A signed value fills its register, however wide that is.
template <class T>
void out_extended(Thread& t, const Instruction& i, size_t k, T value) {
  if constexpr (std::is_signed_v<T>) {
    out(t, i, k, int64_t(value));
  } else {
    out(t, i, k, value);
  }
}

// --- memory ---

template <class T, bool kShared>
uintptr_t address_of(const Thread& t, const Instruction& i, size_t count, bool write) {
  const uintptr_t address = kShared ? uintptr_t(running_block().shared) + uint32_t(in<uint32_t>(t, i, 0) + i.offset)
                                    : uintptr_t(in<uint64_t>(t, i, 0) + uint64_t(i.offset));
  check_access(address, uint32_t(sizeof(T) * count), uint32_t(sizeof(T) * count), write, i.place());
  return address;
}

template <class T, bool kShared>
void load(Thread& t, const Instruction& i) {
  const uintptr_t address = address_of<T, kShared>(t, i, i.out.size(), false);
  for (size_t k = 0; k < i.out.size(); k++) {
    T value;
    std::memcpy(&value, reinterpret_cast<const void*>(address + k * sizeof(T)), sizeof(T));
    out_extended(t, i, k, value);
  }
}

template <class T, bool kShared>
void store(Thread& t, const Instruction& i) {  // in: the address, then the values
  const uintptr_t address = address_of<T, kShared>(t, i, i.in.size() - 1, true);
  for (size_t k = 1; k < i.in.size(); k++) {
    const T value = in<T>(t, i, k);
    std::memcpy(reinterpret_cast<void*>(address + (k - 1) * sizeof(T)), &value, sizeof(T));
  }
}

template <class T>
void load_parameter(Thread& t, const Instruction& i) {
  for (size_t k = 0; k < i.out.size(); k++) {
    T value;
    std::memcpy(&value, t.parameters + in<uint64_t>(t, i, 0) + i.offset + k * sizeof(T), sizeof(T));
    out_extended(t, i, k, value);
  }
}

template <class T>
Execute memory_of(const std::string& kind) {
  if (kind == "ld.param") return load_parameter<T>;
  if (kind == "ld.global" || kind == "ld") return load<T, false>;
  if (kind == "ld.shared") return load<T, true>;
  if (kind == "st.global" || kind == "st") return store<T, false>;
  if (kind == "st.shared") return store<T, true>;
  return nullptr;
}

// ld and st with their space, width and type: "ld.global.v4.f32".
Execute find_memory(std::string opcode) {
  const size_t dot = opcode.rfind('.');
  const std::string type = opcode.substr(dot + 1);
  std::string kind = opcode.substr(0, dot);
  for (const char* vector : {".v2", ".v4"}) {
    if (kind.size() > 3 && kind.substr(kind.size() - 3) == vector) kind.resize(kind.size() - 3);
  }
  if (type == "f64" || type == "u64" || type == "b64" || type == "s64") return memory_of<uint64_t>(kind);
  if (type == "f32" || type == "u32" || type == "b32") return memory_of<uint32_t>(kind);
  if (type == "s32") return memory_of<int32_t>(kind);
  if (type == "u16" || type == "b16") return memory_of<uint16_t>(kind);
  if (type == "u8" || type == "b8") return memory_of<uint8_t>(kind);
  if (type == "s8") return memory_of<int8_t>(kind);
  return nullptr;
}

// --- what lanes and blocks do together ---

void shuffle(Thread& t, const Instruction& i) {  // value, lane mask, clamp, members
  out(t, i, 0, shuffle_xor(in<uint32_t>(t, i, 3), in<uint32_t>(t, i, 0), in<int>(t, i, 1), i.place()));
}

void copy_async(Thread& t, const Instruction& i) {  // destination, source, 16, bytes taken from the source
  skrr::cuda::cp_async_16(in<uint32_t>(t, i, 0), reinterpret_cast<const void*>(in<uint64_t>(t, i, 1)),
                          in<uint32_t>(t, i, 3) == 16, i.place());
}

template <bool kTransposed>
void load_matrices(Thread& t, const Instruction& i) {
  uint32_t r[4];
  const uint32_t address = in<uint32_t>(t, i, 0) + uint32_t(i.offset);
  kTransposed ? skrr::cuda::ldmatrix_x4_trans(r, address, i.place()) : skrr::cuda::ldmatrix_x4(r, address, i.place());
  for (size_t k = 0; k < 4; k++) out(t, i, k, r[k]);
}

void multiply_matrices(Thread& t, const Instruction& i) {  // in: a (4), b (2), c (4)
  uint32_t a[4];
  float d[4];
  for (size_t k = 0; k < 4; k++) a[k] = in<uint32_t>(t, i, k), d[k] = in<float>(t, i, 6 + k);
  skrr::cuda::mma_bf16(d, a, in<uint32_t>(t, i, 4), in<uint32_t>(t, i, 5), i.place());
  for (size_t k = 0; k < 4; k++) out(t, i, k, d[k]);
}

void move_64(Thread& t, const Instruction& i) {  // whole, apart or together
  const uint64_t whole = i.in.size() == 2 ? uint64_t(in<uint32_t>(t, i, 1)) << 32 | in<uint32_t>(t, i, 0)
                                          : in<uint64_t>(t, i, 0);
  out(t, i, 0, i.out.size() == 2 ? uint64_t(uint32_t(whole)) : whole);
  if (i.out.size() == 2) out(t, i, 1, uint32_t(whole >> 32));
}

// --- arithmetic: one line an opcode, a, b, c its operands ---

#define OPCODE(name, type, expression)                                                    \
  {name, [](Thread& t, const Instruction& i) {                                            \
     [[maybe_unused]] const type a = in<type>(t, i, 0), b = in<type>(t, i, 1), c = in<type>(t, i, 2); \
     out(t, i, 0, expression);                                                            \
   }}
#define COMPARE(name, type, expression) OPCODE(name, type, uint8_t(expression))

const std::map<std::string, Execute>& opcodes() {
  static const std::map<std::string, Execute> table = {
      OPCODE("add.f32", float, a + b), OPCODE("sub.f32", float, a - b), OPCODE("mul.f32", float, a * b),
      OPCODE("min.f32", float, std::fmin(a, b)), OPCODE("max.f32", float, std::fmax(a, b)), OPCODE("abs.f32", float, std::fabs(a)),
      OPCODE("fma.rn.f32", float, std::fma(a, b, c)), OPCODE("div.rn.f32", float, a / b),
      OPCODE("rcp.rn.f32", float, 1.0f / a), OPCODE("sqrt.rn.f32", float, std::sqrt(a)),
      OPCODE("copysign.f32", float, std::copysign(b, a)),
      OPCODE("ex2.approx.ftz.f32", float, skrr::cuda::exp2_approx(a)),
      OPCODE("rcp.approx.ftz.f32", float, skrr::cuda::reciprocal_approx(a)),
      OPCODE("add.f64", double, a + b), OPCODE("sub.f64", double, a - b), OPCODE("mul.f64", double, a * b),
      OPCODE("fma.rn.f64", double, std::fma(a, b, c)),

      OPCODE("add.s32", uint32_t, a + b), OPCODE("sub.s32", uint32_t, a - b), OPCODE("mul.lo.s32", uint32_t, a * b),
      OPCODE("mad.lo.s32", uint32_t, a * b + c), OPCODE("neg.s32", uint32_t, 0u - a), OPCODE("div.s32", int32_t, a / b),
      OPCODE("rem.s32", int32_t, a % b),
      OPCODE("min.u32", uint32_t, std::min(a, b)), OPCODE("min.s32", int32_t, std::min(a, b)), OPCODE("max.s32", int32_t, std::max(a, b)),
      OPCODE("and.b32", uint32_t, a & b), OPCODE("or.b32", uint32_t, a | b), OPCODE("xor.b32", uint32_t, a ^ b),
      OPCODE("and.b16", uint16_t, uint16_t(a & b)), OPCODE("not.b32", uint32_t, ~a), OPCODE("shl.b32", uint32_t, b > 31 ? 0 : a << b),
      OPCODE("shr.u32", uint32_t, b > 31 ? 0 : a >> b), OPCODE("shr.s32", int32_t, a >> std::min<uint32_t>(uint32_t(b), 31)),
      OPCODE("shr.u16", uint16_t, uint16_t(b > 15 ? 0 : a >> b)),
      OPCODE("add.s64", uint64_t, a + b), OPCODE("sub.s64", uint64_t, a - b), OPCODE("mul.lo.s64", uint64_t, a * b),
      OPCODE("mul.wide.s32", int32_t, int64_t(a) * int64_t(b)), OPCODE("mul.wide.u32", uint32_t, uint64_t(a) * uint64_t(b)),
      {"shl.b64", [](Thread& t, const Instruction& i) {
         const uint32_t by = in<uint32_t>(t, i, 1);
         out(t, i, 0, by > 63 ? 0 : in<uint64_t>(t, i, 0) << by);
       }},

      OPCODE("cvt.s64.s32", int32_t, int64_t(a)), OPCODE("cvt.u64.u32", uint32_t, uint64_t(a)),
      OPCODE("cvt.u32.u16", uint16_t, uint32_t(a)),
      OPCODE("cvt.u32.u64", uint64_t, uint32_t(a)), OPCODE("cvt.f64.f32", float, double(a)),
      OPCODE("cvt.rn.f32.s32", int32_t, float(a)),
      OPCODE("cvt.rn.bf16x2.f32", float, skrr::cuda::pack_bf16x2(b, a)),  // the first operand becomes the high half
      OPCODE("cvta.to.global.u64", uint64_t, a), OPCODE("mov.u16", uint16_t, a), OPCODE("mov.u32", uint32_t, a), OPCODE("mov.b32", uint32_t, a),
      OPCODE("mov.f32", uint32_t, a), OPCODE("mov.u64", uint64_t, a), OPCODE("mov.f64", uint64_t, a),
      OPCODE("mov.pred", uint8_t, a),

      COMPARE("setp.eq.s32", int32_t, a == b), COMPARE("setp.ne.s32", int32_t, a != b),
      COMPARE("setp.eq.u32", uint32_t, a == b),
      COMPARE("setp.lt.s32", int32_t, a < b), COMPARE("setp.le.s32", int32_t, a <= b),
      COMPARE("setp.gt.s32", int32_t, a > b), COMPARE("setp.ge.s32", int32_t, a >= b),
      COMPARE("setp.lt.u32", uint32_t, a < b), COMPARE("setp.gt.u32", uint32_t, a > b),
      COMPARE("setp.eq.b32", uint32_t, a == b), COMPARE("setp.ne.b32", uint32_t, a != b),
      COMPARE("setp.eq.s64", int64_t, a == b), COMPARE("setp.ne.s64", int64_t, a != b),
      COMPARE("setp.lt.s64", int64_t, a < b), COMPARE("setp.leu.f32", float, !(a > b)),
      COMPARE("setp.ge.u64", uint64_t, a >= b), COMPARE("setp.eq.s16", int16_t, a == b),
      COMPARE("setp.eq.f32", float, a == b), COMPARE("setp.ge.f32", float, a >= b), COMPARE("setp.gt.f32", float, a > b), COMPARE("setp.lt.f32", float, a < b),
      OPCODE("and.pred", uint8_t, uint8_t(a & b)), OPCODE("or.pred", uint8_t, uint8_t(a | b)),
      OPCODE("xor.pred", uint8_t, uint8_t(a ^ b)),
      OPCODE("not.pred", uint8_t, uint8_t(!a)), OPCODE("selp.b32", uint32_t, (c & 1) ? a : b),
      OPCODE("selp.f32", uint32_t, (c & 1) ? a : b), OPCODE("selp.b64", uint64_t, (c & 1) ? a : b),
      OPCODE("selp.u32", uint32_t, (c & 1) ? a : b), OPCODE("or.b64", uint64_t, a | b),
      COMPARE("setp.ne.s16", int16_t, a != b),

      {"mov.b64", move_64},
      {"bra", [](Thread& t, const Instruction& i) { t.next = size_t(i.target); }},
      {"bra.uni", [](Thread& t, const Instruction& i) { t.next = size_t(i.target); }},
      {"ret", [](Thread& t, const Instruction&) { t.done = true; }},
      {"bar.warp.sync", [](Thread&, const Instruction& i) { skrr::cuda::sync_warp(i.place()); }},
      {"bar.sync", [](Thread&, const Instruction& i) { sync_threads(i.place()); }},
      {"shfl.sync.bfly.b32", shuffle},
      {"cp.async.cg.shared.global.L2::128B", copy_async},
      {"cp.async.commit_group", [](Thread&, const Instruction&) { skrr::cuda::cp_async_commit(); }},
      {"cp.async.wait_group", [](Thread& t, const Instruction& i) { skrr::cuda::wait_for_groups(in<int>(t, i, 0)); }},
      {"ldmatrix.sync.aligned.m8n8.x4.shared.b16", load_matrices<false>},
      {"ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", load_matrices<true>},
      {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", multiply_matrices},
  };
  return table;
}

}  // namespace

Execute find_opcode(const std::string& opcode) {
  if (opcode.rfind("ld.", 0) == 0 || opcode.rfind("st.", 0) == 0) return find_memory(opcode);
  const auto found = opcodes().find(opcode);
  return found == opcodes().end() ? find_hopper_opcode(opcode) : found->second;
}

void run(const Program& program, const unsigned char* parameters) {
  // Kept from launch to launch: hundreds of threads with tens of thousands of slots, which the system would hand out anew.
  static std::deque<std::vector<uint64_t>> slots_of;
  const size_t number = size_t(running_thread().number);
  if (slots_of.size() <= number) slots_of.resize(number + 1);
  slots_of[number] = program.initial;
  Thread t{slots_of[number], parameters, 0};
  for (const auto& [name, slot] : program.specials) {
    if (name == "%cluster_ctarank") {
      t.slots[size_t(slot)] = uint64_t(running_block().rank);
      continue;
    }
    const Dim3 value = name[1] == 't' ? thread_index() : name[1] == 'c' ? block_index() : grid_size();
    t.slots[size_t(slot)] = name.back() == 'x' ? value.x : name.back() == 'y' ? value.y : value.z;
  }
  while (!t.done) {
    const Instruction& i = program.code[t.next++];
    if (t.fenced || !t.lent.empty()) watch_sums(t, i);
    if (i.predicate < 0 || bool(t.slots[size_t(i.predicate)] & 1) != i.negated) i.execute(t, i);
  }
}

}  // namespace simt::ptx
