#include "transforms/rotate.h"

#include <algorithm>
#include <cstring>

#include "arch/family.h"
#include "arch/model_config.h"
#include "transforms/rotation.h"

namespace carat {
namespace {

class Ones final : public TensorData {
 public:
  explicit Ones(int64_t columns) : columns_(columns) {}
  Status read_bytes(int64_t, int64_t count, uint8_t* out) const override {
    const std::vector<float> ones(static_cast<size_t>(count * columns_), 1.0f);
    std::memcpy(out, ones.data(), ones.size() * sizeof(float));
    return {};
  }

 private:
  int64_t columns_;
};

class Rotate final : public Transform {
 public:
  std::string_view name() const override { return "rotate"; }
  bool needs_statistics() const override { return false; }
  std::string record(const TransformOptions& o) const override { return fmt::format("seed={}", o.seed); }

  Status lay_out(Checkpoint& checkpoint) const override {
    CARAT_TRY(const ModelConfig config, read_model_config(checkpoint));
    if (config.experts.count > 0 || config.latent.rank > 0)
      return usage_error("{}: rotate cannot be used with mixtures of experts or latent attention yet",
                         checkpoint.source);
    const Family& family = *find_family(config.architecture);
    if (config.norm != NormKind::rms || !family.rule(Role::query) || !family.rule(Role::gate))
      return usage_error(
          "{}: rotate cannot be used with {}; only with families whose blocks are like llama's",
          checkpoint.source, config.architecture);
    if (config.post_norms)
      return usage_error(
          "{}: rotate cannot be used with {}, which norms what attention and feed-forward give channel by "
          "channel",
          checkpoint.source, config.architecture);
    if (!config.tied_embeddings) return {};
    CARAT_TRY(const Tensor* embedding, checkpoint.at(family.rule(Role::token_embedding)->gguf_name(0)));
    Tensor output = *embedding;
    output.name = family.rule(Role::output)->gguf_name(0);
    checkpoint.tensors.push_back(std::move(output));
    return checkpoint.reindex();
  }

  Status apply(const Context&, const TransformOptions& options, TransformSubject& subject) const override {
    Checkpoint& model = subject.checkpoint;
    CARAT_TRY(const ModelConfig config, read_model_config(model));
    const Family& family = *find_family(config.architecture);
    const auto residual = std::make_shared<const Rotation>(config.width, options.seed);
    const auto values = std::make_shared<const Rotation>(config.value_dim, options.seed + 1);
    const auto rewrite = [&](Role role, int64_t layer, auto&& how) -> Status {
      const std::string name = family.rule(role)->gguf_name(layer);
      const auto at = std::ranges::find(model.tensors, name, &Tensor::name);
      // Half a rotated model would compute something else.
      if (at == model.tensors.end()) return bad_data("{}: tensor {} is missing", model.source, name);
      *at = how(*at);
      return {};
    };
    CARAT_DO(rewrite(Role::token_embedding, 0,
                     [&](const Tensor& t) { return with_rotated_columns(t, residual); }));
    for (const NormReaders& norm : family.norms) {
      const int64_t layers = family.rule(norm.norm)->per_layer() ? config.layers : 1;
      for (int64_t l = 0; l < layers; ++l) {
        CARAT_TRY(const Tensor* gain, model.at(family.rule(norm.norm)->gguf_name(l)));
        CARAT_TRY(const std::vector<float> gains, gain->read_all());
        for (const Role reader : norm.readers)
          CARAT_DO(rewrite(reader, l, [&](const Tensor& t) {
            return with_rotated_columns(t, residual, {gains.begin(), gains.end()});
          }));
        CARAT_DO(rewrite(norm.norm, l, [&](const Tensor& t) {
          Tensor ones = t;
          ones.encoding = &encoding_f32();
          ones.data = std::make_shared<Ones>(config.width);
          return ones;
        }));
      }
    }
    for (int64_t l = 0; l < config.layers; ++l) {
      CARAT_DO(rewrite(Role::value, l, [&](const Tensor& t) { return with_rotated_rows(t, values); }));
      if (config.qkv_bias)
        CARAT_DO(
            rewrite(Role::value_bias, l, [&](const Tensor& t) { return with_rotated_columns(t, values); }));
      CARAT_DO(rewrite(Role::attention_output, l, [&](const Tensor& t) {
        return with_rotated_rows(with_rotated_columns(t, values), residual);
      }));
      CARAT_DO(rewrite(Role::down, l, [&](const Tensor& t) { return with_rotated_rows(t, residual); }));
    }
    return {};
  }
};

}  // namespace

const Transform* rotate_transform() {
  static const Rotate transform;
  return &transform;
}

}  // namespace carat
