// A --method: transforms and a rounder, in the order in which they are applied, joined by "+".
//
//   gptq   awq (then the default rounder)   awq+gptq   permute+gptq   smoothquant+nearest
#pragma once

#include <string_view>
#include <vector>

#include "rounders/rounder.h"
#include "transforms/transform.h"

namespace carat {

struct Method {
  std::vector<const Transform*> transforms;
  const Rounder* rounder = nullptr;

  /// Whether anything in it looks at what calibration text does in the model.
  bool uses_text() const;
  /// Whether that is what statistics of columns say, too.
  bool uses_statistics() const;
};

/// Empty: the default rounder alone. A usage error naming what there is.
Result<Method> parse_method(std::string_view name);

}  // namespace carat
