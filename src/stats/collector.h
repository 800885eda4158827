// Sums up what a model's matrices read while it runs.
//
// Sums are doubles, added token by token in the order in which they come, column by column: split over
// threads by columns, they depend neither on threads nor on how many tokens come at a time.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/thread_pool.h"
#include "model/linear_input.h"
#include "stats/statistics.h"

namespace carat {

class StatisticsCollector final : public InputTap {
 public:
  StatisticsCollector(ThreadPool& pool, const ModelConfig& config) : pool_(pool), config_(config) {}

  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override;

  /// bad_data naming a matrix, the column and what the layer's inputs hold, if they are not all finite.
  Status check(int64_t layer) const;
  /// One entry per matrix; datasets, digests and so on are left to the caller.
  CalibrationStatistics statistics() const;

  /// What it has seen, for a later restore(), which refuses (bad_data) what is not of this model's shape.
  void save(std::string& out) const;
  Status restore(Bytes bytes);

 private:
  using Key = std::pair<int64_t, LinearInput>;  ///< layer and input
  struct Sums {
    int64_t columns = 0;
    std::vector<double> counts;            ///< [matrices]
    std::vector<double> sum, sum_squares;  ///< [matrices, columns]
    std::vector<float> minimum, maximum;
  };
  ThreadPool& pool_;
  const ModelConfig& config_;
  std::map<Key, Sums> inputs_;
};

}  // namespace carat
