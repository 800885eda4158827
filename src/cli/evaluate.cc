// carat evaluate: a suite of questions, a model or an endpoint that answers them, a card of what it scored.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include "arch/open_model.h"
#include "cards/card_file.h"
#include "cli/card_options.h"
#include "cli/checks.h"
#include "cli/evaluate_report.h"
#include "cli/machine_notes.h"
#include "cli/model_options.h"
#include "cli/overlap_note.h"
#include "cli/verb.h"
#include "containers/quote.h"
#include "evaluate/card.h"
#include "evaluate/endpoint_subject.h"
#include "evaluate/engine_subject.h"
#include "evaluate/machine.h"
#include "evaluate/run_lock.h"
#include "evaluate/runner.h"
#include "suites/catalogue.h"

namespace carat {
namespace {

struct Options {
  std::string model, suite, reference, store, name, export_to, show, import_from;
  bool list = false, again = false;
  RunOptions run;
  int64_t context = 0, at_once = 0, noise_runs = 0;
  ActivationScheme activations = ActivationScheme::int8_block;
  KvEncoding kv = KvEncoding::f16;
  EndpointOptions endpoint, judge;
  std::string key_file, judge_key_file;
};

bool works_on_the_store(const Options& o) { return o.list || !o.show.empty() || !o.import_from.empty(); }

Status check_combination(const Options& o) {
  if (works_on_the_store(o)) {
    if (!o.model.empty() || !o.endpoint.url.empty() || !o.suite.empty())
      return usage_error("--list, --show and --import work on the store; they take no model and no suite");
    if (o.list + !o.show.empty() + !o.import_from.empty() > 1)
      return usage_error("give one of --list, --show and --import");
    return {};
  }
  if (o.model.empty() == o.endpoint.url.empty())
    return usage_error("give either a MODEL or --endpoint URL, which is to answer");
  if (o.suite.empty())
    return usage_error(
        "--suite SUITE is missing: which questions to ask; `carat suite list` shows those there are");
  if (!o.endpoint.url.empty() && !o.reference.empty())
    return usage_error("--reference needs the candidate's own predictions, which an endpoint does not give");
  return {};
}

Result<std::shared_ptr<Engine>> load(Invocation& run, const std::string& path, const Options& o,
                                     KvEncoding kv) {
  CARAT_TRY(Checkpoint checkpoint, open_model(path));
  note_memory(checkpoint, run.console);
  EngineOptions options;
  options.context = o.context;
  options.activations = o.activations;
  options.kv = kv;
  return Engine::load(run.context, std::move(checkpoint), options);
}

/// Who answers, and the digest of what its divergences are from.
struct Candidate {
  std::unique_ptr<Subject> subject;
  std::string reference_digest;
};

/// Everything that is asked, of the tasks that will be.
Status all_texts(const Suite& suite, const RunOptions& options, const LookAtText& look) {
  for (size_t task = 0; task < suite.tasks().size(); ++task) {
    if (!options.tasks.empty() && !std::ranges::count(options.tasks, suite.tasks()[task].name)) continue;
    const auto look_at_item = [&](Item&& item) -> Status {
      CARAT_DO(look(item.text, SIZE_MAX));
      CARAT_DO(look(item.prompt, SIZE_MAX));
      if (!item.contexts.empty()) CARAT_DO(look(item.contexts.front(), SIZE_MAX));
      for (const Turn& turn : item.turns) CARAT_DO(look(turn.content, SIZE_MAX));
      return {};
    };
    CARAT_DO(suite.for_each(task, look_at_item));
  }
  return {};
}

Result<Candidate> open_candidate(const Options& o, const Suite& suite, Invocation& run) {
  Candidate candidate;
  if (!o.endpoint.url.empty()) {
    EndpointOptions options = o.endpoint;
    CARAT_TRY(options.http.bearer_key, read_api_key(o.key_file, "CARAT_API_KEY"));
    if (o.at_once > 0) options.requests_at_once = o.at_once;
    CARAT_TRY(auto endpoint, Endpoint::connect(run.context, std::move(options)));
    candidate.subject = make_endpoint_subject(std::move(endpoint));
    return candidate;
  }
  EngineSubjectOptions options;
  options.kv = o.kv;
  if (o.at_once > 0) options.sequences_at_once = o.at_once;
  if (!o.reference.empty()) {
    CARAT_TRY(options.reference, load(run, o.reference, o, KvEncoding::f16));
    CARAT_TRY(candidate.reference_digest, model_digest(run.context, options.reference->checkpoint().files));
  }
  CARAT_TRY(auto engine, load(run, o.model, o, o.kv));
  CARAT_DO(note_overlap(*engine, run.console,
                        [&](const LookAtText& look) { return all_texts(suite, o.run, look); }));
  CARAT_TRY(candidate.subject, make_engine_subject(run.context, std::move(engine), options));
  return candidate;
}

Result<std::unique_ptr<Judge>> open_judge(const Options& o, Invocation& run) {
  if (o.judge.url.empty()) return std::unique_ptr<Judge>();
  EndpointOptions options = o.judge;
  options.http.seconds = o.endpoint.http.seconds;
  options.attempts = o.endpoint.attempts;
  CARAT_TRY(options.http.bearer_key, read_api_key(o.judge_key_file, "CARAT_JUDGE_KEY"));
  CARAT_TRY(auto endpoint, Endpoint::connect(run.context, std::move(options)));
  return std::make_unique<Judge>(make_endpoint_subject(std::move(endpoint)));
}

/// The latest complete run of the same variant, suite and reference; 0 where there is none.
Result<int64_t> complete_run(Store& store, const Scorecard& card) {
  CARAT_TRY(const auto runs, store.runs());
  for (auto r = runs.rbegin(); r != runs.rend(); ++r) {
    if (!r->complete || r->variant != card.variant.name || r->suite_digest != card.suite_digest ||
        r->model_digest != card.variant.model_digest)
      continue;
    CARAT_TRY(const Scorecard other, store.card(r->run, false));
    if (other.variant.settings == card.variant.settings && other.reference == card.reference) return r->run;
  }
  return int64_t{0};
}

/// Sits the exam, or goes on with it, and leaves the card in the store.
Result<Scorecard> sit(const Context& context, const Options& o, const RunOptions& options, const Suite& suite,
                      Subject& subject, Store& store, const std::string& store_path, Scorecard card) {
  int64_t run = 0;
  if (o.again) {
    CARAT_TRY(run, store.add_card(card));
  } else {
    CARAT_TRY(run, complete_run(store, card));
    if (run > 0) {
      context.progress.note(
          fmt::format("run {} in {} is this very exam, complete; --again sits it anew", run, store_path));
      return store.card(run, false);
    }
    CARAT_TRY(run, store.begin_run(card));
  }
  CARAT_TRY(const RunLock lock, RunLock::take(store_path, run));
  auto totals = run_suite(context, suite, subject, store, run, options);
  if (!totals) {
    Error e = std::move(totals).error();
    if (e.code == Code::interrupted)
      e.message = fmt::format("interrupted; what was finished is in run {}, the same command goes on", run);
    return e;
  }
  if (totals->already_there > 0)
    context.progress.note(fmt::format("{} answers were there already, from before", totals->already_there));
  CARAT_DO(complete_card(suite, store, run, options, *totals, card));
  CARAT_DO(store.finish_run(run, card));
  return card;
}

/// The same exam with other seeds, another number of threads and other batches.
Result<std::vector<NoiseFloor>> sit_again(const Options& o, const RunOptions& first, const Suite& suite,
                                          Subject& subject, Store& store, const std::string& store_path,
                                          Scorecard card, Invocation& run) {
  std::vector<Scorecard> cards{card};
  for (int64_t k = 1; k <= o.noise_runs; ++k) {
    const int threads = run.context.pool.threads();
    ThreadPool pool(threads > 1 && k % 2 == 1 ? threads - 1 : threads + 1);
    const Context context{pool, run.context.cancellation, run.context.progress};
    RunOptions options = first;
    options.seed_shift = static_cast<uint64_t>(k);
    options.batch_seconds /= 1.0 + static_cast<double>(k);
    Scorecard again = card;
    again.run = 0;
    again.variant.name += fmt::format(" (again {})", k);
    again.variant.settings["seed_shift"] = k;
    again.provenance["threads"] = pool.threads();
    again.provenance["date"] = utc_now();
    CARAT_TRY(again, sit(context, o, options, suite, subject, store, store_path, std::move(again)));
    cards.push_back(std::move(again));
  }
  return noise_floor(cards);
}

Status export_card(Store& store, int64_t run, const std::string& path) {
  CARAT_TRY(const Scorecard card, store.card(run, true));
  return write_card(path, card, true);
}

Status show_run(const Options& o, Store& store, int64_t run, Console& console) {
  if (!o.export_to.empty()) CARAT_DO(export_card(store, run, o.export_to));
  CARAT_TRY(const Scorecard card, store.card(run, false));
  if (console.json()) return console.print_json(to_json(card, false).as_object());
  return console.print(card_text(card, nullptr));
}

/// The run that the card is already: the same variant, exam and date; 0 where there is none.
Result<int64_t> run_of_card(const Scorecard& card, Store& store) {
  const json::string* date = json_string(card.provenance.if_contains("date"));
  CARAT_TRY(const auto runs, store.runs());
  for (const RunSummary& r : runs)
    if (date && r.date == std::string_view(*date) && r.variant == card.variant.name &&
        r.model_digest == card.variant.model_digest && r.suite_digest == card.suite_digest)
      return r.run;
  return int64_t{0};
}

Status import_card(const Options& o, Console& console) {
  CARAT_TRY(const Scorecard card, read_card(o.import_from));
  CARAT_TRY(const auto store, Store::open(o.store));
  CARAT_TRY(int64_t run, run_of_card(card, *store));
  if (run > 0) {
    console.note(fmt::format("{} is in the store already, as run {}", o.import_from, run));
  } else {
    CARAT_TRY(run, store->add_card(card));
  }
  return show_run(o, *store, run, console);
}

Status read_store(const Options& o, Console& console) {
  if (!std::filesystem::exists(o.store))
    return error(Code::no_input, "{}: there is no store yet; `carat evaluate` makes one", o.store);
  CARAT_TRY(const auto store, Store::open(o.store));
  if (o.list) {
    CARAT_TRY(const auto runs, store->runs());
    if (console.json()) return console.print_json({{"runs", history_json(runs)}});
    return console.print(history_text(runs));
  }
  CARAT_TRY(const int64_t run, store->find_run(o.show, ""));
  return show_run(o, *store, run, console);
}

int64_t failed_answers(const Scorecard& card) {
  int64_t failed = 0;
  std::set<std::string_view> tasks;
  for (const SliceScore& s : card.scores)
    if (s.slice.empty() && tasks.insert(s.task).second) failed += s.failed;
  return failed;
}

Status evaluate(const Options& o, Invocation& run) {
  CARAT_DO(check_combination(o));
  if (!o.import_from.empty()) return import_card(o, run.console);
  if (works_on_the_store(o)) return read_store(o, run.console);
  const std::string& store_path = o.store;
  CARAT_TRY(const std::string suite_path, find_suite(o.suite));
  CARAT_TRY(const auto suite, open_suite(run.context, suite_path));
  if (auto chosen = chosen_tasks(*suite, o.run.tasks); !chosen) return std::move(chosen).error();
  const auto is_sampled = [](const Task& t) {
    return t.kind == TaskKind::generate && t.generation.temperature > 0;
  };
  if (o.run.repeats > 0 && std::ranges::none_of(suite->tasks(), is_sampled))
    return usage_error(
        "--repeats: suite {} has no task with sampled answers (temperature above 0), and others "
        "would only be the same again",
        suite->name());
  CARAT_TRY(const auto store, Store::open(store_path));
  CARAT_TRY(Candidate candidate, open_candidate(o, *suite, run));
  Subject& subject = *candidate.subject;
  CARAT_TRY(const auto judge, open_judge(o, run));
  RunOptions run_options = o.run;
  run_options.judge = judge.get();
  Scorecard card = begin_card(run.context, *suite, subject, o.name, candidate.reference_digest);
  if (o.run.repeats > 0) card.variant.settings["repeats"] = o.run.repeats;
  if (judge) card.variant.settings["judge"] = judge->description();
  CARAT_TRY(card, sit(run.context, o, run_options, *suite, subject, *store, store_path, std::move(card)));
  std::vector<NoiseFloor> noise;
  if (o.noise_runs > 0) {
    CARAT_TRY(noise, sit_again(o, run_options, *suite, subject, *store, store_path, card, run));
  }
  if (!o.export_to.empty()) CARAT_DO(export_card(*store, card.run, o.export_to));
  const int64_t failed = failed_answers(card);
  if (failed > 0) {
    run.exit_status = static_cast<int>(Code::io);
    run.console.say(
        fmt::format("carat evaluate: {} answers failed; the same command asks for them again", failed));
  }
  if (run.console.json()) {
    json::object document = to_json(card, false).as_object();
    if (o.noise_runs > 0) document["noise_floor"] = noise_json(noise);
    return run.console.print_json(document);
  }
  return run.console.print(card_text(card, &suite->tasks()) + (o.noise_runs > 0 ? noise_text(noise) : ""));
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "GGUF file or Hugging Face directory that answers")->type_name("");
  app.add_option("--suite", o->suite, "The questions: a directory with suite.toml, or a shipped suite's name")
      ->type_name("SUITE");
  app.add_option("--task", o->run.tasks, "Only this task of the suite; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_option("--limit", o->run.limit, "Only the first items of each task")
      ->check(whole_number(1, int64_t{1} << 40))
      ->type_name("N");
  app.add_option("--repeats", o->run.repeats,
                 "Ask each question N times where answers are sampled, each time with another seed\n"
                 "(default: as the suite says)")
      ->check(whole_number(1, 10000))
      ->type_name("N");
  app.add_option("--reference", o->reference, "Divergences of texts are from this model (the original, say)")
      ->type_name("MODEL");
  app.add_option("--name", o->name, "What to call this variant (default: the file's name)")
      ->type_name("NAME");
  add_store_option(app, o->store);
  app.add_flag("--again", o->again, "Sit the exam anew instead of going on with what the store has");
  app.add_option("--noise-floor", o->noise_runs,
                 "Sit it N times more with other seeds, threads and batches, and say how far\nfigures move")
      ->check(whole_number(1, 100))
      ->type_name("N");
  app.add_option("--export", o->export_to, "Also write the card with all its answers to this JSON file")
      ->type_name("FILE");
  app.add_flag("--list", o->list, "Only list the runs of the store")->group("The store");
  app.add_option("--show", o->show, "Only show this run: its number, or the name of a variant")
      ->type_name("RUN")
      ->group("The store");
  app.add_option("--import", o->import_from, "Only add this card, which --export wrote, as a run of its own")
      ->type_name("FILE")
      ->group("The store");

  app.add_option("--ctx", o->context, "Positions of the context (default: the model's own, at most 4096)")
      ->check(whole_number(2, 1 << 24))
      ->type_name("N")
      ->group("How it runs");
  add_activations_option(app, o->activations);
  add_kv_option(app, o->kv);
  app.add_option("--at-once", o->at_once,
                 "Answers that are generated, or requests that are sent, at the same time\n(default: 16, 4)")
      ->check(whole_number(1, 1024))
      ->type_name("N")
      ->group("How it runs");

  app.add_option("--endpoint", o->endpoint.url,
                 "Ask a server that speaks OpenAI's protocol instead of a MODEL")
      ->type_name("URL")
      ->group("An endpoint");
  app.add_option("--endpoint-model", o->endpoint.model, "Its name there (default: the only one listed)")
      ->type_name("NAME")
      ->group("An endpoint");
  app.add_option("--api-key-file", o->key_file, "File whose first line is the key (default: $CARAT_API_KEY)")
      ->type_name("FILE")
      ->group("An endpoint");
  app.add_option("--timeout", o->endpoint.http.seconds, "Seconds an answer may take")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 86400.0))
      ->type_name("SECONDS")
      ->group("An endpoint");
  app.add_option("--attempts", o->endpoint.attempts, "Attempts at a request that fails for the moment")
      ->capture_default_str()
      ->check(whole_number(1, 100))
      ->type_name("N")
      ->group("An endpoint");
  app.add_option("--judge", o->judge.url, "Server whose model rates answers of tasks with a rubric")
      ->type_name("URL")
      ->group("A judge");
  app.add_option("--judge-model", o->judge.model, "Its name there (default: the only one listed)")
      ->type_name("NAME")
      ->group("A judge");
  app.add_option("--judge-key-file", o->judge_key_file,
                 "File whose first line is its key (default: $CARAT_JUDGE_KEY)")
      ->type_name("FILE")
      ->group("A judge");
  return [o](Invocation& run) { return evaluate(*o, run); };
}

}  // namespace

const Verb evaluate_verb = {
    "evaluate", "Ask a model the questions of a suite and keep a scorecard of the answers",
    "Answers are kept as they come: after an interruption, or a kill, the same command goes on and asks\n"
    "nothing twice. docs/evaluate.md says what the figures mean, docs/suites.md how to write a suite.\n\n"
    "Examples:\n"
    "  carat evaluate model.gguf --suite core\n"
    "  carat evaluate small.gguf --suite core --reference original.gguf --name small-kv8 --kv q8_0\n"
    "  carat evaluate model.gguf --suite core --task gsm8k --limit 100 --json\n"
    "  CARAT_API_KEY=... carat evaluate --endpoint http://127.0.0.1:8080 --suite core\n"
    "  carat evaluate --list\n"
    "  carat evaluate --show 3 --export card.json\n"
    "  carat evaluate --import card.json",
    prepare};

}  // namespace carat
