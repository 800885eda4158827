#include "evaluate/endpoint.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "containers/mapped_file.h"
#include "containers/quote.h"

namespace carat {
namespace {

constexpr int64_t key_file_limit = 1 << 16;

bool passes_by_itself(int64_t status) {
  return status == 408 || status == 409 || status == 429 || status >= 500;
}

/// Sleeps, but not through an interruption.
Status wait(const Context& context, double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    CARAT_DO(context.check());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return context.check();
}

/// What an endpoint says of an error: {"error": {"message"}} as OpenAI has it, or the beginning of the text.
std::string error_text(const HttpResponse& response) {
  std::string text;
  if (const auto parsed = parse_json(response.body)) {
    const json::value* e = json_find(*parsed, "error");
    const json::string* message = json_string(e ? json_find(*e, "message") : json_find(*parsed, "message"));
    if (!message && e) message = e->if_string();
    if (message) text = std::string(*message);
  }
  if (text.empty()) text = response.body;
  return text.empty() ? "no explanation" : quote(text);
}

/// Servers say it in many words: "maximum context length is", "exceeds the available context size".
bool is_about_length(std::string_view message) {
  std::string lower(message);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto has = [&](std::string_view word) { return lower.find(word) != std::string::npos; };
  return has("context") && (has("length") || has("exceed") || has("maximum") || has("too l") || has("size"));
}

Result<json::value> read_object(const std::string& url, const HttpResponse& response) {
  auto parsed = parse_json(response.body);
  if (!parsed)
    return error(Code::io, "{} answered with what is not JSON: {}", url, quote(response.body.substr(0, 200)));
  if (!parsed->is_object()) return error(Code::io, "{} answered with JSON that is no object", url);
  return parsed;
}

/// A model's entry in /v1/models without times, which are those of the server's start.
json::object lasting(const json::object& entry) {
  json::object out;
  for (const auto& member : entry)
    if (member.key() != "created" && member.key() != "permission") out[member.key()] = member.value();
  return out;
}

}  // namespace

Result<std::string> read_api_key(const std::string& file, const char* variable) {
  std::string key;
  std::string place = variable;
  if (!file.empty()) {
    CARAT_TRY(key, read_small_file(file, key_file_limit));
    key = key.substr(0, key.find_first_of("\r\n"));
    place = file;
  } else if (const char* value = std::getenv(variable)) {
    key = value;
  }
  const auto visible = [](char c) { return c > ' ' && c < 0x7f; };
  if (!std::ranges::all_of(key, visible))
    return bad_data("{}: an API key is one line of visible ASCII characters", place);
  if (key.empty() && !file.empty()) return bad_data("{}: the first line, the API key, is empty", file);
  return key;
}

Endpoint::Endpoint(EndpointOptions options) : options_(std::move(options)) {
  std::string& url = options_.url;
  while (url.ends_with('/')) url.pop_back();
  if (url.ends_with("/v1")) url.resize(url.size() - 3);
  for (int64_t i = 0; i < std::max<int64_t>(1, options_.requests_at_once); ++i)
    connections_.emplace_back(options_.http);
}

Result<std::unique_ptr<Endpoint>> Endpoint::connect(const Context& context, EndpointOptions options) {
  if (!options.url.starts_with("http://") && !options.url.starts_with("https://"))
    return usage_error("an endpoint is an address that begins with http:// or https://, not {}",
                       quote(options.url));
  std::unique_ptr<Endpoint> endpoint(new Endpoint(std::move(options)));
  CARAT_DO(endpoint->choose_model(context));
  return endpoint;
}

Status Endpoint::choose_model(const Context& context) {
  const std::string url = options_.url + "/v1/models";
  auto answer = attempt(context, 0, url, nullptr);
  if (!answer) return std::move(answer).error();
  if (answer->status == 401 || answer->status == 403)
    return usage_error("{} refuses the key (status {}): {}; keys come from the environment or a file", url,
                       answer->status, error_text(*answer));
  // A server without this list may well answer questions.
  const auto parsed = answer->status == 200 ? parse_json(answer->body) : Result<json::value>(json::value());
  const json::array* models = parsed ? json_array(json_find(*parsed, "data")) : nullptr;
  std::vector<std::string> names;
  if (models) {
    for (const json::value& model : *models) {
      const json::string* id = json_string(json_find(model, "id"));
      if (!id) continue;
      names.emplace_back(*id);
      if (*id == options_.model || (options_.model.empty() && models->size() == 1))
        description_ = lasting(model.get_object());
    }
  }
  if (!options_.model.empty()) return {};
  if (names.size() == 1) {
    options_.model = names.front();
    return {};
  }
  std::string several;
  for (size_t i = 0; i < std::min<size_t>(names.size(), 8); ++i)
    several += (several.empty() ? "" : ", ") + quote(names[i]);
  if (several.empty()) return usage_error("{} lists no models; name one with --endpoint-model", url);
  return usage_error("{} has {} models ({}{}); choose one with --endpoint-model", url, names.size(), several,
                     names.size() > 8 ? ", ..." : "");
}

Result<HttpResponse> Endpoint::attempt(const Context& context, size_t worker, const std::string& url,
                                       const std::string* body, AnswerStream* stream) {
  constexpr double longest_wait = 60;
  double backoff = options_.backoff_seconds;
  for (int64_t tried = 1;; ++tried) {
    HttpConnection& connection = connections_[worker];
    if (stream) stream->restart();
    auto response = body ? connection.post_json(context.cancellation, url, *body, stream)
                         : connection.get(context.cancellation, url);
    const bool again = response ? passes_by_itself(response->status) : response.error().code == Code::io;
    if (!again || tried >= options_.attempts) {
      if (!response && tried > 1 && response.error().code == Code::io)
        return error(Code::io, "{} (tried {} times)", response.error().message, tried);
      return response;
    }
    const double asked = response ? response->retry_after : 0;
    CARAT_DO(wait(context, std::min(longest_wait, std::max(backoff, asked))));
    backoff = std::min(longest_wait, 2 * backoff);
  }
}

Result<HttpResponse> Endpoint::post_once_accepted(const Context& context, size_t worker,
                                                  const std::string& url, const json::object& body,
                                                  AnswerStream* stream) {
  const std::string text = json::serialize(body);
  CARAT_TRY(HttpResponse response, attempt(context, worker, url, &text, stream));
  if (response.status == 200) return response;
  const std::string why = error_text(response);
  const bool refused = response.status == 400 || response.status == 413 || response.status == 422;
  if (refused && is_about_length(why)) return usage_error("longer than the endpoint's context: {}", why);
  const Code code = passes_by_itself(response.status) ? Code::io : Code::no_input;
  return error(code, "{} answered with status {}: {}", url, response.status, why);
}

Result<json::value> Endpoint::post(const Context& context, size_t worker, std::string_view path,
                                   const json::object& body) {
  const std::string url = fmt::format("{}/v1/{}", options_.url, path);
  CARAT_TRY(const HttpResponse response, post_once_accepted(context, worker, url, body, nullptr));
  return read_object(url, response);
}

Result<GeneratedText> Endpoint::generate(const Context& context, size_t worker, std::string_view path,
                                         const json::object& body) {
  const std::string url = fmt::format("{}/v1/{}", options_.url, path);
  AnswerStream stream;
  CARAT_TRY(const HttpResponse response, post_once_accepted(context, worker, url, body, &stream));
  if (response.streamed) return std::move(stream).finish();
  CARAT_TRY(const json::value whole, read_object(url, response));
  CARAT_TRY(GeneratedText out, read_generation(whole));
  out.seconds = stream.seconds();
  return out;
}

Status Endpoint::for_each(size_t count, const std::function<Status(size_t, size_t)>& body) {
  std::atomic<size_t> next{0};
  std::atomic<bool> stopped{false};
  std::mutex mutex;
  Status first;
  const auto work = [&](size_t worker) {
    for (size_t i = next++; i < count && !stopped; i = next++) {
      Status status = body(worker, i);
      if (status) continue;
      stopped = true;
      std::lock_guard lock(mutex);
      if (first) first = std::move(status);
    }
  };
  std::vector<std::jthread> threads;
  for (size_t w = 1; w < std::min(count, connections_.size()); ++w) threads.emplace_back(work, w);
  work(0);
  threads.clear();
  return first;
}

}  // namespace carat
