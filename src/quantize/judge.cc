#include "quantize/judge.h"

#include <algorithm>
#include <optional>

#include "arch/open_model.h"
#include "kernels/kernel_table.h"
#include "quantize/hidden_states.h"
#include "quantize/layer_roles.h"

namespace carat {
namespace {

/// At the scored positions of a text, after the final norm.
Result<std::vector<float>> states_of(const Context& context, const Model& model, Sequences& sequences,
                                     const ScoredPositions& positions) {
  std::vector<float> x(sequences.state_size());
  CARAT_DO(sequences.embed(context, model.weights, x.data()));
  for (int64_t l = 0; l < model.weights.config.layers; ++l)
    CARAT_DO(sequences.through(context, model, model.weights.layers[static_cast<size_t>(l)], l, x.data()));
  return scored_states(context, model, sequences, positions, x.data());
}

ScoredPositions second_half(const CalibrationText& text) { return {text.context / 2, text.context - 1}; }

class LockStepJudge final : public Judge {
 public:
  LockStepJudge(const KernelTable& kernels, Weights source, const CalibrationText& held_out,
                const CalibrationText& probing)
      : kernels_(kernels), source_(std::move(source)), held_out_(held_out), probing_(probing) {}

  Result<Estimate> held_out(const Context& context, const std::string& file) override {
    CARAT_TRY(const Weights candidate, load(context, file));
    Sequences sequences(source_.config, held_out_);
    const ScoredPositions positions = second_half(held_out_);
    const Model from{source_, kernels_, ActivationScheme::int8_block, context.profile};
    const Model to{candidate, kernels_, ActivationScheme::int8_block, context.profile};
    if (source_states_.empty()) {
      CARAT_TRY(source_states_, states_of(context, from, sequences, positions));
    }
    CARAT_TRY(const std::vector<float> states, states_of(context, to, sequences, positions));
    CARAT_TRY(const std::vector<double> kl,
              divergences(context, from, source_states_.data(), to, states.data(), positions.of(sequences)));
    return estimate(kl);
  }

  Result<std::vector<double>> shares(const Context& context, const std::string& file,
                                     const std::vector<TensorGroup>& groups) override {
    CARAT_TRY(Weights mixed, load(context, file));
    const auto places = matrix_places(source_.config);
    context.progress.begin("what each part costs", "models", groups.size() + 2);
    if (probing_states_.empty()) {
      Sequences sequences(source_.config, probing_);
      CARAT_TRY(probing_states_,
                states_of(context, float_model(context, source_), sequences, second_half(probing_)));
    }
    context.progress.update(1, "source");
    CARAT_TRY(const double whole, probed(context, mixed));
    std::vector<double> out;
    for (const TensorGroup& group : groups) {
      context.progress.update(out.size() + 2, group.front());
      std::vector<std::pair<MatrixPlace, Matrix>> rounded;
      for (const std::string& name : group) {
        const MatrixPlace& place = places.at(name);
        rounded.push_back({place, matrix_at(mixed, place)});
        set_matrix(mixed, place, matrix_at(source_, place));
      }
      const Result<double> rest = probed(context, mixed);
      for (const auto& [place, view] : rounded) set_matrix(mixed, place, view);
      if (!rest) return rest.error();
      out.push_back(whole - *rest);
    }
    context.progress.end();
    return out;
  }

 private:
  Result<Weights> load(const Context& context, const std::string& file) {
    CARAT_TRY(const Checkpoint checkpoint, open_model(file));
    return load_weights(context, checkpoint);
  }
  Model float_model(const Context& context, const Weights& weights) const {
    return {weights, kernels_, ActivationScheme::float32, context.profile};
  }
  Result<double> probed(const Context& context, const Weights& mixed) {
    Sequences sequences(source_.config, probing_);
    const ScoredPositions positions = second_half(probing_);
    const Model model = float_model(context, mixed);
    CARAT_TRY(const std::vector<float> states, states_of(context, model, sequences, positions));
    CARAT_TRY(const std::vector<double> kl,
              divergences(context, float_model(context, source_), probing_states_.data(), model,
                          states.data(), positions.of(sequences)));
    return estimate(kl).mean;
  }

  const KernelTable& kernels_;
  Weights source_;
  const CalibrationText& held_out_;
  const CalibrationText& probing_;
  std::vector<float> source_states_, probing_states_;
};

}  // namespace

Result<std::unique_ptr<Judge>> make_judge(const Context& context, const Checkpoint& source,
                                          const CalibrationText& held_out, const CalibrationText& probing) {
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  CARAT_TRY(Weights weights, load_weights(context, source));
  return std::unique_ptr<Judge>(new LockStepJudge(*kernels, std::move(weights), held_out, probing));
}

}  // namespace carat
