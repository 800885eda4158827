#include <algorithm>

#include "transforms/awq.h"
#include "transforms/permute.h"
#include "transforms/rotate.h"
#include "transforms/smoothquant.h"

namespace carat {

std::span<const Transform* const> all_transforms() {
  static const Transform* const transforms[] = {awq_transform(), smoothquant_transform(), permute_transform(),
                                                rotate_transform()};
  return transforms;
}

const Transform* find_transform(std::string_view name) {
  for (const Transform* t : all_transforms())
    if (t->name() == name) return t;
  return nullptr;
}

}  // namespace carat
