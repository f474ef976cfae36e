#include "engine/device.h"

#include <algorithm>

namespace skrr {

void require_kernels(const DeviceFacts& device, const Architecture& architecture) {
  for (const Attribute attribute : attributes_of(architecture)) {
    const std::vector<Attribute>& known = device.attributes;
    if (std::find(known.begin(), known.end(), attribute) != known.end()) continue;
    throw Error("ERR_DEVICE", "device " + device.id + ": this encoder has " + name_of(attribute) + ", for which there is no kernel yet");
  }
}

void require_precision(const DeviceFacts& device, int slot) {
  const Precision precision = precision_of(slot);
  if (std::find(device.precisions.begin(), device.precisions.end(), precision) != device.precisions.end()) return;
  std::string names;
  for (const Precision known : device.precisions) names += (names.empty() ? "" : ", ") + std::string(kPrecisionNames[int(known)]);
  throw Error("ERR_DEVICE", "the precision of sub-block " + std::to_string(sub_block_of(slot)) + ": found " +
                                kPrecisionNames[int(precision)] + ", expected " + names + ", which is what device " + device.id +
                                " holds weights in");
}

}  // namespace skrr
