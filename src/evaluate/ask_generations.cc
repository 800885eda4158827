// Conversations of many items side by side: in each round every item whose next turn is the model's gets one,
// until no item has a turn left.
#include <algorithm>

#include "evaluate/ask.h"
#include "evaluate/written_text.h"

namespace carat {
namespace {

struct Conversation {
  const Work* work = nullptr;
  Question question;      ///< so far
  size_t next_turn = 0;   ///< of the item, not yet in the question
  bool prompted = false;  ///< without chat: the one answer has been asked for
  Answer answer;
  GeneratedText last;
  int64_t prompt_tokens = 0, tokens = 0, reasoning_bytes = 0;
  double seconds = 0, first_token_seconds = 0;
  bool looped = false;
  Outcome outcome = Outcome::scored;
  std::string reason;

  /// Takes turns that are given; whether the model is to speak.
  bool advance() {
    if (outcome != Outcome::scored) return false;
    const std::vector<Turn>& turns = work->item.turns;
    if (turns.empty()) return !std::exchange(prompted, true);
    while (next_turn < turns.size()) {
      const bool user = turns[next_turn].role == "user";
      question.turns.push_back(turns[next_turn++]);
      const bool answered = next_turn < turns.size() && turns[next_turn].role == "assistant";
      if (user && !answered) return true;
    }
    return false;
  }

  void take(Reply<GeneratedText>&& reply) {
    if (reply.outcome != Outcome::scored) {
      outcome = reply.outcome;
      reason = std::move(reply.reason);
      return;
    }
    last = std::move(reply.value);
    const Written written = divide_reasoning(last.text);
    reasoning_bytes += static_cast<int64_t>(written.reasoning.size() + last.reasoning.size());
    // Two of them: reasoning that goes round in circles has no answer behind it.
    looped = looped || ends_in_a_loop(last.text) || ends_in_a_loop(last.reasoning);
    answer.replies.emplace_back(written.answer);
    answer.truncated = last.truncated;
    if (answer.replies.size() == 1) first_token_seconds = last.first_token_seconds;
    prompt_tokens += last.prompt_tokens;
    tokens += last.tokens;
    seconds += last.seconds;
    if (!question.turns.empty()) question.turns.push_back({"assistant", answer.replies.back()});
  }
};

Conversation begin(const Task& task, const Work& work) {
  Conversation c;
  c.work = &work;
  c.question.prompt = work.item.prompt;
  if (!work.item.tools.empty()) c.question.tools = &work.item.tools;
  const bool own_system = !work.item.turns.empty() && work.item.turns.front().role == "system";
  if (!task.generation.system.empty() && !work.item.turns.empty() && !own_system)
    c.question.turns.push_back({"system", task.generation.system});
  return c;
}

Status converse(const Examination& exam, std::span<Conversation> conversations) {
  while (true) {
    std::vector<GenerationQuestion> questions;
    std::vector<Conversation*> asked;
    for (Conversation& c : conversations) {
      if (!c.advance()) continue;
      const GenerationSettings& settings = exam.task.generation;
      const uint64_t seed = derived_seed(settings.seed + exam.seed_shift, c.work->item.id, c.work->repeat);
      questions.push_back({c.question, settings, seed});
      asked.push_back(&c);
    }
    if (asked.empty()) return {};
    std::vector<Reply<GeneratedText>> replies(asked.size());
    CARAT_DO(exam.subject.generate(exam.context, questions, replies));
    for (size_t i = 0; i < asked.size(); ++i) asked[i]->take(std::move(replies[i]));
  }
}

/// The answer of an item that has one as text, which the model may find likely long before it writes it.
std::string gold_text(const json::object& expected) {
  const json::value* answer = expected.if_contains("answer");
  if (!answer) answer = expected.if_contains("answers");
  if (!answer) return {};
  if (const json::string* text = answer->if_string()) return std::string(*text);
  if (answer->is_number()) return json::serialize(*answer);
  const json::array* several = answer->if_array();
  if (several && !several->empty() && several->front().is_string())
    return std::string(several->front().get_string());
  return {};
}

/// gold_nll of items with a text for an answer and one turn; where a subject has none it is left out.
Status add_gold_likelihoods(const Examination& exam, std::span<const Work> work, std::span<Record> records) {
  std::vector<LikelihoodQuestion> questions;
  std::vector<Record*> asked;
  for (size_t i = 0; i < work.size(); ++i) {
    const std::string gold = gold_text(work[i].item.expected);
    if (gold.empty() || work[i].repeat > 0 || records[i].outcome != Outcome::scored) continue;
    Conversation c = begin(exam.task, work[i]);
    if (!c.advance()) continue;
    const std::string& prompt = c.question.prompt;
    const bool divided =
        !c.question.turns.empty() || prompt.empty() || prompt.back() == ' ' || prompt.back() == '\n';
    questions.push_back({std::move(c.question), divided ? gold : " " + gold});
    asked.push_back(&records[i]);
  }
  if (questions.empty()) return {};
  std::vector<Reply<LikelihoodReply>> replies(questions.size());
  CARAT_DO(exam.subject.likelihoods(exam.context, questions, replies));
  for (size_t i = 0; i < asked.size(); ++i)
    if (replies[i].outcome == Outcome::scored)
      asked[i]->metrics.emplace_back("gold_nll", -replies[i].value.log_probability);
  return {};
}

std::string question_text(const Item& item) {
  if (item.turns.empty()) return cut_text(item.prompt);
  const auto last_user =
      std::find_if(item.turns.rbegin(), item.turns.rend(), [](const Turn& t) { return t.role == "user"; });
  return cut_text(last_user == item.turns.rend() ? item.turns.back().content : last_user->content);
}

std::string answer_text(const Answer& answer) {
  std::string out;
  for (const std::string& reply : answer.replies) out += (out.empty() ? "" : "\n---\n") + reply;
  for (const ToolCall& call : answer.tool_calls) out += fmt::format("\n{}({})", call.name, call.arguments);
  return out;
}

bool is_rated(const Examination& exam) { return exam.judge && exam.task.check == "rubric"; }

/// What generated texts are measured by besides their judgement.
void add_signs(const Conversation& c, Record& record) {
  record.metrics.emplace_back("tokens", static_cast<double>(c.tokens));
  record.metrics.emplace_back("reasoning_bytes", static_cast<double>(c.reasoning_bytes));
  record.metrics.emplace_back("truncated", record.truncated ? 1 : 0);
  record.metrics.emplace_back("looped", record.looped ? 1 : 0);
}

Status write_down(const Examination& exam, Conversation& c, Record& record) {
  record = blank_record(exam.task, *c.work);
  record.question = question_text(c.work->item);
  record.expected = c.work->item.expected.empty() ? "" : cut_text(json::serialize(c.work->item.expected));
  record.outcome = c.outcome;
  record.reason = c.reason;
  if (c.outcome != Outcome::scored) return {};

  for (auto& [name, arguments] : c.last.tool_calls) c.answer.tool_calls.push_back({name, arguments});
  record.answer = cut_text(answer_text(c.answer), 2000);
  record.prompt_tokens = c.prompt_tokens;
  record.generated_tokens = c.tokens;
  record.truncated = c.answer.truncated;
  record.looped = c.looped;
  record.seconds = c.seconds;
  record.first_token_seconds = c.first_token_seconds;
  if (is_rated(exam)) return {};  // together with the others, by rate()
  CARAT_TRY(const Verdict verdict, exam.check->judge(exam.context, c.answer, c.work->item.expected));
  record.reason = verdict.reason;
  if (verdict.kind == Verdict::Kind::unscored) {
    record.outcome = Outcome::unscored;
    return {};
  }
  record.metrics = verdict.metrics;
  add_signs(c, record);
  return {};
}

/// The judge's ratings of all conversations that were finished.
Status rate(const Examination& exam, std::span<const Conversation> conversations, std::span<Record> records) {
  CARAT_TRY(const Rubric rubric, read_rubric(exam.task.check_with));
  std::vector<RatedConversation> rated;
  std::vector<size_t> places;
  for (size_t i = 0; i < conversations.size(); ++i) {
    if (records[i].outcome != Outcome::scored) continue;
    RatedConversation& one = rated.emplace_back();
    one.expected = &conversations[i].work->item.expected;
    const Question& question = conversations[i].question;
    for (const Turn& turn : question.turns) one.turns.emplace_back(turn.role, turn.content);
    if (question.turns.empty())
      one.turns = {{"user", question.prompt}, {"assistant", conversations[i].answer.replies.back()}};
    places.push_back(i);
  }
  if (rated.empty()) return {};
  std::vector<Reply<Rating>> ratings(rated.size());
  CARAT_DO(exam.judge->rate(exam.context, rubric, rated, ratings));
  for (size_t k = 0; k < rated.size(); ++k) {
    Record& record = records[places[k]];
    record.outcome = ratings[k].outcome;
    record.reason = ratings[k].outcome == Outcome::scored ? ratings[k].value.reason : ratings[k].reason;
    if (record.outcome != Outcome::scored) continue;
    record.metrics = {{"rating", ratings[k].value.value}};
    add_signs(conversations[places[k]], record);
  }
  return {};
}

}  // namespace

Status ask_generations(const Examination& exam, std::span<const Work> work, std::span<Record> records) {
  std::vector<Conversation> conversations;
  for (const Work& w : work) conversations.push_back(begin(exam.task, w));
  CARAT_DO(converse(exam, conversations));
  for (size_t i = 0; i < work.size(); ++i) CARAT_DO(write_down(exam, conversations[i], records[i]));
  if (is_rated(exam)) CARAT_DO(rate(exam, conversations, records));
  return add_gold_likelihoods(exam, work, records);
}

}  // namespace carat
