#include "quantize/block_walker.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <unordered_map>

#include "arch/family.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "model/forward.h"
#include "model/latent_attention.h"
#include "model/rows.h"
#include "quantize/expert_feedback.h"
#include "quantize/hessian_tap.h"
#include "quantize/layer_roles.h"
#include "quantize/walk_stream.h"
#include "rounders/block_rows.h"
#include "rounders/input_drift.h"

namespace carat {
namespace {

constexpr int64_t kStages = std::ssize(walk_stages);

/// Where a tensor stands in a walk.
struct WalkPlace {
  int64_t layer = -1;  ///< c.layers for the output
  Role role{};
  std::optional<LinearInput> input;  ///< of the matrices: what they read
};

int64_t stage_in_layer(LinearInput input) {
  return input == LinearInput::output ? 0 : std::ranges::find(walk_stages, input) - std::begin(walk_stages);
}

/// Larger is later: layers, in them the stages in their order.
int64_t stage_of(const WalkPlace& place) { return place.layer * kStages + stage_in_layer(*place.input); }

WalkPlace place_in(int64_t layer, Role role) {
  for (const LinearInput input : layer_inputs)
    if (std::ranges::count(reader_roles(input), role)) return {layer, role, input};
  if (role == Role::output) return {layer, role, LinearInput::output};
  return {layer, role, {}};
}

std::unordered_map<std::string, WalkPlace> places(const ModelConfig& c) {
  std::unordered_map<std::string, WalkPlace> out;
  const Family& family = *find_family(c.architecture);
  for (const TensorRule& rule : family.tensors) {
    const bool last = rule.role == Role::output || rule.role == Role::output_norm;
    if (!rule.per_layer())
      out[rule.gguf_name(0)] = place_in(last ? c.layers : -1, rule.role);
    else
      for (int64_t l = 0; l < c.layers; ++l) out[rule.gguf_name(l)] = place_in(l, rule.role);
  }
  return out;
}

}  // namespace

Result<Checkpoint> in_walking_order(Checkpoint checkpoint) {
  CARAT_TRY(const ModelConfig config, read_model_config(checkpoint));
  const auto known = places(config);
  // Layer, step within it, and the family's own order. Norms and biases come before the first step, but for
  // the norm of the feed-forward, which comes before its matrices.
  const auto key = [&](const Tensor& t) {
    const auto at = known.find(t.name);
    if (at == known.end()) return std::tuple{int64_t{-1}, int64_t{-1}, 0};
    const WalkPlace& p = at->second;
    const int64_t step = p.input                             ? stage_in_layer(*p.input)
                         : p.role == Role::feed_forward_norm ? stage_in_layer(LinearInput::feed_forward)
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
              ActivationScheme activations, const WalkFeedback& options, bool allow_unseen)
      : checkpoint_(checkpoint),
        kernels_(kernels),
        targets_(targets),
        text_(text),
        activations_(activations),
        options_(options),
        allow_unseen_(allow_unseen),
        experts_(kernels, options) {}

  Status start(const Context& context) {
    CARAT_TRY(outer_, load_outer_weights(context, checkpoint_));
    CARAT_DO(check_calibration_text(checkpoint_.source, config(), text_));
    passes_.emplace(config(), text_.sequences);
    streams_.push_back(&rounded_.emplace(outer_, kernels_, activations_, *passes_));
    if (options_.propagate > 0)
      streams_.push_back(&original_.emplace(outer_, kernels_, activations_, *passes_));
    places_ = places(config());
    return {};
  }

  Status begin(const Context& context, size_t tensor) override {
    open_ = {};
    const WalkPlace* place = place_of(tensor);
    return place && place->input ? reach(context, *place) : Status();
  }

  Result<ColumnGuide> matrix(const Context& context, size_t tensor, int64_t matrix) override {
    const WalkPlace* place = place_of(tensor);
    if (!place || !place->input)
      return error(Code::internal, "{} is to get feedback, and nothing is known of what it reads",
                   checkpoint_.tensors[tensor].name);
    auto guide = per_expert(*place->input) ? guide_of_expert(context, *place, tensor, matrix)
                 : per_head(*place->input) ? guide_of_head(context, *place, tensor, matrix)
                                           : guide_of_input(context, *place, tensor);
    if (!guide) return std::move(guide).error().within(checkpoint_.tensors[tensor].name);
    return guide;
  }

  Status take_over(const Context& context, size_t tensor, Bytes stored) override {
    CARAT_DO(begin(context, tensor));
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
    } else if (is_stacked(*place)) {
      std::vector<uint8_t>& bytes = stacks_[place->role];
      if (first == 0) {
        bytes.clear();
        bytes.reserve(static_cast<size_t>(t.rows()) * targets_[tensor]->row_bytes(t.columns()));
      }
      bytes.insert(bytes.end(), stored.begin(), stored.end());
    } else if (is_matrix(*place)) {
      std::vector<float>& values = matrices_[place->role];
      values.resize(static_cast<size_t>(t.elements()));
      decode_rows(context.pool, search_table(kernels_.isa), *targets_[tensor], stored.data(), rows,
                  t.columns(), values.data() + first * t.columns());
    }
    return {};
  }

  Result<GuideNote> finished(const Context& context, size_t tensor) override {
    const WalkPlace* place = place_of(tensor);
    if (!place) return GuideNote{};
    const Tensor& t = checkpoint_.tensors[tensor];
    if (place->role == Role::token_embedding) {
      CARAT_DO(embed_all(context, tensor));
    } else if (is_stacked(*place)) {
      const Encoding& e = *targets_[tensor];
      set_matrix(
          rounded_->layer, place->role,
          WeightView{&e, stacks_[place->role].data(), t.rows(), t.columns(), e.row_bytes(t.columns())});
    } else if (is_matrix(*place)) {
      const std::vector<float>& values = matrices_[place->role];
      set_matrix(rounded_->layer, place->role,
                 WeightView{&encoding_f32(), reinterpret_cast<const uint8_t*>(values.data()), t.rows(),
                            t.columns(), static_cast<uint64_t>(t.columns()) * sizeof(float)});
    }
    return std::exchange(open_, {});
  }

 private:
  const ModelConfig& config() const { return outer_.config; }
  static bool is_matrix(const WalkPlace& place) { return place.input && place.role != Role::output; }
  /// Many matrices in one tensor: experts', or heads' that attention takes up.
  static bool is_stacked(const WalkPlace& place) {
    return place.input && (per_expert(*place.input) || per_head(*place.input));
  }

  const WalkPlace* place_of(size_t tensor) const {
    const auto at = places_.find(checkpoint_.tensors[tensor].name);
    return at == places_.end() ? nullptr : &at->second;
  }

  Status embed_all(const Context& context, size_t tensor) {
    if (original_) CARAT_DO(original_->embed(context));
    const Tensor& t = checkpoint_.tensors[tensor];
    const Encoding& e = *targets_[tensor];
    outer_.embedding = {&e, embedding_.data(), t.rows(), t.columns(), e.row_bytes(t.columns())};
    CARAT_DO(rounded_->embed(context));
    embedding_ = {};
    embedded_ = true;
    return {};
  }

  /// Moves the calibration set on until it is at the input of `place`.
  Status reach(const Context& context, const WalkPlace& place) {
    const int64_t wanted = stage_of(place);
    if (!embedded_) return error(Code::internal, "the embedding comes after the layers that read it");
    for (; stage_ < wanted; ++stage_) {
      CARAT_DO(open_layer(context));
      for (WalkStream* stream : streams_)
        CARAT_DO(stream->leave(context, stage_ / kStages, walk_stages[stage_ % kStages]));
    }
    return open_layer(context);
  }

  /// The one of the present stage; none at the output.
  Status open_layer(const Context& context) {
    const int64_t l = stage_ / kStages;
    if (layer_index_ == l || l == config().layers) return {};
    loaded_.reset();
    CARAT_TRY(LoadedLayer loaded, load_layer(context, checkpoint_, config(), l));
    for (WalkStream* stream : streams_) stream->layer = loaded.weights();
    loaded_ = std::make_unique<LoadedLayer>(std::move(loaded));
    layer_index_ = l;
    return {};
  }

  Result<ColumnGuide> guide_of_input(const Context& context, const WalkPlace& place, size_t tensor) {
    CARAT_DO(learn_input(context, place, *targets_[tensor]));
    open_.tokens = open_.least_tokens = text_.tokens();
    open_.shrink = options_.at(*place.input, *targets_[tensor]).shrink;
    open_.damping = factor_.damping;
    if (!original_) return ColumnGuide{importance_, &factor_};
    moments_ = {drift_, options_.propagate};
    return ColumnGuide{importance_, &factor_, &moments_};
  }

  Result<ColumnGuide> guide_of_expert(const Context& context, const WalkPlace& place, size_t tensor,
                                      int64_t expert) {
    if (experts_.layer() != place.layer)
      CARAT_DO(experts_.enter(context, rounded_->model(), rounded_->layer, place.layer, rounded_->states()));
    CARAT_TRY(const ExpertFeedback::Matrix* m, experts_.matrix(context, rounded_->model(), rounded_->layer,
                                                               *place.input, expert, *targets_[tensor]));
    if (m->tokens == 0 && !allow_unseen_)
      return usage_error(
          "none of the {} calibration tokens goes to expert {}, so that nothing says what its columns have "
          "in "
          "common; give more text, or leave to round such experts as without text (--allow-fallback, with "
          "--resume from here on)",
          text_.tokens(), expert);
    open_.least_tokens = expert == 0 ? m->tokens : std::min(open_.least_tokens, m->tokens);
    open_.tokens = std::max(open_.tokens, m->tokens);
    open_.unseen += m->tokens == 0;
    open_.shrink = std::max(open_.shrink, m->shrink);
    open_.damping = std::max(open_.damping, m->factor.damping);
    return ColumnGuide{m->diagonal, &m->factor};
  }

  Result<ColumnGuide> guide_of_head(const Context& context, const WalkPlace& place, size_t tensor,
                                    int64_t head) {
    const int64_t columns = input_columns(config(), *place.input, place.layer);
    if (heads_stage_ != stage_of(place)) CARAT_DO(measure_heads(context, place));
    heads_stage_ = stage_of(place);
    std::vector<float> hessian = std::exchange(heads_[static_cast<size_t>(head)], {});
    mirror_gram(context.pool, hessian.data(), columns);
    head_importance_ = diagonal_of(hessian, columns);
    CARAT_TRY(head_factor_, prepare_feedback(context, kernels_, hessian, columns,
                                             options_.at(*place.input, *targets_[tensor])));
    open_.tokens = open_.least_tokens = text_.tokens();
    open_.shrink = options_.at(*place.input, *targets_[tensor]).shrink;
    open_.damping = std::max(open_.damping, head_factor_.damping);
    return ColumnGuide{head_importance_, &head_factor_};
  }

  /// Hessians of what each head's matrix reads, those of all heads in one pass: they are small.
  Status measure_heads(const Context& context, const WalkPlace& place) {
    HessianTap tap(context.pool, kernels_, activations_, config());
    WalkStream& stream = *rounded_;
    const Model shown = stream.model(&tap);
    CARAT_DO(passes_->each(context, stream.scratch, [&](const SequencePasses::Pass& pass) -> Status {
      float* const x = stream.states_of(pass);
      if (*place.input == LinearInput::value_heads)
        layer_attention(context.pool, shown, stream.layer, place.layer, pass.segments, false, x,
                        stream.scratch);
      else
        latent_projections(
            context.pool, shown, stream.layer, place.layer, pass.rows,
            normed(context.pool, shown, stream.layer.attention_norm, pass.rows, x, stream.scratch),
            stream.scratch);
      return {};
    }));
    heads_ = std::move(tap.hessians[static_cast<size_t>(*place.input)]);
    return {};
  }

  /// Hessian, importance and factor of the present input, for a matrix that becomes `target`.
  Status learn_input(const Context& context, const WalkPlace& place, const Encoding& target) {
    const int64_t columns = input_columns(config(), *place.input, place.layer);
    const int64_t stage = stage_of(place);
    const FeedbackOptions wanted = options_.at(*place.input, target);
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
    if (original_) drift_ = std::vector<float>(hessian_.size());
    bool keeps = *place.input == LinearInput::down && activations_ == ActivationScheme::bfloat16 &&
                 !config().is_mixture(place.layer);
    for (WalkStream* stream : streams_) keeps = keeps && stream->begin_keeping(place.layer, columns);
    if (!keeps)
      for (WalkStream* stream : streams_) stream->forget();
    std::vector<float> difference;
    const auto measure = [&](const SequencePasses::Pass& pass) -> Status {
      const float* x = rounded_->rows(context, place.layer, *place.input, pass);
      accumulate_gram(context.pool, kernels_, activations_, x, pass.rows, columns, hessian_.data());
      if (keeps) rounded_->keep(context, pass, x);
      if (!original_) return {};
      const float* wanted = original_->rows(context, place.layer, *place.input, pass);
      if (keeps) original_->keep(context, pass, wanted);
      difference.resize(static_cast<size_t>(pass.rows * columns));
      context.pool.parallel_for(pass.rows, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin * columns; i < end * columns; ++i) difference[i] = wanted[i] - x[i];
      });
      accumulate_cross_gram(context.pool, kernels_, activations_, x, difference.data(), pass.rows, columns,
                            columns, drift_.data());
      return {};
    };
    CARAT_DO(passes_->each(context, rounded_->scratch, measure, original_ ? &original_->scratch : nullptr));
    mirror_gram(context.pool, hessian_.data(), columns);
    importance_ = diagonal_of(hessian_, columns);
    return {};
  }

  const Checkpoint& checkpoint_;
  const KernelTable& kernels_;
  const std::span<const Encoding* const> targets_;
  const CalibrationText& text_;
  const ActivationScheme activations_;
  const WalkFeedback options_;
  const bool allow_unseen_;
  std::unordered_map<std::string, WalkPlace> places_;

  Weights outer_;
  std::vector<uint8_t> embedding_;  // as it is stored, until all tokens have been looked up
  bool embedded_ = false;
  std::unique_ptr<LoadedLayer> loaded_;
  int64_t layer_index_ = -1;
  std::unordered_map<Role, std::vector<float>> matrices_;  // the rounded ones of this layer
  std::unordered_map<Role, std::vector<uint8_t>> stacks_;  // those that stay as they are stored

  int64_t stage_ = 0;  // whose input the streams are at
  std::optional<SequencePasses> passes_;
  std::optional<WalkStream> rounded_;   // its layer: views into loaded_, matrices_ and stacks_
  std::optional<WalkStream> original_;  // with WalkFeedback::propagate
  std::vector<WalkStream*> streams_;    // those that there are

  int64_t heads_stage_ = -1;               // of heads_
  std::vector<std::vector<float>> heads_;  // Hessians by head, lower triangles, until each is used
  std::vector<float> head_importance_;
  FeedbackFactor head_factor_;

  int64_t measured_stage_ = -1;  // of hessian_ and importance_
  std::vector<float> hessian_;
  std::vector<float> drift_;  // InputDrift::moments
  InputDrift moments_;
  FeedbackFactor factor_;
  int64_t factor_block_ = 0, factor_leaf_ = 0;  // that it was made for
  std::vector<float> importance_;
  ExpertFeedback experts_;
  GuideNote open_;
};

}  // namespace

Result<std::unique_ptr<Guide>> make_block_walker(const Context& context, const Checkpoint& checkpoint,
                                                 std::span<const Encoding* const> targets,
                                                 const CalibrationText& text, ActivationScheme activations,
                                                 const WalkFeedback& options, bool allow_unseen) {
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  auto walker =
      std::make_unique<BlockWalker>(checkpoint, *kernels, targets, text, activations, options, allow_unseen);
  CARAT_DO(walker->start(context));
  return std::unique_ptr<Guide>(std::move(walker));
}

}  // namespace carat
