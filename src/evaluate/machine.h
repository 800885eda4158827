// What a card says of where and with what it was made.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/error.h"
#include "containers/checkpoint.h"
#include "containers/json.h"

namespace carat {

/// {"processor", "logical_processors", "memory_bytes", "system"}; what cannot be found out is left out.
json::object hardware();

/// The time now as "2026-01-31T12:34:56Z".
std::string utc_now();

/// The most memory this process has held at once, in bytes.
int64_t peak_memory();

/// SHA-256 of a model's file; of lines "NAME\0SHA-256\n" in order of names where it has several. Reads all of
/// them, with progress. Errors: those of reading, interruption.
Result<std::string> model_digest(const Context& context, const std::vector<std::string>& files);

/// Bytes of the weights by encoding, most first: {"Q4_K": 123, ...}.
json::object encoding_mix(const Checkpoint& checkpoint);

/// The file's own evidence: every carat.* text and number in its metadata (method, recipe, source digest,
/// calibration), and name and architecture.
json::object file_evidence(const Checkpoint& checkpoint);

/// What each tensor lost, as a file that carat quantized records it: [{"name", "encoding",
/// "relative_error"}]. Empty where it does not; numbers that are none are left out.
json::array tensor_errors(const Checkpoint& checkpoint);

}  // namespace carat
