// The emulated machine against a GPU: what the tensor cores, ldmatrix, cp.async and the approximations answer to random bits.
//
//   hardware_intrinsics --write test/cuda/intrinsics.golden     on a GPU: records its answers, to be committed
//   hardware_intrinsics | test_cuda_intrinsics                  compares with the record
//
// There is no record before a GPU has made one: then the comparison is skipped (77), and says so. What must hold without one
// is checked all the same: the answers come without a finding, and the comparison notices a bit that is wrong.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

#include "test/cuda/device_test.h"
#include "test/cuda/intrinsics_probe.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

constexpr int kThreads = kProbeBlocks * 32;

std::vector<ProbeInput> random_inputs() {
  std::mt19937 bits(20261123);
  const auto uniform = [&](float low, float high) { return low + (high - low) * (float(bits() >> 8) / float(1 << 24)); };
  std::vector<ProbeInput> inputs(kThreads);
  for (ProbeInput& in : inputs) {
    for (uint32_t& word : in.copied) word = uint32_t(bits());
    for (uint32_t* word : {&in.a[0], &in.a[1], &in.a[2], &in.a[3], &in.b[0], &in.b[1]}) {
      *word = (uint32_t(bits()) & 0x80ff80ffu) | 0x3f003f00u;
    }
    for (float& c : in.c) c = uniform(-8, 8);
    for (float& value : in.packed) value = std::ldexp(uniform(-2, 2), int(bits() % 80) - 40);
    in.exponent = uniform(-20, 20);
    in.divisor = (bits() % 2 ? 1.0f : -1.0f) * uniform(1, 2);
  }
  return inputs;
}

std::vector<ProbeOutput> answers() {
  const OnDevice<ProbeInput> in(random_inputs());
  const OnDevice<ProbeOutput> out(kThreads);
  probe_intrinsics(test_device().stream(), in.data(), out.data());
  test_device().wait();
  return out.values();
}

// How many answers differ. Copies and roundings to the bit; approximations by the units in the last place the PTX manual
// gives them on either side; sums of 17 terms below 8 by what an order and a width of the adder of its own may make of them.
int differences(const std::vector<ProbeOutput>& got, const std::vector<ProbeOutput>& expected) {
  const auto near = [](float a, float b, float tolerance) { return std::fabs(a - b) <= tolerance; };
  int count = 0;
  for (size_t i = 0; i < got.size(); i++) {
    const ProbeOutput &g = got[i], &e = expected[i];
    bool same = std::memcmp(g.matrices, e.matrices, sizeof g.matrices) == 0 &&
                std::memcmp(g.transposed, e.transposed, sizeof g.transposed) == 0 && g.packed == e.packed &&
                near(g.power, e.power, std::fabs(e.power) * 4 / (1 << 23)) &&
                near(g.reciprocal, e.reciprocal, std::fabs(e.reciprocal) * 2 / (1 << 23));
    for (int s = 0; s < 4; s++) same = same && near(g.sums[s], e.sums[s], 1e-4f);
    count += same ? 0 : 1;
  }
  return count;
}

void a_wrong_answer_is_noticed(const std::vector<ProbeOutput>& right) {
  const auto noticed = [&](auto change) {
    std::vector<ProbeOutput> wrong = right;
    change(wrong[wrong.size() / 2]);
    return differences(wrong, right) == 1;
  };
  CHECK(differences(right, right) == 0);
  CHECK(noticed([](ProbeOutput& o) { o.matrices[3] ^= 1; }));
  CHECK(noticed([](ProbeOutput& o) { o.transposed[0] ^= 0x80000000u; }));
  CHECK(noticed([](ProbeOutput& o) { o.sums[2] += 1e-3f; }));
  CHECK(noticed([](ProbeOutput& o) { o.packed ^= 0x10000u; }));
  CHECK(noticed([](ProbeOutput& o) { o.power *= 1.00001f; }));
  CHECK(noticed([](ProbeOutput& o) { o.reciprocal *= 1.00001f; }));
}

int compare_with_record(const std::vector<ProbeOutput>& got, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::printf("skipped: %s is not there. No GPU has recorded its answers yet: hardware_intrinsics --write\n", path.c_str());
    return 77;
  }
  std::vector<ProbeOutput> recorded(got.size());
  file.read(reinterpret_cast<char*>(recorded.data()), std::streamsize(recorded.size() * sizeof(ProbeOutput)));
  CHECK(size_t(file.gcount()) == recorded.size() * sizeof(ProbeOutput) && file.peek() == EOF);
  CHECK_AT_MOST(differences(got, recorded), 0);
  return finish("intrinsics");
}

}  // namespace

int main(int count, char** arguments) {
  skip_without_device();
  const std::vector<ProbeOutput> got = answers();
  check_findings();
  a_wrong_answer_is_noticed(got);
  if (failures > 0) return finish("intrinsics");
#if defined(SKRR_ON_HARDWARE)
  if (count == 3 && std::strcmp(arguments[1], "--write") == 0) {
    std::ofstream file(arguments[2], std::ios::binary);
    file.write(reinterpret_cast<const char*>(got.data()), std::streamsize(got.size() * sizeof(ProbeOutput)));
    CHECK(file.good());
    return finish("intrinsics, recorded");
  }
#endif
  return compare_with_record(got, count > 1 ? arguments[1] : SKRR_INTRINSICS_RECORD);
}
