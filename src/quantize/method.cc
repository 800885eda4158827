#include "quantize/method.h"

#include <algorithm>

namespace carat {
namespace {

template <class List>
std::string names(const List& list) {
  std::string out;
  for (const auto* item : list) out += fmt::format("{}{}", out.empty() ? "" : ", ", item->name());
  return out;
}

}  // namespace

bool Method::uses_statistics() const {
  return rounder->uses_importance() || std::ranges::any_of(transforms, &Transform::needs_statistics);
}

bool Method::uses_text() const { return rounder->needs_feedback() || uses_statistics(); }

Result<Method> parse_method(std::string_view name) {
  Method method;
  for (std::string_view rest = name; !rest.empty();) {
    const size_t plus = std::min(rest.find('+'), rest.size());
    const std::string_view part = rest.substr(0, plus);
    rest.remove_prefix(std::min(plus + 1, rest.size()));
    if (const Rounder* rounder = find_rounder(part)) {
      if (!rest.empty())
        return usage_error("the method '{}': {} chooses the codes, so that nothing can come after it", name,
                           part);
      method.rounder = rounder;
    } else if (const Transform* transform = find_transform(part)) {
      if (std::ranges::count(method.transforms, transform))
        return usage_error("the method '{}' has {} twice", name, part);
      if (!transform->needs_statistics() && !method.transforms.empty() &&
          method.transforms.back()->needs_statistics())
        return usage_error(
            "the method '{}': {} changes what all matrices read, so that it comes before what looks at that",
            name, part);
      method.transforms.push_back(transform);
    } else {
      return usage_error("there is no method '{}'; there are {}, and before one of them, joined by '+', {}",
                         part, names(all_rounders()), names(all_transforms()));
    }
  }
  if (!method.rounder) method.rounder = &default_rounder();
  return method;
}

}  // namespace carat
