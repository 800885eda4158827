#include "score/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/kernels.h"
#include "score/divergence.h"
#include "score/vocabulary.h"

namespace carat {
namespace {

/// One model walking through the chunks.
struct Runner {
  std::unique_ptr<Session> session;
  std::string name;           ///< for messages
  std::vector<float> logits;  ///< [slab rows, vocabulary]
};

/// What is known of each scored token; a vector is empty where it was not asked for.
struct PerToken {
  std::vector<double> nll, reference_nll, kl, delta_p, same_top, floor;
};

Status check_options(const PerplexityOptions& o, const Engine& candidate, const Engine* reference) {
  if (o.context < 4) return usage_error("perplexity needs a context of at least 4 tokens, not {}", o.context);
  if (o.chunks == 0 || o.chunks < -1)
    return usage_error("perplexity needs at least one chunk, not {}", o.chunks);
  if (o.floor && !reference) return usage_error("a divergence floor needs a reference model");
  for (const Engine* e : {&candidate, reference}) {
    if (e && o.context > e->context_length()) {
      return usage_error("chunks of {} tokens do not fit the context of {} that {} has; use a smaller one",
                         o.context, e->context_length(), e->checkpoint().source);
    }
  }
  return {};
}

TextScore text_score(std::span<const double> nll) {
  TextScore s;
  s.nll = estimate(nll);
  s.perplexity = std::exp(s.nll.mean);
  s.perplexity_standard_error = s.perplexity * s.nll.standard_error;
  return s;
}

ReferenceComparison compare(const PerToken& tokens) {
  ReferenceComparison c;
  c.reference = text_score(tokens.reference_nll);
  c.kl = distribution(tokens.kl);
  c.same_top_p = estimate(tokens.same_top);
  c.delta_p = estimate(tokens.delta_p);
  double squares = 0;
  for (const double d : tokens.delta_p) squares += d * d;
  c.delta_p_rms = std::sqrt(squares / static_cast<double>(tokens.delta_p.size()));
  std::vector<double> log_ratio(tokens.nll.size());
  for (size_t i = 0; i < log_ratio.size(); ++i) log_ratio[i] = tokens.nll[i] - tokens.reference_nll[i];
  c.log_ratio = estimate(log_ratio);
  c.nll_correlation = correlation(tokens.nll, tokens.reference_nll);
  if (!tokens.floor.empty()) c.floor = distribution(tokens.floor);
  return c;
}

/// Walks the chunks and fills PerToken. runners: the candidate, then the reference, then its floor run.
class LockStep {
 public:
  LockStep(const Context& context, const KernelTable& kernels, std::span<Runner> runners, int64_t vocabulary)
      : context_(context), kernels_(kernels), runners_(runners), vocabulary_(vocabulary) {}

  Status run(std::span<const TokenId> tokens, std::optional<TokenId> bos, int64_t chunk_tokens,
             PerToken& out) {
    const int64_t chunks = static_cast<int64_t>(tokens.size()) / chunk_tokens;
    const int64_t first = chunk_tokens / 2;
    const int64_t rows = chunk_tokens - 1 - first;
    const int64_t slab = std::min(rows, logit_slab_rows(vocabulary_));
    for (Runner& r : runners_) r.logits.resize(slab * vocabulary_);
    out.nll.resize(chunks * rows);
    if (runners_.size() > 1) {
      for (auto* v : {&out.reference_nll, &out.kl, &out.delta_p, &out.same_top}) v->resize(chunks * rows);
    }
    if (runners_.size() > 2) out.floor.resize(chunks * rows);

    context_.progress.begin("perplexity", "tokens", chunks * chunk_tokens);
    std::vector<TokenId> chunk;
    for (int64_t i = 0; i < chunks; ++i) {
      chunk.assign(tokens.begin() + i * chunk_tokens, tokens.begin() + (i + 1) * chunk_tokens);
      if (bos) chunk[0] = *bos;
      for (Runner& r : runners_) {
        r.session->truncate(0);
        // The last token's own prediction is not scored.
        CARAT_DO(r.session->append_kept(context_, std::span(chunk).first(chunk_tokens - 1), first));
      }
      for (int64_t row = 0; row < rows; row += slab) {
        const int64_t count = std::min(slab, rows - row);
        for (Runner& r : runners_) CARAT_DO(r.session->kept_logits(context_, row, count, r.logits.data()));
        score_rows(chunk.data() + first + row + 1, count, i * rows + row, out);
      }
      CARAT_DO(check_finite(i, rows, out));
      context_.progress.update((i + 1) * chunk_tokens,
                               fmt::format("chunk {} of {}, perplexity {:.4f}", i + 1, chunks,
                                           text_score(std::span(out.nll).first((i + 1) * rows)).perplexity));
    }
    context_.progress.end();
    return {};
  }

 private:
  /// next[r] is the token that row r of each slab predicts; results go to out[at + r].
  void score_rows(const TokenId* next, int64_t count, int64_t at, PerToken& out) {
    context_.pool.parallel_for(count, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const float* candidate = runners_[0].logits.data() + r * vocabulary_;
        const LogSumExp c = log_sum_exp(kernels_, candidate, vocabulary_);
        out.nll[at + r] = c.value - candidate[next[r]];
        if (runners_.size() < 2) continue;
        const float* reference = runners_[1].logits.data() + r * vocabulary_;
        const LogSumExp p = log_sum_exp(kernels_, reference, vocabulary_);
        out.reference_nll[at + r] = p.value - reference[next[r]];
        out.kl[at + r] = divergence(kernels_, reference, p, candidate, c, vocabulary_);
        out.delta_p[at + r] = std::exp(-out.nll[at + r]) - std::exp(-out.reference_nll[at + r]);
        out.same_top[at + r] = c.argmax == p.argmax ? 1 : 0;
        if (runners_.size() < 3) continue;
        const float* rounded = runners_[2].logits.data() + r * vocabulary_;
        const LogSumExp q = log_sum_exp(kernels_, rounded, vocabulary_);
        out.floor[at + r] = divergence(kernels_, reference, p, rounded, q, vocabulary_);
      }
    });
  }

  Status check_finite(int64_t chunk, int64_t rows, const PerToken& out) const {
    const auto all_finite = [&](const std::vector<double>& v) {
      return v.empty() || std::all_of(v.begin() + chunk * rows, v.begin() + (chunk + 1) * rows,
                                      [](double x) { return std::isfinite(x); });
    };
    const bool candidate = all_finite(out.nll);
    if (candidate && all_finite(out.reference_nll) && all_finite(out.kl) && all_finite(out.floor)) return {};
    return bad_data(
        "{}: chunk {} of the text gives logits that are not finite; the model is damaged or its values "
        "overflow",
        runners_[candidate ? 1 : 0].name, chunk + 1);
  }

  const Context& context_;
  const KernelTable& kernels_;
  std::span<Runner> runners_;
  int64_t vocabulary_;
};

/// The candidate's rounding of activations, for float weights to meet: groups of 256 where it has such
/// blocks.
ActivationScheme rounding_of(const Engine& candidate) {
  const auto& tensors = candidate.checkpoint().tensors;
  const bool wide =
      std::ranges::any_of(tensors, [](const Tensor& t) { return activation_group(*t.encoding) == 256; });
  return everywhere(find_activation_scheme(candidate.activation_scheme()).value_or(ActivationScheme::int8_32),
                    wide);
}

}  // namespace

Result<PerplexityResult> measure_perplexity(const Context& context, Engine& candidate, Engine* reference,
                                            std::string_view text, const PerplexityOptions& options) {
  CARAT_DO(check_options(options, candidate, reference));
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  if (reference) CARAT_DO(check_same_vocabulary(candidate, *reference));
  CARAT_TRY(const std::vector<TokenId> tokens,
            encode_for_both(candidate, reference, text, /*add_special=*/true));
  const int64_t there = static_cast<int64_t>(tokens.size()) / options.context;
  if (there == 0) {
    return usage_error(
        "the text has only {} token{}, less than one chunk of {}; use a longer text or a smaller context",
        tokens.size(), tokens.size() == 1 ? "" : "s", options.context);
  }
  PerplexityResult result;
  result.context = options.context;
  result.chunks = options.chunks < 0 ? there : std::min(there, options.chunks);

  std::vector<Runner> runners;
  const auto add_runner = [&](Engine& engine, Result<std::unique_ptr<Session>> session) -> Status {
    if (!session) return std::move(session).error();
    runners.push_back({*std::move(session), engine.checkpoint().source, {}});
    return {};
  };
  CARAT_DO(add_runner(candidate, candidate.new_session()));
  if (reference) CARAT_DO(add_runner(*reference, reference->new_session()));
  if (options.floor) CARAT_DO(add_runner(*reference, reference->new_session(rounding_of(candidate))));

  std::optional<TokenId> bos;
  if (candidate.wants_bos()) bos = candidate.tokenizer()->bos();
  PerToken scored;
  LockStep walk(context, *kernels, runners, candidate.vocabulary());
  CARAT_DO(walk.run(std::span(tokens).first(result.chunks * options.context), bos, options.context, scored));

  result.tokens = static_cast<int64_t>(scored.nll.size());
  result.score = text_score(scored.nll);
  if (reference) {
    result.comparison = compare(scored);
    const int64_t rows = result.tokens / result.chunks;
    for (auto row = scored.kl.begin(); row != scored.kl.end(); row += rows)
      result.comparison->kl_per_chunk.push_back(std::accumulate(row, row + rows, 0.0) /
                                                static_cast<double>(rows));
  }
  return result;
}

}  // namespace carat
