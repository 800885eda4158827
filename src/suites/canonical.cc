#include "suites/canonical.h"

#include <algorithm>
#include <cmath>

#include "suites/suite_file.h"

namespace carat {

namespace {

/// 1 and 1.0 are one number; a file that was written by another program may hold either.
void append_number(double value, std::string& out) {
  constexpr double exact = 9007199254740992;  // 2^53
  if (value == std::floor(value) && std::abs(value) < exact)
    out += std::to_string(static_cast<int64_t>(value));
  else
    out += json::serialize(json::value(value));
}

json::array array_of(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

}  // namespace

void append_canonical(const json::value& value, std::string& out) {
  if (const auto* object = value.if_object()) {
    std::vector<const json::key_value_pair*> members;
    for (const auto& member : *object) members.push_back(&member);
    std::ranges::sort(members, {}, [](const auto* m) { return std::string_view(m->key()); });
    out += '{';
    for (const auto* member : members) {
      if (member != members.front()) out += ',';
      out += json::serialize(json::string(member->key()));
      out += ':';
      append_canonical(member->value(), out);
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (const json::value& item : *array) {
      if (&item != array->data()) out += ',';
      append_canonical(item, out);
    }
    out += ']';
  } else if (const double* number = value.if_double()) {
    append_number(*number, out);
  } else {
    out += json::serialize(value);
  }
}

json::object to_json(const Task& task) {
  const GenerationSettings& g = task.generation;
  json::object out{{"name", task.name},
                   {"dimension", task.dimension},
                   {"kind", std::string(name_of(task.kind))},
                   {"metrics", array_of(task.metrics)}};
  // Lengths do not count it. Left out where it is the usual one, so that older digests stay.
  if (task.kind == TaskKind::choice && task.delimiter != Task().delimiter) out["delimiter"] = task.delimiter;
  if (task.kind != TaskKind::generate) return out;
  out["check"] = task.check;
  out["check_with"] = task.check_with;
  out["generation"] = {{"max_tokens", g.max_tokens},
                       {"temperature", g.temperature},
                       {"top_p", g.top_p},
                       {"min_p", g.min_p},
                       {"top_k", g.top_k},
                       {"stop", array_of(g.stop)},
                       {"seed", g.seed},
                       {"repeats", g.repeats},
                       {"chat", g.chat},
                       {"system", g.system}};
  return out;
}

json::object to_json(const Item& item) {
  json::object out{{"id", item.id}, {"cluster", item.cluster}, {"slices", array_of(item.slices)}};
  if (!item.text.empty()) out["text"] = item.text;
  if (!item.choices.empty()) {
    out["contexts"] = array_of(item.contexts);
    out["choices"] = array_of(item.choices);
    out["gold"] = item.gold;
  }
  if (!item.turns.empty()) {
    json::array turns;
    for (const Turn& t : item.turns) turns.push_back({{"role", t.role}, {"content", t.content}});
    out["turns"] = std::move(turns);
  }
  if (!item.prompt.empty()) out["prompt"] = item.prompt;
  if (!item.tools.empty()) out["tools"] = item.tools;
  if (!item.expected.empty()) out["expected"] = item.expected;
  return out;
}

}  // namespace carat
