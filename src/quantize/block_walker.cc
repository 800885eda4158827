#include "quantize/block_walker.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <unordered_map>

#include "arch/family.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "model/forward.h"
#include "model/rows.h"
#include "quantize/layer_roles.h"
#include "stats/gram.h"
#include "stats/sequence_passes.h"

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
  const Family& family = *find_family(c.architecture);
  for (const TensorRule& rule : family.tensors) {
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
  if (config.experts.count > 0)
    return usage_error(
        "{}: is a mixture of experts, whose Hessians carat does not measure yet; --method search with --text "
        "or "
        "--calibration weighs each expert's columns by what it reads",
        checkpoint.source);
  if (config.latent.rank > 0)
    return usage_error("{}: gptq does not know latent attention yet; --method search is the alternative",
                       checkpoint.source);
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
              ActivationScheme activations, const FeedbackOptions& options)
      : checkpoint_(checkpoint),
        kernels_(kernels),
        targets_(targets),
        text_(text),
        activations_(activations),
        options_(options) {}

  Status start(const Context& context) {
    CARAT_TRY(outer_, load_outer_weights(context, checkpoint_));
    CARAT_DO(check_calibration_text(checkpoint_.source, config(), text_));
    passes_.emplace(config(), text_.sequences);
    places_ = places(config());
    return {};
  }

  Result<ColumnGuide> begin(const Context& context, size_t tensor, bool wants_feedback) override {
    const WalkPlace* place = place_of(tensor);
    open_ = {};
    if (!place || !place->input) return ColumnGuide{};
    CARAT_DO(reach(context, *place));
    if (!wants_feedback) return ColumnGuide{};
    if (Status known = learn_input(context, *place, *targets_[tensor]); !known)
      return std::move(known).error().within(checkpoint_.tensors[tensor].name);
    open_.tokens = text_.tokens();
    open_.damping = factor_.damping;
    return ColumnGuide{importance_, &factor_};
  }

  Status take_over(const Context& context, size_t tensor, Bytes stored) override {
    if (const WalkPlace* place = place_of(tensor); place && place->input) CARAT_DO(reach(context, *place));
    CARAT_DO(rounded(context, tensor, 0, checkpoint_.tensors[tensor].rows(), stored));
    CARAT_DO(finished(context, tensor));
    return {};
  }

  Status rounded(const Context& context, size_t tensor, int64_t first, int64_t rows, Bytes stored) override {
    const WalkPlace* place = place_of(tensor);
    if (!place) return {};
    const Tensor& t = checkpoint_.tensors[tensor];
    if (place->role == Role::token_embedding) {
      embedding_.insert(embedding_.end(), stored.begin(), stored.end());
    } else if (place->input && place->role != Role::output) {
      std::vector<float>& values = matrices_[place->role];
      values.resize(static_cast<size_t>(t.elements()));
      decode(context, *targets_[tensor], stored, rows, t.columns(), values.data() + first * t.columns());
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
      set_matrix(layer_, place->role,
                 {&encoding_f32(), reinterpret_cast<const uint8_t*>(values.data()), t.rows(), t.columns(),
                  static_cast<uint64_t>(t.columns()) * sizeof(float)});
    }
    return std::exchange(open_, {});
  }

 private:
  const ModelConfig& config() const { return outer_.config; }
  int64_t attended_width() const { return config().mixed_width(); }

  const WalkPlace* place_of(size_t tensor) const {
    const auto at = places_.find(checkpoint_.tensors[tensor].name);
    return at == places_.end() ? nullptr : &at->second;
  }

  void decode(const Context& context, const Encoding& e, Bytes stored, int64_t rows, int64_t columns,
              float* out) const {
    const SearchTable& table = search_table(kernels_.isa);
    const uint64_t row_bytes = e.row_bytes(columns);
    context.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
      decode_rows(table, e, stored.data() + static_cast<uint64_t>(begin) * row_bytes, end - begin, columns,
                  out + begin * columns);
    });
  }

  Model model() const { return {outer_, kernels_, activations_}; }

  Status embed_all(const Context& context, size_t tensor) {
    const Tensor& t = checkpoint_.tensors[tensor];
    const Encoding& e = *targets_[tensor];
    outer_.embedding = {&e, embedding_.data(), t.rows(), t.columns(), e.row_bytes(t.columns())};
    x_.resize(static_cast<size_t>(text_.tokens() * config().width));
    CARAT_DO(passes_->each(context, scratch_, [&](const SequencePasses::Pass& pass) -> Status {
      embed(context.pool, outer_, pass.segments, x_.data() + pass.first * config().width);
      return {};
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
    const auto input = static_cast<LinearInput>(stage_ % 4);
    if (input == LinearInput::feed_forward) return {};
    // Where the feed-forward is parallel, x waits for it.
    if (input == LinearInput::attention_output && config().parallel) return {};
    if (input == LinearInput::attention) attended_.resize(static_cast<size_t>(text_.tokens() * mixed));
    return passes_->each(context, scratch_, [&](const SequencePasses::Pass& pass) -> Status {
      float* x = x_.data() + pass.first * width;
      float* attended = attended_.data() + pass.first * mixed;
      const size_t attended_bytes = static_cast<size_t>(pass.rows * mixed) * sizeof(float);
      if (input == LinearInput::attention) {
        layer_attention(context.pool, model(), layer_, l, pass.segments, false, x, scratch_);
        std::memcpy(attended, scratch_.attended.data(), attended_bytes);
      } else if (input == LinearInput::attention_output) {
        std::memcpy(scratch_.attended.data(), attended, attended_bytes);
        layer_attention_output(context.pool, model(), layer_, l, pass.rows, x, scratch_);
      } else {
        layer_gated(context.pool, model(), layer_, l, pass.rows, x, scratch_);
        layer_down(context.pool, model(), layer_, l, pass.rows, x, scratch_);
        if (!config().parallel) return {};
        std::memcpy(scratch_.attended.data(), attended, attended_bytes);
        layer_attention_output(context.pool, model(), layer_, l, pass.rows, x, scratch_);
      }
      return {};
    });
  }

  /// scratch_ holds, or attended_, what the matrices of this place read of a pass: [rows, columns].
  const float* input_rows(const Context& context, const WalkPlace& place, const SequencePasses::Pass& pass) {
    const float* x = x_.data() + pass.first * config().width;
    switch (*place.input) {
      case LinearInput::attention:
        return normed(context.pool, model(), layer_.attention_norm, pass.rows, x, scratch_);
      case LinearInput::attention_output:
        return attended_.data() + pass.first * attended_width();
      case LinearInput::feed_forward:
        return normed(context.pool, model(), layer_.feed_forward_norm, pass.rows, x, scratch_);
      case LinearInput::down:
        layer_gated(context.pool, model(), layer_, place.layer, pass.rows, x, scratch_);
        return scratch_.gate.data();
      case LinearInput::experts:
      case LinearInput::experts_down:
      case LinearInput::query_latent:
      case LinearInput::latent:
      case LinearInput::output:
        break;
    }
    final_norm(context.pool, model(), x, pass.rows, scratch_.h.data());
    return scratch_.h.data();
  }

  /// Hessian, importance and factor of the present input, for a matrix that becomes `target`.
  Status learn_input(const Context& context, const WalkPlace& place, const Encoding& target) {
    const int64_t columns = input_columns(config(), *place.input, place.layer);
    const int64_t stage = stage_of(place.layer, *place.input);
    FeedbackOptions wanted = options_;
    if (wanted.order == ColumnOrder::grouped) {
      wanted.block = target.block;
      wanted.leaf = target.leaf;
    }
    const bool measured = measured_stage_ == stage;
    if (measured && factor_block_ == wanted.block && factor_leaf_ == wanted.leaf) return {};
    if (!measured) CARAT_DO(measure_input(context, place, columns));
    measured_stage_ = stage;
    CARAT_TRY(factor_, prepare_feedback(context, kernels_, hessian_, columns, wanted));
    factor_block_ = wanted.block;
    factor_leaf_ = wanted.leaf;
    // Matrices of one input differ in their encodings, but only an order that follows those needs H again.
    if (wanted.order != ColumnOrder::grouped) hessian_ = {};
    return {};
  }

  Status measure_input(const Context& context, const WalkPlace& place, int64_t columns) {
    hessian_.assign(static_cast<size_t>(columns * columns), 0.0f);
    CARAT_DO(passes_->each(context, scratch_, [&](const SequencePasses::Pass& pass) -> Status {
      accumulate_gram(context.pool, kernels_, activations_, input_rows(context, place, pass), pass.rows,
                      columns, hessian_.data());
      return {};
    }));
    mirror_gram(context.pool, hessian_.data(), columns);
    importance_.resize(static_cast<size_t>(columns));
    for (int64_t k = 0; k < columns; ++k)
      importance_[static_cast<size_t>(k)] = hessian_[static_cast<size_t>(k * columns + k)];
    return {};
  }

  const Checkpoint& checkpoint_;
  const KernelTable& kernels_;
  const std::span<const Encoding* const> targets_;
  const CalibrationText& text_;
  const ActivationScheme activations_;
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
  std::optional<SequencePasses> passes_;
  ForwardScratch scratch_;

  int64_t measured_stage_ = -1;  // of hessian_ and importance_
  std::vector<float> hessian_;
  FeedbackFactor factor_;
  int64_t factor_block_ = 0, factor_leaf_ = 0;  // that it was made for
  std::vector<float> importance_;
  GuideNote open_;
};

}  // namespace

Result<std::unique_ptr<Guide>> make_block_walker(const Context& context, const Checkpoint& checkpoint,
                                                 std::span<const Encoding* const> targets,
                                                 const CalibrationText& text, ActivationScheme activations,
                                                 const FeedbackOptions& options) {
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  auto walker = std::make_unique<BlockWalker>(checkpoint, *kernels, targets, text, activations, options);
  CARAT_DO(walker->start(context));
  return std::unique_ptr<Guide>(std::move(walker));
}

}  // namespace carat
