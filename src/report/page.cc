#include "report/report.h"
#include "report/sections.h"
#include "report/style.h"

namespace carat {
namespace {

Markup method_section(const Evidence& e) {
  return markup(
      "<section><h2>How to read the figures</h2><ul>"
      "<li><b>Score</b>: mean over items of the first metric of a task; the repeats of an item are averaged "
      "first. Losses are "
      "weighted by tokens. The interval is 95 %, clustered: items that share a passage count as one "
      "observation (Miller 2024, "
      "arXiv 2411.00640); exact (Clopper-Pearson) where few or extreme.</li>"
      "<li><b>Damage</b>: baseline − candidate on the same items (for losses candidate − baseline), so that "
      "positive is worse. "
      "Paired, so its interval is narrower than those of the two scores.</li>"
      "<li><b>Sure</b>: worse where the one-sided p (exact McNemar where items are right or wrong and stand "
      "alone, else "
      "clusters are resampled) stays below {} after Holm's correction over all {} slices of a candidate; "
      "better where the "
      "interval lies below 0. “Not sure” does not mean “no loss”: the interval says how much may hide.</li>"
      "<li><b>Average</b>: over whole tasks that are shares, each counting the same, taken for independent. "
      "It hides slices; "
      "decide by those.</li>"
      "<li><b>KL</b>: mean over tokens of the divergence of the candidate's distribution from the "
      "reference's, in nats.</li>"
      "<li><b>Flips</b>: items right under one and wrong under the other. Many in both directions are a "
      "change of behaviour "
      "even where the score stays.</li>"
      "<li>Items that could not be judged (unscored) and failures of the machinery (failed) count neither as "
      "right nor as "
      "wrong, and are listed beside the items.</li>"
      "<li>Scores hold for this suite at this version; figures of speed for the hardware, threads and "
      "lengths in the table "
      "above.</li></ul></section>",
      kLevel, e.rows.size());
}

}  // namespace

Markup variant_tag(const Evidence& e, size_t card, int64_t columns) {
  return markup("<span class=\"tag v{}\">{}</span> <bdi title=\"{}\">{}</bdi>", card % 8, letter(card),
                shortened(e.cards[card]->variant.name, 300),
                clipped_text(e.cards[card]->variant.name, columns));
}

Markup variant_columns(const Evidence& e, bool with_baseline) {
  Markup out;
  for (size_t i = with_baseline ? 0 : 1; i < e.cards.size(); ++i)
    out += markup("<th>{}</th>", variant_tag(e, i, 18));
  return out;
}

std::string bytes_text(int64_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (bytes >= 999'500'000) return fmt::format("{:.2f} GB", b * 1e-9);
  if (bytes >= 999'500) return fmt::format("{:.{}f} MB", b * 1e-6, b < 99.95e6 ? 1 : 0);
  return fmt::format("{} bytes", bytes);
}

std::string render_report(const ReportInput& input) {
  const Evidence e = gather(input);
  const Scorecard& b = input.baseline;
  Markup body = markup(
      "<header><p class=\"kicker\">carat report · suite <b dir=\"auto\">{}</b> {} · {}</p><h1>What "
      "quantizing "
      "cost</h1>{}<p class=\"soft\">Baseline: {}{}{}</p></header>",
      shortened(b.suite, 120), shortened(b.suite_version, 40), input.date, headline(e), variant_tag(e, 0, 60),
      b.file_bytes > 0 ? ", " + bytes_text(b.file_bytes) : "",
      b.complete ? "" : " (not complete: items of the suite are missing)");
  for (const std::string& reason : input.baseline_stale)
    body += markup("<p class=\"stale\">⚠ The baseline is stale: {}.</p>", reason);
  for (const auto section :
       {variants_section, quality_section, slices_section, policy_section, divergence_section, layers_section,
        latency_section, flips_section, provenance_section, method_section})
    body += section(e);
  const Markup page = markup(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
      "<meta name=\"color-scheme\" content=\"light dark\"/><meta name=\"generator\" content=\"carat {}\"/>"
      "<title>carat: {}</title>\n<style>{}</style></head>\n<body><main>{}</main></body></html>\n",
      CARAT_VERSION, shortened(b.suite, 120), Markup(std::string(kStyle)), body);
  return page.html();
}

}  // namespace carat
