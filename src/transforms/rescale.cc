#include "transforms/rescale.h"

#include <cmath>
#include <unordered_map>

#include "arch/family.h"
#include "arch/model_config.h"
#include "base/digest.h"
#include "base/random.h"
#include "transforms/overlay.h"

namespace carat {
namespace {

/// Overlays by tensor name, grown group by group.
class Rewrites {
 public:
  Rewrites(const Family& family, const ModelConfig& config, uint64_t seed, double sigma)
      : family_(family), config_(config), seed_(seed), sigma_(sigma) {}

  void scale_norm(const NormReaders& group, int64_t layer) {
    const std::string norm = name(group.norm, layer);
    const std::vector<double> s = factors(norm, config_.width);
    multiply(overlays_[norm].column_scale, s);
    for (const Role reader : group.readers) multiply(overlays_[name(reader, layer)].column_scale, inverse(s));
  }

  void scale_pair(const ChannelPair& pair, int64_t layer) {
    const std::string producer = name(pair.producer, layer);
    const int64_t channels =
        pair.grouped ? int64_t{config_.kv_heads} * config_.value_dim : config_.feed_forward;
    const std::vector<double> s = factors(producer, channels);
    multiply(overlays_[producer].row_scale, s);
    // A bias is a vector: what is a row of the matrix is an entry, hence a column, of it.
    if (pair.producer_bias != pair.producer && config_.qkv_bias)
      multiply(overlays_[name(pair.producer_bias, layer)].column_scale, s);
    std::vector<double> met = s;
    if (pair.grouped) {
      met.clear();
      const int64_t group = config_.heads / config_.kv_heads;
      for (int64_t head = 0; head < config_.heads; ++head)
        for (int64_t d = 0; d < config_.value_dim; ++d)
          met.push_back(s[head / group * config_.value_dim + d]);
    }
    multiply(overlays_[name(pair.consumer, layer)].column_scale, inverse(met));
  }

  void apply(Checkpoint& c) {
    for (Tensor& t : c.tensors)
      if (const auto it = overlays_.find(t.name); it != overlays_.end())
        t = with_overlay(t, std::move(it->second));
  }

 private:
  std::string name(Role role, int64_t layer) const { return family_.rule(role)->gguf_name(layer); }

  /// The stream starts from the name, so that a group's factors do not depend on which groups came before.
  std::vector<double> factors(const std::string& group, int64_t n) const {
    Random random(seed_ ^ xxh3({reinterpret_cast<const uint8_t*>(group.data()), group.size()}));
    std::vector<double> s(static_cast<size_t>(n));
    for (double& x : s) x = std::exp(sigma_ * random.normal());
    return s;
  }

  static std::vector<double> inverse(std::vector<double> s) {
    for (double& x : s) x = 1.0 / x;
    return s;
  }

  static void multiply(std::vector<double>& into, const std::vector<double>& by) {
    if (into.empty()) into.assign(by.size(), 1.0);
    for (size_t i = 0; i < by.size(); ++i) into[i] *= by[i];
  }

  const Family& family_;
  const ModelConfig& config_;
  uint64_t seed_;
  double sigma_;
  std::unordered_map<std::string, Overlay> overlays_;
};

}  // namespace

Result<Checkpoint> rescale(Checkpoint in, uint64_t seed, double sigma) {
  if (!(sigma >= 0.0 && sigma <= 1.0)) return usage_error("a rescale sigma of {} is outside 0 to 1", sigma);
  CARAT_TRY(const ModelConfig config, read_model_config(in));
  const Family& family = *find_family(config.architecture);
  Rewrites rewrites(family, config, seed, sigma);
  for (const NormReaders& group : family.norms) {
    const bool per_layer = family.rule(group.norm)->per_layer();
    if (!per_layer && config.tied_embeddings) continue;
    for (int64_t layer = 0; layer < (per_layer ? config.layers : 1); ++layer)
      rewrites.scale_norm(group, layer);
  }
  for (const ChannelPair& pair : family.pairs)
    for (int64_t layer = 0; layer < config.layers; ++layer) rewrites.scale_pair(pair, layer);
  rewrites.apply(in);
  in.metadata.set("carat.transform.rescale", Value::string(fmt::format("seed={} sigma={}", seed, sigma)));
  in.metadata.set("general.file_type", Value::u32(0));  // what is read from here on is F32
  return in;
}

}  // namespace carat
