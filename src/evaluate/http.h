// One HTTP connection to a server that may hang, drip, flood, or speak nonsense: every request has a
// deadline, every response a bound, redirects are not followed (a key goes only where the user sent it), and
// waiting ends at once when the user interrupts.
#pragma once

#include <memory>
#include <string>

#include "base/context.h"
#include "evaluate/answer.h"

namespace carat {

struct HttpOptions {
  double connect_seconds = 10;
  double seconds = 600;               ///< for a request as a whole, however slowly bytes drip in
  int64_t response_bytes = 16 << 20;  ///< more is an error
  std::string bearer_key;             ///< goes into a header, never into a message; may be empty
};

struct HttpResponse {
  int64_t status = 0;
  std::string body;
  bool streamed = false;   ///< the body went to an AnswerStream
  double retry_after = 0;  ///< seconds the server asks to be left alone; 0 = not said
};

/// For use by one thread at a time; keeps its connection between requests.
class HttpConnection {
 public:
  explicit HttpConnection(const HttpOptions& options);
  ~HttpConnection();
  HttpConnection(HttpConnection&&) noexcept;

  /// Code::io for what the network does (one sentence, with the address), Code::interrupted.
  Result<HttpResponse> get(const Cancellation& cancellation, const std::string& url);
  /// A body that comes as a text/event-stream, with status 200, goes to `stream` where there is one; what it
  /// finds wrong with it ends the request, and once it is complete the server need not end it.
  Result<HttpResponse> post_json(const Cancellation& cancellation, const std::string& url,
                                 const std::string& body, AnswerStream* stream = nullptr);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace carat
