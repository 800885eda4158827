// For the tests of evaluate/: a suite in memory, and a subject that answers as it is told.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "cards/store.h"
#include "containers/test_files.h"
#include "evaluate/ask.h"
#include "evaluate/card.h"
#include "evaluate/runner.h"

namespace carat::testing {

class MemorySuite final : public Suite {
 public:
  std::vector<Task> all_tasks;
  std::vector<std::vector<Item>> all_items;  ///< of each task

  const std::string& name() const override { return name_; }
  const std::string& version() const override { return version_; }
  const std::string& digest() const override { return digest_; }
  const std::vector<Task>& tasks() const override { return all_tasks; }
  int64_t items(size_t task) const override { return static_cast<int64_t>(all_items[task].size()); }
  Status for_each(size_t task, const std::function<Status(Item&&)>& sink) const override {
    for (const Item& item : all_items[task]) CARAT_DO(sink(Item(item)));
    return {};
  }

 private:
  std::string name_ = "memory", version_ = "1", digest_ = std::string(64, 'd');
};

/// Four choices " 0" to " 3"; a gold one.
inline Item choice_item(std::string id, int64_t gold = 0) {
  Item item;
  item.cluster = item.id = std::move(id);
  item.contexts = {"Question " + item.id};
  item.choices = {" 0", " 1", " 2", " 3"};
  item.gold = gold;
  return item;
}

inline Item chat_item(std::string id, std::vector<Turn> turns, std::string_view expected) {
  Item item;
  item.cluster = item.id = std::move(id);
  item.turns = std::move(turns);
  item.expected = parse_json(expected)->get_object();
  return item;
}

class ScriptedSubject final : public Subject {
 public:
  std::function<void(const LikelihoodQuestion&, Reply<LikelihoodReply>&)> on_likelihood =
      [](const LikelihoodQuestion& q, Reply<LikelihoodReply>& r) {
        r.set({q.continuation == " 0" ? -1.0 : -2.0, false, 1, 3});
      };
  std::function<void(const std::string&, Reply<TextLossReply>&)> on_text;
  std::function<void(const GenerationQuestion&, Reply<GeneratedText>&)> on_generation;
  std::function<Status()> before_call = [] { return Status(); };
  int64_t asked = 0, calls = 0, largest_call = 0;
  std::vector<uint64_t> seeds;
  int64_t at_once = 2;

  Status likelihoods(const Context&, std::span<const LikelihoodQuestion> questions,
                     std::span<Reply<LikelihoodReply>> replies) override {
    return answer(questions, replies, on_likelihood);
  }
  Status text_losses(const Context&, std::span<const std::string> texts,
                     std::span<Reply<TextLossReply>> replies) override {
    return answer(texts, replies, on_text);
  }
  Status generate(const Context&, std::span<const GenerationQuestion> questions,
                  std::span<Reply<GeneratedText>> replies) override {
    for (const auto& q : questions) seeds.push_back(q.seed);
    return answer(questions, replies, on_generation);
  }
  const Variant& variant() const override { return variant_; }
  const json::object& provenance() const override { return provenance_; }
  int64_t file_bytes() const override { return 0; }
  int64_t questions_at_once() const override { return at_once; }

 private:
  template <class Question, class T, class How>
  Status answer(std::span<Question> questions, std::span<Reply<T>> replies, const How& how) {
    CARAT_DO(before_call());
    ++calls;
    asked += static_cast<int64_t>(questions.size());
    largest_call = std::max(largest_call, static_cast<int64_t>(questions.size()));
    for (size_t i = 0; i < questions.size(); ++i) how(questions[i], replies[i]);
    return {};
  }

  Variant variant_{"", "scripted", std::string(64, 'a'), {}};
  json::object provenance_;
};

}  // namespace carat::testing
