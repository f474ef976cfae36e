// The emulated half of cuda/hopper_intrinsics.cuh. Barriers, copies and products follow the PTX manual; no hardware has
// confirmed them yet.
#pragma once

#include "cuda/types.h"
#include "test/simt/place.h"

#define SKRR_GRID_CONSTANT

namespace skrr::cuda {

using simt::Place;

// --- mbarrier ---
void mbarrier_init(uint32_t barrier, uint32_t arrivals, const Place& place = Place::here());
void fence_mbarrier_init();
void mbarrier_arrive(uint32_t barrier, const Place& place = Place::here());
void mbarrier_arrive_expect(uint32_t barrier, uint32_t bytes, const Place& place = Place::here());
void mbarrier_arrive_cluster(uint32_t address, const Place& place = Place::here());
void mbarrier_wait(uint32_t barrier, uint32_t parity, const Place& place = Place::here());

// --- the asynchronous proxy ---
void fence_async_proxy();
void fence_tensor_map(const TensorMap* map);
// The box arrives when no thread can go on without it; until then the destination holds NaN.
void tma_load(uint32_t destination, const TensorMap* map, int row, int column, uint32_t barrier,
              const Place& place = Place::here());

void tma_load_multicast(uint32_t destination, const TensorMap* map, int row, int column, uint32_t barrier, uint16_t ranks,
                        const Place& place = Place::here());

// --- clusters ---
int cluster_rank();
uint32_t cluster_address(uint32_t offset, int rank, const Place& place = Place::here());
void cluster_sync(const Place& place = Place::here());

// --- wgmma: sums arrive at the wait; until then they are NaN, and touching them is reported ---
void fence_products(const Place& place);
template <int kAcross>
inline void wgmma_fence(float (&)[kAcross][4], const Place& place = Place::here()) {
  fence_products(place);
}
void wgmma_commit(const Place& place = Place::here());
void wait_for_products(int still_in_flight, const Place& place);
template <int kStillInFlight, int kAcross>
inline void wgmma_wait(float (&)[kAcross][4], const Place& place = Place::here()) {
  wait_for_products(kStillInFlight, place);
}
// d: this thread's part of D, kColumns / 2 sums.
void wgmma(float* d, int columns, uint64_t a, uint64_t b, const Place& place);
template <int kAcross>
inline void wgmma(float (&d)[kAcross][4], uint64_t a, uint64_t b, const Place& place = Place::here()) {
  wgmma(&d[0][0], kAcross * 8, a, b, place);
}

// --- registers ---
void set_registers(int registers, const Place& place);
template <int kRegisters>
inline void give_registers(const Place& place = Place::here()) {
  set_registers(kRegisters, place);
}
template <int kRegisters>
inline void take_registers(const Place& place = Place::here()) {
  set_registers(kRegisters, place);
}

}  // namespace skrr::cuda
