#include <array>

#include "cli/verb.h"

namespace carat {

// Each defined in the file of its name.

std::span<const Verb* const> all_verbs() {
  static const std::vector<const Verb*> verbs = {};
  return verbs;
}

}  // namespace carat
