#include "measure/speed.h"

#include <algorithm>

#include "arch/open_model.h"
#include "base/stopwatch.h"

namespace carat {
namespace {

/// Tokens that any vocabulary has, none of them a control token of the usual ones.
TokenId some_token(int64_t i, int64_t vocabulary) {
  const int64_t first = std::min<int64_t>(300, vocabulary - 1);
  return static_cast<TokenId>(first + i * 7919 % std::max<int64_t>(1, vocabulary - first));
}

std::vector<TokenId> some_tokens(int64_t count, int64_t vocabulary) {
  std::vector<TokenId> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(some_token(i, vocabulary));
  return out;
}

/// The sessions of one case, filled to its depth.
struct Prepared {
  SpeedCase what;
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<TokenId> tokens;
};

Result<Prepared> prepare(const Context& context, Engine& engine, const SpeedCase& what) {
  Prepared p;
  p.what = what;
  p.tokens = some_tokens(what.tokens, engine.vocabulary());
  for (int64_t i = 0; i < what.batch; ++i) {
    CARAT_TRY(auto session, engine.new_session());
    if (what.depth > 0)
      CARAT_DO(session->append_kept(context, some_tokens(what.depth, engine.vocabulary()), what.depth));
    p.sessions.push_back(std::move(session));
  }
  return p;
}

/// Seconds.
Result<double> run_once(const Context& context, Engine& engine, Prepared& p) {
  std::vector<Session*> sessions;
  for (auto& session : p.sessions) {
    session->truncate(p.what.depth);
    sessions.push_back(session.get());
  }
  std::vector<TokenId> step(sessions.size());
  const Stopwatch watch;
  if (p.what.kind == SpeedCase::Kind::prefill) {
    CARAT_DO(p.sessions.front()->append(context, p.tokens));
  } else {
    for (const TokenId token : p.tokens) {
      std::ranges::fill(step, token);
      CARAT_DO(engine.step(context, sessions, step));
    }
  }
  return watch.seconds();
}

Work work_of(const ModelWork& model, const SpeedCase& what) {
  if (what.kind == SpeedCase::Kind::prefill) return model.prefill(what.tokens, what.depth);
  Work w;
  for (int64_t i = 0; i < what.tokens; ++i) w += model.decode_step(what.batch, what.depth + i);
  return w;
}

/// One engine and case with one pool, and what its repetitions gave.
struct Run {
  size_t pool = 0, engine = 0;
  SpeedCase what;
  Work work;
  std::vector<double> rate, memory, compute, joules;

  double tokens() const { return static_cast<double>(what.tokens * what.batch); }
};

}  // namespace

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const size_t n = values.size();
  return {(values[(n - 1) / 2] + values[n / 2]) / 2, values.front(), values.back()};
}

Result<SpeedReport> measure_speed(const Context& context, const LimitMeter& meter,
                                  std::span<const std::shared_ptr<Engine>> engines,
                                  const SpeedOptions& options) {
  std::vector<std::unique_ptr<ThreadPool>> pools;
  for (const int n : options.threads) {
    pools.push_back(std::make_unique<ThreadPool>(n));
    if (pools.back()->threads() < n)
      return usage_error("only {} of {} threads could be started", pools.back()->threads(), n);
  }
  std::vector<Run> runs;
  for (size_t p = 0; p < pools.size(); ++p)
    for (const SpeedCase& what : options.cases)
      for (size_t e = 0; e < engines.size(); ++e) {
        CARAT_TRY(const ModelWork model,
                  ModelWork::of(engines[e]->checkpoint(), engines[e]->options().activations,
                                engines[e]->options().kv));
        Run run;
        run.pool = p;
        run.engine = e;
        run.what = what;
        run.work = work_of(model, what);
        runs.push_back(std::move(run));
      }
  // The sessions of a case and an engine serve all numbers of threads.
  std::vector<Prepared> prepared;
  for (const SpeedCase& what : options.cases)
    for (const auto& engine : engines) {
      CARAT_TRY(Prepared p, prepare(context, *engine, what));
      prepared.push_back(std::move(p));
    }

  EnergyMeter energy;
  std::vector<std::vector<Limits>> limits(pools.size());
  const auto rounds = static_cast<uint64_t>(options.repetitions) + 1;
  context.progress.begin("measuring", "runs", rounds * runs.size());
  uint64_t done = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    const bool measured = round > 0;  // before that, pages, caches and clocks warm up
    std::optional<Limits> before;
    for (size_t i = 0; i < runs.size(); ++i) {
      Run& run = runs[i];
      ThreadPool& pool = *pools[run.pool];
      const Context own{pool, context.cancellation, context.progress};
      if (measured && (!before || runs[i - 1].pool != run.pool)) before = meter.measure(pool);
      energy.start();
      CARAT_TRY(const double seconds, run_once(own, *engines[run.engine], prepared[i % prepared.size()]));
      const double joules = energy.joules();
      context.progress.update(++done, "");
      if (!measured) continue;
      const Limits after = meter.measure(pool);
      const Limits around = mean(*before, after);
      before = after;
      limits[run.pool].push_back(around);
      run.rate.push_back(run.tokens() / seconds);
      run.memory.push_back(memory_share(run.work, around, seconds));
      run.compute.push_back(compute_share(run.work, around, seconds));
      run.joules.push_back(joules / run.tokens());
    }
  }
  context.progress.end();

  SpeedReport report;
  for (size_t p = 0; p < pools.size(); ++p) {
    const auto median = [&](double Limits::*member) {
      std::vector<double> values;
      for (const Limits& l : limits[p]) values.push_back(l.*member);
      return spread(std::move(values)).median;
    };
    report.limits.emplace_back(options.threads[p], Limits{median(&Limits::read), median(&Limits::int8),
                                                          median(&Limits::bf16), median(&Limits::f32)});
  }
  for (const Run& r : runs) {
    SpeedResult result{
        r.what,           r.engine,          options.threads[r.pool],   spread(r.rate),
        spread(r.memory), spread(r.compute), r.work.bytes / r.tokens(), r.work.operations() / r.tokens(),
        std::nullopt};
    if (energy.available()) result.joules = spread(r.joules);
    report.results.push_back(std::move(result));
  }
  return report;
}

Result<std::vector<double>> measure_sustained(const Context& context, Engine& engine, double seconds,
                                              int slices, int64_t tokens) {
  CARAT_TRY(const Prepared p, prepare(context, engine, {SpeedCase::Kind::decode, tokens, 0, 1}));
  std::vector<double> rates;
  context.progress.begin("sustained", "slices", static_cast<uint64_t>(slices));
  for (int slice = 0; slice < slices; ++slice) {
    const Stopwatch watch;
    double spent = 0;
    int64_t done = 0;
    for (; spent < seconds / slices; ++done, spent = watch.seconds()) {
      Session& session = *p.sessions.front();
      if (session.position() == tokens) session.truncate(0);
      CARAT_DO(session.append(context, {&p.tokens[static_cast<size_t>(session.position())], 1}));
    }
    rates.push_back(static_cast<double>(done) / spent);
    context.progress.update(static_cast<uint64_t>(slice) + 1, "");
  }
  context.progress.end();
  return rates;
}

Result<StartTimes> measure_start(const Context& context, const std::string& path,
                                 const EngineOptions& options, int64_t prompt, int repetitions) {
  Progress silent;  // what loading has to say, it has said, or will say, where the model is measured
  const Context quiet{context.pool, context.cancellation, silent};
  std::vector<double> ready, first;
  for (int i = -1; i < repetitions; ++i) {
    const Stopwatch watch;
    CARAT_TRY(Checkpoint checkpoint, open_model(path));
    CARAT_TRY(const auto engine, Engine::load(quiet, std::move(checkpoint), options));
    CARAT_TRY(const auto session, engine->new_session());
    const double loaded = watch.seconds();
    CARAT_DO(session->append(context, some_tokens(prompt, engine->vocabulary())));
    if (i < 0) continue;  // brings the file into the page cache
    ready.push_back(loaded);
    first.push_back(watch.seconds());
  }
  return StartTimes{spread(std::move(ready)), spread(std::move(first)), prompt};
}

namespace {

class ProfileBook final : public Profile {
 public:
  explicit ProfileBook(std::vector<ProfileLine>& lines) : lines_(lines) {}
  void add(std::string_view operation, std::string_view detail, double seconds, const Cost& cost) override {
    auto line = std::ranges::find_if(
        lines_, [&](const ProfileLine& l) { return l.operation == operation && l.detail == detail; });
    if (line == lines_.end())
      line = lines_.insert(line, ProfileLine{std::string(operation), std::string(detail), 0, 0, {}});
    ++line->calls;
    line->seconds += seconds;
    line->work += Work{cost.bytes, cost.int8, cost.bf16, cost.f32};
  }

 private:
  std::vector<ProfileLine>& lines_;
};

}  // namespace

Result<ProfileReport> measure_profile(const Context& context, const LimitMeter& meter, Engine& engine,
                                      const SpeedCase& what) {
  ProfileReport report;
  report.what = what;
  report.threads = context.pool.threads();
  CARAT_TRY(Prepared p, prepare(context, engine, what));
  CARAT_DO(run_once(context, engine, p));
  const Limits before = meter.measure(context.pool);
  ProfileBook book(report.lines);
  const Context profiled{context.pool, context.cancellation, context.progress, &book};
  CARAT_TRY(report.seconds, run_once(profiled, engine, p));
  report.limits = mean(before, meter.measure(context.pool));
  return report;
}

}  // namespace carat
