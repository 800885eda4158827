// What the free members of the cards hold: error per layer, latency, and what was measured on.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <unordered_map>

#include "report/chart.h"
#include "report/sections.h"

namespace carat {
namespace {

constexpr size_t kWorstTensors = 5;
constexpr size_t kLongestValue = 300;

double number_of(const json::value* value) {
  if (!value || !value->is_number()) return std::numeric_limits<double>::quiet_NaN();
  return value->to_number<double>();
}

std::string seconds_text(double s) {
  if (!std::isfinite(s)) return "–";
  if (s < 0.9995) return fmt::format("{:.3g} ms", 1000 * s);
  return fmt::format("{:.3g} s", s);
}

struct TensorError {
  std::string name, encoding;
  double error = 0;
};

/// provenance.tensors: [{name, encoding, relative_error}].
std::vector<TensorError> tensor_errors(const Scorecard& card) {
  std::vector<TensorError> out;
  const json::array* tensors = json_array(card.provenance.if_contains("tensors"));
  if (!tensors) return out;
  for (const json::value& t : *tensors) {
    const json::string* name = json_string(json_find(t, "name"));
    const json::string* encoding = json_string(json_find(t, "encoding"));
    const double error = number_of(json_find(t, "relative_error"));
    if (!name || !std::isfinite(error) || error < 0) continue;
    out.push_back({std::string(*name), encoding ? std::string(*encoding) : "", error});
  }
  return out;
}

/// The number of "blk.12.attn_q.weight", or -1.
int64_t layer_of(std::string_view name) {
  if (!name.starts_with("blk.")) return -1;
  int64_t layer = -1;
  std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  return layer >= 0 && layer < 100'000 ? layer : -1;
}

ChartLine layer_line(const std::vector<TensorError>& tensors) {
  std::map<int64_t, std::pair<double, double>> sums;
  for (const TensorError& t : tensors) {
    const int64_t layer = layer_of(t.name);
    if (layer < 0) continue;
    auto& [sum, count] = sums[layer];
    sum += t.error;
    ++count;
  }
  ChartLine line;
  for (const auto& [layer, sum] : sums)
    line.points.emplace_back(static_cast<double>(layer), sum.first / sum.second);
  return line;
}

using Leaves = std::vector<std::pair<std::string, std::string>>;

/// A number as its key says it is: "peak_memory_bytes", "seconds".
std::string with_unit(std::string_view key, const json::value& value) {
  const double x = number_of(&value);
  if (!std::isfinite(x)) return json::serialize(value);
  if (key.ends_with("bytes") && x >= 1000 && x < 1e18) return bytes_text(static_cast<int64_t>(x));
  if (key.ends_with("seconds") && x >= 0) return seconds_text(x);
  return value.is_double() ? fmt::format("{:.6g}", x) : json::serialize(value);
}

/// Every value that is no object, by its dotted path; `tensors` has a section of its own.
void collect(const json::value& value, const std::string& path, Leaves& leaves) {
  const json::object* object = value.if_object();
  if (object && !object->empty()) {
    for (const auto& [key, item] : *object) {
      if (path == "provenance" && key == "tensors") continue;
      collect(item, path + "." + std::string(key), leaves);
    }
  } else if (const json::string* text = value.if_string()) {
    leaves.emplace_back(path, std::string(*text));
  } else {
    leaves.emplace_back(path, with_unit(path, value));
  }
}

Leaves provenance_of(const Scorecard& card) {
  Leaves leaves;
  if (card.run > 0) leaves.emplace_back("run", fmt::format("{}", card.run));
  leaves.emplace_back("model", card.variant.model);
  leaves.emplace_back("model digest (SHA-256)", card.variant.model_digest);
  leaves.emplace_back("size", card.file_bytes > 0 ? fmt::format("{} bytes", card.file_bytes) : "");
  leaves.emplace_back("reference digest", card.reference);
  collect(json::value(card.variant.settings), "settings", leaves);
  collect(json::value(card.provenance), "provenance", leaves);
  return leaves;
}

/// Rows of paths in the order they first come up, a value for each card.
struct Matrix {
  std::vector<std::string> paths;
  std::vector<std::vector<std::string>> values;  ///< by path, by card
};
Matrix side_by_side(const std::vector<Leaves>& cards) {
  Matrix m;
  std::unordered_map<std::string, size_t> places;
  for (size_t c = 0; c < cards.size(); ++c)
    for (const auto& [path, value] : cards[c]) {
      const auto [at, is_new] = places.emplace(path, m.paths.size());
      if (is_new) {
        m.paths.push_back(path);
        m.values.emplace_back(cards.size());
      }
      m.values[at->second][c] = value;
    }
  return m;
}

Markup matrix_table(const Evidence& e, const Matrix& m, std::string_view head) {
  Markup rows;
  for (size_t r = 0; r < m.paths.size(); ++r) {
    const bool differs = std::ranges::any_of(m.values[r], [&](const auto& v) { return v != m.values[r][0]; });
    Markup cells;
    for (const std::string& value : m.values[r])
      cells += markup("<td class=\"value\" dir=\"auto\">{}</td>",
                      value.empty() ? "–" : shortened(value, kLongestValue));
    std::string_view name = m.paths[r];
    if (name.starts_with("provenance.")) name.remove_prefix(std::string_view("provenance.").size());
    rows += markup("<tr class=\"{}\"><th scope=\"row\" dir=\"auto\">{}</th>{}</tr>\n",
                   differs ? "differs" : "same", shortened(name, 120), cells);
  }
  return markup(
      "<div class=\"scroll\"><table "
      "class=\"facts\"><thead><tr><th>{}</th>{}</tr></thead><tbody>{}</tbody></table>"
      "</div>",
      head, variant_columns(e, true), rows);
}

/// "first_token_seconds" as "first token"
std::string readable(std::string_view key) {
  if (key.ends_with("_seconds")) key.remove_suffix(8);
  std::string out(key);
  std::ranges::replace(out, '_', ' ');
  return out;
}

constexpr std::string_view kPercentiles[] = {"p50", "p90", "p95", "p99", "mean"};

bool is_distribution(const json::value& value) { return json_find(value, "p50") != nullptr; }

Markup latency_table(const Evidence& e, const std::string& key) {
  Markup rows;
  std::string formula;
  for (size_t i = 0; i < e.cards.size(); ++i) {
    const json::value* figures = e.cards[i]->performance.if_contains(key);
    if (!figures || !is_distribution(*figures)) continue;
    Markup cells;
    for (const std::string_view p : kPercentiles)
      cells += markup("<td class=\"number\">{}</td>", seconds_text(number_of(json_find(*figures, p))));
    const double answers = number_of(json_find(*figures, "answers"));
    cells +=
        markup("<td class=\"number\">{}</td>", std::isfinite(answers) ? fmt::format("{:.0f}", answers) : "–");
    rows += markup("<tr><th scope=\"row\">{}</th>{}</tr>\n", variant_tag(e, i, 30), cells);
    if (const auto* formulas = e.cards[i]->performance.if_contains("formulas"))
      if (const json::string* text = json_string(json_find(*formulas, key))) formula = std::string(*text);
  }
  Markup out = markup(
      "<div class=\"scroll\"><table><thead><tr><th>{}</th><th>median</th><th>p90</th><th>p95</th><th>p99</th>"
      "<th>mean</th><th>answers</th></tr></thead><tbody>{}</tbody></table></div>",
      readable(key), rows);
  if (!formula.empty()) out += markup("<p class=\"soft\">= {}</p>", shortened(formula, 300));
  return out;
}

}  // namespace

Markup layers_section(const Evidence& e) {
  LineChart chart;
  chart.title = "Relative error of the weights by layer";
  chart.x_title = "layer";
  chart.y_title = "relative error, %";
  chart.y_factor = 100;
  Markup worst;
  for (size_t i = 0; i < e.cards.size(); ++i) {
    std::vector<TensorError> tensors = tensor_errors(*e.cards[i]);
    if (tensors.empty()) continue;
    ChartLine line = layer_line(tensors);
    line.series = i;
    line.label = letter(i) + " " + e.cards[i]->variant.name;
    if (!line.points.empty()) chart.lines.push_back(std::move(line));
    const size_t count = std::min(kWorstTensors, tensors.size());
    std::ranges::partial_sort(tensors, tensors.begin() + static_cast<std::ptrdiff_t>(count), std::greater{},
                              &TensorError::error);
    Markup names;
    for (size_t t = 0; t < count; ++t)
      names += markup("{}<code dir=\"auto\">{}</code> {} {:.2g}", t == 0 ? "" : ", ",
                      shortened(tensors[t].name, 80), shortened(tensors[t].encoding, 20), tensors[t].error);
    worst += markup("<p>{} worst tensors: {}</p>", variant_tag(e, i, 30), names);
  }
  if (worst.empty()) return {};
  Markup out(
      "<section><h2>Error of the weights, by layer</h2><p>Mean over the tensors of a layer of sum (w − q)² / "
      "sum w², as "
      "the quantized file itself records it. 0 is exact.</p>");
  if (!chart.lines.empty()) out += markup("<figure class=\"large\">{}</figure>", line_svg(chart));
  out += worst;
  out += Markup("</section>");
  return out;
}

Markup latency_section(const Evidence& e) {
  std::vector<std::string> distributions;
  std::vector<Leaves> others(e.cards.size());
  bool has_others = false;
  for (size_t i = 0; i < e.cards.size(); ++i)
    for (const auto& [key, value] : e.cards[i]->performance) {
      if (is_distribution(value)) {
        if (std::ranges::find(distributions, key) == distributions.end() && distributions.size() < 12)
          distributions.emplace_back(key);
      } else if (key != "formulas") {
        collect(value, std::string(key), others[i]);
        has_others = true;
      }
    }
  Markup out;
  for (const std::string& key : distributions) out += latency_table(e, key);
  if (has_others) out += matrix_table(e, side_by_side(others), "speed and memory");
  if (out.empty()) return out;
  const auto has_plan = [](const Scorecard* card) { return card->performance.contains("planned_memory"); };
  if (std::ranges::any_of(e.cards, has_plan))
    out += Markup(
        "<p class=\"soft\">planned_memory is predicted: weights, keys and values of all sequences with their "
        "contexts full, and work space. peak_memory_bytes was measured on the questions asked.</p>");
  return markup("<section><h2>Latency, throughput, memory</h2>{}</section>", out);
}

Markup provenance_section(const Evidence& e) {
  std::vector<Leaves> leaves;
  for (const Scorecard* card : e.cards) leaves.push_back(provenance_of(*card));
  const Scorecard& b = e.input->baseline;
  return markup(
      "<section><h2>What was measured, on what</h2><p>Suite <b dir=\"auto\">{}</b> {}, digest "
      "<code>{}</code>. Rows "
      "in which the variants differ are marked.</p>{}</section>",
      shortened(b.suite, 120), shortened(b.suite_version, 40), shortened(b.suite_digest, 100),
      matrix_table(e, side_by_side(leaves), "fact"));
}

}  // namespace carat
