#include "quantize/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "quantize/expert_feedback.h"
#include "quantize/hessian_tap.h"
#include "quantize/hidden_states.h"
#include "quantize/importance.h"
#include "quantize/layer_roles.h"
#include "rounders/shared_scales.h"

namespace carat {
namespace {

/// Where divergences are large enough to be told from noise on a few thousand tokens, and small enough to say
/// something about finer encodings.
constexpr double kProbeBits = 3.5;
/// Rows of a matrix that every encoding is tried on, spread evenly.
constexpr int64_t kSampledRows = 128;
/// Of a tensor of many matrices, how many those rows are from: each takes a factor of its own.
constexpr int64_t kSampledMatrices = 8;

constexpr size_t kInputs = static_cast<size_t>(LinearInput::output) + 1;

/// What matrices read, [tokens, columns], by matrix: one, or one per expert or head.
using Reads = std::vector<std::vector<float>>;

/// Keeps a layer's inputs.
class InputsTap final : public InputTap {
 public:
  explicit InputsTap(const ModelConfig& config) {
    for (const LinearInput input : layer_inputs)
      inputs[static_cast<size_t>(input)].resize(static_cast<size_t>(input_matrices(config, input)));
  }
  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override {
    std::vector<float>& kept = inputs[static_cast<size_t>(place.input)][static_cast<size_t>(place.matrix)];
    kept.insert(kept.end(), x, x + tokens * columns);
  }
  Reads inputs[kInputs];
};

/// Floats are rounded to nearest, whatever the method.
const Rounder& rounder_for(const SensitivityTask& task, const Encoding& e) {
  return e.is_float ? *find_rounder("nearest") : *task.rounder;
}

double sum_of_squares(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += double{v} * v;
  return sum;
}

/// What is known of one input of a layer while what reads it is tried.
struct Inputs {
  /// Of the rounding text, by matrix, lower triangles; not of experts. Null: there is no such text.
  const std::vector<std::vector<float>>* hessians = nullptr;
  const Reads* probing = nullptr;
};

struct MatrixFeedback {
  std::vector<float> diagonal;
  FeedbackFactor factor;
};

/// How one of a tensor's matrices is to be rounded.
using GuideOf = std::function<Result<ColumnGuide>(int64_t matrix)>;

/// A tensor while it is tried.
struct Subject {
  const SensitivityTask& task;
  const MatrixPlace& place;
  Matrix weights;
  int64_t matrices;
  const GuideOf& guide_of;
  const Reads* probing;  ///< by matrix; null: it reads nothing (an embedding)
};

class Measurement {
 public:
  Measurement(const Context& context, const Checkpoint& checkpoint, const KernelTable& kernels,
              Weights weights, const SensitivityOptions& options)
      : context_(context),
        checkpoint_(checkpoint),
        kernels_(kernels),
        weights_(std::move(weights)),
        options_(options),
        experts_(kernels, options.feedback),
        probing_(config(), *options.probing),
        x_(probing_.state_size()) {
    if (options.rounding) rounding_.emplace(config(), *options.rounding);
    // As many positions of each sequence as the memory for logits allows, the last ones, which have seen
    // most.
    const int64_t most = static_cast<int64_t>(kProbeLogitBytes / sizeof(float)) / config().vocabulary;
    positions_.end = probing_.length() - 1;
    positions_.first =
        std::max(probing_.length() / 4, positions_.end - std::max<int64_t>(1, most / probing_.count()));
    positions_.first = std::min(positions_.first, positions_.end - 1);
  }

  Status run(std::span<const SensitivityTask> tasks, const std::function<Status(TensorSensitivity)>& done) {
    const auto places = matrix_places(config());
    std::vector<std::vector<const SensitivityTask*>> of_layer(static_cast<size_t>(config().layers));
    std::vector<const SensitivityTask*> outer;
    uint64_t passes = 0;
    for (const SensitivityTask& task : tasks) {
      const auto at = places.find(checkpoint_.tensors[task.tensor].name);
      if (at == places.end())
        return bad_data("{}: {} is no matrix that carat knows the use of; give it an encoding with --tensor",
                        checkpoint_.source, checkpoint_.tensors[task.tensor].name);
      place_[&task] = at->second;
      const bool is_outer = at->second.role == Role::token_embedding || at->second.role == Role::output;
      (is_outer ? outer : of_layer[static_cast<size_t>(at->second.layer)]).push_back(&task);
      passes += layers_after(at->second) + 1;
    }
    done_ = done;
    context_.progress.begin("sensitivities", "layer passes", passes);

    CARAT_DO(keep_reference());
    CARAT_DO(probing_.embed(context_, weights_, x_.data()));
    if (rounding_) {
      h_.resize(rounding_->state_size());
      CARAT_DO(rounding_->embed(context_, weights_, h_.data()));
    }
    for (int64_t l = 0; l < config().layers; ++l) CARAT_DO(layer(l, of_layer[static_cast<size_t>(l)]));
    CARAT_DO(outer_matrices(outer));
    context_.progress.end();
    return {};
  }

 private:
  const ModelConfig& config() const { return weights_.config; }
  Model model(InputTap* tap = nullptr) const {
    return {weights_, kernels_, ActivationScheme::float32, context_.profile, tap};
  }
  Model rounding_model(InputTap* tap) const {
    return {weights_, kernels_, options_.activations, context_.profile, tap};
  }
  uint64_t layers_after(const MatrixPlace& place) const {
    if (place.role == Role::output) return 0;
    return static_cast<uint64_t>(config().layers - place.layer);
  }
  const LayerWeights& weights_of(int64_t l) const { return weights_.layers[static_cast<size_t>(l)]; }

  Status keep_reference() {
    std::vector<float> x(probing_.state_size());
    CARAT_DO(probing_.embed(context_, weights_, x.data()));
    for (int64_t l = 0; l < config().layers; ++l)
      CARAT_DO(probing_.through(context_, model(), weights_of(l), l, x.data()));
    states_ = scored_states(context_, model(), probing_, positions_, x.data());
    reference_.emplace(context_, model(), states_.data(), positions_.of(probing_));
    return {};
  }

  Status layer(int64_t l, std::span<const SensitivityTask* const> tasks) {
    const bool feedback =
        rounding_ && std::ranges::any_of(tasks, [](auto* t) { return t->rounder->needs_feedback(); });
    HessianTap hessians(context_.pool, kernels_, options_.activations, config());
    const bool mixture = feedback && config().is_mixture(l);
    if (mixture) before_experts_.resize(h_.size());
    if (rounding_)
      CARAT_DO(rounding_->through(context_, rounding_model(feedback ? &hessians : nullptr), weights_of(l), l,
                                  h_.data(), mixture ? before_experts_.data() : nullptr));
    if (mixture)
      CARAT_DO(experts_.enter(context_, rounding_model(nullptr), weights_of(l), l, before_experts_));
    InputsTap inputs(config());
    std::vector<float> next = x_;
    CARAT_DO(
        probing_.through(context_, model(tasks.empty() ? nullptr : &inputs), weights_of(l), l, next.data()));
    for (const LinearInput input : layer_inputs) {
      const auto i = static_cast<size_t>(input);
      CARAT_DO(measure(tasks, input, {feedback ? &hessians.hessians[i] : nullptr, &inputs.inputs[i]}));
    }
    x_ = std::move(next);
    return {};
  }

  Status outer_matrices(std::span<const SensitivityTask* const> tasks) {
    if (tasks.empty()) return {};
    HessianTap hessians(context_.pool, kernels_, options_.activations, config());
    const bool feedback =
        rounding_ && std::ranges::any_of(tasks, [](auto* t) { return t->rounder->needs_feedback(); });
    if (feedback) {
      final_norm(context_.pool, model(), h_.data(), rounding_->tokens(), h_.data());
      hessians.input({0, LinearInput::output}, h_.data(), rounding_->tokens(), config().width);
    }
    CARAT_DO(probing_.embed(context_, weights_, x_.data()));
    const Reads read = {states_};
    return measure(
        tasks, LinearInput::output,
        {feedback ? &hessians.hessians[static_cast<size_t>(LinearInput::output)] : nullptr, &read});
  }

  Result<MatrixFeedback> feedback_of(std::vector<float> hessian, int64_t columns,
                                     const FeedbackOptions& how) {
    MatrixFeedback out;
    mirror_gram(context_.pool, hessian.data(), columns);
    out.diagonal = diagonal_of(hessian, columns);
    CARAT_TRY(out.factor, prepare_feedback(context_, kernels_, hessian, columns, how));
    return out;
  }

  /// Those of the tasks that read this input.
  Status measure(std::span<const SensitivityTask* const> tasks, LinearInput input, const Inputs& inputs) {
    std::map<int64_t, MatrixFeedback> made;  // what reads the same shares it
    for (const SensitivityTask* task : tasks) {
      const MatrixPlace& place = place_.at(task);
      if (place.input != input) continue;
      const Tensor& tensor = checkpoint_.tensors[task->tensor];
      const bool feedback =
          task->rounder->needs_feedback() && inputs.hessians &&
          !std::ranges::all_of(task->encodings, [](const Encoding* e) { return e->is_float; });
      TensorImportance importance;
      if (options_.importance) {
        CARAT_TRY(importance, importance_of(checkpoint_, tensor, *options_.importance));
      }
      const GuideOf guide_of = [&](int64_t matrix) -> Result<ColumnGuide> {
        ColumnGuide guide;
        if (feedback && per_expert(input)) {
          CARAT_TRY(const ExpertFeedback::Matrix* m,
                    experts_.matrix(context_, rounding_model(nullptr), weights_of(place.layer), input, matrix,
                                    *task->encodings.front()));
          guide = {m->diagonal, &m->factor};
        } else if (feedback) {
          if (!made.contains(matrix)) {
            CARAT_TRY(made[matrix],
                      feedback_of((*inputs.hessians)[static_cast<size_t>(matrix)], tensor.columns(),
                                  options_.feedback.at(input, *task->encodings.front())));
          }
          guide = {made[matrix].diagonal, &made[matrix].factor};
        }
        if (!importance.empty()) guide.importance = importance[static_cast<size_t>(matrix)];
        return guide;
      };
      const bool reads = place.role != Role::token_embedding || config().tied_embeddings;
      const int64_t matrices = tensor.shape.size() == 3 ? tensor.shape.front() : 1;
      Matrix source = matrix_at(weights_, place);
      std::vector<uint8_t> multiplied;
      if (source.scale) {
        multiplied.resize(tensor.bytes());
        CARAT_DO(tensor.data->read_bytes(0, tensor.rows(), multiplied.data()));
        source = WeightView{tensor.encoding, multiplied.data(), tensor.rows(), tensor.columns(),
                            tensor.row_bytes()};
      }
      auto measured =
          measure_tensor({*task, place, source, matrices, guide_of, reads ? inputs.probing : nullptr});
      if (!measured) return std::move(measured).error().within(tensor.name);
      CARAT_DO(done_(*std::move(measured)));
    }
    return {};
  }

  Result<TensorSensitivity> measure_tensor(const Subject& s) {
    TensorSensitivity out;
    out.tensor = checkpoint_.tensors[s.task.tensor].name;
    CARAT_TRY(out.errors, output_errors(s));
    if (out.errors.empty()) return bad_data("its values fit none of the encodings it may get");
    out.probe = std::ranges::min_element(out.errors, {}, [](const EncodingError& e) {
                  return std::abs(e.encoding->bits_per_weight() - kProbeBits);
                })->encoding;

    const uint64_t row_bytes = out.probe->row_bytes(s.weights.columns);
    std::vector<uint8_t> rounded(static_cast<uint64_t>(s.weights.rows) * row_bytes);
    RoundingError sum;
    for (int64_t m = 0; m < s.matrices; ++m) {
      const Matrix one = one_of(s.weights, m, s.matrices);
      CARAT_TRY(const ColumnGuide guide, s.guide_of(m));
      CARAT_TRY(const RoundingError error,
                round_matrix(context_, kernels_, rounder_for(s.task, *out.probe), *out.probe,
                             {one.encoding, one.data, one.rows, one.columns}, guide,
                             rounded.data() + static_cast<uint64_t>(m * one.rows) * row_bytes));
      CARAT_DO(context_.check());
      sum.add(error);
    }
    if (sum.not_finite > 0) return bad_data("holds values that are not finite (NaN or infinity)");
    const Matrix unchanged = matrix_at(weights_, s.place);
    set_matrix(weights_, s.place,
               WeightView{out.probe, rounded.data(), s.weights.rows, s.weights.columns, row_bytes});
    const Result<double> kl = divergence_from(s.place);
    set_matrix(weights_, s.place, unchanged);
    if (!kl) return kl.error();
    out.kl = *kl;
    passes_ += layers_after(s.place) + 1;
    context_.progress.update(passes_, out.tensor);
    return out;
  }

  /// Of the model as it is now from the source's, when all before the place is as in the source.
  Result<double> divergence_from(const MatrixPlace& place) {
    if (place.role == Role::output) return reference_->mean_divergence(context_, model(), states_.data());
    std::vector<float> x = x_;
    if (place.role == Role::token_embedding) CARAT_DO(probing_.embed(context_, weights_, x.data()));
    for (int64_t l = place.layer; l < config().layers; ++l)
      CARAT_DO(probing_.through(context_, model(), weights_of(l), l, x.data()));
    const std::vector<float> states = scored_states(context_, model(), probing_, positions_, x.data());
    return reference_->mean_divergence(context_, model(), states.data());
  }

  /// Some of a subject's matrices, spread evenly over those whose inputs are known.
  static std::vector<int64_t> sampled_matrices(const Subject& s) {
    std::vector<int64_t> known, sampled;
    for (int64_t m = 0; m < s.matrices; ++m)
      if (!s.probing || !(*s.probing)[static_cast<size_t>(m)].empty()) known.push_back(m);
    const auto n = std::ssize(known), count = std::min<int64_t>(n, kSampledMatrices);
    for (int64_t i = 0; i < count; ++i) sampled.push_back(known[static_cast<size_t>(i * n / count)]);
    return sampled;
  }

  /// What each encoding adds to the outputs of some rows.
  Result<std::vector<EncodingError>> output_errors(const Subject& s) {
    const SearchTable& table = search_table(kernels_.isa);
    const std::vector<int64_t> sampled = sampled_matrices(s);
    const int64_t columns = s.weights.columns, per_matrix = s.weights.rows / s.matrices;
    const int64_t rows =
        std::min(per_matrix, std::max<int64_t>(1, kSampledRows / std::max<int64_t>(1, std::ssize(sampled))));
    const uint64_t row_bytes = s.weights.row_bytes;
    std::vector<uint8_t> sample(static_cast<uint64_t>(rows) * row_bytes), rounded;
    std::vector<float> exact(static_cast<size_t>(rows * columns)), changed(exact.size());
    double whole = 0;
    std::vector<double> lost(s.task.encodings.size());
    std::vector<bool> fits(lost.size(), true);
    for (const int64_t m : sampled) {
      const Matrix w = one_of(s.weights, m, s.matrices);
      CARAT_TRY(const ColumnGuide guide, s.guide_of(m));
      const std::span<const float> reads =
          s.probing ? (*s.probing)[static_cast<size_t>(m)] : std::span<const float>();
      for (int64_t r = 0; r < rows; ++r)
        std::memcpy(sample.data() + static_cast<uint64_t>(r) * row_bytes,
                    w.data + static_cast<uint64_t>(r * w.rows / rows) * row_bytes, row_bytes);
      decode_rows(table, *w.encoding, sample.data(), rows, columns, exact.data());
      whole += energy(reads, exact, rows, columns);
      for (size_t i = 0; i < lost.size(); ++i) {
        const Encoding& e = *s.task.encodings[i];
        rounded.resize(static_cast<uint64_t>(rows) * e.row_bytes(columns));
        CARAT_TRY(const RoundingError error,
                  round_matrix(context_, kernels_, rounder_for(s.task, e), e,
                               {w.encoding, sample.data(), rows, columns}, guide, rounded.data()));
        CARAT_DO(context_.check());
        if (error.overflows > 0) fits[i] = false;
        if (!fits[i]) continue;
        decode_rows(table, e, rounded.data(), rows, columns, changed.data());
        for (size_t k = 0; k < changed.size(); ++k) changed[k] -= exact[k];
        lost[i] += energy(reads, changed, rows, columns);
      }
    }
    std::vector<EncodingError> errors;
    for (size_t i = 0; i < lost.size(); ++i)
      if (fits[i]) errors.push_back({s.task.encodings[i], whole > 0 ? lost[i] / whole : 0});
    return errors;
  }

  /// Sum of the squares of x times the transpose of `matrix`; of the matrix itself where it reads nothing.
  double energy(std::span<const float> x, std::span<const float> matrix, int64_t rows, int64_t columns) {
    if (x.empty()) return sum_of_squares(matrix);
    const int64_t tokens = static_cast<int64_t>(x.size()) / columns;
    outputs_.resize(static_cast<size_t>(tokens * rows));
    const MatmulTarget target[] = {{{&encoding_f32(), reinterpret_cast<const uint8_t*>(matrix.data()), rows,
                                     columns, encoding_f32().row_bytes(columns)},
                                    outputs_.data(),
                                    rows}};
    matmul(kernels_, context_.pool, ActivationScheme::float32, target, x.data(), columns, tokens);
    return sum_of_squares(outputs_);
  }

  const Context& context_;
  const Checkpoint& checkpoint_;
  const KernelTable& kernels_;
  Weights weights_;
  const SensitivityOptions& options_;
  ExpertFeedback experts_;
  Sequences probing_;
  std::optional<Sequences> rounding_;
  ScoredPositions positions_;
  std::vector<float> before_experts_;  ///< of the rounding text, in a mixture
  std::vector<float> x_, h_;   ///< streams of the probing and of the rounding text at the present layer
  std::vector<float> states_;  ///< the source's, at the scored positions
  std::optional<ReferenceLogits> reference_;
  std::map<const SensitivityTask*, MatrixPlace> place_;
  std::function<Status(TensorSensitivity)> done_;
  std::vector<float> outputs_;
  uint64_t passes_ = 0;
};

}  // namespace

std::vector<const Encoding*> candidate_encodings(const Tensor& tensor, const Rounder& rounder) {
  const bool sees_data = rounder.uses_importance() || rounder.needs_feedback();
  std::vector<const Encoding*> out;
  for (const Encoding* e : all_encodings()) {
    if (e->ggml_type == kNoGgmlType || !e->fits(tensor.columns())) continue;
    if (e->row_bytes(tensor.columns()) >= tensor.row_bytes()) continue;
    if (!sees_data && requires_importance("", tensor.name, *e)) continue;
    if (e->is_float || rounder.supports(*e)) out.push_back(e);
  }
  return out;
}

Status measure_sensitivities(const Context& context, const Checkpoint& checkpoint,
                             std::span<const SensitivityTask> tasks, const SensitivityOptions& options,
                             const std::function<Status(TensorSensitivity)>& done) {
  if (tasks.empty()) return {};
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  CARAT_TRY(Weights weights, load_weights(context, options.run ? *options.run : checkpoint));
  return Measurement(context, checkpoint, *kernels, std::move(weights), options).run(tasks, done);
}

}  // namespace carat
