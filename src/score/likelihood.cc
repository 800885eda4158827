#include "score/likelihood.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "containers/quote.h"
#include "engine/shared_prefixes.h"
#include "kernels/kernels.h"
#include "model/forward.h"

namespace carat {
namespace {

/// Keys and values of the sequences computed at a time.
constexpr int64_t kKvBytes = int64_t{1} << 30;

/// The code points that Python's str.rstrip() takes for white space.
bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

/// Bytes of the text without the white space at its end.
size_t stripped_size(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && (text[begin] & 0xc0) == 0x80) --begin;
    const size_t bytes = end - begin;
    char32_t c = static_cast<uint8_t>(text[begin]);
    if (bytes > 1) c &= 0x7fu >> bytes;
    for (size_t i = begin + 1; i < end; ++i) c = c << 6 | (static_cast<uint8_t>(text[i]) & 0x3f);
    if (!is_white_space(c)) break;
    end = begin;
  }
  return end;
}

Status check(const Engine& engine, std::span<const LikelihoodRequest> requests,
             std::span<const Likelihood> results) {
  if (results.size() != requests.size())
    return error(Code::internal, "{} results for {} requests", results.size(), requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const LikelihoodRequest& r = requests[i];
    if (r.context.empty() || r.continuation.empty())
      return usage_error("request {} has no {}", i, r.context.empty() ? "context" : "continuation");
    // The last token is predicted, never appended.
    const int64_t tokens = static_cast<int64_t>(r.context.size() + r.continuation.size()) - 1;
    if (tokens > engine.context_length())
      return usage_error("request {} takes {} tokens, the context holds {}; use --ctx or shorter examples", i,
                         tokens, engine.context_length());
    for (const auto* part : {&r.context, &r.continuation}) {
      for (const TokenId id : *part) {
        if (id < 0 || id >= engine.vocabulary())
          return usage_error("request {}: token {} is outside the model's vocabulary of {}", i, id,
                             engine.vocabulary());
      }
    }
  }
  return {};
}

/// Walks the tree of common beginnings and adds what each row of logits says to the requests that it is for.
class Scorer {
 public:
  Scorer(const Context& context, const KernelTable& kernels, Engine& engine,
         std::span<const LikelihoodRequest> requests, std::span<Likelihood> results)
      : context_(context), kernels_(kernels), engine_(engine), requests_(requests), results_(results) {}

  Status run() {
    // One after the other, so that a sequence is a span.
    std::vector<TokenId> tokens;
    std::vector<size_t> begins;
    int64_t longest = 1;
    for (const LikelihoodRequest& r : requests_) {
      begins.push_back(tokens.size());
      tokens.insert(tokens.end(), r.context.begin(), r.context.end());
      tokens.insert(tokens.end(), r.continuation.begin(), r.continuation.end() - 1);
      longest = std::max(longest, static_cast<int64_t>(tokens.size() - begins.back()));
    }
    begins.push_back(tokens.size());
    std::vector<std::span<const TokenId>> sequences;
    for (size_t i = 0; i < requests_.size(); ++i)
      sequences.push_back(std::span(tokens).subspan(begins[i], begins[i + 1] - begins[i]));
    SharedPrefixes prefixes(engine_, std::move(sequences), /*claims=*/false);

    for (size_t i = 0; i < requests_.size(); ++i)
      results_[i] = {0, true, static_cast<int64_t>(requests_[i].continuation.size())};
    const int64_t sessions = std::max<int64_t>(1, kKvBytes / engine_.kv_bytes(longest));
    context_.progress.begin("log-likelihoods", "tokens", static_cast<uint64_t>(prefixes.tokens()));
    uint64_t done = 0;
    while (true) {
      CARAT_TRY(const std::vector<size_t> nodes, prefixes.take(max_forward_tokens, sessions, true));
      if (nodes.empty()) break;
      std::vector<SessionTokens> parts;
      rows_.clear();
      for (const size_t i : nodes) {
        const std::span<const TokenId> node_tokens = prefixes.tokens_of(i);
        const int64_t scored = add_rows(prefixes, i);
        parts.push_back({prefixes.nodes()[i].session.get(), node_tokens, scored});
        done += node_tokens.size();
      }
      CARAT_DO(engine_.append(context_, parts));
      CARAT_DO(score_rows(prefixes, parts));
      for (const size_t i : nodes) prefixes.computed(i);
      context_.progress.update(done, "");
    }
    context_.progress.end();
    return {};
  }

 private:
  struct Row {
    size_t node;
    int64_t position;  ///< of the token whose logits it has
  };

  int64_t context_size(size_t request) const {
    return static_cast<int64_t>(requests_[request].context.size());
  }

  /// The node's rows that predict a continuation's token: its last so many.
  int64_t add_rows(const SharedPrefixes& prefixes, size_t i) {
    const SharedPrefixes::Node& node = prefixes.nodes()[i];
    int64_t first = node.end;
    for (size_t s = node.first; s < node.last; ++s)
      first = std::min(first, context_size(prefixes.order()[s]) - 1);
    first = std::max(first, node.begin);
    for (int64_t position = first; position < node.end; ++position) rows_.push_back({i, position});
    return node.end - first;
  }

  Status score_rows(const SharedPrefixes& prefixes, std::span<const SessionTokens> parts) {
    const int64_t vocabulary = engine_.vocabulary(), slab = logit_slab_rows(vocabulary);
    const int64_t all = static_cast<int64_t>(rows_.size());
    logits_.resize(std::min(slab, all) * vocabulary);
    sums_.resize(std::min(slab, all));
    std::vector<KeptRows> wanted;
    size_t part = 0;
    int64_t used = 0;  // rows of that part
    for (int64_t first = 0; first < all; first += slab) {
      const int64_t count = std::min(slab, all - first);
      wanted.clear();
      for (int64_t rows = 0; rows < count;) {
        const int64_t take = std::min(count - rows, parts[part].kept - used);
        if (take > 0) wanted.push_back({parts[part].session, used, take});
        rows += take;
        used += take;
        if (used == parts[part].kept) ++part, used = 0;
      }
      CARAT_DO(engine_.kept_logits(context_, wanted, logits_.data()));
      context_.pool.parallel_for(count, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r)
          sums_[r] = log_sum_exp(kernels_, logits_.data() + r * vocabulary, vocabulary);
      });
      for (int64_t r = 0; r < count; ++r)
        CARAT_DO(add(prefixes, rows_[first + r], logits_.data() + r * vocabulary, sums_[r]));
    }
    return {};
  }

  /// Tokens are added in their order, so that a sum does not depend on who else was computed.
  Status add(const SharedPrefixes& prefixes, const Row& row, const float* logits, const LogSumExp& sum) {
    const SharedPrefixes::Node& node = prefixes.nodes()[row.node];
    for (size_t s = node.first; s < node.last; ++s) {
      const size_t i = prefixes.order()[s];
      const int64_t at = row.position + 1 - context_size(i);
      if (at < 0) continue;
      const TokenId next = requests_[i].continuation[at];
      const double log_probability = logits[next] - sum.value;
      if (!std::isfinite(log_probability))
        return bad_data(
            "{}: request {} gives logits that are not finite; the model is damaged or its values overflow",
            engine_.checkpoint().source, i);
      results_[i].log_probability += log_probability;
      if (sum.argmax != next) results_[i].greedy = false;
    }
    return {};
  }

  const Context& context_;
  const KernelTable& kernels_;
  Engine& engine_;
  std::span<const LikelihoodRequest> requests_;
  std::span<Likelihood> results_;
  std::vector<Row> rows_;        ///< of a pass
  std::vector<float> logits_;    ///< [slab, vocabulary]
  std::vector<LogSumExp> sums_;  ///< [slab]
};

}  // namespace

Status score_likelihoods(const Context& context, Engine& engine, std::span<const LikelihoodRequest> requests,
                         std::span<Likelihood> results) {
  CARAT_DO(check(engine, requests, results));
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  return Scorer(context, *kernels, engine, requests, results).run();
}

Result<TokenId> prefix_token(const Engine& engine) {
  const Tokenizer* tokenizer = engine.tokenizer();
  const TokenId token = !tokenizer ? -1 : tokenizer->bos() >= 0 ? tokenizer->bos() : tokenizer->eos();
  if (token < 0)
    return bad_data("{}: the model has no token that texts begin or end with", engine.checkpoint().source);
  return token;
}

Result<LikelihoodRequest> encode_request(const Engine& engine, std::string_view context,
                                         std::string_view continuation) {
  const Tokenizer* tokenizer = engine.tokenizer();
  if (!tokenizer)
    return bad_data("{}: the model has no tokenizer, so it cannot read a text", engine.checkpoint().source);
  const std::string text = std::string(context).append(continuation);
  context = context.substr(0, stripped_size(context));
  CARAT_TRY(const std::vector<TokenId> whole, tokenizer->encode(text, false, false));
  LikelihoodRequest request;
  if (!context.empty()) {
    CARAT_TRY(request.context, tokenizer->encode(context, false, false));
  }
  if (request.context.size() >= whole.size())
    return usage_error("the continuation {} has no token of its own after its context", quote(continuation));
  request.continuation.assign(whole.begin() + static_cast<int64_t>(request.context.size()), whole.end());
  if (request.context.empty() || engine.wants_bos()) {
    CARAT_TRY(const TokenId first, prefix_token(engine));
    request.context.insert(request.context.begin(), first);
  }
  return request;
}

}  // namespace carat
