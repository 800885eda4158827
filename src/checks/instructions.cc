// instructions: the reply follows every instruction that can be checked by a program (IFEval, Zhou et al.
// 2023). Strict takes the reply as it is; loose also takes it without its first or last line and without
// asterisks.
#include <algorithm>

#include "checks/instruction_kinds.h"
#include "checks/kinds.h"
#include "checks/plain_text.h"

namespace carat {

namespace {

/// The eight texts that loose judging accepts any of, the reply itself first.
std::vector<std::string> loose_forms(const std::string& reply) {
  const size_t first = reply.find('\n'), last = reply.rfind('\n');
  const bool lines = first != std::string::npos;
  const std::string_view text = reply;
  const std::string_view without_first = lines ? text.substr(first + 1) : std::string_view();
  const std::string_view without_last = lines ? text.substr(0, last) : std::string_view();
  const std::string_view without_both = lines && first < last ? text.substr(first + 1, last - first - 1) : "";
  std::vector<std::string> forms = {reply, std::string(trim(without_first)), std::string(trim(without_last)),
                                    std::string(trim(without_both))};
  for (size_t i = 0; i < 4; ++i) {
    forms.push_back(forms[i]);
    std::erase(forms.back(), '*');
  }
  return forms;
}

struct Instructions {
  std::vector<std::string> kinds;
  std::vector<const json::object*> arguments;

  static Instructions read(Settings& e) {
    Instructions out;
    out.kinds = e.texts("instruction_id_list");
    const json::value* list = e.any("kwargs");
    const json::array* arguments = json_array(list);
    if (out.kinds.empty()) e.refuse("instruction_id_list", "must be an array of instructions");
    if (arguments == nullptr || arguments->size() != out.kinds.size()) {
      e.refuse("kwargs", "must be an array with an object for every instruction");
      return out;
    }
    for (size_t i = 0; i < out.kinds.size(); ++i) {
      const json::object* object = (*arguments)[i].if_object();
      if (object == nullptr) {
        e.refuse("kwargs", "must hold objects only");
        return out;
      }
      const Status accepted = accepts_instruction(out.kinds[i], *object);
      if (!accepted.ok()) e.refuse("kwargs", "is not usable: " + accepted.error().message);
      out.arguments.push_back(object);
    }
    return out;
  }
};

class InstructionCheck final : public Check {
 public:
  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    Instructions::read(e);
    return e.finish();
  }

  Result<Verdict> judge(const Context& context, const Answer& answer,
                        const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const Instructions instructions = Instructions::read(e);
    CARAT_DO(e.mistakes());
    const std::vector<std::string> forms = loose_forms(clean_utf8(last_reply(answer)));
    size_t judged = 0, strict = 0, loose = 0;
    std::string broken, open;
    for (size_t i = 0; i < instructions.kinds.size(); ++i) {
      const std::string& kind = instructions.kinds[i];
      std::optional<bool> as_is, in_some_form;
      for (size_t f = 0; f < forms.size() && in_some_form != true; ++f) {
        CARAT_DO(context.check());
        const std::optional<bool> follows =
            trim(forms[f]).empty() ? false : follows_instruction(kind, *instructions.arguments[i], forms[f]);
        if (f == 0) as_is = follows;
        if (follows == true || f == 0) in_some_form = follows;
      }
      if (!as_is) {
        open += (open.empty() ? "" : ", ") + kind;
        continue;
      }
      ++judged;
      strict += *as_is;
      loose += *in_some_form;
      if (!*as_is) broken += (broken.empty() ? "" : ", ") + kind;
    }
    Verdict v;
    if (!open.empty()) open = "It cannot be told whether this holds: " + open + ".";
    if (judged == 0) {
      v.kind = Verdict::Kind::unscored;
      v.reason = open;
      return v;
    }
    const auto share = [&](size_t n) { return static_cast<double>(n) / static_cast<double>(judged); };
    v.metrics = {{"prompt_strict", strict == judged ? 1 : 0},
                 {"prompt_loose", loose == judged ? 1 : 0},
                 {"instruction_strict", share(strict)},
                 {"instruction_loose", share(loose)}};
    if (!broken.empty()) v.reason = "Not followed: " + broken + ".";
    if (!open.empty()) v.reason += (v.reason.empty() ? "" : " ") + open;
    return v;
  }
};

}  // namespace

Result<std::unique_ptr<Check>> make_instructions(const json::object& settings) {
  CARAT_DO(Settings(settings, "check 'instructions'").finish());
  return std::make_unique<InstructionCheck>();
}

}  // namespace carat
