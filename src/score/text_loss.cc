#include "score/text_loss.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/kernels.h"
#include "model/forward.h"
#include "score/divergence.h"
#include "score/likelihood.h"
#include "score/vocabulary.h"

namespace carat {
namespace {

/// Windows computed at a time: enough that what is left over in the last forward pass is little, ...
constexpr int64_t kTokens = 4 * max_forward_tokens;
/// ... and at most so many bytes of keys and values.
constexpr int64_t kKvBytes = int64_t{1} << 30;

/// Part of a document.
struct Window {
  size_t text;
  std::vector<TokenId> input;
  std::vector<TokenId> next;  ///< what the last so many of the input should predict
};

/// The one whose first scored token is at `begin`.
Window window(size_t text, TokenId prefix, std::span<const TokenId> tokens, int64_t begin, int64_t size) {
  const int64_t end = std::min(static_cast<int64_t>(tokens.size()), begin + size);
  const int64_t from = std::max<int64_t>(0, end - size);
  Window w{text, {}, {tokens.begin() + begin, tokens.begin() + end}};
  w.input.push_back(from == 0 ? prefix : tokens[from - 1]);
  w.input.insert(w.input.end(), tokens.begin() + from, tokens.begin() + end - 1);
  return w;
}

/// One model that goes over the windows.
struct Runner {
  Engine* engine;
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<float> logits;  ///< [slab, vocabulary]
};

/// What one row says.
struct Row {
  double nll = 0, reference_nll = 0, kl = 0;
  bool same_top = false;
};

class Scorer {
 public:
  Scorer(const Context& context, const KernelTable& kernels, std::span<Engine* const> engines,
         std::span<TextLoss> results)
      : context_(context), kernels_(kernels), vocabulary_(engines[0]->vocabulary()), results_(results) {
    for (Engine* e : engines) {
      runners_.push_back({e, {}, {}});
      runners_.back().logits.resize(logit_slab_rows(vocabulary_) * vocabulary_);
    }
  }

  /// Windows that are computed together.
  Status score(std::span<const Window> windows) {
    for (Runner& r : runners_) {
      std::vector<SessionTokens> parts;
      for (size_t i = 0; i < windows.size(); ++i) {
        if (i == r.sessions.size()) {
          CARAT_TRY(std::unique_ptr<Session> session, r.engine->new_session());
          r.sessions.push_back(std::move(session));
        }
        r.sessions[i]->truncate(0);
        parts.push_back(
            {r.sessions[i].get(), windows[i].input, static_cast<int64_t>(windows[i].next.size())});
      }
      CARAT_DO(r.engine->append(context_, parts));
    }
    struct Place {
      size_t window;
      int64_t row;
    };
    std::vector<Place> places;
    for (size_t i = 0; i < windows.size(); ++i)
      for (size_t j = 0; j < windows[i].next.size(); ++j) places.push_back({i, static_cast<int64_t>(j)});

    const int64_t slab = logit_slab_rows(vocabulary_);
    std::vector<Row> rows(slab);
    for (int64_t first = 0; first < static_cast<int64_t>(places.size()); first += slab) {
      const auto some = std::span(places).subspan(first, std::min<size_t>(slab, places.size() - first));
      for (Runner& r : runners_) {
        std::vector<KeptRows> wanted;
        for (const Place& p : some) {
          if (!wanted.empty() && wanted.back().session == r.sessions[p.window].get()) {
            ++wanted.back().count;
          } else {
            wanted.push_back({r.sessions[p.window].get(), p.row, 1});
          }
        }
        CARAT_DO(r.engine->kept_logits(context_, wanted, r.logits.data()));
      }
      context_.pool.parallel_for(static_cast<int64_t>(some.size()), 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) rows[i] = row(i, windows[some[i].window].next[some[i].row]);
      });
      for (size_t i = 0; i < some.size(); ++i) CARAT_DO(add(rows[i], windows[some[i].window].text));
    }
    return {};
  }

 private:
  Row row(int64_t i, TokenId next) const {
    const float* candidate = runners_[0].logits.data() + i * vocabulary_;
    const LogSumExp c = log_sum_exp(kernels_, candidate, vocabulary_);
    Row out;
    out.nll = c.value - candidate[next];
    if (runners_.size() < 2) return out;
    const float* reference = runners_[1].logits.data() + i * vocabulary_;
    const LogSumExp p = log_sum_exp(kernels_, reference, vocabulary_);
    out.reference_nll = p.value - reference[next];
    out.kl = divergence(kernels_, reference, p, candidate, c, vocabulary_);
    out.same_top = c.argmax == p.argmax;
    return out;
  }

  Status add(const Row& row, size_t text) {
    const bool finite = std::isfinite(row.nll);
    if (!finite || !std::isfinite(row.reference_nll) || !std::isfinite(row.kl))
      return bad_data(
          "{}: document {} gives logits that are not finite; the model is damaged or its values overflow",
          runners_[finite ? 1 : 0].engine->checkpoint().source, text);
    TextLoss& r = results_[text];
    ++r.tokens;
    r.nll += row.nll;
    r.reference_nll += row.reference_nll;
    r.kl += row.kl;
    r.same_top += row.same_top;
    return {};
  }

  const Context& context_;
  const KernelTable& kernels_;
  int64_t vocabulary_;
  std::span<TextLoss> results_;
  std::vector<Runner> runners_;
};

/// Tokens of a window: what was asked for, if every engine holds it.
Result<int64_t> window_size(std::span<Engine* const> engines, int64_t asked) {
  int64_t smallest = engines[0]->context_length();
  for (const Engine* e : engines) {
    smallest = std::min(smallest, e->context_length());
    if (asked > e->context_length())
      return usage_error("windows of {} tokens do not fit the context of {} that {} has; use a smaller one",
                         asked, e->context_length(), e->checkpoint().source);
  }
  if (asked < 0) return usage_error("a window of {} tokens cannot be", asked);
  return asked > 0 ? asked : smallest;
}

}  // namespace

Status score_texts(const Context& context, Engine& candidate, Engine* reference,
                   std::span<const std::string> texts, const TextLossOptions& options,
                   std::span<TextLoss> results) {
  if (results.size() != texts.size())
    return error(Code::internal, "{} results for {} texts", results.size(), texts.size());
  std::vector<Engine*> engines = {&candidate};
  if (reference) {
    CARAT_DO(check_same_vocabulary(candidate, *reference));
    engines.push_back(reference);
  }
  CARAT_TRY(const int64_t size, window_size(engines, options.context));
  CARAT_TRY(const TokenId prefix, prefix_token(candidate));
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  std::ranges::fill(results, TextLoss{});

  Scorer scorer(context, *kernels, engines, results);
  std::vector<Window> waiting;
  int64_t tokens = 0, bytes = 0;
  const auto flush = [&]() -> Status {
    CARAT_DO(scorer.score(waiting));
    waiting.clear();
    tokens = bytes = 0;
    return {};
  };
  context.progress.begin("documents", "documents", texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    CARAT_TRY(const std::vector<TokenId> text, encode_for_both(candidate, reference, texts[i], false));
    const int64_t n = static_cast<int64_t>(text.size());
    for (int64_t begin = 0; begin < n; begin += size) {
      waiting.push_back(window(i, prefix, text, begin, size));
      const int64_t input = static_cast<int64_t>(waiting.back().input.size());
      tokens += input;
      for (const Engine* e : engines) bytes += e->kv_bytes(input);
      if (tokens >= kTokens || bytes >= kKvBytes) CARAT_DO(flush());
    }
    context.progress.update(i + 1, "");
  }
  if (!waiting.empty()) CARAT_DO(flush());
  context.progress.end();
  return {};
}

}  // namespace carat
