// What a tensor is for in its sub-block. (In the order of ROLES in src/model/roles.ts.) A new role is one line here and
// one there.
#pragma once

namespace skrr {

enum class Role {
  kNorm,
  kNormBias,
  kPostNorm,
  kQ,
  kK,
  kV,
  kO,
  kQBias,
  kKBias,
  kVBias,
  kOBias,
  kQNorm,
  kKNorm,
  kDistance,  // [buckets, heads]
  kGate,      // the half of a gated feed-forward that is activated
  kUp,
  kDown,
  kGateBias,
  kUpBias,
  kDownBias,
  // In place of the matrices in packed checkpoints (engine/packed_layout.h). in: q over k over v, or gate and up panel by
  // panel; out: o, or down.
  kIn,
  kInScales,
  kOut,
  kOutScales,
};

struct RoleFacts {
  const char* name;
  enum Kind { kMatrix, kVector, kDistanceTable, kPacked } kind;  // kPacked: used where it lies
};

constexpr RoleFacts kRoleFacts[] = {
    {"norm", RoleFacts::kVector},     {"normBias", RoleFacts::kVector}, {"postNorm", RoleFacts::kVector},
    {"q", RoleFacts::kMatrix},
    {"k", RoleFacts::kMatrix},        {"v", RoleFacts::kMatrix},        {"o", RoleFacts::kMatrix},
    {"qBias", RoleFacts::kVector},    {"kBias", RoleFacts::kVector},    {"vBias", RoleFacts::kVector},
    {"oBias", RoleFacts::kVector},    {"qNorm", RoleFacts::kVector},    {"kNorm", RoleFacts::kVector},
    {"distance", RoleFacts::kDistanceTable}, {"gate", RoleFacts::kMatrix},     {"up", RoleFacts::kMatrix},
    {"down", RoleFacts::kMatrix},     {"gateBias", RoleFacts::kVector}, {"upBias", RoleFacts::kVector},
    {"downBias", RoleFacts::kVector}, {"in", RoleFacts::kPacked},       {"inScales", RoleFacts::kPacked},
    {"out", RoleFacts::kPacked},      {"outScales", RoleFacts::kPacked},
};
constexpr int kRoles = int(sizeof kRoleFacts / sizeof *kRoleFacts);
static_assert(kRoles == int(Role::kOutScales) + 1, "one row for each role");

constexpr RoleFacts::Kind kind_of(Role role) { return kRoleFacts[int(role)].kind; }

}  // namespace skrr
