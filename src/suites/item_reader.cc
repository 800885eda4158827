#include "suites/item_reader.h"

#include <algorithm>
#include <charconv>

#include "base/digest.h"
#include "containers/quote.h"
#include "suites/line_reader.h"

namespace carat {

namespace {

constexpr size_t kLongestId = 200;
constexpr size_t kMostChoices = 1000;
constexpr size_t kMostTurns = 1000;
constexpr size_t kMostSlices = 64;
constexpr size_t kMostExampleBytes = 64 << 20;

/// A field's value as a text; nothing for lists, objects and null.
std::optional<std::string> text_of(const json::value& v) {
  if (const auto* s = v.if_string()) return std::string(*s);
  if (v.is_bool() || v.is_number()) return json::serialize(v);
  return std::nullopt;
}

/// Missing and null are alike.
const json::value* field_of(const json::object& fields, std::string_view name) {
  const json::value* v = fields.if_contains(name);
  return v && !v->is_null() ? v : nullptr;
}

Error wrong(std::string_view field, std::string_view wanted) {
  return bad_data("'{}' must be {}", field, wanted);
}

Result<std::optional<std::string>> take_text(const json::object& fields, std::string_view name) {
  const json::value* v = field_of(fields, name);
  if (!v) return std::optional<std::string>();
  if (!v->is_string()) return wrong(name, "a string");
  return std::optional<std::string>(std::string(v->get_string()));
}

Result<std::vector<std::string>> take_texts(const json::object& fields, std::string_view name, size_t most) {
  std::vector<std::string> out;
  const json::value* v = field_of(fields, name);
  if (!v) return out;
  const json::array* list = v->if_array();
  if (!list || list->empty() || list->size() > most)
    return wrong(name, fmt::format("an array of 1 to {} strings", most));
  for (const json::value& item : *list) {
    if (!item.is_string()) return wrong(name, fmt::format("an array of 1 to {} strings", most));
    out.emplace_back(item.get_string());
  }
  return out;
}

bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= kLongestId &&
         std::ranges::none_of(text, [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
}

Status add_slice(std::string slice, Item& item) {
  if (!is_label(slice))
    return bad_data("the slice {} is empty, longer than {} bytes or holds control characters", quote(slice),
                    kLongestId);
  if (std::ranges::find(item.slices, slice) != item.slices.end()) return {};
  if (item.slices.size() == kMostSlices) return bad_data("more than {} slices", kMostSlices);
  item.slices.push_back(std::move(slice));
  return {};
}

/// "name=value", for each value of a list.
Status add_slices(std::string_view name, const json::value& value, Item& item) {
  if (const auto* list = value.if_array()) {
    for (const json::value& each : *list) {
      if (each.is_array()) return wrong(name, "a text or a list of texts to slice by");
      CARAT_DO(add_slices(name, each, item));
    }
    return {};
  }
  const auto text = text_of(value);
  if (!text) return wrong(name, "a text or a list of texts to slice by");
  return add_slice(fmt::format("{}={}", name, *text), item);
}

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

/// The right choice: a number counts from 0; a text is the choice's own, or, from a template, the number.
Result<int64_t> gold_of(const json::value& v, bool from_template, const std::vector<std::string>& choices) {
  std::optional<int64_t> index;
  if (const auto* number = v.if_int64()) index = *number;
  if (const auto* text = v.if_string()) {
    if (from_template) index = whole_number(std::string_view(*text));
    const auto found = std::ranges::find(choices, std::string_view(*text));
    if (!index && found == choices.end())
      return bad_data("gold: {} is none of the {} choices", quote(std::string_view(*text)), choices.size());
    if (!index) index = found - choices.begin();
  }
  if (!index) return wrong("gold", "the number of a choice, from 0, or its text");
  if (*index < 0 || *index >= static_cast<int64_t>(choices.size()))
    return bad_data("gold: {} is none of the {} choices, which count from 0", *index, choices.size());
  return *index;
}

}  // namespace

Result<ItemReader::Line> ItemReader::parse(std::string_view text) const {
  Line line;
  CARAT_TRY(json::value parsed, parse_json(text));
  if (!parsed.is_object()) return bad_data("not a JSON object");
  line.raw = std::move(parsed.get_object());
  line.fields = line.raw;
  for (const FieldForm& form : task_->forms) {
    json::value value;
    json::array list;
    json::object members;
    for (const auto& [name, part] : form.parts) {
      auto rendered = part.render(line.raw, text);
      if (!rendered.ok()) return std::move(rendered).error().within(form.field);
      if (form.shape == FieldForm::list) list.emplace_back(*rendered);
      if (form.shape == FieldForm::members) members[name] = *rendered;
      if (form.shape == FieldForm::one) value = *rendered;
    }
    constexpr std::string_view structures[] = {"contexts", "choices", "turns", "tools", "expected"};
    if (form.shape == FieldForm::one && std::ranges::find(structures, form.field) != std::end(structures)) {
      auto structure = parse_json(std::string_view(value.get_string()));
      if (!structure.ok())
        return std::move(structure).error().within(form.field + ", as its template gives it");
      value = *std::move(structure);
    }
    if (form.shape == FieldForm::list) value = std::move(list);
    if (form.shape == FieldForm::members) value = std::move(members);
    line.fields[form.field] = std::move(value);
  }
  return line;
}

Status ItemReader::read_identity(const Line& line, int64_t number, Item& item) const {
  item.id = std::to_string(number);
  if (const json::value* id = field_of(line.fields, "id")) {
    const auto text = text_of(*id);
    if (!text || !is_label(*text))
      return wrong("id", fmt::format("a text of at most {} bytes without control characters", kLongestId));
    item.id = *text;
  }
  const std::string cluster_field = task_->cluster_by.empty() ? "cluster" : task_->cluster_by;
  item.cluster = item.id;
  if (const json::value* cluster = field_of(line.fields, cluster_field)) {
    const auto text = text_of(*cluster);
    if (!text) return wrong(cluster_field, "a text that names the cluster");
    // A cluster may be named by its passage; a sum of it says as much.
    item.cluster =
        is_label(*text)
            ? *text
            : fmt::format("{:016x}",
                          xxh3(Bytes{reinterpret_cast<const uint8_t*>(text->data()), text->size()}));
  } else if (!task_->cluster_by.empty()) {
    return bad_data("there is no field {}, which cluster_by names", quote(cluster_field));
  }
  CARAT_TRY(auto slice, take_text(line.fields, "slice"));
  const bool by_slice = std::ranges::find(task_->slice_by, "slice") != task_->slice_by.end();
  if (slice && !by_slice) CARAT_DO(add_slice(*std::move(slice), item));
  if (const json::value* slices = field_of(line.fields, "slices")) {
    if (const auto* named = slices->if_object()) {
      for (const auto& member : *named) CARAT_DO(add_slices(member.key(), member.value(), item));
    } else {
      CARAT_TRY(auto list, take_texts(line.fields, "slices", kMostSlices));
      for (std::string& s : list) CARAT_DO(add_slice(std::move(s), item));
    }
  }
  for (const std::string& name : task_->slice_by) {
    const json::value* v = field_of(line.fields, name);
    if (!v) return bad_data("there is no field {}, which slice_by names", quote(name));
    CARAT_DO(add_slices(name, *v, item));
  }
  return {};
}

Status ItemReader::read_choice(const json::object& fields, Item& item) const {
  CARAT_TRY(item.contexts, take_texts(fields, "contexts", kMostChoices));
  if (item.contexts.empty()) {
    CARAT_TRY(auto context, take_text(fields, "context"));
    if (!context) {
      CARAT_TRY(context, take_text(fields, "prompt"));
    }
    item.contexts.push_back(std::move(context).value_or(""));
  }
  CARAT_TRY(std::vector<std::string> choices, take_texts(fields, "choices", kMostChoices));
  CARAT_TRY(auto continuation, take_text(fields, "continuation"));
  if (choices.empty() == !continuation) return bad_data("needs either 'choices' or 'continuation'");
  if (continuation) choices.assign(item.contexts.size(), *continuation);
  if (item.contexts.size() > 1 && item.contexts.size() != choices.size())
    return bad_data("{} contexts and {} choices", item.contexts.size(), choices.size());
  if (std::ranges::find(choices, "") != choices.end()) return bad_data("a choice is empty");
  const bool from_template = std::ranges::find(task_->forms, "gold", &FieldForm::field) != task_->forms.end();
  const json::value* gold = field_of(fields, "gold");
  if (!gold) gold = field_of(fields, "answer");
  if (choices.size() == 1) {
    item.gold = 0;
  } else if (!gold) {
    return bad_data("needs 'gold', which choice is right");
  } else {
    CARAT_TRY(item.gold, gold_of(*gold, from_template, choices));
  }
  for (const std::string& choice : choices) item.choices.push_back(task_->task.delimiter + choice);
  for (const std::string& metric : task_->task.metrics) {
    const bool one = metric == "greedy", several = metric != "greedy" && metric != "gold_nll";
    if ((one && item.choices.size() > 1) || (several && item.choices.size() < 2))
      return bad_data("the metric {} is for items with {}, and this has {}", quote(metric),
                      one ? "one continuation" : "several choices", item.choices.size());
  }
  return {};
}

Status ItemReader::read_turns(const json::object& fields, Item& item) const {
  const json::value* turns = field_of(fields, "turns");
  if (!turns) return {};
  const std::string wanted =
      fmt::format("an array of 1 to {} texts, or of objects with role and content", kMostTurns);
  const json::array* list = turns->if_array();
  if (!list || list->empty() || list->size() > kMostTurns) return wrong("turns", wanted);
  bool user = false;
  for (const json::value& turn : *list) {
    Turn t{"user", {}};
    if (const auto* text = turn.if_string()) {
      t.content = *text;
    } else {
      const json::string* role = json_string(json_find(turn, "role"));
      const json::string* content = json_string(json_find(turn, "content"));
      if (!role || !content) return wrong("turns", wanted);
      t.role = *role, t.content = *content;
    }
    if (t.role != "user" && t.role != "assistant" && t.role != "system")
      return bad_data("turns: there is no role {}, only system, user and assistant", quote(t.role));
    if (t.role == "user" && t.content.empty()) return bad_data("turns: the text of a user is empty");
    user |= t.role == "user";
    item.turns.push_back(std::move(t));
  }
  if (!user) return bad_data("turns: none is a user's");
  return {};
}

Status ItemReader::read_generate(const json::object& fields, Item& item) const {
  CARAT_TRY(auto prompt, take_text(fields, "prompt"));
  CARAT_DO(read_turns(fields, item));
  if (!prompt == item.turns.empty()) return bad_data("needs either 'prompt' or 'turns'");
  if (!item.turns.empty() && !task_->task.generation.chat)
    return bad_data("'turns' are for chat, which is false in this task's generation");
  if (prompt && prompt->empty()) return bad_data("'prompt' is empty");
  item.prompt = std::move(prompt).value_or("");
  if (const json::value* tools = field_of(fields, "tools")) {
    if (!tools->is_array()) return wrong("tools", "an array of functions");
    item.tools = tools->get_array();
  }
  if (const json::value* expected = field_of(fields, "expected")) {
    if (!expected->is_object()) return wrong("expected", "an object");
    item.expected = expected->get_object();
  } else if (const json::value* answer = field_of(fields, "answer")) {
    item.expected["answer"] = *answer;
  }
  return {};
}

Result<Item> ItemReader::item_of(const Line& line, int64_t number) const {
  Item item;
  CARAT_DO(read_identity(line, number, item));
  switch (task_->task.kind) {
    case TaskKind::perplexity: {
      CARAT_TRY(auto text, take_text(line.fields, "text"));
      if (!text || text->empty()) return wrong("text", "a string that is not empty");
      item.text = *std::move(text);
      break;
    }
    case TaskKind::choice:
      CARAT_DO(read_choice(line.fields, item));
      break;
    case TaskKind::generate:
      CARAT_DO(read_generate(line.fields, item));
      break;
  }
  return item;
}

Result<std::string> ItemReader::example(const Line& line, std::string_view text) const {
  CARAT_TRY(const Item item, item_of(line, 1));
  if (!item.turns.empty()) return bad_data("an example needs 'prompt', not 'turns'");
  const bool choice = task_->task.kind == TaskKind::choice;
  const size_t gold = choice ? static_cast<size_t>(item.gold) : 0;
  std::string out = choice ? item.contexts[std::min(gold, item.contexts.size() - 1)] : item.prompt;
  if (task_->few_shot->answer) {
    CARAT_TRY(const std::string answer, task_->few_shot->answer->render(line.raw, text));
    return out + task_->task.delimiter + answer;
  }
  if (choice) return out + item.choices[gold];
  const json::value* answer = field_of(line.fields, "answer");
  const auto answer_text = answer ? text_of(*answer) : std::nullopt;
  if (!answer_text) return bad_data("an example needs 'answer', a text, or few_shot.answer a template");
  return out + task_->task.delimiter + *answer_text;
}

Status ItemReader::read_examples(const std::string& path) {
  const FewShot& shots = *task_->few_shot;
  CARAT_TRY(auto reader, LineReader::open(path));
  std::unordered_map<std::string, int64_t> counts;
  size_t bytes = 0;
  std::string_view text;
  for (;;) {
    CARAT_TRY(const bool more, reader->next(text));
    if (!more) break;
    if (text.find_first_not_of(" \t") == std::string_view::npos) continue;
    const std::string place = fmt::format("{}:{}", path, reader->number());
    auto line = parse(text);
    if (!line.ok()) return std::move(line).error().within(place);
    std::string key;
    if (!shots.match.empty()) {
      const json::value* v = field_of(line->raw, shots.match);
      const auto value = v ? text_of(*v) : std::nullopt;
      if (!value) return bad_data("{}: there is no text {}, which 'match' names", place, quote(shots.match));
      key = *value;
    }
    if (counts[key] == shots.count) continue;
    auto shown = example(*line, text);
    if (!shown.ok()) return std::move(shown).error().within(place);
    bytes += shown->size();
    if (bytes > kMostExampleBytes)
      return bad_data("{}: more than {} MB of examples", path, kMostExampleBytes >> 20);
    examples_[key] += *shown + shots.separator;
    ++counts[key];
  }
  for (const auto& [key, count] : counts)
    if (count < shots.count)
      return bad_data("{}: {} examples{} and not {}", path, count,
                      shots.match.empty() ? "" : fmt::format(" with {} {}", shots.match, quote(key)),
                      shots.count);
  if (counts.empty()) return bad_data("{}: no examples", path);
  return {};
}

/// Preamble and examples, before the question.
Status ItemReader::add_prefix(const Line& line, std::string_view text, Item& item) const {
  std::string prefix;
  if (task_->preamble) {
    auto preamble = task_->preamble->render(line.raw, text);
    if (!preamble.ok()) return std::move(preamble).error().within("preamble");
    prefix = *std::move(preamble);
  }
  if (task_->few_shot) {
    const std::string& match = task_->few_shot->match;
    std::string key;
    if (!match.empty()) {
      const json::value* v = field_of(line.raw, match);
      key = v ? text_of(*v).value_or("") : "";
    }
    const auto found = examples_.find(key);
    if (found == examples_.end())
      return bad_data("there are no examples with {} {} in {}", match, quote(key), task_->few_shot->file);
    prefix += found->second;
  }
  if (prefix.empty()) return {};
  if (!item.turns.empty()) return bad_data("a preamble or examples need 'prompt', not 'turns'");
  for (std::string& context : item.contexts) context.insert(0, prefix);
  if (!item.prompt.empty()) item.prompt.insert(0, prefix);
  if (!item.text.empty()) return bad_data("a text has no preamble");
  return {};
}

Status complete_item(const TaskFile& task, Item& item) {
  if (!task.check) return {};
  if (task.task.generation.chat && !item.prompt.empty()) {
    item.turns.push_back({"user", std::move(item.prompt)});
    item.prompt.clear();
  }
  return task.check->accepts(item.expected);
}

Result<ItemReader> ItemReader::open(const std::string& directory, const TaskFile& task) {
  ItemReader reader(task);
  if (task.few_shot) CARAT_DO(reader.read_examples(directory + task.few_shot->file));
  return reader;
}

Result<Item> ItemReader::read(std::string_view text, int64_t number) const {
  CARAT_TRY(const Line line, parse(text));
  CARAT_TRY(Item item, item_of(line, number));
  CARAT_DO(add_prefix(line, text, item));
  CARAT_DO(complete_item(*task_, item));
  return item;
}

}  // namespace carat
