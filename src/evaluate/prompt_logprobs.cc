#include "evaluate/prompt_logprobs.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace carat {
namespace {

std::optional<double> number(const json::value& v) {
  if (!v.is_number()) return std::nullopt;
  return v.to_number<double>();
}

/// The largest of {"token": log-probability, ...}; servers that list none say nothing of greediness.
std::optional<double> largest(const json::value& top) {
  std::optional<double> out;
  const json::object* members = top.if_object();
  if (!members) return out;
  for (const auto& member : *members)
    if (const auto v = number(member.value()); v && (!out || *v > *out)) out = v;
  return out;
}

struct Arrays {
  const json::array *tokens = nullptr, *log_probabilities = nullptr, *offsets = nullptr, *top = nullptr;
};

Result<Arrays> find_arrays(const json::value& reply) {
  const json::array* choices = json_array(json_find(reply, "choices"));
  const json::value* choice = choices && !choices->empty() ? &choices->front() : nullptr;
  const json::value* logprobs = choice ? json_find(*choice, "logprobs") : nullptr;
  if (!logprobs || !logprobs->is_object()) return bad_data("the answer has no choices[0].logprobs");
  Arrays a;
  a.tokens = json_array(json_find(*logprobs, "tokens"));
  a.log_probabilities = json_array(json_find(*logprobs, "token_logprobs"));
  a.offsets = json_array(json_find(*logprobs, "text_offset"));
  a.top = json_array(json_find(*logprobs, "top_logprobs"));
  if (!a.tokens || !a.log_probabilities)
    return bad_data("logprobs have no lists \"tokens\" and \"token_logprobs\"");
  if (a.tokens->size() != a.log_probabilities->size() || (a.top && a.top->size() != a.tokens->size()) ||
      (a.offsets && a.offsets->size() != a.tokens->size()))
    return bad_data("the lists in logprobs have different lengths");
  for (const json::value& token : *a.tokens)
    if (!token.is_string()) return bad_data("a token in logprobs is not a text");
  return a;
}

std::string_view text_of(const json::value& token) { return {token.get_string()}; }

struct Place {
  int64_t begin = 0, end = 0;  ///< bytes of the prompt
};

/// Places of the tokens from `first` on whose texts together are the prompt; empty where they are not.
std::vector<Place> places_by_text(const json::array& tokens, size_t first, std::string_view prompt) {
  std::vector<Place> places;
  size_t at = 0;
  for (size_t i = first; i < tokens.size() && at < prompt.size(); ++i) {
    const std::string_view text = text_of(tokens[i]);
    if (prompt.substr(at, text.size()) != text) return {};
    places.push_back({static_cast<int64_t>(at), static_cast<int64_t>(at + text.size())});
    at += text.size();
  }
  return at == prompt.size() ? places : std::vector<Place>();
}

/// The same from offsets in characters, for tokens whose texts are pieces of characters. Tokens that are
/// whole must still be what the prompt has there.
std::vector<Place> places_by_offset(const Arrays& a, std::string_view prompt) {
  std::vector<int64_t> byte_of;  // of each character, and the end
  for (size_t i = 0; i < prompt.size(); ++i)
    if ((prompt[i] & 0xc0) != 0x80) byte_of.push_back(static_cast<int64_t>(i));
  const int64_t characters = static_cast<int64_t>(byte_of.size());
  byte_of.push_back(static_cast<int64_t>(prompt.size()));

  std::vector<Place> places;
  for (const json::value& v : *a.offsets) {
    const int64_t* offset = v.if_int64();
    if (!offset || *offset < 0) return {};
    if (*offset >= characters) break;  // generated
    places.push_back({byte_of[*offset], 0});
  }
  if (places.empty() || places.front().begin != 0 || !std::ranges::is_sorted(places, {}, &Place::begin))
    return {};
  // Pieces of one character begin at the same place, and all end where the next character does.
  places.back().end = static_cast<int64_t>(prompt.size());
  for (size_t i = places.size() - 1; i-- > 0;)
    places[i].end = places[i].begin < places[i + 1].begin ? places[i + 1].begin : places[i + 1].end;
  for (size_t i = 0; i < places.size(); ++i) {
    const std::string_view text = text_of((*a.tokens)[i]);
    const bool whole =
        !text.empty() && !text.starts_with("bytes:") && text.find("\xef\xbf\xbd") == std::string_view::npos;
    if (whole && prompt.substr(places[i].begin, places[i].end - places[i].begin) != text) return {};
  }
  return places;
}

}  // namespace

Result<std::vector<PromptToken>> read_prompt_logprobs(const json::value& reply, std::string_view prompt) {
  CARAT_TRY(const Arrays a, find_arrays(reply));
  size_t first = 0;
  std::vector<Place> places = places_by_text(*a.tokens, 0, prompt);
  if (places.empty() && a.tokens->size() > 1) {  // a begin token may come first
    places = places_by_text(*a.tokens, 1, prompt);
    first = places.empty() ? 0 : 1;
  }
  if (places.empty() && a.offsets) places = places_by_offset(a, prompt);
  if (places.empty()) return bad_data("the tokens in logprobs are not those of the prompt");

  std::vector<PromptToken> out;
  for (size_t i = 0; i < places.size(); ++i) {
    PromptToken token;
    token.begin = places[i].begin;
    token.end = places[i].end;
    const json::value& given = (*a.log_probabilities)[first + i];
    if (const auto value = number(given)) {
      if (!std::isfinite(*value) || *value > 1e-3)
        return bad_data("{} is no log-probability of a token", *value);
      token.log_probability = std::min(*value, 0.0);
      token.known = true;
      const auto best = a.top ? largest((*a.top)[first + i]) : std::nullopt;
      token.likeliest = best && *value >= *best - 1e-6;
    } else if (!given.is_null() || first + i > 0) {
      return bad_data("token {} in logprobs has no log-probability", first + i);
    }
    out.push_back(token);
  }
  return out;
}

Result<ContinuationLogprob> continuation_logprob(const std::vector<PromptToken>& tokens, int64_t begin) {
  ContinuationLogprob out;
  for (const PromptToken& token : tokens) {
    if (token.end <= begin) {
      ++out.tokens_before;
      continue;
    }
    if (token.begin < begin)
      return bad_data("a token of the endpoint's lies on both sides of the end of the question");
    if (!token.known) return bad_data("the endpoint gives no log-probability of the first token");
    out.log_probability += token.log_probability;
    out.greedy = out.greedy && token.likeliest;
    ++out.tokens;
  }
  if (out.tokens == 0) return bad_data("the answer has no token of its own");
  return out;
}

}  // namespace carat
