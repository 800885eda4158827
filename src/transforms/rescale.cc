#include "transforms/rescale.h"

#include <cmath>

#include "base/digest.h"
#include "base/random.h"
#include "transforms/fold.h"

namespace carat {

Result<Checkpoint> rescale(Checkpoint in, uint64_t seed, double sigma) {
  if (!(sigma >= 0.0 && sigma <= 1.0)) return usage_error("a rescale sigma of {} is outside 0 to 1", sigma);
  CARAT_TRY(const ModelConfig config, read_model_config(in));
  Fold fold;
  for (const FoldGroup& group : fold_groups(config)) {
    // The stream starts from the name, so that a group's factors do not depend on which groups came before.
    Random random(seed ^ xxh3({reinterpret_cast<const uint8_t*>(group.name.data()), group.name.size()}));
    std::vector<double> s(static_cast<size_t>(group.channels));
    for (double& x : s) x = 1.0 / std::exp(sigma * random.normal());
    fold.scale(group, s);
  }
  fold.apply(in);
  in.metadata.set("carat.transform.rescale", Value::string(fmt::format("seed={} sigma={}", seed, sigma)));
  in.metadata.set("general.file_type", Value::u32(0));  // what is read from here on is F32
  return in;
}

}  // namespace carat
