#include "evaluate/ask.h"

#include <algorithm>
#include <cmath>

#include "base/digest.h"
#include "evaluate/choice_metrics.h"

namespace carat {
namespace {

/// The first reply that is none, in the words of a record; false where all are there.
template <class T>
bool note_missing(std::span<const Reply<T>> replies, Record& record) {
  const auto missing =
      std::ranges::find_if(replies, [](const Reply<T>& r) { return r.outcome != Outcome::scored; });
  if (missing == replies.end()) return false;
  record.outcome = missing->outcome;
  record.reason = missing->reason;
  return true;
}

const std::string& context_of(const Item& item, size_t choice) {
  return item.contexts[std::min(choice, item.contexts.size() - 1)];
}

}  // namespace

std::string cut_text(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  size_t end = bytes;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

uint64_t derived_seed(uint64_t seed, std::string_view item, int64_t repeat) {
  const std::string text = fmt::format("{}\n{}\n{}", seed, repeat, item);
  return xxh3({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

Record blank_record(const Task& task, const Work& work) {
  Record record;
  record.task = task.name;
  record.item = work.item.id;
  record.repeat = work.repeat;
  record.cluster = work.item.cluster;
  record.slices = work.item.slices;
  return record;
}

Status ask_choices(const Examination& exam, std::span<const Work> work, std::span<Record> records) {
  std::vector<LikelihoodQuestion> questions;
  for (const Work& w : work)
    for (size_t i = 0; i < w.item.choices.size(); ++i)
      questions.push_back({{.turns = {}, .prompt = context_of(w.item, i)}, w.item.choices[i]});
  std::vector<Reply<LikelihoodReply>> replies(questions.size());
  CARAT_DO(exam.subject.likelihoods(exam.context, questions, replies));

  size_t first = 0;
  std::vector<LikelihoodReply> values;
  for (size_t w = 0; w < work.size(); ++w) {
    const Item& item = work[w].item;
    const auto own = std::span<const Reply<LikelihoodReply>>(replies).subspan(first, item.choices.size());
    first += item.choices.size();
    Record& record = records[w] = blank_record(exam.task, work[w]);
    const int64_t gold = std::max<int64_t>(item.gold, 0);
    record.question = cut_text(context_of(item, gold));
    record.expected = cut_text(item.choices[gold]);
    if (note_missing(own, record)) continue;
    values.clear();
    for (const auto& reply : own) {
      values.push_back(reply.value);
      record.prompt_tokens += reply.value.prompt_tokens + reply.value.tokens;
    }
    const ChoiceScore score = score_choice(item, exam.task.delimiter.size(), values);
    record.metrics = score.metrics;
    if (item.choices.size() > 1) record.answer = cut_text(item.choices[score.chosen]);
  }
  return {};
}

Status ask_texts(const Examination& exam, std::span<const Work> work, std::span<Record> records) {
  std::vector<std::string> texts;
  for (const Work& w : work) texts.push_back(w.item.text);
  std::vector<Reply<TextLossReply>> replies(work.size());
  CARAT_DO(exam.subject.text_losses(exam.context, texts, replies));
  for (size_t w = 0; w < work.size(); ++w) {
    Record& record = records[w] = blank_record(exam.task, work[w]);
    record.question = cut_text(work[w].item.text);
    if (note_missing(std::span<const Reply<TextLossReply>>(replies).subspan(w, 1), record)) continue;
    const TextLossReply& loss = replies[w].value;
    const double tokens = static_cast<double>(loss.tokens);
    record.weight = tokens;
    record.prompt_tokens = loss.tokens;
    record.metrics = {
        {"nll", loss.nll / tokens},
        {"bits_per_byte", loss.nll / std::log(2.0) / static_cast<double>(work[w].item.text.size())}};
    if (loss.kl) record.metrics.emplace_back("kl", *loss.kl / tokens);
    if (loss.same_top) record.metrics.emplace_back("same_top", *loss.same_top / tokens);
  }
  return {};
}

}  // namespace carat
