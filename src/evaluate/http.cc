#include "evaluate/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <mutex>

namespace carat {
namespace {

constexpr int64_t header_bytes_limit = 256 << 10;

/// Seconds a server has to end a stream whose answer is complete, so that the connection can be kept.
constexpr double grace = 0.5;

struct Transfer {
  CURL* curl = nullptr;
  const Cancellation* cancellation = nullptr;
  AnswerStream* stream = nullptr;
  int64_t limit = 0, header_bytes = 0, body_bytes = 0;
  HttpResponse response;
  bool too_large = false, complete = false;
  Stopwatch since_complete;
  Status status;  ///< of the stream
};

bool is_event_stream(CURL* curl) {
  long status = 0;
  const char* type = nullptr;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
  return status == 200 && type && std::string_view(type).starts_with("text/event-stream");
}

size_t take_body(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.body_bytes += static_cast<int64_t>(size);
  transfer.too_large = transfer.body_bytes > transfer.limit;
  if (transfer.too_large) return 0;
  if (transfer.stream && is_event_stream(transfer.curl)) {
    transfer.response.streamed = true;
    if (transfer.complete) return size;
    auto complete = transfer.stream->take({data, size});
    if (!complete) {
      transfer.status = std::move(complete).error();
      return 0;
    }
    transfer.complete = *complete;
    transfer.since_complete.restart();
    return size;
  }
  transfer.response.body.append(data, size);
  return size;
}

size_t take_header(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.header_bytes += static_cast<int64_t>(size);
  transfer.too_large = transfer.header_bytes > header_bytes_limit;
  if (transfer.too_large) return 0;
  std::string line(data, size);
  std::ranges::transform(line, line.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::string_view name = "retry-after:";
  if (line.starts_with(name)) {
    const size_t first = std::min(line.find_first_not_of(' ', name.size()), line.size());
    int64_t seconds = 0;  // a date, which the header may also hold, counts as not said
    const auto [end, code] = std::from_chars(line.data() + first, line.data() + line.size(), seconds);
    if (code == std::errc() && seconds > 0) transfer.response.retry_after = static_cast<double>(seconds);
  }
  return size;
}

int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<Transfer*>(self);
  const bool enough = transfer.complete && transfer.since_complete.seconds() > grace;
  return enough || transfer.cancellation->requested() ? 1 : 0;
}

}  // namespace

struct HttpConnection::Impl {
  HttpOptions options;
  CURL* curl = nullptr;
  curl_slist* headers = nullptr;
  char message[CURL_ERROR_SIZE] = {};

  ~Impl() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
  }

  Result<HttpResponse> perform(const Cancellation& cancellation, const std::string& url,
                               const std::string* body, AnswerStream* stream) {
    if (!curl) return error(Code::internal, "libcurl could not be started");
    Transfer transfer;
    transfer.curl = curl;
    transfer.cancellation = &cancellation;
    transfer.stream = stream;
    transfer.limit = options.response_bytes;
    curl_easy_reset(curl);  // keeps the connection
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "carat/" CARAT_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_seconds * 1000));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options.seconds * 1000));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
    if (body) {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->c_str());
    }
    message[0] = 0;
    const CURLcode code = curl_easy_perform(curl);
    if (cancellation.requested()) return error(Code::interrupted, "interrupted");
    if (transfer.complete) {
      transfer.response.status = 200;
      return std::move(transfer.response);
    }
    if (!transfer.status) return std::move(transfer.status).error().within(url);
    if (transfer.too_large)
      return error(Code::io, "{}: the response has more than {} MB", url, options.response_bytes >> 20);
    if (code == CURLE_OPERATION_TIMEDOUT)
      return error(Code::io, "{}: no complete answer within {:g} seconds", url, options.seconds);
    if (code != CURLE_OK)
      return error(Code::io, "{}: {}", url, message[0] ? message : curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    transfer.response.status = status;
    return std::move(transfer.response);
  }
};

HttpConnection::HttpConnection(const HttpOptions& options) : impl_(std::make_unique<Impl>()) {
  static std::once_flag started;
  std::call_once(started, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  impl_->options = options;
  impl_->curl = curl_easy_init();
  impl_->headers = curl_slist_append(impl_->headers, "Content-Type: application/json");
  // "Expect: 100-continue" makes long prompts wait a second at servers that do not know it.
  impl_->headers = curl_slist_append(impl_->headers, "Expect:");
  if (!options.bearer_key.empty())
    impl_->headers =
        curl_slist_append(impl_->headers, ("Authorization: Bearer " + options.bearer_key).c_str());
}

HttpConnection::~HttpConnection() = default;
HttpConnection::HttpConnection(HttpConnection&&) noexcept = default;

Result<HttpResponse> HttpConnection::get(const Cancellation& cancellation, const std::string& url) {
  return impl_->perform(cancellation, url, nullptr, nullptr);
}

Result<HttpResponse> HttpConnection::post_json(const Cancellation& cancellation, const std::string& url,
                                               const std::string& body, AnswerStream* stream) {
  return impl_->perform(cancellation, url, &body, stream);
}

}  // namespace carat
