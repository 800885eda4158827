#include "transforms/permute.h"

#include <algorithm>
#include <numeric>

#include "transforms/group_statistics.h"

namespace carat {
namespace {

class Permute final : public Transform {
 public:
  std::string_view name() const override { return "permute"; }
  std::string record(const TransformOptions&) const override { return "by descending energy"; }

  Status apply(const Context& context, const TransformOptions&, TransformSubject& subject) const override {
    CARAT_TRY(const ModelConfig config, read_model_config(subject.checkpoint));
    Fold fold;
    for (const FoldGroup& group : fold_groups(config)) {
      CARAT_DO(context.check());
      if (group.permutable == 0) continue;
      CARAT_TRY(const GroupStatistics seen, statistics_of(group, subject.statistics));
      std::vector<int64_t> order(static_cast<size_t>(group.channels));
      std::iota(order.begin(), order.end(), int64_t{0});
      for (auto run = order.begin(); run != order.end(); run += group.permutable)
        std::stable_sort(run, run + group.permutable, [&](int64_t a, int64_t b) {
          return seen.magnitude[static_cast<size_t>(a)] > seen.magnitude[static_cast<size_t>(b)];
        });
      fold.permute(group, order);
    }
    fold.apply(subject.statistics);
    fold.apply(subject.checkpoint);
    return {};
  }
};

}  // namespace

const Transform* permute_transform() {
  static const Permute transform;
  return &transform;
}

}  // namespace carat
