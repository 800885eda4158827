// tools: the reply calls the functions that were asked for, with allowed arguments; or none, where none fits.
#include <algorithm>

#include "checks/kinds.h"
#include "checks/plain_text.h"
#include "checks/tool_calls.h"
#include "checks/tool_match.h"

namespace carat {

namespace {

constexpr size_t kMostCalls = 200;  // matching is quadratic in them

struct Wanted {
  bool irrelevant = false;
  const json::array* functions = nullptr;
  const json::array* truth = nullptr;

  static Wanted read(Settings& e) {
    Wanted w;
    w.irrelevant = e.flag("irrelevant", false);
    w.functions = json_array(e.any("functions"));
    w.truth = json_array(e.any("ground_truth"));
    if (w.functions == nullptr) e.refuse("functions", "must be an array of function descriptions");
    if (w.irrelevant) {
      if (w.truth != nullptr && !w.truth->empty())
        e.refuse("ground_truth", "must not be there for 'irrelevant'");
      return w;
    }
    bool fine = w.truth != nullptr && !w.truth->empty() && w.truth->size() <= kMostCalls;
    for (size_t i = 0; fine && i < w.truth->size(); ++i) {
      const json::object* call = (*w.truth)[i].if_object();
      fine = call != nullptr && call->size() == 1 && call->begin()->value().is_object();
    }
    if (!fine) e.refuse("ground_truth", "must be an array of {function: {argument: [allowed values]}}");
    return w;
  }
};

class Tools final : public Check {
 public:
  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    Wanted::read(e);
    return e.finish();
  }

  Result<Verdict> judge(const Context&, const Answer& answer, const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const Wanted wanted = Wanted::read(e);
    CARAT_DO(e.mistakes());
    Verdict v;
    std::vector<ParsedCall> calls;
    bool readable = true;
    for (const ToolCall& call : answer.tool_calls) {
      const auto arguments = parse_json(call.arguments.empty() ? "{}" : call.arguments);
      readable = readable && arguments.ok() && arguments->is_object();
      calls.push_back({call.name, readable ? arguments->get_object() : json::object{}});
    }
    if (answer.tool_calls.empty()) calls = calls_of_text(last_reply(answer));
    for (const ParsedCall& call : calls) {
      if (v.extracted.size() > 2000) break;
      v.extracted += (v.extracted.empty() ? "" : "\n") + call.name + json::serialize(call.arguments);
    }
    v.extracted = excerpt(v.extracted, 2000);
    if (wanted.irrelevant) {
      const double none = calls.empty() ? 1 : 0;
      v.metrics = {{"ast", none}, {"name", none}};
      if (!calls.empty()) v.reason = "It calls a function where none fits.";
      return v;
    }
    std::string wrong = calls.empty() ? "it calls nothing" : "";
    if (!readable) wrong = "the arguments of a call are not a JSON object";
    if (wrong.empty()) wrong = mismatch(calls, *wanted.functions, *wanted.truth);
    v.metrics = {{"ast", wrong.empty() ? 1 : 0}, {"name", same_names(calls, *wanted.truth) ? 1 : 0}};
    if (!wrong.empty()) v.reason = "Not as asked for: " + wrong + ".";
    return v;
  }

 private:
  static bool same_names(const std::vector<ParsedCall>& calls, const json::array& truth) {
    std::vector<std::string> given, wanted;
    for (const ParsedCall& call : calls) given.push_back(call.name);
    for (const json::value& t : truth) wanted.emplace_back(t.get_object().begin()->key());
    for (auto* names : {&given, &wanted}) {
      for (std::string& name : *names) std::replace(name.begin(), name.end(), '.', '_');
      std::sort(names->begin(), names->end());
    }
    return given == wanted;
  }
};

}  // namespace

Result<std::unique_ptr<Check>> make_tools(const json::object& settings) {
  CARAT_DO(Settings(settings, "check 'tools'").finish());
  return std::make_unique<Tools>();
}

}  // namespace carat
