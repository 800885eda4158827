// carat run: text from a prompt, or a conversation, in the terminal.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "arch/open_model.h"
#include "cli/checks.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/machine_notes.h"
#include "cli/model_options.h"
#include "cli/verb.h"
#include "engine/chat.h"
#include "engine/engine.h"
#include "engine/generate.h"

namespace carat {
namespace {

struct Options {
  std::string model, prompt, system;
  bool chat = false, special = false;
  bool has_prompt = false, has_system = false;
  int64_t max_tokens = -1;  ///< -1: not given
  int64_t context = 0;
  SamplerOptions sampler;
  ActivationScheme activations = ActivationScheme::int8_block;
  KvEncoding kv = KvEncoding::f16;
};

constexpr int64_t kPromptTokens =
    256;  ///< a model that was never taught to stop would fill the whole context

std::string_view reason_name(StopReason r) {
  switch (r) {
    case StopReason::end_of_generation:
      return "end_of_generation";
    case StopReason::max_tokens:
      return "max_tokens";
    case StopReason::context_full:
      return "context_full";
    case StopReason::stop_text:
      return "stop_text";
    case StopReason::stopped:
      return "stopped";
  }
  return "";
}

double rate(int64_t n, double seconds) { return seconds > 0 ? static_cast<double>(n) / seconds : 0; }

/// Generated text as it comes; control characters of the model's making do not reach a terminal.
class Output {
 public:
  explicit Output(Console& console) : console_(console), terminal_(isatty(STDOUT_FILENO)) {}
  bool write(std::string_view piece) {
    if (piece.empty()) return true;
    last_ = piece.back();
    status_ = console_.print(terminal_ ? printable(piece) : std::string(piece));
    return status_.ok();
  }
  /// Ends the line, if it is not; the error of a failed write.
  Status finish() {
    if (status_.ok() && last_ != '\n') (void)write("\n");
    return std::move(status_);
  }

 private:
  Console& console_;
  bool terminal_;
  char last_ = '\n';
  Status status_;
};

void say_rates(const Generation& g, Console& console) {
  console.say(fmt::format(
      "[{} tokens in, {:.1f}/s; {} tokens out, {:.1f}/s{}]", g.prompt_tokens,
      rate(g.prompt_tokens, g.prompt_seconds), g.tokens.size(),
      rate(static_cast<int64_t>(g.tokens.size()), g.token_seconds),
      g.reason == StopReason::context_full ? "; the context is full, --ctx makes it longer" : ""));
}

json::object generation_json(const Generation& g, const Engine& engine, const Options& options) {
  return {{"model", options.model},
          {"text", g.text},
          {"stop_reason", reason_name(g.reason)},
          {"prompt_tokens", g.prompt_tokens},
          {"tokens", g.tokens.size()},
          {"prompt_tokens_per_second", rate(g.prompt_tokens, g.prompt_seconds)},
          {"tokens_per_second", rate(static_cast<int64_t>(g.tokens.size()), g.token_seconds)},
          {"context", engine.context_length()},
          {"seed", options.sampler.seed},
          {"activation_scheme", engine.activation_scheme()}};
}

/// One answer: streamed, or one document.
Status answer(const Options& options, const Engine& engine, Console& console,
              const std::function<Result<Generation>(const OnPiece&)>& generate_with) {
  Output output(console);
  auto generation = generate_with([&](std::string_view piece) { return output.write(piece); });
  CARAT_DO(output.finish());
  if (!generation.ok()) return std::move(generation).error();
  if (console.json())
    CARAT_DO(console.print_json(generation_json(*generation, engine, options)));
  else
    say_rates(*generation, console);
  if (generation->reason == StopReason::stopped) return error(Code::interrupted, "interrupted");
  return {};
}

Result<std::string> read_stdin() {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) return error(Code::interrupted, "interrupted");
    if (n < 0) return error(Code::io, "reading standard input failed: {}", std::strerror(errno));
    text.append(buffer, static_cast<size_t>(n));
  }
}

/// Lines of standard input. std::getline would swallow the signal that should end the conversation.
class Lines {
 public:
  /// Nothing at the end of input.
  Result<std::optional<std::string>> next() {
    for (;;) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return std::optional(std::move(line));
      }
      char chunk[4096];
      const ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
      if (n < 0 && errno == EINTR) return error(Code::interrupted, "");
      if (n < 0) return error(Code::io, "reading standard input failed: {}", std::strerror(errno));
      if (n == 0) {
        if (buffer_.empty()) return std::optional<std::string>();
        return std::optional(std::exchange(buffer_, {}));
      }
      buffer_.append(chunk, static_cast<size_t>(n));
    }
  }

 private:
  std::string buffer_;
};

GenerateOptions generate_options(const Options& options) {
  GenerateOptions g;
  g.sampler = options.sampler;
  g.max_tokens = options.max_tokens >= 0 ? options.max_tokens : options.chat ? -1 : kPromptTokens;
  return g;
}

Status complete(const Options& options, const std::shared_ptr<Engine>& engine, Invocation& run) {
  const Tokenizer* tokenizer = engine->tokenizer();
  if (tokenizer == nullptr)
    return bad_data("{}: the file has no tokenizer, so it can take no text", options.model);
  std::string prompt = options.prompt;
  if (prompt == "-") {
    CARAT_TRY(prompt, read_stdin());
  }
  note_invalid_utf8("the prompt", prompt, run.console);
  CARAT_TRY(std::vector<TokenId> tokens, tokenizer->encode(prompt, true, options.special));
  if (tokens.empty()) return usage_error("the prompt is empty, and this model has no token to begin with");
  CARAT_TRY(const auto session, engine->new_session());
  return answer(options, *engine, run.console, [&](const OnPiece& on_piece) {
    return generate(run.context, *engine, *session, {}, tokens, generate_options(options), on_piece);
  });
}

Status converse(const Options& options, const std::shared_ptr<Engine>& engine, Invocation& run) {
  CARAT_TRY(const auto chat, Chat::start(engine));
  if (options.has_system) note_invalid_utf8("the system prompt", options.system, run.console);
  const auto begin = [&] {
    chat->clear();
    if (options.has_system) chat->add({"system", options.system});
  };
  const GenerateOptions generation = generate_options(options);
  begin();
  if (options.has_prompt) {
    std::string prompt = options.prompt;
    if (prompt == "-") {
      CARAT_TRY(prompt, read_stdin());
    }
    note_invalid_utf8("the prompt", prompt, run.console);
    return answer(options, *engine, run.console, [&](const OnPiece& on_piece) {
      return chat->reply(run.context, prompt, generation, on_piece);
    });
  }
  if (run.console.json()) return usage_error("--chat with --json answers one message: give it with -p");
  const bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
  run.console.say("Ctrl-C stops an answer, Ctrl-D leaves, /clear begins anew.");
  Lines lines;
  for (;;) {
    if (terminal) (void)!::write(STDERR_FILENO, "> ", 2);
    auto line = lines.next();
    if (!line.ok() && line.error().code == Code::interrupted && terminal)
      (void)!::write(STDERR_FILENO, "\n", 1);
    CARAT_TRY(const std::optional<std::string> message, std::move(line));
    if (!message) break;
    if (message->find_first_not_of(" \t\r") == std::string::npos) continue;
    if (*message == "/clear") {
      begin();
      continue;
    }
    note_invalid_utf8("the message", *message, run.console);
    // An answer has its own cancellation: Ctrl-C ends it and not the conversation.
    InterruptScope scope;
    const Context context{run.context.pool, scope.cancellation(), run.context.progress};
    Status status = answer(options, *engine, run.console, [&](const OnPiece& on_piece) {
      return chat->reply(context, *message, generation, on_piece);
    });
    if (!status.ok() && status.error().code != Code::interrupted) return status;
  }
  return {};
}

Status run_verb_body(Options options, Invocation& run) {
  if (!options.has_prompt && !options.chat)
    return usage_error("give a prompt with -p TEXT (or -p - for standard input), or talk with --chat");
  if (options.has_system && !options.chat) return usage_error("--system goes with --chat");
  CARAT_DO(options.sampler.check());
  CARAT_TRY(Checkpoint checkpoint, open_model(options.model));
  note_memory(checkpoint, run.console);
  EngineOptions engine_options;
  engine_options.context = options.context;
  engine_options.activations = options.activations;
  engine_options.kv = options.kv;
  CARAT_TRY(const auto engine, Engine::load(run.context, std::move(checkpoint), engine_options));
  return options.chat ? converse(options, engine, run) : complete(options, engine, run);
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "GGUF file or Hugging Face directory")->type_name("")->required();
  auto* prompt =
      app.add_option("-p,--prompt", o->prompt, "Text to continue, or - to read it from standard input");
  prompt->type_name("TEXT");
  app.add_flag("--chat", o->chat, "Converse, by the model's chat template; with -p, one answer");
  auto* system = app.add_option("--system", o->system, "System prompt of the conversation (with --chat)")
                     ->type_name("TEXT");
  app.add_option("-n,--max-tokens", o->max_tokens,
                 fmt::format("Longest answer in tokens; 0 only reads the prompt (default: {}; in a chat,\n"
                             "until the model stops)",
                             kPromptTokens))
      ->check(whole_number(0, 1 << 30))
      ->type_name("N");
  app.add_option("--ctx", o->context,
                 "Tokens of prompt and answers together (default: the model's own, at most 4096)")
      ->check(whole_number(1, 1 << 30))
      ->type_name("N");
  add_activations_option(app, o->activations);
  add_kv_option(app, o->kv);
  auto& s = o->sampler;
  app.add_option("--temp", s.temperature,
                 "Temperature: higher is more varied; 0 always takes the likeliest token")
      ->check(finite_number())
      ->capture_default_str()
      ->type_name("T");
  app.add_option("--top-k", s.top_k, "Only the K likeliest tokens; 0 = all")
      ->check(whole_number(INT32_MIN, INT32_MAX))
      ->capture_default_str()
      ->type_name("K");
  app.add_option("--top-p", s.top_p, "Only the likeliest tokens that together reach probability P; 1 = all")
      ->check(finite_number())
      ->capture_default_str()
      ->type_name("P");
  app.add_option("--min-p", s.min_p, "Only tokens at least P times as likely as the likeliest; 0 = all")
      ->check(finite_number())
      ->capture_default_str()
      ->type_name("P");
  app.add_option("--repeat-penalty", s.repetition_penalty,
                 "Above 1, recent tokens become less likely; 1 = off")
      ->check(finite_number())
      ->capture_default_str()
      ->type_name("X");
  app.add_option("--repeat-window", s.repetition_window, "Tokens that count as recent; -1 = all")
      ->check(whole_number(INT32_MIN, INT32_MAX))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--seed", s.seed, "The same seed gives the same text")
      ->check(whole_number(0, INT64_MAX))
      ->capture_default_str()
      ->type_name("N");
  app.add_flag("--special", o->special,
               "Control tokens written in the prompt become those tokens (not in a chat)");
  return [o, prompt, system](Invocation& run) {
    o->has_prompt = prompt->count() > 0;
    o->has_system = system->count() > 0;
    return run_verb_body(*o, run);
  };
}

}  // namespace

const Verb run_verb = {"run", "Generate text or chat in the terminal",
                       "The text goes to standard output as it comes, figures to standard error.\n\n"
                       "Examples:\n"
                       "  carat run model.gguf -p 'Once upon a time' -n 100\n"
                       "  carat run model.gguf --chat --system 'You answer in one sentence.'\n"
                       "  carat run model.gguf --chat -p 'Why is the sky blue?' --temp 0",
                       prepare};

}  // namespace carat
