// What has no kernel is refused by name, on every device.
#include <functional>

#include "cpu/device.h"
#include "engine/device.h"
#include "test/engine/models.h"

using namespace skrr;

namespace {

std::string refusal(const std::function<void(Architecture&)>& change) {
  Architecture a = models::architecture_of({});
  change(a);
  require_kernels(cpu::make_device(1)->facts(), a);  // has them all
  try {
    require_kernels({"bare", "a device without any", {}, {}}, a);
  } catch (const Error& error) {
    CHECK(std::string(error.code) == "ERR_DEVICE");
    return error.what();
  }
  return "";
}

void each_attribute_is_named() {
  const auto of_attention = [](const std::function<void(Attention&)>& change) {
    return refusal([&](Architecture& a) { change(a.blocks.back().attention); });
  };
  const auto of_feed_forward = [](const std::function<void(FeedForward&)>& change) {
    return refusal([&](Architecture& a) { change(a.blocks.back().feed_forward); });
  };
  const Norm layer{Norm::Kind::kLayer, 1e-5f};
  const std::pair<std::string, const char*> cases[] = {
      {of_attention([&](Attention& a) { a.norm = layer; }), "LayerNorm"},
      {of_attention([&](Attention& a) { a.post_norm = layer; }), "a norm after a sub-block"},
      {of_attention([](Attention& a) { a.key_heads = 1; }), "grouped key heads"},
      {of_attention([](Attention& a) { a.bias = Bias::kQkv; }), "biases of an attention"},
      {of_attention([&](Attention& a) { a.head_norm = layer; }), "norms of heads"},
      {of_attention([](Attention& a) { a.scale = 0.125f; }), "a scale of logits"},
      {of_attention([](Attention& a) { a.softcap = 50.0f; }), "a softcap of logits"},
      {of_attention([](Attention& a) { a.rope = Rope{{1, 0.1}}; }), "rotary positions"},
      {of_feed_forward([&](FeedForward& f) { f.norm = layer; }), "LayerNorm"},
      {of_feed_forward([](FeedForward& f) { f.bias = true; }), "biases of a feed-forward"},
      {of_feed_forward([](FeedForward& f) { f.activation = Activation::kGelu; }), "the activation gelu"},
      {of_feed_forward([](FeedForward& f) { f.activation = Activation::kQuickGelu; }), "the activation quick_gelu"},
      {of_feed_forward([](FeedForward& f) { f.activation = Activation::kSilu; }), "the activation silu"},
      {refusal([&](Architecture& a) { a.output_norm = layer; }), "LayerNorm"},
  };
  for (const auto& [found, name] : cases) {
    CHECK(found == std::string("device bare: this encoder has ") + name + ", for which there is no kernel yet");
  }
  CHECK(refusal([](Architecture&) {}).empty());
}

}  // namespace

int main() {
  each_attribute_is_named();
  return finish("architecture");
}
