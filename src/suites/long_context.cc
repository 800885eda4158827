#include "suites/long_context.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <unordered_set>

#include "base/digest.h"
#include "base/random.h"
#include "suites/long_context_words.h"

namespace carat {

namespace {

using Kind = LongContext::Kind;
constexpr std::pair<std::string_view, Kind> kKinds[] = {{"needle", Kind::needle},
                                                        {"multi_key", Kind::multi_key},
                                                        {"multi_value", Kind::multi_value},
                                                        {"variables", Kind::variables},
                                                        {"common_words", Kind::common_words}};
constexpr int64_t kDepths[] = {0, 25, 50, 75, 100};
constexpr size_t kOtherKeys = 6;      ///< multi_key: needles that are not asked for
constexpr size_t kValues = 4;         ///< multi_value
constexpr size_t kChains = 3;         ///< variables: of which one is asked for
constexpr size_t kChainLength = 4;    ///< variables of a chain
constexpr size_t kCommonWords = 10;   ///< common_words, as RULER asks for
constexpr double kCommonShare = 0.3;  ///< of the list; each is then about eight times as frequent as another

/// Draws that depend on nothing but the seed, the kind and the place of the item.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  size_t below(size_t n) { return static_cast<size_t>(random_.uniform() * static_cast<double>(n)); }
  std::string_view of(std::span<const std::string_view> words) { return words[below(words.size())]; }
  std::string digits(size_t n) {
    std::string out(1, static_cast<char>('1' + below(9)));
    while (out.size() < n) out += static_cast<char>('0' + below(10));
    return out;
  }
  std::string letters(size_t n) {
    std::string out;
    while (out.size() < n) out += static_cast<char>('A' + below(26));
    return out;
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }
  /// What `make` gives, drawn again until it was not drawn before.
  template <class Make>
  std::string distinct(std::unordered_set<std::string>& seen, Make make) {
    for (;;) {
      std::string one = make();
      if (seen.insert(one).second) return one;
    }
  }

 private:
  Random random_;
};

std::string thing(Draw& draw) {
  return fmt::format("{} {}", draw.of(filler::adjectives), draw.of(filler::nouns));
}

std::string sentence(Draw& draw) {
  return fmt::format("The {} {} the {} {}.", thing(draw), draw.of(filler::verbs), draw.of(filler::nouns),
                     draw.of(filler::places));
}

/// Sentences of filler that together with `used` bytes keep within `most`.
std::vector<std::string> sentences(Draw& draw, size_t used, size_t most) {
  std::vector<std::string> out;
  for (;;) {
    std::string next = sentence(draw);
    used += next.size() + 1;
    if (used > most) return out;
    out.push_back(std::move(next));
  }
}

/// Places each of `hidden` in the text, at a depth where one is given, else anywhere, order kept.
std::string hide(Draw& draw, std::vector<std::string> text, const std::vector<std::string>& hidden,
                 const std::vector<std::optional<int64_t>>& depths) {
  std::vector<std::pair<size_t, size_t>> places;  // before which sentence, which of hidden
  std::vector<size_t> free;
  for (size_t i = 0; i < hidden.size(); ++i)
    if (!depths[i]) free.push_back(draw.below(text.size() + 1));
  std::ranges::sort(free);
  for (size_t i = 0, f = 0; i < hidden.size(); ++i)
    places.emplace_back(depths[i] ? text.size() * static_cast<size_t>(*depths[i]) / 100 : free[f++], i);
  std::ranges::stable_sort(places, {}, &std::pair<size_t, size_t>::first);
  std::string out;
  const auto add = [&](std::string_view s) {
    if (!out.empty()) out += ' ';
    out += s;
  };
  size_t next = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    for (; next < places.size() && places[next].first == i; ++next) add(hidden[places[next].second]);
    if (i < text.size()) add(text[i]);
  }
  return out;
}

size_t bytes_of(const std::vector<std::string>& texts) {
  size_t n = 0;
  for (const std::string& t : texts) n += t.size() + 1;
  return n;
}

struct Question {
  std::string before, after;        ///< around the text
  std::vector<std::string> hidden;  ///< sentences, in order
  std::vector<std::optional<int64_t>> depths;
  std::vector<std::string> needed;  ///< what the answer must hold
};

Question needles(Draw& draw, Kind kind, int64_t depth) {
  std::unordered_set<std::string> things, codes;
  const auto new_thing = [&] { return draw.distinct(things, [&] { return thing(draw); }); };
  const auto new_code = [&] { return draw.distinct(codes, [&] { return draw.digits(7); }); };
  Question q;
  const auto hide_code = [&](const std::string& key, std::optional<int64_t> at) {
    const std::string code = new_code();
    q.hidden.push_back(fmt::format("One code of the {} is {}.", key, code));
    q.depths.push_back(at);
    return code;
  };
  const bool several = kind == Kind::multi_value;
  const std::string asked = new_thing();
  if (several)
    for (size_t i = 0; i < kValues; ++i) q.needed.push_back(hide_code(asked, std::nullopt));
  else
    q.needed.push_back(hide_code(asked, depth));
  if (kind == Kind::multi_key)
    for (size_t i = 0; i < kOtherKeys; ++i) hide_code(new_thing(), std::nullopt);
  q.before = "Codes are hidden in the text below. Remember them; a question about them follows the text.\n\n";
  q.after = several
                ? fmt::format("\n\nWhich {} codes of the {} does the text name? Answer with the codes.",
                              kValues, asked)
                : fmt::format("\n\nWhich code of the {} does the text name? Answer with the code.", asked);
  return q;
}

/// Chains of assignments whose steps lie in order all over the text: A = 12345, B = A, C = B, ...
Question variables(Draw& draw) {
  std::unordered_set<std::string> names, values;
  std::vector<std::vector<std::string>> chains(kChains);
  Question q;
  std::string asked;
  for (size_t c = 0; c < kChains; ++c) {
    const std::string value = draw.distinct(values, [&] { return draw.digits(5); });
    std::string source = value;
    for (size_t i = 0; i < kChainLength; ++i) {
      const std::string name = draw.distinct(names, [&] { return draw.letters(5); });
      chains[c].push_back(fmt::format("Set {} = {}.", name, source));
      source = name;
      if (c == 0) q.needed.push_back(name);
    }
    if (c == 0) asked = value;
  }
  std::vector<size_t> order;  // which chain goes on next
  for (size_t c = 0; c < kChains; ++c) order.insert(order.end(), kChainLength, c);
  draw.shuffle(order);
  std::vector<size_t> at(kChains, 0);
  for (const size_t c : order) q.hidden.push_back(chains[c][at[c]++]);
  q.depths.resize(q.hidden.size());
  q.before =
      "Variables are set in the text below, some to a number, some to what another variable holds.\n\n";
  q.after = fmt::format(
      "\n\nWhich {} variables hold {} in the end, directly or through others? Answer with "
      "their names.",
      kChainLength, asked);
  return q;
}

/// A numbered list in which some words are about eight times as frequent as the rest.
void common_words(Draw& draw, size_t most, std::string& prompt, std::vector<std::string>& needed) {
  std::vector<std::string_view> words(std::begin(filler::nouns), std::end(filler::nouns));
  draw.shuffle(words);
  const std::string before =
      "Below is a numbered list of words. Some words are in it far more often than others.\n\n";
  const std::string after =
      fmt::format("\n\nWhich {} words are most often in the list? Answer with the words.", kCommonWords);
  const size_t room = most - before.size() - after.size();
  std::vector<std::string_view> entries;
  size_t bytes = 0;
  const auto add = [&](std::string_view word) {  // "12. word "
    entries.push_back(word);
    bytes += std::to_string(entries.size()).size() + 3 + word.size();
  };
  constexpr size_t usual_entry = 12;
  const auto share = static_cast<size_t>(kCommonShare * static_cast<double>(room / usual_entry));
  for (size_t w = 0; w < kCommonWords; ++w) {
    needed.emplace_back(words[w]);
    for (size_t n = 0; n < std::max<size_t>(4, share / kCommonWords); ++n) add(words[w]);
  }
  constexpr size_t longest_entry = 20;
  size_t next = kCommonWords;
  while (bytes + longest_entry < room) {
    add(words[next]);
    if (++next == words.size()) next = kCommonWords;
  }
  draw.shuffle(entries);
  std::string list;
  for (size_t i = 0; i < entries.size(); ++i)
    list += fmt::format("{}{}. {}", i == 0 ? "" : " ", i + 1, entries[i]);
  prompt = before + list + after;
}

}  // namespace

const Kind* find_long_context(std::string_view name) {
  const auto* found = std::ranges::find(kKinds, name, &std::pair<std::string_view, Kind>::first);
  return found == std::end(kKinds) ? nullptr : &found->second;
}

std::string long_context_names() {
  std::string out;
  for (const auto& [name, kind] : kKinds) out += fmt::format("{}{}", out.empty() ? "" : ", ", name);
  return out;
}

Status make_long_context(const LongContext& settings, const std::function<Status(Item&&)>& sink) {
  const std::string_view name =
      std::ranges::find(kKinds, settings.kind, &std::pair<std::string_view, Kind>::second)->first;
  for (const int64_t length : settings.lengths) {
    const auto most = static_cast<size_t>(length * LongContext::kBytesPerToken * 7 / 8);
    for (int64_t i = 0; i < settings.count; ++i) {
      Item item;
      item.id = fmt::format("{}-{}-{}", name, length, i + 1);
      item.cluster = item.id;
      item.slices.push_back(fmt::format("length={}", length));
      const std::string identity = fmt::format("{} {}", settings.seed, item.id);
      Draw draw(xxh3({reinterpret_cast<const uint8_t*>(identity.data()), identity.size()}));
      std::vector<std::string> needed;
      if (settings.kind == Kind::common_words) {
        common_words(draw, most, item.prompt, needed);
      } else {
        const int64_t depth = kDepths[static_cast<size_t>(i) % std::size(kDepths)];
        const bool chains = settings.kind == Kind::variables;
        Question q = chains ? variables(draw) : needles(draw, settings.kind, depth);
        if (settings.kind == Kind::needle || settings.kind == Kind::multi_key)
          item.slices.push_back(fmt::format("depth={}", depth));
        const size_t used = q.before.size() + q.after.size() + bytes_of(q.hidden);
        item.prompt = q.before + hide(draw, sentences(draw, used, most), q.hidden, q.depths) + q.after;
        needed = std::move(q.needed);
      }
      item.expected["needed"] = json::array(needed.begin(), needed.end());
      CARAT_DO(sink(std::move(item)));
    }
  }
  return {};
}

}  // namespace carat
