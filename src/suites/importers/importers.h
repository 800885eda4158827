// The readers of importers.cc's list, one file each. Every one reads the request's files in order, hands
// items and examples to the sink, and returns the settings of the task.
#pragma once

#include "suites/import.h"

namespace carat {

Result<std::string> read_bfcl(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_blimp(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_choice(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_gsm8k(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_hellaswag(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_humaneval(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_ifeval(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_jsonschemabench(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_lambada(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_mbpp(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_mmlu(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_mtbench(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_text(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_triviaqa(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_truthfulqa(const ImportRequest& request, ImportSink& sink);
Result<std::string> read_winogrande(const ImportRequest& request, ImportSink& sink);

}  // namespace carat
