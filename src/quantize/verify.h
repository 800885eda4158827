// Is this file what its writer made? Structure, digests of every tensor, finite values, provenance. And can
// carat run it?
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "containers/checkpoint.h"

namespace carat {

struct VerifyReport {
  std::string container;
  uint64_t file_bytes = 0;
  size_t tensors = 0;
  size_t digests_checked = 0;  ///< tensors whose bytes were compared with a recorded digest
  size_t values_checked =
      0;  ///< tensors whose every value was decoded; the rest have encodings carat only carries
  bool has_provenance = false;  ///< carat.version and source digest are recorded
  std::string cannot_run;       ///< why carat cannot run the model, which need not be wrong; empty: it can
  std::vector<std::string> problems;  ///< one sentence each; empty = all is well
  bool ok() const { return problems.empty(); }
};

/// Reads every byte once. A file whose structure is broken is the reader's error; what is readable but wrong
/// (a digest that differs, NaN, missing or ill-typed provenance where some is present) is a problem of the
/// report.
Result<VerifyReport> verify(const Context& context, const Checkpoint& checkpoint);

}  // namespace carat
