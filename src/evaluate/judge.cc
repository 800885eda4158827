#include "evaluate/judge.h"

#include "base/digest.h"
#include "evaluate/ask.h"
#include "evaluate/written_text.h"

namespace carat {

Status Judge::rate(const Context& context, const Rubric& rubric,
                   std::span<const RatedConversation> conversations, std::span<Reply<Rating>> ratings) {
  std::vector<GenerationQuestion> questions;
  for (const RatedConversation& c : conversations) {
    GenerationQuestion q;
    q.question.turns = {{"user", judge_prompt(rubric, c.turns, *c.expected)}};
    q.settings.max_tokens = 1024;
    questions.push_back(std::move(q));
  }
  std::vector<Reply<GeneratedText>> replies(questions.size());
  CARAT_DO(subject_->generate(context, questions, replies));
  for (size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].outcome != Outcome::scored) {
      ratings[i].outcome = replies[i].outcome;
      ratings[i].reason = "the judge: " + replies[i].reason;
      continue;
    }
    const std::string_view words = divide_reasoning(replies[i].value.text).answer;
    const auto rating = read_rating(rubric, words);
    if (!rating)
      ratings[i].set_failed(fmt::format("the judge gives no rating: {}", cut_text(words, 200)));
    else
      ratings[i].set({*rating, cut_text(words)});
  }
  return {};
}

json::object Judge::description() const {
  const std::string prompt =
      judge_prompt({"", 0, 1}, {{"user", ""}, {"assistant", ""}}, {{"reference", json::array{""}}});
  const Variant& judge = subject_->variant();
  const json::value* model = judge.settings.if_contains("endpoint_model");
  return {{"model", model ? *model : json::value(judge.model)},
          {"digest", judge.model_digest},
          {"prompt_digest", sha256_hex(prompt)}};
}

}  // namespace carat
