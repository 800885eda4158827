// What scoring costs beside reading a prompt: log-likelihoods of choices, losses of documents with and
// without a reference, and many generations at once, as shares of the speed at which the same engine reads
// prompts of 512 tokens.
//
//   score_bench MODEL [--items 250] [--threads 2] [--repetitions 3] [--reference MODEL --text FILE]
//               [--only WORD]
//
// --only: cases whose names begin with the word.
//
// Every repetition goes through all cases, prompts before and after each, so that a change of the machine's
// mood meets both sides of a ratio; medians of ratios are reported. Items are made of tokens drawn at random,
// alike in every run.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "arch/open_model.h"
#include "base/random.h"
#include "base/stopwatch.h"
#include "engine/generate_batch.h"
#include "engine/shared_prefixes.h"
#include "score/likelihood.h"
#include "score/text_loss.h"

namespace carat {
namespace {

struct Options {
  std::string model, reference, text, only;
  int64_t items = 250, threads = 0, repetitions = 3;
};

Result<Options> parse(int argc, char** argv) {
  Options o;
  const std::map<std::string_view, int64_t*> numbers = {
      {"--items", &o.items}, {"--threads", &o.threads}, {"--repetitions", &o.repetitions}};
  const std::map<std::string_view, std::string*> names = {
      {"--reference", &o.reference}, {"--text", &o.text}, {"--only", &o.only}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--")) {
      o.model = word;
      continue;
    }
    if (++i == argc) return usage_error("{} needs a value", word);
    const std::string_view value = argv[i];
    if (const auto name = names.find(word); name != names.end()) {
      *name->second = value;
    } else if (const auto number = numbers.find(word); number != numbers.end()) {
      const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), *number->second);
      if (code != std::errc() || end != value.data() + value.size())
        return usage_error("{}: '{}' is not a whole number", word, value);
    } else {
      return usage_error("unknown option {}", word);
    }
  }
  if (o.model.empty()) return usage_error("the name of a model is missing");
  return o;
}

using Tokens = std::vector<TokenId>;

class Bench {
 public:
  Bench(const Context& context, Engine& engine, std::string only)
      : context_(context), engine_(engine), only_(std::move(only)) {}

  /// A case does its work and returns the tokens that were asked for, and those that could not be avoided.
  struct Work {
    int64_t asked = 0, computed = 0;
  };
  using Case = std::function<Result<Work>()>;

  void add(std::string name, Case body) {
    if (name.starts_with(only_)) cases_.push_back({std::move(name), std::move(body), {}, {}, {}});
  }

  Status run(int64_t repetitions) {
    CARAT_DO(prompt());  // unmeasured
    fmt::print("{:<34} {:>9} {:>12} {:>12} {:>18}\n", "case", "seconds", "tokens/s", "computed/s",
               "share of prefill");
    for (int64_t i = 0; i < repetitions; ++i) {
      for (Measured& c : cases_) {
        CARAT_TRY(const double before, prompt());
        const Stopwatch watch;
        CARAT_TRY(const Work work, c.body());
        c.seconds.push_back(watch.seconds());
        CARAT_TRY(const double after, prompt());
        c.work = work;
        c.shares.push_back(static_cast<double>(work.computed) / c.seconds.back() / ((before + after) / 2));
        prefill_.push_back(before);
        prefill_.push_back(after);
      }
    }
    fmt::print("{:<34} {:>9} {:>12.0f}\n", "prompts of 512 tokens", "", median(prefill_));
    for (Measured& c : cases_) {
      const double seconds = median(c.seconds);
      fmt::print("{:<34} {:>9.2f} {:>12.0f} {:>12.0f} {:>16.0f} %\n", c.name, seconds,
                 static_cast<double>(c.work.asked) / seconds, static_cast<double>(c.work.computed) / seconds,
                 100 * median(c.shares));
    }
    return {};
  }
  /// Of a case, median; 0 if it was not run.
  double seconds(std::string_view name) const {
    const auto found = std::ranges::find(cases_, name, &Measured::name);
    return found == cases_.end() ? 0 : median(found->seconds);
  }

 private:
  struct Measured {
    std::string name;
    Case body;
    Work work;
    std::vector<double> seconds, shares;
  };

  static double median(std::vector<double> v) {
    std::ranges::sort(v);
    return v[v.size() / 2];
  }
  /// Tokens per second of two prompts.
  Result<double> prompt() {
    Random random(1);
    Tokens tokens(512);
    for (TokenId& t : tokens) t = static_cast<TokenId>(random.next() % engine_.vocabulary());
    CARAT_TRY(const auto session, engine_.new_session());
    const Stopwatch watch;
    for (int i = 0; i < 2; ++i) {
      session->truncate(0);
      CARAT_DO(session->append(context_, tokens));
    }
    return 2 * 512 / watch.seconds();
  }

  const Context& context_;
  Engine& engine_;
  std::string only_;
  std::vector<Measured> cases_;
  std::vector<double> prefill_;
};

/// `items` questions after the same examples, with four answers each.
std::vector<LikelihoodRequest> choices(int64_t vocabulary, int64_t items, int64_t examples, int64_t question,
                                       int64_t answer) {
  Random random(7);
  const auto draw = [&](int64_t n) {
    Tokens out(n);
    for (TokenId& t : out) t = static_cast<TokenId>(random.next() % vocabulary);
    return out;
  };
  const Tokens shared = draw(examples);
  std::vector<LikelihoodRequest> all;
  for (int64_t item = 0; item < items; ++item) {
    Tokens context = shared;
    const Tokens own = draw(question);
    context.insert(context.end(), own.begin(), own.end());
    for (int choice = 0; choice < 4; ++choice) all.push_back({context, draw(answer)});
  }
  return all;
}

Bench::Case likelihoods(const Context& context, Engine& engine, std::vector<LikelihoodRequest> requests) {
  return [&, requests = std::move(requests)]() -> Result<Bench::Work> {
    std::vector<Likelihood> results(requests.size());
    CARAT_DO(score_likelihoods(context, engine, requests, results));
    std::vector<Tokens> sequences;
    Bench::Work work;
    for (const LikelihoodRequest& r : requests) {
      sequences.push_back(r.context);
      sequences.back().insert(sequences.back().end(), r.continuation.begin(), r.continuation.end() - 1);
      work.asked += static_cast<int64_t>(r.context.size() + r.continuation.size());
    }
    work.computed = SharedPrefixes(engine, {sequences.begin(), sequences.end()}, false).tokens();
    return work;
  };
}

Bench::Case losses(const Context& context, Engine& engine, Engine* reference,
                   std::vector<std::string> texts) {
  return [&, reference, texts = std::move(texts)]() -> Result<Bench::Work> {
    std::vector<TextLoss> results(texts.size());
    CARAT_DO(score_texts(context, engine, reference, texts, {512}, results));
    Bench::Work work;
    for (const TextLoss& r : results) work.asked += r.tokens;
    work.computed = work.asked;
    return work;
  };
}

/// Answers of 48 tokens to prompts of 60 that begin alike.
Bench::Case answers(const Context& context, Engine& engine, int64_t requests, int64_t at_a_time) {
  std::vector<GenerateRequest> all;
  for (LikelihoodRequest& r : choices(engine.vocabulary(), requests / 4, 40, 15, 5)) {
    GenerateRequest g;
    g.prompt = std::move(r.context);
    g.prompt.insert(g.prompt.end(), r.continuation.begin(), r.continuation.end());
    g.options.sampler.temperature = 0;
    g.options.max_tokens = 48;
    all.push_back(std::move(g));
  }
  return [&, at_a_time, all = std::move(all)]() -> Result<Bench::Work> {
    Bench::Work work;
    GenerateBatchOptions options;
    options.max_sequences = at_a_time;
    CARAT_DO(generate_batch(context, engine, all, options, [&](size_t, Generation&& g) {
      work.asked += static_cast<int64_t>(g.tokens.size());
      return Status();
    }));
    work.computed = work.asked;
    return work;
  };
}

Status run(const Options& o) {
  ThreadPool pool(static_cast<int>(o.threads));
  Cancellation cancellation;
  Progress progress;
  const Context context{pool, cancellation, progress};
  const auto load = [&](const std::string& path) -> Result<std::shared_ptr<Engine>> {
    CARAT_TRY(Checkpoint checkpoint, open_model(path));
    return Engine::load(context, std::move(checkpoint), {});
  };
  CARAT_TRY(const auto engine, load(o.model));
  const int64_t v = engine->vocabulary();
  Bench bench(context, *engine, o.only);
  bench.add("4 choices of 40 + 5", likelihoods(context, *engine, choices(v, o.items, 0, 40, 5)));
  bench.add("4 letters after 100", likelihoods(context, *engine, choices(v, o.items / 2, 0, 100, 1)));
  bench.add("4 choices of 400 shared + 40 + 5",
            likelihoods(context, *engine, choices(v, o.items, 400, 40, 5)));
  bench.add("continuations of 2 + 43", likelihoods(context, *engine, choices(v, o.items / 4, 0, 2, 43)));
  bench.add("answers, 1 at a time", answers(context, *engine, 8, 1));
  bench.add("answers, 32 at a time", answers(context, *engine, 128, 32));

  std::shared_ptr<Engine> reference;
  if (!o.reference.empty()) {
    CARAT_TRY(reference, load(o.reference));
    std::ifstream file(o.text, std::ios::binary);
    std::stringstream whole;
    whole << file.rdbuf();
    const std::string text = whole.str();
    if (text.empty()) return error(Code::no_input, "{}: cannot be read, or is empty", o.text);
    std::vector<std::string> texts;  // some cut in the middle of a character, which does not matter here
    for (size_t at = 0; at < text.size() && texts.size() < 16; at += 1500)
      texts.push_back(text.substr(at, 1500));
    bench.add("documents", losses(context, *engine, nullptr, texts));
    bench.add("documents, by the reference", losses(context, *reference, nullptr, texts));
    bench.add("documents, divergence", losses(context, *engine, reference.get(), texts));
  }
  CARAT_DO(bench.run(o.repetitions));
  if (const double together = bench.seconds("documents, divergence"); together > 0)
    fmt::print("{:<34} {:.3f}\n", "divergence / both alone",
               together / (bench.seconds("documents") + bench.seconds("documents, by the reference")));
  return {};
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  auto options = carat::parse(argc, argv);
  carat::Status status = options.ok() ? carat::run(*options) : carat::Status(options.error());
  if (status.ok()) return 0;
  fmt::print(stderr, "score_bench: {}\n", status.error().message);
  return static_cast<int>(status.error().code);
}
