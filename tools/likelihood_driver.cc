// What tools/oracle_engine.py compares with llama.cpp: likelihood_driver MODEL CONTEXT reads one JSON request
// per line, {"context":C,"continuation":T}, scores them together, and answers one JSON line for each:
// {"log_probability":P,"greedy":bool,"tokens":N,"context_tokens":M}.
#include <fmt/format.h>

#include <cstdlib>
#include <iostream>

#include "arch/open_model.h"
#include "containers/json.h"
#include "score/likelihood.h"

namespace {

using namespace carat;

std::string text_at(const json::value& request, std::string_view key) {
  const json::string* s = json_string(json_find(request, key));
  return s ? std::string(*s) : std::string{};
}

Status run(const std::string& path, int64_t positions) {
  ThreadPool pool;
  Cancellation cancellation;
  Progress progress;
  const Context context{pool, cancellation, progress};
  CARAT_TRY(Checkpoint checkpoint, open_model(path));
  CARAT_TRY(const auto engine, Engine::load(context, std::move(checkpoint), {.context = positions}));
  std::vector<LikelihoodRequest> requests;
  for (std::string line; std::getline(std::cin, line);) {
    CARAT_TRY(const json::value asked, parse_json(line));
    CARAT_TRY(LikelihoodRequest request,
              encode_request(*engine, text_at(asked, "context"), text_at(asked, "continuation")));
    requests.push_back(std::move(request));
  }
  std::vector<Likelihood> results(requests.size());
  CARAT_DO(score_likelihoods(context, *engine, requests, results));
  for (size_t i = 0; i < results.size(); ++i) {
    std::cout << json::serialize(json::object{{"log_probability", results[i].log_probability},
                                              {"greedy", results[i].greedy},
                                              {"tokens", results[i].tokens},
                                              {"context_tokens", requests[i].context.size()}})
              << "\n";
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const Status status = argc == 3 ? run(argv[1], std::atoll(argv[2]))
                                  : Status(usage_error("give one model and its context in tokens"));
  if (status.ok()) return 0;
  fmt::print(stderr, "likelihood_driver: {}\n", status.error().message);
  return static_cast<int>(status.error().code);
}
