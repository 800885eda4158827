#include "suites/importers/importers.h"

namespace carat {

namespace {

constexpr Importer kImporters[] = {
    {"choice", "Multiple choice, JSON lines with query, choices, gold", "choice", "", read_choice},
    {"winogrande",
     "Winograd schemas, JSON lines with context_options, continuation, gold or WinoGrande's own", "reference",
     "CC BY 4.0", read_winogrande},
    {"hellaswag", "HellaSwag, JSON lines or six lines of text an item", "commonsense", "MIT", read_hellaswag},
    {"mmlu", "MMLU, CSV files SUBJECT_test.csv to ask and SUBJECT_dev.csv for five examples", "knowledge",
     "MIT", read_mmlu},
    {"truthfulqa", "TruthfulQA, TruthfulQA.csv, one right answer among wrong ones", "truthfulness",
     "Apache-2.0", read_truthfulqa},
    {"blimp", "BLiMP minimal pairs, JSON lines, one file a paradigm", "grammar", "CC BY 4.0", read_blimp},
    {"lambada", "LAMBADA, JSON lines with text, or context and continuation", "reading", "CC BY 4.0",
     read_lambada},
    {"triviaqa", "TriviaQA without context, JSON lines", "knowledge", "Apache-2.0", read_triviaqa},
    {"gsm8k", "GSM8K, JSON lines: the questions, and the training split for five examples", "arithmetic",
     "MIT", read_gsm8k},
    {"humaneval", "HumanEval, JSON lines", "code", "MIT", read_humaneval},
    {"mbpp", "MBPP, JSON lines", "code", "CC BY 4.0", read_mbpp},
    {"ifeval", "IFEval, JSON lines", "instructions", "Apache-2.0", read_ifeval},
    {"bfcl", "Berkeley Function-Calling Leaderboard, question and possible_answer files", "tools",
     "Apache-2.0", read_bfcl},
    {"jsonschemabench", "JSONSchemaBench, JSON lines with name and schema", "json", "", read_jsonschemabench},
    {"mtbench", "MT-bench questions, JSON lines", "chat", "Apache-2.0", read_mtbench},
    {"text", "Plain text as documents, for perplexity and divergence", "text", "", read_text},
};

}  // namespace

std::span<const Importer> importers() { return kImporters; }

}  // namespace carat
