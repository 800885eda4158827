// A Subject behind an OpenAI-compatible endpoint: /v1/chat/completions and /v1/completions, log-likelihoods
// from "echo" with "logprobs".
#pragma once

#include <memory>

#include "evaluate/endpoint.h"
#include "evaluate/subject.h"

namespace carat {

std::unique_ptr<Subject> make_endpoint_subject(std::unique_ptr<Endpoint> endpoint);

}  // namespace carat
