// For tests: what sensitivities measure, by engines.
#pragma once

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "kernels/kernel_table.h"
#include "quantize/testing.h"
#include "score/divergence.h"
#include "stats/calibration_text.h"

namespace carat::testing {

/// Mean KL at the positions that sensitivities are measured at, by engines that know nothing of layers.
inline double divergence_by_engines(Checkpoint source, Checkpoint candidate, const CalibrationText& with) {
  Runner runner;
  const KernelTable& kernels = *default_kernel_table().value();
  EngineOptions options;
  options.context = with.context;
  options.activations = ActivationScheme::float32;
  const auto p = Engine::load(runner.context(), std::move(source), options).value();
  const auto q = Engine::load(runner.context(), std::move(candidate), options).value();
  const int64_t vocabulary = p->vocabulary();
  double sum = 0;
  int64_t count = 0;
  for (const auto& tokens : with.sequences) {
    std::vector<float> logits[2];
    for (const int i : {0, 1}) {
      const auto session = (i ? q : p)->new_session().value();
      const Status done =
          session->append_scored(runner.context(), tokens, 0, [&](int64_t, int64_t n, const float* l) {
            logits[i].insert(logits[i].end(), l, l + n * vocabulary);
            return Status();
          });
      EXPECT_TRUE(done.ok());
    }
    for (int64_t t = with.context / 4; t < with.context - 1; ++t, ++count) {
      const float *a = logits[0].data() + t * vocabulary, *b = logits[1].data() + t * vocabulary;
      sum += divergence(kernels, a, log_sum_exp(kernels, a, vocabulary), b,
                        log_sum_exp(kernels, b, vocabulary), vocabulary);
    }
  }
  return sum / static_cast<double>(count);
}

}  // namespace carat::testing
