#include "measure/rounding_rate.h"

#include <algorithm>
#include <map>

#include "base/stopwatch.h"
#include "measure/synthetic.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

constexpr int64_t kSampleWeights = 8 << 20;

/// One encoding's part of a model.
struct Part {
  const Tensor* largest = nullptr;  ///< whose shape stands for all
  double weights = 0;
  std::vector<double> rates;
};

}  // namespace

Result<RoundingRate> measure_rounding(const Context& context, const LimitMeter& meter,
                                      const Checkpoint& checkpoint, const Recipe& recipe,
                                      const std::string& method, int repetitions) {
  const Rounder* rounder = method.empty() ? &default_rounder() : find_rounder(method);
  if (!rounder) return usage_error("there is no method '{}'", method);
  CARAT_TRY(const ModelFacts facts, read_model_facts(checkpoint.metadata));
  AssignOptions assign;
  assign.allow_fallback = true;
  const Checkpoint source = synthetic_twin(checkpoint, encoding_bf16(), 1);
  CARAT_TRY(const auto choices, assign_encodings(recipe, facts, tensor_facts(source), assign));
  std::map<const Encoding*, Part> parts;
  for (size_t i = 0; i < choices.size(); ++i) {
    const Tensor& t = source.tensors[i];
    if (choices[i].kept || t.shape.size() < 2) continue;
    Part& part = parts[choices[i].encoding];
    part.weights += static_cast<double>(t.elements());
    if (!part.largest || t.elements() > part.largest->elements()) part.largest = &t;
  }

  std::vector<uint8_t> in, out;
  RoundingRate result;
  result.recipe = recipe.name;
  result.threads = context.pool.threads();
  std::vector<double> rates, shares;
  double before = meter.measure_read(context.pool);
  for (int i = -1; i < repetitions; ++i) {
    double seconds = 0, weights = 0, bytes = 0;
    for (auto& [encoding, part] : parts) {
      CARAT_DO(context.check());
      const Tensor& t = *part.largest;
      const int64_t rows = std::clamp<int64_t>(kSampleWeights / t.columns(), 1, t.rows());
      in.resize(static_cast<size_t>(rows) * t.row_bytes());
      out.resize(static_cast<size_t>(rows) * encoding->row_bytes(t.columns()));
      CARAT_DO(t.data->read_bytes(0, rows, in.data()));
      const Stopwatch watch;
      CARAT_DO(rounder->round(context, meter.kernels(), *encoding, {t.encoding, in.data(), rows, t.columns()},
                              {}, out.data()));
      const double s = watch.seconds();
      const double rate = static_cast<double>(rows * t.columns()) / s;
      seconds += part.weights / rate;
      weights += part.weights;
      bytes += part.weights * (t.encoding->bits_per_weight() + encoding->bits_per_weight()) / 8;
      if (i >= 0) part.rates.push_back(rate);
    }
    const double after = meter.measure_read(context.pool);
    const double limit = (before + after) / 2;
    before = after;
    if (i < 0 || seconds <= 0) continue;  // the first warms up
    rates.push_back(weights / seconds);
    shares.push_back(limit > 0 ? bytes / seconds / limit : 0);
  }
  result.rate = spread(std::move(rates));
  result.memory = spread(std::move(shares));
  for (auto& [encoding, part] : parts) result.encodings.emplace_back(encoding, spread(part.rates).median);
  std::ranges::sort(result.encodings, {}, [](const auto& e) { return e.first->name; });
  return result;
}

}  // namespace carat
