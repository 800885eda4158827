// A judge for tasks with a rubric: a pinned model behind an endpoint, asked greedily. Its model and prompt
// are in the card, since ratings of different judges do not compare; the rubric is in the suite's digest.
#pragma once

#include <memory>
#include <span>

#include "checks/rubric.h"
#include "evaluate/subject.h"

namespace carat {

struct RatedConversation {
  std::vector<std::pair<std::string, std::string>> turns;  ///< role, text
  const json::object* expected = nullptr;
};

struct Rating {
  double value = 0;
  std::string reason;  ///< the judge's words
};

class Judge {
 public:
  /// `judge` answers as any subject does.
  explicit Judge(std::unique_ptr<Subject> judge) : subject_(std::move(judge)) {}

  /// A judge that says nothing of use has failed; its rating is asked for again on resume.
  Status rate(const Context& context, const Rubric& rubric, std::span<const RatedConversation> conversations,
              std::span<Reply<Rating>> ratings);

  /// {"model", "digest", "prompt_digest"}: what makes two ratings comparable.
  json::object description() const;

 private:
  std::unique_ptr<Subject> subject_;
};

}  // namespace carat
