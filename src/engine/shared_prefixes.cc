#include "engine/shared_prefixes.h"

#include <algorithm>
#include <numeric>
#include <ranges>
#include <utility>

namespace carat {
namespace {

/// Fewer common tokens are computed again by each: a copied session moves a chunk of 64 positions, and a node
/// more makes passes smaller.
constexpr int64_t kWorthSharing = 8;

int64_t common_tokens(std::span<const TokenId> a, std::span<const TokenId> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

SharedPrefixes::SharedPrefixes(Engine& engine, std::vector<std::span<const TokenId>> sequences, bool claims)
    : engine_(engine), sequences_(std::move(sequences)), claims_(claims), order_(sequences_.size()) {
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::ranges::stable_sort(
      order_, [](auto a, auto b) { return std::ranges::lexicographical_compare(a, b); },
      [&](size_t i) { return sequences_[i]; });
  build();
  for (size_t i = nodes_.size(); i-- > 0;)
    if (nodes_[i].parent < 0) ready_.push_back(i);
}

void SharedPrefixes::build() {
  const auto size = [&](size_t i) { return static_cast<int64_t>(sequences_[order_[i]].size()); };
  std::vector<int64_t> common(order_.size());  // tokens that a sequence has in common with the one before it
  for (size_t i = 1; i < order_.size(); ++i)
    common[i] = common_tokens(sequences_[order_[i - 1]], sequences_[order_[i]]);

  struct Group {
    size_t first, last;
    int64_t parent, begin;
  };
  std::vector<Group> groups;  // the last is next
  if (!order_.empty()) groups.push_back({0, order_.size(), -1, 0});
  std::vector<Group> parts;
  while (!groups.empty()) {
    const Group g = groups.back();
    groups.pop_back();
    int64_t end = size(g.first);
    for (size_t i = g.first + 1; i < g.last; ++i) end = std::min(end, common[i]);
    size_t longer = g.first;  // those before it end here
    while (longer < g.last && size(longer) == end) ++longer;

    parts.clear();
    if (longer == g.last || end - g.begin >= kWorthSharing) {
      const int64_t node = static_cast<int64_t>(nodes_.size());
      nodes_.push_back({g.parent, g.begin, end, g.first, g.last, longer - g.first, nullptr, 0});
      children_.emplace_back();
      if (g.parent >= 0) children_[g.parent].push_back(node);
      tokens_ += end - g.begin;
      for (size_t i = longer; i < g.last; ++i) {
        if (i == longer || common[i] <= end) parts.push_back({i, i, node, end});
        parts.back().last = i + 1;
      }
    } else {
      if (longer > g.first) parts.push_back({g.first, longer, g.parent, g.begin});
      for (size_t i = longer; i < g.last; ++i) {
        if (i == longer || common[i] <= end) parts.push_back({i, i, g.parent, g.begin});
        parts.back().last = i + 1;
      }
    }
    groups.insert(groups.end(), parts.rbegin(), parts.rend());
  }
}

/// A session that holds what `node` does, for one of those that wait for it.
Result<std::unique_ptr<Session>> SharedPrefixes::begin_from(Node& node) {
  if (--node.waiting == 0) {
    --sessions_;
    return std::move(node.session);
  }
  std::unique_ptr<Session> session;
  if (!free_.empty()) {
    session = std::move(free_.back());
    free_.pop_back();
  } else {
    CARAT_TRY(session, engine_.new_session());
  }
  CARAT_DO(session->copy_from(*node.session, node.end));
  return session;
}

Result<std::vector<size_t>> SharedPrefixes::take(int64_t max_tokens, int64_t max_sessions,
                                                 bool at_least_one) {
  std::vector<size_t> taken;
  int64_t tokens = 0;
  while (!ready_.empty()) {
    Node& node = nodes_[ready_.back()];
    Node* parent = node.parent < 0 ? nullptr : &nodes_[node.parent];
    const bool one_more = !parent || parent->waiting > 1;
    const bool fits = tokens + node.end - node.begin <= max_tokens && (!one_more || sessions_ < max_sessions);
    if (!fits && !(at_least_one && taken.empty())) break;
    if (parent) {
      CARAT_TRY(node.session, begin_from(*parent));
    } else if (!free_.empty()) {
      node.session = std::move(free_.back());
      free_.pop_back();
      node.session->truncate(0);
    } else {
      CARAT_TRY(node.session, engine_.new_session());
    }
    ++sessions_;
    tokens += node.end - node.begin;
    taken.push_back(ready_.back());
    ready_.pop_back();
  }
  return taken;
}

void SharedPrefixes::computed(size_t i) {
  Node& node = nodes_[i];
  node.waiting = children_[i].size() + (claims_ ? node.ends : 0);
  ready_.insert(ready_.end(), children_[i].rbegin(), children_[i].rend());
  if (node.waiting == 0) release_of(node);
}

Result<std::unique_ptr<Session>> SharedPrefixes::claim(size_t node) { return begin_from(nodes_[node]); }

void SharedPrefixes::forgo(size_t node) {
  if (--nodes_[node].waiting == 0) release_of(nodes_[node]);
}

void SharedPrefixes::release_of(Node& node) {
  --sessions_;
  release(std::move(node.session));
}

}  // namespace carat
