// Token sequences that begin alike, computed so that each common beginning is computed once: questions after
// the same examples, answers to the same question, conversations under the same system prompt.
//
// The sequences, sorted, are the leaves of a tree whose nodes are runs of tokens. A node is computed in a
// session of its own, which begins as a copy of its parent's, or is its parent's for the last that needs it.
// Going down before going on (depth first) and releasing early keeps few sessions alive; a released one is
// used again and still holds the beginning that most have in common, so that a copy moves little.
//
// Rejected: sessions that point to shared pages of keys and values, which would save the copies (some per
// cent of a short sequence's time) and cost every reader of a cache an indirection.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/engine.h"

namespace carat {

class SharedPrefixes {
 public:
  /// Tokens [begin, end) that sequences order()[first, last) have in common after those of the parent.
  struct Node {
    int64_t parent = -1;  ///< -1: none
    int64_t begin = 0, end = 0;
    size_t first = 0, last = 0;
    size_t ends = 0;  ///< so many of its sequences, the first, end with it

    std::unique_ptr<Session> session;  ///< while it is computed or somebody needs it
    size_t waiting = 0;                ///< children, and sequences that claim a session, not begun yet
  };

  /// The sequences have at least one token each and stay where they are. `claims`: sequences go on in a
  /// session of their own (claim()) once they are computed.
  SharedPrefixes(Engine& engine, std::vector<std::span<const TokenId>> sequences, bool claims);

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<size_t>& order() const { return order_; }
  /// Tokens to be computed in all.
  int64_t tokens() const { return tokens_; }

  /// Nodes to compute next, with sessions that hold what precedes them: as many as have at most max_tokens
  /// together and leave at most max_sessions alive here. Where `at_least_one`, these limits yield for the
  /// first. Nothing is left to compute where it then returns nothing.
  Result<std::vector<size_t>> take(int64_t max_tokens, int64_t max_sessions, bool at_least_one);
  std::span<const TokenId> tokens_of(size_t node) const {
    const Node& n = nodes_[node];
    return sequences_[order_[n.first]].subspan(n.begin, n.end - n.begin);
  }
  /// A node taken was computed, and what its session keeps has been used.
  void computed(size_t node);
  /// For one of the sequences that end with a computed node: a session that holds all of it.
  Result<std::unique_ptr<Session>> claim(size_t node);
  /// The same, for one that needs none after all.
  void forgo(size_t node);
  /// A claimed session that is not needed any more.
  void release(std::unique_ptr<Session> session) { free_.push_back(std::move(session)); }
  /// Sessions that nodes hold.
  int64_t sessions() const { return sessions_; }

 private:
  void build();
  Result<std::unique_ptr<Session>> begin_from(Node& node);
  void release_of(Node& node);

  Engine& engine_;
  std::vector<std::span<const TokenId>> sequences_;
  bool claims_;
  std::vector<size_t> order_;  ///< of sequences_, sorted
  std::vector<Node> nodes_;    ///< parents before children
  std::vector<std::vector<size_t>> children_;
  std::vector<size_t> ready_;  ///< nodes whose parent is computed; the last is next
  std::vector<std::unique_ptr<Session>> free_;
  int64_t sessions_ = 0;
  int64_t tokens_ = 0;
};

}  // namespace carat
