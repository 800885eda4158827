#include "engine/generate_batch.h"

#include <algorithm>

#include "base/stopwatch.h"
#include "engine/decoding.h"
#include "engine/shared_prefixes.h"
#include "model/forward.h"

namespace carat {
namespace {

Status check(const Engine& engine, std::span<const GenerateRequest> requests,
             const GenerateBatchOptions& options) {
  if (!engine.tokenizer())
    return bad_data("{}: the model has no tokenizer, so it cannot write text", engine.checkpoint().source);
  if (options.max_sequences < 1)
    return usage_error("at least one sequence must be computed at a time, not {}", options.max_sequences);
  for (size_t i = 0; i < requests.size(); ++i) {
    const GenerateRequest& r = requests[i];
    if (r.prompt.empty()) return usage_error("request {} has no prompt", i);
    if (static_cast<int64_t>(r.prompt.size()) > engine.context_length())
      return usage_error("request {}: the prompt has {} tokens, the context holds {}", i, r.prompt.size(),
                         engine.context_length());
    for (const TokenId id : r.prompt) {
      if (id < 0 || id >= engine.vocabulary())
        return usage_error("request {}: token {} is outside the model's vocabulary of {}", i, id,
                           engine.vocabulary());
    }
    if (Status ok = check_generate_options(r.options); !ok)
      return std::move(ok).error().within(fmt::format("request {}", i));
  }
  return {};
}

bool ignore(std::string_view) { return true; }

/// A generation that goes on with `next`.
struct Sequence {
  size_t request;
  Decoding decoding;
  TokenId next = -1;
  double prompt_seconds = 0;
  Stopwatch watch;
};

class Batch {
 public:
  Batch(const Context& context, Engine& engine, std::span<const GenerateRequest> requests,
        const GenerateBatchOptions& options, const OnGeneration& on_generation)
      : context_(context),
        engine_(engine),
        requests_(requests),
        on_generation_(on_generation),
        prefixes_(engine, prompts(requests), /*claims=*/true),
        seconds_(prefixes_.nodes().size()) {
    int64_t longest = 1;
    for (const GenerateRequest& r : requests) {
      const int64_t prompt = static_cast<int64_t>(r.prompt.size());
      const int64_t room = engine.context_length() - prompt;
      longest = std::max(longest,
                         prompt + (r.options.max_tokens < 0 ? room : std::min(room, r.options.max_tokens)));
    }
    most_ = std::clamp<int64_t>(options.kv_bytes / engine.kv_bytes(longest), 1,
                                std::min(options.max_sequences, max_forward_tokens));
  }

  Status run() {
    context_.progress.begin("answers", "answers", requests_.size());
    while (true) {
      while (!waiting_.empty() && active() < most_) {
        CARAT_TRY(std::unique_ptr<Session> session, prefixes_.claim(waiting_.back().node));
        sessions_.push_back(std::move(session));
        sequences_.push_back(std::move(waiting_.back().sequence));
        waiting_.pop_back();
      }
      std::vector<size_t> nodes;
      if (waiting_.empty() && active() < most_) {
        CARAT_TRY(nodes, prefixes_.take(max_forward_tokens - active(), most_ - active(), active() == 0));
      }
      if (active() == 0 && nodes.empty()) break;
      CARAT_DO(pass(nodes));
    }
    context_.progress.end();
    return {};
  }

 private:
  static std::vector<std::span<const TokenId>> prompts(std::span<const GenerateRequest> requests) {
    std::vector<std::span<const TokenId>> out;
    for (const GenerateRequest& r : requests) out.push_back(r.prompt);
    return out;
  }
  int64_t active() const { return static_cast<int64_t>(sequences_.size()); }

  /// A token of each sequence, and the nodes' prompts.
  Status pass(std::span<const size_t> nodes) {
    const Stopwatch watch;
    std::vector<SessionTokens> parts;
    for (size_t i = 0; i < sequences_.size(); ++i)
      parts.push_back({sessions_[i].get(), {&sequences_[i].next, 1}, 1});
    for (const size_t i : nodes)
      parts.push_back({prefixes_.nodes()[i].session.get(), prefixes_.tokens_of(i),
                       prefixes_.nodes()[i].ends > 0 ? 1 : 0});
    CARAT_DO(engine_.append(context_, parts));

    // Those that a row of logits is for: a sequence, or all that begin where a prompt ends.
    std::vector<KeptRows> rows;
    std::vector<std::vector<Sequence*>> readers;
    for (size_t i = 0; i < sequences_.size(); ++i) {
      rows.push_back({sessions_[i].get(), 0, 1});
      readers.push_back({&sequences_[i]});
    }
    std::vector<Waiting> begun;
    for (const size_t i : nodes) {
      const SharedPrefixes::Node& node = prefixes_.nodes()[i];
      seconds_[i] = watch.seconds() + (node.parent < 0 ? 0 : seconds_[node.parent]);
      for (size_t s = node.first; s < node.first + node.ends; ++s) {
        const size_t request = prefixes_.order()[s];
        const GenerateRequest& r = requests_[request];
        begun.push_back(
            {i, {request, Decoding(*engine_.tokenizer(), r.options, r.prompt), -1, seconds_[i], {}}});
      }
    }
    for (size_t i = 0; i < begun.size(); ++i) {
      if (i == 0 || begun[i].node != begun[i - 1].node) {
        rows.push_back({prefixes_.nodes()[begun[i].node].session.get(), 0, 1});
        readers.emplace_back();
      }
      readers.back().push_back(&begun[i].sequence);
    }
    CARAT_DO(choose(rows, readers));
    for (const size_t i : nodes) prefixes_.computed(i);

    for (size_t i = 0; i < sequences_.size();) {
      if (sequences_[i].next >= 0) {
        ++i;
        continue;
      }
      CARAT_DO(finish(sequences_[i]));
      prefixes_.release(std::move(sessions_[i]));
      std::swap(sequences_[i], sequences_.back());
      std::swap(sessions_[i], sessions_.back());
      sequences_.pop_back();
      sessions_.pop_back();
    }
    for (Waiting& w : begun) {
      if (w.sequence.next >= 0) {
        waiting_.push_back(std::move(w));
        continue;
      }
      CARAT_DO(finish(w.sequence));
      prefixes_.forgo(w.node);
    }
    return {};
  }

  /// Gives each sequence its next token, -1 where it ends.
  Status choose(std::span<const KeptRows> rows, std::span<const std::vector<Sequence*>> readers) {
    const int64_t vocabulary = engine_.vocabulary();
    const size_t slab = logit_slab_rows(vocabulary);
    logits_.resize(std::min(slab, rows.size()) * vocabulary);
    for (size_t first = 0; first < rows.size(); first += slab) {
      const auto some = rows.subspan(first, std::min(slab, rows.size() - first));
      CARAT_DO(engine_.kept_logits(context_, some, logits_.data()));
      context_.pool.parallel_for(static_cast<int64_t>(some.size()), 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t room = engine_.context_length() - some[i].session->position();
          for (Sequence* s : readers[first + i])
            s->next = s->decoding.next(std::span(logits_).subspan(i * vocabulary, vocabulary), room, ignore)
                          .value_or(-1);
        }
      });
    }
    return {};
  }

  Status finish(Sequence& sequence) {
    Generation g = sequence.decoding.finish(ignore);
    g.prompt_tokens = static_cast<int64_t>(requests_[sequence.request].prompt.size());
    g.prompt_seconds = sequence.prompt_seconds;
    g.token_seconds = sequence.watch.seconds();
    context_.progress.update(++finished_, "");
    return on_generation_(sequence.request, std::move(g));
  }

  /// A sequence whose session is still to be claimed from a node.
  struct Waiting {
    size_t node;
    Sequence sequence;
  };

  const Context& context_;
  Engine& engine_;
  std::span<const GenerateRequest> requests_;
  const OnGeneration& on_generation_;
  SharedPrefixes prefixes_;
  std::vector<double> seconds_;  ///< of each node's and its parents' passes
  int64_t most_ = 1;             ///< sequences at a time
  std::vector<Sequence> sequences_;
  std::vector<std::unique_ptr<Session>> sessions_;  ///< of sequences_
  std::vector<Waiting> waiting_;
  std::vector<float> logits_;  ///< [slab, vocabulary]
  uint64_t finished_ = 0;
};

}  // namespace

Status generate_batch(const Context& context, Engine& engine, std::span<const GenerateRequest> requests,
                      const GenerateBatchOptions& options, const OnGeneration& on_generation) {
  CARAT_DO(check(engine, requests, options));
  return Batch(context, engine, requests, options, on_generation).run();
}

}  // namespace carat
