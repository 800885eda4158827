// Any server that speaks OpenAI's protocol, as a JSON service: requests with retries, several at once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/context.h"
#include "containers/json.h"
#include "evaluate/answer.h"
#include "evaluate/http.h"

namespace carat {

struct EndpointOptions {
  std::string url;    ///< with or without /v1: "http://127.0.0.1:8080"
  std::string model;  ///< empty: the one that the endpoint lists, if it is one
  HttpOptions http;
  int64_t requests_at_once = 4;
  int64_t attempts = 4;        ///< of a request that fails for the moment
  double backoff_seconds = 1;  ///< before the second attempt; doubles, at most a minute
};

/// The key in an environment variable, or the first line of a file; empty without either. Keys are
/// never options, which every user of a machine can read. bad_data for a key that is not one line of visible
/// characters.
Result<std::string> read_api_key(const std::string& file, const char* variable);

class Endpoint {
 public:
  /// Asks the endpoint which models it has. Errors: Code::usage for an address that is none, a model that is
  /// not named where there are several, a key that is refused; Code::io where nothing answers.
  static Result<std::unique_ptr<Endpoint>> connect(const Context& context, EndpointOptions options);

  const std::string& url() const { return options_.url; }
  const std::string& model() const { return options_.model; }
  int64_t requests_at_once() const { return options_.requests_at_once; }
  /// What it says of the model, without what changes from start to start; empty where it says nothing.
  const json::object& description() const { return description_; }

  /// POST to /v1/PATH. Errors: Code::usage where the endpoint refuses the request as longer than the model's
  /// context; Code::no_input where it refuses it for another reason; Code::io for what may pass (408, 409,
  /// 429, 5xx, the network), after all attempts, and for an answer that is no JSON object;
  /// Code::interrupted.
  Result<json::value> post(const Context& context, size_t worker, std::string_view path,
                           const json::object& body);

  /// The same of a body that asks for text. With "stream": true its first token is timed; an endpoint that
  /// answers whole nevertheless is taken as it is. Code::bad_data for what is no answer.
  Result<GeneratedText> generate(const Context& context, size_t worker, std::string_view path,
                                 const json::object& body);

  /// body(worker, i) for i < count, several at a time; workers are numbered for post(). Stops at the first
  /// error.
  Status for_each(size_t count, const std::function<Status(size_t worker, size_t i)>& body);

 private:
  explicit Endpoint(EndpointOptions options);
  Result<HttpResponse> attempt(const Context& context, size_t worker, const std::string& url,
                               const std::string* body, AnswerStream* stream = nullptr);
  Result<HttpResponse> post_once_accepted(const Context& context, size_t worker, const std::string& url,
                                          const json::object& body, AnswerStream* stream);
  Status choose_model(const Context& context);

  EndpointOptions options_;
  json::object description_;
  std::vector<HttpConnection> connections_;  ///< one per worker
};

}  // namespace carat
