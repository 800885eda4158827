#include "measure/speed.h"

#include <algorithm>
#include <chrono>

namespace carat {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

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
  const auto start = Clock::now();
  if (p.what.kind == SpeedCase::Kind::prefill) {
    CARAT_DO(p.sessions.front()->append(context, p.tokens));
  } else {
    for (const TokenId token : p.tokens) {
      std::ranges::fill(step, token);
      CARAT_DO(engine.step(context, sessions, step));
    }
  }
  return since(start);
}

Work work_of(const ModelWork& model, const SpeedCase& what) {
  if (what.kind == SpeedCase::Kind::prefill) return model.prefill(what.tokens, what.depth);
  Work w;
  for (int64_t i = 0; i < what.tokens; ++i) w += model.decode_step(what.batch, what.depth + i);
  return w;
}

}  // namespace

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const size_t n = values.size();
  return {(values[(n - 1) / 2] + values[n / 2]) / 2, values.front(), values.back()};
}

Result<SpeedReport> measure_speed(const Context& context, const KernelTable& kernels, Engine& engine,
                                  const SpeedOptions& options) {
  CARAT_TRY(const ModelWork model, ModelWork::of(engine.checkpoint()));
  const LimitMeter meter(kernels);
  std::vector<std::unique_ptr<ThreadPool>> pools;
  for (const int n : options.threads) pools.push_back(std::make_unique<ThreadPool>(n));
  std::vector<Prepared> cases;
  for (const SpeedCase& what : options.cases) {
    CARAT_TRY(Prepared p, prepare(context, engine, what));
    cases.push_back(std::move(p));
  }

  struct Samples {
    std::vector<double> rate, memory, compute;
  };
  std::vector<Samples> samples(pools.size() * cases.size());
  std::vector<std::vector<Limits>> limits(pools.size());
  const auto rounds = static_cast<uint64_t>(options.repetitions) + 1;
  context.progress.begin("measuring", "runs", rounds * samples.size());
  uint64_t done = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    for (size_t p = 0; p < pools.size(); ++p) {
      const Context own{*pools[p], context.cancellation, context.progress};
      Limits before = round > 0 ? meter.measure(*pools[p]) : Limits();
      for (size_t i = 0; i < cases.size(); ++i) {
        CARAT_TRY(const double seconds, run_once(own, engine, cases[i]));
        context.progress.update(++done, "");
        if (round == 0) continue;  // pages, caches and clocks warm up
        const Limits after = meter.measure(*pools[p]);
        const Limits around = mean(before, after);
        const Work work = work_of(model, cases[i].what);
        Samples& s = samples[p * cases.size() + i];
        s.rate.push_back(static_cast<double>(cases[i].what.tokens * cases[i].what.batch) / seconds);
        s.memory.push_back(memory_share(work, around, seconds));
        s.compute.push_back(compute_share(work, around, seconds));
        limits[p].push_back(around);
        before = after;
      }
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
    for (size_t i = 0; i < cases.size(); ++i) {
      Samples& s = samples[p * cases.size() + i];
      const SpeedCase& what = cases[i].what;
      const Work work = work_of(model, what);
      const auto tokens = static_cast<double>(what.tokens * what.batch);
      report.results.push_back({what, options.threads[p], spread(s.rate), spread(s.memory), spread(s.compute),
                                work.bytes / tokens, work.operations() / tokens});
    }
  }
  return report;
}

}  // namespace carat
