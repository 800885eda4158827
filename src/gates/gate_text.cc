#include <algorithm>
#include <cmath>

#include "gates/documents.h"

namespace carat {
namespace {

// XML 1.0 has no place for most control characters nor for U+FFFE and U+FFFF, not even escaped.
std::string xml(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (text.substr(i).starts_with("\xef\xbf\xbe") || text.substr(i).starts_with("\xef\xbf\xbf")) {
      out += '?', i += 2;
      continue;
    }
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\n':
        out += "&#10;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 && c != '\t' ? '?' : c;
    }
  }
  return out;
}

// A cell of a table, in which nothing means anything: no markup, no mentions, no links, one line.
std::string cell(std::string_view text, size_t most = 300) {
  std::string out;
  size_t shown = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (shown >= most && (byte & 0xc0) != 0x80) {
      out += " ...";
      break;
    }
    ++shown;
    if (std::string_view("<>&\"'`*_|[]()#@\\~!{}$:").find(c) != std::string_view::npos) {
      out += fmt::format("&#{};", byte);
    } else if (byte < 0x20 || byte == 0x7f) {
      out += ' ';
    } else {
      out += c;
    }
  }
  return out.empty() ? " " : out;
}

std::string number(double v) {
  if (std::isnan(v)) return "?";
  return std::isinf(v) ? (v < 0 ? "-∞" : "∞") : fmt::format("{:.4g}", v);
}

std::string_view sign_of(GateVerdict v) {
  switch (v) {
    case GateVerdict::pass:
      return "✅ pass";
    case GateVerdict::breach:
      return "❌ **breach**";
    case GateVerdict::inconclusive:
      return "❔ inconclusive";
    case GateVerdict::no_headroom:
      return "➖ no headroom";
  }
  return "";
}

std::string rows_table(const SurfaceDecision& d) {
  std::string out =
      "| verdict | what | metric | baseline | candidate | worse by (interval) | allowed | items | p adjusted "
      "| why |\n"
      "|---|---|---|---:|---:|---:|---:|---:|---:|---|\n";
  for (const GateResult& r : d.results) {
    const SliceDifference& s = r.difference;
    out += fmt::format(
        "| {}{} | {} | {} | {} | {} | {} ({} to {}) | {} | {} | {} | {}{} |\n", sign_of(r.verdict),
        r.tier == tier_name(Tier::advisory) ? " (advisory)" : "", cell(r.subject), cell(s.metric),
        number(s.baseline), number(s.candidate), number(s.damage), number(s.interval.low),
        number(s.interval.high), number(r.margin), s.items, number(r.p_adjusted), cell(r.reason),
        r.items_needed > 0 ? fmt::format(" (about {} items would decide)", r.items_needed) : "");
  }
  return out;
}

std::string flips_table(const Comparison& c, size_t most) {
  if (c.flips.empty()) return "No item changed between right and wrong.\n";
  const auto worse = std::ranges::count_if(c.flips, &Flip::worse);
  std::string out = fmt::format("<details><summary>{} items are wrong now, {} are right now</summary>\n\n",
                                worse, static_cast<int64_t>(c.flips.size()) - worse);
  out += "| now | item | question | expected | baseline | candidate |\n|---|---|---|---|---|---|\n";
  for (size_t i = 0; i < std::min(most, c.flips.size()); ++i) {
    const Flip& f = c.flips[i];
    out += fmt::format("| {} | {} {} | {} | {} | {} | {} |\n", f.worse ? "wrong" : "right", cell(f.task),
                       cell(f.item), cell(f.question), cell(f.expected), cell(f.baseline_answer),
                       cell(f.candidate_answer));
  }
  if (c.flips.size() > most) out += fmt::format("\n{} more are not shown.\n", c.flips.size() - most);
  return out + "\n</details>\n";
}

}  // namespace

std::string junit_document(const std::vector<SurfaceDecision>& decisions) {
  std::string suites;
  int64_t all_tests = 0, all_failures = 0, all_errors = 0;
  for (const SurfaceDecision& d : decisions) {
    int64_t failures = 0, errors = 0, cases = 0;
    std::string body;
    const auto add = [&](std::string_view name, std::string_view group, std::string_view inside) {
      ++cases;
      body += fmt::format("    <testcase name=\"{}\" classname=\"{}\">{}</testcase>\n", xml(name), xml(group),
                          inside);
    };
    for (size_t i = 0; i < d.results.size(); ++i) {
      const GateResult& r = d.results[i];
      const std::string name = fmt::format("{} ({})", r.subject, r.difference.metric);
      const bool answered =
          r.verdict == GateVerdict::no_headroom && i + 1 < d.results.size() && d.results[i + 1].stand_in;
      std::string inside;
      if (r.tier == tier_name(Tier::advisory) || r.verdict == GateVerdict::pass || answered) {
        inside = fmt::format("<system-out>{}: {}</system-out>", verdict_name(r.verdict), xml(r.reason));
      } else if (r.verdict == GateVerdict::breach) {
        ++failures;
        inside = fmt::format("<failure type=\"breach\" message=\"{}\"/>", xml(r.reason));
      } else {
        ++errors;
        inside = fmt::format("<error type=\"{}\" message=\"{}\"/>", verdict_name(r.verdict), xml(r.reason));
      }
      add(name, fmt::format("{}.{}", d.surface, r.tier), inside);
    }
    // What stopped the surface as a whole, a stale card say, belongs to no row.
    if (d.verdict != GateVerdict::pass && failures + errors == 0) {
      ++errors;
      add("decision", d.surface, fmt::format("<error type=\"inconclusive\" message=\"{}\"/>", xml(d.reason)));
    }
    suites += fmt::format(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">\n{}  </testsuite>\n",
        xml(d.surface), cases, failures, errors, body);
    all_tests += cases, all_failures += failures, all_errors += errors;
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"carat gate\" tests=\"{}\" "
      "failures=\"{}\" "
      "errors=\"{}\">\n{}</testsuites>\n",
      all_tests, all_failures, all_errors, suites);
}

std::string markdown_document(const Comparison& comparison, const std::vector<SurfaceDecision>& decisions,
                              size_t flips) {
  std::string out =
      fmt::format("## {}: {} against {}\n\nSuite {} {}, digest {}.\n", sign_of(overall_verdict(decisions)),
                  cell(comparison.candidate), cell(comparison.baseline), cell(comparison.suite),
                  cell(comparison.suite_version), cell(comparison.suite_digest.substr(0, 12)));
  for (const SurfaceDecision& d : decisions) {
    out += fmt::format("\n### {}: {}\n\n", cell(d.surface), sign_of(d.verdict));
    if (!d.description.empty()) out += fmt::format("{}\n\n", cell(d.description));
    out += fmt::format("{}\n\n{}", cell(d.reason), rows_table(d));
  }
  out += "\n### Items\n\n" + flips_table(comparison, flips);
  if (!comparison.notes.empty()) out += "\n### Notes\n\n";
  for (const std::string& n : comparison.notes) out += fmt::format("- {}\n", cell(n));
  return out;
}

}  // namespace carat
