#include "quantize/block_walker.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <unordered_map>

#include "arch/family.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "model/forward.h"
#include "stats/gram.h"

namespace carat {
namespace {

/// Where a tensor stands in a walk.
struct WalkPlace {
  int64_t layer = -1;  ///< c.layers for the output
  Role role{};
  std::optional<LinearInput> input;  ///< of the matrices
};

/// Larger is later: layers, in them the inputs in their order.
int64_t stage_of(int64_t layer, LinearInput input) {
  return input == LinearInput::output ? layer * 4 : layer * 4 + static_cast<int64_t>(input);
}

std::optional<LinearInput> input_of(Role role) {
  for (const LinearInput input : layer_inputs)
    if (std::ranges::count(reader_roles(input), role)) return input;
  return role == Role::output ? std::optional(LinearInput::output) : std::nullopt;
}

std::unordered_map<std::string, WalkPlace> places(const ModelConfig& c) {
  std::unordered_map<std::string, WalkPlace> out;
  for (const TensorRule& rule : find_family(c.architecture)->tensors) {
    const auto input = input_of(rule.role);
    if (!rule.per_layer())
      out[rule.gguf_name(0)] = {rule.role == Role::output || rule.role == Role::output_norm ? c.layers : -1,
                                rule.role, input};
    else
      for (int64_t l = 0; l < c.layers; ++l) out[rule.gguf_name(l)] = {l, rule.role, input};
  }
  return out;
}

}  // namespace

Result<Checkpoint> in_walking_order(Checkpoint checkpoint) {
  CARAT_TRY(const ModelConfig config, read_model_config(checkpoint));
  const auto known = places(config);
  // Layer, step within it, and the family's own order. Norms and biases come before the first step, but for
  // the norm of the feed-forward, which comes before the third.
  const auto key = [&](const Tensor& t) {
    const auto at = known.find(t.name);
    if (at == known.end()) return std::tuple{int64_t{-1}, int64_t{-1}, 0};
    const WalkPlace& p = at->second;
    const int64_t step = p.input                             ? static_cast<int64_t>(*p.input)
                         : p.role == Role::feed_forward_norm ? static_cast<int64_t>(LinearInput::feed_forward)
                                                             : int64_t{-1};
    return std::tuple{p.layer, step, static_cast<int>(p.role)};
  };
  std::stable_sort(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                   [&](const Tensor& a, const Tensor& b) { return key(a) < key(b); });
  CARAT_DO(checkpoint.reindex());
  return checkpoint;
}

Result<std::vector<bool>> walked_tensors(const Checkpoint& checkpoint) {
  CARAT_TRY(const ModelConfig config, read_model_config(checkpoint));
  const auto known = places(config);
  std::vector<bool> out;
  for (const Tensor& t : checkpoint.tensors) {
    const auto at = known.find(t.name);
    out.push_back(at != known.end() && at->second.input);
  }
  return out;
}

namespace {

class BlockWalker final : public Guide {
 public:
  BlockWalker(const Checkpoint& checkpoint, const KernelTable& kernels,
              std::span<const Encoding* const> targets, const CalibrationText& text,
              const FeedbackOptions& options)
      : checkpoint_(checkpoint), kernels_(kernels), targets_(targets), text_(text), options_(options) {}

  Status start(const Context& context) {
    CARAT_TRY(outer_, load_outer_weights(context, checkpoint_));
    places_ = places(config());
    KvFormat format;
    format.kv_heads = static_cast<int>(config().kv_heads);
    format.head_dim = static_cast<int>(config().head_dim);
    cache_.resize(static_cast<size_t>(format.bytes(text_.context)) + 64);
    auto* aligned = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(cache_.data()) + 63) / 64 * 64);
    views_.assign(static_cast<size_t>(config().layers), KvView{aligned, format});
    return {};
  }

  Result<ColumnGuide> begin(const Context& context, size_t tensor, bool wants_feedback) override {
    const WalkPlace* place = place_of(tensor);
    open_ = {};
    if (!place || !place->input) return ColumnGuide{};
    CARAT_DO(reach(context, *place));
    if (!wants_feedback) return ColumnGuide{};
    const int64_t stage = stage_of(place->layer, *place->input);
    if (factor_stage_ != stage) {
      if (Status measured = measure_input(context, *place); !measured)
        return std::move(measured).error().within(checkpoint_.tensors[tensor].name);
      factor_stage_ = stage;
    }
    open_.tokens = text_.tokens();
    open_.damping = factor_.damping;
    return ColumnGuide{importance_, &factor_};
  }

  Status take_over(const Context& context, size_t tensor, Bytes stored) override {
    if (const WalkPlace* place = place_of(tensor); place && place->input) CARAT_DO(reach(context, *place));
    CARAT_DO(rounded(tensor, 0, checkpoint_.tensors[tensor].rows(), stored));
    CARAT_DO(finished(context, tensor));
    return {};
  }

  Status rounded(size_t tensor, int64_t first, int64_t rows, Bytes stored) override {
    const WalkPlace* place = place_of(tensor);
    if (!place) return {};
    const Tensor& t = checkpoint_.tensors[tensor];
    if (place->role == Role::token_embedding) {
      embedding_.insert(embedding_.end(), stored.begin(), stored.end());
    } else if (place->input && place->role != Role::output) {
      std::vector<float>& values = matrices_[place->role];
      values.resize(static_cast<size_t>(t.elements()));
      decode(*targets_[tensor], stored, rows, t.columns(), values.data() + first * t.columns());
    }
    return {};
  }

  Result<GuideNote> finished(const Context& context, size_t tensor) override {
    const WalkPlace* place = place_of(tensor);
    if (!place) return GuideNote{};
    const Tensor& t = checkpoint_.tensors[tensor];
    if (place->role == Role::token_embedding) {
      CARAT_DO(embed_all(context, tensor));
    } else if (place->input && place->role != Role::output) {
      const std::vector<float>& values = matrices_[place->role];
      view_of(place->role) = {&encoding_f32(), reinterpret_cast<const uint8_t*>(values.data()), t.rows(),
                              t.columns(), static_cast<uint64_t>(t.columns()) * sizeof(float)};
    }
    return std::exchange(open_, {});
  }

 private:
  const ModelConfig& config() const { return outer_.config; }
  int64_t attended_width() const { return int64_t{config().heads} * config().head_dim; }

  const WalkPlace* place_of(size_t tensor) const {
    const auto at = places_.find(checkpoint_.tensors[tensor].name);
    return at == places_.end() ? nullptr : &at->second;
  }

  WeightView& view_of(Role role) {
    switch (role) {
      case Role::query:
        return layer_.q;
      case Role::key:
        return layer_.k;
      case Role::value:
        return layer_.v;
      case Role::attention_output:
        return layer_.attention_output;
      case Role::gate:
        return layer_.gate;
      case Role::up:
        return layer_.up;
      default:
        return layer_.down;
    }
  }

  void decode(const Encoding& e, Bytes stored, int64_t rows, int64_t columns, float* out) const {
    const DecodeValues values = search_table(kernels_.isa).decode[search_position(e)];
    const uint64_t row_bytes = e.row_bytes(columns);
    for (int64_t r = 0; r < rows; ++r)
      values(stored.data() + static_cast<uint64_t>(r) * row_bytes, out + r * columns, columns);
  }

  Model model() const { return {outer_, kernels_, ActivationScheme::float32}; }

  /// body(segment, first) for each sequence, whose tokens are rows [first, ...) of the calibration set.
  template <class Body>
  Status over_sequences(const Context& context, Body&& body) {
    int64_t first = 0;
    for (const std::vector<TokenId>& tokens : text_.sequences) {
      CARAT_DO(context.check());
      const ForwardSegment segment{tokens, 0, views_, static_cast<int64_t>(tokens.size())};
      begin_forward(context.pool, config(), {&segment, 1}, scratch_);
      body(std::span(&segment, 1), first, segment.kept);
      first += segment.kept;
    }
    return {};
  }

  Status embed_all(const Context& context, size_t tensor) {
    const Tensor& t = checkpoint_.tensors[tensor];
    const Encoding& e = *targets_[tensor];
    outer_.embedding = {&e, embedding_.data(), t.rows(), t.columns(), e.row_bytes(t.columns())};
    x_.resize(static_cast<size_t>(text_.tokens() * config().width));
    CARAT_DO(over_sequences(context, [&](auto segments, int64_t first, int64_t) {
      embed(context.pool, outer_, segments, x_.data() + first * config().width);
    }));
    embedding_ = {};
    embedded_ = true;
    return {};
  }

  /// Moves the calibration set on until it is at the input of `place`.
  Status reach(const Context& context, const WalkPlace& place) {
    const int64_t wanted = stage_of(place.layer, *place.input);
    if (!embedded_) return error(Code::internal, "the embedding comes after the layers that read it");
    while (stage_ < wanted) {
      if (stage_ % 4 == 0 && stage_ / 4 < config().layers) CARAT_DO(open_layer(context));
      CARAT_DO(leave_stage(context));
      ++stage_;
    }
    if (stage_ % 4 == 0 && stage_ / 4 < config().layers) CARAT_DO(open_layer(context));
    return {};
  }

  Status open_layer(const Context& context) {
    const int64_t l = stage_ / 4;
    if (layer_index_ == l) return {};
    loaded_.reset();
    CARAT_TRY(LoadedLayer loaded, load_layer(context, checkpoint_, config(), l));
    layer_ = loaded.weights();
    loaded_ = std::make_unique<LoadedLayer>(std::move(loaded));
    layer_index_ = l;
    return {};
  }

  /// Past the matrices of the present stage, whose rounded weights are in layer_.
  Status leave_stage(const Context& context) {
    const int64_t width = config().width, l = stage_ / 4, mixed = attended_width();
    switch (static_cast<LinearInput>(stage_ % 4)) {
      case LinearInput::attention:
        attended_.resize(static_cast<size_t>(text_.tokens() * mixed));
        return over_sequences(context, [&](auto segments, int64_t first, int64_t n) {
          layer_attention(context.pool, model(), layer_, l, segments, false, x_.data() + first * width,
                          scratch_);
          std::memcpy(attended_.data() + first * mixed, scratch_.attended.data(), n * mixed * sizeof(float));
        });
      case LinearInput::attention_output:
        return over_sequences(context, [&](auto, int64_t first, int64_t n) {
          std::memcpy(scratch_.attended.data(), attended_.data() + first * mixed, n * mixed * sizeof(float));
          layer_attention_output(context.pool, model(), layer_, l, n, x_.data() + first * width, scratch_);
        });
      case LinearInput::feed_forward:
        return {};
      default:
        return over_sequences(context, [&](auto, int64_t first, int64_t n) {
          layer_gated(context.pool, model(), layer_, l, n, x_.data() + first * width, scratch_);
          layer_down(context.pool, model(), layer_, l, n, x_.data() + first * width, scratch_);
        });
    }
  }

  /// Hessian, importance and factor of the present input.
  Status measure_input(const Context& context, const WalkPlace& place) {
    const int64_t width = config().width, l = place.layer, mixed = attended_width();
    const int64_t columns = input_columns(config(), *place.input);
    std::vector<float> hessian(static_cast<size_t>(columns * columns));
    CARAT_DO(over_sequences(context, [&](auto, int64_t first, int64_t n) {
      const float* x = x_.data() + first * width;
      const float* seen = scratch_.h.data();
      switch (*place.input) {
        case LinearInput::attention:
        case LinearInput::feed_forward: {
          const auto& gain =
              *place.input == LinearInput::attention ? layer_.attention_norm : layer_.feed_forward_norm;
          rms_norm(kernels_, x, gain.data(), config().norm_epsilon, n, width, scratch_.h.data());
          break;
        }
        case LinearInput::attention_output:
          seen = attended_.data() + first * mixed;
          break;
        case LinearInput::down:
          layer_gated(context.pool, model(), layer_, l, n, x, scratch_);
          seen = scratch_.gate.data();
          break;
        case LinearInput::output:
          final_norm(context.pool, model(), x, n, scratch_.h.data());
      }
      accumulate_gram(context.pool, kernels_, seen, n, columns, hessian.data());
    }));
    mirror_gram(context.pool, hessian.data(), columns);
    importance_.resize(static_cast<size_t>(columns));
    for (int64_t k = 0; k < columns; ++k)
      importance_[static_cast<size_t>(k)] = hessian[static_cast<size_t>(k * columns + k)];
    CARAT_TRY(factor_, prepare_feedback(context, kernels_, hessian, columns, options_));
    return {};
  }

  const Checkpoint& checkpoint_;
  const KernelTable& kernels_;
  const std::span<const Encoding* const> targets_;
  const CalibrationText& text_;
  const FeedbackOptions options_;
  std::unordered_map<std::string, WalkPlace> places_;

  Weights outer_;
  std::vector<uint8_t> embedding_;  // as it is stored, until all tokens have been looked up
  bool embedded_ = false;
  LayerWeights layer_;  // views into loaded_ and matrices_
  std::unique_ptr<LoadedLayer> loaded_;
  int64_t layer_index_ = -1;
  std::unordered_map<Role, std::vector<float>> matrices_;  // the rounded ones of this layer

  int64_t stage_ = 0;  // whose input x_ and attended_ are at
  std::vector<float> x_, attended_;
  std::vector<uint8_t> cache_;
  std::vector<KvView> views_;
  ForwardScratch scratch_;

  int64_t factor_stage_ = -1;
  FeedbackFactor factor_;
  std::vector<float> importance_;
  GuideNote open_;
};

}  // namespace

Result<std::unique_ptr<Guide>> make_block_walker(const Context& context, const Checkpoint& checkpoint,
                                                 std::span<const Encoding* const> targets,
                                                 const CalibrationText& text,
                                                 const FeedbackOptions& options) {
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  auto walker = std::make_unique<BlockWalker>(checkpoint, *kernels, targets, text, options);
  CARAT_DO(walker->start(context));
  return std::unique_ptr<Guide>(std::move(walker));
}

}  // namespace carat
