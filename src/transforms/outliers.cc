#include "transforms/outliers.h"

#include <algorithm>

#include "base/random.h"
#include "transforms/fold.h"

namespace carat {

Result<Checkpoint> inject_outliers(Checkpoint in, const OutlierOptions& o) {
  if (!(o.factor >= 1 && o.factor <= 1e4))
    return usage_error("a factor of outliers of {} is outside 1 to 10000", o.factor);
  CARAT_TRY(const ModelConfig config, read_model_config(in));
  if (o.channels < 1 || o.channels > config.width)
    return usage_error("{} channels cannot be outliers of a model with {}", o.channels, config.width);
  std::vector<double> s(static_cast<size_t>(config.width), 1.0);
  Random random(o.seed);
  for (int64_t left = o.channels; left > 0;) {
    double& of_channel = s[random.next() % s.size()];
    if (of_channel != 1.0 && o.factor != 1.0) continue;
    of_channel = 1.0 / o.factor;
    --left;
  }
  Fold fold;
  int64_t norms = 0;
  for (const FoldGroup& group : fold_groups(config)) {
    if (!group.writers.empty() || group.channels != config.width) continue;
    fold.scale(group, s);
    ++norms;
  }
  if (norms < config.layers)
    return usage_error(
        "{} of the norms of this {} model can trade factors with what reads them: it would get no outliers "
        "in its "
        "layers",
        norms, config.architecture);
  fold.apply(in);
  in.metadata.set("carat.transform.outliers",
                  Value::string(fmt::format("seed={} channels={} factor={}", o.seed, o.channels, o.factor)));
  in.metadata.set("general.file_type", Value::u32(0));  // what is read from here on is F32
  return in;
}

}  // namespace carat
