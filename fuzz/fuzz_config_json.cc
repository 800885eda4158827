// Any bytes as the config.json of a small model whose tensors are all there: read, mapped, checked, written
// back.
#include <string_view>

#include "arch/hf_config.h"
#include "arch/hf_import.h"
#include "arch/model_config.h"
#include "arch/tensor_views.h"
#include "fuzz/check.h"

namespace {

using carat::fuzz::check;

/// The tensors of a Llama of 2 layers, 64 columns, 4 heads in 2 groups, 96 feed-forward channels, 32 tokens.
carat::Checkpoint small_model() {
  carat::Checkpoint c;
  c.source = "fuzz";
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    carat::Tensor t{name, std::move(shape), &carat::encoding_f32(), nullptr};
    t.data = carat::float_data(std::vector<float>(static_cast<size_t>(t.elements()), 0.5f), t.columns());
    c.tensors.push_back(std::move(t));
  };
  add("model.embed_tokens.weight", {32, 64});
  add("lm_head.weight", {32, 64});
  add("model.norm.weight", {64});
  for (const std::string layer : {"0", "1"}) {
    const std::string p = "model.layers." + layer + ".";
    add(p + "input_layernorm.weight", {64});
    add(p + "post_attention_layernorm.weight", {64});
    add(p + "self_attn.q_proj.weight", {64, 64});
    add(p + "self_attn.k_proj.weight", {32, 64});
    add(p + "self_attn.v_proj.weight", {32, 64});
    add(p + "self_attn.o_proj.weight", {64, 64});
    add(p + "mlp.gate_proj.weight", {96, 64});
    add(p + "mlp.up_proj.weight", {96, 64});
    add(p + "mlp.down_proj.weight", {64, 96});
  }
  check(c.reindex().ok());
  return c;
}

template <class T>
bool fine(const carat::Result<T>& result) {
  if (result.ok()) return true;
  check(result.error().code == carat::Code::bad_data);
  check(!result.error().message.empty() && result.error().message.size() < 2000);
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const carat::Checkpoint source = small_model();
  const auto config = carat::read_hf_config({reinterpret_cast<const char*>(data), size});
  if (!fine(config)) return 0;
  carat::Checkpoint c;
  c.source = "fuzz";
  std::vector<std::string> left_out;
  if (!fine(carat::map_tensors(*config, source, c.tensors, left_out)) || !fine(c.reindex())) return 0;
  c.metadata = config->metadata;
  c.metadata.set("general.architecture", carat::Value::string(std::string(config->family->architecture)));
  for (const carat::Tensor& t : c.tensors) check(t.read_all().ok());
  const auto model = carat::read_model_config(c);
  if (fine(model)) {
    std::vector<float> cos(model->rotary_dim / 2), sin(model->rotary_dim / 2);
    carat::rope_row(*model, 1000, cos.data(), sin.data());
  }
  carat::HfExport facts;
  facts.family = config->family;
  facts.torch_dtype = "float32";
  facts.vocabulary = 32;
  facts.divisors = config->divisors;
  const auto again = carat::make_hf_config(c.metadata, facts, config->object);
  if (fine(again)) fine(carat::read_hf_config(carat::json::serialize(*again)));
  return 0;
}
