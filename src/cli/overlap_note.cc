#include "cli/overlap_note.h"

#include <algorithm>

#include "stats/text_sketch.h"

namespace carat {

Status note_overlap(const Engine& engine, Console& console,
                    const std::function<Status(const LookAtText&)>& pieces) {
  constexpr double kWorthSaying = 0.01;
  auto sketch = read_sketch(engine.checkpoint().metadata);
  if (!sketch) return std::move(sketch).error().within(engine.checkpoint().source);
  if (sketch->empty() || !engine.tokenizer()) return {};
  TextOverlap overlap;
  CARAT_DO(pieces([&](std::string_view piece, size_t most) -> Status {
    CARAT_TRY(const std::vector<TokenId> tokens, engine.tokenizer()->encode(piece, false, false));
    look_up(*sketch, std::span(tokens).first(std::min(most, tokens.size())), overlap);
    return {};
  }));
  if (overlap.found > 1 && overlap.share() >= kWorthSaying)
    console.note(
        fmt::format("{}: about {:.0f} % of this text was in the text it was calibrated with (by a sample of "
                    "{} runs of {} "
                    "tokens); its figures are better than they would be on other text",
                    engine.checkpoint().source, 100 * overlap.share(), overlap.looked_up, kSketchGram));
  return {};
}

}  // namespace carat
