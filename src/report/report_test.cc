#include "report/report.h"

#include <gtest/gtest.h>

#include <regex>

#include "report/sections.h"
#include "report/testing.h"

namespace carat {
namespace {

using testing::make_report_input, testing::ReportShape;

const std::string kHostile =
    "</style></title><script>alert(1)</script><img src=x onerror=alert(2)>\" onload='x' &lt; ]]> \x01\x1b[31m"
    "\xff\xe2\x80\xae reversed \xef\xbf\xbe";

/// What is wrong with a document as XML, or "": tags that do not nest, attributes that are not quoted or
/// there twice, '<' or '&' where they may not stand. Covers what the page uses: no CDATA, no comments.
std::string xml_problem(std::string_view text) {
  const std::string kDoctype = "<!DOCTYPE html>\n";
  if (!text.starts_with(kDoctype)) return "no doctype";
  static const std::regex kTag(R"re(<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:\s+[a-zA-Z0-9-]+="[^"<]*")*)\s*(/?)>)re");
  static const std::regex kAttribute(R"re(([a-zA-Z0-9-]+)="([^"]*)")re");
  static const std::regex kEntity("&(amp|lt|gt|quot|#[0-9]+);");
  // None that runs or fetches anything.
  static const char* const kAttributes[] = {
      "lang",        "charset",   "http-equiv", "content", "name", "class", "title", "dir",    "role",
      "viewBox",     "style",     "scope",      "x",       "y",    "x1",    "x2",    "y1",     "y2",
      "text-anchor", "transform", "d",          "cx",      "cy",   "r",     "width", "height", "font-size"};
  std::vector<std::string> open;
  const auto entities_are_known = [](const std::string& part) {
    return std::regex_replace(part, kEntity, "").find('&') == std::string::npos;
  };
  size_t at = kDoctype.size();
  while (at < text.size()) {
    const size_t next = std::min(text.find('<', at), text.size());
    const std::string between(text.substr(at, next - at));
    if (!entities_are_known(between)) return "an ampersand in: " + between.substr(0, 200);
    if (open.empty() && between.find_first_not_of(" \n") != std::string::npos)
      return "text outside: " + between;
    if (next == text.size()) break;
    const size_t end = text.find('>', next);
    if (end == std::string_view::npos) return "a tag that does not end";
    const std::string tag(text.substr(next, end + 1 - next));
    std::smatch m;
    if (!std::regex_match(tag, m, kTag)) return "no tag: " + tag;
    if (!entities_are_known(m[3])) return "an ampersand in: " + tag;
    std::vector<std::string> names;
    const std::string attributes = m[3];
    for (std::sregex_iterator a(attributes.begin(), attributes.end(), kAttribute), last; a != last; ++a) {
      if (std::ranges::find(names, (*a)[1].str()) != names.end()) return "an attribute twice: " + tag;
      names.push_back((*a)[1]);
      if (std::ranges::find(kAttributes, names.back()) == std::end(kAttributes))
        return "an attribute of no use: " + tag;
    }
    if (m[1].length() == 0 && m[4].length() == 0) {
      open.push_back(m[2]);
    } else if (m[1].length() > 0) {
      if (open.empty() || open.back() != m[2]) return "closes what is not open: " + tag;
      open.pop_back();
    }
    at = end + 1;
  }
  return open.empty() ? "" : "left open: " + open.back();
}

TEST(Markup, text_is_escaped_and_markup_is_not) {
  EXPECT_EQ(markup("<b title=\"{}\">{}</b>{}", std::string("\"x'"), "<&>", Markup("<i/>")).html(),
            "<b title=\"&quot;x&#39;\">&lt;&amp;&gt;</b><i/>");
  EXPECT_EQ(escaped("a\nb\tc"), "a\nb\tc");
  EXPECT_EQ(escaped(std::string("\0\x1b\x7f", 3)), "\u2400\u241b\u2421");
  EXPECT_EQ(escaped("\xff\xc3\xed\xa0\x80"), "\ufffd\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(escaped("a\u202eb\u2066"), "a[U+202E]b[U+2066]");
  EXPECT_EQ(escaped("\uffff\u0085"), "\ufffd\ufffd");
  EXPECT_EQ(escaped("שלום 日本 😀"), "שלום 日本 😀");
}

TEST(Markup, names_are_cut_in_the_middle_and_texts_at_the_end) {
  EXPECT_EQ(clipped_text("Q4_K_M", 6), "Q4_K_M");
  EXPECT_EQ(clipped_text("model-one-Q4_K_M", 9), "mode…_K_M");
  EXPECT_EQ(clipped_text("日本語日本語", 12), "日本語日本語");
  EXPECT_EQ(clipped_text("日本語日本語", 7), "日…語");
  EXPECT_EQ(clipped_text("abc", 0), "…");
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("aäb", 2), "a…");
  EXPECT_EQ(shortened(std::string(5, '\x80'), 3), "…");
}

TEST(Report, every_page_is_well_formed_and_fetches_nothing) {
  const std::vector<ReportShape> shapes = {
      {},
      {.candidates = 0, .with_policy = false, .name_prefix = "", .text = ""},
      {.candidates = 1, .tasks = 1, .slices = 0, .name_prefix = "", .text = ""},
      {.candidates = 15, .tasks = 12, .slices = 3, .name_prefix = "", .text = "x"},
      {.candidates = 2, .tasks = 1, .slices = 200, .name_prefix = "", .text = ""},
      {.candidates = 3, .name_prefix = kHostile, .text = kHostile},
      {.candidates = 3, .name_prefix = "שלום-", .text = "مرحبا"}};
  for (const ReportShape& shape : shapes) {
    ReportInput input = make_report_input(shape);
    if (shape.text == kHostile) {
      input.baseline.suite = input.policy = kHostile;
      input.baseline.provenance[kHostile] = kHostile;
      input.candidates[0].card.performance[kHostile] = json::object{{"p50", kHostile}};
      input.candidates[0].card.provenance["tensors"] =
          json::array{json::object{{"name", kHostile}, {"relative_error", 1}}};
      input.candidates[0].comparison.notes.push_back(kHostile);
      input.candidates[0].decisions[0].reason = input.candidates[0].decisions[0].surface = kHostile;
    }
    const std::string page = render_report(input);
    EXPECT_EQ(xml_problem(page), "");
    for (const char* forbidden :
         {"<script", "<img", "url(", "@import", "://", "\x1b", "\x01", "\u202e", "onload='"})
      EXPECT_EQ(page.find(forbidden), std::string::npos) << forbidden;
  }
}

TEST(Report, a_page_without_figures_says_so) {
  ReportInput input;
  input.baseline = testing::make_card("empty");
  EXPECT_EQ(xml_problem(render_report(input)), "");
  input.candidates.emplace_back().card = testing::make_card("other");
  const std::string page = render_report(input);
  EXPECT_EQ(xml_problem(page), "");
  EXPECT_NE(page.find("Nothing could be compared"), std::string::npos);
  EXPECT_NE(page.find("Not complete"), std::string::npos);
}

TEST(Report, figures_that_are_not_finite_are_written_and_not_drawn) {
  ReportInput input = make_report_input({.candidates = 2, .name_prefix = "", .text = ""});
  for (Scorecard* card : {&input.baseline, &input.candidates[0].card})
    for (SliceScore& s : card->scores) {
      s.value.interval = {-HUGE_VAL, HUGE_VAL};
      if (s.metric == "nll") s.value.mean = HUGE_VAL;
    }
  for (SliceDifference& d : input.candidates[0].comparison.slices) d.interval = {-HUGE_VAL, HUGE_VAL};
  const std::string page = render_report(input);
  EXPECT_EQ(xml_problem(page), "");
  EXPECT_NE(page.find("−∞ to +∞"), std::string::npos);
  EXPECT_EQ(page.find("inf"), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

std::string headline_of(const ReportInput& input) { return headline(gather(input)).html(); }

TEST(Report, the_headline_names_the_smallest_variant_that_passes) {
  ReportInput input = make_report_input({.candidates = 3, .name_prefix = "", .text = ""});
  EXPECT_NE(headline_of(input).find("Ship B (Q8_0) for “default”: it alone passes."), std::string::npos);
  input.candidates[1].decisions[0].verdict = GateVerdict::pass;
  EXPECT_NE(headline_of(input).find("Ship C (Q6_K) for “default”: the smallest of 2 that pass."),
            std::string::npos);
  EXPECT_NE(headline_of(input).find("D (Q4_K_M) loses more than is allowed."), std::string::npos);
  for (ReportEntry& c : input.candidates) c.decisions[0].verdict = GateVerdict::inconclusive;
  EXPECT_NE(headline_of(input).find(
                "No variant is shown to be safe for “default”: B (Q8_0), C (Q6_K) and D (Q4_K_M) are "
                "not decided yet."),
            std::string::npos);
  SurfaceDecision second = input.candidates[2].decisions[0];
  second.surface = "cheap";
  second.verdict = GateVerdict::pass;
  input.candidates[2].decisions.push_back(second);
  EXPECT_NE(headline_of(input).find("Ship D (Q4_K_M) for “cheap”"), std::string::npos);
  for (ReportEntry& c : input.candidates) c.decisions.clear();
  EXPECT_NE(headline_of(input).find("No policy was given"), std::string::npos);
  EXPECT_EQ(headline_of(input).find("Ship"), std::string::npos);
}

/// A loss on one slice that the average hides comes first and is sure; what is not sure is not said to be.
TEST(Report, a_loss_on_one_slice_is_found) {
  ReportInput input =
      make_report_input({.candidates = 2, .tasks = 3, .slices = 5, .name_prefix = "", .text = ""});
  for (ReportEntry& c : input.candidates)
    for (SliceDifference& d : c.comparison.slices) {
      d.damage = 0.004;
      d.interval = {-0.01, 0.018};
      d.p_worse = 0.04;  // alone it would count; among 18 it does not
    }
  SliceDifference& lost = input.candidates[1].comparison.slices[9];
  lost.damage = 0.12;
  lost.interval = {0.06, 0.18};
  lost.p_worse = 1e-4;
  const Evidence e = gather(input);
  EXPECT_EQ(e.summaries[0].worse, 0u);
  EXPECT_EQ(e.summaries[1].worse, 1u);
  ASSERT_NE(e.summaries[1].worst, nullptr);
  EXPECT_EQ(e.summaries[1].worst->score->slice, lost.slice);
  EXPECT_EQ(e.summaries[1].worst->score->task, lost.task);
  EXPECT_NEAR(e.summaries[1].worst->p_adjusted[1], 18e-4, 1e-9);
  const auto first_slice = std::ranges::find(e.rows, false, &SliceRow::is_whole_task);
  EXPECT_EQ(first_slice->score->slice, lost.slice);
  const std::string page = render_report(input);
  EXPECT_NE(page.find("Worst, and sure: <b dir=\"auto\">arithmetic · subject=3</b>"), std::string::npos);
  EXPECT_NE(page.find("12.0 points worse"), std::string::npos);
}

TEST(Report, other_metrics_than_the_first_do_not_become_rows) {
  ReportInput input =
      make_report_input({.candidates = 1, .tasks = 2, .slices = 3, .name_prefix = "", .text = ""});
  SliceScore extra = input.baseline.scores[0];
  extra.metric = "gold_nll";
  input.baseline.scores.push_back(extra);
  EXPECT_EQ(gather(input).rows.size(), 8u);
}

TEST(Report, a_stale_card_is_said_to_be) {
  ReportInput input =
      make_report_input({.candidates = 1, .tasks = 2, .slices = 0, .name_prefix = "", .text = ""});
  EXPECT_EQ(render_report(input).find("stale:"), std::string::npos);
  input.baseline_stale = {"its suite grew"};
  input.candidates[0].stale = {"its file <shrank>"};
  const std::string page = render_report(input);
  EXPECT_NE(page.find("The baseline is stale: its suite grew."), std::string::npos);
  EXPECT_NE(page.find("Stale: its file &lt;shrank&gt;."), std::string::npos);
}

TEST(Report, words_for_figures) {
  EXPECT_EQ(score_text(0.6125, Unit::points), "61.3 %");
  EXPECT_EQ(damage_text(0.031, Unit::points), "+3.1");
  EXPECT_EQ(damage_text(-0.031, Unit::points), "−3.1");
  EXPECT_EQ(damage_text(-0.0001, Unit::points), "0.0");
  EXPECT_EQ(damage_text(0.0001, Unit::points), "0.0");
  EXPECT_EQ(amount_text(0.02, Unit::nats), "0.0200 nats");
  EXPECT_EQ(unit_of("kl", 0.01), Unit::nats);
  EXPECT_EQ(unit_of("acc", 0.5), Unit::points);
  EXPECT_EQ(unit_of("rating", 0.5), Unit::plain);
  EXPECT_EQ(unit_of("gold_nll", 0.5), Unit::nats);
  EXPECT_EQ(unit_of("bits_per_byte", 0.9), Unit::bits);
  EXPECT_EQ(unit_of("a metric of another program", 0.9), Unit::points);
  EXPECT_EQ(unit_of("a metric of another program", 9), Unit::plain);
  EXPECT_EQ(bytes_text(999), "999 bytes");
  EXPECT_EQ(bytes_text(98'700'000), "98.7 MB");
  EXPECT_EQ(bytes_text(1'234'000'000), "1.23 GB");
  EXPECT_EQ(p_text(0.0002), "p < 0.001");
}

}  // namespace
}  // namespace carat
