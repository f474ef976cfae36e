// The instructions of sm_90a: barriers, the copy engine, wgmma.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "test/simt/block.h"
#include "test/simt/hopper_intrinsics.h"
#include "test/simt/ptx.h"
#include "test/simt/report.h"

namespace simt::ptx {
namespace {

namespace device = skrr::cuda;

uint64_t in(const Thread& t, const Instruction& i, size_t k) { return t.slots[size_t(i.in.at(k))]; }
uint32_t in_32(const Thread& t, const Instruction& i, size_t k) { return uint32_t(in(t, i, k)); }

void try_wait(Thread& t, const Instruction& i) {  // it may return early with false; here it waits
  device::mbarrier_wait(in_32(t, i, 0), in_32(t, i, 1), i.place());
  t.slots[size_t(i.out[0])] = 1;
}

void copy_box(Thread& t, const Instruction& i) {  // destination, map, column, row, barrier
  device::tma_load(in_32(t, i, 0), reinterpret_cast<const device::TensorMap*>(in(t, i, 1)), int(in_32(t, i, 3)),
                   int(in_32(t, i, 2)), in_32(t, i, 4), i.place());
}

void copy_box_to_cluster(Thread& t, const Instruction& i) {  // and which blocks
  device::tma_load_multicast(in_32(t, i, 0), reinterpret_cast<const device::TensorMap*>(in(t, i, 1)), int(in_32(t, i, 3)),
                             int(in_32(t, i, 2)), in_32(t, i, 4), uint16_t(in(t, i, 5)), i.place());
}

void cluster_address(Thread& t, const Instruction& i) {
  t.slots[size_t(i.out[0])] = device::cluster_address(in_32(t, i, 0), int(in_32(t, i, 1)), i.place());
}

// --- wgmma: the slots of D are lent to the machine as one array ---

template <int kColumns>
void multiply(Thread& t, const Instruction& i) {  // a, b, accumulate, signs of a and b, transpositions of a and b
  const uint64_t modifiers[] = {1, 1, 1, 0, 0};
  for (size_t k = 0; k < 5; k++) {
    if (in(t, i, 2 + k) != modifiers[k]) report_and_end_block("wgmma", i.place(), "the machine knows D += A B^T only");
  }
  const auto known = std::find_if(t.lent.begin(), t.lent.end(), [&](const auto& lent) { return lent->slots == i.out; });
  LentSlots* lent = known == t.lent.end() ? t.lent.emplace_back(std::make_unique<LentSlots>()).get() : known->get();
  if (lent->slots.empty()) {
    lent->slots = i.out;
    t.is_lent.resize(t.slots.size());
    for (const int slot : t.written_since) {
      if (std::find(i.out.begin(), i.out.end(), slot) == i.out.end()) continue;
      report("no wgmma fence", i.place(), "sums were written after the last wgmma.fence");
    }
    for (size_t k = 0; k < i.out.size(); k++) {
      uint64_t& slot = t.slots[size_t(i.out[k])];
      std::memcpy(&lent->values[k], &slot, sizeof(float));
      slot = 0xffffffff;  // NaN
      t.is_lent[size_t(i.out[k])] = true;
    }
  }
  device::wgmma(lent->values, kColumns, in(t, i, 0), in(t, i, 1), i.place());
}

void fence_products(Thread& t, const Instruction& i) {
  device::fence_products(i.place());
  t.fenced = true;
  t.written_since.clear();
}

void commit_products(Thread& t, const Instruction& i) {
  device::wgmma_commit(i.place());
  t.fenced = false;
}

void wait_for_products(Thread& t, const Instruction& i) {
  device::wait_for_products(int(in_32(t, i, 0)), i.place());
  const std::vector<Lent>& in_flight = running_thread().lent;
  for (size_t k = 0; k < t.lent.size();) {
    const LentSlots& lent = *t.lent[k];
    const auto is_it = [&](const Lent& l) { return l.address == uintptr_t(lent.values); };
    if (std::any_of(in_flight.begin(), in_flight.end(), is_it)) {
      k++;
      continue;
    }
    for (size_t s = 0; s < lent.slots.size(); s++) {
      uint64_t& slot = t.slots[size_t(lent.slots[s])];
      slot = 0;
      std::memcpy(&slot, &lent.values[s], sizeof(float));
      t.is_lent[size_t(lent.slots[s])] = false;
    }
    t.lent.erase(t.lent.begin() + long(k));
  }
}

const std::map<std::string, Execute>& opcodes() {
  static const std::map<std::string, Execute> table = {
      {"mbarrier.init.shared::cta.b64",
       [](Thread& t, const Instruction& i) { device::mbarrier_init(in_32(t, i, 0), in_32(t, i, 1), i.place()); }},
      {"mbarrier.arrive.shared::cta.b64",
       [](Thread& t, const Instruction& i) { device::mbarrier_arrive(in_32(t, i, 0), i.place()); }},
      {"mbarrier.arrive.expect_tx.shared::cta.b64",
       [](Thread& t, const Instruction& i) { device::mbarrier_arrive_expect(in_32(t, i, 0), in_32(t, i, 1), i.place()); }},
      {"mbarrier.arrive.release.cluster.shared::cluster.b64",
       [](Thread& t, const Instruction& i) { device::mbarrier_arrive_cluster(in_32(t, i, 0), i.place()); }},
      {"mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64", try_wait},
      {"mapa.shared::cluster.u32", cluster_address},
      {"barrier.cluster.arrive.release", [](Thread&, const Instruction&) {}},  // here all is done by its wait
      {"barrier.cluster.wait.acquire", [](Thread&, const Instruction& i) { device::cluster_sync(i.place()); }},
      {"fence.mbarrier_init.release.cluster", [](Thread&, const Instruction&) { device::fence_mbarrier_init(); }},
      {"fence.proxy.async.shared::cta", [](Thread&, const Instruction&) { device::fence_async_proxy(); }},
      {"fence.proxy.tensormap::generic.acquire.sys",
       [](Thread& t, const Instruction& i) {
         device::fence_tensor_map(reinterpret_cast<const device::TensorMap*>(in(t, i, 0)));
       }},
      {"cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes", copy_box},
      {"cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster",
       copy_box_to_cluster},
      {"cvta.param.u64",
       [](Thread& t, const Instruction& i) { t.slots[size_t(i.out[0])] = uintptr_t(t.parameters) + in(t, i, 0); }},
      {"wgmma.fence.sync.aligned", fence_products},
      {"wgmma.commit_group.sync.aligned", commit_products},
      {"wgmma.wait_group.sync.aligned", wait_for_products},
      {"wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16", multiply<128>},
      {"wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16", multiply<256>},
      {"setmaxnreg.inc.sync.aligned.u32",
       [](Thread& t, const Instruction& i) { device::set_registers(int(in_32(t, i, 0)), i.place()); }},
      {"setmaxnreg.dec.sync.aligned.u32",
       [](Thread& t, const Instruction& i) { device::set_registers(int(in_32(t, i, 0)), i.place()); }},
  };
  return table;
}

}  // namespace

Execute find_hopper_opcode(const std::string& opcode) {
  const auto found = opcodes().find(opcode);
  return found == opcodes().end() ? nullptr : found->second;
}

void watch_sums(Thread& t, const Instruction& i) {
  if (i.text.find("wgmma.mma_async") != std::string::npos) return;
  if (t.fenced) t.written_since.insert(t.written_since.end(), i.out.begin(), i.out.end());
  if (t.lent.empty()) return;
  for (const std::vector<int>* slots : {&i.in, &i.out}) {
    for (const int slot : *slots) {
      if (t.is_lent[size_t(slot)]) return report("not waited for", i.place(), "registers of products in flight are touched");
    }
  }
}

}  // namespace simt::ptx
