#include "transforms/fold.h"

#include <numeric>

namespace carat {
namespace {

void multiply(std::vector<double>& into, size_t size, const auto& factor) {
  if (into.empty()) into.assign(size, 1.0);
  for (size_t i = 0; i < size; ++i) into[i] *= factor(i);
}

FoldGroup norm_group(const Family& family, const NormReaders& norm, const ModelConfig& config,
                     int64_t layer) {
  FoldGroup g;
  g.name = family.rule(norm.norm)->gguf_name(layer);
  g.channels = config.width;
  g.vectors = {g.name};
  if (norm.bias) g.vectors.push_back(family.rule(*norm.bias)->gguf_name(layer));
  for (const Role reader : norm.readers) g.readers.push_back(family.rule(reader)->gguf_name(layer));
  g.channel_of_column.resize(static_cast<size_t>(config.width));
  std::iota(g.channel_of_column.begin(), g.channel_of_column.end(), int64_t{0});
  return g;
}

FoldGroup pair_group(const Family& family, const ChannelPair& pair, const ModelConfig& config,
                     int64_t layer) {
  const auto name = [&](Role role) { return family.rule(role)->gguf_name(layer); };
  FoldGroup g;
  g.name = name(pair.producer);
  g.writers = {g.name};
  g.readers = {name(pair.consumer)};
  if (pair.companion != pair.producer) g.companions = {name(pair.companion)};
  // A bias is a vector: what is a row of the matrix is an entry, hence a column, of it.
  if (pair.producer_bias != pair.producer && config.qkv_bias) g.vectors = {name(pair.producer_bias)};
  if (pair.grouped) {
    const int64_t dim = config.value_dim, group = config.heads / config.kv_heads;
    g.channels = config.kv_heads * dim;
    g.permutable = dim;
    for (int64_t head = 0; head < config.heads; ++head)
      for (int64_t d = 0; d < dim; ++d) g.channel_of_column.push_back(head / group * dim + d);
  } else {
    g.channels = g.permutable = config.feed_forward;
    g.channel_of_column.resize(static_cast<size_t>(g.channels));
    std::iota(g.channel_of_column.begin(), g.channel_of_column.end(), int64_t{0});
  }
  return g;
}

}  // namespace

std::vector<FoldGroup> fold_groups(const ModelConfig& config) {
  const Family& family = *find_family(config.architecture);
  std::vector<FoldGroup> groups;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    // What a mixture's experts read and write is left alone: each would want factors of its own.
    const auto here = [&](Role role) { return family.rule(role)->in_layer(config.is_mixture(layer)); };
    for (const NormReaders& norm : family.norms)
      if (family.rule(norm.norm)->per_layer() && here(norm.readers.front()))
        groups.push_back(norm_group(family, norm, config, layer));
    for (const ChannelPair& pair : family.pairs)
      if (here(pair.producer)) groups.push_back(pair_group(family, pair, config, layer));
  }
  for (const NormReaders& norm : family.norms)
    if (!family.rule(norm.norm)->per_layer() && !config.tied_embeddings)
      groups.push_back(norm_group(family, norm, config, 0));
  return groups;
}

Result<std::vector<FoldGroup>> need_fold_groups(const ModelConfig& config, std::string_view transform) {
  std::vector<FoldGroup> groups = fold_groups(config);
  if (groups.empty())
    return usage_error(
        "{} can do nothing for models of the family {}: nowhere in them can a factor move from one tensor to "
        "another; "
        "leave it out",
        transform, config.architecture);
  return groups;
}

void Fold::scale(const FoldGroup& group, const std::vector<double>& s) {
  const auto inverse = [&](size_t i) { return 1.0 / s[i]; };
  for (const std::string& name : group.readers)
    multiply(overlays_[name].column_scale, group.channel_of_column.size(),
             [&](size_t k) { return s[static_cast<size_t>(group.channel_of_column[k])]; });
  for (const std::string& name : group.vectors) multiply(overlays_[name].column_scale, s.size(), inverse);
  for (const std::string& name : group.writers) multiply(overlays_[name].row_scale, s.size(), inverse);
}

void Fold::permute(const FoldGroup& group, const std::vector<int64_t>& order) {
  // A head's column d shows channel base + d; within its run it goes where the channel goes.
  std::vector<int64_t> columns(group.channel_of_column.size());
  for (size_t k = 0; k < columns.size(); ++k) {
    const int64_t channel = group.channel_of_column[k];
    columns[k] = static_cast<int64_t>(k) + order[static_cast<size_t>(channel)] - channel;
  }
  for (const std::string& name : group.readers) overlays_[name].column = columns;
  for (const std::string& name : group.vectors) overlays_[name].column = order;
  for (const auto* rows : {&group.writers, &group.companions})
    for (const std::string& name : *rows) overlays_[name].row = order;
}

void Fold::apply(Checkpoint& checkpoint) {
  for (Tensor& t : checkpoint.tensors)
    if (const auto it = overlays_.find(t.name); it != overlays_.end())
      t = with_overlay(t, std::move(it->second));
  overlays_.clear();
}

void Fold::apply(CalibrationStatistics& statistics) const {
  for (auto& [name, s] : statistics.tensors) {
    const auto it = overlays_.find(name);
    if (it == overlays_.end() || s.matrices != 1) continue;
    const Overlay& o = it->second;
    const InputStatistics before = s;
    const auto rewrite = [&](auto& values, const auto& from, int power) {
      for (size_t k = 0; k < values.size(); ++k) {
        const double by = o.column_scale.empty() ? 1.0 : o.column_scale[k];
        const auto value = from[o.column.empty() ? k : static_cast<size_t>(o.column[k])];
        values[k] = static_cast<std::decay_t<decltype(value)>>(value / (power == 2 ? by * by : by));
      }
    };
    rewrite(s.sum_squares, before.sum_squares, 2);
    rewrite(s.sum, before.sum, 1);
    rewrite(s.minimum, before.minimum, 1);
    rewrite(s.maximum, before.maximum, 1);
  }
}

}  // namespace carat
